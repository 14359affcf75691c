#include "rpc/rpc.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/rpc_int.h"
#include "rpc/tls_files.h"

/* The façade: options with their defaults, references, callbacks, and rpc_unary, which is the same
 * for both implementations. Everything that differs goes through the three tables of rpc_int.h. */

/* ---- options ---- */

static struct rpc_limits with_defaults(struct rpc_limits limits)
{
    if (!limits.message_max)
        limits.message_max = (1 << 20) + (64 << 10);
    if (!limits.queue_bytes)
        limits.queue_bytes = 4 << 20;
    if (!limits.queue_messages)
        limits.queue_messages = 1024;
    return limits;
}

static struct rpc_guards with_default_guards(struct rpc_guards guards)
{
    const struct {
        uint32_t *member, value;
    } defaults[] = {
        {&guards.first_ms, 5000},  {&guards.stall_ms, 10000},     {&guards.aside_max, 1024},
        {&guards.aside_peer_max, 128}, {&guards.streams_max, 1024}, {&guards.resets_max, 200},
        {&guards.resets_per_s, 20},
    };
    for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
        if (*defaults[i].member == 0)
            *defaults[i].member = defaults[i].value;
    return guards;
}

static bool method_name_ok(const char *name)
{
    static const char allowed[] = "/._-abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t n = name ? strlen(name) : 0;
    return n >= 2 && n < 256 && name[0] == '/' && strspn(name, allowed) == n;
}

enum status rpc_server_init(struct rpc_server *server, const struct rpc_server_options *options,
                            struct error *err)
{
    server->limits = with_defaults(options->limits);
    server->guards = with_default_guards(options->guards);
    server->calls_max = options->calls_max ? options->calls_max : 1024;
    if (!options->listen || !options->listen[0])
        return error_set(err, STATUS_INVALID, "no address to listen on: give host:port");
    server->methods = calloc(options->n_methods + 1, sizeof(*server->methods));
    if (!server->methods)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a server");
    for (size_t i = 0; i < options->n_methods; i++) {
        SA_ASSERT(method_name_ok(options->methods[i].name) && options->methods[i].handler);
        server->methods[i] = options->methods[i];
        server->methods[i].name = strdup(options->methods[i].name);
        if (!server->methods[i].name)
            return error_set(err, STATUS_NO_MEMORY, "no memory for a server");
        server->n_methods++;
    }
    return STATUS_OK;
}

void rpc_server_release(struct rpc_server *server)
{
    for (size_t i = 0; i < server->n_methods; i++)
        free((char *)server->methods[i].name);
    free(server->methods);
}

const struct rpc_method *rpc_find_method(const struct rpc_server *server, const char *name)
{
    for (size_t i = 0; i < server->n_methods; i++)
        if (strcmp(server->methods[i].name, name) == 0)
            return &server->methods[i];
    return NULL;
}

const char rpc_silent_text[] = "no message came: a call begins with one";
const char rpc_stalled_text[] = "the client does not read what is sent to it";

const char *rpc_no_room(struct rpc_server *server, const struct rpc_method *method,
                        struct rpc_open_counts open)
{
    const struct rpc_guards *guards = &server->guards;
    const char *why = NULL;
    if (method && !method->aside && open.calls >= server->calls_max)
        why = "the server has as many calls as it takes: try later";
    else if ((!method || method->aside) && open.aside >= guards->aside_max)
        why = "the server has as many short calls as it takes: try later";
    else if ((!method || method->aside) && open.aside_of_peer >= guards->aside_peer_max)
        why = "this connection has as many short calls as it may have: end some";
    if (why)
        atomic_fetch_add(&server->n_refused, 1);
    return why;
}

enum status rpc_client_init(struct rpc_client *client, const struct rpc_client_options *options,
                            struct error *err)
{
    client->limits = with_defaults(options->limits);
    client->connect_ms = options->connect_ms ? options->connect_ms : 5000;
    if (!options->target || !options->target[0])
        return error_set(err, STATUS_INVALID, "no target address: give host:port");
    client->target = strdup(options->target);
    return client->target ? STATUS_OK
                          : error_set(err, STATUS_NO_MEMORY, "no memory for a client");
}

void rpc_client_release(struct rpc_client *client)
{
    free(client->target);
}

/* ---- ends ---- */

enum status rpc_server_new(const struct rpc_server_options *options, struct rpc_server **out,
                           struct error *err)
{
    *out = NULL;
    return options->network ? rpc_local_server_new(options, out, err)
                            : rpc_grpc_server_new(options, out, err);
}

uint16_t rpc_server_port(const struct rpc_server *server)
{
    return server->ops->port(server);
}

struct rpc_server_counts rpc_server_counts(const struct rpc_server *server)
{
    return (struct rpc_server_counts){.silent = atomic_load(&server->n_silent),
                                      .stalled = atomic_load(&server->n_stalled),
                                      .refused = atomic_load(&server->n_refused),
                                      .cut = atomic_load(&server->n_cut)};
}

