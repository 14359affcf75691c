/* simd_rows.h: sums over one row (norms, softmax, largest entry): lane i holds the partial sum of
 * the entries with index i mod 16. A row's end is padded with entries that change nothing. */
#ifndef KERNELS_SIMD_ROWS_H
#define KERNELS_SIMD_ROWS_H

#include "kernels/simd_math.h"

#ifdef VEC16

static float simd_max(const float *x, size_t n)
{
    vec16 best = vec_set1(-INFINITY), others = best;
    size_t i = 0;
    for (; i + 64 <= n; i += 64) { /* two chains: one would wait for itself */
        best = vec_max(best, vec_max(vec_load(x + i), vec_load(x + i + 16)));
        others = vec_max(others, vec_max(vec_load(x + i + 32), vec_load(x + i + 48)));
    }
    best = vec_max(best, others);
    for (; i + 16 <= n; i += 16)
        best = vec_max(best, vec_load(x + i));
    if (i < n)
        best = vec_max(best, vec_load_part(x + i, n - i, -INFINITY));
    return vec_largest(best) + 0.0f;
}

/* Finds the largest value, then the first place that holds it. */
static size_t simd_argmax(const float *x, size_t n)
{
    float best = simd_max(x, n);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        int found = 0;
        for (size_t j = 0; j < 16; j++)
            found |= x[i + j] == best;
        if (found)
            break;
    }
    while (i + 1 < n && x[i] != best)
        i++;
    return i;
}

static float simd_sum_exp(const float *x, size_t n, float shift)
{
    vec16 sum = vec_zero();
    vec16 by = vec_set1(shift);
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        sum = vec_add(sum, vec_exp(vec_sub(vec_load(x + i), by)));
    if (i < n)
        sum = vec_add(sum, vec_exp(vec_sub(vec_load_part(x + i, n - i, -INFINITY), by)));
    return vec_sum(sum);
}

/* x = exp(x - most), most being the largest; 1 / their sum. */
INLINE float exp_row(float *x, size_t n, float most)
{
    vec16 shift = vec_set1(most);
    vec16 sum = vec_zero();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        vec16 e = vec_exp_not_above_0(vec_sub(vec_load(x + i), shift));
        sum = vec_add(sum, e);
        vec_store(x + i, e);
    }
    if (i < n) {
        vec16 e = vec_exp_not_above_0(vec_sub(vec_load_part(x + i, n - i, -INFINITY), shift));
        sum = vec_add(sum, e);
        vec_store_part(x + i, e, n - i);
    }
    return 1.0f / vec_sum(sum);
}

static void simd_softmax(float *x, size_t n)
{
    simd_scale(x, exp_row(x, n, simd_max(x, n)), n);
}

/* sum of (x - mean)^2; a pad entry equals the mean. */
INLINE float sum_of_squares(const float *x, size_t n, float mean)
{
    vec16 sum = vec_zero();
    vec16 by = vec_set1(mean);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        vec16 d = vec_sub(vec_load(x + i), by);
        sum = vec_fma(d, d, sum);
    }
    if (i < n) {
        vec16 d = vec_sub(vec_load_part(x + i, n - i, mean), by);
        sum = vec_fma(d, d, sum);
    }
    return vec_sum(sum);
}

static void simd_layer_norm(float *y, const float *x, const float *gain, const float *bias,
                            size_t n, float eps)
{
    vec16 sum = vec_zero();
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        sum = vec_add(sum, vec_load(x + i));
    if (i < n)
        sum = vec_add(sum, vec_load_part(x + i, n - i, 0.0f));
    float mean = vec_sum(sum) / (float)n;
    float r = 1.0f / sqrtf(sum_of_squares(x, n, mean) / (float)n + eps);
    for (i = 0; i < n; i++)
        y[i] = __builtin_fmaf((x[i] - mean) * r, gain[i], bias[i]);
}

static void simd_rms_norm(float *y, const float *x, const float *gain, size_t n, float eps)
{
    float r = 1.0f / sqrtf(sum_of_squares(x, n, 0.0f) / (float)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * r * gain[i];
}

static void simd_quantise(struct q8_rows to, const float *x, size_t n)
{
    for (size_t block = 0; block < n / Q8_BLOCK; block++) {
        vec16 low = vec_load(x + block * Q8_BLOCK);
        vec16 high = vec_load(x + block * Q8_BLOCK + 16);
        float largest = vec_largest(vec_max(vec_abs(low), vec_abs(high)));
        bool empty = largest < Q8_TINY;
        vec16 factor = vec_set1(empty ? 0.0f : 127.0f / largest);
        int8_t *q = to.q + block * Q8_BLOCK;
        int32_t sum = vec_store_i8(q, vec_mul(low, factor));
        sum += vec_store_i8(q + 16, vec_mul(high, factor));
        to.scale[block] = empty ? 0.0f : largest / 127.0f;
        to.offset[block] = -128 * sum;
    }
}

#endif
#endif
