/* rpc_test.h: an environment to test calls in: one of the implementations, a server whose methods
 * behave in simple ways, and a record of what happened to each call. */
#ifndef TESTS_RPC_RPC_TEST_H
#define TESTS_RPC_RPC_TEST_H

#include "../support/support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rpc/rpc.h"
#include "rpc/rpc_local.h"

enum kind { KIND_GRPC, KIND_THREADED, KIND_PUMPED };

/* What one client call saw. */
struct record {
    struct env *env;
    int n_open, n_messages, n_sent, n_done;
    size_t n_bytes, queued;
    bool in_order;                      /* message i begins with the number i */
    enum status code;
    char text[RPC_TEXT_MAX];
    bool hold_at_open, cancel_at_message;
};

enum { RECORDS_MAX = 128 };

struct env {
    enum kind kind;
    struct rpc_network *network;
    uint64_t clock_us;                  /* of a pumped network */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct rpc_server_options server_options;
    struct rpc_client_options client_options;
    struct rpc_server *server;
    struct rpc_client *client;
    char address[64];

    /* counted over all calls of the server, under the lock */
    int n_server_open, n_server_done, n_server_messages, n_server_eof, n_server_full;
    size_t n_source_queued;
    enum status server_code;
    struct rpc_call *server_call;       /* the newest, a reference; dropped by env_close */

    /* Not on a test's stack: when a check fails, calls are still open and go on writing to them. */
    struct record records[RECORDS_MAX];
    int n_records;
};

/* ---- what every callback has to keep: one thread, no overlap, nothing after on_done ---- */

struct guard {
    atomic_int inside;
    atomic_bool done, has_thread;
    pthread_t thread;
};

static inline void guard_enter(struct guard *guard)
{
    SA_ASSERT(atomic_fetch_add(&guard->inside, 1) == 0);
    SA_ASSERT(!guard->done);
    if (!guard->has_thread) {
        guard->thread = pthread_self();
        guard->has_thread = true;
    }
    SA_ASSERT(pthread_equal(guard->thread, pthread_self()));
}

static inline void guard_leave(struct guard *guard)
{
    SA_ASSERT(atomic_fetch_sub(&guard->inside, 1) == 1);
}

/* ---- waiting ---- */

static inline void env_lock(struct env *env)
{
    pthread_mutex_lock(&env->lock);
}

static inline void env_unlock(struct env *env)
{
    pthread_cond_broadcast(&env->changed);
    pthread_mutex_unlock(&env->lock);
}

/* With the lock held. false: 30 s have passed, or a pumped network has come to rest. */
static inline bool env_wait(struct env *env, const struct timespec *limit)
{
    if (env->kind != KIND_PUMPED)
        return pthread_cond_timedwait(&env->changed, &env->lock, limit) == 0;
    pthread_mutex_unlock(&env->lock);
    size_t n = rpc_network_pump(env->network, 1);
    pthread_mutex_lock(&env->lock);
    return n > 0;
}

