/* simd_integer.h: linear layers, weights in blocks of integers (q8_0, q4_0), inputs in 8 bits. */
#ifndef KERNELS_SIMD_INTEGER_H
#define KERNELS_SIMD_INTEGER_H

#include "kernels/kernels.h"
#include "kernels/simd_strip.h"

#ifdef VEC16

/* Rows of one register block; the integer sums live in registers, the float sums may spill (they
 * are touched once per 32 weights). */
#ifndef INTEGER_ROWS_MAX
#define INTEGER_ROWS_MAX (VEC16_SUMS >= 24 ? 12 : 4)
#endif

/* Bytes of 32 weights for 16 outputs, without and with their scales. */
INLINE size_t block_bytes(enum weight_type type)
{
    return matrix_block_bytes(type);
}

INLINE size_t block_step(enum weight_type type)
{
    return block_bytes(type) + PANEL * sizeof(uint16_t);
}

/* What a pass over a panel prefetches: n_lines cache lines per block of 32 weights, from `at`. */
struct look_ahead {
    const char *at;
    uint32_t n_lines;
};

/* Block `block` of `n_blocks` of rows asks for its share of the next panel. An even stream, a whole
 * panel ahead: if only the first block asked for what the others find in the cache, or asked 4 KB
 * ahead, memory would be idle half of the time (4 rows: 3.1 -> 2.0 ms). */
INLINE struct look_ahead look_ahead(const uint8_t *panel, enum weight_type type, uint32_t n_in,
                                    uint32_t block, uint32_t n_blocks)
{
    uint32_t lines = (uint32_t)((block_step(type) / LINE + n_blocks) / n_blocks);
    size_t skip = n_in / Q8_BLOCK * (block_step(type) + block * lines * LINE);
    return (struct look_ahead){.at = (const char *)panel + skip, .n_lines = lines};
}

/* Results go to memory that was last touched a step ago: ask for it before the sums are done. */
INLINE void prefetch_results(const float *y, size_t y_stride, int rows)
{
    for (int r = 0; r < rows; r++)
        __builtin_prefetch(y + (size_t)r * y_stride, 1);
}

/* Rows of activations as a panel's products read them: rows are n apart, their offsets and scales
 * n_blocks apart. */
struct integer_rows {
    const int8_t *q;
    const float *scale;
    const int32_t *offset;
    size_t n, n_blocks;
};

/* 32 weights by block `block` of `rows` rows. */
INLINE void dots_q8(const uint8_t *w, const struct integer_rows *x, size_t block, const int rows,
                    ivec16 *dot)
{
    for (int r = 0; r < rows; r++)
        dot[r] = ivec_start(x->offset[(size_t)r * x->n_blocks + block]);
#pragma GCC unroll 8
    for (size_t i = 0; i < Q8_BLOCK; i += 4) {
        q8vec four = q8_load((const int8_t *)w + i * PANEL);
        for (int r = 0; r < rows; r++)
            dot[r] = ivec_dot4(dot[r], four, x->q + (size_t)r * x->n + block * Q8_BLOCK + i);
    }
}

INLINE void dots_q4(const uint8_t *w, const struct integer_rows *x, size_t block, const int rows,
                    ivec16 *dot)
{
    q4sum sum[INTEGER_ROWS_MAX];
    for (int r = 0; r < rows; r++)
        sum[r] = q4_start(x->offset[(size_t)r * x->n_blocks + block]);
#pragma GCC unroll 4
    for (size_t i = 0; i < Q8_BLOCK; i += 8) {
        q8vec low, high;
        q4_load(w + i / 2 * PANEL, &low, &high);
        for (int r = 0; r < rows; r++)
            sum[r] = q4_dot4(sum[r], low, x->q + (size_t)r * x->n + block * Q8_BLOCK + i);
        for (int r = 0; r < rows; r++)
            sum[r] = q4_dot4(sum[r], high, x->q + (size_t)r * x->n + block * Q8_BLOCK + i + 4);
    }
    for (int r = 0; r < rows; r++)
        dot[r] = q4_total(sum[r], x->offset[(size_t)r * x->n_blocks + block]);
}

/* One panel by `rows` rows of activations (type and rows are constants at each call) from row
 * `first` on. */
