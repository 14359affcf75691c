#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include "base/log.h"
#include "rpc/link.h"

/* Some request_calls are always waiting: a call that is cancelled before one of them takes it is
 * never seen here, and could not be metered. Their failure is how the loop's thread learns that the
 * server is being stopped, so that on_drain runs where all callbacks run:
 *
 *   stop(): shutdown_and_notify -> accepts fail -> on_drain of all -> calls finish -> OP_SHUTDOWN
 *           wait(grace), else cancel_all_calls -> calls end -> OP_SHUTDOWN
 *   free(): queue shut, thread joined, server destroyed */

enum { ACCEPTS = 32 };

struct link_accept {
    struct link_tag tag;
    grpc_call *incoming;
    grpc_call_details details;
    grpc_metadata_array metadata;
};

struct link_server {
    struct rpc_server base;
    struct link_loop loop;
    grpc_server *core;
    int port;
    bool started, stopped;
    struct link_server_tls tls;
    struct link_accept accepts[ACCEPTS];
    struct link_tag shutdown_tag;

    /* on the loop's thread only */
    bool draining;
    struct link_peers peers;
    uint32_t n_aside;                   /* open; those of all other methods are the rest */
};

static void start_accept(struct link_server *server, struct link_accept *accept)
{
    accept->incoming = NULL;
    grpc_call_error rc = grpc_server_request_call(server->core, &accept->incoming, &accept->details,
                                                  &accept->metadata, server->loop.queue,
                                                  server->loop.queue, &accept->tag);
    SA_ASSERT(rc == GRPC_CALL_OK);
}

/* ---- accept ---- */

static bool copy_metadata(const struct link_accept *accept, struct rpc_call *call)
{
    for (size_t i = 0; i < accept->metadata.count; i++) {
        const grpc_metadata *m = &accept->metadata.metadata[i];
        if (!rpc_call_add_metadata(call, (const char *)GRPC_SLICE_START_PTR(m->key),
                                   GRPC_SLICE_LENGTH(m->key),
                                   (const char *)GRPC_SLICE_START_PTR(m->value),
                                   GRPC_SLICE_LENGTH(m->value)))
            return false;
    }
    return true;
}

/* NULL: no memory, and the core's call is gone. */
static struct link_call *take_incoming(struct link_server *server,
                                       const struct link_accept *accept)
{
    char *method = grpc_slice_to_c_string(accept->details.method);
    char *peer = grpc_call_get_peer(accept->incoming);
    struct link_call *call = link_call_new(&server->loop, &server->base.limits, method, peer);
    gpr_free(method);
    gpr_free(peer);
    if (call && !copy_metadata(accept, &call->base)) {
        rpc_unref(&call->base);
        call = NULL;
    }
    if (!call)
        grpc_call_unref(accept->incoming);
    return call;
}

/* Room, or the text of the refusal; counts the call, which is of `method` (NULL: unknown). */
static const char *enter(struct link_server *server, struct link_call *call,
                         const struct rpc_method *method)
{
    call->aside = !method || method->aside;
    call->from = link_peers_enter(&server->peers, call->base.peer, call->aside);
    server->n_aside += call->aside;
    if (!call->from)
        return "no memory for a call";
    /* Without this one: it is counted in n_aside and by the peer already, in the loop not yet. */
    return rpc_no_room(&server->base, method, (struct rpc_open_counts){
        .calls = server->loop.n_calls - (server->n_aside - call->aside),
        .aside = server->n_aside - call->aside,
        .aside_of_peer = call->from->n_aside - call->aside});
}

static void refuse(struct rpc_call *call, const char *no_room)
{
    char text[RPC_TEXT_MAX];
    snprintf(text, sizeof(text), "no method %s here", call->method);
    rpc_finish(call, no_room ? STATUS_EXHAUSTED : STATUS_UNSUPPORTED, no_room ? no_room : text);
}

static void accept_call(struct link_server *server, const struct link_accept *accept)
{
    static const struct rpc_handler nobody = {0};
    struct link_call *call = take_incoming(server, accept);
    if (!call)
        return;
    const struct rpc_method *method = rpc_find_method(&server->base, call->base.method);
    const char *no_room = enter(server, call, method);
    bool refused = no_room || !method;
    call->base.server = true;
    call->base.handler = refused ? &nobody : method->handler;
    if (!refused && method->handler->on_message)
        call->first_by_us = link_now_us() + server->base.guards.first_ms * 1000ull;
    rpc_set_user(&call->base, refused ? NULL : method->context);
    link_loop_add(&server->loop, call);
    link_call_begin(call, accept->incoming, NULL, 0);
    if (refused)
        refuse(&call->base, no_room);
    link_call_event(call, OP_OPEN, true);
    if (server->draining)
        link_call_drain(call);
}

