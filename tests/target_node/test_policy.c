/* A coordinator's policy on its way into a running target: production registration and model
 * thread, a coordinator that says what the test wants. */
#include "../support/toy_engine.h"
#include "../support/support.h"

#include <time.h>

#include "../../target_node/count.c"
#include "../../target_node/gate.c"
#include "../../target_node/load.c"
#include "../../target_node/register.c"
#include "../../target_node/register_line.c"
#include "../../target_node/seats.c"
#include "../../target_node/serve.c"
#include "../../target_node/serve_sessions.c"
#include "../../target_node/serve_streams.c"
#include "../../target_node/uplink.c"
#include "../../target_node/vocabulary.c"

enum { HEARTBEAT_MS = 50, TTL_MS = 3 * HEARTBEAT_MS, WAIT_MAX_US = 30000000 };

/* ---- a coordinator ---- */

struct boss {
    struct rpc_server *server;
    pthread_mutex_t lock;                   /* of all below */
    struct wire_policy policy;
    bool dead;                              /* answers nobody */
    uint64_t n_heard, term_heard;
};

static void answer_registration(struct boss *boss, struct rpc_call *call,
                                enum wire_coordinator_kind kind, const uint8_t *data, size_t size)
{
    struct wire_coordinator_message ask, answer = {.kind = kind + 1};
    struct wire_bytes bytes;
    struct error err;
    assert_ok(wire_coordinator_unpack(data, size, kind, &ask, &err), &err);
    pthread_mutex_lock(&boss->lock);
    bool dead = boss->dead;
    boss->n_heard++;
    if (kind == WIRE_REGISTER) {
        answer.u.registered.heartbeat_ms = HEARTBEAT_MS;
        answer.u.registered.policy = boss->policy;
        boss->term_heard = ask.u.registration.term;
    } else {
        answer.u.heard.policy = boss->policy;
        boss->term_heard = ask.u.heartbeat.term;
    }
    pthread_mutex_unlock(&boss->lock);
    assert_ok(wire_coordinator_pack(&answer, &bytes, &err), &err);
    if (!dead)
        (void)rpc_send(call, bytes.data, bytes.size);
    rpc_finish(call, dead ? STATUS_UNAVAILABLE : STATUS_OK, "");
    wire_bytes_release(&bytes);
    wire_coordinator_release(&ask);
}

static void boss_on_register(struct rpc_call *call, const uint8_t *data, size_t size)
{
    answer_registration(rpc_user(call), call, WIRE_REGISTER, data, size);
}

static void boss_on_heartbeat(struct rpc_call *call, const uint8_t *data, size_t size)
{
    answer_registration(rpc_user(call), call, WIRE_HEARTBEAT, data, size);
}

static void boss_start(struct boss *boss)
{
    static const struct rpc_handler on_register = {.on_message = boss_on_register};
    static const struct rpc_handler on_heartbeat = {.on_message = boss_on_heartbeat};
    const struct rpc_method methods[] = {
        {wire_coordinator_method(WIRE_REGISTER), &on_register, boss, false},
        {wire_coordinator_method(WIRE_HEARTBEAT), &on_heartbeat, boss, false},
    };
    struct rpc_server_options options = {.listen = "127.0.0.1:0", .methods = methods,
                                         .n_methods = ARRAY_LEN(methods)};
    struct error err;
    *boss = (struct boss){.policy = {.term = 5, .ttl_ms = TTL_MS, .shadow_price = 4.0f,
                                     .modes = WIRE_MODES_ALL}};
    pthread_mutex_init(&boss->lock, NULL);
    assert_ok(rpc_server_new(&options, &boss->server, &err), &err);
}

static void boss_says(struct boss *boss, struct wire_policy policy, bool dead)
{
    pthread_mutex_lock(&boss->lock);
    boss->policy = policy;
    boss->dead = dead;
    pthread_mutex_unlock(&boss->lock);
}

/* ---- a target ---- */

struct node {
    struct toy_engine toy;
    struct metrics *metrics;
    struct gate *gate;
    struct registration *registration;
    struct serve *serve;
};

