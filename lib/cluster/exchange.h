/* exchange.h: a process's end of the bus: a thread that publishes its full state every 250 ms and
 * hears that of the others.
 *
 *     target                                     coordinator (allows each target's key when it
 *       publisher   --connects--> load_port        registers, and tells it these ports)
 *       subscriber  --connects--> policy_port
 *
 * The bus only makes what is known fresher: heartbeats carry the same, and go on without it. Keys
 * are made anew with each start and live in memory only; they are told in Register, over TLS.
 */
#ifndef CLUSTER_EXCHANGE_H
#define CLUSTER_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "bus/bus.h"
#include "wire/coordinator_frames.h"

enum { EXCHANGE_PEERS_MAX = WIRE_COORDINATORS_MAX };

struct exchange;

struct exchange_options {
    char name[BUS_NAME_MAX + 1];        /* of this sender */
    uint64_t incarnation;
    const char *bind_host;              /* coordinator: where to listen; NULL: only connects */
    uint16_t port;                      /* for loads, the next for policies; 0: free ones */
    uint32_t senders_max;               /* heard at once */
    /* On the exchange's thread: the state to publish (released after that), false: nothing now; and
     * one state that was heard, with what follows the envelope. */
    bool (*state)(void *context, struct wire_coordinator_message *state);
    void (*heard)(void *context, const struct bus_message *message);
    void *context;
};

/* STATUS_INVALID, _UNAVAILABLE (a port in use), _EXHAUSTED, _NO_MEMORY. */
MUST_CHECK enum status exchange_start(const struct exchange_options *options,
                                      struct exchange **out, struct error *err);

/* Joins the thread (within 0.1 s): no callback comes any more. Accepts NULL. */
void exchange_stop(struct exchange **exchange);

/* ---- any thread ---- */

/* Ports (0 where it does not listen) and the public key. */
struct wire_bus exchange_address(const struct exchange *exchange);

/* Coordinator: who has this key may connect, and speaks for the target at this address. False: the
 * address is no name for the bus (too long), the key is none, or there are too many. */
bool exchange_allow(struct exchange *exchange, const char *key, const char *address);
void exchange_forbid(struct exchange *exchange, const char *key);

/* How the target at this address is named on the bus: without brackets. False: it cannot be. */
bool exchange_name(char name[BUS_NAME_MAX + 1], const char *address);

/* Target: the bus of coordinator `number`, at `host`; replaces what was there, no key: nothing. */
void exchange_peer(struct exchange *exchange, uint32_t number, const char *host,
                   const struct wire_bus *bus);

/* A collector of lib/metrics: specasr_bus_frames_total, specasr_bus_unsent_total,
 * specasr_bus_refused_total. */
void exchange_collect(void *exchange, FILE *out);

#endif
