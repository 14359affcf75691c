#include "../support/support.h"

#include "cluster/place.h"

enum { TARGETS = 100, PLACEMENTS = 100000 };

static void expected_completion_is_the_formula(void **state)
{
    (void)state;
    struct place_candidate c = {.rtt_us = 20000, .queue_us = 70000, .window_us = 300000,
                                .reserved = 2};
    assert_int_equal(place_expected_us(&c, 3, 1.5f), 3 * 20000 + 70000 + 2 * 300000 + 450000);
    c.window_us = 0;
    assert_int_equal(place_expected_us(&c, 0, 1.0f), 70000 + 3 * PLACE_WINDOW_US);
}

static void the_order_names_different_candidates_best_first(void **state)
{
    (void)state;
    uint64_t seed = 7;
    struct place_candidate c[8];
    for (int round = 0; round < 2000; round++) {
        uint32_t n = 1 + (uint32_t)(place_random(&seed) % 8), order[PLACE_TARGETS_MAX];
        for (uint32_t i = 0; i < n; i++)
            c[i] = (struct place_candidate){.queue_us = (uint32_t)(place_random(&seed) % 1000000),
                                            .window_us = 1};
        struct place_ask ask = {.candidates = c, .n = n, .rounds = 1, .price = 1.0f};
        uint32_t n_chosen = place_choose(&ask, &seed, order);
        assert_int_equal(n_chosen, MIN(n, (uint32_t)PLACE_TARGETS_MAX));
        for (uint32_t i = 0; i < n_chosen; i++) {
            assert_true(order[i] < n);
            for (uint32_t k = 0; k < i; k++)
                assert_int_not_equal(order[i], order[k]);
        }
        if (n_chosen >= 2)
            assert_true(c[order[0]].queue_us <= c[order[1]].queue_us);
    }
}

static void no_candidate_is_no_choice(void **state)
{
    (void)state;
    uint64_t seed = 1;
    uint32_t order[PLACE_TARGETS_MAX];
    struct place_ask ask = {.n = 0};
    assert_int_equal(place_choose(&ask, &seed, order), 0);
}

/* Sessions that never end, on equal targets: the largest load less the mean. */
static uint32_t largest_excess(bool two_choices, uint64_t seed)
{
    struct place_candidate c[TARGETS];
    uint32_t load[TARGETS] = {0}, order[PLACE_TARGETS_MAX], largest = 0;
    for (uint32_t i = 0; i < TARGETS; i++)
        c[i] = (struct place_candidate){.window_us = 100000};
    struct place_ask ask = {.candidates = c, .n = TARGETS, .rounds = 1, .price = 1.0f};
    for (uint32_t k = 0; k < PLACEMENTS; k++) {
        uint32_t chosen = (uint32_t)(place_random(&seed) % TARGETS);
        if (two_choices) {
            place_choose(&ask, &seed, order);
            chosen = order[0];
        }
        c[chosen].reserved = ++load[chosen];
        largest = MAX(largest, load[chosen]);
    }
    return largest - PLACEMENTS / TARGETS;
}

/* Theory: about log2 log2 100 = 2.7 above the mean with two choices, and sqrt(2 m ln n / n) = 96
 * with one, for m = 100,000 and n = 100. */
static void two_choices_keep_the_largest_load_near_the_mean(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint32_t two = largest_excess(true, seed), one = largest_excess(false, seed);
        assert_true(two <= 5);
        assert_true(one >= 50);
    }
}

/* Between two heartbeats all that is known are the own reservations: they alone must spread. */
static void a_herd_between_two_heartbeats_is_spread(void **state)
{
    (void)state;
    uint64_t seed = 3;
    uint32_t order[PLACE_TARGETS_MAX], largest = 0;
    struct place_candidate c[10];
    for (uint32_t i = 0; i < 10; i++)       /* one was idle at its last heartbeat, nine were not */
        c[i] = (struct place_candidate){.window_us = 100000, .queue_us = i ? 150000 : 0};
    struct place_ask ask = {.candidates = c, .n = 10, .rounds = 1, .price = 1.0f};
    for (int k = 0; k < 100; k++) {
        place_choose(&ask, &seed, order);
        largest = MAX(largest, ++c[order[0]].reserved);
    }
    assert_true(largest <= 14);
}

static void a_near_target_wins_until_its_queue_costs_more(void **state)
{
    (void)state;
    uint64_t seed = 9;
    uint32_t order[PLACE_TARGETS_MAX];
    struct place_candidate c[2] = {{.rtt_us = 150000, .window_us = 200000},
                                   {.rtt_us = 1000, .window_us = 200000}};
    struct place_ask ask = {.candidates = c, .n = 2, .rounds = 2, .price = 1.0f};
    place_choose(&ask, &seed, order);
    assert_int_equal(order[0], 1);
    c[1].queue_us = 400000;
    place_choose(&ask, &seed, order);
    assert_int_equal(order[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expected_completion_is_the_formula),
        cmocka_unit_test(the_order_names_different_candidates_best_first),
        cmocka_unit_test(no_candidate_is_no_choice),
        cmocka_unit_test(two_choices_keep_the_largest_load_near_the_mean),
        cmocka_unit_test(a_herd_between_two_heartbeats_is_spread),
        cmocka_unit_test(a_near_target_wins_until_its_queue_costs_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
