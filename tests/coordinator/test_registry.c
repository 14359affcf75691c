#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/registry.h"

enum { PERIOD_MS = 500, PERIOD_US = 500000, LEASE_US = 3 * PERIOD_US + PERIOD_US / 2 };

static struct registry *new_registry(uint64_t canary, float share)
{
    struct registry *registry;
    struct registry_options options = {.heartbeat_ms = PERIOD_MS, .seed = 5,
                                       .canary_fingerprint = canary, .canary_share = share};
    struct error err;
    assert_ok(registry_new(&options, 0, &registry, &err), &err);
    return registry;
}

static struct wire_target_info info_of(uint32_t number, uint64_t incarnation)
{
    struct wire_target_info info = {.model = "base", .fingerprint = 1, .incarnation = incarnation,
                                    .sessions_max = 4};
    snprintf(info.address, sizeof(info.address), "10.0.0.%u:7600", number);
    return info;
}

static enum wire_verdict join(struct registry *registry, uint64_t now, uint32_t number,
                              uint64_t incarnation)
{
    struct wire_target_info info = info_of(number, incarnation);
    struct wire_target_load load = {.sequence = 1, .window_us = 100000};
    return registry_register(registry, now, &info, &load);
}

static enum wire_verdict beat(struct registry *registry, uint64_t now, uint32_t number,
                              uint64_t incarnation, const struct wire_target_load *load)
{
    struct wire_heartbeat heartbeat = {.incarnation = incarnation, .load = *load};
    bool drain;
    snprintf(heartbeat.address, sizeof(heartbeat.address), "10.0.0.%u:7600", number);
    return registry_heartbeat(registry, now, &heartbeat, &drain);
}

static struct wire_placed place_now(struct registry *registry, uint64_t now,
                                    const struct wire_place *ask)
{
    struct wire_placed placed;
    registry_place(registry, now, ask, 1.0f, &placed);
    assert_int_equal(placed.retry_ms > 0, placed.n_targets == 0);
    assert_int_equal(placed.retry_ms > 0, placed.reason[0] != '\0');
    return placed;
}

static const struct wire_place anything = {.rounds = 2};

static struct wire_target_row row_of(struct registry *registry, uint64_t now, uint32_t number)
{
    struct wire_listed listed = {0};
    struct wire_target_row row = {0};
    struct error err;
    struct wire_target_info info = info_of(number, 1);
    assert_ok(registry_list(registry, now, &listed, &err), &err);
    for (uint32_t i = 0; i < listed.n_targets; i++)
        if (strcmp(listed.targets[i].info.address, info.address) == 0)
            row = listed.targets[i];
    free(listed.targets);
    return row;
}

/* The bus brings loads between heartbeats: they count, and keep the target alive, but a placement
 * is not taken for seen before the second heartbeat. */
static void loads_from_the_bus_are_news_but_no_heartbeats(void **state)
{
    (void)state;
    struct registry *registry = new_registry(0, 0);
    struct wire_heartbeat news = {.address = "10.0.0.1:7600", .incarnation = 1,
                                  .load = {.sequence = 5, .sessions = 2, .queue_us = 1234}};
    assert_false(registry_load(registry, 0, &news));
    assert_int_equal(join(registry, 0, 1, 1), WIRE_KNOWN);
    place_now(registry, 1, &anything);
    for (uint64_t now = 0; now < 4 * LEASE_US; now += PERIOD_US / 2) {
        news.load.sequence++;
        assert_true(registry_load(registry, now, &news));
    }
    assert_int_equal(row_of(registry, 4 * LEASE_US, 1).load.queue_us, 1234);
    assert_int_equal(row_of(registry, 4 * LEASE_US, 1).reserved, 1);
    news.load = (struct wire_target_load){.sequence = 3, .queue_us = 9};    /* overtaken */
    assert_true(registry_load(registry, 4 * LEASE_US, &news));
    assert_int_equal(row_of(registry, 4 * LEASE_US, 1).load.queue_us, 1234);
    news.incarnation = 2;
    assert_false(registry_load(registry, 4 * LEASE_US, &news));
    registry_free(&registry);
}

struct lost {
    uint32_t n, n_of[REGISTRY_REKEYED + 1];
    uint64_t silent_us;
    uint64_t incarnation;
    char key[WIRE_BUS_KEY_MAX];
};

