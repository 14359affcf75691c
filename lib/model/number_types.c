#include "model/number_types.h"

#include <math.h>
#include <string.h>

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

static void decode_q8_0(const uint8_t *src, float *dst, size_t n)
{
    for (size_t block = 0; block < n / QBLOCK; block++, src += Q8_BLOCK_BYTES) {
        float scale = f16_to_f32(load_u16(src));
        for (int i = 0; i < QBLOCK; i++)
            *dst++ = scale * (float)(int8_t)src[2 + i];
    }
}

static void encode_q8_0(const float *src, uint8_t *dst, size_t n)
{
    for (size_t block = 0; block < n / QBLOCK; block++, src += QBLOCK, dst += Q8_BLOCK_BYTES) {
        float absmax = 0;
        for (int i = 0; i < QBLOCK; i++)
            absmax = fmaxf(absmax, fabsf(src[i]));
        uint16_t stored = f32_to_f16(absmax / 127.0f);
        float scale = f16_to_f32(stored);
        memcpy(dst, &stored, sizeof(stored));
        for (int i = 0; i < QBLOCK; i++) {
            float q = scale > 0 ? rintf(src[i] / scale) : 0;
            dst[2 + i] = (uint8_t)(int8_t)fminf(fmaxf(q, -127.0f), 127.0f);
        }
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

static float q4_round(float x, float scale)
{
    float q = scale != 0 ? rintf(x / scale) : 0;
    return fminf(fmaxf(q, -8.0f), 7.0f);
}

static float q4_error(const float *x, float scale)
{
    float sum = 0;
    for (int i = 0; i < QBLOCK; i++) {
        float d = x[i] - scale * q4_round(x[i], scale);
        sum += d * d;
    }
    return sum;
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
        for (int i = 0; i < QBLOCK / 2; i++) {
            int low = (int)q4_round(src[i], scale) + 8;
            int high = (int)q4_round(src[i + QBLOCK / 2], scale) + 8;
            dst[2 + i] = (uint8_t)(low | high << 4);
        }
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
        for (size_t i = 0; i < n; i++)
            dst[i] = f16_to_f32(load_u16(p + 2 * i));
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
