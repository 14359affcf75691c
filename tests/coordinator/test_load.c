/* What a target says of its load. */
#include "../support/support.h"

#include <string.h>

#include "../../target_node/load.c"

static void window(struct load *load, uint64_t encode_us, uint64_t decode_us)
{
    struct wire_frame frame = {.kind = WIRE_WINDOW_FINAL};
    frame.u.window_final.stats.encode_us = encode_us;
    frame.u.window_final.stats.decode_us = decode_us;
    load_frame(load, &frame);
}

/* Works `share` of each 20 ms for ten seconds. */
static void work(struct load *load, uint64_t *now, double share, uint32_t busy)
{
    for (int i = 0; i < 500; i++) {
        uint64_t began = *now + (uint64_t)((1.0 - share) * 20000.0);
        *now += 20000;
        load_turn(load, began, *now);
        load_counts(load, busy, busy);
    }
}

static void an_idle_target_has_no_queue(void **state)
{
    (void)state;
    struct load load = {0};
    uint64_t now = 1000000;
    window(&load, 100000, 200000);
    assert_int_equal(load.published_window_us, 300000);
    work(&load, &now, 0.0, 0);
    assert_int_equal(load.queue_us, 0);
}

static void live_sessions_count_by_what_they_use(void **state)
{
    (void)state;
    struct load load = {0};
    uint64_t now = 1000000;
    window(&load, 100000, 200000);
    work(&load, &now, 0.33, 8);             /* eight live ones, a third of the time */
    assert_in_range(load.queue_us, 130000, 160000);     /* 300 ms x 0.5, not 300 ms x 8 */
    assert_int_equal(load.busy, 8);
}

static void a_full_target_counts_its_sessions(void **state)
{
    (void)state;
    struct load load = {0};
    uint64_t now = 1000000;
    window(&load, 100000, 200000);
    work(&load, &now, 1.0, 8);
    assert_in_range(load.queue_us, 2399000, 2401000);
    work(&load, &now, 0.0, 0);              /* and forgets within seconds */
    assert_int_equal(load.queue_us, 0);
}

static void the_price_is_what_clients_were_told(void **state)
{
    (void)state;
    struct load load = {0};
    struct wire_frame frame = {.kind = WIRE_PRICE, .u.price = {.step_us = 5000, .row_us = 300}};
    load_frame(&load, &frame);
    assert_int_equal(load.step_us, 5000);
    assert_int_equal(load.row_us, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_target_has_no_queue),
        cmocka_unit_test(live_sessions_count_by_what_they_use),
        cmocka_unit_test(a_full_target_counts_its_sessions),
        cmocka_unit_test(the_price_is_what_clients_were_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
