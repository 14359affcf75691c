/* health.h: the standard health service of gRPC for one service of ours: Check answers once, Watch
 * with every change. For probes and load balancers; our own clients ask the coordinator. */
#ifndef CLUSTER_HEALTH_H
#define CLUSTER_HEALTH_H

#include <stdbool.h>

#include "base/status.h"
#include "rpc/rpc.h"

enum { HEALTH_METHODS_N = 2, HEALTH_WATCHERS_MAX = 64 };

struct health;

/* Serving from the start. `service`: "specasr.v1.Verify", borrowed; the empty name is known too. */
MUST_CHECK enum status health_new(const char *service, struct health **out, struct error *err);

/* For rpc_server_options.methods. */
void health_methods(struct health *health, struct rpc_method methods[HEALTH_METHODS_N]);

/* Tells who watches, when it changes. Any thread. */
void health_set(struct health *health, bool serving);

/* After the server that has its methods. Accepts NULL; nulls the pointer. */
void health_free(struct health **health);

#endif
