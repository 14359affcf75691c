/* wall_clock.h: the date, which may jump. Only tickets, certificates, daily quotas and the order of
 * processes that had one name may depend on it; everything else uses base/clock.h. */
#ifndef AUTH_WALL_CLOCK_H
#define AUTH_WALL_CLOCK_H

#include <stdint.h>

/* Seconds since 1970, UTC. */
int64_t wall_clock_s(void);

/* Tells the processes apart that had one name, one after the other: microseconds since 1970, never
 * 0. Only compared, and only with numbers of the same machine; a clock that was set back costs the
 * new process the time until the old one is forgotten. */
uint64_t wall_clock_incarnation(void);

#endif
