#include "../support/support.h"

#include <math.h>

#include "spec/price.h"

static void the_prior_is_a_straight_line(void **state)
{
    (void)state;
    struct spec_cost cost;
    spec_cost_init(&cost, 3000.0f, 500.0f);
    for (uint32_t n = 1; n <= 64; n++)
        assert_true(fabsf(spec_cost_us(&cost, n) - (3000.0f + 500.0f * (float)(n - 1))) < 1.0f);
    assert_true(fabsf(spec_cost_row_us(&cost) - 500.0f) < 1.0f);
}

static float true_us(uint32_t n)
{
    return 2000.0f + 60.0f * (float)n + (n > 16 ? 900.0f : 0.0f);
}

static void the_measured_curve_is_learned(void **state)
{
    (void)state;
    struct spec_cost cost;
    spec_cost_init(&cost, 9000.0f, 4000.0f);
    uint64_t seed = 5;
    for (int i = 0; i < 3000; i++) {
        uint32_t n = 1 + (uint32_t)(support_random(&seed) % 64);
        spec_cost_observe(&cost, n, true_us(n) * support_uniform(&seed, 0.97f, 1.03f));
    }
    for (uint32_t n = 1; n <= 64; n++) {
        float estimate = spec_cost_us(&cost, n);
        float tolerance = n > 8 && n < 32 ? 0.25f : 0.1f; /* a jump within a gap of the knots */
        assert_true(fabsf(estimate / true_us(n) - 1.0f) < tolerance);
    }
}

static void the_estimate_is_monotone_whatever_is_measured(void **state)
{
    (void)state;
    uint64_t seed = 6;
    for (int round = 0; round < 100; round++) {
        struct spec_cost cost;
        spec_cost_init(&cost, 1000.0f, 10.0f);
        for (int i = 0; i < 50; i++) {
            uint32_t rows = 1 + (uint32_t)(support_random(&seed) % 64);
            spec_cost_observe(&cost, rows, support_uniform(&seed, 1.0f, 90000.0f));
            for (uint32_t n = 1; n < 80; n++) {
                assert_true(spec_cost_us(&cost, n) > 0.0f);
                assert_true(spec_cost_us(&cost, n + 1) >= spec_cost_us(&cost, n) * 0.9999f);
            }
        }
    }
}

static void one_measurement_scales_what_was_never_seen(void **state)
{
    (void)state;
    struct spec_cost cost;
    spec_cost_init(&cost, 10000.0f, 1000.0f);
    for (int i = 0; i < 40; i++)
        spec_cost_observe(&cost, 1, 2500.0f);
    assert_true(fabsf(spec_cost_us(&cost, 1) - 2500.0f) < 5.0f);
    assert_true(fabsf(spec_cost_us(&cost, 64) - 73000.0f / 4.0f) < 400.0f);
}

static struct spec_tree random_best_first(uint64_t *seed)
{
    struct spec_tree tree;
    spec_tree_clear(&tree);
    float survival[SPEC_ROWS_MAX];
    float last = 1.0f;
    while (tree.n < 50) {
        int32_t parent = (int32_t)(support_random(seed) % (tree.n + 1)) - 1;
        float above = parent < 0 ? 1.0f : survival[parent];
        float wanted = fminf(last, above) * support_uniform(seed, 0.7f, 1.0f);
        survival[tree.n] = last = wanted;
        struct spec_node node = {(int32_t)tree.n, (int16_t)parent, wanted / above};
        tree.node[tree.n++] = node;
    }
    return tree;
}

/* A machine at rest, `slower` times the true one. */
static void probe_all(struct spec_cost *cost, float slower)
{
    for (size_t i = 0; i < SPEC_COST_KNOTS; i++)
        spec_cost_probe(cost, spec_cost_rows[i], slower * true_us(spec_cost_rows[i]));
}

/* A few rows were timed while another program had the processor. They look dear, so none are taken
 * and nothing new is learned about them: the probe's shape brings them back. */
