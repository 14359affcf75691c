/* number_types.h: the stored number types and how they turn into float32 and back.
 *
 * f16 is IEEE 754 binary16, bf16 the upper half of a float32; both round to nearest even on the way
 * down and are exact on the way up. q8_0 is GGUF's block of 32: an f16 scale d and 32 int8 q, value
 * q * d, with d = absmax / 127. The quotient here is taken with the scale as stored (rounded to
 * f16), which is a little nearer to the weight than with the unrounded one; ties go to even.
 */
#ifndef MODEL_NUMBER_TYPES_H
#define MODEL_NUMBER_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include "model/model.h"

enum { Q8_BLOCK = 32, Q8_BLOCK_BYTES = 34 };

float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);
float bf16_to_f32(uint16_t bits);

/* Bytes of n elements; n divides by 32 for q8_0. */
uint64_t tensor_type_bytes(enum tensor_type type, uint64_t n);
const char *tensor_type_name(enum tensor_type type);

/* n elements (a multiple of 32 for q8_0) between float32 and the stored little-endian form. src of
 * decode need not be aligned. */
void tensor_decode(enum tensor_type type, const void *src, float *dst, size_t n);
void tensor_encode(enum tensor_type type, const float *src, void *dst, size_t n);

#endif
