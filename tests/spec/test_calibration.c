#include "../support/support.h"

#include <math.h>

#include "spec/calibration.h"

static void without_trials_a_third_of_the_doubt_or_more_is_shared(void **state)
{
    (void)state;
    struct spec_calibration calibration;
    spec_calibration_init(&calibration);
    for (int i = 0; i <= 100; i++) {
        float confidence = (float)i / 100.0f, rate = 1.0f - powf(1.0f - confidence, 1.5f);
        assert_true(fabsf(spec_calibration_rate(&calibration, confidence) - rate) < 0.01f);
    }
}

static float rate_after(int n, bool accepted)
{
    struct spec_calibration calibration;
    spec_calibration_init(&calibration);
    for (int i = 0; i < 2000; i++) /* as often right as it says */
        spec_calibration_observe(&calibration, 0.9f, i % 10 != 0);
    for (int i = 0; i < n; i++)
        spec_calibration_observe(&calibration, 0.9f, accepted);
    return spec_calibration_rate(&calibration, 0.9f);
}

static void errors_of_late_make_all_tokens_doubtful_for_a_while(void **state)
{
    (void)state;
    assert_true(rate_after(0, true) > 0.85f && rate_after(0, true) < 0.95f);
    assert_true(rate_after(10, false) < 0.85f);      /* a hard utterance */
    assert_true(rate_after(40, true) > 0.94f);      /* an easy one */
}

static void errors_of_late_count_for_other_confidences_too(void **state)
{
    (void)state;
    struct spec_calibration calibration;
    spec_calibration_init(&calibration);
    float before = spec_calibration_rate(&calibration, 0.6f);
    for (int i = 0; i < 6; i++)
        spec_calibration_observe(&calibration, 0.97f, false);
    assert_true(spec_calibration_rate(&calibration, 0.6f) < 0.7f * before);
}

/* The mean over several runs: what happened of late moves each of them. */
static void rates_approach_what_is_measured(void **state)
{
    enum { RUNS = 32, POINTS = 20 };
    float mean[POINTS] = {0};
    (void)state;
    for (uint64_t run = 0; run < RUNS; run++) {
        struct spec_calibration calibration;
        spec_calibration_init(&calibration);
        uint64_t seed = 3 + run;
        for (int i = 0; i < 8000; i++) {
            float confidence = support_uniform(&seed, 0.0f, 1.0f);
            float truth = 0.2f + 0.7f * confidence; /* a draft that is too sure and too unsure */
            spec_calibration_observe(&calibration, confidence,
                                     support_uniform(&seed, 0.0f, 1.0f) < truth);
        }
        for (int i = 1; i < POINTS; i++)
            mean[i] += spec_calibration_rate(&calibration, (float)i / POINTS) / RUNS;
    }
    for (int i = 1; i < POINTS; i++)
        assert_true(fabsf(mean[i] - (0.2f + 0.7f * (float)i / POINTS)) < 0.08f);
}

static void rates_stay_within_bounds_and_forget(void **state)
{
    (void)state;
    struct spec_calibration calibration;
    spec_calibration_init(&calibration);
    for (int i = 0; i < 5000; i++)
        spec_calibration_observe(&calibration, 1.0f, false);
    assert_true(spec_calibration_rate(&calibration, 1.0f) < 0.05f);
    for (int i = 0; i < 2000; i++)
        spec_calibration_observe(&calibration, 1.0f, true);
    float rate = spec_calibration_rate(&calibration, 1.0f);
    assert_true(rate > 0.9f && rate <= 1.0f);
    assert_true(spec_calibration_rate(&calibration, -3.0f) >= 0.0f);
    assert_true(spec_calibration_rate(&calibration, 7.0f) <= 1.0f);
}

/* Root -> 0 (right) -> 1 (wrong) -> 2; beside 0: 3. Asked about: 0, 3 and 1; never 2. */
static void a_pass_teaches_only_about_nodes_that_were_asked(void **state)
{
    (void)state;
    struct spec_tree tree = {.n = 4,
                             .node = {{1, -1, 1.0f}, {2, 0, 1.0f}, {3, 1, 1.0f}, {4, -1, 0.0f}}};
    struct spec_accepted accepted = {.n_tokens = 2, .n_nodes = 1, .node = {0}};
    struct spec_calibration calibration;
    spec_calibration_init(&calibration);
    spec_calibration_pass(&calibration, &tree, &accepted);
    assert_true(calibration.trials[SPEC_CALIBRATION_BUCKETS - 1] == 2.0f);
    assert_true(calibration.hits[SPEC_CALIBRATION_BUCKETS - 1] == 1.0f);
    assert_true(calibration.trials[0] == 1.0f);
    assert_true(calibration.hits[0] == 0.0f);
    spec_calibration_apply(&calibration, &tree);
    assert_true(tree.node[0].confidence < 1.0f);
    assert_true(tree.node[0].confidence == spec_calibration_rate(&calibration, 1.0f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_trials_a_third_of_the_doubt_or_more_is_shared),
        cmocka_unit_test(errors_of_late_make_all_tokens_doubtful_for_a_while),
        cmocka_unit_test(errors_of_late_count_for_other_confidences_too),
        cmocka_unit_test(rates_approach_what_is_measured),
        cmocka_unit_test(rates_stay_within_bounds_and_forget),
        cmocka_unit_test(a_pass_teaches_only_about_nodes_that_were_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
