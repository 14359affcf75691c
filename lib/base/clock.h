/* clock.h: time as a dependency that is passed in, so that tests run in virtual time. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Microseconds that never go back; the origin is arbitrary. */
typedef uint64_t (*clock_now_fn)(void *context);

struct clock {
    clock_now_fn now;
    void *context;
};

/* The machine's monotonic clock. */
struct clock clock_monotonic(void);

static inline uint64_t clock_us(const struct clock *clock)
{
    return clock->now(clock->context);
}

/* A clock for tests: stands still until it is moved. `*us` is borrowed and read at each call. */
struct clock clock_manual(const uint64_t *us);

#endif