static void note_lost(void *context, const struct registry_gone *gone)
{
    struct lost *lost = context;
    lost->n++;
    lost->n_of[gone->reason]++;
    lost->silent_us = gone->silent_us;
    lost->incarnation = gone->info->incarnation;
    memcpy(lost->key, gone->info->bus_key, sizeof(lost->key));
}

static void each_process_that_goes_is_told_once(void **state)
{
    (void)state;
    struct lost lost = {0};
    struct registry_options options = {.heartbeat_ms = PERIOD_MS, .gone = note_lost,
                                       .context = &lost};
    struct registry *registry;
    struct error err;
    assert_ok(registry_new(&options, 0, &registry, &err), &err);
    assert_int_equal(join(registry, 0, 1, 1), WIRE_KNOWN);
    assert_int_equal(join(registry, 1, 1, 1), WIRE_KNOWN);
    assert_int_equal(lost.n, 0);
    assert_int_equal(join(registry, 2, 1, 7), WIRE_KNOWN);
    assert_int_equal(lost.n, 1);
    assert_int_equal(lost.incarnation, 1);
    assert_int_equal(lost.n_of[REGISTRY_REPLACED], 1);
    registry_expire(registry, 2 * LEASE_US);
    assert_int_equal(lost.n, 2);
    assert_int_equal(lost.n_of[REGISTRY_SILENT], 1);
    assert_int_equal(lost.silent_us, 2 * LEASE_US - 2);
    assert_int_equal(lost.incarnation, 7);
    registry_free(&registry);
}

/* Who drained, or was drained, is no loss, whether it falls silent or a later process comes. */
static void who_was_out_of_use_has_left(void **state)
{
    (void)state;
    struct lost lost = {0};
    struct registry_options options = {.heartbeat_ms = PERIOD_MS, .gone = note_lost,
                                       .context = &lost};
    struct wire_drain_target farewell = {.address = "10.0.0.1:7600", .incarnation = 1};
    struct wire_target_load drains = {.sequence = 2, .state = WIRE_DRAINING};
    struct registry *registry;
    struct error err;
    assert_ok(registry_new(&options, 0, &registry, &err), &err);
    for (uint32_t i = 1; i <= 3; i++)
        assert_int_equal(join(registry, 0, i, 1), WIRE_KNOWN);
    assert_true(registry_drain(registry, &farewell));
    assert_int_equal(beat(registry, 1, 2, 1, &drains), WIRE_KNOWN);
    assert_int_equal(join(registry, 2, 1, 7), WIRE_KNOWN);
    assert_int_equal(lost.n_of[REGISTRY_LEFT], 1);
    assert_int_equal(registry_expire(registry, 2 * LEASE_US), 3);
    assert_int_equal(lost.n_of[REGISTRY_LEFT], 2);      /* the second, */
    assert_int_equal(lost.n_of[REGISTRY_SILENT], 2);    /* the first's successor, and the third */
    registry_free(&registry);
}

static void a_key_that_is_replaced_is_told_as_gone(void **state)
{
    (void)state;
    struct lost lost = {0};
    struct registry_options options = {.heartbeat_ms = PERIOD_MS, .gone = note_lost,
                                       .context = &lost};
    struct wire_target_info info = info_of(1, 1);
    struct wire_target_load load = {.sequence = 1};
    struct registry *registry;
    struct error err;
    assert_ok(registry_new(&options, 0, &registry, &err), &err);
    snprintf(info.bus_key, sizeof(info.bus_key), "first");
    assert_int_equal(registry_register(registry, 0, &info, &load), WIRE_KNOWN);
    assert_int_equal(registry_register(registry, 1, &info, &load), WIRE_KNOWN);
    assert_int_equal(lost.n, 0);
    snprintf(info.bus_key, sizeof(info.bus_key), "second");
    assert_int_equal(registry_register(registry, 2, &info, &load), WIRE_KNOWN);
    assert_int_equal(lost.n_of[REGISTRY_REKEYED], 1);
    assert_string_equal(lost.key, "first");
    registry_free(&registry);
}

static void an_unknown_incarnation_is_told_to_register_again(void **state)
{
    (void)state;
    struct registry *registry = new_registry(0, 0);
    struct wire_target_load load = {.sequence = 2};
    assert_int_equal(beat(registry, 10, 1, 100, &load), WIRE_REGISTER_AGAIN);
    assert_int_equal(join(registry, 20, 1, 100), WIRE_KNOWN);
    assert_int_equal(beat(registry, 30, 1, 100, &load), WIRE_KNOWN);
    assert_int_equal(beat(registry, 40, 1, 101, &load), WIRE_REGISTER_AGAIN);
    registry_free(&registry);
}

