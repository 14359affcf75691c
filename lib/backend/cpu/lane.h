/* lane.h: what the phases of a decoder step have in common (decoder.c, head.c). */
#ifndef BACKEND_CPU_LANE_H
#define BACKEND_CPU_LANE_H

#include "backend/cpu/cpu_int.h"

/* One thread's place in a step. */
struct lane {
    struct cpu_backend *backend;
    const struct kernels *kernels;
    struct decoder *d;
    const struct stack_description *s;
    uint32_t id;
    uint32_t n;
};

/* Outputs that one thread computes: whole pairs of panels, so that it can also quantise its share.
 * */
struct columns {
    uint32_t panel_from, panel_to;
    uint32_t from, n;
};

static inline struct columns columns_of(const struct lane *t, uint32_t n_out)
{
    uint32_t from, to;
    share_of((n_out + Q8_BLOCK - 1) / Q8_BLOCK, t->id, t->n, &from, &to);
    struct columns c = {.panel_from = 2 * from, .panel_to = MIN(2 * to, matrix_panels(n_out))};
    c.from = MIN(c.panel_from * PANEL, n_out);
    c.n = MIN(c.panel_to * PANEL, n_out) - c.from;
    return c;
}

static inline void barrier(const struct lane *t)
{
    pool_barrier(t->backend->pool);
}

/* Floats from one row of activations to the next. Widths are powers of two: without the pad all
 * rows of a block would fall into the same sets of the first cache. */
static inline size_t row_stride(size_t width)
{
    return width + PANEL;
}

/* Charges what has passed since the last mark to one part of the step, if anybody wants to know. */
static inline void mark(const struct lane *t, uint64_t *part)
{
    if (!t->d->timed || t->id != 0)
        return;
    uint64_t now = clock_us(&t->backend->clock);
    *part += now - t->d->marked_us;
    t->d->marked_us = now;
}

/* Quantises n values of a row of `width` from column `from` on, where some layer will want it. */
static inline void quantise(const struct lane *t, void *x8, const float *x, uint32_t row,
                            uint32_t width, struct columns c)
{
    if (!t->d->quantise || c.n == 0)
        return;
    struct q8_rows all = q8_rows_at(x8, BACKEND_ROWS_MAX, width);
    size_t at = (size_t)row * width + c.from;
    struct q8_rows to = {.q = all.q + at, .scale = all.scale + at / Q8_BLOCK,
                         .offset = all.offset + at / Q8_BLOCK};
    t->kernels->quantise(to, x + row * row_stride(width) + c.from, c.n);
}

static inline void norm_row(const struct lane *t, const struct norm *norm, const float *x, float *y)
{
    if (t->s->norm == NORM_LAYER)
        t->kernels->layer_norm(y, x, norm->gain, norm->bias, t->s->n_state, t->s->norm_eps);
    else
        t->kernels->rms_norm(y, x, norm->gain, t->s->n_state, t->s->norm_eps);
}

/* Logits and choices of the rows that ask for something (head.c). */
void head_run(const struct lane *t);

#endif
