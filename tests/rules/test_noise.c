/* Sampling: a deterministic logarithm, keyed noise, the right distribution, and skipping that
 * changes nothing. */
#include <math.h>
#include <string.h>

#include "../support/support.h"
#include "rules/rules_int.h"

static void the_logarithm_agrees_with_libm(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int i = 0; i < 200000; i++) {
        uint64_t bits = (support_random(&seed) % 2045 + 1) << 52 | support_random(&seed) >> 12;
        double x = 0.0;
        memcpy(&x, &bits, sizeof(x));
        double expected = log(x);
        assert_true(fabs(rules_log(x) - expected) <= 4.5e-16 * fabs(expected));
    }
    for (int k = 1; k < 2000; k++) {   /* near 1 the logarithm is small and must stay exact */
        double x = 1.0 + k * 0x1p-50;
        assert_true(fabs(rules_log(x) - log(x)) <= 4.5e-16 * log(x));
        x = 1.0 - k * 0x1p-53;
        assert_true(fabs(rules_log(x) - log(x)) <= 4.5e-16 * -log(x));
    }
    assert_true(rules_log(1.0) == 0.0);
}

/* The same bits on every machine: a change here changes sampled text, and breaks a cluster of
 * different versions. */
static void the_noise_has_known_bits(void **state)
{
    (void)state;
    struct rules rules = {.temperature = 1.0f, .seed = 42, .window = 3, .attempt = 1};
    uint64_t key = noise_key(&rules, 7);
    assert_true(key == UINT64_C(0xE63CE8850E6647D1));
    assert_true(noise_gumbel(key, 0) == -0x1.21f80be7b8559p-1);
    assert_true(noise_gumbel(key, 50257) == 0x1.c48827c41e1f9p+0);
}

static void the_noise_depends_on_everything_that_keys_it(void **state)
{
    (void)state;
    struct rules rules = {.temperature = 1.0f, .seed = 1, .window = 2, .attempt = 3};
    uint64_t keys[6];
    keys[0] = noise_key(&rules, 4);
    keys[1] = noise_key(&rules, 5);
    rules.seed++;
    keys[2] = noise_key(&rules, 4);
    rules.seed--, rules.window++;
    keys[3] = noise_key(&rules, 4);
    rules.window--, rules.attempt++;
    keys[4] = noise_key(&rules, 4);
    rules = (struct rules){.seed = 1, .window = 3, .attempt = 2};   /* exchanged */
    keys[5] = noise_key(&rules, 4);
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < i; k++)
            assert_true(keys[i] != keys[k]);
    assert_true(noise_gumbel(keys[0], 1) != noise_gumbel(keys[0], 2));
    assert_true(noise_gumbel(keys[0], 1) == noise_gumbel(keys[0], 1));
}

/* Mean and variance of the Gumbel distribution: Euler's constant and pi^2 / 6. */
static void the_noise_has_gumbels_moments(void **state)
{
    (void)state;
    enum { N = 400000 };
    double sum = 0.0, squares = 0.0;
    for (uint32_t i = 0; i < N; i++) {
        double g = noise_gumbel(0x1234567, i);
        sum += g;
        squares += g * g;
    }
    double mean = sum / N, variance = squares / N - mean * mean;
    assert_true(fabs(mean - 0.5772156649) < 0.01);
    assert_true(fabs(variance - 1.6449340668) < 0.03);
}

enum { N_VOCAB = 40 };

static struct model_description small_model(void)
{
    return (struct model_description){
        .n_vocab = N_VOCAB,
        .special = {20, -1, -1, -1, -1, -1, -1, -1, -1},
        .n_suppress = 1,
        .suppress = {1}};
}

/* Chi-square of sampled tokens against softmax(logits / T): 7 degrees of freedom, 99.9 % at 24.3.
 * */
static void check_distribution(const struct rules_masks *masks, float temperature)
{
    enum { DRAWS = 20000 };
    static const float logits[8] = {1.0f, 9.0f, 0.5f, 0.0f, -0.5f, 2.0f, 1.5f, -1.0f};
    struct model_description model = small_model();
    struct rules rules = rules_default(&model, masks);
    const struct kernels *kernels = kernels_find(NULL);
    uint32_t counts[N_VOCAB] = {0};
    double total = 0.0, chi = 0.0;
    rules.temperature = temperature;
    for (uint32_t i = 0; i < DRAWS; i++) {
        float row[N_VOCAB];
        struct rules_state at = rules_begin();
        struct rules_choice choice;
        for (uint32_t k = 0; k < N_VOCAB; k++)
            row[k] = k < 8 ? logits[k] : -INFINITY;
        at.n_sampled = 1;
        rules.seed = i;
        rules_choose(&rules, &at, kernels, row, &choice);
        counts[choice.token]++;
    }
    for (int k = 0; k < 8; k++)
        total += k == 1 ? 0.0 : exp(logits[k] / (double)temperature);
    for (int k = 0; k < 8; k++) {
        double expected = k == 1 ? 0.0 : DRAWS * exp(logits[k] / (double)temperature) / total;
        if (k == 1)
            assert_int_equal(counts[k], 0);
        else
            chi += (counts[k] - expected) * (counts[k] - expected) / expected;
    }
    if (chi > 24.3)
        fail_msg("chi-square %.1f at temperature %.1f", chi, (double)temperature);
}

static void samples_follow_the_softmax_at_each_temperature(void **state)
{
    (void)state;
    struct model_description model = small_model();
    struct rules_masks *masks = NULL;
    struct error err = {0};
    assert_ok(rules_masks_new(&model, &masks, &err), &err);
    check_distribution(masks, 1.0f);
    check_distribution(masks, 0.6f);
    check_distribution(masks, 2.0f);
    rules_masks_free(&masks);
}

static void skipping_tokens_changes_no_choice(void **state)
{
    (void)state;
    enum { N = 5000 };
    static float logits[N];
    uint64_t seed = 8;
    for (int round = 0; round < 60; round++) {
        struct rules rules = {.temperature = round % 2 ? 1.0f : 0.2f, .seed = (uint64_t)round};
        uint64_t key = noise_key(&rules, 3);
        struct rules_top fast = {.token = -1, .second = -1}, full = fast;
        for (uint32_t i = 0; i < N; i++) {
            logits[i] = support_uniform(&seed, -8.0f, 8.0f);
            double scaled = logits[i] / (double)rules.temperature;
            rules_top_add(&full, (int32_t)i, scaled + noise_gumbel(key, i));
        }
        noise_top(&fast, &rules, key, logits, (struct rules_range){0, N});
        assert_int_equal(fast.token, full.token);
        assert_int_equal(fast.second, full.second);
        assert_true(fast.score == full.score && fast.second_score == full.second_score);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_logarithm_agrees_with_libm),
        cmocka_unit_test(the_noise_has_known_bits),
        cmocka_unit_test(the_noise_depends_on_everything_that_keys_it),
        cmocka_unit_test(the_noise_has_gumbels_moments),
        cmocka_unit_test(samples_follow_the_softmax_at_each_temperature),
        cmocka_unit_test(skipping_tokens_changes_no_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
