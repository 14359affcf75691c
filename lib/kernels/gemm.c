/* gemm.c: the plain-C product that defines the numbers, and the choice of a set. */
#include "kernels/gemm.h"

#include <math.h>
#include <string.h>

static void run(const struct gemm_block *g)
{
    for (uint32_t i = 0; i < g->n_rows; i++) {
        const float *a = g->a + i * g->a_stride;
        for (uint32_t j = 0; j < g->n_panels * GEMM_PANEL; j++) {
            const float *b = g->b + j / GEMM_PANEL * g->b_stride + j % GEMM_PANEL;
            float *c = g->c + i * g->c_row + j / GEMM_PANEL * g->c_panel + j % GEMM_PANEL;
            float sum = g->resume ? *c : 0.0f;
            for (uint32_t k = 0; k < g->n_k; k++)
                sum = fmaf(a[k], b[(size_t)k * GEMM_PANEL], sum);
            *c = g->bias ? sum + g->bias[j] : sum;
        }
    }
}

const struct gemm gemm_reference = {.name = "reference", .n_rows = 6, .n_panels = 1, .run = run};

#if defined(__x86_64__)
static bool runs_here(const struct gemm *gemm)
{
    if (gemm == &gemm_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
    if (gemm == &gemm_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return true;
}
static const struct gemm *const sets[] = {&gemm_avx512, &gemm_avx2, &gemm_reference};
#elif defined(__aarch64__)
static bool runs_here(const struct gemm *gemm)
{
    (void)gemm;
    return true;
}
static const struct gemm *const sets[] = {&gemm_neon, &gemm_reference};
#else
static bool runs_here(const struct gemm *gemm)
{
    (void)gemm;
    return true;
}
static const struct gemm *const sets[] = {&gemm_reference};
#endif

/* Zen 3 and 4 split a 512-bit FMA in two: 103-111 GFLOP/s a core against 112-116 with 256 bits. */
static bool worth_it(const struct gemm *gemm)
{
#if defined(__x86_64__)
    return gemm != &gemm_avx512 || !__builtin_cpu_is("amdfam19h");
#else
    (void)gemm;
    return true;
#endif
}

const struct gemm *gemm_find(const char *name)
{
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        if (runs_here(sets[i]) && (name ? strcmp(name, sets[i]->name) == 0 : worth_it(sets[i])))
            return sets[i];
    return NULL;
}
