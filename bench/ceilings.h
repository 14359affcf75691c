/* ceilings.h: what this machine can do at best with the threads of a pool, measured here and now:
 * reading memory, float32 fused multiply-add, products of 8-bit integers. */
#ifndef BENCH_CEILINGS_H
#define BENCH_CEILINGS_H

#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/clock.h"
#include "base/pool.h"

enum { CEILING_BYTES = 192 << 20, CEILING_ROUNDS = 9, CEILING_STEPS = 200000, CEILING_CHAINS = 12 };

struct ceilings {
    double bytes_per_us;    /* 1 = 1 MB/s */
    double flop_per_us;     /* a fused multiply-add counts as two */
    double int8_per_us;     /* likewise a product and its addition; 0: not measured here */
};

struct ceiling_job {
    const uint64_t *memory;
    uint64_t sink[POOL_THREADS_MAX];
};

static void ceiling_read(void *context, uint32_t thread, uint32_t n_threads)
{
    struct ceiling_job *job = context;
    size_t n = CEILING_BYTES / sizeof(uint64_t) / n_threads / 8 * 8;
    const uint64_t *at = job->memory + n * thread;
    uint64_t sum[8] = {0};
    for (size_t i = 0; i < n; i += 8) {
        __builtin_prefetch(at + i + 512);
        for (size_t j = 0; j < 8; j++)
            sum[j] += at[i + j];
    }
    for (size_t j = 0; j < 8; j++)
        job->sink[thread] += sum[j];
}

/* `asm volatile` keeps each sum alive, so that every step is really done. All loops over the sums
 * must unroll: else they live in memory, at half the speed. */
#if defined(__x86_64__)
#define CEILING(name, isa, type, start, a, b, step)                          \
    __attribute__((target(isa))) static void name(void *context, uint32_t thread, uint32_t n) \
    {                                                                        \
        (void)context, (void)thread, (void)n;                                \
        type x = a, y = b, sum[CEILING_CHAINS];                              \
        _Pragma("GCC unroll 12") for (int j = 0; j < CEILING_CHAINS; j++)    \
            sum[j] = start;                                                  \
        for (uint32_t i = 0; i < CEILING_STEPS; i++)                         \
            _Pragma("GCC unroll 12") for (int j = 0; j < CEILING_CHAINS; j++) \
            {                                                                \
                sum[j] = step;                                               \
                __asm__ volatile("" : "+v"(sum[j]), "+v"(x), "+v"(y));       \
            }                                                                \
    }

CEILING(ceiling_fma512, "avx512f", __m512, _mm512_setzero_ps(), _mm512_set1_ps(0.5f),
        _mm512_set1_ps(0.25f), _mm512_fmadd_ps(x, y, sum[j]))
CEILING(ceiling_fma256, "avx2,fma", __m256, _mm256_setzero_ps(), _mm256_set1_ps(0.5f),
        _mm256_set1_ps(0.25f), _mm256_fmadd_ps(x, y, sum[j]))
CEILING(ceiling_vnni, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512(), _mm512_set1_epi8(3),
        _mm512_set1_epi8(5), _mm512_dpbusd_epi32(sum[j], x, y))
CEILING(ceiling_maddubs, "avx2", __m256i, _mm256_setzero_si256(), _mm256_set1_epi8(3),
        _mm256_set1_epi8(1), _mm256_add_epi32(sum[j], _mm256_madd_epi16(
            _mm256_maddubs_epi16(x, y), y)))
#else
/* Four lanes of a vector type, fused where the compiler contracts (Armv8 has no other). */
typedef float ceiling_lanes __attribute__((vector_size(16)));

static void ceiling_fma128(void *context, uint32_t thread, uint32_t n)
{
    (void)context, (void)thread, (void)n;
    ceiling_lanes x = {0.5f}, y = {0.25f}, sum[CEILING_CHAINS] = {{0}};
    for (uint32_t i = 0; i < CEILING_STEPS; i++)
        for (int j = 0; j < CEILING_CHAINS; j++) {
            for (int lane = 0; lane < 4; lane++)
                sum[j][lane] = __builtin_fmaf(x[lane], y[lane], sum[j][lane]);
            __asm__ volatile("" : "+w"(sum[j]));
        }
}
#endif

/* Units a microsecond, the best of a few rounds on all threads. */
static double ceiling_measure(struct pool *pool, pool_fn fn, void *job, double units)
{
    struct clock clock = clock_monotonic();
    uint64_t best = UINT64_MAX;
    pool_hot(pool);
    for (int i = 0; i < CEILING_ROUNDS; i++) {
        uint64_t start = clock_us(&clock);
        pool_run(pool, fn, job);
        uint64_t us = clock_us(&clock) - start;
        best = us < best ? us : best;
    }
    pool_cool(pool);
    return units / (double)best;
}

static double ceiling_flop(struct pool *pool)
{
    double steps = 2.0 * CEILING_STEPS * CEILING_CHAINS * pool_threads(pool);
#if defined(__x86_64__)
    double wide = __builtin_cpu_supports("avx512f")
                      ? ceiling_measure(pool, ceiling_fma512, NULL, steps * 16) : 0;
    double narrow = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
                        ? ceiling_measure(pool, ceiling_fma256, NULL, steps * 8) : 0;
    return wide > narrow ? wide : narrow;
#else
    return ceiling_measure(pool, ceiling_fma128, NULL, steps * 4);
#endif
}

/* `vnni`: of the instruction that the kernels in use have. */
static double ceiling_int8(struct pool *pool, bool vnni)
{
#if defined(__x86_64__)
    double steps = 2.0 * CEILING_STEPS * CEILING_CHAINS * pool_threads(pool);
    if (vnni && __builtin_cpu_supports("avx512vnni"))
        return ceiling_measure(pool, ceiling_vnni, NULL, steps * 64);
    if (__builtin_cpu_supports("avx2"))
        return ceiling_measure(pool, ceiling_maddubs, NULL, steps * 32);
#endif
    (void)vnni, (void)pool;
    return 0;
}

/* False without memory. */
static bool ceilings_measure(struct pool *pool, bool vnni, struct ceilings *out)
{
    struct ceiling_job *job = calloc(1, sizeof(*job));
    uint64_t *memory = malloc(CEILING_BYTES);
    if (job && memory) {
        memset(memory, 1, CEILING_BYTES);
        job->memory = memory;
        out->bytes_per_us = ceiling_measure(pool, ceiling_read, job, CEILING_BYTES);
        out->flop_per_us = ceiling_flop(pool);
        out->int8_per_us = ceiling_int8(pool, vnni);
    }
    bool done = job && memory;
    free(memory);
    free(job);
    return done;
}

#endif
