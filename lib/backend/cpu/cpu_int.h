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
#include "backend/cpu/encoder.h"
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
    struct attention_tail tails[BACKEND_ROWS_MAX];
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
