/* simd_linear.h: linear layers out of packed weights. */
#ifndef KERNELS_SIMD_LINEAR_H
#define KERNELS_SIMD_LINEAR_H

#include "kernels/kernels.h"
#include "kernels/simd_strip.h"

#ifdef VEC16

/* ---- q8_0 ---- */

/* Rows of one register block; the integer sums live in registers, the float sums may spill (they
 * are touched once per 32 weights). */
#ifndef Q8_ROWS_MAX
#define Q8_ROWS_MAX (VEC16_SUMS >= 24 ? 12 : 4)
#endif

/* Bytes of one block of 32 weights for 16 outputs, scales included. */
enum { Q8_BLOCK_STEP = (Q8_BLOCK + 2) * PANEL };

/* What a pass over a panel prefetches: n_lines cache lines per block of 32 weights, from `at`. */
struct look_ahead {
    const char *at;
    uint32_t n_lines;
};

/* Block `block` of `n_blocks` of rows asks for its share of the next panel. An even stream, a whole
 * panel ahead: if only the first block asked for what the others find in the cache, or asked 4 KB
 * ahead as the float kernels do, memory would be idle half of the time (4 rows: 3.1 -> 2.0 ms). */
INLINE struct look_ahead q8_look_ahead(const int8_t *panel, uint32_t n_in, uint32_t block,
                                       uint32_t n_blocks)
{
    uint32_t lines = (Q8_BLOCK_STEP / LINE + n_blocks) / n_blocks;
    size_t skip = (size_t)n_in / Q8_BLOCK * (Q8_BLOCK_STEP + block * lines * LINE);
    return (struct look_ahead){.at = (const char *)panel + skip, .n_lines = lines};
}

/* Results go to memory that was last touched a step ago: ask for it before the sums are done. */
INLINE void prefetch_results(const float *y, size_t y_stride, int rows)
{
    for (int r = 0; r < rows; r++)
        __builtin_prefetch(y + (size_t)r * y_stride, 1);
}

/* One panel by `rows` rows of activations (a constant at each call) from row `first` on. */
INLINE void q8_block(const struct linear *job, const int8_t *panel, const int rows, size_t first,
                     struct look_ahead ahead, vec16 *sum)
{
    size_t n = job->w->n_in;
    size_t n_blocks = n / Q8_BLOCK;
    const int8_t *q = job->xq.q + first * n;
    const float *scale = job->xq.scale + first * n_blocks;
    const int32_t *offset = job->xq.offset + first * n_blocks;
    const uint16_t *w_scale = (const uint16_t *)(const void *)(panel + n * PANEL);
    for (int r = 0; r < rows; r++)
        sum[r] = vec_zero();
    for (size_t block = 0; block < n_blocks; block++) {
        for (uint32_t i = 0; i < ahead.n_lines; i++, ahead.at += LINE)
            __builtin_prefetch(ahead.at, 0, 2); /* the first level is full of activations */
        ivec16 dot[Q8_ROWS_MAX];
        for (int r = 0; r < rows; r++)
            dot[r] = ivec_start(offset[(size_t)r * n_blocks + block]);
#pragma GCC unroll 8
        for (size_t i = 0; i < Q8_BLOCK; i += 4) {
            q8vec w = q8_load(panel + (block * Q8_BLOCK + i) * PANEL);
            for (int r = 0; r < rows; r++)
                dot[r] = ivec_dot4(dot[r], w, q + (size_t)r * n + block * Q8_BLOCK + i);
        }
        vec16 d = vec_load_f16(w_scale + block * PANEL);
        for (int r = 0; r < rows; r++) {
            vec16 both = vec_mul(d, vec_set1(scale[(size_t)r * n_blocks + block]));
            sum[r] = vec_fma(both, ivec_to_float(dot[r]), sum[r]);
        }
    }
}

INLINE void q8_rows(const struct linear *job, const int8_t *panel, uint32_t rows, size_t first,
                    struct look_ahead ahead, const float *bias, float *y, size_t y_stride)
{
    vec16 sum[Q8_ROWS_MAX];
#define Q8_CASE(r)                                    \
    case r:                                           \
        prefetch_results(y, y_stride, r);             \
        q8_block(job, panel, r, first, ahead, sum);   \
        for (size_t i = 0; i < (r); i++)       \
            vec_store(y + i * y_stride, bias ? vec_add(sum[i], vec_load(bias)) : sum[i]); \
        break;
    switch (rows) {
        Q8_CASE(1) Q8_CASE(2) Q8_CASE(3) Q8_CASE(4)
#if VEC16_SUMS >= 24
        Q8_CASE(5) Q8_CASE(6) Q8_CASE(7) Q8_CASE(8)
        Q8_CASE(9) Q8_CASE(10) Q8_CASE(11) Q8_CASE(12)
#endif
    default:
        SA_ASSERT(!"no such register block");
    }
#undef Q8_CASE
}

