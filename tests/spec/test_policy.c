/* Policies by name, how far a draft grows, and where side branches are put. */
#include "../support/support.h"

#include <math.h>
#include <string.h>

#include "spec/branch.h"
#include "spec/policy.h"
#include "spec/stop.h"

static void every_policy_has_a_name(void **state)
{
    struct spec_policy p;
    (void)state;
    assert_true(spec_policy_parse("ar", &p) && !p.drafts);
    assert_true(spec_policy_parse("spec:8", &p) && p.drafts && p.cap == 8 && p.theta == 0.0f);
    assert_false(p.recycle || p.realign || p.branches > 0);
    assert_true(spec_policy_parse("asp", &p) && p.cap == 24 && fabsf(p.theta - 0.3f) < 1e-6f);
    assert_true(spec_policy_parse("asp:0.5", &p) && fabsf(p.theta - 0.5f) < 1e-6f);
    assert_true(spec_policy_parse("asp+recycle:auto", &p) && p.theta < 0.0f && p.recycle);
    assert_true(spec_policy_parse("sparse", &p) && p.recycle && p.branches > 0 && !p.realign);
    assert_true(spec_policy_parse("full", &p) && p.cap == 0 && p.recycle && p.realign);
    struct spec_policy standard = spec_policy_default();
    assert_true(standard.drafts && standard.cap == 0 && standard.recycle && standard.realign);
}

static void wrong_names_and_numbers_are_refused(void **state)
{
    static const char *const wrong[] = {"",        "spec:0",  "spec:-3",     "spec:65",   "spec:x",
                                        "spec:",   "spec:4x", "spec:1e9999", "asp:1.5",   "asp:-1",
                                        "asp:nan", "asp:",    "full:3",      "ar:1",      "Full",
                                        "asp+",    "sparse ", "spec:4294967304"};
    struct spec_policy before = spec_policy_default(), p = before;
    (void)state;
    for (uint32_t i = 0; i < ARRAY_LEN(wrong); i++) {
        if (spec_policy_parse(wrong[i], &p))
            fail_msg("\"%s\" was taken", wrong[i]);
        assert_true(p.drafts && p.cap == before.cap && p.recycle && p.realign);
    }
}

static void a_threshold_stops_behind_the_first_doubtful_token(void **state)
{
    static const float confidence[] = {0.9f, 0.8f, 0.2f, 0.9f};
    struct spec_stop stop = {.theta = 0.3f, .cap = 24};
    (void)state;
    assert_false(spec_stop_here(&stop, confidence, 0));
    assert_false(spec_stop_here(&stop, confidence, 2));
    assert_true(spec_stop_here(&stop, confidence, 3));
    assert_false(spec_stop_here(&stop, confidence, 4));
    stop.cap = 2;
    assert_true(spec_stop_here(&stop, confidence, 2));
    stop = (struct spec_stop){.theta = 0.0f, .cap = 0};
    assert_false(spec_stop_here(&stop, confidence, 3));
}

/* The rule of stop.h stops where the ratio of expected tokens to cost is at its largest: one token
 * earlier or later is worse, when every token is as likely as the next. */
static void the_priced_rule_finds_the_best_ratio(void **state)
{
    static const float rates[] = {0.5f, 0.9f};
    float confidence[64];
    (void)state;
    for (uint32_t r = 0; r < ARRAY_LEN(rates); r++) {
        for (float pass_us = 1000.0f; pass_us < 1e6f; pass_us *= 10.0f) {
            struct spec_stop stop = {.theta = -1.0f, .cap = 64,
                                     .costs = {.pass_us = pass_us, .draft_us = 800.0f,
                                               .row_us = 200.0f}};
            uint32_t n = 0;
            do
                confidence[n++] = rates[r];
            while (!spec_stop_here(&stop, confidence, n));
            uint32_t best = 1;
            float best_ratio = 0.0f;
            for (uint32_t k = 1; k <= 64; k++) {
                float expected = (1.0f - powf(rates[r], (float)k + 1.0f)) / (1.0f - rates[r]);
                float ratio = expected / (pass_us + 1000.0f * (float)k);
                if (ratio > best_ratio)
                    best = k;
                best_ratio = fmaxf(ratio, best_ratio);
            }
            assert_in_range(n, best > 2 ? best - 2 : 1, best + 2);
        }
    }
}

