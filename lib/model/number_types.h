/* number_types.h: the stored number types and how they turn into float32 and back.
 *
 * f16 is IEEE 754 binary16, bf16 the upper half of a float32; both round to nearest even on the way
 * down and are exact on the way up. q8_0 is GGUF's block of 32: an f16 scale d and 32 int8 q, value
 * q * d, with d = absmax / 127. The quotient here is taken with the scale as stored (rounded to
 * f16), which is a little nearer to the weight than with the unrounded one; ties go to even.
 * q4_0 is GGUF's too: an f16 scale d and 32 nibbles u, value d * (u - 8), element i in the low half
 * of byte i, element i + 16 in its high half. d is the entry of largest magnitude divided by one of
 * eight numbers (-8.5 to 7.5): the one that leaves the smallest sum of squared differences.
 */
#ifndef MODEL_NUMBER_TYPES_H
#define MODEL_NUMBER_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/model.h"

enum { QBLOCK = 32, Q8_BLOCK_BYTES = 34, Q4_BLOCK_BYTES = 18 };

float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);
float bf16_to_f32(uint16_t bits);

/* Stored in blocks of 32: q8_0 and q4_0. */
static inline bool tensor_type_blocks(enum tensor_type type)
{
    return type == TENSOR_Q8_0 || type == TENSOR_Q4_0;
}

/* Bytes of n elements; n divides by 32 for blocks. */
uint64_t tensor_type_bytes(enum tensor_type type, uint64_t n);
const char *tensor_type_name(enum tensor_type type);

/* n elements (a multiple of 32 for blocks) between float32 and the stored little-endian form. src
 * of decode need not be aligned. */
void tensor_decode(enum tensor_type type, const void *src, float *dst, size_t n);
void tensor_encode(enum tensor_type type, const float *src, void *dst, size_t n);

#endif
