/* bus_local.h: the in-process twin of the bus, for tests in virtual time.
 *
 * Any text is an endpoint; whoever binds it and whoever connects to it are linked, in either order.
 * A frame arrives when the clock has passed its delay; with jitter frames overtake each other. A
 * link holds 2 * BUS_QUEUE frames (both sides' marks); a further one is lost. There are no keys:
 * bus_allow takes what it is given, nobody is refused. One thread only.
 */
#ifndef BUS_BUS_LOCAL_H
#define BUS_BUS_LOCAL_H

#include "bus/bus.h"

struct bus_faults {
    uint64_t delay_us;                  /* of each frame ... */
    uint64_t jitter_us;                 /* ... and up to so much more, evenly */
    uint32_t loss_permille;
};

/* The same seed and the same calls give the same losses and delays. */
MUST_CHECK enum status bus_local_new(struct clock clock, uint64_t seed, struct bus **out,
                                     struct error *err);

/* For frames sent from now on. */
void bus_local_faults(struct bus *bus, const struct bus_faults *faults);

/* A cut endpoint loses what is sent over it; NULL: all endpoints. At most 16 are cut at once
 * (asserted). */
void bus_local_cut(struct bus *bus, const char *endpoint, bool cut);

#endif
