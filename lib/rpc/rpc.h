/* rpc.h: calls between processes. Carries bytes, knows nothing of their meaning.
 *
 * Two implementations stand behind this header: gRPC (HTTP/2, TLS) and an in-process twin for tests
 * (rpc_local.h), which a server or client uses when its options name a network. One conformance
 * suite (tests/rpc) runs on both.
 *
 * A call is a bidirectional stream of messages that ends with one status. A unary call is the same
 * thing with one message each way: on the server there is no difference.
 *
 *   client                               server
 *   rpc_open        ------------------>  on_open
 *   on_open         <------------------  (accepted)
 *   rpc_send        ------------------>  on_message       any number, both ways, in order
 *   on_message      <------------------  rpc_send
 *   rpc_half_close  ------------------>  on_eof           no more from the client
 *   on_done         <------------------  rpc_finish       queued messages first, then the status
 *                                        on_done          the status is out, or the client is gone
 *
 * Callbacks. Those of one call run on one thread and never overlap; on_done comes exactly once and
 * last. They must not block: that thread also serves every other call and answers keepalive (hand
 * the work to a queue). They may use every function that names a call; they may not free, stop or
 * rpc_unary. All functions are safe from any thread.
 *
 * Flow. rpc_send copies into a bounded queue and never blocks; a full queue answers. rpc_hold stops
 * reading, so that the peer's queue fills in turn.
 */
#ifndef RPC_RPC_H
#define RPC_RPC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct rpc_call;
struct rpc_server;
struct rpc_client;
struct rpc_network;                     /* rpc_local.h */

enum { RPC_METADATA_MAX = 8, RPC_TEXT_MAX = ERROR_TEXT_MAX };

/* What happens to a call. Any member may be NULL; borrowed while calls live. */
struct rpc_handler {
    /* Server: a new call. Client: the server accepted it. */
    void (*on_open)(struct rpc_call *call);
    /* The bytes are borrowed. */
    void (*on_message)(struct rpc_call *call, const uint8_t *data, size_t size);
    /* Server only: the client half-closed. */
    void (*on_eof)(struct rpc_call *call);
    /* Server only: it is being stopped; finish within the grace time. NULL: finishes at once. */
    void (*on_drain)(struct rpc_call *call);
    /* One message left the queue; `queued_bytes` are still there. */
    void (*on_sent)(struct rpc_call *call, size_t queued_bytes);
    /* The end; message is never NULL. */
    void (*on_done)(struct rpc_call *call, enum status code, const char *message);
};

/* Paths of PEM files. All zero: plaintext. Files that change are read again within a second, and
 * used from the next connection on (tls_files.h). */
struct rpc_tls {
    const char *ca;             /* client: who signs servers; server: who signs clients */
    const char *certificate;    /* own chain: a server must have one, a client for mutual TLS */
    const char *key;
    const char *server_name;    /* client: expected in the certificate; NULL: the target's host */
    bool system;                /* client without ca: TLS with the authorities of the system */
};

/* Zero members take the defaults in brackets. */
struct rpc_limits {
    uint32_t message_max;       /* bytes of one message, both ways [1 MiB + 64 KiB] */
    uint32_t queue_bytes;       /* waiting to be sent, per call [4 MiB] */
    uint32_t queue_messages;    /* the same in messages [1024] */
};

/* A peer that does not answer a ping is gone, even when its kernel still acknowledges. */
struct rpc_keepalive {
    uint32_t interval_ms;       /* a ping after so much silence [1000] */
    uint32_t timeout_ms;        /* for its answer [1500] */
};

/* ---- server ---- */

struct rpc_method {
    const char *name;           /* "/specasr.v1.Verify/Session" */
    const struct rpc_handler *handler;
    void *context;              /* rpc_user of its calls at on_open */
    bool aside;                 /* counted apart: its calls never take the place of the others */
};

/* Against clients that hold what they do not use. Zero members take the defaults in brackets. */
struct rpc_guards {
    uint32_t first_ms;          /* a call without a whole message by then ends: _TIMEOUT [5000] */
    uint32_t stall_ms;          /* one whose client takes nothing that was sent to it for so long is
                                 * cancelled, and no other of its connection [10000] */
    uint32_t aside_max;         /* open calls of methods that are `aside` [1024] */
    uint32_t aside_peer_max;    /* and of one connection [128] */
    uint32_t streams_max;       /* calls of one connection, whatever they are [1024] */
    uint32_t resets_max;        /* calls that one connection may cancel at once [200], */
    uint32_t resets_per_s;      /* and in the long run [20]: beyond that it is closed */
};

struct rpc_server_options {
    const char *listen;         /* "host:port" (0: any free port), "[::1]:port", "unix:/path" */
    struct rpc_tls tls;
    struct rpc_limits limits;
    struct rpc_keepalive keepalive;
    struct rpc_guards guards;
    uint32_t calls_max;         /* open at once, without those of `aside` methods; more are refused
                                 * with STATUS_EXHAUSTED [1024] */
    const struct rpc_method *methods;   /* [n_methods], copied; others answer STATUS_UNSUPPORTED */
    size_t n_methods;
    struct rpc_network *network;        /* NULL: gRPC; else the in-process twin, borrowed */
};

/* Serves when it returns. STATUS_INVALID, _UNAVAILABLE (port in use, no such address: the text says
 * which), _DENIED, _NOT_FOUND (a PEM file), _CORRUPT (its contents), _NO_MEMORY. */
MUST_CHECK enum status rpc_server_new(const struct rpc_server_options *options,
                                      struct rpc_server **out, struct error *err);

/* The bound port; 0 for unix: addresses and the twin. */
uint16_t rpc_server_port(const struct rpc_server *server);

