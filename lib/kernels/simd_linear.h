/* simd_linear.h: linear layers out of packed weights. */
#ifndef KERNELS_SIMD_LINEAR_H
#define KERNELS_SIMD_LINEAR_H

#include "kernels/kernels.h"
#include "kernels/simd_integer.h"
#include "kernels/simd_strip.h"

#ifdef VEC16

INLINE void linear_float(const struct linear *job, enum weight_type type, uint32_t panel,
                         uint32_t n_panels, const float *bias, float *y, size_t y_stride)
{
    size_t n_in = job->w->n_in;
    struct strip s = {
        .x = job->x,
        .x_stride = job->x_stride,
        .w = (const char *)job->w->data + panel * matrix_panel_bytes(type, job->w->n_in),
        .k_step = PANEL,
        .group_step = n_in * PANEL,
        .n_k = job->w->n_in,
        .y = y,
        .y_stride = y_stride,
        .bias = bias,
    };
    strip_sheet(&s, type, job->n_rows, n_panels, &linear_shape);
}

static void linear_f32(const struct linear *job, uint32_t panel, uint32_t n_panels,
                       const float *bias, float *y, size_t y_stride)
{
    linear_float(job, WEIGHT_F32, panel, n_panels, bias, y, y_stride);
}

static void linear_f16(const struct linear *job, uint32_t panel, uint32_t n_panels,
                       const float *bias, float *y, size_t y_stride)
{
    linear_float(job, WEIGHT_F16, panel, n_panels, bias, y, y_stride);
}

/* Whole panels straight into y. */
static void linear_panels(const struct linear *job, uint32_t panel, uint32_t n_panels,
                          const float *bias, float *y, size_t y_stride)
{
    switch (job->w->type) {
    case WEIGHT_F32:
        linear_f32(job, panel, n_panels, bias, y, y_stride);
        break;
    case WEIGHT_F16:
        linear_f16(job, panel, n_panels, bias, y, y_stride);
        break;
    case WEIGHT_Q8_0:
        linear_q8(job, panel, n_panels, bias, y, y_stride);
        break;
    case WEIGHT_Q4_0:
        linear_q4(job, panel, n_panels, bias, y, y_stride);
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
        linear_panels(&part, panel, 1, job->bias ? bias : NULL, lanes, PANEL);
        for (size_t r = 0; r < part.n_rows; r++)
            memcpy(job->y + (first + r) * job->y_stride + o, lanes + r * PANEL, n * sizeof(float));
    }
}

static void simd_linear(const struct linear *job, uint32_t panel_from, uint32_t panel_to)
{
    uint32_t whole = MIN(panel_to, job->w->n_out / PANEL);
    size_t o = (size_t)panel_from * PANEL;
    if (panel_from < whole)
        linear_panels(job, panel_from, whole - panel_from, job->bias ? job->bias + o : NULL,
                      job->y + o, job->y_stride);
    if (panel_to > whole && panel_to > panel_from)
        linear_rest(job, whole);
}

#endif
#endif