#define AWAIT(env, condition)                                                                \
    do {                                                                                     \
        struct timespec await_limit;                                                         \
        clock_gettime(CLOCK_REALTIME, &await_limit);                                         \
        await_limit.tv_sec += 30;                                                            \
        pthread_mutex_lock(&(env)->lock);                                                    \
        while (!(condition))                                                                 \
            if (!env_wait(env, &await_limit))                                                \
                break;                                                                       \
        bool await_met = (condition);                                                        \
        pthread_mutex_unlock(&(env)->lock);                                                  \
        if (!await_met)                                                                      \
            fail_msg("waited in vain for %s", #condition);                                   \
    } while (0)

/* ---- server methods; rpc_user is the env at first, then a guard that is freed at the end ---- */

struct served {
    struct guard guard;
    struct env *env;
};

static inline void served_open(struct rpc_call *call)
{
    struct served *s = calloc(1, sizeof(*s));
    SA_ASSERT(s);
    s->env = rpc_user(call);
    rpc_set_user(call, s);
    guard_enter(&s->guard);
    env_lock(s->env);
    s->env->n_server_open++;
    rpc_unref(s->env->server_call);
    s->env->server_call = rpc_ref(call);
    env_unlock(s->env);
    guard_leave(&s->guard);
}

static inline void served_done(struct rpc_call *call, enum status code, const char *message)
{
    struct served *s = rpc_user(call);
    SA_ASSERT(message);
    guard_enter(&s->guard);
    s->guard.done = true;
    guard_leave(&s->guard);
    env_lock(s->env);
    s->env->n_server_done++;
    s->env->server_code = code;
    env_unlock(s->env);
    free(s);
}

static inline struct served *served_enter(struct rpc_call *call, int *counter)
{
    struct served *s = rpc_user(call);
    guard_enter(&s->guard);
    env_lock(s->env);
    ++*counter;
    env_unlock(s->env);
    return s;
}

static inline void served_count(struct rpc_call *call, const uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
    struct served *s = rpc_user(call);
    served_enter(call, &s->env->n_server_messages);
    guard_leave(&s->guard);
}

static inline void served_echo(struct rpc_call *call, const uint8_t *data, size_t size)
{
    struct served *s = rpc_user(call);
    served_enter(call, &s->env->n_server_messages);
    enum rpc_sent rc = rpc_send(call, data, size);
    if (rc == RPC_FULL || rc == RPC_TOO_LARGE)
        rpc_finish(call, STATUS_EXHAUSTED, "the answers are not read");
    guard_leave(&s->guard);
}

static inline void served_eof(struct rpc_call *call)
{
    struct served *s = rpc_user(call);
    served_enter(call, &s->env->n_server_eof);
    rpc_finish(call, STATUS_OK, "");
    guard_leave(&s->guard);
}

static inline void served_drain(struct rpc_call *call)
{
    struct served *s = rpc_user(call);
    guard_enter(&s->guard);
    rpc_finish(call, STATUS_UNAVAILABLE, "draining");
    guard_leave(&s->guard);
}

static inline void served_drain_not(struct rpc_call *call)
{
    (void)call;
}

/* The message is the status to finish with (its number, then the text). */
static inline void served_fail(struct rpc_call *call, const uint8_t *data, size_t size)
{
    struct served *s = rpc_user(call);
    char text[2 * RPC_TEXT_MAX];
    SA_ASSERT(size >= 1 && size <= sizeof(text));
    guard_enter(&s->guard);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    rpc_finish(call, (enum status)data[0], text);
    rpc_finish(call, STATUS_OK, "only the first counts");
    guard_leave(&s->guard);
}

/* Sends numbered kilobytes until the queue is full, then finishes. */
static inline void served_source(struct rpc_call *call)
{
    served_open(call);
    struct served *s = rpc_user(call);
    uint8_t block[1024] = {0};
    uint32_t n = 0;
    guard_enter(&s->guard);
    for (;; n++) {
        memcpy(block, &n, sizeof(n));
        enum rpc_sent rc = rpc_send(call, block, sizeof(block));
        if (rc != RPC_SENT) {
            SA_ASSERT(rc == RPC_FULL);
            break;
        }
    }
    env_lock(s->env);
    s->env->n_server_full++;
    s->env->n_source_queued = rpc_queued_bytes(call);
    env_unlock(s->env);
    rpc_finish(call, STATUS_OK, support_format("%u", n));
    guard_leave(&s->guard);
}

static inline void served_metadata(struct rpc_call *call, const uint8_t *data, size_t size)
{
    char key[65] = {0};
    memcpy(key, data, size < 64 ? size : 64);
    const char *value = rpc_metadata_value(call, key);
    rpc_send(call, (const uint8_t *)value, value ? strlen(value) : 0);
    rpc_finish(call, value ? STATUS_OK : STATUS_NOT_FOUND, "");
}

static const struct rpc_handler echo = {served_open, served_echo, served_eof, served_drain, NULL,
                                        served_done};
static const struct rpc_handler sink = {served_open, served_count, served_eof, NULL, NULL,
                                        served_done};
static const struct rpc_handler silent = {served_open, served_count, NULL, served_drain_not, NULL,
                                          served_done};
static const struct rpc_handler failing = {served_open, served_fail, NULL, NULL, NULL, served_done};
static const struct rpc_handler source = {served_source, NULL, NULL, NULL, NULL, served_done};
static const struct rpc_handler metadata = {served_open, served_metadata, NULL, NULL, NULL,
                                            served_done};

/* ---- the environment ---- */

static inline void env_serve(struct env *env)
{
    const struct rpc_method methods[] = {
        {"/t.T/Echo", &echo, env},       {"/t.T/Sink", &sink, env},
        {"/t.T/Silent", &silent, env},   {"/t.T/Fail", &failing, env},
        {"/t.T/Source", &source, env},   {"/t.T/Metadata", &metadata, env},
    };
    struct error err;
    env->server_options.methods = methods;
    env->server_options.n_methods = ARRAY_LEN(methods);
    env->server_options.network = env->network;
    if (!env->server_options.listen)
        env->server_options.listen = env->kind == KIND_GRPC ? "127.0.0.1:0" : "here";
    assert_ok(rpc_server_new(&env->server_options, &env->server, &err), &err);
    if (rpc_server_port(env->server))
        snprintf(env->address, sizeof(env->address), "127.0.0.1:%u", rpc_server_port(env->server));
    else
        snprintf(env->address, sizeof(env->address), "%s", env->server_options.listen);
}

static inline void env_connect(struct env *env)
{
    struct error err;
    env->client_options.network = env->network;
    if (!env->client_options.target)
        env->client_options.target = env->address;
    assert_ok(rpc_client_new(&env->client_options, &env->client, &err), &err);
}

static inline uint64_t env_now(void *context)
{
    return ((struct env *)context)->clock_us;
}

static inline void env_init(struct env *env, enum kind kind)
{
    struct clock clock = {env_now, env};
    struct error err;
    memset(env, 0, sizeof(*env));
    env->kind = kind;
    pthread_mutex_init(&env->lock, NULL);
    pthread_cond_init(&env->changed, NULL);
    if (kind != KIND_GRPC)
        assert_ok(rpc_network_new(kind == KIND_PUMPED ? &clock : NULL, &env->network, &err), &err);
}

static inline void env_open(struct env *env, enum kind kind)
{
    env_init(env, kind);
    env_serve(env);
    env_connect(env);
}

/* Every call that began has ended exactly once. */
static inline void env_close(struct env *env)
{
    rpc_client_free(&env->client);
    rpc_server_free(&env->server);
    assert_int_equal(env->n_server_open, env->n_server_done);
    rpc_unref(env->server_call);
    rpc_network_free(&env->network);
    pthread_cond_destroy(&env->changed);
    pthread_mutex_destroy(&env->lock);
}

/* ---- client calls ---- */

static inline void recorded_open(struct rpc_call *call)
{
    struct record *r = rpc_user(call);
    if (r->hold_at_open)
        rpc_hold(call, true);
    env_lock(r->env);
    r->n_open++;
    env_unlock(r->env);
}

static inline void recorded_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    struct record *r = rpc_user(call);
    uint32_t number;
    env_lock(r->env);
    if (size >= sizeof(number)) {
        memcpy(&number, data, sizeof(number));
        r->in_order = r->in_order && number == (uint32_t)r->n_messages;
    }
    r->n_messages++;
    r->n_bytes += size;
    env_unlock(r->env);
    if (r->cancel_at_message)
        rpc_cancel(call);
}

