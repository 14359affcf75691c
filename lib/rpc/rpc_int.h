/* rpc_int.h: what both implementations of rpc.h share. */
#ifndef RPC_RPC_INT_H
#define RPC_RPC_INT_H

#include <stdatomic.h>

#include "rpc/rpc.h"

/* ---- messages that wait to be sent ---- */

struct rpc_message {
    struct rpc_message *next;
    size_t size;
    uint8_t data[];
};

struct rpc_outbox {
    struct rpc_message *first, *last;
    size_t n, bytes;
    struct rpc_limits limits;           /* with the defaults filled in */
};

/* Copies. RPC_SENT, _FULL (also without memory) or _TOO_LARGE. An empty queue takes any message. */
enum rpc_sent rpc_outbox_push(struct rpc_outbox *outbox, const uint8_t *data, size_t size);
struct rpc_message *rpc_outbox_pop(struct rpc_outbox *outbox);  /* NULL: empty; caller frees */
void rpc_outbox_clear(struct rpc_outbox *outbox);

/* ---- calls ---- */

struct rpc_call_ops {
    enum rpc_sent (*send)(struct rpc_call *call, const uint8_t *data, size_t size);
    size_t (*queued_bytes)(struct rpc_call *call);
    void (*half_close)(struct rpc_call *call);
    void (*finish)(struct rpc_call *call, enum status code, const char *message);
    void (*cancel)(struct rpc_call *call);
    void (*hold)(struct rpc_call *call, bool held);
    void (*destroy)(struct rpc_call *call);     /* the last reference is gone */
};

struct rpc_pair {
    char *key, *value;
};

/* The first member of either implementation's call. */
struct rpc_call {
    const struct rpc_call_ops *ops;
    const struct rpc_handler *handler;
    _Atomic unsigned refs;
    _Atomic(void *) user;
    bool server;
    char *method, *peer;
    size_t n_metadata;
    struct rpc_pair metadata[RPC_METADATA_MAX];
};

/* One reference; copies the texts. false: no memory (rpc_call_release still has to be called). */
bool rpc_call_init(struct rpc_call *call, const struct rpc_call_ops *ops, const char *method,
                   const char *peer);
bool rpc_call_add_metadata(struct rpc_call *call, const char *key, size_t n_key, const char *value,
                           size_t n_value);
void rpc_call_release(struct rpc_call *call);

/* Callbacks, when there is one. A server call without on_drain finishes as unavailable. */
void rpc_call_opened(struct rpc_call *call);
void rpc_call_message(struct rpc_call *call, const uint8_t *data, size_t size);
void rpc_call_eof(struct rpc_call *call);
void rpc_call_drain(struct rpc_call *call);
void rpc_call_sent(struct rpc_call *call, size_t queued_bytes);
void rpc_call_done(struct rpc_call *call, enum status code, const char *message);

/* ---- ends ---- */

struct rpc_server_ops {
    uint16_t (*port)(const struct rpc_server *server);
    void (*stop)(struct rpc_server *server, uint32_t grace_ms);
    void (*free)(struct rpc_server *server);
    struct rpc_tls_files *(*files)(const struct rpc_server *server);    /* NULL: never has TLS */
};

struct rpc_server {
    const struct rpc_server_ops *ops;
    struct rpc_limits limits;
    struct rpc_guards guards;           /* with the defaults filled in */
    uint32_t calls_max;
    _Atomic uint64_t n_silent, n_stalled, n_refused, n_cut;
    size_t n_methods;
    struct rpc_method *methods;         /* owned, with their names */
};

/* What a client reads of a call that a guard ended, and what the server's on_done says. */
extern const char rpc_silent_text[], rpc_stalled_text[];

/* Calls open now, as the caps count them. */
struct rpc_open_counts {
    uint32_t calls, aside, aside_of_peer;
};

/* NULL: there is room for a call of this method (NULL: unknown, which is counted aside); else the
 * text of the refusal, which is counted. */
const char *rpc_no_room(struct rpc_server *server, const struct rpc_method *method,
                        struct rpc_open_counts open);

/* NULL: no such method. */
const struct rpc_method *rpc_find_method(const struct rpc_server *server, const char *name);

struct rpc_client_ops {
    enum status (*open)(struct rpc_client *client, const struct rpc_open_options *options,
                        struct rpc_call **out, struct error *err);
    /* Runs callbacks until *done; NULL: they run by themselves. false: nothing left to run. */
    bool (*pump_until)(struct rpc_client *client, const bool *done);
    bool (*on_callback_thread)(const struct rpc_client *client);
    void (*free)(struct rpc_client *client);
    struct rpc_tls_files *(*files)(const struct rpc_client *client);    /* NULL: never has TLS */
};

struct rpc_client {
    const struct rpc_client_ops *ops;
    struct rpc_limits limits;
    uint32_t connect_ms;
    char *target;                       /* owned */
};

/* The two implementations; the shared members are filled in by the caller (rpc.c). */
enum status rpc_grpc_server_new(const struct rpc_server_options *options, struct rpc_server **out,
                                struct error *err);
enum status rpc_grpc_client_new(const struct rpc_client_options *options, struct rpc_client **out,
                                struct error *err);
enum status rpc_local_server_new(const struct rpc_server_options *options, struct rpc_server **out,
                                 struct error *err);
enum status rpc_local_client_new(const struct rpc_client_options *options, struct rpc_client **out,
                                 struct error *err);

enum status rpc_server_init(struct rpc_server *server, const struct rpc_server_options *options,
                            struct error *err);
void rpc_server_release(struct rpc_server *server);
enum status rpc_client_init(struct rpc_client *client, const struct rpc_client_options *options,
                            struct error *err);
void rpc_client_release(struct rpc_client *client);

/* ---- status.c ---- */

/* gRPC's numbers for our codes and back. Not one to one: rpc_status_seen(code) is what the other
 * side gets for a code that we send. */
int rpc_status_number(enum status code);
enum status rpc_status_of(int number);
enum status rpc_status_seen(enum status code);

/* Where a status comes from: rpc_finish (its text stays as it is), or the link, after or before the
 * server accepted the call. */
enum rpc_source { RPC_FROM_SERVER, RPC_FROM_LINK, RPC_FROM_NEW_LINK };

/* The text for a user. `details` as gRPC gives it. */
void rpc_explain(char out[RPC_TEXT_MAX], const char *target, int number, const char *details,
                 enum rpc_source source);

/* "host:port" with a port of 0 to 65535, or "unix:path"; STATUS_INVALID. */
enum status rpc_check_address(const char *address, struct error *err);

/* Copies, cut at a whole character, with invalid UTF-8 repaired. */
void rpc_copy_text(char out[RPC_TEXT_MAX], const char *text);

#endif
