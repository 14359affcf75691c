/* seats.h: who may have a session at this target: its ticket, the quotas of its key, a free seat;
 * and the client that comes back while its former stream is still open here: that stream's seat is
 * its own, so it takes it over in place of asking for a second one.
 *
 * A former stream is known by the session's id (16 random bytes of the client) and a lower epoch,
 * and has to be of the same key, if there are keys.
 *
 * Any thread; one lock, held for microseconds. All is answered without the model's thread.
 */
#ifndef TARGET_NODE_SEATS_H
#define TARGET_NODE_SEATS_H

#include "engine/admit.h"
#include "gate.h"

enum { SEATS_SESSION_BYTES = 16 };

/* In its owner's memory, from seats_enter to seats_leave. */
struct seat {
    struct gate_pass pass;
    struct admit_seat place;
    uint8_t session[SEATS_SESSION_BYTES];
    uint32_t epoch;
    struct seat *next, **link;              /* of those that hold a place; link NULL: it does not */
};

struct seats_options {
    struct gate *gate;                      /* borrowed */
    struct metrics *metrics;                /* metrics_target; borrowed */
    struct admit_options admit;
    /* This seat's place is another one's now: end its stream. Within seats_enter, with the lock
     * held: it may not call back. */
    void (*replaced)(struct seat *former);
};

struct seats;

MUST_CHECK enum status seats_new(const struct seats_options *options, struct seats **out,
                                 struct error *err);
void seats_free(struct seats **seats);      /* accepts NULL; nobody sits any more */

struct seats_ask {
    const char *ticket;                     /* as the client sent it; NULL: none */
    const char *peer;                       /* rpc_peer */
    const uint8_t *session;
    uint32_t epoch;
};

/* *retry_ms: when to ask again; 0: that would not help. Statuses as gate_check, gate_enter and
 * admit_enter; refusals are counted. Each success is followed by one seats_leave. */
MUST_CHECK enum status seats_enter(struct seats *seats, const struct seats_ask *ask,
                                   struct seat *seat, uint32_t *retry_ms, struct error *err);

/* From here on the seat is not told of as replaced. Of one that never entered: nothing. */
void seats_leave(struct seats *seats, struct seat *seat);

/* When somebody who is refused for another reason may ask again. */
uint32_t seats_retry_ms(struct seats *seats);

#endif
