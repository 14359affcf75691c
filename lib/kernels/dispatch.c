/* dispatch.c: the one place where a kernel set is chosen. */
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "kernels/kernels.h"
#include "kernels/sets.h"

static bool runs_always(void)
{
    return true;
}

#if defined(__x86_64__)
static bool runs_avx2(void)
{
    unsigned a, b, c, d; /* clang 14 does not know F16C by name */
    bool f16c = __get_cpuid(1, &a, &b, &c, &d) && c & bit_F16C;
    return f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool runs_avx512(void)
{
    return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
}
#endif

/* Fastest first. */
static const struct {
    const struct kernels *set;
    bool (*runs)(void);
} sets[] = {
#if defined(__x86_64__)
    {&kernels_avx512, runs_avx512},
    {&kernels_avx2, runs_avx2},
#elif defined(__aarch64__)
    {&kernels_neon, runs_always},
#endif
    {&kernels_reference, runs_always},
};

const struct kernels *kernels_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(sets); i++)
        if ((!name || strcmp(name, sets[i].set->name) == 0) && sets[i].runs())
            return sets[i].set;
    return NULL;
}

const char *kernels_name(size_t i)
{
    return i < ARRAY_LEN(sets) ? sets[i].set->name : NULL;
}
