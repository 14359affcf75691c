/* The coordinator's calls over the in-process network: what a target, a client and an operator
 * say, and what several of them at once do to its lock. */
#include "../support/support.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "../../coordinator/issue.c"
#include "../../coordinator/serve.c"
#include "cluster/call.h"
#include "rpc/rpc_local.h"

struct cluster {
    struct rpc_network *network;
    struct metrics *metrics;
    uint64_t incarnation;
    struct coordinator *coordinator;
};

static void begin(struct cluster *cluster)
{
    struct error err;
    struct coordinator_options options = {
        .listen = "coordinator", .registry = {.heartbeat_ms = 500, .seed = 1},
        .latency_goal_ms = 300, .modes = WIRE_MODES_ALL, .store.incarnation = cluster->incarnation};
    assert_ok(rpc_network_new(NULL, &cluster->network, &err), &err);
    assert_ok(metrics_new(metrics_coordinator, COORDINATOR_METRICS_N, &cluster->metrics, &err),
              &err);
    options.metrics = cluster->metrics;
    options.network = cluster->network;
    assert_ok(coordinator_start(&options, &cluster->coordinator, &err), &err);
}

static void start(struct cluster *cluster)
{
    *cluster = (struct cluster){.incarnation = 1};  /* terms from 1 on */
    begin(cluster);
}

static void stop(struct cluster *cluster)
{
    coordinator_stop(&cluster->coordinator);
    rpc_network_free(&cluster->network);
    metrics_free(&cluster->metrics);
}

static struct rpc_client *call_in(struct cluster *cluster)
{
    struct rpc_client *client;
    struct error err;
    struct rpc_client_options options = {.target = "coordinator", .network = cluster->network};
    assert_ok(rpc_client_new(&options, &client, &err), &err);
    return client;
}

static struct wire_coordinator_message ask(struct rpc_client *client,
                                           const struct wire_coordinator_message *request)
{
    struct wire_coordinator_message answer;
    struct error err;
    assert_ok(cluster_call(client, 5000, request, &answer, &err), &err);
    assert_int_equal(answer.kind, request->kind + 1);
    return answer;
}

static struct wire_coordinator_message registration(const char *address, uint64_t term)
{
    struct wire_coordinator_message m = {.kind = WIRE_REGISTER};
    struct wire_register *r = &m.u.registration;
    snprintf(r->info.address, sizeof(r->info.address), "%s", address);
    snprintf(r->info.model, sizeof(r->info.model), "base");
    r->info.incarnation = 7;
    r->info.fingerprint = 99;
    r->info.sessions_max = 1000000;
    r->load = (struct wire_target_load){.sequence = 1, .window_us = 600000};
    r->term = term;
    return m;
}

static void a_target_a_client_and_an_operator(void **state)
{
    (void)state;
    struct cluster cluster;
    start(&cluster);
    struct rpc_client *client = call_in(&cluster);
    struct wire_coordinator_message place = {.kind = WIRE_PLACE}, list = {.kind = WIRE_LIST};
    struct wire_coordinator_message answer = ask(client, &place);
    assert_string_equal(answer.u.placed.reason, "no target has registered yet");

    struct wire_coordinator_message request = registration("a:1", 41);
    answer = ask(client, &request);
    assert_int_equal(answer.u.registered.verdict, WIRE_KNOWN);
    assert_int_equal(answer.u.registered.heartbeat_ms, 500);
    assert_int_equal(answer.u.registered.policy.term, 42);
    assert_int_equal(answer.u.registered.policy.ttl_ms, 1500);
    answer = ask(client, &place);
    assert_int_equal(answer.u.placed.n_targets, 1);
    assert_string_equal(answer.u.placed.targets[0].address, "a:1");
    assert_int_equal(answer.u.placed.targets[0].fingerprint, 99);

    answer = ask(client, &list);
    assert_int_equal(answer.u.listed.n_targets, 1);
    assert_int_equal(answer.u.listed.placed, 1);
    assert_int_equal(answer.u.listed.refused, 1);
    wire_coordinator_release(&answer);
    struct wire_coordinator_message drain = {.kind = WIRE_DRAIN_TARGET,
                                             .u.drain_target.address = "a:1"};
    assert_true(ask(client, &drain).u.drain_noted.known);
    answer = ask(client, &place);
    assert_string_equal(answer.u.placed.reason, "the targets are being drained");
    rpc_client_free(&client);
    stop(&cluster);
}

