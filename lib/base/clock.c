#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static uint64_t monotonic_now(void *context)
{
    (void)context;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static uint64_t manual_now(void *context)
{
    return *(const uint64_t *)context;
}

struct clock clock_monotonic(void)
{
    return (struct clock){.now = monotonic_now, .context = NULL};
}

struct clock clock_manual(const uint64_t *us)
{
    return (struct clock){.now = manual_now, .context = (void *)us};
}