enum status rpc_server_reload(struct rpc_server *server, struct error *err)
{
    struct rpc_tls_files *files = server->ops->files ? server->ops->files(server) : NULL;
    return files ? rpc_tls_files_refresh(files, true, err) : STATUS_OK;
}

int64_t rpc_server_certificate_expiry(const struct rpc_server *server)
{
    struct rpc_tls_files *files = server->ops->files ? server->ops->files(server) : NULL;
    return files ? rpc_tls_files_expiry(files) : 0;
}

int64_t rpc_client_certificate_expiry(const struct rpc_client *client)
{
    struct rpc_tls_files *files = client->ops->files ? client->ops->files(client) : NULL;
    return files ? rpc_tls_files_expiry(files) : 0;
}

void rpc_server_stop(struct rpc_server *server, uint32_t grace_ms)
{
    server->ops->stop(server, grace_ms);
}

void rpc_server_free(struct rpc_server **server)
{
    if (!*server)
        return;
    (*server)->ops->stop(*server, 0);
    (*server)->ops->free(*server);
    *server = NULL;
}

enum status rpc_client_new(const struct rpc_client_options *options, struct rpc_client **out,
                           struct error *err)
{
    *out = NULL;
    return options->network ? rpc_local_client_new(options, out, err)
                            : rpc_grpc_client_new(options, out, err);
}

void rpc_client_free(struct rpc_client **client)
{
    if (!*client)
        return;
    (*client)->ops->free(*client);
    *client = NULL;
}

/* gRPC aborts a call for good on metadata that HTTP/2 does not allow, so it is checked before. */
static bool metadata_ok(const struct rpc_metadata *m)
{
    size_t n_key = strlen(m->key), n_value = strlen(m->value);
    if (n_key == 0 || n_key > 64 || n_value > 2048)
        return false;
    if (strspn(m->key, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != n_key)
        return false;
    if (strncmp(m->key, "grpc-", 5) == 0 || (n_key >= 4 && !strcmp(m->key + n_key - 4, "-bin")))
        return false;
    for (size_t i = 0; i < n_value; i++)
        if (m->value[i] < 0x20 || m->value[i] > 0x7E)
            return false;
    return true;
}

enum status rpc_open(struct rpc_client *client, const struct rpc_open_options *options,
                     struct rpc_call **out, struct error *err)
{
    *out = NULL;
    SA_ASSERT(options->handler && options->n_metadata <= RPC_METADATA_MAX);
    if (!method_name_ok(options->method))
        return error_set(err, STATUS_INVALID, "'%s' is no method name",
                         options->method ? options->method : "");
    for (size_t i = 0; i < options->n_metadata; i++)
        if (!metadata_ok(&options->metadata[i]))
            return error_set(err, STATUS_INVALID,
                             "metadata '%s' cannot be sent: keys are lower case, values ASCII",
                             options->metadata[i].key);
    return client->ops->open(client, options, out, err);
}

/* ---- unary ---- */

struct unary {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done, answered, twice;
    enum status code;
    struct rpc_bytes response;
    char message[RPC_TEXT_MAX];
};

static void unary_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    struct unary *unary = rpc_user(call);
    unary->twice = unary->answered;
    unary->answered = true;
    if (unary->twice)
        rpc_cancel(call);               /* it might go on for ever */
    free(unary->response.data);
    unary->response = (struct rpc_bytes){0};
    if (size == 0 || unary->twice)
        return;
    unary->response.data = malloc(size);
    if (!unary->response.data) {
        rpc_cancel(call);
        return;
    }
    memcpy(unary->response.data, data, size);
    unary->response.size = size;
}

static void unary_done(struct rpc_call *call, enum status code, const char *message)
{
    struct unary *unary = rpc_user(call);
    pthread_mutex_lock(&unary->lock);
    unary->code = code;
    rpc_copy_text(unary->message, message);
    unary->done = true;
    pthread_cond_signal(&unary->changed);
    pthread_mutex_unlock(&unary->lock);
}

static void unary_wait(struct rpc_client *client, struct rpc_call *call, struct unary *unary)
{
    if (client->ops->pump_until) {
        if (client->ops->pump_until(client, &unary->done))
            return;
        rpc_cancel(call);               /* nobody is left who could answer */
        SA_ASSERT(client->ops->pump_until(client, &unary->done));
        return;
    }
    pthread_mutex_lock(&unary->lock);
    while (!unary->done)
        pthread_cond_wait(&unary->changed, &unary->lock);
    pthread_mutex_unlock(&unary->lock);
}

static enum status unary_result(struct unary *unary, struct rpc_bytes *response, struct error *err)
{
    if (unary->code != STATUS_OK && !unary->twice)
        return error_set(err, unary->code, "%s", unary->message);
    if (!unary->answered || unary->twice)
        return error_set(err, STATUS_INTERNAL, "the server sent %s answer to a unary call",
                         unary->twice ? "more than one" : "no");
    *response = unary->response;
    unary->response = (struct rpc_bytes){0};
    return STATUS_OK;
}

