/* rpc_methods.h: the server's side of the tests: methods that behave in simple ways. */
#ifndef TESTS_RPC_RPC_METHODS_H
#define TESTS_RPC_RPC_METHODS_H

#include "rpc_env.h"

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

/* Sends without end, as fast as the client takes it. */
static inline void served_pour(struct rpc_call *call, size_t queued)
{
    static const uint8_t block[16384];
    (void)queued;
    while (rpc_send(call, block, sizeof(block)) == RPC_SENT)
        ;
}

static inline void served_flood(struct rpc_call *call)
{
    served_open(call);
    served_pour(call, 0);
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
static const struct rpc_handler flood = {served_flood, NULL, NULL, NULL, served_pour, served_done};
static const struct rpc_handler metadata = {served_open, served_metadata, NULL, NULL, NULL,
                                            served_done};

#endif
