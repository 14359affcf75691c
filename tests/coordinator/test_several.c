/* One target and two coordinators that do not know each other: it reports to both. */
#include "../support/support.h"

#include <stdlib.h>
#include <time.h>

#include "../../coordinator/issue.c"
#include "../../coordinator/serve.c"
#include "../../target_node/register.c"
#include "../../target_node/register_line.c"

enum { WAIT_MAX_US = 30000000 };

struct cluster {
    struct coordinator *coordinators[2];
    struct registration *target;
    struct load load;
};

static uint64_t now_us(void)
{
    struct clock clock = clock_monotonic();
    return clock_us(&clock);
}

static void address_of(const struct cluster *cluster, int number, char out[WIRE_ADDRESS_MAX])
{
    snprintf(out, WIRE_ADDRESS_MAX, "127.0.0.1:%u",
             coordinator_port(cluster->coordinators[number]));
}

/* The target is told of the first one only. */
static void start(struct cluster *cluster, uint32_t heartbeat_ms)
{
    struct error err;
    struct coordinator_options options = {.listen = "127.0.0.1:0", .modes = WIRE_MODES_ALL,
                                          .registry = {.heartbeat_ms = heartbeat_ms, .seed = 1}};
    struct registration_options target = {
        .n_coordinators = 1, .info = {.address = "t:1", .model = "toy", .sessions_max = 9}};
    *cluster = (struct cluster){.target = NULL};
    for (int i = 0; i < 2; i++)
        assert_ok(coordinator_start(&options, &cluster->coordinators[i], &err), &err);
    address_of(cluster, 0, target.coordinators[0]);
    assert_ok(registration_start(&target, &cluster->target, &err), &err);
    registration_serve(cluster->target, &target.info, &cluster->load);
}

static void meet_the_other(struct cluster *cluster)
{
    struct wire_coordinators all = {.n = 2};
    for (int i = 0; i < 2; i++)
        address_of(cluster, i, all.item[i]);
    registration_meet(cluster->target, &all);
    registration_meet(cluster->target, &all);
    assert_int_equal(cluster->target->n_lines, 2);
}

static void stop(struct cluster *cluster)
{
    registration_stop(&cluster->target);
    for (int i = 0; i < 2; i++)
        coordinator_stop(&cluster->coordinators[i]);
}

static struct wire_target_row row_of(struct coordinator *coordinator)
{
    struct wire_listed listed = {0};
    struct wire_target_row row = {0};
    struct error err;
    pthread_mutex_lock(&coordinator->lock);
    assert_ok(registry_list(coordinator->registry, now_us(), &listed, &err), &err);
    pthread_mutex_unlock(&coordinator->lock);
    if (listed.n_targets)
        row = listed.targets[0];
    free(listed.targets);
    return row;
}

/* Until the coordinator may send sessions there, or may not. */
static void until_open(struct cluster *cluster, int number, bool open)
{
    uint64_t end = now_us() + WAIT_MAX_US;
    struct wire_target_row row;
    do {
        row = row_of(cluster->coordinators[number]);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    } while ((row.info.sessions_max && !row.drain && row.load.state == WIRE_SERVING) != open &&
             now_us() < end);
    assert_int_equal(row.info.sessions_max && !row.drain && row.load.state == WIRE_SERVING, open);
}

static void drain(struct coordinator *coordinator, bool undo)
{
    struct wire_drain_target ask = {.address = "t:1", .undo = undo};
    pthread_mutex_lock(&coordinator->lock);
    assert_true(registry_drain(coordinator->registry, &ask));
    pthread_mutex_unlock(&coordinator->lock);
}

static void a_target_reports_to_every_coordinator_that_it_hears_of(void **state)
{
    (void)state;
    struct cluster cluster;
    start(&cluster, 50);
    until_open(&cluster, 0, true);
    assert_int_equal(row_of(cluster.coordinators[1]).info.sessions_max, 0);
    meet_the_other(&cluster);
    until_open(&cluster, 1, true);
    coordinator_stop(&cluster.coordinators[0]);
    atomic_store(&cluster.load.sessions, 7);
    uint64_t end = now_us() + WAIT_MAX_US;
    while (row_of(cluster.coordinators[1]).load.sessions != 7 && now_us() < end)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    assert_int_equal(row_of(cluster.coordinators[1]).load.sessions, 7);
    assert_true(registration_state(cluster.target).up);
    stop(&cluster);
}

static void a_drain_at_one_holds_at_all_and_is_undone_there(void **state)
{
    (void)state;
    struct cluster cluster;
    start(&cluster, 50);
    meet_the_other(&cluster);
    until_open(&cluster, 0, true);
    until_open(&cluster, 1, true);
    drain(cluster.coordinators[0], false);
    until_open(&cluster, 1, false);
    assert_true(row_of(cluster.coordinators[0]).drain);
    assert_false(row_of(cluster.coordinators[1]).drain);
    drain(cluster.coordinators[0], true);
    until_open(&cluster, 1, true);
    until_open(&cluster, 0, true);
    stop(&cluster);
}

static void who_leaves_tells_all(void **state)
{
    (void)state;
    struct cluster cluster;
    start(&cluster, 5000);              /* nothing is forgotten meanwhile */
    meet_the_other(&cluster);
    until_open(&cluster, 0, true);
    until_open(&cluster, 1, true);
    registration_leave(cluster.target);
    assert_true(row_of(cluster.coordinators[0]).drain);
    assert_true(row_of(cluster.coordinators[1]).drain);
    stop(&cluster);
}

/* Coordinators come and go with their addresses: those that were heard of and are silent make room,
 * the one that the user named does not. */
static void silent_coordinators_that_were_heard_of_make_room(void **state)
{
    (void)state;
    struct cluster cluster;
    struct wire_coordinators all = {.n = 1};
    start(&cluster, 50);
    until_open(&cluster, 0, true);
    pthread_mutex_lock(&cluster.target->lock);
    cluster.target->patience_us = 0;
    pthread_mutex_unlock(&cluster.target->lock);
    uint64_t end = now_us() + WAIT_MAX_US;
    for (uint32_t i = 0; i < 3 * REGISTER_COORDINATORS_MAX && now_us() < end; i++) {
        snprintf(all.item[0], WIRE_ADDRESS_MAX, "127.0.0.1:%u", 1 + i);
        registration_meet(cluster.target, &all);     /* nothing listens there */
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    address_of(&cluster, 1, all.item[0]);
    while (row_of(cluster.coordinators[1]).info.sessions_max == 0 && now_us() < end) {
        registration_meet(cluster.target, &all);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    until_open(&cluster, 1, true);
    until_open(&cluster, 0, true);
    assert_true(cluster.target->n_lines <= REGISTER_COORDINATORS_MAX);
    stop(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_reports_to_every_coordinator_that_it_hears_of),
        cmocka_unit_test(a_drain_at_one_holds_at_all_and_is_undone_there),
        cmocka_unit_test(who_leaves_tells_all),
        cmocka_unit_test(silent_coordinators_that_were_heard_of_make_room),
    };
    log_init("test_several", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
