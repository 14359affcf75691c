/* call.h: one call to a coordinator, request and answer as structs. Blocks: for threads of their
 * own (heartbeats, placement) and for short-lived programs.
 */
#ifndef CLUSTER_CALL_H
#define CLUSTER_CALL_H

#include "rpc/rpc.h"
#include "wire/coordinator_frames.h"

/* *answer gets the kind that belongs to the request; released by the caller on STATUS_OK. Statuses
 * of rpc_unary and wire_coordinator_unpack; never longer than deadline_ms. */
MUST_CHECK enum status cluster_call(struct rpc_client *client, uint32_t deadline_ms,
                                    const struct wire_coordinator_message *request,
                                    struct wire_coordinator_message *answer, struct error *err);

/* The same in the name of a key (call metadata "specasr-api-key"; NULL: none): a client's API key,
 * or the join key of a target or operator; for a trace of the caller (base/trace.h; NULL: none). */
struct cluster_caller {
    struct rpc_client *client;
    uint32_t deadline_ms;
    const char *api_key, *traceparent;
};
#define CLUSTER_API_KEY "specasr-api-key"
MUST_CHECK enum status cluster_call_as(const struct cluster_caller *caller,
                                       const struct wire_coordinator_message *request,
                                       struct wire_coordinator_message *answer,
                                       struct error *err);

#endif