static void a_later_process_supersedes_the_earlier_one(void **state)
{
    (void)state;
    struct registry *registry = new_registry(0, 0);
    struct wire_target_load load = {.sequence = 9};
    assert_int_equal(join(registry, 0, 1, 100), WIRE_KNOWN);
    assert_int_equal(join(registry, 10, 1, 200), WIRE_KNOWN);
    assert_int_equal(beat(registry, 20, 1, 100, &load), WIRE_SUPERSEDED);
    assert_int_equal(join(registry, 30, 1, 100), WIRE_SUPERSEDED);
    assert_int_equal(row_of(registry, 30, 1).info.incarnation, 200);
    /* When the later one is gone, the earlier may have the address again. */
    assert_int_equal(join(registry, 10 + LEASE_US + 1, 1, 100), WIRE_KNOWN);
    registry_free(&registry);
}

static void missed_heartbeats_are_a_target_that_is_gone(void **state)
{
    (void)state;
    struct registry *registry = new_registry(0, 0);
    struct wire_target_load load = {.sequence = 2};
    join(registry, 0, 1, 1);
    join(registry, 0, 2, 1);
    beat(registry, PERIOD_US, 2, 1, &load);
    assert_int_equal(registry_expire(registry, LEASE_US), 0);
    assert_int_equal(registry_expire(registry, LEASE_US + 1), 1);
    struct wire_placed placed = place_now(registry, LEASE_US + 1, &anything);
    assert_int_equal(placed.n_targets, 1);
    assert_string_equal(placed.targets[0].address, "10.0.0.2:7600");
    placed = place_now(registry, PERIOD_US + LEASE_US + 1, &anything);
    assert_int_equal(placed.n_targets, 0);
    registry_free(&registry);
}

static void late_heartbeats_do_not_go_back_in_time(void **state)
{
    (void)state;
    struct registry *registry = new_registry(0, 0);
    struct wire_target_load newer = {.sequence = 5, .sessions = 3},
                            older = {.sequence = 4, .sessions = 1};
    join(registry, 0, 1, 1);
    beat(registry, 1, 1, 1, &newer);
    assert_int_equal(beat(registry, 2, 1, 1, &older), WIRE_KNOWN);
    assert_int_equal(row_of(registry, 2, 1).load.sessions, 3);
    registry_free(&registry);
}

static void a_reservation_counts_until_the_second_heartbeat(void **state)
{
    (void)state;
    struct registry *registry = new_registry(0, 0);
    struct wire_target_load load = {.sequence = 2};
    join(registry, 0, 1, 1);
    place_now(registry, 10, &anything);
    place_now(registry, 20, &anything);
    assert_int_equal(row_of(registry, 20, 1).reserved, 2);
    beat(registry, 30, 1, 1, &load);        /* perhaps they are not there yet */
    assert_int_equal(row_of(registry, 30, 1).reserved, 2);
    load.sequence++;
    beat(registry, 40, 1, 1, &load);
    assert_int_equal(row_of(registry, 40, 1).reserved, 0);
    assert_int_equal(row_of(registry, 40, 1).placed, 2);
    registry_free(&registry);
}

static void full_targets_are_not_placed_on(void **state)
{
    (void)state;
    struct registry *registry = new_registry(0, 0);
    struct wire_target_load load = {.sequence = 2, .sessions = 2};
    join(registry, 0, 1, 1);
    beat(registry, 1, 1, 1, &load);
    assert_int_equal(place_now(registry, 2, &anything).n_targets, 1);
    assert_int_equal(place_now(registry, 3, &anything).n_targets, 1);
    struct wire_placed placed = place_now(registry, 4, &anything);
    assert_int_equal(placed.n_targets, 0);
    assert_string_equal(placed.reason, "no session is free on 1 target");
    registry_free(&registry);
}