static void dearer_passes_make_longer_drafts(void **state)
{
    float confidence[64];
    uint32_t last = 0;
    (void)state;
    for (uint32_t i = 0; i < 64; i++)
        confidence[i] = 0.85f;
    for (float pass_us = 500.0f; pass_us < 1e7f; pass_us *= 4.0f) {
        struct spec_stop stop = {.theta = -1.0f, .cap = 64,
                                 .costs = {.pass_us = pass_us, .draft_us = 900.0f}};
        uint32_t n = 1;
        while (!spec_stop_here(&stop, confidence, n))
            n++;
        assert_true(n >= last);
        last = n;
    }
    assert_true(last > 20);
}

static const int32_t trunk_token[] = {10, 11, 12, 13, 14, 15};
static const float trunk_confidence[] = {0.99f, 0.6f, 0.95f, 0.5f, 0.9f, 0.9f};
static const int32_t trunk_second[] = {-1, 21, 22, 23, 24, -1};
static const float trunk_second_confidence[] = {0.0f, 0.35f, 0.01f, 0.4f, 0.08f, 0.0f};
static const struct spec_trunk trunk = {6, trunk_token, trunk_confidence, trunk_second,
                                        trunk_second_confidence};

static void branches_stand_where_they_save_most(void **state)
{
    struct spec_branch branch[SPEC_BRANCHES_MAX];
    (void)state;
    assert_int_equal(spec_branches_choose(&trunk, 0, branch), 0);
    assert_int_equal(spec_branches_choose(&trunk, 2, branch), 2);
    assert_int_equal(branch[0].at, 1);
    assert_int_equal(branch[0].token[0], 21);
    assert_int_equal(branch[1].at, 3);
    assert_int_equal(spec_branches_choose(&trunk, 99, branch), 3); /* 22 is too rare */
    assert_int_equal(branch[2].at, 4);
}

static void a_branch_meets_the_trunk_again(void **state)
{
    static const struct {
        int32_t follows;
        int32_t rejoins;
    } cases[] = {{12, 2} /* in place of 11 */, {11, 1} /* before it */, {13, 3} /* 12 left out */};
    (void)state;
    for (uint32_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct spec_branch branch = {.at = 1, .n = 1, .token = {21}, .rejoins = -1};
        assert_true(spec_branch_grow(&branch, &trunk, cases[i].follows, 0.9f));
        assert_int_equal(branch.rejoins, cases[i].rejoins);
        assert_int_equal(branch.n, 1);
    }
    struct spec_branch branch = {.at = 1, .n = 1, .token = {21}, .rejoins = -1};
    uint32_t steps = 0;
    while (!spec_branch_grow(&branch, &trunk, 99, 0.5f))
        steps++;
    assert_int_equal(branch.n, SPEC_BRANCH_LENGTH_MAX);
    assert_int_equal(steps, SPEC_BRANCH_LENGTH_MAX - 2);
    assert_int_equal(branch.rejoins, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_policy_has_a_name),
        cmocka_unit_test(wrong_names_and_numbers_are_refused),
        cmocka_unit_test(a_threshold_stops_behind_the_first_doubtful_token),
        cmocka_unit_test(the_priced_rule_finds_the_best_ratio),
        cmocka_unit_test(dearer_passes_make_longer_drafts),
        cmocka_unit_test(branches_stand_where_they_save_most),
        cmocka_unit_test(a_branch_meets_the_trunk_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