static void drain(struct link_server *server)
{
    server->draining = true;
    for (struct link_call *call = server->loop.calls; call; call = call->next)
        link_call_drain(call);
}

static void clear_incoming(struct link_accept *accept)
{
    grpc_metadata_array_destroy(&accept->metadata);
    grpc_metadata_array_init(&accept->metadata);
    grpc_call_details_destroy(&accept->details);
    grpc_call_details_init(&accept->details);
}

void link_server_event(struct link_server *server, const struct link_tag *tag, bool success)
{
    struct link_accept *accept = (struct link_accept *)tag;     /* OP_ACCEPT: its first member */
    if (tag == &server->shutdown_tag) {
        pthread_mutex_lock(&server->loop.lock);
        server->loop.shut_down = true;
        pthread_cond_broadcast(&server->loop.changed);
        pthread_mutex_unlock(&server->loop.lock);
    } else if (success) {
        accept_call(server, accept);
        clear_incoming(accept);
        start_accept(server, accept);
    } else if (!server->draining) {
        drain(server);
    }
}

struct rpc_server *link_server_base(struct link_server *server)
{
    return &server->base;
}

void link_server_check_time(struct link_server *server, uint64_t now_us)
{
    link_peers_forget(&server->peers, now_us);
}

void link_server_call_over(struct link_server *server, struct link_call *call, bool reset)
{
    server->n_aside -= call->aside;
    if (!call->from || !link_peers_leave(&server->peers, call->from, call->aside, reset,
                                         link_now_us()))
        return;
    bool cut = link_peer_cut(call->base.peer);
    if (cut)
        atomic_fetch_add(&server->base.n_cut, 1);
    log_line(LOG_WARN, "%s cancels too many calls: %s", call->base.peer,
             cut ? "its connection was closed" : "its connection is gone");
}

/* ---- life ---- */

static uint16_t server_port(const struct rpc_server *base)
{
    return (uint16_t)((const struct link_server *)base)->port;
}

static void server_stop(struct rpc_server *base, uint32_t grace_ms)
{
    struct link_server *server = (struct link_server *)base;
    if (server->stopped || !server->started)
        return;
    SA_ASSERT(!link_loop_is_here(&server->loop));
    server->stopped = true;
    grpc_server_shutdown_and_notify(server->core, server->loop.queue, &server->shutdown_tag);
    bool drained = grace_ms && link_loop_wait(&server->loop, link_now_us() + grace_ms * 1000ull);
    if (!drained)
        grpc_server_cancel_all_calls(server->core);
    link_loop_wait(&server->loop, 0);
}

static void server_free(struct rpc_server *base)
{
    struct link_server *server = (struct link_server *)base;
    if (server->core && !server->started)
        grpc_server_shutdown_and_notify(server->core, server->loop.queue, &server->shutdown_tag);
    link_loop_release(&server->loop, server->started);
    if (server->core)
        grpc_server_destroy(server->core);
    for (size_t i = 0; i < ACCEPTS; i++) {
        grpc_metadata_array_destroy(&server->accepts[i].metadata);
        grpc_call_details_destroy(&server->accepts[i].details);
    }
    link_peers_release(&server->peers);
    rpc_tls_files_free(&server->tls.files);
    rpc_server_release(base);
    rpc_grpc_shutdown();
    free(server);
}

static struct rpc_tls_files *server_files(const struct rpc_server *base)
{
    return ((const struct link_server *)base)->tls.files;
}

static const struct rpc_server_ops ops = {
    .port = server_port,
    .stop = server_stop,
    .free = server_free,
    .files = server_files,
};

/* The client decides how often it pings; we only must not punish it. Our own pings find clients
 * that froze or lost their network, so that their sessions are freed. */
