/* gemm_avx512.c: 12 rows x 32 outputs in 24 registers; the rows' values are memory operands of the
 * FMAs. */
#include "kernels/gemm.h"

#include <immintrin.h>

enum { ROWS = 12 };

/* `rows` and `panels` are constants at every call, so the loops unroll and the sums stay in
 * registers. */
static inline __attribute__((always_inline)) void tile(const struct gemm_block *g, const int rows,
                                                       const int panels, uint32_t i, uint32_t j)
{
    const size_t stride = g->a_stride, b_stride = g->b_stride;
    const float *a = g->a + i * stride, *b = g->b + j * b_stride;
    float *c = g->c + i * g->c_row + j * g->c_panel;
    __m512 sum[ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < panels; p++)
            sum[r][p] = g->resume ? _mm512_loadu_ps(c + r * g->c_row + p * g->c_panel)
                                  : _mm512_setzero_ps();
    for (const float *end = a + g->n_k; a < end; a++, b += GEMM_PANEL) {
        __m512 w[2];
        for (int p = 0; p < panels; p++)
            w[p] = _mm512_loadu_ps(b + p * b_stride);
        for (int r = 0; r < rows; r++) {
            __m512 x = _mm512_set1_ps(a[r * stride]);
            for (int p = 0; p < panels; p++)
                sum[r][p] = _mm512_fmadd_ps(x, w[p], sum[r][p]);
        }
    }
    for (int p = 0; p < panels; p++)
        for (int r = 0; r < rows; r++) {
            if (g->bias)
                sum[r][p] =
                    _mm512_add_ps(sum[r][p], _mm512_loadu_ps(g->bias + (j + p) * GEMM_PANEL));
            _mm512_storeu_ps(c + r * g->c_row + p * g->c_panel, sum[r][p]);
        }
}

/* All rows against one or two panels. */
static inline __attribute__((always_inline)) void column(const struct gemm_block *g,
                                                         const int panels, uint32_t j)
{
    uint32_t i = 0;
    for (; i + ROWS <= g->n_rows; i += ROWS)
        tile(g, ROWS, panels, i, j);
    for (; i + 6 <= g->n_rows; i += 6)
        tile(g, 6, panels, i, j);
    for (; i + 2 <= g->n_rows; i += 2)
        tile(g, 2, panels, i, j);
    if (i < g->n_rows)
        tile(g, 1, panels, i, j);
}

static void run(const struct gemm_block *g)
{
    uint32_t j = 0;
    for (; j + 2 <= g->n_panels; j += 2)
        column(g, 2, j);
    if (j < g->n_panels)
        column(g, 1, j);
}

const struct gemm gemm_avx512 = {.name = "avx512", .n_rows = ROWS, .n_panels = 2, .run = run};
