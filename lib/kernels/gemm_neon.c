/* gemm_neon.c: 6 rows x 16 outputs in 24 registers. */
#include "kernels/gemm.h"

#include <arm_neon.h>

enum { ROWS = 6 };

/* `rows` is a constant at every call, so the loops unroll and the sums stay in registers. */
static inline __attribute__((always_inline)) void tile(const struct gemm_block *g, const int rows,
                                                       const float *a, const float *b, float *c,
                                                       const float *bias)
{
    const size_t stride = g->a_stride;
    float32x4_t sum[ROWS][4];
    for (int r = 0; r < rows; r++)
        for (int h = 0; h < 4; h++)
            sum[r][h] = g->resume ? vld1q_f32(c + r * g->c_row + 4 * h) : vdupq_n_f32(0.0f);
    for (const float *end = a + g->n_k; a < end; a++, b += GEMM_PANEL) {
        float32x4_t w[4];
        for (int h = 0; h < 4; h++)
            w[h] = vld1q_f32(b + 4 * h);
        for (int r = 0; r < rows; r++)
            for (int h = 0; h < 4; h++)
                sum[r][h] = vfmaq_n_f32(sum[r][h], w[h], a[r * stride]);
    }
    for (int r = 0; r < rows; r++)
        for (int h = 0; h < 4; h++) {
            if (bias)
                sum[r][h] = vaddq_f32(sum[r][h], vld1q_f32(bias + 4 * h));
            vst1q_f32(c + r * g->c_row + 4 * h, sum[r][h]);
        }
}

static void run(const struct gemm_block *g)
{
    for (uint32_t j = 0; j < g->n_panels; j++) {
        const float *b = g->b + j * g->b_stride;
        const float *bias = g->bias ? g->bias + j * GEMM_PANEL : NULL;
        for (uint32_t i = 0; i < g->n_rows; i += ROWS) {
            const float *a = g->a + i * g->a_stride;
            float *c = g->c + i * g->c_row + j * g->c_panel;
            switch (g->n_rows - i) {
            case 1: tile(g, 1, a, b, c, bias); break;
            case 2: tile(g, 2, a, b, c, bias); break;
            case 3: tile(g, 3, a, b, c, bias); break;
            case 4: tile(g, 4, a, b, c, bias); break;
            case 5: tile(g, 5, a, b, c, bias); break;
            default: tile(g, 6, a, b, c, bias); break;
            }
        }
    }
}

const struct gemm gemm_neon = {.name = "neon", .n_rows = ROWS, .n_panels = 1, .run = run};