static inline void recorded_sent(struct rpc_call *call, size_t queued)
{
    struct record *r = rpc_user(call);
    env_lock(r->env);
    r->n_sent++;
    r->queued = queued;
    env_unlock(r->env);
}

static inline void recorded_done(struct rpc_call *call, enum status code, const char *message)
{
    struct record *r = rpc_user(call);
    env_lock(r->env);
    r->n_done++;
    r->code = code;
    snprintf(r->text, sizeof(r->text), "%s", message);
    env_unlock(r->env);
}

static const struct rpc_handler recorded = {recorded_open, recorded_message, NULL, NULL,
                                            recorded_sent, recorded_done};

static inline struct record *record_new(struct env *env)
{
    SA_ASSERT(env->n_records < RECORDS_MAX);
    struct record *record = &env->records[env->n_records++];
    record->env = env;
    record->in_order = true;
    return record;
}

static inline struct rpc_call *record_open(struct record *record, const char *method,
                                           uint32_t deadline_ms)
{
    struct rpc_open_options options = {
        .method = method, .handler = &recorded, .user = record, .deadline_ms = deadline_ms,
    };
    struct rpc_call *call;
    struct error err;
    assert_ok(rpc_open(record->env->client, &options, &call, &err), &err);
    return call;
}

static inline enum status unary(struct env *env, const char *method, const void *data, size_t size,
                                struct rpc_bytes *response, struct error *err)
{
    struct rpc_unary_options options = {
        .method = method, .data = data, .size = size, .deadline_ms = 20000,
    };
    return rpc_unary(env->client, &options, response, err);
}

static inline enum status env_server_code(struct env *env)
{
    env_lock(env);
    enum status code = env->server_code;
    env_unlock(env);
    return code;
}

/* The server still answers. */
static inline void assert_serves(struct env *env)
{
    struct rpc_bytes response;
    struct error err;
    assert_ok(unary(env, "/t.T/Echo", "ping", 4, &response, &err), &err);
    assert_int_equal(response.size, 4);
    assert_memory_equal(response.data, "ping", 4);
    free(response.data);
}

#endif
