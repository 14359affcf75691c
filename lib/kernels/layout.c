/* layout.c: sizes and tables that all kernel sets share. */
#include <math.h>

#include "kernels/kernels.h"

size_t q8_rows_bytes(size_t n_rows, size_t n)
{
    SA_ASSERT(n % Q8_BLOCK == 0);
    return n_rows * n + n_rows * (n / Q8_BLOCK) * (sizeof(float) + sizeof(int32_t));
}

struct q8_rows q8_rows_at(void *memory, size_t n_rows, size_t n)
{
    char *at = memory;
    size_t n_blocks = n_rows * (n / Q8_BLOCK);
    return (struct q8_rows){
        .q = (int8_t *)at,
        .scale = (float *)(void *)(at + n_rows * n),
        .offset = (int32_t *)(void *)(at + n_rows * n + n_blocks * sizeof(float)),
    };
}

size_t attention_scratch(uint32_t n_slots)
{
    return (size_t)ATTENTION_ROWS * PANEL * matrix_panels(n_slots);
}

void rope_table(float *cos_out, float *sin_out, uint32_t n_positions, uint32_t head_size,
                float theta)
{
    uint32_t half = head_size / 2;
    for (uint32_t position = 0; position < n_positions; position++) {
        for (uint32_t i = 0; i < half; i++) {
            double angle = position * pow(theta, -2.0 * i / head_size);
            cos_out[(size_t)position * half + i] = (float)cos(angle);
            sin_out[(size_t)position * half + i] = (float)sin(angle);
        }
    }
}