static void linear_q8(const struct linear *job, uint32_t panel, const float *bias, float *y,
                      size_t y_stride)
{
    const int8_t *w = (const int8_t *)job->w->data +
                      panel * matrix_panel_bytes(WEIGHT_Q8_0, job->w->n_in);
    uint32_t n_blocks = (job->n_rows + Q8_ROWS_MAX - 1) / Q8_ROWS_MAX;
    for (uint32_t block = 0; block < n_blocks; block++) {
        uint32_t from, to;
        share_of(job->n_rows, block, n_blocks, &from, &to);
        struct look_ahead ahead = q8_look_ahead(w, job->w->n_in, block, n_blocks);
        q8_rows(job, w, to - from, from, ahead, bias, y + from * y_stride, y_stride);
    }
}

/* ---- f32 and f16 ---- */

INLINE void linear_float(const struct linear *job, enum weight_type type, uint32_t panel,
                         uint32_t n_panels, const float *bias, float *y, size_t y_stride)
{
    size_t n_in = job->w->n_in;
    struct strip s = {
        .x = job->x,
        .x_stride = job->x_stride,
        .w = (const char *)job->w->data + panel * matrix_panel_bytes(type, job->w->n_in),
        .k_step = PANEL,
        .group_step = n_in * PANEL,
        .n_k = job->w->n_in,
        .y = y,
        .y_stride = y_stride,
        .bias = bias,
    };
    strip_sheet(&s, type, job->n_rows, n_panels, &linear_shape);
}

static void linear_f32(const struct linear *job, uint32_t panel, uint32_t n_panels,
                       const float *bias, float *y, size_t y_stride)
{
    linear_float(job, WEIGHT_F32, panel, n_panels, bias, y, y_stride);
}

static void linear_f16(const struct linear *job, uint32_t panel, uint32_t n_panels,
                       const float *bias, float *y, size_t y_stride)
{
    linear_float(job, WEIGHT_F16, panel, n_panels, bias, y, y_stride);
}

/* Whole panels straight into y. */
static void linear_panels(const struct linear *job, uint32_t panel, uint32_t n_panels,
                          const float *bias, float *y, size_t y_stride)
{
    switch (job->w->type) {
    case WEIGHT_F32:
        linear_f32(job, panel, n_panels, bias, y, y_stride);
        break;
    case WEIGHT_F16:
        linear_f16(job, panel, n_panels, bias, y, y_stride);
        break;
    case WEIGHT_Q8_0:
        for (uint32_t i = 0; i < n_panels; i++)
            linear_q8(job, panel + i, bias ? bias + (size_t)i * PANEL : NULL, y + (size_t)i * PANEL,
                      y_stride);
        break;
    }
}

/* The last panel when n_out is no multiple of 16: through a small buffer, a few rows at a time. */
static void linear_rest(const struct linear *job, uint32_t panel)
{
    enum { ROWS = 16 };
    float lanes[ROWS * PANEL];
    float bias[PANEL] = {0};
    size_t o = (size_t)panel * PANEL;
    size_t n = job->w->n_out - o;
    if (job->bias)
        memcpy(bias, job->bias + o, n * sizeof(float));
    for (uint32_t from = 0; from < job->n_rows; from += ROWS) {
        struct linear part = *job;
        size_t first = from;
        part.n_rows = MIN(ROWS, job->n_rows - from);
        if (job->w->type == WEIGHT_Q8_0) {
            part.xq.q += first * job->w->n_in;
            part.xq.scale += first * (job->w->n_in / Q8_BLOCK);
            part.xq.offset += first * (job->w->n_in / Q8_BLOCK);
        } else {
            part.x += first * job->x_stride;
        }
        linear_panels(&part, panel, 1, job->bias ? bias : NULL, lanes, PANEL);
        for (size_t r = 0; r < part.n_rows; r++)
            memcpy(job->y + (first + r) * job->y_stride + o, lanes + r * PANEL, n * sizeof(float));
    }
}

static void simd_linear(const struct linear *job, uint32_t panel_from, uint32_t panel_to)
{
    uint32_t whole = MIN(panel_to, job->w->n_out / PANEL);
    size_t o = (size_t)panel_from * PANEL;
    if (panel_from < whole)
        linear_panels(job, panel_from, whole - panel_from, job->bias ? job->bias + o : NULL,
                      job->y + o, job->y_stride);
    if (panel_to > whole && panel_to > panel_from)
        linear_rest(job, whole);
}

#endif
#endif
