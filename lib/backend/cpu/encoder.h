/* encoder.h: windows in the encoder (encoder.c) and its linear layers (project.c). Part of
 * cpu_int.h. */
#ifndef BACKEND_CPU_ENCODER_H
#define BACKEND_CPU_ENCODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"

struct cpu_backend;
struct cpu_sequence;
struct kernels;
struct matrix;
struct projection;

enum encoder_stage { STAGE_MEL, STAGE_CONV1, STAGE_CONV2, STAGE_QKV, STAGE_ATTENTION, STAGE_FEED,
                     STAGE_NORM, STAGE_CROSS, STAGE_DONE };

/* Per-thread scratch of the encoder. */
struct encoder_worker {
    float *panel;               /* weights as float32: gemm->n_panels panels of the longest input */
    float *normed;              /* [rows][n_state] */
    float *hidden;              /* [rows][ENCODER_CHUNK] */
    float *sum;                 /* [rows][n_state] */
    float *scores;              /* [ENCODER_QUERIES][positions], over the three above */
    void *x8, *hidden8;         /* q8_0 weights: a layer's input, the hidden units, in 8 bits */
    float *blas;                /* with sgemm only: weights row-major, then products */
};

enum {
    ENCODER_ROWS = 144,         /* most rows of a block: activations stay in a 1 MB cache */
    ENCODER_QUERIES = 48,       /* queries of an attention block: scores and keys stay there too */
    ENCODER_CHUNK = 512,        /* hidden units of the feed-forward layer at a time */
};

/* One window under way, with activations of its own: it can be put aside between slices. */
struct encoder_job {
    struct cpu_sequence *sequence;      /* NULL: free */
    struct backend_features features;
    uint64_t number;                    /* began as so manieth */
    uint32_t n_positions;
    enum encoder_stage stage;
    uint32_t layer;
    uint32_t unit;                      /* units before this one are done */
    float *memory;                      /* NULL: not taken yet */
    float *mel, *x;                     /* [n_frames + 2][n_mels], ends 0; [positions][n_state] */
    float *q, *k, *v;                   /* q rows, k and v panels; conv1's output lies over them */
};

struct encoder {
    void *memory;                       /* of the workers */
    size_t n_bytes, job_bytes;
    struct encoder_worker *workers;
    struct encoder_job jobs[BACKEND_WINDOWS];
    struct encoder_job *job;            /* whose slice this is */
    uint64_t n_begun;
};

/* Memory of the workers and of one job: of the others when they are wanted. */
MUST_CHECK enum status encoder_init(struct cpu_backend *backend, struct error *err);
void encoder_release(struct cpu_backend *backend);

/* The job of the sequence, a free one with its memory, the one that began first; NULL: none. */
struct encoder_job *encoder_job_of(struct encoder *encoder, const struct cpu_sequence *sequence);
struct encoder_job *encoder_free_job(struct cpu_backend *backend);
struct encoder_job *encoder_first_job(struct encoder *encoder);

/* Begins a free job for the sequence, which has its memory. */
void encoder_begin(struct cpu_backend *backend, struct encoder_job *job,
                   struct cpu_sequence *sequence, const struct backend_features *features);

/* Works until the job is done (true) or the clock reaches `deadline_us`; one slice at least. */
bool encoder_advance(struct cpu_backend *backend, struct encoder_job *job, uint64_t deadline_us);

/* Rows [first, first + n_rows) of a linear layer, inputs [k_from, k_to) only. */
struct project {
    const struct projection *p;
    uint32_t n_rows;
    uint32_t panel_from, panel_to;      /* output panels */
    uint32_t k_from, k_to;
    const float *a;                     /* input k_from of the first row */
    size_t a_stride;
    float *c;                           /* output panel_from of the first row */
    size_t c_row, c_panel;
    bool bias;                          /* add the layer's bias (if it has one) */
    bool resume;                        /* go on from the sums in c */
};

void project_run(const struct cpu_backend *backend, const struct encoder_worker *worker,
                 const struct project *job);

/* Inputs [k_from, k_to) of a block of rows into 8-bit rows of the layer's whole width. */
void project_quantise(const struct cpu_backend *backend, const struct project *job, void *x8);

/* The same from 8-bit rows that hold all inputs of a q8_0 layer: integer sums, a third of the time
 * where the processor has VNNI, the same bits where it has not. */
void project_q8(const struct cpu_backend *backend, const struct project *job, void *x8);

/* Are the layer's weights and inputs multiplied as 8-bit integers? */
bool project_is_q8(const struct cpu_backend *backend, const struct projection *p);

/* The same through OpenBLAS, one thread. Floats of scratch that it needs. */
void project_blas(const struct encoder_worker *worker, const struct cpu_backend *backend,
                  const struct project *job);
size_t project_blas_floats(uint32_t n_in_max);

/* One panel of weights, inputs [k_from, k_to), as float32 [k][16]. Returns where it lies:
 * `scratch`, or the weights themselves if they are float32 already. */
const float *panel_as_f32(const struct kernels *kernels, const struct matrix *w, uint32_t panel,
                          uint32_t k_from, uint32_t k_to, float *scratch);

#endif
