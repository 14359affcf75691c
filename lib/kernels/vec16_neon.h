/* vec16_neon.h: vec16 is four registers. Plain Armv8-A, no extensions. */
#ifndef KERNELS_VEC16_NEON_H
#define KERNELS_VEC16_NEON_H

#if defined(__aarch64__)
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define VEC_FN static inline __attribute__((always_inline))
#define VEC16_SUMS 6
#define VEC16_WIDE_SUMS 4

typedef struct { float32x4_t v[4]; } vec16;
typedef struct { int32x4_t v[4]; } ivec16;
typedef struct { int8x16_t v[4]; } q8vec; /* v[i]: outputs 4i .. 4i+3 */

#define VEC_EACH(i) for (int i = 0; i < 4; i++)

#define VEC_BINARY(name, instruction)          \
    VEC_FN vec16 name(vec16 x, vec16 y)        \
    {                                          \
        VEC_EACH(i)                            \
        x.v[i] = instruction(x.v[i], y.v[i]);  \
        return x;                              \
    }

VEC_BINARY(vec_add, vaddq_f32)
VEC_BINARY(vec_sub, vsubq_f32)
VEC_BINARY(vec_mul, vmulq_f32)
VEC_BINARY(vec_div, vdivq_f32)
VEC_BINARY(vec_max, vmaxq_f32)

VEC_FN vec16 vec_set1(float x)
{
    vec16 y;
    VEC_EACH(i)
    y.v[i] = vdupq_n_f32(x);
    return y;
}

VEC_FN vec16 vec_zero(void) { return vec_set1(0.0f); }

VEC_FN vec16 vec_load(const float *x)
{
    vec16 y;
    VEC_EACH(i)
    y.v[i] = vld1q_f32(x + 4 * i);
    return y;
}

VEC_FN void vec_store(float *y, vec16 x)
{
    VEC_EACH(i)
    vst1q_f32(y + 4 * i, x.v[i]);
}

VEC_FN vec16 vec_fma(vec16 x, vec16 y, vec16 z)
{
    VEC_EACH(i)
    z.v[i] = vfmaq_f32(z.v[i], x.v[i], y.v[i]);
    return z;
}

VEC_FN vec16 vec_abs(vec16 x)
{
    VEC_EACH(i)
    x.v[i] = vabsq_f32(x.v[i]);
    return x;
}

VEC_FN vec16 vec_load_f16(const uint16_t *x)
{
    vec16 y;
    VEC_EACH(i)
    y.v[i] = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x + 4 * i)));
    return y;
}

VEC_FN void vec_store_f16(uint16_t *y, vec16 x)
{
    VEC_EACH(i)
    vst1_u16(y + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.v[i])));
}

VEC_FN vec16 vec_copysign(vec16 size, vec16 sign)
{
    VEC_EACH(i)
    size.v[i] = vbslq_f32(vdupq_n_u32(0x80000000), sign.v[i], size.v[i]);
    return size;
}

VEC_FN vec16 vec_if_less(vec16 x, vec16 y, vec16 yes, vec16 no)
{
    VEC_EACH(i)
    yes.v[i] = vbslq_f32(vcltq_f32(x.v[i], y.v[i]), yes.v[i], no.v[i]);
    return yes;
}

VEC_FN vec16 vec_add_exponent(vec16 x, vec16 n)
{
    VEC_EACH(i)
    {
        int32x4_t exponent = vshlq_n_s32(vreinterpretq_s32_f32(n.v[i]), 23);
        x.v[i] = vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(x.v[i]), exponent));
    }
    return x;
}

VEC_FN float vec_sum(vec16 x)
{
    float32x4_t low = vaddq_f32(x.v[0], x.v[2]);
    float32x4_t s4 = vaddq_f32(low, vaddq_f32(x.v[1], x.v[3]));
    float32x2_t s2 = vadd_f32(vget_low_f32(s4), vget_high_f32(s4));
    return vget_lane_f32(s2, 0) + vget_lane_f32(s2, 1);
}

VEC_FN float vec_largest(vec16 x)
{
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.v[0], x.v[1]), vmaxq_f32(x.v[2], x.v[3])));
}

VEC_FN int32_t vec_store_i8(int8_t *y, vec16 x)
{
    int16x4_t part[4];
    VEC_EACH(i)
    part[i] = vmovn_s32(vcvtnq_s32_f32(x.v[i]));
    int8x8_t low = vmovn_s16(vcombine_s16(part[0], part[1]));
    int8x16_t q = vcombine_s8(low, vmovn_s16(vcombine_s16(part[2], part[3])));
    vst1q_s8(y, q);
    return vaddlvq_s8(q);
}

VEC_FN q8vec q8_load(const int8_t *w)
{
    q8vec y;
    VEC_EACH(i)
    y.v[i] = vld1q_s8(w + 16 * i);
    return y;
}

VEC_FN ivec16 ivec_start(int32_t offset)
{
    (void)offset;
    ivec16 y;
    VEC_EACH(i)
    y.v[i] = vdupq_n_s32(0);
    return y;
}

VEC_FN ivec16 ivec_dot4(ivec16 sum, q8vec w, const int8_t *q)
{
    int32_t four;
    memcpy(&four, q, sizeof(four));
    int8x16_t all = vreinterpretq_s8_s32(vdupq_n_s32(four));
    VEC_EACH(i)
    {
        int16x8_t low = vmull_s8(vget_low_s8(w.v[i]), vget_low_s8(all));
        int16x8_t high = vmull_s8(vget_high_s8(w.v[i]), vget_high_s8(all));
        sum.v[i] = vaddq_s32(sum.v[i], vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
    }
    return sum;
}

/* One int16 for each output and each of four k: eight products stay below 8 * 15 * 127. */
typedef struct { int16x8_t low[4], high[4]; } q4sum;

VEC_FN void q4_load(const uint8_t *w, q8vec *low, q8vec *high)
{
    VEC_EACH(i)
    {
        uint8x16_t both = vld1q_u8(w + 16 * i);
        low->v[i] = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
        high->v[i] = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
    }
}

VEC_FN q4sum q4_start(int32_t offset)
{
    (void)offset;
    q4sum y;
    VEC_EACH(i)
    y.low[i] = y.high[i] = vdupq_n_s16(0);
    return y;
}

VEC_FN q4sum q4_dot4(q4sum sum, q8vec w, const int8_t *q)
{
    int32_t four;
    memcpy(&four, q, sizeof(four));
    int8x8_t all = vreinterpret_s8_s32(vdup_n_s32(four));
    VEC_EACH(i)
    {
        sum.low[i] = vmlal_s8(sum.low[i], vget_low_s8(w.v[i]), all);
        sum.high[i] = vmlal_s8(sum.high[i], vget_high_s8(w.v[i]), all);
    }
    return sum;
}

VEC_FN ivec16 q4_total(q4sum sum, int32_t offset)
{
    ivec16 y;
    VEC_EACH(i)
    {
        int32x4_t pairs = vpaddq_s32(vpaddlq_s16(sum.low[i]), vpaddlq_s16(sum.high[i]));
        y.v[i] = vaddq_s32(pairs, vdupq_n_s32(offset / 16));
    }
    return y;
}

VEC_FN vec16 ivec_to_float(ivec16 x)
{
    vec16 y;
    VEC_EACH(i)
    y.v[i] = vcvtq_f32_s32(x.v[i]);
    return y;
}

#endif
#endif
