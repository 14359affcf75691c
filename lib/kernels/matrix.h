/* matrix.h: weights of linear layers, repacked once into panels of 16 outputs.
 *
 * The kernels keep one output per vector lane and walk k upwards, so each output is summed in one
 * fixed order whatever the number of rows. A panel holds the weights of outputs 16p .. 16p+15:
 *
 *     f32, f16   [k][16]                                  n_in need not be a multiple of anything
 *     q8_0       [k/4][16][4] int8, then [k/32][16] f16   n_in is a multiple of 32
 *                (weights)              (scales)
 *     q4_0       [k/8][16][4] bytes, then [k/32][16] f16  likewise; byte j of a group of eight k
 *                holds k = j in its low half and k = j + 4 in its high half, 8 added
 *
 * Outputs beyond n_out in the last panel are zero and never written to a result.
 */
#ifndef KERNELS_MATRIX_H
#define KERNELS_MATRIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { PANEL = 16, Q8_BLOCK = 32 };

/* Same order as the types of a model file. */
enum weight_type { WEIGHT_F32, WEIGHT_F16, WEIGHT_Q8_0, WEIGHT_Q4_0 };

/* Blocks of integers: multiplied with activations in 8 bits. */
static inline bool weight_is_integer(enum weight_type type)
{
    return type == WEIGHT_Q8_0 || type == WEIGHT_Q4_0;
}

/* One block of q8_0 as GGUF stores it, row-major: weight i of the block is scale * q[i]. */
struct q8_0_block {
    uint16_t scale; /* f16 bits */
    int8_t q[Q8_BLOCK];
};

/* Likewise q4_0: weight i is scale * (nibble i - 8); nibble i is the low half of q[i] for i < 16,
 * the high half of q[i - 16] from there on. */
struct q4_0_block {
    uint16_t scale;
    uint8_t q[Q8_BLOCK / 2];
};

/* A view; `data` has matrix_bytes() bytes, 64-byte aligned (kernels_alloc), owned by whoever made
 * it. */
struct matrix {
    enum weight_type type;
    uint32_t n_out;
    uint32_t n_in;
    void *data;
};

/* Zeroed memory, aligned to 64 bytes; in huge pages where the kernel grants them (that saves 6-13
 * % of a step). NULL when out of memory or n_bytes is 0. Free with kernels_free and the same
 * size. */
void *kernels_alloc(size_t n_bytes);
void kernels_free(void *memory, size_t n_bytes);

static inline uint32_t matrix_panels(uint32_t n_out)
{
    return n_out / PANEL + (n_out % PANEL != 0);
}

/* Bytes of one panel, and of a whole packed matrix. */
size_t matrix_panel_bytes(enum weight_type type, uint32_t n_in);
size_t matrix_bytes(enum weight_type type, uint32_t n_out, uint32_t n_in);

/* Bytes of a block of 32 inputs of a panel of integers, before the scales. */
static inline size_t matrix_block_bytes(enum weight_type type)
{
    return (size_t)(type == WEIGHT_Q4_0 ? Q8_BLOCK / 2 : Q8_BLOCK) * PANEL;
}

/* Bytes of n row-major weights as they lie in a model file: what matrix_pack reads per row. */
size_t weight_row_bytes(enum weight_type type, uint32_t n_in);

/* Packs rows [first, first + n_rows) of a row-major matrix into `to` (outputs are rows), so that
 * a file can be streamed in pieces of any size; to->data must be zeroed before the first piece
 * (pads stay zero). `type` is the type of `rows`: f32 and f16 go to f32 and f16, q8_0 and
 * q4_0 only to themselves. `rows` needs no alignment. */
void matrix_pack(const struct matrix *to, uint32_t first, uint32_t n_rows, enum weight_type type,
                 const void *rows);

/* Row `row` as n_in float32: the token embedding out of a tied output layer. */
void matrix_unpack_row(const struct matrix *m, uint32_t row, float *out);

/* Even share of n items for one thread: [*from, *to). */
static inline void share_of(uint32_t n, uint32_t thread, uint32_t n_threads, uint32_t *from,
                            uint32_t *to)
{
    *from = (uint32_t)((uint64_t)n * thread / n_threads);
    *to = (uint32_t)((uint64_t)n * (thread + 1) / n_threads);
}

/* One number; bulk conversion is in struct kernels and gives the same bits. Narrowing rounds to
 * nearest even. */
uint16_t f16_from_f32(float x);
float f32_from_f16(uint16_t bits);

#endif
