/* rpc_test.h: opening and closing the environment, and recorded client calls. */
#ifndef TESTS_RPC_RPC_TEST_H
#define TESTS_RPC_RPC_TEST_H

#include "rpc_methods.h"

/* ---- the environment ---- */

static inline void env_serve(struct env *env)
{
    const struct rpc_method methods[] = {
        {"/t.T/Echo", &echo, env, false},     {"/t.T/Sink", &sink, env, false},
        {"/t.T/Silent", &silent, env, false}, {"/t.T/Fail", &failing, env, false},
        {"/t.T/Source", &source, env, false}, {"/t.T/Metadata", &metadata, env, false},
        {"/t.T/Aside", &silent, env, true},   {"/t.T/Flood", &flood, env, false},
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
