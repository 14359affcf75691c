/* traceparent: what W3C Trace Context allows, and nothing else. */
#include "../support/support.h"

#include "base/trace.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static void the_id_is_found(void **state)
{
    (void)state;
    static const char *const good[] = {"00-" TRACE "-" PARENT "-01", "00-" TRACE "-" PARENT "-00",
                                       "cc-" TRACE "-" PARENT "-01",
                                       "cc-" TRACE "-" PARENT "-01-what comes later"};
    char id[TRACE_ID_MAX];
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(trace_read(good[i], id));
        assert_string_equal(id, TRACE);
    }
}

static void all_else_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        NULL, "", "00", "00-" TRACE "-" PARENT, "00-" TRACE "-" PARENT "-01-",
        "00-" TRACE "-" PARENT "-01-more", "ff-" TRACE "-" PARENT "-01",
        "cc-" TRACE "-" PARENT "-01.more", "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01", "00-" TRACE "-0000000000000000-01",
        "00_" TRACE "-" PARENT "-01", "00-" TRACE "_" PARENT "-01", "00-" TRACE "-" PARENT "_01",
        "00-" TRACE "-" PARENT "-0x", "0g-" TRACE "-" PARENT "-01"};
    char id[TRACE_ID_MAX];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        id[0] = 'x';
        if (trace_read(bad[i], id) || id[0])
            fail_msg("taken: %s", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_id_is_found),
        cmocka_unit_test(all_else_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
