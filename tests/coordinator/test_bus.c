/* Coordinator and targets with a bus, each as in its program: load and policy go four times a
 * second, and everything works on when the bus is gone. Heartbeats are so slow that what comes in
 * time came over the bus. */
#include "../support/support.h"

#include <stdlib.h>
#include <time.h>

#include "../../coordinator/issue.c"
#include "../../coordinator/serve.c"
#include "../../target_node/register.c"
#include "../../target_node/register_line.c"

enum { WAIT_MAX_US = 30000000 };

struct cluster {
    struct coordinator *coordinator;
    struct registration *target;
    struct load load;
    struct metrics *metrics;
    uint32_t heartbeat_ms;
};

static uint64_t now_us(void)
{
    struct clock clock = clock_monotonic();
    return clock_us(&clock);
}

static void pause_shortly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static void start_coordinator(struct cluster *cluster, bool bus, uint16_t port)
{
    char listen[32];
    struct error err;
    struct coordinator_options options = {
        .listen = listen, .bus_host = bus ? "127.0.0.1" : NULL, .latency_goal_ms = 300,
        .registry = {.heartbeat_ms = cluster->heartbeat_ms, .seed = now_us()},
        .modes = WIRE_MODES_ALL, .metrics = cluster->metrics};
    snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
    assert_ok(coordinator_start(&options, &cluster->coordinator, &err), &err);
}

static void start(struct cluster *cluster, uint32_t heartbeat_ms)
{
    struct error err;
    *cluster = (struct cluster){.heartbeat_ms = heartbeat_ms};
    assert_ok(metrics_new(metrics_coordinator, COORDINATOR_METRICS_N, &cluster->metrics, &err),
              &err);
    start_coordinator(cluster, true, 0);
    struct registration_options options = {.n_coordinators = 1,
                                           .info = {.address = "[::1]:7600", .model = "toy",
                                                    .sessions_max = 9}};
    snprintf(options.coordinators[0], WIRE_ADDRESS_MAX, "127.0.0.1:%u",
             coordinator_port(cluster->coordinator));
    assert_ok(registration_start(&options, &cluster->target, &err), &err);
    registration_serve(cluster->target, &options.info, &cluster->load);
}

static void stop(struct cluster *cluster)
{
    registration_stop(&cluster->target);
    coordinator_stop(&cluster->coordinator);
    metrics_free(&cluster->metrics);
}

/* The one target as the coordinator knows it; sessions_max 0: it does not. */
static struct wire_target_row row_of(struct cluster *cluster)
{
    struct wire_listed listed = {0};
    struct wire_target_row row = {0};
    struct error err;
    struct coordinator *coordinator = cluster->coordinator;
    pthread_mutex_lock(&coordinator->lock);
    assert_ok(registry_list(coordinator->registry, now_us(), &listed, &err), &err);
    pthread_mutex_unlock(&coordinator->lock);
    if (listed.n_targets)
        row = listed.targets[0];
    free(listed.targets);
    return row;
}

/* Until the coordinator knows of so many sessions; returns how long it took, in microseconds. */
static uint64_t until_seen(struct cluster *cluster, uint32_t sessions)
{
    uint64_t begin = now_us();
    atomic_store(&cluster->load.sessions, sessions);
    while (row_of(cluster).load.sessions != sessions && now_us() - begin < WAIT_MAX_US)
        pause_shortly();
    assert_int_equal(row_of(cluster).load.sessions, sessions);
    return now_us() - begin;
}

static uint64_t until_price(struct cluster *cluster, float price)
{
    uint64_t begin = now_us();
    pthread_mutex_lock(&cluster->coordinator->lock);
    cluster->coordinator->price = price;
    pthread_mutex_unlock(&cluster->coordinator->lock);
    while (registration_policy(cluster->target).shadow_price != price &&
           now_us() - begin < WAIT_MAX_US)
        pause_shortly();
    assert_true(registration_policy(cluster->target).shadow_price == price);
    return now_us() - begin;
}

static uint64_t counted(struct cluster *cluster, const char *series)
{
    struct error err;
    char *text;
    size_t size, n = strlen(series);
    uint64_t value = 0;
    assert_ok(metrics_render(cluster->metrics, &text, &size, &err), &err);
    for (char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL)
        if (strncmp(line, series, n) == 0)
            value = strtoull(line + n, NULL, 10);
    free(text);
    return value;
}

static void until_frames(struct cluster *cluster, uint64_t n)
{
    uint64_t begin = now_us();
    while (counted(cluster, "specasr_bus_frames_total{result=\"taken\"} ") < n &&
           now_us() - begin < PATIENCE_US)
        pause_shortly();
    assert_true(counted(cluster, "specasr_bus_frames_total{result=\"taken\"} ") >= n);
}

/* The first of each may wait for the registration and for ZeroMQ's first connection. */
static void load_and_policy_come_far_faster_than_heartbeats(void **state)
{
    (void)state;
    struct cluster cluster;
    start(&cluster, 60000);
    until_seen(&cluster, 3);
    assert_string_equal(row_of(&cluster).info.bus_key, "");     /* lists do not tell keys */
    until_price(&cluster, 2.0f);
    uint64_t quickest = UINT64_MAX;
    for (uint32_t i = 0; i < 2; i++) {
        quickest = MIN(quickest, until_seen(&cluster, 4 + i));
        quickest = MIN(quickest, until_price(&cluster, 3.0f + (float)i));
    }
    assert_true(quickest < 5000000);
    until_frames(&cluster, 3);
    assert_int_equal(counted(&cluster, "specasr_bus_frames_total{result=\"foreign\"} "), 0);
    stop(&cluster);
}

