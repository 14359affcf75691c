/* project.c: the encoder's linear layers on a block of rows.
 *
 * Half precision: weights stay as they are in memory; a panel of 16 outputs is turned into float32
 * in the thread's own scratch just before the product reads it, once per block of rows: 1 % of the
 * block's time at 126 rows, and no float32 copy of the model.
 * 8 bits: as in the decoder, inputs are quantised and integers multiplied (kernels.h).
 */
#include <string.h>

#include "backend/cpu/cpu_int.h"

/* q8_0 panels: [k/4][16][4] int8, then [k/32][16] f16 scales (matrix.h). */
static void unpack_q8(const struct matrix *w, uint32_t panel, uint32_t k_from, uint32_t k_to,
                      float *out)
{
    const int8_t *q = (const int8_t *)w->data + panel * matrix_panel_bytes(w->type, w->n_in);
    const uint16_t *scales = (const uint16_t *)(const void *)(q + (size_t)w->n_in * PANEL);
    float scale[PANEL];
    for (uint32_t k = k_from; k < k_to; k++) {
        if (k == k_from || k % Q8_BLOCK == 0)
            for (uint32_t lane = 0; lane < PANEL; lane++)
                scale[lane] = f32_from_f16(scales[k / Q8_BLOCK * PANEL + lane]);
        const int8_t *from = q + (size_t)(k / 4) * 4 * PANEL + k % 4;
        for (uint32_t lane = 0; lane < PANEL; lane++)
            *out++ = scale[lane] * (float)from[lane * 4];
    }
}

const float *panel_as_f32(const struct kernels *kernels, const struct matrix *w, uint32_t panel,
                          uint32_t k_from, uint32_t k_to, float *scratch)
{
    const uint8_t *data = (const uint8_t *)w->data + panel * matrix_panel_bytes(w->type, w->n_in);
    size_t from = (size_t)k_from * PANEL, n = (size_t)(k_to - k_from) * PANEL;
    switch (w->type) {
    case WEIGHT_F32:
        return (const float *)(const void *)data + from;
    case WEIGHT_F16:
        kernels->f32_from_f16(scratch, (const uint16_t *)(const void *)data + from, n);
        return scratch;
    case WEIGHT_Q8_0:
        unpack_q8(w, panel, k_from, k_to, scratch);
        return scratch;
    case WEIGHT_Q4_0:
        break;
    }
    SA_ASSERT(!"no weight type of the encoder's");
    return NULL;
}

/* Asks for the next panels while the product of these runs: each block of rows reads all weights
 * once, and from the shared cache or memory that would cost 4 % of the encoder's time. */
static void prefetch_panels(const struct matrix *w, uint32_t panel, uint32_t n)
{
    enum { LINE = 64 };
    size_t panel_bytes = matrix_panel_bytes(w->type, w->n_in);
    const uint8_t *from = (const uint8_t *)w->data + panel * panel_bytes;
    for (size_t at = 0; at < n * panel_bytes; at += LINE)
        __builtin_prefetch(from + at, 0, 2);
}

bool project_is_q8(const struct cpu_backend *backend, const struct projection *p)
{
    return p->w.type == WEIGHT_Q8_0 && !backend->sgemm;
}

void project_quantise(const struct cpu_backend *backend, const struct project *job, void *x8)
{
    size_t width = job->p->w.n_in;
    struct q8_rows rows = q8_rows_at(x8, job->n_rows, width);
    for (size_t r = 0; r < job->n_rows; r++) {
        size_t at = r * width + job->k_from;
        struct q8_rows to = {.q = rows.q + at, .scale = rows.scale + at / Q8_BLOCK,
                             .offset = rows.offset + at / Q8_BLOCK};
        backend->kernels->quantise(to, job->a + r * job->a_stride, job->k_to - job->k_from);
    }
}

void project_q8(const struct cpu_backend *backend, const struct project *job, void *x8)
{
    const struct projection *p = job->p;
    struct matrix part = p->w;              /* the outputs that are asked for */
    size_t panel_bytes = matrix_panel_bytes(p->w.type, p->w.n_in);
    uint32_t n_panels = job->panel_to - job->panel_from;
    part.data = (uint8_t *)part.data + job->panel_from * panel_bytes;
    part.n_out = MIN(p->w.n_out - job->panel_from * PANEL, n_panels * PANEL);
    struct linear linear = {
        .w = &part, .bias = p->bias ? p->bias + job->panel_from * PANEL : NULL,
        .n_rows = job->n_rows, .xq = q8_rows_at(x8, job->n_rows, p->w.n_in),
        .y = job->c, .y_stride = job->c_row,
    };
    backend->kernels->linear(&linear, 0, n_panels);
}

