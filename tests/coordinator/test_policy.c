#include "../support/support.h"

#include <math.h>

#include "cluster/policy.h"

static void without_a_policy_a_target_goes_by_its_own_price(void **state)
{
    (void)state;
    struct policy_keeper keeper = {0};
    struct wire_policy now = policy_now(&keeper, 1000);
    assert_true(now.shadow_price == 1.0f);
    assert_int_equal(now.latency_goal_ms, 0);
    assert_int_equal(now.modes, WIRE_MODES_ALL);
}

static void a_lower_term_is_refused_for_ever(void **state)
{
    (void)state;
    struct policy_keeper keeper = {0};
    struct wire_policy high = {.term = 7, .ttl_ms = 1500, .shadow_price = 2.0f};
    struct wire_policy low = {.term = 6, .ttl_ms = 1500, .shadow_price = 9.0f};
    assert_true(policy_take(&keeper, 0, &high));
    assert_false(policy_take(&keeper, 100, &low));
    assert_true(policy_now(&keeper, 200).shadow_price == 2.0f);
    assert_false(policy_take(&keeper, 10000000, &low));     /* also when nothing holds any more */
    assert_true(policy_now(&keeper, 10000001).shadow_price == 1.0f);
    high.shadow_price = 3.0f;
    assert_true(policy_take(&keeper, 10000002, &high));
    assert_true(policy_now(&keeper, 10000003).shadow_price == 3.0f);
}

static void after_its_time_to_live_the_own_price_holds(void **state)
{
    (void)state;
    struct policy_keeper keeper = {0};
    struct wire_policy policy = {.term = 1, .ttl_ms = 1500, .shadow_price = 4.0f,
                                 .modes = WIRE_MODE_SPLIT};
    assert_true(policy_take(&keeper, 1000000, &policy));
    assert_true(policy_now(&keeper, 2499999).shadow_price == 4.0f);
    assert_true(policy_now(&keeper, 2500000).shadow_price == 1.0f);
    assert_int_equal(policy_now(&keeper, 2500000).modes, WIRE_MODES_ALL);
}

/* lag = service / (1 - load), and drafts are given up as the price rises: load falls with it. */
static float settle(float goal_us, float *lag_us)
{
    float price = 1.0f;
    for (int i = 0; i < 400; i++) {
        float load = 0.95f - 0.2f * (1.0f - 1.0f / price);
        *lag_us = 50000.0f / (1.0f - load);
        price = policy_price_next(price, *lag_us, goal_us, 0.25f);
    }
    return price;
}

static void the_price_rises_until_the_goal_is_met(void **state)
{
    (void)state;
    float lag;
    assert_true(settle(2000000.0f, &lag) == 1.0f);          /* met without a price */
    float price = settle(500000.0f, &lag);
    assert_true(price > 1.2f && price < (float)POLICY_PRICE_MAX);
    assert_true(fabsf(lag - 500000.0f) < 25000.0f);
    assert_true(settle(1000.0f, &lag) == (float)POLICY_PRICE_MAX);  /* out of reach: the bound */
}

static void without_a_goal_or_a_lag_the_price_is_one(void **state)
{
    (void)state;
    assert_true(policy_price_next(5.0f, 1e9f, 0.0f, 0.5f) == 1.0f);
    float price = 5.0f;
    for (int i = 0; i < 40; i++)
        price = policy_price_next(price, 0.0f, 100000.0f, 0.5f);
    assert_true(price == 1.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_policy_a_target_goes_by_its_own_price),
        cmocka_unit_test(a_lower_term_is_refused_for_ever),
        cmocka_unit_test(after_its_time_to_live_the_own_price_holds),
        cmocka_unit_test(the_price_rises_until_the_goal_is_met),
        cmocka_unit_test(without_a_goal_or_a_lag_the_price_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
