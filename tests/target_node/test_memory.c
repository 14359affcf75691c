/* How many sessions fit. */
#include "../support/support.h"

#include <string.h>

#include "../../target_node/memory.c"

enum { MB = 1000000 };

static struct memory_plan plan_of(uint64_t budget_mb, uint32_t sessions)
{
    struct error err;
    struct memory_plan plan;
    const struct memory_ask ask = {.budget = budget_mb * MB, .fixed = 300u * MB, .slot = 30u * MB,
                                   .sessions = sessions};
    assert_ok(memory_plan(&ask, &plan, &err), &err);
    return plan;
}

static void without_a_number_as_many_as_have_a_slot(void **state)
{
    (void)state;
    struct memory_plan plan = plan_of(1000, 0);
    assert_int_equal(plan.sessions, 700 * MB / (30 * MB + MEMORY_SEAT_BYTES));
    assert_int_equal(plan.slots, plan.sessions);
    plan = plan_of(100000, 0);              /* enough for thousands: the usual number */
    assert_int_equal(plan.sessions, 64);
    plan = plan_of(331, 0);
    assert_int_equal(plan.sessions, 1);
    plan = plan_of(0, 0);
    assert_int_equal(plan.sessions, 64);
}

static void more_sessions_than_slots_share_them(void **state)
{
    (void)state;
    struct memory_plan plan = plan_of(1000, 1000);
    assert_int_equal(plan.sessions, 1000);
    assert_int_equal(plan.slots, (700ull * MB - 1000ull * MEMORY_SEAT_BYTES) / (30 * MB));
    plan = plan_of(1000, 2);
    assert_int_equal(plan.slots, 2);
    plan = plan_of(0, 5000);
    assert_int_equal(plan.slots, 5000);
}

static void what_does_not_fit_says_what_it_needs(void **state)
{
    (void)state;
    struct error err;
    struct memory_plan plan;
    struct memory_ask ask = {.budget = 320u * MB, .fixed = 300u * MB, .slot = 30u * MB};
    assert_int_equal(memory_plan(&ask, &plan, &err), STATUS_NO_MEMORY);
    assert_non_null(strstr(err.text, "320 MB"));
    assert_non_null(strstr(err.text, "--memory"));
    ask = (struct memory_ask){.budget = 400u * MB, .fixed = 300u * MB, .slot = 30u * MB,
                              .sessions = 1000};    /* the seats alone are 98 MB */
    assert_int_equal(memory_plan(&ask, &plan, &err), STATUS_NO_MEMORY);
    assert_non_null(strstr(err.text, "fewer --sessions"));
    ask.fixed = 500u * MB;
    assert_int_equal(memory_plan(&ask, &plan, &err), STATUS_NO_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_number_as_many_as_have_a_slot),
        cmocka_unit_test(more_sessions_than_slots_share_them),
        cmocka_unit_test(what_does_not_fit_says_what_it_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
