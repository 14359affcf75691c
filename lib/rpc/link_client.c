#include <stdlib.h>
#include <string.h>

#include <grpc/slice.h>
#include <grpc/support/time.h>

#include "rpc/link.h"

struct link_client {
    struct rpc_client base;
    struct link_loop own;
    struct link_loop *loop;             /* own, or that of options.thread_of; NULL: none yet */
    bool started;                       /* the own one */
    struct rpc_keepalive keepalive;
    char *server_name;
    struct rpc_tls_files *files;        /* NULL: plaintext */
    pthread_mutex_t lock;               /* of the two below */
    grpc_channel *channel;
    uint32_t generation;                /* of the files that the channel was made with */
};

/* MIN_RECONNECT_BACKOFF is left alone: it would be the connect timeout as well. A proxy from the
 * environment is not wanted: the target is what the user wrote. */
static grpc_channel *create_channel(struct link_client *client)
{
    const struct rpc_keepalive *keepalive = &client->keepalive;
    int interval = (int)(keepalive->interval_ms ? keepalive->interval_ms : 1000);
    int timeout = (int)(keepalive->timeout_ms ? keepalive->timeout_ms : 1500);
    const struct {
        const char *key;
        int value;
    } wanted[] = {
        {GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)client->base.limits.message_max},
        {GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1},
        {GRPC_ARG_KEEPALIVE_TIME_MS, interval},
        {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, timeout},
        {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
        {GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0},
        {GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100},
        {GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000},
        {GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1},
        {GRPC_ARG_ENABLE_HTTP_PROXY, 0},
        {GRPC_ARG_ENABLE_RETRIES, 0},
        {GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1},
        {GRPC_ARG_ENABLE_CHANNELZ, 0},
    };
    grpc_arg args[ARRAY_LEN(wanted) + 1];
    size_t n = 0;
    for (; n < ARRAY_LEN(wanted); n++) {
        args[n] = (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)wanted[n].key};
        args[n].value.integer = wanted[n].value;
    }
    if (client->server_name) {
        args[n] = (grpc_arg){.type = GRPC_ARG_STRING, .key = GRPC_SSL_TARGET_NAME_OVERRIDE_ARG};
        args[n++].value.string = client->server_name;
    }
    grpc_channel_args all = {n, args};
    grpc_channel_credentials *credentials = link_tls_client(client->files, &client->generation);
    grpc_channel *channel = grpc_channel_create(client->base.target, credentials, &all);
    grpc_channel_credentials_release(credentials);
    return channel;
}

/* A renewed certificate needs a new channel: the next call has it. Calls of the old one go on, on
 * its connection, which ends with the last of them. */
static grpc_call *create_call(struct link_client *client, grpc_slice method, gpr_timespec deadline)
{
    uint32_t generation = 0;
    pthread_mutex_lock(&client->lock);
    if (client->files) {
        (void)rpc_tls_files_refresh(client->files, false, NULL);    /* a failure is in the log */
        rpc_tls_files_lock(client->files, &generation);
        rpc_tls_files_unlock(client->files);
    }
    if (generation != client->generation) {
        grpc_channel_destroy(client->channel);
        client->channel = create_channel(client);
    }
    grpc_call *core = grpc_channel_create_call(client->channel, NULL, 0, client->loop->queue,
                                               method, NULL, deadline, NULL);
    pthread_mutex_unlock(&client->lock);
    return core;
}

static enum status client_open(struct rpc_client *base, const struct rpc_open_options *options,
                               struct rpc_call **out, struct error *err)
{
    struct link_client *client = (struct link_client *)base;
    struct link_call *call = link_call_new(client->loop, &base->limits, options->method,
                                           base->target);
    if (call)
        call->target = strdup(base->target);
    if (!call || !call->target) {
        if (call)
            rpc_unref(&call->base);
        return error_set(err, STATUS_NO_MEMORY, "no memory for a call");
    }
    call->base.handler = options->handler;
    rpc_set_user(&call->base, options->user);
    call->connect_by_us = link_now_us() + base->connect_ms * 1000ull;
    gpr_timespec deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    if (options->deadline_ms)
        deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                gpr_time_from_millis(options->deadline_ms, GPR_TIMESPAN));
    grpc_slice method = grpc_slice_from_copied_string(options->method);
    grpc_call *core = create_call(client, method, deadline);
    grpc_slice_unref(method);
    *out = rpc_ref(&call->base);
    call->owner = client;
    link_loop_add(client->loop, call);
    link_call_begin(call, core, options->metadata, options->n_metadata);
    return STATUS_OK;
}

