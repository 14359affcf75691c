/* When a client calls which target. */
#include "../support/support.h"
#include "engine/reconnect.h"

enum { MS = 1000, SECOND = 1000000 };

static const struct reconnect_seen busy = {.expects = true};

static struct reconnect fresh(uint32_t n_targets, uint64_t seed)
{
    struct reconnect r;
    struct reconnect_options options = {.n_targets = n_targets, .patience_us = 30 * SECOND,
                                        .seed = seed};
    reconnect_init(&r, &options, SECOND);
    return r;
}

static enum reconnect_action look(struct reconnect *r, uint64_t now_us)
{
    struct reconnect_seen seen = busy;
    struct error why;
    seen.now_us = now_us;
    return reconnect_look(r, &seen, &why);
}

/* Looks every millisecond until something is to be done; at most for a minute. */
static enum reconnect_action next_action(struct reconnect *r, uint64_t *now_us)
{
    for (uint32_t i = 0; i < 60000; i++) {
        enum reconnect_action action = look(r, *now_us);
        if (action != RECONNECT_NOTHING)
            return action;
        *now_us += MS;
    }
    return RECONNECT_NOTHING;
}

static void open_at(struct reconnect *r, uint64_t now_us)
{
    reconnect_accepted(r, now_us);
    reconnect_heard(r, now_us);
    reconnect_opened(r, now_us, false);
}

static void targets_are_called_in_turn_and_pauses_grow(void **state)
{
    (void)state;
    uint64_t now = SECOND, before = 0;
    struct reconnect r = fresh(3, 7);
    for (uint32_t i = 0; i < 9; i++) {
        assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
        assert_int_equal(r.target, i % 3);
        uint64_t pause_max = MIN((uint64_t)(100 * MS) << (i == 0 ? 0 : i - 1), 1u * SECOND);
        if (i > 0)
            assert_in_range(now - before, pause_max / 2, pause_max + 2 * MS);
        before = now;
        assert_true(reconnect_failed(&r, now, STATUS_UNAVAILABLE, 0));
    }
}

static void a_lost_target_is_left_at_once_but_not_by_all_together(void **state)
{
    (void)state;
    uint64_t first = UINT64_MAX, last = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        uint64_t now = SECOND;
        struct reconnect r = fresh(2, seed);
        assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
        open_at(&r, now);
        now = 3 * SECOND;
        assert_true(reconnect_failed(&r, now, STATUS_UNAVAILABLE, 0));
        assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
        assert_int_equal(r.target, 1);
        first = MIN(first, now);
        last = MAX(last, now);
    }
    assert_true(last <= 3 * SECOND + 52 * MS);
    assert_true(last - first >= 30 * MS);
}

static void a_silent_target_is_lost_and_the_next_silence_may_last_longer(void **state)
{
    (void)state;
    uint64_t now = SECOND;
    struct reconnect r = fresh(1, 1);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
        open_at(&r, now);
        uint64_t since = now;
        assert_int_equal(next_action(&r, &now), RECONNECT_HANG_UP);
        assert_in_range(now - since, (1500u * MS) << i, ((1500u * MS) << i) + 2 * MS);
        assert_true(reconnect_failed(&r, now, STATUS_TIMEOUT, 0));
    }
    assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
    open_at(&r, now);
    reconnect_committed(&r);
    uint64_t since = now;
    assert_int_equal(next_action(&r, &now), RECONNECT_HANG_UP);
    assert_in_range(now - since, 1500u * MS, 1502u * MS);
}

/* A process that is stopped takes connections, and no calls. */
static void a_call_that_is_not_taken_is_given_up_where_there_is_another_target(void **state)
{
    (void)state;
    uint64_t now = SECOND;
    struct reconnect r = fresh(2, 1), alone = fresh(1, 1);
    for (uint32_t i = 0; i < 4; i++) {      /* later in each round: the way may be long */
        assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
        assert_int_equal(r.target, i % 2);
        uint64_t since = now;
        assert_int_equal(next_action(&r, &now), RECONNECT_HANG_UP);
        assert_in_range(now - since, (1500u * MS) << i / 2, ((1500u * MS) << i / 2) + 2 * MS);
        assert_true(reconnect_failed(&r, now, STATUS_UNAVAILABLE, 0));
    }
    now = SECOND;                           /* the only one: the link's own patience decides */
    assert_int_equal(next_action(&alone, &now), RECONNECT_CALL);
    assert_int_equal(look(&alone, now + 20u * SECOND), RECONNECT_NOTHING);
    now = SECOND;                           /* and the only one that may be called now */
    r = fresh(2, 1);
    assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
    assert_true(reconnect_failed(&r, now, STATUS_EXHAUSTED, 20000));
    assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
    assert_int_equal(r.target, 1);
    assert_int_equal(look(&r, now + 10u * SECOND), RECONNECT_NOTHING);
}

