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

static void simd_screen_pack(uint8_t *to, const uint16_t *panel, const float *factor, uint32_t n_in,
                             float loss[PANEL], float size[PANEL])
{
    vec16 zero = vec_zero(), magic = vec_set1(EXP_MAGIC), lost = zero, kept = zero;
    uint16_t *scales = (uint16_t *)(void *)(to + (size_t)n_in * PANEL);
    for (size_t k = 0; k < n_in; k += Q8_BLOCK) {
        vec16 largest = zero, x[4];
        for (size_t i = k; i < k + Q8_BLOCK; i++)
            largest = vec_max(largest, vec_abs(vec_mul(vec_load_f16(panel + i * PANEL),
                                                       vec_set1(factor[i]))));
        uint16_t *half = scales + k / Q8_BLOCK * PANEL;
        vec_store_f16(half, vec_fma(largest, vec_set1(SCREEN_SCALE),
                                    vec_set1(SCREEN_SCALE_LEAST)));
        vec16 scale = vec_load_f16(half);
        vec16 inverse = vec_if_less(zero, scale, vec_div(vec_set1(1.0f), scale), zero);
        for (size_t i = k; i < k + Q8_BLOCK; i += 4) {
            int8_t q[4][PANEL];
            for (size_t j = 0; j < 4; j++) {
                x[j] = vec_mul(vec_load_f16(panel + (i + j) * PANEL), vec_set1(factor[i + j]));
                vec16 rounded = vec_sub(vec_add(vec_mul(x[j], inverse), magic), magic);
                vec16 became = vec_mul(rounded, scale);
                vec16 d = vec_sub(x[j], became);
                (void)vec_store_i8(q[j], rounded);
                lost = vec_fma(d, d, lost);
                kept = vec_fma(became, became, kept);
            }
            interleave(to + i * PANEL, q);
        }
    }
    vec_store(loss, lost);
    vec_store(size, kept);
}

static float simd_screen_second(const struct screened *job)
{
    vec16 never = vec_set1(-INFINITY), always = vec_set1(INFINITY), best = never, second = never;
    vec16 by_loss = vec_set1(job->by_loss), by_size = vec_set1(job->by_size);
    for (uint32_t from = 0; from < job->n_panels; from += SCREEN_GROUP) {
        uint32_t to = MIN(from + SCREEN_GROUP, job->n_panels);
        vec16 highest = never, lowest = never;
        for (size_t at = (size_t)from * PANEL; at < (size_t)to * PANEL; at += PANEL) {
            vec16 bound = vec_add(vec_mul(by_loss, vec_load(job->loss + at)),
                                  vec_mul(by_size, vec_load(job->size + at)));
            vec16 x = vec_load(job->row + at), low = vec_sub(x, bound), high = vec_add(x, bound);
            /* what is not a number is below no number */
            highest = vec_if_less(high, highest, highest, vec_if_less(high, always, high, always));
            low = vec_if_less(never, low, low, never);
            second = vec_max(second, vec_if_less(best, low, best, low));
            best = vec_max(best, low);
            lowest = vec_max(lowest, low);
        }
        job->low[from / SCREEN_GROUP] = vec_largest(lowest);
        job->high[from / SCREEN_GROUP] = vec_largest(highest);
    }
    float lanes[2 * PANEL], most = -INFINITY, next = -INFINITY;
    vec_store(lanes, best);
    vec_store(lanes + PANEL, second);
    for (size_t i = 0; i < 2 * PANEL; i++) {
        next = lanes[i] > most ? most : lanes[i] > next ? lanes[i] : next;
        most = lanes[i] > most ? lanes[i] : most;
    }
    return next + 0.0f;
}

#endif
#endif
