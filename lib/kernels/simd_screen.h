/* simd_screen.h: outputs picked out of a matrix, and what picks them (screen.h). */
#ifndef KERNELS_SIMD_SCREEN_H
#define KERNELS_SIMD_SCREEN_H

#include "kernels/kernels.h"
#include "kernels/simd_math.h"

#ifdef VEC16

/* Panels of one product: as many chains of additions as hide the latency of one. */
enum { SOME_PANELS = 4 };

/* The first `n` (a constant) of the listed panels, while the next ones are asked for. */
INLINE void some_panels(const struct matrix *w, const float *x, const uint16_t *panels, const int n,
                        const uint16_t *next, uint32_t n_next, float *y)
{
    size_t n_in = w->n_in, step = n_in * PANEL;
    const uint16_t *from[SOME_PANELS], *ahead[SOME_PANELS];
    vec16 sum[SOME_PANELS];
    for (int i = 0; i < n; i++) {
        from[i] = (const uint16_t *)w->data + panels[i] * step;
        ahead[i] = (const uint16_t *)w->data + next[(uint32_t)i < n_next ? i : 0] * step;
        sum[i] = vec_zero();
    }
    for (size_t k = 0; k < n_in; k++) {
        vec16 by = vec_set1(x[k]);
        for (int i = 0; i < n; i++) {
            if (k % 2 == 0) /* a line holds two k */
                __builtin_prefetch(ahead[i] + k * PANEL, 0, 2);
            sum[i] = vec_fma(by, vec_load_f16(from[i] + k * PANEL), sum[i]);
        }
    }
    for (int i = 0; i < n; i++)
        vec_store(y + panels[i] * (size_t)PANEL, sum[i]);
}

static void simd_linear_some(const struct matrix *w, const float *x, const uint16_t *panels,
                             uint32_t n_panels, float *y)
{
    uint32_t i = 0;
    for (; i + SOME_PANELS <= n_panels; i += SOME_PANELS) {
        uint32_t left = n_panels - i - SOME_PANELS;
        some_panels(w, x, panels + i, SOME_PANELS, left ? panels + i + SOME_PANELS : panels, left,
                    y);
    }
    for (; i < n_panels; i++)
        some_panels(w, x, panels + i, 1, panels + i, 0, y);
}

/* Bytes [4][16] of four k to [16][4]. */
INLINE void interleave(uint8_t *to, const int8_t from[4][PANEL])
{
    for (size_t lane = 0; lane < PANEL; lane++)
        for (size_t i = 0; i < 4; i++)
            to[lane * 4 + i] = (uint8_t)from[i][lane];
}

/* A block of 16 lanes: weights, then whole numbers. */
struct screen_block {
    vec16 x[Q8_BLOCK];
};

INLINE vec16 screen_round(vec16 x, vec16 inverse, enum weight_type type)
{
    vec16 magic = vec_set1(EXP_MAGIC), low = vec_set1(-8.0f), high = vec_set1(7.0f);
    vec16 q = vec_sub(vec_add(vec_mul(x, inverse), magic), magic);
    if (type == WEIGHT_Q8_0)
        return q;
    q = vec_if_less(low, q, q, low);
    return vec_if_less(q, high, q, high);
}

INLINE vec16 screen_inverse(vec16 scale)
{
    vec16 zero = vec_zero();
    return vec_if_less(zero, vec_abs(scale), vec_div(vec_set1(1.0f), scale), zero);
}

INLINE void screen_scale_8(const struct screen_block *b, uint16_t *half)
{
    vec16 largest = vec_zero();
    for (size_t i = 0; i < Q8_BLOCK; i++)
        largest = vec_max(largest, vec_abs(b->x[i]));
    vec_store_f16(half, vec_fma(largest, vec_set1(SCREEN_SCALE), vec_set1(SCREEN_SCALE_LEAST)));
}

