/* rpc_kinds.h: the same tests on every implementation: gRPC, and the twin in the process with its
 * own thread or pumped by a virtual clock. Each test gets an open environment as its state.
 */
#ifndef TESTS_RPC_RPC_KINDS_H
#define TESTS_RPC_RPC_KINDS_H

#include "rpc_test.h"

static struct env shared;

static inline int open_kind(void **state, enum kind kind)
{
    env_open(&shared, kind);
    *state = &shared;
    return 0;
}

static inline int open_grpc(void **state)
{
    return open_kind(state, KIND_GRPC);
}

static inline int open_threaded(void **state)
{
    return open_kind(state, KIND_THREADED);
}

static inline int open_pumped(void **state)
{
    return open_kind(state, KIND_PUMPED);
}

static inline int close_env(void **state)
{
    env_close(*state);
    return 0;
}

#define ON_GRPC(test) {#test, test, open_grpc, close_env, NULL}
#define ON_ALL(test)                                                                         \
    {#test "_grpc", test, open_grpc, close_env, NULL},                                       \
    {#test "_threaded", test, open_threaded, close_env, NULL},                               \
    {#test "_pumped", test, open_pumped, close_env, NULL}

#endif