/* The same without: the coordinator's end of the bus is taken away under a running cluster. */
static void everything_goes_on_when_the_bus_is_gone(void **state)
{
    (void)state;
    struct cluster cluster;
    start(&cluster, 200);
    until_seen(&cluster, 2);
    until_frames(&cluster, 1);
    pthread_mutex_lock(&cluster.coordinator->lock);
    struct exchange *gone = cluster.coordinator->exchange;
    cluster.coordinator->exchange = NULL;
    pthread_mutex_unlock(&cluster.coordinator->lock);
    exchange_stop(&gone);
    until_seen(&cluster, 5);
    until_price(&cluster, 7.0f);
    until_seen(&cluster, 6);
    assert_int_equal(row_of(&cluster).load.state, WIRE_SERVING);
    stop(&cluster);
}

/* It comes back with another key and other ports, as Register says anew. */
static void a_coordinator_that_comes_back_has_a_bus_again(void **state)
{
    (void)state;
    struct cluster cluster;
    start(&cluster, 200);
    until_seen(&cluster, 1);
    uint16_t port = coordinator_port(cluster.coordinator);
    struct wire_bus before = coordinator_bus(cluster.coordinator);
    coordinator_stop(&cluster.coordinator);
    metrics_free(&cluster.metrics);
    struct error err;
    assert_ok(metrics_new(metrics_coordinator, COORDINATOR_METRICS_N, &cluster.metrics, &err),
              &err);
    cluster.heartbeat_ms = 60000;
    start_coordinator(&cluster, true, port);
    assert_string_not_equal(coordinator_bus(cluster.coordinator).key, before.key);
    until_seen(&cluster, 2);
    until_seen(&cluster, 3);
    until_frames(&cluster, 1);
    until_price(&cluster, 5.0f);
    stop(&cluster);
}

/* A target that has registered may speak for itself alone. */
static void nobody_reports_for_another(void **state)
{
    (void)state;
    struct cluster cluster;
    start(&cluster, 60000);
    until_seen(&cluster, 1);
    until_frames(&cluster, 1);
    struct wire_coordinator_message lie = {.kind = WIRE_HEARTBEAT,
                                           .u.heartbeat = {.address = "[::1]:7600"}};
    struct wire_bytes bytes;
    struct error err;
    lie.u.heartbeat.incarnation = row_of(&cluster).info.incarnation;
    lie.u.heartbeat.load = (struct wire_target_load){.sequence = UINT64_MAX, .sessions = 8};
    assert_ok(wire_coordinator_pack(&lie, &bytes, &err), &err);
    struct bus_message message = {.sender = "mallory:7600", .data = bytes.data,
                                  .size = bytes.size};
    hear_load(cluster.coordinator, &message);
    assert_int_equal(row_of(&cluster).load.sessions, 1);
    snprintf(message.sender, sizeof(message.sender), "::1:7600");
    hear_load(cluster.coordinator, &message);
    assert_int_equal(row_of(&cluster).load.sessions, 8);
    message.size--;
    hear_load(cluster.coordinator, &message);           /* no message: no harm */
    wire_bytes_release(&bytes);
    stop(&cluster);
}

/* A list of 100 targets with long names. */
static bool tell_too_much(void *context, struct wire_coordinator_message *state)
{
    enum { N = 100 };
    *state = (struct wire_coordinator_message){.kind = WIRE_LISTED};
    atomic_fetch_add((atomic_uint *)context, 1);
    struct wire_target_row *rows = calloc(N, sizeof(*rows));
    assert_non_null(rows);
    for (int i = 0; i < N; i++) {
        rows[i].info.incarnation = rows[i].info.sessions_max = 1;
        memset(rows[i].info.address, 'a', WIRE_ADDRESS_MAX - 8);
        memcpy(rows[i].info.address + WIRE_ADDRESS_MAX - 8, ":7600", 6);
    }
    state->u.listed = (struct wire_listed){.targets = rows, .n_targets = N, .heartbeat_ms = 500};
    state->u.listed.policy = policy_own();
    return true;
}

static void hear_nothing(void *context, const struct bus_message *message)
{
    (void)context, (void)message;
}

static void a_state_that_fits_no_frame_is_counted_not_cut(void **state)
{
    (void)state;
    atomic_uint n_asked = 0;
    struct cluster cluster = {.heartbeat_ms = 500};
    struct exchange_options options = {.name = "t1", .incarnation = 1, .senders_max = 1,
                                       .state = tell_too_much, .heard = hear_nothing,
                                       .context = &n_asked};
    struct exchange *exchange;
    struct error err;
    assert_ok(metrics_new(metrics_coordinator, COORDINATOR_METRICS_N, &cluster.metrics, &err),
              &err);
    assert_ok(exchange_start(&options, &exchange, &err), &err);
    assert_ok(metrics_collect(cluster.metrics, exchange_collect, exchange, &err), &err);
    uint64_t begin = now_us();
    while (counted(&cluster, "specasr_bus_unsent_total ") < 1 && now_us() - begin < WAIT_MAX_US)
        pause_shortly();
    uint64_t n_unsent = counted(&cluster, "specasr_bus_unsent_total ");
    assert_in_range(n_unsent, 1, atomic_load(&n_asked));
    exchange_stop(&exchange);
    metrics_free(&cluster.metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_and_policy_come_far_faster_than_heartbeats),
        cmocka_unit_test(everything_goes_on_when_the_bus_is_gone),
        cmocka_unit_test(a_coordinator_that_comes_back_has_a_bus_again),
        cmocka_unit_test(nobody_reports_for_another),
        cmocka_unit_test(a_state_that_fits_no_frame_is_counted_not_cut),
    };
    log_init("test_bus", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
