/* cpu_int.h: what the files of the CPU backend share.
 *
 *     weights.c     binds and repacks tensors into one block of memory
 *     encoder.c     mel frames -> states -> cross-attention keys and values, in slices
 *     project.c     the encoder's linear layers on a block of rows
 *     decoder.c     the layer loop for m rows; head.c: the output layer and the choices
 *     sequence.c    memory of a sequence: keys and values
 *     cpu.c         the five verbs
 */
#ifndef BACKEND_CPU_CPU_INT_H
#define BACKEND_CPU_CPU_INT_H

#include "backend/cpu/blas.h"
#include "backend/cpu/cpu.h"
#include "backend/cpu/head.h"
#include "base/pool.h"
#include "kernels/gemm.h"
#include "kernels/kernels.h"
#include "kv/kv.h"

/* Splits one block of memory into aligned pieces: with base NULL it only counts. */
struct carve {
    uint8_t *base;
    size_t used;
};

static inline void *carve_take(struct carve *carve, size_t n_bytes)
{
    size_t at = carve->used;
    carve->used += (n_bytes + 63) / 64 * 64;
    return carve->base ? carve->base + at : NULL;
}

/* ---- weights ---- */

struct norm {
    const float *gain;
    const float *bias;          /* NULL for RMSNorm */
};

struct projection {
    struct matrix w;
    const float *bias;          /* padded with zeros to whole panels; NULL: none */
};

struct attention_weights {
    struct norm norm;           /* before the projections */
    struct projection q, k, v, out;
};

struct layer {
    struct attention_weights self;
    struct attention_weights cross;     /* decoder, if it has any; k and v read the encoder */
    struct norm ffn_norm;
    struct projection up, gate, down;   /* gate: SwiGLU only */
};

struct weights {
    void *memory;
    size_t n_bytes;
    struct layer *layers;               /* encoder's, then decoder's; heap */
    struct projection conv1, conv2;     /* inputs ordered [tap][channel] */
    const float *encoder_positions;     /* [n_positions][n_state] */
    const struct layer *encoder;
    struct norm encoder_norm;
    struct matrix embedding;            /* [n_vocab][n_state] */
    const float *positions;             /* decoder's table; NULL with rotary positions */
    const struct layer *decoder;
    struct norm decoder_norm;
    struct matrix head;                 /* view of `embedding` when tied */
};

/* STATUS_CORRUPT, _UNSUPPORTED, _NO_MEMORY or what reading returns. */
MUST_CHECK enum status weights_load(struct weights *weights, const struct model *model,
                                    enum cpu_weights keep, struct error *err);
void weights_release(struct weights *weights);

/* ---- sequences ---- */

/* Half-precision keys and values of one decoder layer. Per head: keys in panels
 * [slot/16][head_size][16], values in rows [slot][head_size]. */
struct kv_layer {
    uint16_t *keys, *values;
};

struct cpu_sequence {
    struct sequence base;
    struct kv kv;
    struct kv_layer *self;              /* [n_layers]; one heap block holds self and cross */
    struct kv_layer *cross;
    uint32_t self_slots;                /* multiple of 16 */
    uint32_t cross_slots;               /* multiple of 16; 0: nothing taken yet */
    uint32_t n_keys;                    /* encoder positions of the current window */
    bool encoded;                       /* a whole window is there: forward may run */
    bool finished_by_other;             /* ... but its own caller was not told yet */
    void *memory;
    size_t n_bytes;
};

/* Bytes of keys and values for a window of n_keys positions. */
size_t sequence_bytes(const struct model_description *model, uint32_t n_keys);

/* Takes memory for n_keys positions unless there is enough. STATUS_NO_MEMORY. */
MUST_CHECK enum status sequence_reserve(struct cpu_sequence *sequence, uint32_t n_keys,
                                        struct error *err);
void sequence_release(struct cpu_sequence *sequence);

/* Copies keys and values of all layers between slots, as kv_keep asks. */
void sequence_move(struct cpu_sequence *sequence, const struct kv_move *moves, uint32_t n_moves);

/* ---- encoder ---- */

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

/* One window under way: its activations lie in memory of its own, so that it can be put aside
 * between two slices. */
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

struct cpu_backend;
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

/* ---- decoder ---- */

/* Rows of one call in internal order: rows of a sequence lie together. Rows of activations are
 * padded (row_stride in decoder.c). */
struct decoder {
    void *memory;
    size_t n_bytes;
    float *x, *h;               /* [64][n_state] residual stream; normed, then a layer's output */
    float *q, *k, *v, *att;     /* [64][heads * head_size] */
    float *ff, *gate;           /* [64][n_ff] */
    float *top;                 /* [64][n_state] final states of rows that ask for something */
    float *logits;              /* [64][vocabulary, padded] */
    void *x8, *ff8;             /* the same activations in 8 bits (integer weights): q8_rows_at */
    bool quantise;              /* some weights are integers */
    float *scratch;             /* attention, scratch_floats per thread */
    size_t scratch_floats;
    float *rope_cos, *rope_sin; /* rotary positions only */
    uint32_t logits_stride;
    bool timed;                 /* thread 0 keeps `times` */
    struct cpu_times times;
    uint64_t marked_us;
    struct backend_row *rows;   /* of the call, like all that follows */
    uint32_t n_rows;
    uint8_t order[BACKEND_ROWS_MAX];        /* internal row -> row of the call */
    uint32_t position[BACKEND_ROWS_MAX];
    uint32_t n_tail[BACKEND_ROWS_MAX];
    uint32_t tail[BACKEND_ROWS_MAX][KV_ROWS_MAX];
    uint32_t group_start[BACKEND_ROWS_MAX + 1]; /* runs of up to ATTENTION_ROWS of a sequence */
    uint32_t n_groups;
    uint8_t top_rows[BACKEND_ROWS_MAX];     /* internal rows that ask for something */
    uint32_t n_top;
    struct head head;
};

MUST_CHECK enum status decoder_init(struct cpu_backend *backend, struct error *err);
void decoder_release(struct cpu_backend *backend);
MUST_CHECK enum status decoder_forward(struct cpu_backend *backend, struct backend_row *rows,
                                       uint32_t n_rows, struct error *err);

struct cpu_backend {
    struct backend base;
    const struct model_description *description;
    const struct kernels *kernels;
    const struct gemm *gemm;
    struct clock clock;
    blas_sgemm_fn *sgemm;               /* encoder_blas: OpenBLAS's; NULL: own products */
    struct pool *pool;
    struct weights weights;
    struct encoder encoder;
    struct decoder decoder;
};

#endif