/* Only a process that is registered is believed about terms. */
static void a_stranger_moves_no_term(void **state)
{
    (void)state;
    struct cluster cluster;
    start(&cluster);
    struct rpc_client *client = call_in(&cluster);
    struct wire_coordinator_message request = registration("a:1", 41);
    struct wire_coordinator_message beat = {
        .kind = WIRE_HEARTBEAT,
        .u.heartbeat = {.address = "b:1", .incarnation = 7, .term = UINT64_MAX,
                        .load = {.sequence = 2, .window_us = 600000}}};
    assert_int_equal(ask(client, &request).u.registered.policy.term, 42);
    struct wire_coordinator_message answer = ask(client, &beat);
    assert_int_equal(answer.u.heard.verdict, WIRE_REGISTER_AGAIN);
    assert_int_equal(answer.u.heard.policy.term, 42);
    request.u.registration.info.incarnation = 6;
    request.u.registration.term = 99;
    answer = ask(client, &request);
    assert_int_equal(answer.u.registered.verdict, WIRE_SUPERSEDED);
    assert_int_equal(answer.u.registered.policy.term, 42);
    snprintf(beat.u.heartbeat.address, sizeof(beat.u.heartbeat.address), "a:1");
    beat.u.heartbeat.term = 50;
    assert_int_equal(ask(client, &beat).u.heard.policy.term, 51);
    rpc_client_free(&client);
    stop(&cluster);
}

static void bytes_that_are_no_message_are_refused_and_the_next_is_served(void **state)
{
    (void)state;
    struct cluster cluster;
    struct rpc_bytes response;
    struct error err;
    start(&cluster);
    struct rpc_client *client = call_in(&cluster);
    struct rpc_unary_options unary = {.method = wire_coordinator_method(WIRE_PLACE),
                                      .data = (const uint8_t *)"\xFF\xFF", .size = 2,
                                      .deadline_ms = 5000};
    assert_int_equal(rpc_unary(client, &unary, &response, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "PlaceRequest"));
    struct wire_coordinator_message list = {.kind = WIRE_LIST}, answer = ask(client, &list);
    wire_coordinator_release(&answer);
    rpc_client_free(&client);
    stop(&cluster);
}

/* The targets take twice the goal: the price rises, and falls when they are faster. */
static void the_price_follows_the_goal(void **state)
{
    (void)state;
    struct cluster cluster;
    start(&cluster);
    struct rpc_client *client = call_in(&cluster);
    struct wire_coordinator_message slow = registration("a:1", 0);
    ask(client, &slow);
    for (int i = 0; i < 3; i++) {
        cluster.coordinator->ticked_us -= 500000;
        coordinator_tick(cluster.coordinator);
    }
    float price = ask(client, &slow).u.registered.policy.shadow_price;
    assert_true(price > 1.5f && price < 4.0f);
    slow.u.registration.load.window_us = 1000;
    ask(client, &slow);
    for (int i = 0; i < 10; i++) {
        cluster.coordinator->ticked_us -= 500000;
        coordinator_tick(cluster.coordinator);
    }
    assert_true(ask(client, &slow).u.registered.policy.shadow_price == 1.0f);
    rpc_client_free(&client);
    stop(&cluster);
}

/* Whichever call finds it out: here it is the next heartbeat of another. */
static void lost_targets_are_counted_whoever_finds_out(void **state)
{
    (void)state;
    struct cluster cluster;
    start(&cluster);
    struct rpc_client *client = call_in(&cluster);
    struct wire_coordinator_message first = registration("a:1", 0), second = registration("b:1", 0);
    ask(client, &first);
    first.u.registration.info.incarnation++;
    ask(client, &first);
    assert_int_equal(metrics_value(cluster.metrics, COORDINATOR_METRIC_LOST_REPLACED), 1);
    struct registry *registry = cluster.coordinator->registry;
    pthread_mutex_lock(&cluster.coordinator->lock);
    (void)registry_register(registry, 1, &second.u.registration.info,
                            &second.u.registration.load);   /* long ago */
    pthread_mutex_unlock(&cluster.coordinator->lock);
    ask(client, &first);
    assert_int_equal(metrics_value(cluster.metrics, COORDINATOR_METRIC_LOST_SILENT), 1);
    coordinator_tick(cluster.coordinator);
    assert_int_equal(metrics_value(cluster.metrics, COORDINATOR_METRIC_LOST_SILENT), 1);
    assert_int_equal(metrics_value(cluster.metrics, COORDINATOR_METRIC_LOST_REPLACED), 1);
    rpc_client_free(&client);
    stop(&cluster);
}