static void a_day_is_not_spread_over_half_a_day(void **state)
{
    (void)state;
    uint64_t now = SECOND;
    struct reconnect r = fresh(1, 9);
    assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
    assert_true(reconnect_failed(&r, now, STATUS_EXHAUSTED, 36000000));
    assert_in_range(r.not_before_us[0] - now, 36000u * (uint64_t)SECOND,
                    36060u * (uint64_t)SECOND);
}

static void a_target_that_owes_nothing_may_be_silent(void **state)
{
    (void)state;
    struct error why;
    uint64_t now = SECOND;
    struct reconnect r = fresh(1, 1);
    assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
    open_at(&r, now);
    for (; now < 100u * SECOND; now += SECOND) {
        struct reconnect_seen seen = {.now_us = now, .expects = false};
        assert_int_equal(reconnect_look(&r, &seen, &why), RECONNECT_NOTHING);
    }
    assert_int_equal(look(&r, now + 400 * MS), RECONNECT_NOTHING);
}

static void who_refuses_is_never_called_again(void **state)
{
    (void)state;
    uint64_t now = SECOND;
    struct reconnect r = fresh(2, 3);
    assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
    assert_true(reconnect_failed(&r, now, STATUS_MISMATCH, 0));
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
        assert_int_equal(r.target, 1);
        assert_true(reconnect_failed(&r, now, STATUS_EXHAUSTED, 0));
    }
    assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
    assert_false(reconnect_failed(&r, now, STATUS_DENIED, 0));
}

static void a_full_target_says_when_to_come_back(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        uint64_t now = SECOND;
        struct reconnect r = fresh(1, seed);
        assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
        uint64_t since = now;
        assert_true(reconnect_failed(&r, now, STATUS_EXHAUSTED, 4000));
        assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
        assert_in_range(now - since, 4000u * MS, 6002u * MS);
    }
}

static void while_one_is_full_the_others_are_called(void **state)
{
    (void)state;
    uint64_t now = SECOND;
    struct reconnect r = fresh(3, 5);
    assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
    uint64_t since = now;
    assert_true(reconnect_failed(&r, now, STATUS_EXHAUSTED, 4000));
    while (now < since + 4000u * MS) {
        assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
        assert_true(r.target != 0 || now >= since + 4000u * MS);
        assert_true(reconnect_failed(&r, now, STATUS_UNAVAILABLE, 0));
    }
    uint32_t tries = 0;                     /* and then it has its turn again */
    do
        assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
    while (r.target != 0 && reconnect_failed(&r, now, STATUS_UNAVAILABLE, 0) && tries++ < 9);
    assert_int_equal(r.target, 0);
}

static void patience_ends_and_a_commit_renews_it(void **state)
{
    (void)state;
    uint64_t now = SECOND;
    struct reconnect r = fresh(1, 1);
    enum reconnect_action action;
    while ((action = next_action(&r, &now)) == RECONNECT_CALL)
        assert_true(reconnect_failed(&r, now, STATUS_UNAVAILABLE, 0));
    assert_int_equal(action, RECONNECT_GIVE_UP);
    assert_in_range(now, 31u * SECOND, 31u * SECOND + 2 * MS);
    r = fresh(1, 1);
    now = SECOND;
    assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
    open_at(&r, 20u * SECOND);
    assert_int_equal(reconnect_left_us(&r, 40u * SECOND), 11u * SECOND);
    reconnect_committed(&r);
    assert_int_equal(reconnect_left_us(&r, 40u * SECOND), 30u * SECOND);
}

static void a_draining_target_is_left_when_nothing_is_open(void **state)
{
    (void)state;
    struct error why;
    uint64_t now = SECOND;
    struct reconnect r = fresh(2, 1);
    assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
    open_at(&r, now);
    reconnect_draining(&r);
    struct reconnect_seen seen = {.now_us = now, .expects = true, .idle = false};
    assert_int_equal(reconnect_look(&r, &seen, &why), RECONNECT_NOTHING);
    seen.idle = true;
    assert_int_equal(reconnect_look(&r, &seen, &why), RECONNECT_HANG_UP);
    assert_true(reconnect_failed(&r, now, why.code, 0));
    assert_int_equal(next_action(&r, &now), RECONNECT_CALL);
    assert_int_equal(r.target, 1);
    assert_false(r.draining);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_called_in_turn_and_pauses_grow),
        cmocka_unit_test(a_lost_target_is_left_at_once_but_not_by_all_together),
        cmocka_unit_test(a_silent_target_is_lost_and_the_next_silence_may_last_longer),
        cmocka_unit_test(a_call_that_is_not_taken_is_given_up_where_there_is_another_target),
        cmocka_unit_test(a_day_is_not_spread_over_half_a_day),
        cmocka_unit_test(a_target_that_owes_nothing_may_be_silent),
        cmocka_unit_test(who_refuses_is_never_called_again),
        cmocka_unit_test(a_full_target_says_when_to_come_back),
        cmocka_unit_test(while_one_is_full_the_others_are_called),
        cmocka_unit_test(patience_ends_and_a_commit_renews_it),
        cmocka_unit_test(a_draining_target_is_left_when_nothing_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
