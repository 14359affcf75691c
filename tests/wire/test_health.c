/* The messages of grpc.health.v1.Health. */
#include "../support/support.h"

#include <string.h>

#include "wire/health.h"

static void what_is_asked_and_answered_comes_back(void **state)
{
    (void)state;
    static const char *const names[] = {"", "specasr.v1.Verify"};
    char asked[WIRE_HEALTH_SERVICE_MAX + 1];
    struct wire_bytes bytes;
    struct error err;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_ok(wire_health_ask(names[i], &bytes, &err), &err);
        assert_ok(wire_health_asked(bytes.data, bytes.size, asked, &err), &err);
        assert_string_equal(asked, names[i]);
        wire_bytes_release(&bytes);
    }
    for (int i = 0; i < WIRE_HEALTH_N; i++) {
        enum wire_health seen = WIRE_HEALTH_N;
        assert_ok(wire_health_answer((enum wire_health)i, &bytes, &err), &err);
        assert_ok(wire_health_read(bytes.data, bytes.size, &seen, &err), &err);
        assert_int_equal(seen, i);
        wire_bytes_release(&bytes);
    }
}

/* The bytes of the standard: field 1, a string; field 1, an enumeration. */
static void the_bytes_are_those_of_the_standard(void **state)
{
    (void)state;
    const uint8_t request[] = {0x0a, 1, 'v'}, response[] = {0x08, 1}, later[] = {0x08, 77};
    enum wire_health seen = WIRE_HEALTH_N;
    struct wire_bytes bytes;
    struct error err;
    assert_ok(wire_health_ask("v", &bytes, &err), &err);
    assert_int_equal(bytes.size, sizeof(request));
    assert_memory_equal(bytes.data, request, sizeof(request));
    wire_bytes_release(&bytes);
    assert_ok(wire_health_answer(WIRE_HEALTH_SERVING, &bytes, &err), &err);
    assert_int_equal(bytes.size, sizeof(response));
    assert_memory_equal(bytes.data, response, sizeof(response));
    wire_bytes_release(&bytes);
    assert_ok(wire_health_read(later, sizeof(later), &seen, &err), &err);
    assert_int_equal(seen, WIRE_HEALTH_UNKNOWN);
}

static void what_is_no_message_is_refused(void **state)
{
    (void)state;
    static const uint8_t large[4096];
    const uint8_t cut[] = {0x0a, 9, 'v'};
    uint8_t long_name[3 + WIRE_HEALTH_SERVICE_MAX + 1] = {0x0a, 0x80, 2};
    char asked[WIRE_HEALTH_SERVICE_MAX + 1];
    enum wire_health seen;
    struct error err;
    memset(long_name + 3, 'v', sizeof(long_name) - 3);
    assert_int_equal(wire_health_asked(cut, sizeof(cut), asked, &err), STATUS_CORRUPT);
    assert_int_equal(wire_health_asked(large, sizeof(large), asked, &err), STATUS_CORRUPT);
    assert_int_equal(wire_health_asked(long_name, sizeof(long_name), asked, &err),
                     STATUS_CORRUPT);
    assert_int_equal(wire_health_read(cut, sizeof(cut), &seen, &err), STATUS_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked_and_answered_comes_back),
        cmocka_unit_test(the_bytes_are_those_of_the_standard),
        cmocka_unit_test(what_is_no_message_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
