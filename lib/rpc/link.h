/* link.h: the gRPC implementation, private to its files.
 *
 * One completion queue and one thread per server and per client. All callbacks run there.
 * Everything that is started on a call is started under the call's lock, while `ended` is false
 * (after the end the core aborts on misuse), and holds a bit in `in_flight` until its tag comes
 * back:
 *
 *   START  initial metadata out          OPEN   initial metadata in (client)
 *   SEND   one message out               RECV   one message in
 *   CLOSE  half-close, or the status out END    the status in (client), or the end seen (server)
 *
 * END is started first and comes last or nearly so; when it has come and nothing is in flight,
 * on_done runs and the core's call is let go. Out-pointers live in the call, which a reference of
 * the implementation keeps until then.
 */
#ifndef RPC_LINK_H
#define RPC_LINK_H

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <pthread.h>

#include "rpc/link_peers.h"
#include "rpc/rpc_int.h"
#include "rpc/tls_files.h"

enum link_op { OP_START, OP_OPEN, OP_SEND, OP_RECV, OP_CLOSE, OP_END, OP_CALL_N,
               OP_ACCEPT = OP_CALL_N, OP_SHUTDOWN };

struct link_call;

struct link_tag {
    struct link_call *call;             /* NULL: the tag belongs to the server */
    enum link_op op;
};

/* A completion queue, its thread, and the calls that live on it. */
struct link_loop {
    grpc_completion_queue *queue;
    pthread_t thread;
    pthread_mutex_t lock;               /* of the list; taken before a call's lock */
    pthread_cond_t changed;             /* CLOCK_MONOTONIC; the list or `shut_down` changed */
    struct link_call *calls;
    uint32_t n_calls;
    bool shut_down;                     /* server: OP_SHUTDOWN has come */
    struct link_server *server;         /* who gets tags without a call */
    struct rpc_tls_files *files;        /* looked at once a second; NULL: no TLS */
};

struct link_call {
    struct rpc_call base;
    struct link_loop *loop;
    struct link_call *next, **link;     /* in loop->calls, under loop->lock */
    struct link_tag tags[OP_CALL_N];
    const void *owner;                  /* the client whose call it is; NULL: a server's */
    struct link_peer *from;             /* server: the connection; the loop's thread only */
    bool aside;                         /* server: as its method */
    char *target;                       /* client: for texts */
    uint64_t connect_by_us;             /* client: the server must have accepted by then */
    uint32_t connect_ms;

    pthread_mutex_t lock;               /* of everything below */
    grpc_call *core;                    /* NULL before and after */
    struct rpc_outbox outbox;           /* the first message is the one in flight */
    unsigned in_flight;                 /* bits of enum link_op */
    bool started, opened, held, no_more, closing, closed, cancelled, ended, drained, stalled;
    uint64_t first_by_us;               /* server: the first message must be here; 0: it is */
    uint64_t moved_us;                  /* when the last send or close began or was over */
    enum status finish_code;
    char finish_text[RPC_TEXT_MAX];

    /* what the core writes to */
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *incoming;
    grpc_status_code status;
    grpc_slice details;
    int was_cancelled;
};

/* ---- link_loop.c ---- */

/* grpc_init with our log function; each is undone by one rpc_grpc_shutdown. */
void rpc_grpc_init(void);
void rpc_grpc_shutdown(void);

/* The first error that the core logged on this thread since they were forgotten; "" if none. */
void rpc_grpc_forget_errors(void);
const char *rpc_grpc_first_error(void);

enum status link_loop_init(struct link_loop *loop, struct link_server *server, struct error *err);
enum status link_loop_start(struct link_loop *loop, struct error *err);
bool link_loop_is_here(const struct link_loop *loop);

/* Waits until there are no calls (and, for a server, the core is shut down) or deadline_us on the
 * monotonic clock (0: forever); false when the time is over. */
bool link_loop_wait(struct link_loop *loop, uint64_t deadline_us);

/* No call may be left. Joins the thread when it was started. */
void link_loop_release(struct link_loop *loop, bool started);
void link_loop_add(struct link_loop *loop, struct link_call *call);
void link_loop_remove(struct link_loop *loop, struct link_call *call);

uint64_t link_now_us(void);

/* ---- link_call.c ---- */

/* One reference, the implementation's; the core's call is taken over on success of
 * link_call_begin. */
struct link_call *link_call_new(struct link_loop *loop, const struct rpc_limits *limits,
                                const char *method, const char *peer);

/* Starts END, and on a client START, with the caller's metadata, and OPEN. */
void link_call_begin(struct link_call *call, grpc_call *core, const struct rpc_metadata *metadata,
                     size_t n_metadata);

/* An event of the completion queue. */
void link_call_event(struct link_call *call, enum link_op op, bool success);

/* On the loop's thread: gives on_drain once. */
void link_call_drain(struct link_call *call);

/* On the loop's thread: ends a client's call that was not accepted in time, and a server's whose
 * client sends nothing at first or takes nothing. */
void link_call_check_time(struct link_call *call, uint64_t now_us);

/* ---- link_server.c ---- */

void link_server_event(struct link_server *server, const struct link_tag *tag, bool success);

/* On the loop's thread, now and then. */
void link_server_check_time(struct link_server *server, uint64_t now_us);

/* What its guards allow; and that a call is over: `reset` when the client cancelled it. */
struct rpc_server *link_server_base(struct link_server *server);
void link_server_call_over(struct link_server *server, struct link_call *call, bool reset);

/* ---- link_tls.c ---- */

/* What the core asks a server for before each handshake. */
struct link_server_tls {
    struct rpc_tls_files *files;        /* NULL: plaintext; the server frees it after the core */
    uint32_t given;                     /* the generation that the core has; its lock */
};

enum status link_tls_server(const struct rpc_tls *tls, struct link_server_tls *out,
                            grpc_server_credentials **credentials, struct error *err);

/* A client's files; *out is NULL for plaintext. */
enum status link_tls_files(const struct rpc_tls *tls, struct rpc_tls_files **out,
                           struct error *err);

/* Credentials of what the files say now, and which reading that is. */
grpc_channel_credentials *link_tls_client(struct rpc_tls_files *files, uint32_t *generation);

#endif
