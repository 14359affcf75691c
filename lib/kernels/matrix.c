#include "kernels/matrix.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* From this size memory comes from mmap, aligned to a huge page and marked for huge pages. */
static const size_t huge_page = (size_t)2 << 20;

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static void *huge_alloc(size_t n_bytes)
{
    size_t wanted = round_up(n_bytes, huge_page);
    char *start = mmap(NULL, wanted + huge_page, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED)
        return NULL;
    char *aligned = (char *)round_up((size_t)start, huge_page);
    size_t before = (size_t)(aligned - start);
    if (before)
        munmap(start, before);
    munmap(aligned + wanted, huge_page - before);
    madvise(aligned, wanted, MADV_HUGEPAGE); /* a wish: without it we only lose speed */
    return aligned;
}

void *kernels_alloc(size_t n_bytes)
{
    if (n_bytes == 0 || n_bytes > SIZE_MAX / 2)
        return NULL;
    if (n_bytes >= huge_page)
        return huge_alloc(n_bytes);
    size_t size = round_up(n_bytes, 64);
    void *memory = aligned_alloc(64, size);
    if (memory)
        memset(memory, 0, size);
    return memory;
}

void kernels_free(void *memory, size_t n_bytes)
{
    if (memory && n_bytes >= huge_page)
        munmap(memory, round_up(n_bytes, huge_page));
    else
        free(memory);
}

size_t weight_row_bytes(enum weight_type type, uint32_t n_in)
{
    switch (type) {
    case WEIGHT_F32:
        return (size_t)n_in * sizeof(float);
    case WEIGHT_F16:
        return (size_t)n_in * sizeof(uint16_t);
    case WEIGHT_Q8_0:
        SA_ASSERT(n_in % Q8_BLOCK == 0);
        return (size_t)(n_in / Q8_BLOCK) * sizeof(struct q8_0_block);
    case WEIGHT_Q4_0:
        SA_ASSERT(n_in % Q8_BLOCK == 0);
        return (size_t)(n_in / Q8_BLOCK) * sizeof(struct q4_0_block);
    }
    SA_ASSERT(!"unknown weight type");
    return 0;
}

size_t matrix_panel_bytes(enum weight_type type, uint32_t n_in)
{
    return weight_row_bytes(type, n_in) * PANEL;
}

size_t matrix_bytes(enum weight_type type, uint32_t n_out, uint32_t n_in)
{
    return matrix_panel_bytes(type, n_in) * matrix_panels(n_out);
}

/* Some rows of one panel, lanes lane .. lane + n_rows - 1: element [k][lane] is at stride 16, so
 * rows side by side fill whole cache lines. `rows` may be unaligned. */
static void pack_f32(float *panel, uint32_t n_in, uint32_t n_rows, enum weight_type type,
                     const uint8_t *rows)
{
    size_t row_bytes = weight_row_bytes(type, n_in);
    for (size_t k = 0; k < n_in; k++) {
        for (size_t i = 0; i < n_rows; i++) {
            const uint8_t *row = rows + i * row_bytes;
            uint16_t half;
            if (type == WEIGHT_F32) {
                memcpy(&panel[k * PANEL + i], row + k * sizeof(float), sizeof(float));
            } else {
                memcpy(&half, row + k * sizeof(half), sizeof(half));
                panel[k * PANEL + i] = f32_from_f16(half);
            }
        }
    }
}

static void pack_f16(uint16_t *panel, uint32_t n_in, uint32_t n_rows, enum weight_type type,
                     const uint8_t *rows)
{
    size_t row_bytes = weight_row_bytes(type, n_in);
    for (size_t k = 0; k < n_in; k++) {
        for (size_t i = 0; i < n_rows; i++) {
            const uint8_t *row = rows + i * row_bytes;
            float single;
            if (type == WEIGHT_F16) {
                memcpy(&panel[k * PANEL + i], row + k * sizeof(uint16_t), sizeof(uint16_t));
            } else {
                memcpy(&single, row + k * sizeof(single), sizeof(single));
                panel[k * PANEL + i] = f16_from_f32(single);
            }
        }
    }
}