INLINE void integer_block(const struct linear *job, enum weight_type type, const uint8_t *panel,
                          const int rows, size_t first, struct look_ahead ahead, vec16 *sum)
{
    size_t n = job->w->n_in, n_blocks = n / Q8_BLOCK;
    const struct integer_rows x = {job->xq.q + first * n, job->xq.scale + first * n_blocks,
                                   job->xq.offset + first * n_blocks, n, n_blocks};
    const void *behind = panel + n_blocks * block_bytes(type);
    const uint16_t *w_scale = behind;
    for (int r = 0; r < rows; r++)
        sum[r] = vec_zero();
    for (size_t block = 0; block < n_blocks; block++) {
        for (uint32_t i = 0; i < ahead.n_lines; i++, ahead.at += LINE)
            __builtin_prefetch(ahead.at, 0, 2); /* the first level is full of activations */
        ivec16 dot[INTEGER_ROWS_MAX];
        const uint8_t *w = panel + block * block_bytes(type);
        if (type == WEIGHT_Q4_0)
            dots_q4(w, &x, block, rows, dot);
        else
            dots_q8(w, &x, block, rows, dot);
        vec16 d = vec_load_f16(w_scale + block * PANEL);
        for (int r = 0; r < rows; r++) {
            vec16 both = vec_mul(d, vec_set1(x.scale[(size_t)r * n_blocks + block]));
            sum[r] = vec_fma(both, ivec_to_float(dot[r]), sum[r]);
        }
    }
}

/* Rows [first, first + rows) of one panel; y is the first of them. */
INLINE void integer_run(const struct linear *job, enum weight_type type, const uint8_t *panel,
                        uint32_t rows, size_t first, struct look_ahead ahead, const float *bias,
                        float *y, size_t y_stride)
{
    vec16 sum[INTEGER_ROWS_MAX];
#define INTEGER_CASE(r)                                       \
    case r:                                                   \
        prefetch_results(y, y_stride, r);                     \
        integer_block(job, type, panel, r, first, ahead, sum); \
        for (size_t i = 0; i < (r); i++)                      \
            vec_store(y + i * y_stride, bias ? vec_add(sum[i], vec_load(bias)) : sum[i]); \
        break;
    switch (rows) {
        INTEGER_CASE(1) INTEGER_CASE(2) INTEGER_CASE(3) INTEGER_CASE(4)
#if VEC16_SUMS >= 24
        INTEGER_CASE(5) INTEGER_CASE(6) INTEGER_CASE(7) INTEGER_CASE(8)
        INTEGER_CASE(9) INTEGER_CASE(10) INTEGER_CASE(11) INTEGER_CASE(12)
#endif
    default:
        SA_ASSERT(!"no such register block");
    }
#undef INTEGER_CASE
}

/* Whole panels straight into y. */
INLINE void linear_integer(const struct linear *job, enum weight_type type,
                           const struct panels_out *out)
{
    uint32_t n_blocks = (job->n_rows + INTEGER_ROWS_MAX - 1) / INTEGER_ROWS_MAX;
    size_t panel_bytes = matrix_panel_bytes(type, job->w->n_in);
    const uint8_t *w = (const uint8_t *)job->w->data + out->panel * panel_bytes;
    for (uint32_t i = 0; i < out->n; i++, w += panel_bytes) {
        const float *bias = out->bias ? out->bias + (size_t)i * PANEL : NULL;
        for (uint32_t block = 0; block < n_blocks; block++) {
            uint32_t from, to;
            share_of(job->n_rows, block, n_blocks, &from, &to);
            struct look_ahead ahead = look_ahead(w, type, job->w->n_in, block, n_blocks);
            float *y = out->y + (size_t)i * PANEL + from * out->y_stride;
            integer_run(job, type, w, to - from, from, ahead, bias, y, out->y_stride);
            for (size_t r = from; out->largest && r < to; r++, y += out->y_stride)
                vec_store(out->largest + r * PANEL,
                          vec_max(vec_load(out->largest + r * PANEL), vec_load(y)));
        }
    }
}

static void linear_q8(const struct linear *job, const struct panels_out *out)
{
    linear_integer(job, WEIGHT_Q8_0, out);
}

static void linear_q4(const struct linear *job, const struct panels_out *out)
{
    linear_integer(job, WEIGHT_Q4_0, out);
}

#endif
#endif