static grpc_server *create_core(const struct rpc_server_options *options,
                                const struct rpc_server *base)
{
    int interval = (int)(options->keepalive.interval_ms ? options->keepalive.interval_ms : 1000);
    int timeout = (int)(options->keepalive.timeout_ms ? options->keepalive.timeout_ms : 1500);
    const struct {
        const char *key;
        int value;
    } wanted[] = {
        {GRPC_ARG_ALLOW_REUSEPORT, 0},
        {GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)base->limits.message_max},
        {GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1},
        {GRPC_ARG_MAX_CONCURRENT_STREAMS, (int)base->guards.streams_max},
        {GRPC_ARG_KEEPALIVE_TIME_MS, interval},
        {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, timeout},
        {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
        {GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0},
        {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1},
        {GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0},
        {GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10000},
        {GRPC_ARG_ENABLE_CHANNELZ, 0},
    };
    grpc_arg args[ARRAY_LEN(wanted)];
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        args[i] = (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)wanted[i].key};
        args[i].value.integer = wanted[i].value;
    }
    grpc_channel_args all = {ARRAY_LEN(args), args};
    return grpc_server_create(&all, NULL);
}

/* The core returns no reason, but logs it. */
static enum status explain_listen(const struct rpc_server_options *options, struct error *err)
{
    const char *why = rpc_grpc_first_error();
    if (strcasestr(why, "Address already in use"))
        return error_set(err, STATUS_UNAVAILABLE,
                         "%s is in use by another program: choose another port, or 0 for any",
                         options->listen);
    if (strcasestr(why, "Permission denied"))
        return error_set(err, STATUS_DENIED, "no permission to listen on %s", options->listen);
    if (strcasestr(why, "private key") || strcasestr(why, "cert"))
        return error_set(err, STATUS_CORRUPT, "certificate %s and key %s cannot be used: %s",
                         options->tls.certificate, options->tls.key, why);
    if (strcasestr(why, "Cannot assign requested address"))
        return error_set(err, STATUS_UNAVAILABLE, "%s is no address of this machine",
                         options->listen);
    if (strcasestr(why, "not known"))
        return error_set(err, STATUS_UNAVAILABLE, "cannot listen on %s: no such host",
                         options->listen);
    return error_set(err, STATUS_UNAVAILABLE, "cannot listen on %s: %.*s", options->listen,
                     (int)strcspn(why, "{"), why);
}

static enum status listen_on(struct link_server *server, const struct rpc_server_options *options,
                             struct error *err)
{
    grpc_server_credentials *credentials = NULL;
    enum status rc = rpc_check_address(options->listen, err);
    if (rc == STATUS_OK)
        rc = link_tls_server(&options->tls, &server->tls, &credentials, err);
    if (rc != STATUS_OK)
        return rc;
    server->loop.files = server->tls.files;
    rpc_grpc_forget_errors();
    server->port = grpc_server_add_http2_port(server->core, options->listen, credentials);
    grpc_server_credentials_release(credentials);
    if (server->port == 0)
        return explain_listen(options, err);
    if (strncmp(options->listen, "unix:", 5) == 0)
        server->port = 0;               /* the core says 1 */
    grpc_server_start(server->core);
    return STATUS_OK;
}

enum status rpc_grpc_server_new(const struct rpc_server_options *options, struct rpc_server **out,
                                struct error *err)
{
    struct link_server *server = calloc(1, sizeof(*server));
    if (!server)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a server");
    rpc_grpc_init();
    server->base.ops = &ops;
    server->shutdown_tag.op = OP_SHUTDOWN;
    for (size_t i = 0; i < ACCEPTS; i++) {
        server->accepts[i].tag.op = OP_ACCEPT;
        grpc_metadata_array_init(&server->accepts[i].metadata);
        grpc_call_details_init(&server->accepts[i].details);
    }
    enum status rc = rpc_server_init(&server->base, options, err);
    if (rc == STATUS_OK)
        rc = link_loop_init(&server->loop, server, err);
    if (rc == STATUS_OK) {
        server->peers.resets_max = server->base.guards.resets_max;
        server->peers.resets_per_s = server->base.guards.resets_per_s;
        server->core = create_core(options, &server->base);
        grpc_server_register_completion_queue(server->core, server->loop.queue, NULL);
        rc = listen_on(server, options, err);
    }
    if (rc == STATUS_OK) {
        for (size_t i = 0; i < ACCEPTS; i++)
            start_accept(server, &server->accepts[i]);
        rc = link_loop_start(&server->loop, err);
        server->started = rc == STATUS_OK;
    }
    if (rc != STATUS_OK) {
        server_free(&server->base);
        return rc;
    }
    *out = &server->base;
    return STATUS_OK;
}
