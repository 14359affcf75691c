/* serve.h: the target's server: streams of clients on one side, the model thread on the other. */
#ifndef TARGET_NODE_SERVE_H
#define TARGET_NODE_SERVE_H

#include <stdint.h>

#include "engine/engine.h"
#include "engine/target.h"
#include "gate.h"
#include "load.h"
#include "metrics/tables.h"
#include "register.h"
#include "rpc/rpc.h"

struct serve;

struct serve_options {
    const char *listen;                     /* "host:port", port 0: any */
    struct rpc_tls tls;
    struct target_options target;
    uint32_t client_sessions_max;           /* of one key or address; 0: no limit of its own */
    uint64_t idle_max_us, session_max_us;   /* then a session ends; 0: never */
    struct rpc_guards guards;               /* zero: the defaults of rpc.h */
    struct gate *gate;                      /* who may open a session; borrowed likewise */
    struct metrics *metrics;                /* metrics_target; borrowed until serve_stop */
    struct registration *registration;      /* whose policy holds; NULL: none; borrowed likewise */
};

/* Listens when it returns. Borrows the engine, whose owner from now on is the model thread. */
MUST_CHECK enum status serve_start(struct engine *engine, const struct serve_options *options,
                                   struct serve **out, struct error *err);

uint16_t serve_port(const struct serve *serve);

/* How busy it is; lives until serve_stop. */
const struct load *serve_load(const struct serve *serve);

/* What was done against clients that hold what they do not use (rpc.h). */
struct rpc_server_counts serve_guard_counts(const struct serve *serve);

/* Reads the PEM files again now (they are also read when they change); the log says how it went. */
enum status serve_reload_certificate(struct serve *serve, struct error *err);

/* When the certificate in use expires, in seconds since 1970; 0: there is none. */
int64_t serve_certificate_expiry(const struct serve *serve);

/* Writes every session to the log: id, age, state, rows; never text. From any thread. */
void serve_dump(struct serve *serve);

/* A session as people want to see it. The whole id is not shown: who knows it may take the
 * session's place (seats.h). */
struct serve_session {
    char id[9];                             /* the first digits of its id */
    char client[80];                        /* its key, else its address */
    const char *state;                      /* "working", "idle", "opening", "closing" */
    uint32_t epoch;
    uint64_t age_us, windows, rows;         /* windows and rows: that are final */
    uint64_t lag_us;                        /* end of speech to final text, the last one; 0: none */
};

/* Those of now, at most `max`, those at work first. Waits for the model's thread; not from it.
 * STATUS_TIMEOUT: it is in a step that lasts for seconds, or somebody else asks just now. */
MUST_CHECK enum status serve_sessions(struct serve *serve, struct serve_session *out, size_t max,
                                      size_t *n, struct error *err);

/* Tells the clients, lets open utterances finish for up to grace_ms, then ends every stream, joins
 * the model thread and frees. Accepts NULL. */
void serve_stop(struct serve **serve, uint32_t grace_ms);

#endif