/* The retry times of many refused clients are spread. */
static void refused_clients_come_back_at_different_times(void **state)
{
    (void)state;
    struct registry *registry = new_registry(0, 0);
    uint32_t least = UINT32_MAX, most = 0;
    for (int i = 0; i < 200; i++) {
        struct wire_placed placed = place_now(registry, 10 * LEASE_US, &anything);
        assert_string_equal(placed.reason, "no target has registered");
        least = MIN(least, placed.retry_ms);
        most = MAX(most, placed.retry_ms);
    }
    assert_in_range(least, 500, 600);
    assert_in_range(most, 1400, 1500);
    registry_free(&registry);
}

static void warming_targets_mean_ask_again_soon(void **state)
{
    (void)state;
    struct registry *registry = new_registry(0, 0);
    struct wire_target_info info = info_of(1, 1);
    struct wire_target_load load = {.sequence = 1, .state = WIRE_WARMING};
    struct wire_place ask = {.model = "base"};
    info.model[0] = '\0';                   /* the model is being loaded: no name yet */
    registry_register(registry, 10 * LEASE_US, &info, &load);
    struct wire_placed placed = place_now(registry, 10 * LEASE_US, &ask);
    assert_string_equal(placed.reason, "the targets are warming up");
    assert_true(placed.retry_ms < 400);
    info = info_of(1, 1);
    load = (struct wire_target_load){.sequence = 2};
    registry_register(registry, 10 * LEASE_US, &info, &load);
    assert_int_equal(place_now(registry, 10 * LEASE_US, &ask).n_targets, 1);
    registry_free(&registry);
}

/* A coordinator that has just begun does not know its targets yet. */
static void in_the_first_moments_ask_again_soon(void **state)
{
    (void)state;
    struct registry *registry = new_registry(0, 0);
    assert_true(place_now(registry, 1000, &anything).retry_ms < 400);
    registry_free(&registry);
}

static void what_failed_a_client_comes_last(void **state)
{
    (void)state;
    struct registry *registry = new_registry(0, 0);
    struct wire_place ask = {.n_avoid = 1};
    snprintf(ask.avoid[0], sizeof(ask.avoid[0]), "10.0.0.1:7600");
    join(registry, 0, 1, 1);
    join(registry, 0, 2, 1);
    for (int i = 0; i < 3; i++) {
        struct wire_placed placed = place_now(registry, 1, &ask);
        assert_int_equal(placed.n_targets, 1);
        assert_string_equal(placed.targets[0].address, "10.0.0.2:7600");
    }
    registry_free(&registry);
    registry = new_registry(0, 0);          /* better than nothing, when it is the only one */
    join(registry, 0, 1, 1);
    assert_int_equal(place_now(registry, 1, &ask).n_targets, 1);
    registry_free(&registry);
}

static void drained_targets_get_nothing_until_undone(void **state)
{
    (void)state;
    struct registry *registry = new_registry(0, 0);
    struct wire_drain_target drain = {.address = "10.0.0.1:7600"};
    struct wire_heartbeat heartbeat = {.address = "10.0.0.1:7600", .incarnation = 7,
                                       .load = {.sequence = 2}};
    bool told;
    assert_false(registry_drain(registry, &drain));
    join(registry, 0, 1, 7);
    drain.incarnation = 6;                  /* a process that was here before */
    assert_false(registry_drain(registry, &drain));
    drain.incarnation = 0;
    assert_true(registry_drain(registry, &drain));
    assert_int_equal(registry_heartbeat(registry, 1, &heartbeat, &told), WIRE_KNOWN);
    assert_true(told);
    assert_string_equal(place_now(registry, 1, &anything).reason,
                        "the targets are being drained");
    join(registry, 2, 1, 7);                /* a lost answer: registers again, still drained */
    assert_int_equal(place_now(registry, 2, &anything).n_targets, 0);
    drain.undo = true;
    assert_true(registry_drain(registry, &drain));
    assert_int_equal(place_now(registry, 3, &anything).n_targets, 1);
    registry_free(&registry);
}

/* ---- versions ---- */

static void join_version(struct registry *registry, uint32_t number, uint64_t fingerprint,
                         const char *model)
{
    struct wire_target_info info = info_of(number, 1);
    struct wire_target_load load = {.sequence = 1};
    info.fingerprint = fingerprint;
    info.sessions_max = 1000000;
    snprintf(info.model, sizeof(info.model), "%s", model);
    assert_int_equal(registry_register(registry, 0, &info, &load), WIRE_KNOWN);
}

