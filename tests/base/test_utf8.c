/* UTF-8 checks, against the definition: every code point, and every two-byte start. */
#include "../support/support.h"

#include <string.h>

#include "base/utf8.h"

static size_t encode(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)((n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | c);
    return n;
}

static void every_code_point_but_surrogates_is_valid(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110400; c++) {
        char text[4];
        size_t n = encode(c, text);
        bool valid = (c < 0xD800 || c > 0xDFFF) && c <= 0x10FFFF;
        assert_int_equal(utf8_sequence(text, n), valid ? n : 0);
        assert_int_equal(utf8_sequence(text, n - 1), 0);
    }
}

static void overlong_forms_and_stray_bytes_are_refused(void **state)
{
    (void)state;
    assert_false(utf8_valid("\xC0\x80", 2));
    assert_false(utf8_valid("\xC1\xBF", 2));
    assert_false(utf8_valid("\xE0\x9F\xBF", 3));
    assert_false(utf8_valid("\xF0\x8F\xBF\xBF", 4));
    assert_false(utf8_valid("\x80", 1));
    assert_false(utf8_valid("\xFF", 1));
    assert_false(utf8_valid("ab\xC3", 3));
    assert_true(utf8_valid("", 0));
    assert_true(utf8_valid("na\xC3\xAFve \xE2\x82\xAC", 10));
}

static void repair_touches_only_what_is_broken(void **state)
{
    (void)state;
    char text[] = "a\xC3\xAF\xC3 \xFF\xE2\x82";
    utf8_repair(text, sizeof(text) - 1);
    assert_string_equal(text, "a\xC3\xAF? ???");
    assert_true(utf8_valid(text, strlen(text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_but_surrogates_is_valid),
        cmocka_unit_test(overlong_forms_and_stray_bytes_are_refused),
        cmocka_unit_test(repair_touches_only_what_is_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
