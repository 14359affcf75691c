#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include "rpc/link.h"

/* One request_call is always waiting. Its failure is how the loop's thread learns that the server
 * is being stopped, so that on_drain runs where all callbacks run:
 *
 *   stop(): shutdown_and_notify -> accept fails -> on_drain of all -> calls finish -> OP_SHUTDOWN
 *           wait(grace), else cancel_all_calls -> calls end -> OP_SHUTDOWN
 *   free(): queue shut, thread joined, server destroyed */

struct link_server {
    struct rpc_server base;
    struct link_loop loop;
    grpc_server *core;
    int port;
    bool started, stopped;
    struct link_server_tls tls;
    bool draining;                      /* on the loop's thread only */

    struct link_tag accept_tag, shutdown_tag;
    grpc_call *incoming;
    grpc_call_details details;
    grpc_metadata_array metadata;
};

static void start_accept(struct link_server *server)
{
    server->incoming = NULL;
    grpc_call_error rc = grpc_server_request_call(server->core, &server->incoming, &server->details,
                                                  &server->metadata, server->loop.queue,
                                                  server->loop.queue, &server->accept_tag);
    SA_ASSERT(rc == GRPC_CALL_OK);
}

/* ---- accept ---- */

static bool copy_metadata(struct link_server *server, struct rpc_call *call)
{
    for (size_t i = 0; i < server->metadata.count; i++) {
        const grpc_metadata *m = &server->metadata.metadata[i];
        if (!rpc_call_add_metadata(call, (const char *)GRPC_SLICE_START_PTR(m->key),
                                   GRPC_SLICE_LENGTH(m->key),
                                   (const char *)GRPC_SLICE_START_PTR(m->value),
                                   GRPC_SLICE_LENGTH(m->value)))
            return false;
    }
    return true;
}

/* NULL: no memory, and the core's call is gone. */
static struct link_call *take_incoming(struct link_server *server)
{
    char *method = grpc_slice_to_c_string(server->details.method);
    char *peer = grpc_call_get_peer(server->incoming);
    struct link_call *call = link_call_new(&server->loop, &server->base.limits, method, peer);
    gpr_free(method);
    gpr_free(peer);
    if (call && !copy_metadata(server, &call->base)) {
        rpc_unref(&call->base);
        call = NULL;
    }
    if (!call)
        grpc_call_unref(server->incoming);
    return call;
}

static void refuse(struct rpc_call *call, bool full)
{
    char text[RPC_TEXT_MAX];
    if (full)
        snprintf(text, sizeof(text), "the server has as many calls as it takes: try later");
    else
        snprintf(text, sizeof(text), "no method %s here", call->method);
    rpc_finish(call, full ? STATUS_EXHAUSTED : STATUS_UNSUPPORTED, text);
}

static void accept_call(struct link_server *server)
{
    static const struct rpc_handler nobody = {0};
    struct link_call *call = take_incoming(server);
    if (!call)
        return;
    const struct rpc_method *method = rpc_find_method(&server->base, call->base.method);
    bool full = server->loop.n_calls >= server->base.calls_max;
    bool refused = full || !method;
    call->base.server = true;
    call->base.handler = refused ? &nobody : method->handler;
    rpc_set_user(&call->base, refused ? NULL : method->context);
    link_loop_add(&server->loop, call);
    link_call_begin(call, server->incoming, NULL, 0);
    if (refused)
        refuse(&call->base, full);
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

static void clear_incoming(struct link_server *server)
{
    grpc_metadata_array_destroy(&server->metadata);
    grpc_metadata_array_init(&server->metadata);
    grpc_call_details_destroy(&server->details);
    grpc_call_details_init(&server->details);
}

void link_server_event(struct link_server *server, enum link_op op, bool success)
{
    if (op == OP_SHUTDOWN) {
        pthread_mutex_lock(&server->loop.lock);
        server->loop.shut_down = true;
        pthread_cond_broadcast(&server->loop.changed);
        pthread_mutex_unlock(&server->loop.lock);
    } else if (success) {
        accept_call(server);
        clear_incoming(server);
        start_accept(server);
    } else {
        drain(server);
    }
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
    grpc_metadata_array_destroy(&server->metadata);
    grpc_call_details_destroy(&server->details);
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
                                const struct rpc_limits *limits)
{
    int interval = (int)(options->keepalive.interval_ms ? options->keepalive.interval_ms : 1000);
    int timeout = (int)(options->keepalive.timeout_ms ? options->keepalive.timeout_ms : 1500);
    const struct {
        const char *key;
        int value;
    } wanted[] = {
        {GRPC_ARG_ALLOW_REUSEPORT, 0},
        {GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)limits->message_max},
        {GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1},
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
    server->accept_tag.op = OP_ACCEPT;
    server->shutdown_tag.op = OP_SHUTDOWN;
    grpc_metadata_array_init(&server->metadata);
    grpc_call_details_init(&server->details);
    enum status rc = rpc_server_init(&server->base, options, err);
    if (rc == STATUS_OK)
        rc = link_loop_init(&server->loop, server, err);
    if (rc == STATUS_OK) {
        server->core = create_core(options, &server->base.limits);
        grpc_server_register_completion_queue(server->core, server->loop.queue, NULL);
        rc = listen_on(server, options, err);
    }
    if (rc == STATUS_OK) {
        start_accept(server);
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
