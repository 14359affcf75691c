/* observe.h: what a client shows of itself while it runs (--metrics). All functions accept NULL:
 * nothing was asked for. The main thread tells; the door's thread shows. */
#ifndef DRAFT_NODE_OBSERVE_H
#define DRAFT_NODE_OBSERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "metrics/tables.h"

struct observe;

/* Serves /metrics, /healthz and /readyz; not ready: no session yet. `listen` NULL: *out is NULL. */
MUST_CHECK enum status observe_start(const char *listen, struct observe **out, struct error *err);
void observe_stop(struct observe **observe);

/* A session with a target is open: ready; or there is none. */
void observe_session(struct observe *observe, bool open);

/* A session or a call that was given up: one of CLIENT_METRIC_RECONNECTS_... */
void observe_lost(struct observe *observe, enum client_metric reason);

/* An utterance is final: so long after its end; tokens that were drafted for it. */
void observe_final(struct observe *observe, uint64_t lag_us, uint64_t n_drafted);

/* As they are now. */
struct observe_state {
    uint64_t round_trip_us;
    uint64_t unsent_us;                     /* live audio without a text */
    int64_t certificate_expiry;             /* seconds since 1970; 0: no certificate */
};
void observe_state(struct observe *observe, const struct observe_state *state);

#endif
