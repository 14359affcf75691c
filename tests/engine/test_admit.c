/* Seats: all together, of one client, and when those who are refused come back. */
#include "../support/support.h"

#include <stdio.h>
#include <string.h>

#include "engine/admit.h"

static uint64_t now_us = 5000000;

static uint64_t read_clock(void *context)
{
    (void)context;
    return now_us;
}

static struct admission *open_seats(uint32_t sessions_max, uint32_t client_max)
{
    struct error err;
    struct admission *admission;
    const struct admit_options options = {.sessions_max = sessions_max, .client_max = client_max,
                                          .clock = {.now = read_clock}};
    assert_ok(admit_new(&options, &admission, &err), &err);
    return admission;
}

static const char *name_of(const char *key, const char *peer)
{
    static char name[ADMIT_NAME_MAX];
    admit_name(key, peer, name);
    return name;
}

static void a_client_is_its_key_or_its_address(void **state)
{
    (void)state;
    assert_string_equal(name_of("team", "ipv4:10.0.0.7:81"), "key team");
    assert_string_equal(name_of("", "ipv4:10.0.0.7:81"), "ipv4:10.0.0.7");
    assert_string_equal(name_of(NULL, "ipv4:10.0.0.7:82"), "ipv4:10.0.0.7");
    assert_string_equal(name_of(NULL, "ipv6:%5B2001:db8:1:2:3::9%5D:81"), "2001:db8:1:2::/64");
    assert_string_equal(name_of(NULL, "ipv6:[2001:db8:1:2:ffff::1]:9"), "2001:db8:1:2::/64");
    assert_string_equal(name_of(NULL, "ipv6:[::ffff:1.2.3.4]:9"), "ipv6:[::ffff:1.2.3.4]");
    assert_string_equal(name_of(NULL, "ipv6:]["), "ipv6");
    assert_string_equal(name_of(NULL, "nobody"), "nobody");
    assert_string_equal(name_of(NULL, ""), "");
}

static void seats_are_taken_and_given_back(void **state)
{
    enum { SEATS = 100 };
    (void)state;
    struct error err;
    struct admit_seat seat[SEATS], other;
    uint32_t retry_ms;
    struct admission *admission = open_seats(SEATS, 0);
    for (uint32_t i = 0; i < SEATS; i++) {
        char name[ADMIT_NAME_MAX];
        snprintf(name, sizeof(name), "%u", i / 2);
        assert_ok(admit_enter(admission, name, &seat[i], &retry_ms, &err), &err);
        assert_int_equal(retry_ms, 0);
        assert_true(seat[i].owner != 0);
        if (i % 2)
            assert_int_equal(seat[i].owner, seat[i - 1].owner);
    }
    assert_int_equal(admit_enter(admission, "late", &other, &retry_ms, &err), STATUS_EXHAUSTED);
    assert_int_equal(other.owner, 0);
    admit_leave(admission, &other);         /* holds none: nothing happens */
    admit_leave(admission, &seat[7]);
    assert_ok(admit_enter(admission, "late", &other, &retry_ms, &err), &err);
    admit_leave(admission, &other);
    for (uint32_t i = 0; i < SEATS; i++)
        admit_leave(admission, &seat[i]);
    admit_free(&admission);
}

static void a_client_has_no_more_than_its_seats(void **state)
{
    (void)state;
    struct error err;
    struct admit_seat seat[3], other;
    uint32_t retry_ms;
    struct admission *admission = open_seats(10, 2);
    assert_ok(admit_enter(admission, "a", &seat[0], &retry_ms, &err), &err);
    assert_ok(admit_enter(admission, "a", &seat[1], &retry_ms, &err), &err);
    assert_int_equal(admit_enter(admission, "a", &other, &retry_ms, &err), STATUS_EXHAUSTED);
    assert_non_null(strstr(err.text, "this client has 2 sessions"));
    assert_true(retry_ms >= 1000);
    assert_ok(admit_enter(admission, "b", &seat[2], &retry_ms, &err), &err);
    admit_leave(admission, &seat[0]);
    assert_ok(admit_enter(admission, "a", &seat[0], &retry_ms, &err), &err);
    for (uint32_t i = 0; i < 3; i++)
        admit_leave(admission, &seat[i]);
    admit_free(&admission);
}

/* Ten thousand at once are told times over twenty seconds, and later ones are not held longer. */
static void those_refused_come_back_one_after_the_other(void **state)
{
    (void)state;
    struct error err;
    struct admit_seat seat, other;
    uint32_t retry_ms, before = 0, in_a_second = 0;
    struct admission *admission = open_seats(1, 0);
    assert_ok(admit_enter(admission, "a", &seat, &retry_ms, &err), &err);
    for (uint32_t i = 0; i < 10000; i++) {
        assert_int_equal(admit_enter(admission, "b", &other, &retry_ms, &err), STATUS_EXHAUSTED);
        assert_in_range(retry_ms, MAX(before, 1000u), 30000);
        in_a_second += retry_ms < 2000;
        before = retry_ms;
    }
    assert_in_range(in_a_second, 400, 600);
    assert_in_range(before, 20000, 22000);
    for (uint32_t i = 0; i < 100000; i++) { /* a storm: not for longer, nor all together */
        uint32_t told = admit_retry_ms(admission);
        assert_in_range(told, 1000, 30000);
        assert_int_not_equal(told, before);
        before = i % 2 == 0 ? told : before;
    }
    now_us += 60000000;
    assert_int_equal(admit_retry_ms(admission), 1000);
    admit_leave(admission, &seat);
    admit_free(&admission);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_is_its_key_or_its_address),
        cmocka_unit_test(seats_are_taken_and_given_back),
        cmocka_unit_test(a_client_has_no_more_than_its_seats),
        cmocka_unit_test(those_refused_come_back_one_after_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