static void the_model_that_is_asked_for_is_the_model_that_is_given(void **state)
{
    (void)state;
    struct registry *registry = new_registry(0, 0);
    struct wire_place ask = {.model = "large"};
    join_version(registry, 1, 1, "base");
    assert_string_equal(place_now(registry, 10 * LEASE_US, &ask).reason,
                        "no target has registered");
    join_version(registry, 1, 1, "base");
    assert_string_equal(place_now(registry, 1, &ask).reason, "no target has the model large");
    join_version(registry, 2, 2, "large");
    struct wire_placed placed = place_now(registry, 1, &ask);
    assert_int_equal(placed.n_targets, 1);
    assert_string_equal(placed.targets[0].model, "large");
    registry_free(&registry);
}

static void the_canary_gets_its_share_and_sessions_stay_with_their_version(void **state)
{
    (void)state;
    struct registry *registry = new_registry(0xCA, 0.25f);
    uint32_t n_canary = 0;
    join_version(registry, 1, 0xA, "base");
    join_version(registry, 2, 0xA, "base");
    join_version(registry, 3, 0xCA, "base");
    for (uint32_t i = 0; i < 4000; i++) {
        struct wire_place ask = {0};
        memcpy(ask.session, &i, sizeof(i));
        struct wire_placed placed = place_now(registry, 1, &ask);
        bool canary = placed.targets[0].fingerprint == 0xCA;
        n_canary += canary;
        assert_int_equal(placed.n_targets, 3);      /* the other version is the fall-back */
        assert_int_equal(place_now(registry, 1, &ask).targets[0].fingerprint == 0xCA, canary);
    }
    assert_in_range(n_canary, 900, 1100);
    registry_free(&registry);
}

static void a_session_that_moves_keeps_its_version_if_it_can(void **state)
{
    (void)state;
    struct registry *registry = new_registry(0xCA, 0.0f);
    struct wire_place ask = {.fingerprint = 0xCA};
    join_version(registry, 1, 0xA, "base");
    join_version(registry, 2, 0xCA, "base");
    assert_int_equal(place_now(registry, 1, &ask).targets[0].fingerprint, 0xCA);
    ask.fingerprint = 0xDEAD;               /* gone from the cluster */
    assert_int_equal(place_now(registry, 1, &ask).n_targets, 2);
    registry_free(&registry);
}

static void the_registry_has_a_cap(void **state)
{
    (void)state;
    struct registry *registry = new_registry(0, 0);
    struct wire_target_info info = info_of(1, 1);
    struct wire_target_load load = {0};
    for (uint32_t i = 0; i < REGISTRY_TARGETS_MAX; i++) {
        snprintf(info.address, sizeof(info.address), "h%u:1", i);
        assert_int_equal(registry_register(registry, 0, &info, &load), WIRE_KNOWN);
    }
    snprintf(info.address, sizeof(info.address), "one-too-many:1");
    assert_int_equal(registry_register(registry, 0, &info, &load), WIRE_REGISTRY_FULL);
    registry_free(&registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_from_the_bus_are_news_but_no_heartbeats),
        cmocka_unit_test(each_process_that_goes_is_told_once),
        cmocka_unit_test(who_was_out_of_use_has_left),
        cmocka_unit_test(a_key_that_is_replaced_is_told_as_gone),
        cmocka_unit_test(an_unknown_incarnation_is_told_to_register_again),
        cmocka_unit_test(a_later_process_supersedes_the_earlier_one),
        cmocka_unit_test(missed_heartbeats_are_a_target_that_is_gone),
        cmocka_unit_test(late_heartbeats_do_not_go_back_in_time),
        cmocka_unit_test(a_reservation_counts_until_the_second_heartbeat),
        cmocka_unit_test(full_targets_are_not_placed_on),
        cmocka_unit_test(refused_clients_come_back_at_different_times),
        cmocka_unit_test(warming_targets_mean_ask_again_soon),
        cmocka_unit_test(in_the_first_moments_ask_again_soon),
        cmocka_unit_test(what_failed_a_client_comes_last),
        cmocka_unit_test(drained_targets_get_nothing_until_undone),
        cmocka_unit_test(the_model_that_is_asked_for_is_the_model_that_is_given),
        cmocka_unit_test(the_canary_gets_its_share_and_sessions_stay_with_their_version),
        cmocka_unit_test(a_session_that_moves_keeps_its_version_if_it_can),
        cmocka_unit_test(the_registry_has_a_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
