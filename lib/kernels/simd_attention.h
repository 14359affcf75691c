/* simd_attention.h: one head's attention for a few rows at a time.
 *
 *     scores   strips over key panels; the tail's slots are then gathered into logical order
 *     softmax  over logical order
 *     values   strips over value rows, k = key
 */
#ifndef KERNELS_SIMD_ATTENTION_H
#define KERNELS_SIMD_ATTENTION_H

#include "kernels/kernels.h"
#include "kernels/simd_rows.h"
#include "kernels/simd_strip.h"

#ifdef VEC16

static void simd_store_keys(uint16_t *panels, uint32_t head_size, uint32_t slot, uint32_t n,
                            const float *x, size_t x_stride)
{
    for (uint32_t i = 0; i < n; i++, slot++, x += x_stride) {
        uint16_t *at = panels + (size_t)(slot / PANEL) * head_size * PANEL + slot % PANEL;
        for (size_t d = 0; d < head_size; d += 16) {
            uint16_t lanes[16];
            vec_store_f16(lanes, vec_load(x + d));
            for (size_t j = 0; j < 16; j++)
                at[(d + j) * PANEL] = lanes[j];
        }
    }
}

/* Up to ATTENTION_ROWS rows; scores has them `width` floats apart, for slots 0 .. width - 1. */
static void attend_rows(const struct attention *job, uint32_t first, uint32_t n_rows, size_t width)
{
    float *scores = job->scratch;
    uint32_t n_keys = job->n_prefix + job->n_tail;
    struct strip by_key = {
        .x = job->q + first * job->q_stride,
        .x_stride = job->q_stride,
        .w = job->keys,
        .k_step = PANEL,
        .group_step = (size_t)job->head_size * PANEL,
        .n_k = job->head_size,
        .y = scores,
        .y_stride = width,
    };
    strip_sheet(&by_key, WEIGHT_F16, n_rows, (uint32_t)width / PANEL, &score_shape);
    for (size_t r = 0; r < n_rows; r++) {
        float *p = scores + r * width;
        for (size_t i = 0; i < job->n_tail; i++)
            p[job->n_prefix + i] = p[job->tail[i]]; /* tail[i] >= n_prefix + i: nothing is lost */
        simd_softmax(p, n_keys);
    }
    struct strip by_dimension = {
        .x = scores,
        .x_stride = width,
        .w = job->values,
        .k_step = job->head_size,
        .group_step = PANEL,
        .n_k = job->n_prefix,
        .n_tail = job->n_tail,
        .tail = job->tail,
        .y = job->out + first * job->out_stride,
        .y_stride = job->out_stride,
    };
    strip_sheet(&by_dimension, WEIGHT_F16, n_rows, job->head_size / PANEL, &value_shape);
}

static void simd_attention(const struct attention *job)
{
    uint32_t n_slots = job->n_tail ? job->tail[job->n_tail - 1] + 1 : job->n_prefix;
    SA_ASSERT(job->head_size % PANEL == 0 && job->head_size <= 256);
    SA_ASSERT(job->n_prefix + job->n_tail > 0 && n_slots >= job->n_prefix + job->n_tail);
    size_t width = (size_t)matrix_panels(n_slots) * PANEL;
    uint32_t n_groups = (job->n_rows + ATTENTION_ROWS - 1) / ATTENTION_ROWS;
    for (uint32_t group = 0; group < n_groups; group++) {
        uint32_t from, to;
        share_of(job->n_rows, group, n_groups, &from, &to);
        attend_rows(job, from, to - from, width);
    }
}

#endif
#endif
