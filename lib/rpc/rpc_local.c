#include "rpc/rpc_local.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rpc/local.h"

/* ---- the runner ---- */

/* With the lock held. Ends the calls whose time is over; returns the next deadline (0: none). */
static uint64_t expire(struct rpc_network *network)
{
    uint64_t now_us = clock_us(&network->clock), next_us = 0;
    for (struct local_half *half = network->halves; half; half = half->next) {
        uint64_t due_us = half->over ? 0 : local_expire(half, now_us);
        if (due_us && (!next_us || due_us < next_us))
            next_us = due_us;
    }
    return next_us;
}

/* With the lock held (and let go during the callback). false: nobody is ready. */
static bool run_one(struct rpc_network *network)
{
    for (;;) {
        struct local_half *half = network->ready_first;
        if (!half)
            return false;
        network->ready_first = half->next_ready;
        if (!network->ready_first)
            network->ready_last = NULL;
        half->queued = false;
        if (local_step(half))
            return true;
    }
}

static void *run(void *argument)
{
    struct rpc_network *network = argument;
    pthread_mutex_lock(&network->lock);
    while (!network->quit) {
        uint64_t next_us = expire(network);
        if (run_one(network))
            continue;
        struct timespec at = {(time_t)(next_us / 1000000), (long)(next_us % 1000000) * 1000};
        if (network->quit)
            break;
        if (next_us)
            pthread_cond_timedwait(&network->work, &network->lock, &at);
        else
            pthread_cond_wait(&network->work, &network->lock);
    }
    pthread_mutex_unlock(&network->lock);
    return NULL;
}