static void pack_q8_0(uint8_t *panel, uint32_t n_in, uint32_t lane, uint32_t n_rows,
                      const uint8_t *rows)
{
    uint16_t *scales = (uint16_t *)(void *)(panel + (size_t)n_in * PANEL);
    size_t row_bytes = weight_row_bytes(WEIGHT_Q8_0, n_in);
    for (size_t b = 0; b < n_in / Q8_BLOCK; b++) {
        for (size_t i = 0; i < n_rows; i++) {
            struct q8_0_block block;
            memcpy(&block, rows + i * row_bytes + b * sizeof(block), sizeof(block));
            scales[b * PANEL + lane + i] = block.scale;
            uint8_t *at = panel + b * Q8_BLOCK * PANEL + (lane + i) * 4;
            for (size_t j = 0; j < Q8_BLOCK; j += 4)
                memcpy(at + j * PANEL, &block.q[j], 4);
        }
    }
}

static uint8_t nibble(const struct q4_0_block *block, size_t i)
{
    return i < Q8_BLOCK / 2 ? block->q[i] & 15 : block->q[i - Q8_BLOCK / 2] >> 4;
}

static void pack_q4_0(uint8_t *panel, uint32_t n_in, uint32_t lane, uint32_t n_rows,
                      const uint8_t *rows)
{
    uint16_t *scales = (uint16_t *)(void *)(panel + (size_t)n_in / 2 * PANEL);
    size_t row_bytes = weight_row_bytes(WEIGHT_Q4_0, n_in);
    for (size_t b = 0; b < n_in / Q8_BLOCK; b++) {
        for (size_t i = 0; i < n_rows; i++) {
            struct q4_0_block block;
            memcpy(&block, rows + i * row_bytes + b * sizeof(block), sizeof(block));
            scales[b * PANEL + lane + i] = block.scale;
            uint8_t *at = panel + b * Q8_BLOCK / 2 * PANEL + (lane + i) * 4;
            for (size_t k = 0; k < Q8_BLOCK; k += 8)
                for (size_t j = 0; j < 4; j++)
                    at[k / 2 * PANEL + j] =
                        (uint8_t)(nibble(&block, k + j) | nibble(&block, k + j + 4) << 4);
        }
    }
}

void matrix_pack(const struct matrix *to, uint32_t first, uint32_t n_rows, enum weight_type type,
                 const void *rows)
{
    SA_ASSERT(first <= to->n_out && n_rows <= to->n_out - first);
    SA_ASSERT(to->type == type || !(weight_is_integer(to->type) || weight_is_integer(type)));
    size_t panel_bytes = matrix_panel_bytes(to->type, to->n_in);
    const uint8_t *from = rows;
    for (uint32_t row = first, n; row < first + n_rows; row += n) {
        uint32_t lane = row % PANEL;
        n = MIN(PANEL - lane, first + n_rows - row);
        uint8_t *panel = (uint8_t *)to->data + row / PANEL * panel_bytes;
        if (to->type == WEIGHT_F32)
            pack_f32((float *)(void *)panel + lane, to->n_in, n, type, from);
        else if (to->type == WEIGHT_F16)
            pack_f16((uint16_t *)(void *)panel + lane, to->n_in, n, type, from);
        else if (to->type == WEIGHT_Q8_0)
            pack_q8_0(panel, to->n_in, lane, n, from);
        else
            pack_q4_0(panel, to->n_in, lane, n, from);
        from += n * weight_row_bytes(type, to->n_in);
    }
}

/* The integer at k of one lane of a panel of blocks. */
static int integer_at(enum weight_type type, const uint8_t *panel, size_t lane, size_t k)
{
    if (type == WEIGHT_Q8_0)
        return ((const int8_t *)panel)[(k / 4 * PANEL + lane) * 4 + k % 4];
    return (panel[(k / 8 * PANEL + lane) * 4 + k % 4] >> (k % 8 / 4 * 4) & 15) - 8;
}

void matrix_unpack_row(const struct matrix *m, uint32_t row, float *out)
{
    SA_ASSERT(row < m->n_out);
    size_t lane = row % PANEL, n_in = m->n_in;
    const uint8_t *panel =
        (const uint8_t *)m->data + row / PANEL * matrix_panel_bytes(m->type, m->n_in);
    size_t n_bytes = (m->type == WEIGHT_Q4_0 ? n_in / 2 : n_in) * PANEL; /* before the scales */
    const uint16_t *scales = (const uint16_t *)(const void *)(panel + n_bytes);
    for (size_t k = 0; k < n_in; k++) {
        size_t at = k * PANEL + lane;
        if (m->type == WEIGHT_F32)
            out[k] = ((const float *)(const void *)panel)[at];
        else if (m->type == WEIGHT_F16)
            out[k] = f32_from_f16(((const uint16_t *)(const void *)panel)[at]);
        else
            out[k] = f32_from_f16(scales[k / Q8_BLOCK * PANEL + lane]) *
                     (float)integer_at(m->type, panel, lane, k);
    }
}
