/* simd_attention.h: one head's attention for a few rows at a time.
 *
 *     scores   strips over key panels, all slots up to the last tail's end
 *     exp      tails are gathered into logical order, all less the largest score
 *     values   strips over value rows, k = key, of the prefix; then each row's own tail
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

/* Largest scores by lane of the whole panels of the prefix, row by row: found while they are in
 * registers. */
struct largest {
    float lanes[ATTENTION_ROWS][PANEL];
};

static uint32_t tail_of(const struct attention *job, size_t row)
{
    return job->tails ? job->tails[row].n : 0;
}

/* A row's tail goes into logical order, all scores become exponentials; 1 / their sum. */
static float exponentials(const struct attention *job, size_t row, float *score,
                          const float *largest)
{
    uint32_t n_tail = tail_of(job, row), n_keys = job->n_prefix + n_tail;
    uint32_t whole = job->n_prefix / PANEL * PANEL;
    for (size_t i = 0; i < n_tail; i++) /* slots[i] >= n_prefix + i: nothing is lost */
        score[job->n_prefix + i] = score[job->tails[row].slots[i]];
    float most = vec_largest(vec_load(largest)) + 0.0f;
    return exp_row(score, n_keys, MAX(most, simd_max(score + whole, n_keys - whole)));
}

/* Adds the values of a row's tail, then divides by the sum of exponentials. */
static void finish_row(const struct attention *job, size_t row, const float *score, float factor)
{
    uint32_t n_tail = tail_of(job, row);
    float *out = job->out + row * job->out_stride;
    for (size_t d = 0; d < job->head_size; d += PANEL) {
        vec16 sum = vec_load(out + d);
        for (size_t i = 0; i < n_tail; i++) {
            size_t slot = job->tails[row].slots[i];
            vec16 value = vec_load_f16(job->values + slot * job->head_size + d);
            sum = vec_fma(vec_set1(score[job->n_prefix + i]), value, sum);
        }
        vec_store(out + d, vec_mul(sum, vec_set1(factor)));
    }
}

/* Slots that some row of [first, first + n_rows) attends to. */
static uint32_t slots_of(const struct attention *job, uint32_t first, uint32_t n_rows)
{
    uint32_t n_slots = job->n_prefix;
    for (uint32_t r = first; r < first + n_rows; r++) {
        uint32_t n_tail = tail_of(job, r);
        SA_ASSERT(job->n_prefix + n_tail > 0);
        if (n_tail > 0)
            n_slots = MAX(n_slots, job->tails[r].slots[n_tail - 1] + 1);
    }
    return n_slots;
}

/* Up to ATTENTION_ROWS rows. */
static void attend_rows(const struct attention *job, uint32_t first, uint32_t n_rows)
{
    float *scores = job->scratch, factor[ATTENTION_ROWS];
    struct largest largest;
    uint32_t n_panels = matrix_panels(slots_of(job, first, n_rows));
    size_t width = (size_t)n_panels * PANEL;
    for (uint32_t r = 0; r < n_rows; r++)
        vec_store(largest.lanes[r], vec_set1(-INFINITY));
    struct strip by_key = {
        .x = job->q + first * job->q_stride,
        .x_stride = job->q_stride,
        .w = job->keys,
        .k_step = PANEL,
        .group_step = (size_t)job->head_size * PANEL,
        .n_k = job->head_size,
        .y = scores,
        .y_stride = width,
        .largest = largest.lanes[0],
        .n_largest = job->n_prefix / PANEL,
    };
    strip_sheet(&by_key, WEIGHT_F16, n_rows, n_panels, &score_shape);
    for (uint32_t r = 0; r < n_rows; r++)
        factor[r] = exponentials(job, first + r, scores + r * width, largest.lanes[r]);
    struct strip by_dimension = {
        .x = scores,
        .x_stride = width,
        .w = job->values,
        .k_step = job->head_size,
        .group_step = PANEL,
        .n_k = job->n_prefix,
        .y = job->out + first * job->out_stride,
        .y_stride = job->out_stride,
    };
    strip_sheet(&by_dimension, WEIGHT_F16, n_rows, job->head_size / PANEL, &value_shape);
    for (uint32_t r = 0; r < n_rows; r++)
        finish_row(job, first + r, scores + r * width, factor[r]);
}

static void simd_attention(const struct attention *job)
{
    SA_ASSERT(job->head_size % PANEL == 0 && job->head_size <= 256);
    uint32_t n_groups = (job->n_rows + ATTENTION_ROWS - 1) / ATTENTION_ROWS;
    for (uint32_t group = 0; group < n_groups; group++) {
        uint32_t from, to;
        share_of(job->n_rows, group, n_groups, &from, &to);
        attend_rows(job, from, to - from);
    }
}

#endif
#endif
