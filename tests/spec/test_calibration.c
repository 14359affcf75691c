#include "../support/support.h"

#include <math.h>

#include "spec/calibration.h"

static void without_trials_a_confidence_is_believed(void **state)
{
    (void)state;
    struct spec_calibration calibration;
    spec_calibration_init(&calibration);
    for (int i = 0; i <= 100; i++) {
        float confidence = (float)i / 100.0f;
        assert_true(fabsf(spec_calibration_rate(&calibration, confidence) - confidence) < 0.01f);
    }
}

static void rates_approach_what_is_measured(void **state)
{
    (void)state;
    struct spec_calibration calibration;
    spec_calibration_init(&calibration);
    uint64_t seed = 3;
    for (int i = 0; i < 20000; i++) {
        float confidence = support_uniform(&seed, 0.0f, 1.0f);
        float truth = 0.2f + 0.7f * confidence; /* a draft that is too sure and too unsure */
        spec_calibration_observe(&calibration, confidence,
                                 support_uniform(&seed, 0.0f, 1.0f) < truth);
    }
    for (int i = 1; i < 20; i++) {
        float confidence = (float)i / 20.0f;
        float rate = spec_calibration_rate(&calibration, confidence);
        assert_true(fabsf(rate - (0.2f + 0.7f * confidence)) < 0.1f);
    }
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
        cmocka_unit_test(without_trials_a_confidence_is_believed),
        cmocka_unit_test(rates_approach_what_is_measured),
        cmocka_unit_test(rates_stay_within_bounds_and_forget),
        cmocka_unit_test(a_pass_teaches_only_about_nodes_that_were_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