static void an_unlucky_measurement_is_forgotten(void **state)
{
    (void)state;
    struct spec_cost cost;
    spec_cost_init(&cost, 4000.0f, 500.0f);
    probe_all(&cost, 1.0f);
    probe_all(&cost, 3.0f);                 /* the least counts */
    for (uint32_t n = 1; n <= 12; n++)
        assert_true(fabsf(spec_cost_us(&cost, n) - true_us(n)) < 1.0f);
    spec_cost_observe(&cost, 8, 50000.0f);
    assert_true(spec_cost_us(&cost, 8) < 1.6f * true_us(8));
    for (int i = 0; i < 100; i++)
        spec_cost_observe(&cost, 8, 20000.0f);
    assert_true(spec_cost_us(&cost, 8) > 4.0f * true_us(8));
    for (int i = 0; i < 200; i++)
        spec_cost_observe(&cost, 2, true_us(2));
    assert_true(fabsf(spec_cost_us(&cost, 8) / true_us(8) - 1.0f) < 0.05f);
}

/* All times of 8 rows were disturbed: what 6 and 12 take says that they cannot be so dear. */
static void a_disturbed_probe_is_seen_by_its_neighbours(void **state)
{
    (void)state;
    struct spec_cost cost;
    spec_cost_init(&cost, 4000.0f, 500.0f);
    probe_all(&cost, 1.0f);
    float fair_us = spec_cost_us(&cost, 8);
    spec_cost_init(&cost, 4000.0f, 500.0f);
    for (size_t i = 0; i < SPEC_COST_KNOTS; i++) {
        uint32_t n = spec_cost_rows[i];
        spec_cost_probe(&cost, n, (n == 8 ? 2.0f : 1.0f) * true_us(n));
    }
    assert_true(fabsf(spec_cost_us(&cost, 8) / fair_us - 1.0f) < 0.01f);
}

/* The whole probe was disturbed: passes of 6 rows show how fast the machine is, and rows that no
 * pass has follow at a fraction of their time. */
static void passes_correct_a_disturbed_probe(void **state)
{
    (void)state;
    struct spec_cost cost;
    spec_cost_init(&cost, 4000.0f, 500.0f);
    probe_all(&cost, 3.0f);
    for (int i = 0; i < 200; i++)
        spec_cost_observe(&cost, i % 2 ? 6 : 1, true_us(i % 2 ? 6 : 1));
    assert_true(spec_cost_us(&cost, 8) < 1.25f * true_us(8));
}

/* The machine becomes twice as slow: what is not tried becomes dearer as well. */
static void what_no_pass_has_follows_the_machine(void **state)
{
    (void)state;
    struct spec_cost cost;
    spec_cost_init(&cost, 4000.0f, 500.0f);
    probe_all(&cost, 1.0f);
    for (int i = 0; i < 300; i++)
        spec_cost_observe(&cost, 4, 2.0f * true_us(4));
    assert_true(fabsf(spec_cost_us(&cost, 16) / (2.0f * true_us(16)) - 1.0f) < 0.05f);
}

static void rows_are_taken_for_the_best_rate(void **state)
{
    (void)state;
    uint64_t seed = 8;
    for (int round = 0; round < 200; round++) {
        struct spec_tree tree = random_best_first(&seed);
        struct spec_cost cost;
        spec_cost_init(&cost, 3000.0f, support_uniform(&seed, 1.0f, 2500.0f));
        struct spec_rows_ask ask = {.tree = &tree,
                                    .cost = &cost,
                                    .n_fixed = 1 + (uint32_t)(support_random(&seed) % 4),
                                    .n_nodes_max = 50,
                                    .us_max = support_uniform(&seed, 3000.0f, 60000.0f),
                                    .price = -1.0f,
                                    .end = -1};
        struct spec_rows got = spec_rows_worth(&ask);
        float survival[SPEC_NODES_MAX];
        spec_tree_survival(&tree, survival);
        double expected = 1.0;
        double got_us = spec_cost_us(&cost, ask.n_fixed + got.n_nodes);
        double got_rate = got.expected / got_us;
        for (uint32_t n = 0; n <= 50; n++) {
            double us = spec_cost_us(&cost, ask.n_fixed + n);
            expected += n > 0 ? survival[n - 1] : 0.0;
            if (n == 0 || us <= ask.us_max)
                assert_true(expected / us <= got_rate * 1.0001);
        }
        assert_true(got.n_nodes == 0 || got.us <= ask.us_max);
    }
}