/* The real clock must be the one of pthread_cond_timedwait. */
static uint64_t monotonic_us(void *context)
{
    (void)context;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

enum status rpc_network_new(const struct clock *clock, struct rpc_network **out, struct error *err)
{
    struct rpc_network *network = calloc(1, sizeof(*network));
    *out = NULL;
    if (!network)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a network");
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&network->lock, NULL);
    pthread_cond_init(&network->work, &attributes);
    pthread_cond_init(&network->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    network->threaded = !clock;
    network->clock = clock ? *clock : (struct clock){monotonic_us, NULL};
    int rc = network->threaded ? pthread_create(&network->thread, NULL, run, network) : 0;
    if (rc != 0) {
        network->threaded = false;
        rpc_network_free(&network);
        return error_set(err, STATUS_EXHAUSTED, "cannot start a thread: %s", strerror(rc));
    }
    *out = network;
    return STATUS_OK;
}

void rpc_network_free(struct rpc_network **network)
{
    struct rpc_network *n = *network;
    if (!n)
        return;
    SA_ASSERT(n->n_ends == 0 && !n->halves);
    if (n->threaded) {
        pthread_mutex_lock(&n->lock);
        n->quit = true;
        pthread_cond_signal(&n->work);
        pthread_mutex_unlock(&n->lock);
        pthread_join(n->thread, NULL);
    }
    pthread_cond_destroy(&n->work);
    pthread_cond_destroy(&n->changed);
    pthread_mutex_destroy(&n->lock);
    free(n);
    *network = NULL;
}

size_t rpc_network_pump(struct rpc_network *network, size_t max)
{
    size_t n = 0;
    SA_ASSERT(!network->threaded);
    pthread_mutex_lock(&network->lock);
    SA_ASSERT(!network->in_callback);
    do
        expire(network);
    while ((!max || n < max) && run_one(network) && ++n);
    pthread_mutex_unlock(&network->lock);
    return n;
}

void rpc_network_cut(struct rpc_network *network, const char *address)
{
    pthread_mutex_lock(&network->lock);
    for (struct local_half *half = network->halves; half; half = half->next)
        if (!half->base.server && half->server && strcmp(half->base.peer, address) == 0)
            local_break(half, 14, "Socket closed");
    pthread_mutex_unlock(&network->lock);
}

/* With the lock held: until *n_calls is 0. false: the deadline passed, or a pumped network is
 * idle. */
static bool wait_for_calls(struct rpc_network *network, const uint32_t *n_calls,
                           uint64_t deadline_us)
{
    struct timespec at = {(time_t)(deadline_us / 1000000), (long)(deadline_us % 1000000) * 1000};
    int rc = 0;
    while (*n_calls > 0 && rc == 0) {
        if (!network->threaded)
            rc = run_one(network) ? 0 : -1;
        else if (deadline_us)
            rc = pthread_cond_timedwait(&network->changed, &network->lock, &at);
        else
            rc = pthread_cond_wait(&network->changed, &network->lock);
    }
    return *n_calls == 0;
}

static bool is_runner(const struct rpc_network *network)
{
    return network->threaded ? pthread_equal(network->thread, pthread_self())
                             : network->in_callback;
}

/* ---- server ---- */

static uint16_t server_port(const struct rpc_server *base)
{
    (void)base;
    return 0;
}

static void server_stop(struct rpc_server *base, uint32_t grace_ms)
{
    struct local_server *server = (struct local_server *)base;
    struct rpc_network *network = server->network;
    SA_ASSERT(!is_runner(network));
    pthread_mutex_lock(&network->lock);
    if (!server->stopping) {
        server->stopping = true;
        for (struct local_half *half = network->halves; half; half = half->next) {
            if (half->base.server && half->server == server) {
                half->drain_wanted = true;
                local_ready(half);
            }
        }
        uint64_t deadline_us = monotonic_us(NULL) + grace_ms * 1000ull;
        bool drained = grace_ms && wait_for_calls(network, &server->n_calls, deadline_us);
        for (struct local_half *half = network->halves; half && !drained; half = half->next)
            if (half->base.server && half->server == server)
                local_end(half, STATUS_CANCELLED, "the call was cancelled here");
        SA_ASSERT(wait_for_calls(network, &server->n_calls, 0));
    }
    pthread_mutex_unlock(&network->lock);
}

static void server_free(struct rpc_server *base)
{
    struct local_server *server = (struct local_server *)base;
    struct rpc_network *network = server->network;
    pthread_mutex_lock(&network->lock);
    for (struct local_server **p = &network->servers; *p; p = &(*p)->next) {
        if (*p == server) {
            *p = server->next;
            break;
        }
    }
    /* Client halves may outlive the server; they only compared its address. */
    for (struct local_half *half = network->halves; half; half = half->next)
        if (half->server == server)
            half->server = NULL;
    network->n_ends--;
    pthread_mutex_unlock(&network->lock);
    free(server->address);
    rpc_server_release(base);
    free(server);
}

static const struct rpc_server_ops server_ops = {
    .port = server_port,
    .stop = server_stop,
    .free = server_free,
};

static struct local_server *find_server(struct rpc_network *network, const char *address)
{
    for (struct local_server *server = network->servers; server; server = server->next)
        if (!server->stopping && strcmp(server->address, address) == 0)
            return server;
    return NULL;
}

enum status rpc_local_server_new(const struct rpc_server_options *options, struct rpc_server **out,
                                 struct error *err)
{
    struct rpc_network *network = options->network;
    struct local_server *server = calloc(1, sizeof(*server));
    if (!server)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a server");
    server->base.ops = &server_ops;
    server->network = network;
    enum status rc = rpc_server_init(&server->base, options, err);
    if (rc == STATUS_OK) {
        server->address = strdup(options->listen);
        rc = server->address ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "no memory");
    }
    pthread_mutex_lock(&network->lock);
    network->n_ends++;
    if (rc == STATUS_OK && find_server(network, options->listen))
        rc = error_set(err, STATUS_UNAVAILABLE,
                       "%s is in use by another program: choose another port, or 0 for any",
                       options->listen);
    if (rc == STATUS_OK) {
        server->next = network->servers;
        network->servers = server;
    }
    pthread_mutex_unlock(&network->lock);
    if (rc != STATUS_OK) {
        server_free(&server->base);
        return rc;
    }
    *out = &server->base;
    return STATUS_OK;
}

/* ---- client ---- */