/* Takes one living call that is not cancelled yet, under the list's lock; NULL: none. */
static struct rpc_call *next_to_cancel(struct link_loop *loop, const struct link_client *owner)
{
    struct rpc_call *found = NULL;
    pthread_mutex_lock(&loop->lock);
    for (struct link_call *call = loop->calls; call && !found; call = call->next) {
        if (call->owner != owner)
            continue;
        pthread_mutex_lock(&call->lock);
        if (!call->cancelled && !call->ended)
            found = rpc_ref(&call->base);
        pthread_mutex_unlock(&call->lock);
    }
    pthread_mutex_unlock(&loop->lock);
    return found;
}

/* Of a thread that serves several clients: until the calls of this one are over. */
static void wait_for_own_calls(struct link_loop *loop, const struct link_client *owner)
{
    bool over = false;
    pthread_mutex_lock(&loop->lock);
    while (!over) {
        over = true;
        for (const struct link_call *call = loop->calls; call && over; call = call->next)
            over = call->owner != owner;
        if (!over)
            pthread_cond_wait(&loop->changed, &loop->lock);
    }
    pthread_mutex_unlock(&loop->lock);
}

static void client_free(struct rpc_client *base)
{
    struct link_client *client = (struct link_client *)base;
    if (client->loop) {
        SA_ASSERT(!link_loop_is_here(client->loop));
        for (struct rpc_call *call; (call = next_to_cancel(client->loop, client)) != NULL;) {
            rpc_cancel(call);
            rpc_unref(call);
        }
        wait_for_own_calls(client->loop, client);
    }
    if (client->channel)
        grpc_channel_destroy(client->channel);
    link_loop_release(&client->own, client->started);
    rpc_tls_files_free(&client->files);
    pthread_mutex_destroy(&client->lock);
    free(client->server_name);
    rpc_client_release(base);
    rpc_grpc_shutdown();
    free(client);
}

static bool client_on_callback_thread(const struct rpc_client *base)
{
    return link_loop_is_here(((const struct link_client *)base)->loop);
}

static struct rpc_tls_files *client_files(const struct rpc_client *base)
{
    return ((const struct link_client *)base)->files;
}

static const struct rpc_client_ops ops = {
    .open = client_open,
    .on_callback_thread = client_on_callback_thread,
    .free = client_free,
    .files = client_files,
};

static enum status start_loop(struct link_client *client, struct rpc_client *thread_of,
                              struct error *err)
{
    if (thread_of) {
        SA_ASSERT(thread_of->ops == &ops);
        client->loop = ((struct link_client *)thread_of)->loop;
        return STATUS_OK;
    }
    enum status rc = link_loop_init(&client->own, NULL, err);
    if (rc != STATUS_OK)
        return rc;
    client->own.files = client->files;
    rc = link_loop_start(&client->own, err);
    client->started = rc == STATUS_OK;
    client->loop = client->started ? &client->own : NULL;
    return rc;
}

enum status rpc_grpc_client_new(const struct rpc_client_options *options, struct rpc_client **out,
                                struct error *err)
{
    struct link_client *client = calloc(1, sizeof(*client));
    if (!client)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a client");
    rpc_grpc_init();
    client->base.ops = &ops;
    client->keepalive = options->keepalive;
    pthread_mutex_init(&client->lock, NULL);
    enum status rc = rpc_client_init(&client->base, options, err);
    if (rc == STATUS_OK && options->tls.server_name) {
        client->server_name = strdup(options->tls.server_name);
        rc = client->server_name ? STATUS_OK
                                 : error_set(err, STATUS_NO_MEMORY, "no memory for a client");
    }
    if (rc == STATUS_OK)
        rc = rpc_check_address(options->target, err);
    if (rc == STATUS_OK)
        rc = link_tls_files(&options->tls, &client->files, err);
    if (rc == STATUS_OK)
        rc = start_loop(client, options->thread_of, err);
    if (rc == STATUS_OK)
        client->channel = create_channel(client);
    if (rc != STATUS_OK) {
        client_free(&client->base);
        return rc;
    }
    *out = &client->base;
    return STATUS_OK;
}