/* Where the rate of late is known, a row is taken that decides more in its time than that. */
static void rows_are_taken_that_beat_the_rate_of_late(void **state)
{
    (void)state;
    uint64_t seed = 10;
    uint32_t n_more = 0;
    for (int round = 0; round < 200; round++) {
        struct spec_tree tree = random_best_first(&seed);
        struct spec_cost cost;
        spec_cost_init(&cost, 3000.0f, support_uniform(&seed, 1.0f, 2500.0f));
        struct spec_rows_ask ask = {.tree = &tree, .cost = &cost, .n_fixed = 1, .n_nodes_max = 50,
                                    .us_max = INFINITY, .price = -1.0f, .end = -1};
        uint32_t n_alone = spec_rows_worth(&ask).n_nodes;
        ask.rate = support_uniform(&seed, 1e-4f, 2e-3f);
        struct spec_rows got = spec_rows_worth(&ask);
        float survival[SPEC_NODES_MAX];
        spec_tree_survival(&tree, survival);
        double expected = 1.0, got_gain = (double)got.expected - (double)ask.rate * (double)got.us;
        for (uint32_t n = 0; n <= 50; n++) {
            expected += n > 0 ? survival[n - 1] : 0.0;
            double us = spec_cost_us(&cost, 1 + n);
            assert_true(expected - (double)ask.rate * us <= got_gain + 1e-3);
        }
        n_more += got.n_nodes > n_alone;
    }
    assert_true(n_more > 20);               /* sure drafts go on where the mean is worse */
}

static void free_rows_are_all_taken_and_dear_rows_none(void **state)
{
    (void)state;
    uint64_t seed = 9;
    struct spec_tree tree = random_best_first(&seed);
    struct spec_cost cost;
    spec_cost_init(&cost, 3000.0f, 2999.0f);
    struct spec_rows_ask ask = {.tree = &tree, .cost = &cost, .n_fixed = 1, .n_nodes_max = 40,
                                .us_max = INFINITY, .price = 0.0f, .end = -1};
    assert_int_equal(spec_rows_worth(&ask).n_nodes, 40);
    float survival[SPEC_NODES_MAX];
    spec_tree_survival(&tree, survival);
    ask.survival_min = 0.5f * (survival[4] + survival[5]);
    assert_true(spec_rows_worth(&ask).n_nodes <= 5);
    ask.survival_min = 0.0f;
    ask.price = 1.0f;
    assert_true(spec_rows_worth(&ask).n_nodes < 4);
    ask.price = 5.0f;
    assert_int_equal(spec_rows_worth(&ask).n_nodes, 0);
    assert_true(spec_rows_worth(&ask).expected == 1.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_prior_is_a_straight_line),
        cmocka_unit_test(the_measured_curve_is_learned),
        cmocka_unit_test(the_estimate_is_monotone_whatever_is_measured),
        cmocka_unit_test(one_measurement_scales_what_was_never_seen),
        cmocka_unit_test(an_unlucky_measurement_is_forgotten),
        cmocka_unit_test(a_disturbed_probe_is_seen_by_its_neighbours),
        cmocka_unit_test(passes_correct_a_disturbed_probe),
        cmocka_unit_test(what_no_pass_has_follows_the_machine),
        cmocka_unit_test(rows_are_taken_for_the_best_rate),
        cmocka_unit_test(rows_are_taken_that_beat_the_rate_of_late),
        cmocka_unit_test(free_rows_are_all_taken_and_dear_rows_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