void project_run(const struct cpu_backend *backend, const struct encoder_worker *worker,
                 const struct project *job)
{
    bool overlap = job->a_stride < job->k_to - job->k_from; /* a convolution: not for BLAS */
    if (backend->sgemm && !overlap) {
        project_blas(worker, backend, job);
        return;
    }
    if (project_is_q8(backend, job->p)) {
        SA_ASSERT(job->c_panel == PANEL && job->k_from == 0 && job->k_to == job->p->w.n_in);
        project_quantise(backend, job, worker->x8);
        project_q8(backend, job, worker->x8);
        return;
    }
    const struct projection *p = job->p;
    size_t n_k = job->k_to - job->k_from, panel_floats = n_k * PANEL;
    uint32_t step = p->w.type == WEIGHT_F32 ? 1 : backend->gemm->n_panels;
    for (uint32_t panel = job->panel_from; panel < job->panel_to; panel += step) {
        uint32_t n = MIN(step, job->panel_to - panel);
        const float *b = NULL;
        for (uint32_t i = n; i-- > 0;)
            b = panel_as_f32(backend->kernels, &p->w, panel + i, job->k_from, job->k_to,
                             worker->panel + i * panel_floats);
        if (panel + n < job->panel_to)
            prefetch_panels(&p->w, panel + n, MIN(step, job->panel_to - panel - n));
        struct gemm_block block = {
            .n_rows = job->n_rows, .n_panels = n, .n_k = (uint32_t)n_k, .a = job->a,
            .a_stride = job->a_stride, .b = b, .b_stride = panel_floats,
            .c = job->c + (panel - job->panel_from) * job->c_panel, .c_row = job->c_row,
            .c_panel = job->c_panel, .bias = job->bias && p->bias ? p->bias + panel * PANEL : NULL,
            .resume = job->resume,
        };
        backend->gemm->run(&block);
    }
}

/* ---- OpenBLAS ---- */

enum { BLAS_PANELS = 32 };

size_t project_blas_floats(uint32_t n_in_max)
{
    return (size_t)BLAS_PANELS * PANEL * ((size_t)n_in_max + ENCODER_ROWS);
}

/* Weights of up to BLAS_PANELS panels as a row-major [k][n] matrix. */
static void unpack_rows(const struct kernels *kernels, const struct project *job, uint32_t panel,
                        uint32_t n, float *scratch, float *b)
{
    for (uint32_t i = 0; i < n; i++) {
        const float *from = panel_as_f32(kernels, &job->p->w, panel + i, job->k_from, job->k_to,
                                         scratch);
        for (size_t k = 0; k < job->k_to - job->k_from; k++)
            memcpy(b + (k * n + i) * PANEL, from + k * PANEL, PANEL * sizeof(float));
    }
}

static void store_product(const struct project *job, uint32_t panel, uint32_t n,
                          const float *product)
{
    const float *bias = job->bias ? job->p->bias : NULL;
    for (uint32_t r = 0; r < job->n_rows; r++)
        for (uint32_t j = 0; j < n * PANEL; j++) {
            float *c = job->c + r * job->c_row +
                       (panel + j / PANEL - job->panel_from) * job->c_panel + j % PANEL;
            float sum = product[(size_t)r * n * PANEL + j] + (job->resume ? *c : 0.0f);
            *c = sum + (bias ? bias[panel * PANEL + j] : 0.0f);
        }
}

void project_blas(const struct encoder_worker *worker, const struct cpu_backend *backend,
                  const struct project *job)
{
    int n_k = (int)(job->k_to - job->k_from);
    for (uint32_t panel = job->panel_from; panel < job->panel_to; panel += BLAS_PANELS) {
        uint32_t n = MIN((uint32_t)BLAS_PANELS, job->panel_to - panel);
        float *b = worker->blas, *product = b + (size_t)n_k * n * PANEL;
        unpack_rows(backend->kernels, job, panel, n, worker->panel, b);
        backend->sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)job->n_rows,
                       (int)(n * PANEL), n_k, 1.0f, job->a, (int)job->a_stride, b,
                       (int)(n * PANEL), 0.0f, product, (int)(n * PANEL));
        store_product(job, panel, n, product);
    }
}
