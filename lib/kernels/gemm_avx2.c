/* gemm_avx2.c: 6 rows x 16 outputs in twelve registers: 8 loads feed 12 FMAs a step of k. */
#include "kernels/gemm.h"

#include <immintrin.h>

enum { ROWS = 6 };

/* `rows` is a constant at every call, so the loops unroll and the sums stay in registers. */
static inline __attribute__((always_inline)) void tile(const struct gemm_block *g, const int rows,
                                                       const float *a, const float *b, float *c,
                                                       const float *bias)
{
    const size_t stride = g->a_stride;
    __m256 sum[ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int h = 0; h < 2; h++)
            sum[r][h] = g->resume ? _mm256_loadu_ps(c + r * g->c_row + 8 * h) : _mm256_setzero_ps();
    for (const float *end = a + g->n_k; a < end; a++, b += GEMM_PANEL) {
        __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
        for (int r = 0; r < rows; r++) {
            __m256 x = _mm256_broadcast_ss(a + r * stride);
            sum[r][0] = _mm256_fmadd_ps(x, b0, sum[r][0]);
            sum[r][1] = _mm256_fmadd_ps(x, b1, sum[r][1]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int h = 0; h < 2; h++) {
            if (bias)
                sum[r][h] = _mm256_add_ps(sum[r][h], _mm256_loadu_ps(bias + 8 * h));
            _mm256_storeu_ps(c + r * g->c_row + 8 * h, sum[r][h]);
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

const struct gemm gemm_avx2 = {.name = "avx2", .n_rows = ROWS, .n_panels = 1, .run = run};