INLINE void screen_scale_4(const struct screen_block *b, uint16_t *half)
{
    static const float tries[SCREEN_N_TRIES] = SCREEN_TRIES;
    vec16 largest = vec_zero(), least = vec_set1(INFINITY), best = vec_zero();
    for (size_t i = 0; i < Q8_BLOCK; i++)
        largest = vec_if_less(vec_abs(largest), vec_abs(b->x[i]), b->x[i], largest);
    for (size_t t = 0; t < SCREEN_N_TRIES; t++) {
        vec_store_f16(half, vec_mul(largest, vec_set1(tries[t])));
        vec16 scale = vec_load_f16(half), inverse = screen_inverse(scale), error = vec_zero();
        for (size_t i = 0; i < Q8_BLOCK; i++) {
            vec16 q = screen_round(b->x[i], inverse, WEIGHT_Q4_0);
            vec16 lost = vec_sub(b->x[i], vec_mul(q, scale));
            error = vec_fma(lost, lost, error);
        }
        best = vec_if_less(error, least, scale, best);
        least = vec_if_less(error, least, error, least);
    }
    vec_store_f16(half, best);
}

/* Four k of a block, or eight where two share a byte. */
INLINE void screen_store(uint8_t *to, const vec16 *q, enum weight_type type)
{
    int8_t bytes[8][PANEL];
    vec16 eight = vec_set1(8.0f);
    for (size_t i = 0; i < (type == WEIGHT_Q8_0 ? 4 : 8); i++)
        (void)vec_store_i8(bytes[i], type == WEIGHT_Q8_0 ? q[i] : vec_add(q[i], eight));
    for (size_t i = 0; type == WEIGHT_Q4_0 && i < 4; i++)
        for (size_t lane = 0; lane < PANEL; lane++)
            bytes[i][lane] = (int8_t)(bytes[i][lane] | bytes[i + 4][lane] << 4);
    interleave(to, (const int8_t(*)[PANEL])bytes);
}

/* One panel; type is a constant. */
INLINE void screen_pack_as(enum weight_type type, uint8_t *to, const uint16_t *from,
                           const float *factor, size_t n_in, float norms[2][PANEL])
{
    size_t block_bytes = matrix_block_bytes(type), step = type == WEIGHT_Q8_0 ? 4 : 8;
    vec16 lost = vec_zero(), kept = vec_zero();
    uint16_t *half = (uint16_t *)(void *)(to + n_in / Q8_BLOCK * block_bytes);
    for (size_t k = 0; k < n_in; k += Q8_BLOCK, to += block_bytes, half += PANEL) {
        struct screen_block b;
        for (size_t i = 0; i < Q8_BLOCK; i++)
            b.x[i] = vec_mul(vec_load_f16(from + (k + i) * PANEL), vec_set1(factor[k + i]));
        if (type == WEIGHT_Q8_0)
            screen_scale_8(&b, half);
        else
            screen_scale_4(&b, half);
        vec16 scale = vec_load_f16(half), inverse = screen_inverse(scale);
        for (size_t i = 0; i < Q8_BLOCK; i++) {
            vec16 q = screen_round(b.x[i], inverse, type), became = vec_mul(q, scale);
            vec16 d = vec_sub(b.x[i], became);
            lost = vec_fma(d, d, lost);
            kept = vec_fma(became, became, kept);
            b.x[i] = q;
        }
        for (size_t i = 0; i < Q8_BLOCK; i += step)
            screen_store(to + i / step * 4 * PANEL, b.x + i, type);
    }
    vec_store(norms[0], lost);
    vec_store(norms[1], kept);
}

static void simd_screen_pack(const struct matrix *copy, const struct matrix *full, uint32_t panel,
                             const float *factor, float norms[2][PANEL])
{
    size_t n_in = full->n_in;
    const uint16_t *from = (const uint16_t *)full->data + panel * n_in * PANEL;
    uint8_t *to = (uint8_t *)copy->data + panel * matrix_panel_bytes(copy->type, copy->n_in);
    if (copy->type == WEIGHT_Q8_0)
        screen_pack_as(WEIGHT_Q8_0, to, from, factor, n_in, norms);
    else
        screen_pack_as(WEIGHT_Q4_0, to, from, factor, n_in, norms);
}

static float simd_screen_panel(const struct screened *job, uint32_t panel, float *high)
{
    size_t at = (size_t)panel * PANEL;
    vec16 x = vec_load(job->row + at);
    vec16 bound = vec_add(vec_mul(vec_set1(job->by_loss), vec_load(job->loss + at)),
                          vec_mul(vec_set1(job->by_size), vec_load(job->size + at)));
    *high = vec_largest(vec_add(x, bound)) + 0.0f;
    return vec_largest(vec_sub(x, bound)) + 0.0f;
}

#endif
#endif
