/* half.c: IEEE 754 half precision in integer arithmetic, with the bits that F16C and NEON give. */
#include <string.h>

#include "kernels/matrix.h"

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

uint16_t f16_from_f32(float x)
{
    uint32_t bits = bits_of(x);
    uint32_t sign = bits >> 16 & 0x8000;
    uint32_t size = bits & 0x7FFFFFFF;
    uint32_t half;
    if (size > 0x7F800000) /* not a number: made quiet, upper payload bits kept */
        half = 0x7E00 | (size >> 13 & 0x3FF);
    else if (size >= 0x477FF000) /* 65,520 and above round to infinity */
        half = 0x7C00;
    else if (size < 0x38800000) /* below 2^-14: 0.5 has the half's denormal step as its last bit */
        half = bits_of(float_of(size) + 0.5f) - bits_of(0.5f);
    else /* rebias the exponent by 127 - 15, round to nearest even at bit 13 */
        half = (size - (112u << 23) + 0xFFF + (size >> 13 & 1)) >> 13;
    return (uint16_t)(sign | half);
}

float f32_from_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 0x1F;
    uint32_t fraction = half & 0x3FF;
    if (exponent == 0)
        return float_of(sign | bits_of((float)fraction * 0x1p-24f));
    if (exponent == 31)
        return float_of(sign | 0x7F800000 | fraction << 13 | (fraction ? 0x400000 : 0));
    return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}
