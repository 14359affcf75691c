/* serve.h: the coordinator's calls: a registry behind a lock, answered on the rpc thread. */
#ifndef COORDINATOR_SERVE_H
#define COORDINATOR_SERVE_H

#include <stdint.h>

#include "base/status.h"
#include "cluster/registry.h"
#include "issue.h"
#include "metrics/tables.h"
#include "rpc/rpc.h"
#include "store/store.h"

struct coordinator;

struct coordinator_options {
    const char *listen;                     /* "host:port", port 0: any */
    struct rpc_tls tls;
    struct registry_options registry;
    uint32_t latency_goal_ms;               /* 0: none, and the shadow price stays 1 */
    uint32_t modes;                         /* enum wire_mode */
    const char *bus_host;                   /* where its bus listens; NULL: no bus */
    uint16_t bus_port;                      /* and the next one; 0: free ones */
    /* What it shares with other coordinators; as it is: nothing, in memory. `self` "" is --listen
     * with the port that it got; `incarnation` 0 is that of now. */
    struct store_options store;
    struct rpc_network *network;            /* NULL: gRPC */
    struct issuer *issuer;                  /* keys and tickets, borrowed; NULL: none */
    struct metrics *metrics;                /* metrics_coordinator, borrowed; NULL: none */
};

/* Listens when it returns. */
MUST_CHECK enum status coordinator_start(const struct coordinator_options *options,
                                         struct coordinator **out, struct error *err);
uint16_t coordinator_port(const struct coordinator *coordinator);

/* The ports of its bus; all zero: none. */
struct wire_bus coordinator_bus(const struct coordinator *coordinator);

/* Once a heartbeat period: forgets who is gone (and says so), moves the shadow price. */
void coordinator_tick(struct coordinator *coordinator);

/* What an operator may change while it runs; with the next answers. */
struct coordinator_tuning {
    uint32_t latency_goal_ms, modes;
    float canary_share;
};
void coordinator_tune(struct coordinator *coordinator, const struct coordinator_tuning *tuning);

/* Reads the PEM files again now (they are also read when they change); the log says how it went. */
enum status coordinator_reload_certificate(struct coordinator *coordinator, struct error *err);

/* When the certificate in use expires, in seconds since 1970; 0: there is none. */
int64_t coordinator_certificate_expiry(const struct coordinator *coordinator);

/* Brings the gauges of its metrics up to date. From any thread. */
void coordinator_refresh(struct coordinator *coordinator);

/* Accepts NULL. */
void coordinator_stop(struct coordinator **coordinator);

#endif
