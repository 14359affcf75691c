/* vec16_avx512.h: vec16 is one register; q8 products by VNNI on weights made unsigned (w + 128). */
#ifndef KERNELS_VEC16_AVX512_H
#define KERNELS_VEC16_AVX512_H

#if defined(__AVX512VNNI__)
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define VEC_FN static inline __attribute__((always_inline))
#define VEC16_SUMS 24
#define VEC16_WIDE_SUMS 24

typedef __m512 vec16;
typedef __m512i ivec16;
typedef __m512i q8vec;

VEC_FN vec16 vec_zero(void) { return _mm512_setzero_ps(); }
VEC_FN vec16 vec_set1(float x) { return _mm512_set1_ps(x); }
VEC_FN vec16 vec_load(const float *x) { return _mm512_loadu_ps(x); }
VEC_FN void vec_store(float *y, vec16 x) { _mm512_storeu_ps(y, x); }
VEC_FN vec16 vec_add(vec16 a, vec16 b) { return _mm512_add_ps(a, b); }
VEC_FN vec16 vec_sub(vec16 a, vec16 b) { return _mm512_sub_ps(a, b); }
VEC_FN vec16 vec_mul(vec16 a, vec16 b) { return _mm512_mul_ps(a, b); }
VEC_FN vec16 vec_div(vec16 a, vec16 b) { return _mm512_div_ps(a, b); }
VEC_FN vec16 vec_fma(vec16 a, vec16 b, vec16 c) { return _mm512_fmadd_ps(a, b, c); }
VEC_FN vec16 vec_max(vec16 a, vec16 b) { return _mm512_max_ps(a, b); }
VEC_FN vec16 vec_abs(vec16 x) { return _mm512_abs_ps(x); }

VEC_FN vec16 vec_load_f16(const uint16_t *x)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)x));
}

VEC_FN void vec_store_f16(uint16_t *y, vec16 x)
{
    __m256i half = _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm256_storeu_si256((__m256i *)(void *)y, half);
}

VEC_FN vec16 vec_copysign(vec16 size, vec16 sign)
{
    vec16 sign_bit = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(sign_bit, size), _mm512_and_ps(sign_bit, sign));
}

VEC_FN vec16 vec_if_less(vec16 a, vec16 b, vec16 yes, vec16 no)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}

VEC_FN vec16 vec_add_exponent(vec16 x, vec16 n)
{
    __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(n), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x), exponent));
}

VEC_FN float vec_sum(vec16 x)
{
    __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

/* Sums eight bytes at a time, made unsigned by 128 each. */
VEC_FN int32_t sum_i8(__m128i q)
{
    __m128i sums = _mm_sad_epu8(_mm_xor_si128(q, _mm_set1_epi8((char)0x80)), _mm_setzero_si128());
    return _mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4) - 16 * 128;
}

VEC_FN float vec_largest(vec16 x) { return _mm512_reduce_max_ps(x); }

VEC_FN int32_t vec_store_i8(int8_t *y, vec16 x)
{
    __m128i q = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x));
    _mm_storeu_si128((__m128i *)(void *)y, q);
    return sum_i8(q);
}

VEC_FN q8vec q8_load(const int8_t *w)
{
    return _mm512_xor_si512(_mm512_loadu_si512(w), _mm512_set1_epi8((char)0x80));
}

VEC_FN ivec16 ivec_start(int32_t offset) { return _mm512_set1_epi32(offset); }

VEC_FN ivec16 ivec_dot4(ivec16 sum, q8vec w, const int8_t *q)
{
    int32_t four;
    memcpy(&four, q, sizeof(four));
    return _mm512_dpbusd_epi32(sum, w, _mm512_set1_epi32(four));
}

typedef ivec16 q4sum;

VEC_FN void q4_load(const uint8_t *w, q8vec *low, q8vec *high)
{
    __m512i both = _mm512_loadu_si512(w), mask = _mm512_set1_epi8(15);
    *low = _mm512_and_si512(both, mask);
    *high = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
}

VEC_FN q4sum q4_start(int32_t offset) { return _mm512_set1_epi32(offset / 16); }
VEC_FN q4sum q4_dot4(q4sum sum, q8vec w, const int8_t *q) { return ivec_dot4(sum, w, q); }

VEC_FN ivec16 q4_total(q4sum sum, int32_t offset)
{
    (void)offset;
    return sum;
}

VEC_FN vec16 ivec_to_float(ivec16 x) { return _mm512_cvtepi32_ps(x); }

#endif
#endif
