/* Whole characters only, however the bytes arrive. */
#include <string.h>

#include "../support/support.h"
#include "base/utf8.h"
#include "text/stream.h"

enum { TEXT_MAX = 256, OUT_MAX = 1024 };

struct text {
    uint8_t bytes[OUT_MAX];
    size_t n;
};

/* Feeds n bytes in pieces: sizes 1..step, or all at once for 0; every step's output is whole. */
static struct text stream_all(const uint8_t *bytes, size_t n, size_t step, uint64_t *seed)
{
    struct text text = {.n = 0};
    struct text_buffer out = {.bytes = text.bytes, .max = OUT_MAX};
    struct text_stream stream;
    struct error err = {0};
    text_stream_clear(&stream);
    for (size_t at = 0; at < n;) {
        size_t wanted = step == 0 ? n : 1 + support_random(seed) % step;
        size_t part = MIN(wanted, n - at);
        assert_ok(text_stream_feed(&stream, bytes + at, part, &out, &err), &err);
        assert_true(utf8_valid((const char *)out.bytes, out.n));
        assert_true(stream.n_tail <= 3);
        at += part;
    }
    assert_ok(text_stream_flush(&stream, &out, &err), &err);
    assert_true(utf8_valid((const char *)out.bytes, out.n));
    text.n = out.n;
    return text;
}

static void check(const char *bytes, size_t n, const char *expected)
{
    uint64_t seed = 3;
    for (size_t step = 0; step < 5; step++) {
        struct text text = stream_all((const uint8_t *)bytes, n, step, &seed);
        if (text.n != strlen(expected) || memcmp(text.bytes, expected, text.n) != 0)
            fail_msg("'%.*s' instead of '%s'", (int)text.n, text.bytes, expected);
    }
}
#define CHECK(bytes, expected) check(bytes, sizeof(bytes) - 1, expected)
#define R "\xEF\xBF\xBD"

static void whole_characters_pass(void **state)
{
    (void)state;
    CHECK("", "");
    CHECK("a\xC3\xA9\xE3\x81\x82\xF0\x9F\x98\x80z", "a\xC3\xA9\xE3\x81\x82\xF0\x9F\x98\x80z");
    CHECK("\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF", "\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF");
}

/* Tables 3-8 to 3-11 of the Unicode standard, chapter 3. */
static void each_maximal_subpart_becomes_one_replacement(void **state)
{
    (void)state;
    CHECK("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", R R R R R R R R "A");
    CHECK("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", R R R R R R R R "A");
    CHECK("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", R R R R R "A" R R "B");
    CHECK("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", R R R R "A");
    CHECK("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64", "a" R R R "b" R "c" R R "d");
}

static void an_incomplete_tail_becomes_one_replacement_at_the_end(void **state)
{
    (void)state;
    CHECK("a\xE3\x81", "a" R);
    CHECK("a\xF0\x9F\x98", "a" R);
    CHECK("\xC3", R);
}

static void an_incomplete_tail_is_held_back(void **state)
{
    (void)state;
    struct text_stream stream;
    struct error err = {0};
    uint8_t bytes[16];
    struct text_buffer out = {.bytes = bytes, .max = sizeof(bytes)};
    text_stream_clear(&stream);
    assert_ok(text_stream_feed(&stream, (const uint8_t *)"a\xF0\x9F", 3, &out, &err), &err);
    assert_int_equal(out.n, 1);
    assert_ok(text_stream_feed(&stream, (const uint8_t *)"\x98", 1, &out, &err), &err);
    assert_int_equal(out.n, 1);
    assert_ok(text_stream_feed(&stream, NULL, 0, &out, &err), &err);
    assert_ok(text_stream_feed(&stream, (const uint8_t *)"\x80" "b", 2, &out, &err), &err);
    assert_int_equal(out.n, 6);
    assert_int_equal(stream.n_tail, 0);
}

static void chunks_of_any_size_give_the_same_text(void **state)
{
    (void)state;
    static const uint8_t often[] = {0xC3, 0xE3, 0xED, 0xF0, 0xF4, 0x80, 0x81, 0x9F, 0xBF, 'a'};
    uint64_t seed = 9;
    for (int round = 0; round < 5000; round++) {
        uint8_t bytes[64];
        size_t n = support_random(&seed) % sizeof(bytes);
        for (size_t i = 0; i < n; i++)
            bytes[i] = round % 3 ? often[support_random(&seed) % sizeof(often)]
                                 : (uint8_t)support_random(&seed);
        struct text whole = stream_all(bytes, n, 0, &seed);
        for (size_t step = 1; step < 6; step++) {
            struct text parts = stream_all(bytes, n, step, &seed);
            assert_int_equal(whole.n, parts.n);
            assert_memory_equal(whole.bytes, parts.bytes, whole.n);
        }
    }
}

static void a_full_buffer_changes_nothing(void **state)
{
    (void)state;
    struct text_stream stream;
    struct error err = {0};
    uint8_t bytes[4] = {'x'};
    struct text_buffer out = {.bytes = bytes, .n = 1, .max = 3};
    text_stream_clear(&stream);
    assert_ok(text_stream_feed(&stream, (const uint8_t *)"\xE3", 1, &out, &err), &err);
    assert_int_equal(text_stream_feed(&stream, (const uint8_t *)"\x81\x82", 2, &out, &err),
                     STATUS_EXHAUSTED);
    assert_int_equal(text_stream_feed(&stream, (const uint8_t *)"abcd", 4, &out, &err),
                     STATUS_EXHAUSTED);
    assert_int_equal(text_stream_flush(&stream, &out, &err), STATUS_EXHAUSTED);
    assert_int_equal(out.n, 1);
    assert_int_equal(stream.n_tail, 1);
    out.max = 4;
    assert_ok(text_stream_feed(&stream, (const uint8_t *)"\x81\x82", 2, &out, &err), &err);
    assert_int_equal(out.n, 4);
    assert_memory_equal(bytes, "x\xE3\x81\x82", 4);
}

static void the_length_of_an_incomplete_tail_is_known(void **state)
{
    (void)state;
    static const struct { const char *text; size_t tail; } cases[] = {
        {"", 0}, {"a", 0}, {"\xC3", 1}, {"\xC3\xA9", 0}, {"a\xE3\x81", 2}, {"\xE3\x81\x82", 0},
        {"\xF0\x9F\x98", 3}, {"\xF0\x9F\x98\x80", 0}, {"\x80\x80", 0}, {"\xE0\x80", 0},
        {"\xFF", 0}, {"\xED\xA0", 0}, {"x\x80\x80\x80\x80", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(text_incomplete_tail((const uint8_t *)cases[i].text,
                                              strlen(cases[i].text)), cases[i].tail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_characters_pass),
        cmocka_unit_test(each_maximal_subpart_becomes_one_replacement),
        cmocka_unit_test(an_incomplete_tail_becomes_one_replacement_at_the_end),
        cmocka_unit_test(an_incomplete_tail_is_held_back),
        cmocka_unit_test(chunks_of_any_size_give_the_same_text),
        cmocka_unit_test(a_full_buffer_changes_nothing),
        cmocka_unit_test(the_length_of_an_incomplete_tail_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
