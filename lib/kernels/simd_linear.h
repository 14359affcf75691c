/* simd_linear.h: linear layers out of packed weights. */
#ifndef KERNELS_SIMD_LINEAR_H
#define KERNELS_SIMD_LINEAR_H

#include <math.h>

#include "kernels/kernels.h"
#include "kernels/simd_integer.h"
#include "kernels/simd_strip.h"

#ifdef VEC16

INLINE void linear_float(const struct linear *job, enum weight_type type,
                         const struct panels_out *out)
{
    size_t n_in = job->w->n_in;
    struct strip s = {
        .x = job->x,
        .x_stride = job->x_stride,
        .w = (const char *)job->w->data + out->panel * matrix_panel_bytes(type, job->w->n_in),
        .k_step = PANEL,
        .group_step = n_in * PANEL,
        .n_k = job->w->n_in,
        .y = out->y,
        .y_stride = out->y_stride,
        .bias = out->bias,
    };
    strip_sheet(&s, type, job->n_rows, out->n, &linear_shape);
}

static void linear_f32(const struct linear *job, const struct panels_out *out)
{
    linear_float(job, WEIGHT_F32, out);
}

static void linear_f16(const struct linear *job, const struct panels_out *out)
{
    linear_float(job, WEIGHT_F16, out);
}

static void linear_panels(const struct linear *job, const struct panels_out *out)
{
    switch (job->w->type) {
    case WEIGHT_F32:
        linear_f32(job, out);
        break;
    case WEIGHT_F16:
        linear_f16(job, out);
        break;
    case WEIGHT_Q8_0:
        linear_q8(job, out);
        break;
    case WEIGHT_Q4_0:
        linear_q4(job, out);
        break;
    }
}

/* The last panel when n_out is no multiple of 16: through a small buffer, a few rows at a time. */
static void linear_rest(const struct linear *job, uint32_t panel)
{
    enum { ROWS = 16 };
    float lanes[ROWS * PANEL];
    float bias[PANEL] = {0};
    size_t o = (size_t)panel * PANEL;
    size_t n = job->w->n_out - o;
    if (job->bias)
        memcpy(bias, job->bias + o, n * sizeof(float));
    for (uint32_t from = 0; from < job->n_rows; from += ROWS) {
        struct linear part = *job;
        size_t first = from;
        part.n_rows = MIN(ROWS, job->n_rows - from);
        if (weight_is_integer(job->w->type)) {
            part.xq.q += first * job->w->n_in;
            part.xq.scale += first * (job->w->n_in / Q8_BLOCK);
            part.xq.offset += first * (job->w->n_in / Q8_BLOCK);
        } else {
            part.x += first * job->x_stride;
        }
        struct panels_out out = {.panel = panel, .n = 1, .bias = job->bias ? bias : NULL,
                                 .y = lanes, .y_stride = PANEL};
        linear_panels(&part, &out);
        for (size_t r = 0; r < part.n_rows; r++)
            memcpy(job->y + (first + r) * job->y_stride + o, lanes + r * PANEL, n * sizeof(float));
    }
}

static void simd_linear(const struct linear *job, uint32_t panel_from, uint32_t panel_to)
{
    uint32_t whole = MIN(panel_to, job->w->n_out / PANEL);
    size_t o = (size_t)panel_from * PANEL;
    struct panels_out out = {.panel = panel_from, .n = whole - panel_from,
                             .bias = job->bias ? job->bias + o : NULL,
                             .y = job->y + o, .y_stride = job->y_stride};
    if (panel_from < whole)
        linear_panels(job, &out);
    if (panel_to > whole && panel_to > panel_from)
        linear_rest(job, whole);
}

static void simd_linear_groups(const struct linear_groups *job, uint32_t group_from,
                               uint32_t group_to)
{
    float lanes[LINEAR_GROUPS_ROWS * PANEL];
    const struct linear *linear = &job->linear;
    SA_ASSERT(weight_is_integer(linear->w->type) && linear->n_rows <= LINEAR_GROUPS_ROWS);
    for (uint32_t g = group_from; g < group_to; g++) {
        uint32_t from = g * PANEL_GROUP;
        struct panels_out out = {.panel = from, .n = MIN(PANEL_GROUP, job->n_panels - from),
                                 .y = linear->y + (size_t)from * PANEL,
                                 .y_stride = linear->y_stride, .largest = lanes};
        for (size_t r = 0; r < linear->n_rows; r++)
            vec_store(lanes + r * PANEL, vec_set1(-INFINITY));
        linear_panels(linear, &out);
        for (size_t r = 0; r < linear->n_rows; r++)
            job->largest[r * job->largest_stride + g] =
                vec_largest(vec_load(lanes + r * PANEL)) + 0.0f;
    }
}

#endif
#endif
