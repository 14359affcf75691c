/* grpc.health.v1.Health/Check: who asks for what, and what is answered. */
#include "../support/support.h"

#include <string.h>

#include "wire/health.h"

static enum status check(const char *asked, bool serving, bool *seen)
{
    struct wire_bytes request, response;
    struct error err;
    assert_ok(wire_health_ask(asked, &request, &err), &err);
    enum status rc = wire_health_answer(request.data, request.size, "specasr.v1.Verify", serving,
                                        &response, &err);
    if (rc == STATUS_OK)
        assert_ok(wire_health_read(response.data, response.size, seen, &err), &err);
    wire_bytes_release(&request);
    wire_bytes_release(&response);
    return rc;
}

static void the_server_and_its_service_have_a_state(void **state)
{
    (void)state;
    bool seen = false;
    assert_int_equal(check("", true, &seen), STATUS_OK);
    assert_true(seen);
    assert_int_equal(check("specasr.v1.Verify", false, &seen), STATUS_OK);
    assert_false(seen);
}

static void another_service_is_not_found(void **state)
{
    (void)state;
    bool seen = false;
    assert_int_equal(check("specasr.v1.Other", true, &seen), STATUS_NOT_FOUND);
}

/* The bytes of the standard: field 1, a string; field 1, an enumeration. */
static void the_bytes_are_those_of_the_standard(void **state)
{
    (void)state;
    const uint8_t request[] = {0x0a, 1, 'v'}, response[] = {0x08, 1};
    struct wire_bytes bytes;
    struct error err;
    assert_ok(wire_health_ask("v", &bytes, &err), &err);
    assert_int_equal(bytes.size, sizeof(request));
    assert_memory_equal(bytes.data, request, sizeof(request));
    wire_bytes_release(&bytes);
    assert_ok(wire_health_answer(request, sizeof(request), "v", true, &bytes, &err), &err);
    assert_int_equal(bytes.size, sizeof(response));
    assert_memory_equal(bytes.data, response, sizeof(response));
    wire_bytes_release(&bytes);
}

static void what_is_no_request_is_refused(void **state)
{
    (void)state;
    static const uint8_t large[4096];
    const uint8_t cut[] = {0x0a, 9, 'v'};
    struct wire_bytes bytes;
    struct error err;
    bool seen;
    assert_int_equal(wire_health_answer(cut, sizeof(cut), "v", true, &bytes, &err),
                     STATUS_CORRUPT);
    assert_int_equal(wire_health_answer(large, sizeof(large), "v", true, &bytes, &err),
                     STATUS_CORRUPT);
    assert_int_equal(wire_health_read(cut, sizeof(cut), &seen, &err), STATUS_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_server_and_its_service_have_a_state),
        cmocka_unit_test(another_service_is_not_found),
        cmocka_unit_test(the_bytes_are_those_of_the_standard),
        cmocka_unit_test(what_is_no_request_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
