/* What a client changes in the order of the targets that it was given. */
#include "../support/support.h"

#include "../../draft_node/distance.c"
#include "../../draft_node/place.c"

static struct known target(uint64_t fingerprint, uint32_t expected_us)
{
    return (struct known){.fingerprint = fingerprint, .expected_us = expected_us};
}

static void a_clear_difference_moves_the_client_and_noise_does_not(void **state)
{
    (void)state;
    struct targets targets = {.n = 3, .item = {target(1, 500000), target(1, 495000),
                                               target(1, 100000)}};
    order(&targets);
    assert_int_equal(targets.item[0].expected_us, 100000);
    assert_int_equal(targets.item[1].expected_us, 500000);
    assert_int_equal(targets.item[2].expected_us, 495000);
}

/* Else a slow canary would get none of its share, and a fast one all. */
static void another_version_stays_the_fall_back_however_fast_it_is(void **state)
{
    (void)state;
    struct targets targets = {.n = 3, .item = {target(0xCA, 900000), target(1, 300000),
                                               target(1, 10000)}};
    order(&targets);
    assert_int_equal(targets.item[0].fingerprint, 0xCA);
    assert_int_equal(targets.item[1].expected_us, 10000);
    assert_int_equal(targets.item[2].expected_us, 300000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clear_difference_moves_the_client_and_noise_does_not),
        cmocka_unit_test(another_version_stays_the_fall_back_however_fast_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