/* With the lock held. The server's half of a new call, or an outcome for the client's. */
static void connect_half(struct local_half *half, const struct rpc_open_options *options)
{
    struct rpc_network *network = half->network;
    struct local_server *server = find_server(network, half->base.peer);
    if (!server) {
        local_break(half, 14, "Connection refused");
        return;
    }
    const struct rpc_method *method = rpc_find_method(&server->base, options->method);
    const char *no_room = rpc_no_room(&server->base, method, (struct rpc_open_counts){
        .calls = server->n_open - server->n_aside, .aside = server->n_aside,
        .aside_of_peer = half->client->n_aside});
    if (no_room) {
        local_end(half, STATUS_EXHAUSTED, no_room);
        return;
    }
    if (!method) {
        struct error text;
        error_set(&text, STATUS_UNSUPPORTED, "no method %s here", options->method);
        local_end(half, STATUS_UNSUPPORTED, text.text);
        return;
    }
    struct local_half *other = local_half_new(network, &server->base.limits, options->method,
                                              "local");
    if (!other) {
        local_end(half, STATUS_NO_MEMORY, "no memory for a call");
        return;
    }
    other->base.server = true;
    other->base.handler = method->handler;
    rpc_set_user(&other->base, method->context);
    other->server = half->server = server;
    other->client = half->client;
    other->peer = half;
    half->peer = other;
    other->aside = method->aside;
    other->moved_us = clock_us(&network->clock);
    if (method->handler->on_message)
        other->first_by_us = other->moved_us + server->base.guards.first_ms * 1000ull;
    server->n_aside += other->aside;
    other->client->n_aside += other->aside;
    server->n_open++;
    server->n_calls++;
    other->accepted = true;
    for (size_t i = 0; i < options->n_metadata; i++) {
        const struct rpc_metadata *m = &options->metadata[i];
        if (!rpc_call_add_metadata(&other->base, m->key, strlen(m->key), m->value,
                                   strlen(m->value)))
            local_end(half, STATUS_NO_MEMORY, "no memory for metadata");
    }
    local_ready(other);
}

static enum status client_open(struct rpc_client *base, const struct rpc_open_options *options,
                               struct rpc_call **out, struct error *err)
{
    struct local_client *client = (struct local_client *)base;
    struct rpc_network *network = client->network;
    pthread_mutex_lock(&network->lock);
    struct local_half *half = local_half_new(network, &base->limits, options->method, base->target);
    if (half) {
        half->base.handler = options->handler;
        half->client = client;
        client->n_calls++;
        rpc_set_user(&half->base, options->user);
        if (options->deadline_ms)
            half->deadline_us = clock_us(&network->clock) + options->deadline_ms * 1000ull;
        *out = rpc_ref(&half->base);
        connect_half(half, options);
        pthread_cond_signal(&network->work);    /* for the deadline */
    }
    pthread_mutex_unlock(&network->lock);
    return half ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "no memory for a call");
}

static bool client_pump_until(struct rpc_client *base, const bool *done)
{
    struct rpc_network *network = ((struct local_client *)base)->network;
    bool more = true;
    pthread_mutex_lock(&network->lock);
    while (more && !*done) {
        expire(network);
        more = run_one(network);
    }
    pthread_mutex_unlock(&network->lock);
    return *done;
}

static bool client_on_callback_thread(const struct rpc_client *base)
{
    return is_runner(((const struct local_client *)base)->network);
}

static void client_free(struct rpc_client *base)
{
    struct local_client *client = (struct local_client *)base;
    struct rpc_network *network = client->network;
    SA_ASSERT(!is_runner(network));
    pthread_mutex_lock(&network->lock);
    for (struct local_half *half = network->halves; half; half = half->next)
        if (!half->base.server && half->client == client)
            local_end(half, STATUS_CANCELLED, "the call was cancelled");
    SA_ASSERT(wait_for_calls(network, &client->n_calls, 0));
    for (struct local_half *half = network->halves; half; half = half->next)
        if (half->client == client)
            half->client = NULL;            /* a server's, which has not heard of the end yet */
    network->n_ends--;
    pthread_mutex_unlock(&network->lock);
    rpc_client_release(base);
    free(client);
}

static const struct rpc_client_ops threaded_ops = {
    .open = client_open,
    .on_callback_thread = client_on_callback_thread,
    .free = client_free,
};

static const struct rpc_client_ops pumped_ops = {
    .open = client_open,
    .pump_until = client_pump_until,
    .on_callback_thread = client_on_callback_thread,
    .free = client_free,
};

enum status rpc_local_client_new(const struct rpc_client_options *options, struct rpc_client **out,
                                 struct error *err)
{
    struct local_client *client = calloc(1, sizeof(*client));
    if (!client)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a client");
    client->base.ops = options->network->threaded ? &threaded_ops : &pumped_ops;
    client->network = options->network;
    enum status rc = rpc_client_init(&client->base, options, err);
    if (rc != STATUS_OK) {
        rpc_client_release(&client->base);
        free(client);
        return rc;
    }
    pthread_mutex_lock(&client->network->lock);
    client->network->n_ends++;
    pthread_mutex_unlock(&client->network->lock);
    *out = &client->base;
    return STATUS_OK;
}