/* A target that has seen the last policy of the process before obeys the next one at once, without
 * having told its term: as it comes over the bus, or with the answer "register again". */
static void a_coordinator_that_begins_anew_is_believed(void **state)
{
    (void)state;
    struct cluster cluster = {.incarnation = 0};        /* as in the program: the wall clock's */
    struct policy_keeper keeper = {.term = 0};
    begin(&cluster);
    struct rpc_client *client = call_in(&cluster);
    struct wire_coordinator_message first = registration("a:1", 0);
    uint64_t term = ask(client, &first).u.registered.policy.term;
    first = registration("a:1", term + 40);
    struct wire_policy policy = ask(client, &first).u.registered.policy;
    assert_true(policy.term == term + 41);
    assert_true(policy_take(&keeper, 0, &policy));
    rpc_client_free(&client);
    stop(&cluster);

    begin(&cluster);
    client = call_in(&cluster);
    struct wire_coordinator_message beat = {.kind = WIRE_HEARTBEAT,
                                            .u.heartbeat = {.address = "a:1", .incarnation = 7}};
    struct wire_coordinator_message answer = ask(client, &beat);
    assert_int_equal(answer.u.heard.verdict, WIRE_REGISTER_AGAIN);
    assert_true(policy_take(&keeper, 1, &answer.u.heard.policy));
    rpc_client_free(&client);
    stop(&cluster);
}

struct crowd {
    struct cluster *cluster;
    uint32_t number, n_placed;
};

static void *one_of_many(void *argument)
{
    struct crowd *crowd = argument;
    struct rpc_client *client = call_in(crowd->cluster);
    char address[32];
    snprintf(address, sizeof(address), "t%u:1", crowd->number);
    struct wire_coordinator_message request = registration(address, 0);
    struct wire_coordinator_message place = {.kind = WIRE_PLACE};
    for (int i = 0; i < 50; i++) {
        ask(client, &request);
        crowd->n_placed += ask(client, &place).u.placed.n_targets > 0;
    }
    rpc_client_free(&client);
    return NULL;
}

static void many_at_once_are_all_counted(void **state)
{
    (void)state;
    struct cluster cluster;
    pthread_t threads[4];
    struct crowd crowds[4];
    uint32_t n = 0;
    start(&cluster);
    for (uint32_t i = 0; i < 4; i++) {
        crowds[i] = (struct crowd){&cluster, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, one_of_many, &crowds[i]), 0);
    }
    for (uint32_t i = 0; i < 4; i++) {
        coordinator_tick(cluster.coordinator);
        pthread_join(threads[i], NULL);
        n += crowds[i].n_placed;
    }
    assert_int_equal(n, 200);
    struct rpc_client *client = call_in(&cluster);
    struct wire_coordinator_message list = {.kind = WIRE_LIST}, answer = ask(client, &list);
    assert_int_equal(answer.u.listed.placed, 200);
    assert_int_equal(answer.u.listed.n_targets, 4);
    wire_coordinator_release(&answer);
    rpc_client_free(&client);
    stop(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_a_client_and_an_operator),
        cmocka_unit_test(a_stranger_moves_no_term),
        cmocka_unit_test(bytes_that_are_no_message_are_refused_and_the_next_is_served),
        cmocka_unit_test(the_price_follows_the_goal),
        cmocka_unit_test(lost_targets_are_counted_whoever_finds_out),
        cmocka_unit_test(a_coordinator_that_begins_anew_is_believed),
        cmocka_unit_test(many_at_once_are_all_counted),
    };
    log_init("test_calls", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
