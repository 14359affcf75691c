/* The health service over the in-process network: Check, and Watch with its changes and its end. */
#include "../support/support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/health.h"
#include "rpc/rpc_local.h"
#include "wire/health.h"

static struct {
    struct rpc_network *network;
    struct health *health;
    struct rpc_server *server;
    struct rpc_client *client;
} world;

static uint64_t no_time(void *context)
{
    (void)context;
    return 0;
}

static int start(void **state)
{
    (void)state;
    struct rpc_method methods[HEALTH_METHODS_N];
    struct clock clock = {no_time, NULL};
    struct error err;
    assert_ok(rpc_network_new(&clock, &world.network, &err), &err);
    assert_ok(health_new("specasr.v1.Verify", &world.health, &err), &err);
    health_methods(world.health, methods);
    struct rpc_server_options server = {.listen = "here", .methods = methods,
                                        .n_methods = HEALTH_METHODS_N, .network = world.network};
    struct rpc_client_options client = {.target = "here", .network = world.network};
    assert_ok(rpc_server_new(&server, &world.server, &err), &err);
    assert_ok(rpc_client_new(&client, &world.client, &err), &err);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    rpc_client_free(&world.client);
    rpc_server_free(&world.server);
    health_free(&world.health);
    rpc_network_free(&world.network);
    return 0;
}

static void pump(void)
{
    while (rpc_network_pump(world.network, 64) > 0)
        ;
}

static enum status check(const char *service, enum wire_health *seen)
{
    struct wire_bytes request;
    struct rpc_bytes response;
    struct error err;
    assert_ok(wire_health_ask(service, &request, &err), &err);
    struct rpc_unary_options unary = {.method = WIRE_HEALTH_CHECK, .data = request.data,
                                      .size = request.size};
    enum status rc = rpc_unary(world.client, &unary, &response, &err);
    if (rc == STATUS_OK)
        assert_ok(wire_health_read(response.data, response.size, seen, &err), &err);
    wire_bytes_release(&request);
    free(response.data);
    return rc;
}

/* What one Watch has seen. */
struct seen {
    struct rpc_call *call;
    int n, n_done;
    enum wire_health last;
    enum status code;
};

static void on_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    struct seen *seen = rpc_user(call);
    assert_int_equal(wire_health_read(data, size, &seen->last, NULL), STATUS_OK);
    seen->n++;
}

static void on_done(struct rpc_call *call, enum status code, const char *message)
{
    struct seen *seen = rpc_user(call);
    (void)message;
    seen->n_done++;
    seen->code = code;
}

static void ask(struct seen *seen, const char *service)
{
    struct wire_bytes request;
    assert_int_equal(wire_health_ask(service, &request, NULL), STATUS_OK);
    assert_int_equal(rpc_send(seen->call, request.data, request.size), RPC_SENT);
    wire_bytes_release(&request);
}

static void watch(struct seen *seen, const char *service)
{
    static const struct rpc_handler handler = {.on_message = on_message, .on_done = on_done};
    struct rpc_open_options open = {.method = WIRE_HEALTH_WATCH, .handler = &handler,
                                    .user = seen};
    struct error err;
    *seen = (struct seen){0};
    assert_ok(rpc_open(world.client, &open, &seen->call, &err), &err);
    ask(seen, service);
    pump();
}

static void leave(struct seen *seen)
{
    rpc_cancel(seen->call);
    pump();
    rpc_unref(seen->call);
    assert_int_equal(seen->n_done, 1);
}

static void check_says_the_state(void **state)
{
    (void)state;
    enum wire_health seen = WIRE_HEALTH_UNKNOWN;
    assert_int_equal(check("", &seen), STATUS_OK);
    assert_int_equal(seen, WIRE_HEALTH_SERVING);
    health_set(world.health, false);
    assert_int_equal(check("specasr.v1.Verify", &seen), STATUS_OK);
    assert_int_equal(seen, WIRE_HEALTH_NOT_SERVING);
    assert_int_equal(check("specasr.v1.Other", &seen), STATUS_NOT_FOUND);
}

static void watch_tells_every_change_once(void **state)
{
    (void)state;
    struct seen known, other;
    watch(&known, "specasr.v1.Verify");
    watch(&other, "specasr.v1.Other");
    assert_int_equal(known.n, 1);
    assert_int_equal(known.last, WIRE_HEALTH_SERVING);
    assert_int_equal(other.last, WIRE_HEALTH_NO_SERVICE);
    health_set(world.health, true);
    health_set(world.health, false);
    health_set(world.health, false);
    pump();
    assert_int_equal(known.n, 2);
    assert_int_equal(known.last, WIRE_HEALTH_NOT_SERVING);
    assert_int_equal(other.n, 1);
    rpc_half_close(known.call);             /* it still listens */
    health_set(world.health, true);
    pump();
    assert_int_equal(known.n, 3);
    assert_int_equal(known.last, WIRE_HEALTH_SERVING);
    leave(&known);
    leave(&other);
    health_set(world.health, false);        /* nobody is left to tell */
}

static void too_many_watchers_are_refused_until_one_leaves(void **state)
{
    (void)state;
    struct seen all[HEALTH_WATCHERS_MAX], more;
    for (int i = 0; i < HEALTH_WATCHERS_MAX; i++)
        watch(&all[i], "");
    assert_int_equal(all[HEALTH_WATCHERS_MAX - 1].n, 1);
    watch(&more, "");
    assert_int_equal(more.n, 0);
    assert_int_equal(more.code, STATUS_EXHAUSTED);
    rpc_unref(more.call);
    leave(&all[7]);
    watch(&all[7], "");
    assert_int_equal(all[7].n, 1);
    for (int i = 0; i < HEALTH_WATCHERS_MAX; i++)
        leave(&all[i]);
}

static void a_watch_asks_once(void **state)
{
    (void)state;
    struct seen seen;
    watch(&seen, "");
    ask(&seen, "");
    pump();
    assert_int_equal(seen.n_done, 1);
    assert_int_equal(seen.code, STATUS_CORRUPT);
    rpc_unref(seen.call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(check_says_the_state, start, stop),
        cmocka_unit_test_setup_teardown(watch_tells_every_change_once, start, stop),
        cmocka_unit_test_setup_teardown(too_many_watchers_are_refused_until_one_leaves, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_watch_asks_once, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