enum status rpc_unary(struct rpc_client *client, const struct rpc_unary_options *options,
                      struct rpc_bytes *response, struct error *err)
{
    static const struct rpc_handler handler = {.on_message = unary_message, .on_done = unary_done};
    struct unary unary = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct rpc_open_options open = {
        .method = options->method,
        .handler = &handler,
        .user = &unary,
        .deadline_ms = options->deadline_ms,
        .metadata = options->metadata,
        .n_metadata = options->n_metadata,
    };
    struct rpc_call *call;
    *response = (struct rpc_bytes){0};
    SA_ASSERT(!client->ops->on_callback_thread(client));
    if (options->size > client->limits.message_max)
        return error_set(err, STATUS_EXHAUSTED, "a request of %zu bytes, the limit is %u",
                         options->size, client->limits.message_max);
    enum status rc = rpc_open(client, &open, &call, err);
    if (rc != STATUS_OK)
        return rc;
    if (rpc_send(call, options->data, options->size) == RPC_FULL)
        rpc_cancel(call);               /* no memory for the copy: an empty queue takes anything */
    rpc_half_close(call);
    unary_wait(client, call, &unary);
    rpc_unref(call);
    rc = unary_result(&unary, response, err);
    free(unary.response.data);
    return rc;
}

/* ---- call: references and properties ---- */

bool rpc_call_init(struct rpc_call *call, const struct rpc_call_ops *ops, const char *method,
                   const char *peer)
{
    call->ops = ops;
    atomic_init(&call->refs, 1);
    call->method = strdup(method);
    call->peer = strdup(peer);
    return call->method && call->peer;
}

bool rpc_call_add_metadata(struct rpc_call *call, const char *key, size_t n_key, const char *value,
                           size_t n_value)
{
    if (call->n_metadata == RPC_METADATA_MAX)
        return true;                    /* more than anyone asked for: ignored */
    struct rpc_pair pair = {strndup(key, n_key), strndup(value, n_value)};
    if (!pair.key || !pair.value) {
        free(pair.key);
        free(pair.value);
        return false;
    }
    call->metadata[call->n_metadata++] = pair;
    return true;
}

void rpc_call_release(struct rpc_call *call)
{
    for (size_t i = 0; i < call->n_metadata; i++) {
        free(call->metadata[i].key);
        free(call->metadata[i].value);
    }
    free(call->method);
    free(call->peer);
}

struct rpc_call *rpc_ref(struct rpc_call *call)
{
    unsigned before = atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
    SA_ASSERT(before > 0);
    return call;
}

void rpc_unref(struct rpc_call *call)
{
    if (!call)
        return;
    unsigned before = atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel);
    SA_ASSERT(before > 0);
    if (before == 1)
        call->ops->destroy(call);
}

void *rpc_user(const struct rpc_call *call)
{
    return atomic_load_explicit(&call->user, memory_order_acquire);
}

void rpc_set_user(struct rpc_call *call, void *user)
{
    atomic_store_explicit(&call->user, user, memory_order_release);
}

const char *rpc_method_name(const struct rpc_call *call)
{
    return call->method;
}

const char *rpc_peer(const struct rpc_call *call)
{
    return call->peer;
}

const char *rpc_metadata_value(const struct rpc_call *call, const char *key)
{
    for (size_t i = 0; i < call->n_metadata; i++)
        if (strcmp(call->metadata[i].key, key) == 0)
            return call->metadata[i].value;
    return NULL;
}

/* ---- call: verbs ---- */

enum rpc_sent rpc_send(struct rpc_call *call, const uint8_t *data, size_t size)
{
    return call->ops->send(call, data, size);
}

size_t rpc_queued_bytes(struct rpc_call *call)
{
    return call->ops->queued_bytes(call);
}

void rpc_half_close(struct rpc_call *call)
{
    SA_ASSERT(!call->server);
    call->ops->half_close(call);
}

void rpc_finish(struct rpc_call *call, enum status code, const char *message)
{
    SA_ASSERT(call->server);
    call->ops->finish(call, code, message ? message : "");
}

void rpc_cancel(struct rpc_call *call)
{
    call->ops->cancel(call);
}

void rpc_hold(struct rpc_call *call, bool held)
{
    call->ops->hold(call, held);
}

/* ---- call: callbacks ---- */

void rpc_call_opened(struct rpc_call *call)
{
    if (call->handler->on_open)
        call->handler->on_open(call);
}

void rpc_call_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    if (call->handler->on_message)
        call->handler->on_message(call, data, size);
}

void rpc_call_eof(struct rpc_call *call)
{
    if (call->handler->on_eof)
        call->handler->on_eof(call);
}

void rpc_call_drain(struct rpc_call *call)
{
    if (call->handler->on_drain)
        call->handler->on_drain(call);
    else
        rpc_finish(call, STATUS_UNAVAILABLE, "the server is stopping");
}

void rpc_call_sent(struct rpc_call *call, size_t queued_bytes)
{
    if (call->handler->on_sent)
        call->handler->on_sent(call, queued_bytes);
}

void rpc_call_done(struct rpc_call *call, enum status code, const char *message)
{
    if (call->handler->on_done)
        call->handler->on_done(call, code, message);
}
