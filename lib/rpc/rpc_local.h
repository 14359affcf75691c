/* rpc_local.h: the in-process twin of the network: same calls, no sockets.
 *
 * A network is a set of names that servers listen on ("listen" and "target" are any text). Messages
 * go from queue to callback without a transport buffer between, so that caps act exactly. Two ways:
 *
 *   threaded   rpc_network_new(NULL, ...): one thread runs every callback, on the real clock.
 *   pumped     rpc_network_new(&clock, ...): nothing happens until rpc_network_pump; deadlines
 *              follow the given clock. The order of callbacks depends on nothing but the order of
 *              the calls made, so a test under a manual clock is deterministic. One thread only.
 */
#ifndef RPC_RPC_LOCAL_H
#define RPC_RPC_LOCAL_H

#include "base/clock.h"
#include "rpc/rpc.h"

/* clock NULL: threaded. The clock is copied. STATUS_NO_MEMORY. */
MUST_CHECK enum status rpc_network_new(const struct clock *clock, struct rpc_network **out,
                                       struct error *err);

/* Pumped networks: runs callbacks until nothing is left to do (or `max` ran; 0: no limit); returns
 * how many ran. rpc_unary, rpc_server_stop and the two frees pump by themselves. */
size_t rpc_network_pump(struct rpc_network *network, size_t max);

/* A fault: every call open to the server of that name breaks, as if its process were killed. */
void rpc_network_cut(struct rpc_network *network, const char *address);

/* Its servers and clients must be freed first (asserted). Accepts NULL; nulls the pointer. */
void rpc_network_free(struct rpc_network **network);

#endif