/* What the guards did since the start. From any thread. */
struct rpc_server_counts {
    uint64_t silent;            /* calls ended: no message came */
    uint64_t stalled;           /* calls cancelled: the client did not read */
    uint64_t refused;           /* calls above a cap */
    uint64_t cut;               /* connections closed: too many cancelled calls */
};
struct rpc_server_counts rpc_server_counts(const struct rpc_server *server);

/* Reads the PEM files again now, and says in the log until when they are good. On failure what was
 * read before stays. Statuses as rpc_server_new; without TLS STATUS_OK. */
enum status rpc_server_reload(struct rpc_server *server, struct error *err);

/* When the own certificate in use expires, in seconds since 1970; 0: there is none. */
int64_t rpc_server_certificate_expiry(const struct rpc_server *server);
int64_t rpc_client_certificate_expiry(const struct rpc_client *client);

/* Refuses new calls, gives on_drain to the open ones, waits up to grace_ms for them to finish, then
 * cancels what is left. Every call has had its on_done when this returns. A second stop does
 * nothing. */
void rpc_server_stop(struct rpc_server *server, uint32_t grace_ms);

/* Stops without grace when rpc_server_stop was not called. Accepts NULL; nulls the pointer. */
void rpc_server_free(struct rpc_server **server);

/* ---- client ---- */

struct rpc_client_options {
    const char *target;         /* "host:port", "[::1]:port", "unix:/path" */
    struct rpc_tls tls;
    struct rpc_limits limits;
    struct rpc_keepalive keepalive;
    uint32_t connect_ms;        /* a call not accepted by then ends as STATUS_UNAVAILABLE [5000] */
    struct rpc_client *thread_of;   /* borrowed: callbacks run on its thread [an own thread] */
    struct rpc_network *network;
};

/* Checks the options and reads the PEM files; connects with the first call, and again by itself
 * when a call finds the link broken. Statuses as rpc_server_new. */
MUST_CHECK enum status rpc_client_new(const struct rpc_client_options *options,
                                      struct rpc_client **out, struct error *err);

/* Cancels the calls that are left and waits for their on_done. Accepts NULL; nulls the pointer. */
void rpc_client_free(struct rpc_client **client);

struct rpc_metadata {
    const char *key;            /* lower case letters, digits, - _ . */
    const char *value;          /* printable ASCII */
};

struct rpc_open_options {
    const char *method;
    const struct rpc_handler *handler;
    void *user;
    uint32_t deadline_ms;       /* for the whole call; 0: none */
    const struct rpc_metadata *metadata;    /* [n_metadata], at most RPC_METADATA_MAX, copied */
    size_t n_metadata;
};

/* Begins a call; whether the server can be reached shows in on_open or on_done, and callbacks may
 * run before this returns. *out is the caller's reference (rpc_unref). STATUS_INVALID,
 * _NO_MEMORY. */
MUST_CHECK enum status rpc_open(struct rpc_client *client, const struct rpc_open_options *options,
                                struct rpc_call **out, struct error *err);

struct rpc_bytes {
    uint8_t *data;              /* malloc'ed, caller frees; NULL when size is 0 */
    size_t size;
};

struct rpc_unary_options {
    const char *method;
    const uint8_t *data;        /* the request, borrowed */
    size_t size;
    uint32_t deadline_ms;       /* 0: none */
    const struct rpc_metadata *metadata;
    size_t n_metadata;
};

/* One request, one answer; blocks (not from a callback). The status is the call's own, or
 * STATUS_UNAVAILABLE, _TIMEOUT, _EXHAUSTED (too large) with a text that names the target. */
MUST_CHECK enum status rpc_unary(struct rpc_client *client, const struct rpc_unary_options *options,
                                 struct rpc_bytes *response, struct error *err);

/* ---- call ---- */

enum rpc_sent {
    RPC_SENT,
    RPC_FULL,                   /* the queue is at its cap: on_sent tells when there is room */
    RPC_CLOSED,                 /* finished, half-closed, cancelled or broken */
    RPC_TOO_LARGE               /* above limits.message_max: it can never be sent */
};

/* Copies the bytes (size 0 is a message too). */
enum rpc_sent rpc_send(struct rpc_call *call, const uint8_t *data, size_t size);

/* Bytes accepted by rpc_send that the transport has not taken yet. */
size_t rpc_queued_bytes(struct rpc_call *call);

/* Client: no more messages; what is queued still goes. */
void rpc_half_close(struct rpc_call *call);

/* Server: ends the call; what is queued still goes, then the status. From here on only on_sent and
 * on_done come. The message is UTF-8 (invalid bytes become '?'), cut below RPC_TEXT_MAX. Only the
 * first rpc_finish counts. */
void rpc_finish(struct rpc_call *call, enum status code, const char *message);

/* Either side: ends the call at once and drops what is queued; on_done says STATUS_CANCELLED unless
 * another outcome came first. */
void rpc_cancel(struct rpc_call *call);

/* true: no more on_message (one may be under way), until false. A broken link's on_done still
 * comes. */
void rpc_hold(struct rpc_call *call, bool held);

struct rpc_call *rpc_ref(struct rpc_call *call);
void rpc_unref(struct rpc_call *call);  /* accepts NULL */

/* The owner's pointer; set it in on_open on the server, in rpc_open_options on the client. */
void *rpc_user(const struct rpc_call *call);
void rpc_set_user(struct rpc_call *call, void *user);

/* All borrowed for the call's life. rpc_metadata_value: server only; NULL when absent. */
const char *rpc_method_name(const struct rpc_call *call);
const char *rpc_peer(const struct rpc_call *call);
const char *rpc_metadata_value(const struct rpc_call *call, const char *key);

#endif
