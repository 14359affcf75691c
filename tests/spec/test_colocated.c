/* How far a draft model is run on the thread that verifies: never to a loss. */
#include "../support/support.h"

#include "spec/colocated.h"

enum { N = 24 };

/* Passes as on a CPU: a plain step of 8 ms, a row of 0.5 ms. */
static struct spec_cost cost_of(float step_us, float row_us)
{
    struct spec_cost cost;
    spec_cost_init(&cost, step_us, row_us);
    return cost;
}

static void fill(float survival[N], float rate)
{
    float s = 1.0f;
    for (uint32_t i = 0; i < N; i++)
        survival[i] = s *= rate;
}

static uint32_t depth(const struct spec_cost *cost, float draft_us, float rate, uint32_t n_windows,
                      float price)
{
    float survival[N];
    fill(survival, rate);
    const struct spec_colocated_ask ask = {.cost = cost, .draft_us = draft_us,
                                           .survival = survival, .n_survival = N,
                                           .n_windows = n_windows, .price = price};
    return spec_colocated_depth(&ask, NULL);
}

static void good_cheap_drafts_go_far_and_bad_or_dear_ones_nowhere(void **state)
{
    (void)state;
    struct spec_cost cost = cost_of(8000.0f, 500.0f);
    assert_in_range(depth(&cost, 1000.0f, 0.9f, 1, 1.0f), 6, N);
    assert_int_equal(depth(&cost, 1000.0f, 0.0f, 1, 1.0f), 0);
    assert_int_equal(depth(&cost, 1000.0f, 0.15f, 1, 1.0f), 0);
    assert_int_equal(depth(&cost, 8000.0f, 0.99f, 1, 1.0f), 0);     /* as dear as a plain step */
    assert_int_equal(depth(&cost, 0.0f, 1.0f, 1, 1.0f), N);
}

/* Each condition that makes drafts worth less never lengthens them. */
static void depth_falls_with_what_drafts_cost(void **state)
{
    (void)state;
    struct spec_cost cost = cost_of(8000.0f, 500.0f);
    for (uint32_t i = 1; i < 40; i++) {
        float t = 200.0f * (float)i;
        assert_true(depth(&cost, t + 200.0f, 0.9f, 1, 1.0f) <= depth(&cost, t, 0.9f, 1, 1.0f));
        assert_true(depth(&cost, 1000.0f, 0.9f, i + 1, 1.0f) <=
                    depth(&cost, 1000.0f, 0.9f, i, 1.0f));
        assert_true(depth(&cost, 1000.0f, 0.9f, 1, (float)(i + 1)) <=
                    depth(&cost, 1000.0f, 0.9f, 1, (float)i));
    }
    assert_int_equal(depth(&cost, 1000.0f, 0.9f, 32, 1.0f), 0);     /* a full batch needs none */
    assert_int_equal(depth(&cost, 1000.0f, 0.9f, 1, 64.0f), 0);
}

/* By its own account no answer is slower than plain decoding, and none that was not given is 2 %
 * faster. */
static void the_answer_is_the_best_one(void **state)
{
    (void)state;
    struct spec_cost cost = cost_of(5000.0f, 300.0f);
    float survival[N];
    for (float rate = 0.05f; rate < 1.0f; rate += 0.1f)
        for (uint32_t n = 1; n <= 8; n++) {
            fill(survival, rate);
            uint32_t chosen = depth(&cost, 900.0f, rate, n, 1.0f);
            float tokens = 1.0f, best = 0.0f, own = 0.0f;
            float plain = 1.0f / spec_cost_us(&cost, n);
            for (uint32_t k = 0; k <= 7; k++) {     /* whole passes: 8 x 8 rows */
                tokens += k > 0 ? survival[k - 1] : 0.0f;
                float us = (float)n * (float)k * 900.0f + spec_cost_us(&cost, n * (1 + k));
                best = tokens / us > best ? tokens / us : best;
                own = k == chosen ? tokens / us : own;
            }
            if (chosen <= 7)
                assert_true(own >= plain && own * 1.0201f >= best);
        }
}

/* The draft model's encoder is paid once a window: little speech does not bring it in. */
static void an_encoder_pays_where_the_window_is_long_enough(void **state)
{
    (void)state;
    struct spec_cost cost = cost_of(8000.0f, 500.0f);
    float survival[N], gain_us;
    fill(survival, 0.9f);
    struct spec_colocated_ask ask = {.cost = &cost, .draft_us = 1000.0f, .survival = survival,
                                     .n_survival = N, .n_windows = 1, .price = 1.0f};
    assert_true(spec_colocated_depth(&ask, &gain_us) > 0);
    assert_true(gain_us > 3000.0f && gain_us < 8000.0f);
    assert_true(spec_colocated_pays(&ask, 10.0f, 50000.0f));
    assert_false(spec_colocated_pays(&ask, 1.0f, 50000.0f));
    assert_true(spec_colocated_pays(&ask, 1.0f, 0.0f));             /* not known: tried */
    ask.n_windows = 8;
    assert_false(spec_colocated_pays(&ask, 10.0f, 50000.0f));
    fill(survival, 0.0f);
    assert_false(spec_colocated_pays(&ask, 30.0f, 0.0f));
    assert_int_equal(spec_colocated_depth(&ask, &gain_us), 0);
    assert_true(gain_us == 0.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_cheap_drafts_go_far_and_bad_or_dear_ones_nowhere),
        cmocka_unit_test(depth_falls_with_what_drafts_cost),
        cmocka_unit_test(the_answer_is_the_best_one),
        cmocka_unit_test(an_encoder_pays_where_the_window_is_long_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
