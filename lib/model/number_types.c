#include "model/number_types.h"

#include <math.h>
#include <string.h>

/* Loops over blocks become vectors only when a comparison may be made for lanes that do not need
 * it. No value changes by that. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-trapping-math")
#endif

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* Subnormal halves are m * 2^-24, which float32 holds exactly. */
float f16_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t exponent = (bits >> 10) & 0x1Fu;
    uint32_t mantissa = bits & 0x3FFu;
    if (exponent == 0x1F)
        return float_of(sign | 0x7F800000u | mantissa << 13);
    if (exponent == 0)
        return float_of(sign | bits_of((float)mantissa * 0x1p-24f));
    return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
}

/* Normal results: add half of the last kept bit (less one when that bit is even) and cut; a carry
 * into the exponent is the right rounding. Subnormal results: the float adder rounds when 0.5 is
 * added. */
uint16_t f32_to_f16(float value)
{
    uint32_t bits = bits_of(value);
    uint32_t sign = bits >> 16 & 0x8000u;
    bits &= 0x7FFFFFFFu;
    if (bits > 0x7F800000u)
        return (uint16_t)(sign | 0x7E00u);
    if (bits >= 0x477FF000u) /* 65520 and up round to infinity */
        return (uint16_t)(sign | 0x7C00u);
    if (bits < 0x38800000u) { /* below 2^-14 */
        uint32_t rounded = bits_of(float_of(bits) + 0.5f) - bits_of(0.5f);
        return (uint16_t)(sign | rounded);
    }
    bits += 0xFFFu + (bits >> 13 & 1u);
    return (uint16_t)(sign | ((bits >> 13) - (112u << 10)));
}

float bf16_to_f32(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}

uint64_t tensor_type_bytes(enum tensor_type type, uint64_t n)
{
    switch (type) {
    case TENSOR_F32:
        return n * 4;
    case TENSOR_F16:
        return n * 2;
    case TENSOR_Q8_0:
        return n / QBLOCK * Q8_BLOCK_BYTES;
    case TENSOR_Q4_0:
        return n / QBLOCK * Q4_BLOCK_BYTES;
    }
    SA_ASSERT(!"tensor type");
    return 0;
}

const char *tensor_type_name(enum tensor_type type)
{
    static const char *const names[] = {"f32", "f16", "q8_0", "q4_0"};
    SA_ASSERT((unsigned)type < ARRAY_LEN(names));
    return names[type];
}

static uint16_t load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

/* As f16_to_f32, without branches: the exponent's bias is made up by a product, which is exact and
 * makes a subnormal half a normal float. */
static void decode_f16(const uint8_t *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, src + 2 * i, sizeof(half));
        uint32_t magnitude = (uint32_t)(half & 0x7FFFu) << 13;
        uint32_t bits = bits_of(float_of(magnitude) * 0x1p112f);
        bits = magnitude >= 0x0F800000u ? magnitude | 0x7F800000u : bits;
        dst[i] = float_of(bits | (uint32_t)(half & 0x8000u) << 16);
    }
}

static void decode_q8_0(const uint8_t *src, float *dst, size_t n)
{
    for (size_t block = 0; block < n / QBLOCK; block++, src += Q8_BLOCK_BYTES) {
        float scale = f16_to_f32(load_u16(src));
        for (int i = 0; i < QBLOCK; i++)
            *dst++ = scale * (float)(int8_t)src[2 + i];
    }
}

/* Nearest integer, halves to even, for |x| below 2^22: adding 1.5 * 2^23 leaves no bits for a
 * fraction. No call and no branch, so that a block is a few vector instructions. */
static float nearest(float x)
{
    return x + 0x1.8p23f - 0x1.8p23f;
}

/* What is no number becomes `low`. */
static float clamped(float x, float low, float high)
{
    x = x > low ? x : low;
    return x < high ? x : high;
}

