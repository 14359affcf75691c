/* wall_clock.h: the date, which may jump. Only tickets, certificates and daily quotas may depend on
 * it; everything else uses base/clock.h. */
#ifndef AUTH_WALL_CLOCK_H
#define AUTH_WALL_CLOCK_H

#include <stdint.h>

/* Seconds since 1970, UTC. */
int64_t wall_clock_s(void);

#endif