static void node_start(struct node *node, const struct boss *boss)
{
    struct error err;
    struct registration_options registration = {
        .n_coordinators = 1,
        .info = {.address = "t:1", .model = "toy", .sessions_max = 2}};
    snprintf(registration.coordinators[0], WIRE_ADDRESS_MAX, "127.0.0.1:%u",
             rpc_server_port(boss->server));
    memset(node, 0, sizeof(*node));
    toy_engine_open(&node->toy, 1, 0.0f);
    assert_ok(metrics_new(metrics_target, TARGET_METRICS_N, &node->metrics, &err), &err);
    struct gate_options gate = {.metrics = node->metrics};
    assert_ok(gate_new(&gate, &node->gate, &err), &err);
    assert_ok(registration_start(&registration, &node->registration, &err), &err);
    struct serve_options serve = {.listen = "127.0.0.1:0", .target = target_options_default(),
                                  .gate = node->gate, .metrics = node->metrics,
                                  .registration = node->registration};
    assert_ok(serve_start(&node->toy.engine, &serve, &node->serve, &err), &err);
    registration_serve(node->registration, &registration.info, serve_load(node->serve));
}

/* In the order of the program: told first, then served out, the policy to the end. */
static void node_stop(struct node *node)
{
    registration_leave(node->registration);
    serve_stop(&node->serve, 100);
    registration_stop(&node->registration);
    gate_free(&node->gate);
    metrics_free(&node->metrics);
    toy_engine_close(&node->toy);
}

/* Does the model thread come to use this within the test's patience? */
static void expect(const struct node *node, size_t metric, int64_t value)
{
    struct clock clock = clock_monotonic();
    const struct timespec pause = {.tv_nsec = 2000000};
    uint64_t end = clock_us(&clock) + WAIT_MAX_US;
    while (metrics_value(node->metrics, metric) != value && clock_us(&clock) < end)
        nanosleep(&pause, NULL);
    assert_int_equal(metrics_value(node->metrics, metric), value);
}

static void expect_price(const struct node *node, int64_t price)
{
    expect(node, TARGET_METRIC_SHADOW_PRICE, price * 1000000);
}

static void a_changed_policy_is_used_by_the_model_thread(void **state)
{
    (void)state;
    struct boss boss;
    struct node node;
    boss_start(&boss);
    node_start(&node, &boss);
    expect_price(&node, 4);
    expect(&node, TARGET_METRIC_DRAFTS_ALLOWED, 1);
    boss_says(&boss, (struct wire_policy){.term = 5, .ttl_ms = TTL_MS, .shadow_price = 7.0f,
                                          .latency_goal_ms = 80, .modes = WIRE_MODE_TARGET_ALONE},
              false);
    expect_price(&node, 7);
    expect(&node, TARGET_METRIC_LATENCY_GOAL, 80000);
    expect(&node, TARGET_METRIC_DRAFTS_ALLOWED, 0);
    node_stop(&node);
    rpc_server_free(&boss.server);
}

static void after_three_silent_periods_the_own_price_holds_and_comes_back(void **state)
{
    (void)state;
    struct boss boss;
    struct node node;
    struct wire_policy policy;
    boss_start(&boss);
    node_start(&node, &boss);
    expect_price(&node, 4);
    policy = boss.policy;
    boss_says(&boss, policy, true);
    expect_price(&node, 1);
    expect(&node, TARGET_METRIC_DRAFTS_ALLOWED, 1);
    boss_says(&boss, policy, false);
    expect_price(&node, 4);
    node_stop(&node);
    rpc_server_free(&boss.server);
}

/* A coordinator that was replaced speaks on: what it says is not taken, and the target goes on by
 * its own price when the last word of the higher term is too old. */
static void a_lower_term_is_refused(void **state)
{
    (void)state;
    struct boss boss;
    struct node node;
    boss_start(&boss);
    node_start(&node, &boss);
    expect_price(&node, 4);
    boss_says(&boss, (struct wire_policy){.term = 4, .ttl_ms = TTL_MS, .shadow_price = 9.0f,
                                          .modes = WIRE_MODES_ALL}, false);
    expect_price(&node, 1);                 /* had 9 been taken, it would stay */
    pthread_mutex_lock(&boss.lock);
    assert_int_equal(boss.term_heard, 5);   /* the target says what it has seen */
    pthread_mutex_unlock(&boss.lock);
    boss_says(&boss, (struct wire_policy){.term = 6, .ttl_ms = TTL_MS, .shadow_price = 9.0f,
                                          .modes = WIRE_MODES_ALL}, false);
    expect_price(&node, 9);
    node_stop(&node);
    rpc_server_free(&boss.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_changed_policy_is_used_by_the_model_thread),
        cmocka_unit_test(after_three_silent_periods_the_own_price_holds_and_comes_back),
        cmocka_unit_test(a_lower_term_is_refused),
    };
    log_init("test_policy", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