static void encode_q8_0(const float *src, uint8_t *dst, size_t n)
{
    for (size_t block = 0; block < n / QBLOCK; block++, src += QBLOCK, dst += Q8_BLOCK_BYTES) {
        float absmax = 0, q[QBLOCK] = {0};
        for (int i = 0; i < QBLOCK; i++)
            absmax = fabsf(src[i]) > absmax ? fabsf(src[i]) : absmax;
        uint16_t stored = f32_to_f16(absmax / 127.0f);
        float scale = f16_to_f32(stored);
        memcpy(dst, &stored, sizeof(stored));
        for (int i = 0; scale > 0 && i < QBLOCK; i++)
            q[i] = nearest(clamped(src[i] / scale, -127.0f, 127.0f));
        for (int i = 0; i < QBLOCK; i++)
            dst[2 + i] = (uint8_t)(int8_t)q[i];
    }
}

static void decode_q4_0(const uint8_t *src, float *dst, size_t n)
{
    for (size_t block = 0; block < n / QBLOCK; block++, src += Q4_BLOCK_BYTES, dst += QBLOCK) {
        float scale = f16_to_f32(load_u16(src));
        for (int i = 0; i < QBLOCK / 2; i++) {
            dst[i] = scale * (float)((src[2 + i] & 15) - 8);
            dst[i + QBLOCK / 2] = scale * (float)((src[2 + i] >> 4) - 8);
        }
    }
}

/* What the entry of largest magnitude may become: a little beyond the ends as well as inside. */
static const float q4_divisors[] = {-8.0f, -7.5f, -7.0f, -8.5f, 7.0f, 6.5f, 7.5f, -6.0f};

static void q4_round(const float *x, float scale, float *q)
{
    for (int i = 0; i < QBLOCK; i++)
        q[i] = nearest(clamped(x[i] / scale, -8.0f, 7.0f));
}

static float q4_error(const float *x, float scale)
{
    float q[QBLOCK] = {0}, part[8] = {0};
    if (scale != 0)
        q4_round(x, scale, q);
    for (int i = 0; i < QBLOCK; i++)
        q[i] = (x[i] - scale * q[i]) * (x[i] - scale * q[i]);
    for (int i = 0; i < QBLOCK; i += 8)
        for (int k = 0; k < 8; k++)
            part[k] += q[i + k];
    return part[0] + part[1] + part[2] + part[3] + part[4] + part[5] + part[6] + part[7];
}

static void encode_q4_0(const float *src, uint8_t *dst, size_t n)
{
    for (size_t block = 0; block < n / QBLOCK; block++, src += QBLOCK, dst += Q4_BLOCK_BYTES) {
        float largest = 0, best = INFINITY, scale = 0;
        for (int i = 0; i < QBLOCK; i++)
            largest = fabsf(src[i]) > fabsf(largest) ? src[i] : largest;
        uint16_t stored = 0;
        for (size_t c = 0; c < ARRAY_LEN(q4_divisors); c++) {
            uint16_t bits = f32_to_f16(largest / q4_divisors[c]);
            float error = q4_error(src, f16_to_f32(bits));
            if (error < best) {
                best = error;
                stored = bits;
            }
        }
        scale = f16_to_f32(stored);
        memcpy(dst, &stored, sizeof(stored));
        float q[QBLOCK] = {0};
        if (scale != 0)
            q4_round(src, scale, q);
        for (int i = 0; i < QBLOCK / 2; i++)
            dst[2 + i] = (uint8_t)(((int)q[i] + 8) | ((int)q[i + QBLOCK / 2] + 8) << 4);
    }
}

void tensor_decode(enum tensor_type type, const void *src, float *dst, size_t n)
{
    const uint8_t *p = src;
    if (type == TENSOR_F32)
        memcpy(dst, src, n * sizeof(float));
    else if (type == TENSOR_Q8_0)
        decode_q8_0(p, dst, n);
    else if (type == TENSOR_Q4_0)
        decode_q4_0(p, dst, n);
    else
        decode_f16(p, dst, n);
}

void tensor_encode(enum tensor_type type, const float *src, void *dst, size_t n)
{
    uint16_t *half = dst;
    if (type == TENSOR_F32)
        memcpy(dst, src, n * sizeof(float));
    else if (type == TENSOR_Q8_0)
        encode_q8_0(src, dst, n);
    else if (type == TENSOR_Q4_0)
        encode_q4_0(src, dst, n);
    else
        for (size_t i = 0; i < n; i++)
            half[i] = f32_to_f16(src[i]);
}
