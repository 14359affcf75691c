#include "../support/support.h"

#include <string.h>

static void every_status_has_a_text(void **state)
{
    (void)state;
    for (int code = 0; code < STATUS_N; code++)
        assert_true(strlen(status_text((enum status)code)) > 1);
    assert_string_equal(status_text((enum status)999), "unknown status");
}

static void long_text_is_cut_at_a_whole_character(void **state)
{
    (void)state;
    struct error err;
    for (int lead = 0; lead < 4; lead++) {
        char text[ERROR_TEXT_MAX + 16];
        memset(text, 'a', (size_t)lead);
        for (size_t i = (size_t)lead; i + 3 < sizeof(text); i += 3)
            memcpy(text + i, "\xE2\x82\xAC", 4); /* the euro sign */
        assert_int_equal(error_set(&err, STATUS_IO, "%s", text), STATUS_IO);
        size_t n = strlen(err.text);
        assert_int_equal((n - (size_t)lead) % 3, 0);
        assert_true(n >= ERROR_TEXT_MAX - 4);
    }
}

static void prefix_keeps_code_and_text(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(error_set(&err, STATUS_CORRUPT, "bad magic"), STATUS_CORRUPT);
    assert_int_equal(error_prefix(&err, "%s", "a.gguf"), STATUS_CORRUPT);
    assert_string_equal(err.text, "a.gguf: bad magic");
    error_clear(&err);
    assert_int_equal(err.code, STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_text),
        cmocka_unit_test(long_text_is_cut_at_a_whole_character),
        cmocka_unit_test(prefix_keeps_code_and_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
