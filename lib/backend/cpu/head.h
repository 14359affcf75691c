/* head.h: the output layer in two stages: what head.c keeps, for the decoder and the bench. */
#ifndef BACKEND_CPU_HEAD_H
#define BACKEND_CPU_HEAD_H

#include "backend/backend.h"
#include "kernels/screen.h"

struct cpu_backend;
struct cpu_options;
struct carve;

struct head {
    bool screens;               /* it is f16, and may be screened */
    bool indexes;               /* that, or it is integers: choices know where large logits are */
    struct screen screen;       /* exact, but with CPU_WEIGHTS_MIXED (cpu.h) */
    void *memory;               /* of the screen */
    size_t n_bytes;
    uint32_t n_all;             /* whole panels */
    uint32_t n_text;            /* those below the end token */
    /* of the call; rows are those of `top` */
    uint32_t n_full;            /* the first so many are wanted in full */
    uint32_t first;             /* from here on they are indexed; at or below n_full */
    void *x8;                   /* their states in 8 bits */
    struct screened rows[BACKEND_ROWS_MAX];
    uint16_t *panels;           /* [64][n_all], to be computed for each */
    struct screen_todo todo[BACKEND_ROWS_MAX];
    float *largest;             /* [64][n_groups] */
    uint32_t n_groups;
};

/* Makes what screening needs, unless options->whole_head or it cannot be; before decoder_init. */
MUST_CHECK enum status head_init(struct cpu_backend *backend, const struct cpu_options *options,
                                 struct error *err);
void head_release(struct cpu_backend *backend);
void head_lay_out(struct cpu_backend *backend, struct carve *carve);

/* Finds the rows of the call that ask for something, and what each needs. */
void head_rows(struct cpu_backend *backend);

#endif
