/* vec16.h: 16 float lanes, as this file's compiler flags allow: one register of AVX-512, two of
 * AVX2, four of NEON. The simd_*.h headers are written once over these types and included by
 * kernels_avx2.c, kernels_avx512.c and kernels_neon.c. Without one of those instruction sets
 * VEC16 stays undefined and the simd_*.h headers are empty.
 *
 * A vec16_X.h defines, all as static inline functions:
 *   vec_zero vec_set1 vec_load vec_store                 unaligned
 *   vec_load_f16 vec_store_f16                           16 half-precision numbers
 *   vec_add vec_sub vec_mul vec_div vec_fma(a,b,c)=a*b+c
 *   vec_max (no NaN; either zero) vec_abs vec_copysign(size, sign) vec_if_less(a, b, yes, no)
 *   vec_add_exponent(x, n)     adds the low 9 bits of the bits of n to the exponent field of x
 *   vec_sum vec_largest        all lanes, the sum in the fixed tree (8, 4, 2, 1)
 *   vec_store_i8               rounds to nearest even, to int8, within -127..127; the sum of the 16
 * and for q8_0 the types ivec16 (int32 lanes) and q8vec (16 outputs by 4 weights):
 *   q8_load ivec_start ivec_dot4 ivec_to_float; ivec_start takes the block's offset (-128 * sum
 *   of q), which only sets with unsigned weights use.
 * and for q4_0 the type q4sum, 16 sums over one block of unsigned weights (0 .. 15):
 *   q4_load (64 bytes: the first four k in the low halves, the next four in the high ones)
 *   q4_start q4_dot4 q4_total (an ivec16, the offset's sixteenth taken in)
 * VEC16_SUMS is how many vec16 sums a register block keeps, VEC16_WIDE_SUMS how many when it is
 * more than one vec16 wide (weights take more registers then).
 */
#ifndef KERNELS_VEC16_H
#define KERNELS_VEC16_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

#if defined(__AVX512VNNI__)
#include "kernels/vec16_avx512.h"
#define VEC16 1
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include "kernels/vec16_avx2.h"
#define VEC16 1
#elif defined(__aarch64__)
#include "kernels/vec16_neon.h"
#define VEC16 1
#endif

#ifdef VEC16
/* The first n lanes (n < 16); the others are `rest`. */
INLINE vec16 vec_load_part(const float *x, size_t n, float rest)
{
    float lanes[16];
    for (size_t i = 0; i < 16; i++)
        lanes[i] = rest;
    memcpy(lanes, x, n * sizeof(*x));
    return vec_load(lanes);
}

INLINE void vec_store_part(float *y, vec16 x, size_t n)
{
    float lanes[16];
    vec_store(lanes, x);
    memcpy(y, lanes, n * sizeof(*y));
}
#endif

#endif
