/* rpc_env.h: an environment to test calls in: one of the implementations, a server whose methods
 * behave in simple ways, and a record of what happened to each call. */
#ifndef TESTS_RPC_RPC_ENV_H
#define TESTS_RPC_RPC_ENV_H

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

#endif
