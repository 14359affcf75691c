/* admit.h: is there a seat for one more session, and if not, when to ask again.
 *
 *     seats      sessions at once, all together, and of one client
 *     client     the name of its API key, else the address that it calls from (of IPv6 the /64)
 *
 * A refusal is told by the thread that took the call, so it does not wait for the model. Those who
 * are refused are told different times: they come back a few in a millisecond, however many they
 * are. Any thread; the lock is held for microseconds.
 */
#ifndef ENGINE_ADMIT_H
#define ENGINE_ADMIT_H

#include <stdint.h>

#include "base/clock.h"
#include "base/status.h"

enum { ADMIT_NAME_MAX = 80 };

struct admission;

struct admit_options {
    uint32_t sessions_max;
    uint32_t client_max;                    /* of one client; 0: no limit of its own */
    struct clock clock;
};

MUST_CHECK enum status admit_new(const struct admit_options *options, struct admission **out,
                                 struct error *err);
void admit_free(struct admission **admission);  /* accepts NULL; all seats were given back */

/* Who calls: `key` (NULL or "": none), else the address in `peer` (rpc_peer). */
void admit_name(const char *key, const char *peer, char name[ADMIT_NAME_MAX]);

struct admit_seat {
    uint64_t owner;                         /* number of the client, the same for all its sessions;
                                             * 0: no seat is held */
};

/* STATUS_EXHAUSTED: no seat; *retry_ms says when to ask again. STATUS_NO_MEMORY. Each success is
 * followed by one admit_leave. */
MUST_CHECK enum status admit_enter(struct admission *admission, const char *name,
                                   struct admit_seat *seat, uint32_t *retry_ms, struct error *err);
void admit_leave(struct admission *admission, struct admit_seat *seat);

/* When somebody who is refused for another reason may ask again. */
uint32_t admit_retry_ms(struct admission *admission);

#endif
