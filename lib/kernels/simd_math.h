/* simd_math.h: exp and erf on 16 lanes, and element-wise functions. Same operations as the
 * reference. */
#ifndef KERNELS_SIMD_MATH_H
#define KERNELS_SIMD_MATH_H

#include "kernels/approx.h"
#include "kernels/vec16.h"

#ifdef VEC16
#include <math.h>

INLINE vec16 vec_horner(const float *poly, int n_terms, vec16 x)
{
    vec16 sum = vec_set1(poly[n_terms - 1]);
    for (int i = n_terms - 2; i >= 0; i--)
        sum = vec_fma(sum, x, vec_set1(poly[i]));
    return sum;
}

/* For x that is surely not above EXP_HIGHEST. */
INLINE vec16 vec_exp_not_above_0(vec16 x)
{
    vec16 magic = vec_set1(EXP_MAGIC);
    vec16 shifted = vec_fma(x, vec_set1(LOG2_E), magic);
    vec16 n = vec_sub(shifted, magic);
    vec16 r = vec_fma(n, vec_set1(-LN2_HIGH), x);
    r = vec_fma(n, vec_set1(-LN2_LOW), r);
    vec16 e = vec_fma(vec_horner(exp_poly, EXP_TERMS, r), vec_mul(r, r), r);
    e = vec_add_exponent(vec_add(e, vec_set1(1.0f)), shifted);
    return vec_if_less(x, vec_set1(EXP_LOWEST), vec_zero(), e);
}

INLINE vec16 vec_exp(vec16 x)
{
    vec16 e = vec_exp_not_above_0(x);
    return vec_if_less(vec_set1(EXP_HIGHEST), x, vec_set1(INFINITY), e);
}

INLINE vec16 vec_erf(vec16 x)
{
    vec16 a = vec_abs(x);
    vec16 small = vec_mul(x, vec_horner(erf_small_poly, ERF_TERMS, vec_mul(a, a)));
    vec16 exponent = vec_sub(vec_zero(), vec_horner(erf_large_poly, ERF_TERMS, a));
    vec16 tail = vec_if_less(a, vec_set1(ERF_ONE), vec_exp(exponent), vec_zero());
    vec16 large = vec_copysign(vec_sub(vec_set1(1.0f), tail), x);
    return vec_if_less(a, vec_set1(ERF_SPLIT), small, large);
}

INLINE vec16 vec_gelu(vec16 x)
{
    vec16 half = vec_mul(vec_set1(0.5f), x);
    vec16 erf_x = vec_erf(vec_mul(x, vec_set1(SQRT_HALF)));
    return vec_mul(half, vec_add(vec_set1(1.0f), erf_x));
}

INLINE vec16 vec_silu(vec16 x)
{
    vec16 below = vec_add(vec_set1(1.0f), vec_exp(vec_sub(vec_zero(), x)));
    return vec_div(x, below);
}

/* Defines name(y, x, n): y[i] = f(x[i]). */
#define SIMD_UNARY(name, f)                                                      \
    static void name(float *y, const float *x, size_t n)                         \
    {                                                                            \
        size_t i = 0;                                                            \
        for (; i + 16 <= n; i += 16)                                             \
            vec_store(y + i, f(vec_load(x + i)));                                \
        if (i < n)                                                               \
            vec_store_part(y + i, f(vec_load_part(x + i, n - i, 0.0f)), n - i);  \
    }

SIMD_UNARY(simd_exp, vec_exp)
SIMD_UNARY(simd_erf, vec_erf)
SIMD_UNARY(simd_gelu, vec_gelu)

static void simd_silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        vec_store(y + i, vec_mul(vec_silu(vec_load(gate + i)), vec_load(up + i)));
    if (i < n) {
        vec16 silu = vec_silu(vec_load_part(gate + i, n - i, 0.0f));
        vec_store_part(y + i, vec_mul(silu, vec_load_part(up + i, n - i, 0.0f)), n - i);
    }
}

/* One operation each, so the compiler may vectorise them as it likes: the bits cannot differ. */
static void simd_add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void simd_scale(float *y, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] *= factor;
}

static void simd_f16_from_f32(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        vec_store_f16(y + i, vec_load(x + i));
    if (i < n) {
        uint16_t lanes[16];
        vec_store_f16(lanes, vec_load_part(x + i, n - i, 0.0f));
        memcpy(y + i, lanes, (n - i) * sizeof(*y));
    }
}

static void simd_f32_from_f16(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        vec_store(y + i, vec_load_f16(x + i));
    if (i < n) {
        uint16_t lanes[16] = {0};
        memcpy(lanes, x + i, (n - i) * sizeof(*x));
        vec_store_part(y + i, vec_load_f16(lanes), n - i);
    }
}

static void simd_rope(float *x, const float *cos, const float *sin, size_t head_size)
{
    size_t half = head_size / 2;
    float *high = x + half;
    for (size_t i = 0; i < half; i++) {
        float a = x[i];
        float b = high[i];
        x[i] = __builtin_fmaf(a, cos[i], -(b * sin[i]));
        high[i] = __builtin_fmaf(b, cos[i], a * sin[i]);
    }
}

#endif
#endif
