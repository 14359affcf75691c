/* vec16_avx2.h: vec16 is two registers. */
#ifndef KERNELS_VEC16_AVX2_H
#define KERNELS_VEC16_AVX2_H

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define VEC_FN static inline __attribute__((always_inline))
#define VEC16_SUMS 6
#define VEC16_WIDE_SUMS 4

typedef struct { __m256 a, b; } vec16;
typedef struct { __m256i a, b; } ivec16;
typedef struct { __m256i a, b; } q8vec; /* a: outputs 0-7, b: 8-15 */

VEC_FN vec16 vec_zero(void) { return (vec16){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
VEC_FN vec16 vec_set1(float x) { return (vec16){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
VEC_FN vec16 vec_load(const float *x)
{
    return (vec16){_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8)};
}
VEC_FN void vec_store(float *y, vec16 x)
{
    _mm256_storeu_ps(y, x.a);
    _mm256_storeu_ps(y + 8, x.b);
}
VEC_FN vec16 vec_add(vec16 x, vec16 y)
{
    return (vec16){_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
VEC_FN vec16 vec_sub(vec16 x, vec16 y)
{
    return (vec16){_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
VEC_FN vec16 vec_mul(vec16 x, vec16 y)
{
    return (vec16){_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
VEC_FN vec16 vec_div(vec16 x, vec16 y)
{
    return (vec16){_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
VEC_FN vec16 vec_fma(vec16 x, vec16 y, vec16 z)
{
    return (vec16){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
VEC_FN vec16 vec_max(vec16 x, vec16 y)
{
    return (vec16){_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
VEC_FN vec16 vec_abs(vec16 x)
{
    __m256 sign_bit = _mm256_set1_ps(-0.0f);
    return (vec16){_mm256_andnot_ps(sign_bit, x.a), _mm256_andnot_ps(sign_bit, x.b)};
}

VEC_FN vec16 vec_load_f16(const uint16_t *x)
{
    const __m128i *half = (const __m128i *)(const void *)x;
    return (vec16){_mm256_cvtph_ps(_mm_loadu_si128(half)),
                   _mm256_cvtph_ps(_mm_loadu_si128(half + 1))};
}

VEC_FN void vec_store_f16(uint16_t *y, vec16 x)
{
    __m128i *half = (__m128i *)(void *)y;
    _mm_storeu_si128(half, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(half + 1, _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}

VEC_FN vec16 vec_copysign(vec16 size, vec16 sign)
{
    __m256 bit = _mm256_set1_ps(-0.0f);
    vec16 plain = vec_abs(size);
    return (vec16){_mm256_or_ps(plain.a, _mm256_and_ps(bit, sign.a)),
                   _mm256_or_ps(plain.b, _mm256_and_ps(bit, sign.b))};
}

VEC_FN vec16 vec_if_less(vec16 x, vec16 y, vec16 yes, vec16 no)
{
    return (vec16){_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
                   _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ))};
}

VEC_FN __m256 add_exponent8(__m256 x, __m256 n)
{
    __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), exponent));
}

VEC_FN vec16 vec_add_exponent(vec16 x, vec16 n)
{
    return (vec16){add_exponent8(x.a, n.a), add_exponent8(x.b, n.b)};
}

VEC_FN float vec_sum(vec16 x)
{
    __m256 s8 = _mm256_add_ps(x.a, x.b);
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

VEC_FN float vec_largest(vec16 x)
{
    __m256 m8 = _mm256_max_ps(x.a, x.b);
    __m128 m4 = _mm_max_ps(_mm256_castps256_ps128(m8), _mm256_extractf128_ps(m8, 1));
    __m128 m2 = _mm_max_ps(m4, _mm_movehl_ps(m4, m4));
    return _mm_cvtss_f32(_mm_max_ss(m2, _mm_movehdup_ps(m2)));
}

/* Sums eight bytes at a time, made unsigned by 128 each. */
VEC_FN int32_t sum_i8(__m128i q)
{
    __m128i sums = _mm_sad_epu8(_mm_xor_si128(q, _mm_set1_epi8((char)0x80)), _mm_setzero_si128());
    return _mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4) - 16 * 128;
}

VEC_FN int32_t vec_store_i8(int8_t *y, vec16 x)
{
    __m256i pairs = _mm256_packs_epi32(_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b));
    pairs = _mm256_permute4x64_epi64(pairs, 0xD8); /* packs works in halves: a0 b0 a1 b1 */
    __m128i low = _mm256_castsi256_si128(pairs);
    __m128i high = _mm256_extracti128_si256(pairs, 1);
    __m128i q = _mm_packs_epi16(low, high);
    _mm_storeu_si128((__m128i *)(void *)y, q);
    return sum_i8(q);
}

VEC_FN q8vec q8_load(const int8_t *w)
{
    const __m256i *at = (const __m256i *)(const void *)w;
    return (q8vec){_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1)};
}

VEC_FN ivec16 ivec_start(int32_t offset)
{
    (void)offset;
    return (ivec16){_mm256_setzero_si256(), _mm256_setzero_si256()};
}

/* |w| unsigned times q with w's sign: pairs stay below 2 * 128 * 127, so nothing saturates. */
VEC_FN __m256i dot4x8(__m256i sum, __m256i w, __m256i q)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

VEC_FN ivec16 ivec_dot4(ivec16 sum, q8vec w, const int8_t *q)
{
    int32_t four;
    memcpy(&four, q, sizeof(four));
    __m256i all = _mm256_set1_epi32(four);
    return (ivec16){dot4x8(sum.a, w.a, all), dot4x8(sum.b, w.b, all)};
}

/* Sums of two products in int16: eight of them stay below 8 * 2 * 15 * 127. */
typedef ivec16 q4sum;

VEC_FN void q4_load(const uint8_t *w, q8vec *low, q8vec *high)
{
    const __m256i *at = (const __m256i *)(const void *)w;
    __m256i a = _mm256_loadu_si256(at), b = _mm256_loadu_si256(at + 1);
    __m256i mask = _mm256_set1_epi8(15);
    *low = (q8vec){_mm256_and_si256(a, mask), _mm256_and_si256(b, mask)};
    *high = (q8vec){_mm256_and_si256(_mm256_srli_epi16(a, 4), mask),
                    _mm256_and_si256(_mm256_srli_epi16(b, 4), mask)};
}

VEC_FN q4sum q4_start(int32_t offset) { return ivec_start(offset); }

VEC_FN q4sum q4_dot4(q4sum sum, q8vec w, const int8_t *q)
{
    int32_t four;
    memcpy(&four, q, sizeof(four));
    __m256i all = _mm256_set1_epi32(four);
    return (q4sum){_mm256_add_epi16(sum.a, _mm256_maddubs_epi16(w.a, all)),
                   _mm256_add_epi16(sum.b, _mm256_maddubs_epi16(w.b, all))};
}

VEC_FN ivec16 q4_total(q4sum sum, int32_t offset)
{
    __m256i one = _mm256_set1_epi16(1), shift = _mm256_set1_epi32(offset / 16);
    return (ivec16){_mm256_add_epi32(_mm256_madd_epi16(sum.a, one), shift),
                    _mm256_add_epi32(_mm256_madd_epi16(sum.b, one), shift)};
}

VEC_FN vec16 ivec_to_float(ivec16 x)
{
    return (vec16){_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)};
}

#endif
#endif
