/* Where text is cut into pieces, and which part of a growing text is final. */
#include <string.h>

#include "../support/support.h"
#include "text/stream.h"
#include "text/text_int.h"

/* `cuts` shows the text with '|' between the pieces. */
static void check_cuts(const char *cuts)
{
    uint8_t text[256];
    size_t n = 0, ends[256], n_ends = 0;
    for (const char *c = cuts; *c; c++) {
        if (*c == '|')
            ends[n_ends++] = n;
        else
            text[n++] = (uint8_t)*c;
    }
    ends[n_ends++] = n;
    size_t at = 0;
    for (size_t i = 0; i < n_ends; i++) {
        at = split_piece(text, n, at);
        if (at != ends[i])
            fail_msg("'%s': piece %zu ends at %zu, not %zu", cuts, i, at, ends[i]);
    }
}

static void words_numbers_and_marks_are_pieces(void **state)
{
    (void)state;
    check_cuts("Mr|.| Quilter|,| 1960| !?|x|7|y");
    check_cuts("\xC3\xA9t\xC3\xA9| \xD0\xB4\xD0\xB0|\xE3\x80\x82|\xE4\xBD\xA0\xE5\xA5\xBD");
    check_cuts("\xD9\xA3\xD9\xA4| \xE2\x85\xAB|a|\xCC\x81");
}

static void white_space_leaves_one_space_to_the_next_word(void **state)
{
    (void)state;
    check_cuts("a|  | b");
    check_cuts("a| | b");
    check_cuts("a|  ");
    check_cuts("a|\n|b");
    check_cuts("a| |\n|b");
    check_cuts("a|\xE3\x80\x80|b");
    check_cuts("a|\xE3\x80\x80| b");
    check_cuts("  ");
}

static void contractions_are_pieces_only_where_the_apostrophe_starts_one(void **state)
{
    (void)state;
    check_cuts("he|'s| we|'re| I|'ve| I|'m| we|'ll| I|'d| don|'t");
    check_cuts("we|'ll|lama");
    check_cuts("x| '|s");
    check_cuts("x|.'|s");
    check_cuts("x|'|S");
    check_cuts("x|'|la");
    check_cuts("'s|'s");
}

static void bytes_that_are_not_utf8_are_marks(void **state)
{
    (void)state;
    check_cuts("a|\xFF\xFE| \x80!|b");
    check_cuts("a| \xE3\x81");
}

static void contraction_table(void **state)
{
    (void)state;
    check_cuts("'m|a");
    check_cuts("'|r");
    check_cuts("'re|d");
}

static size_t unstable(const char *text)
{
    return tokenizer_unstable_start((const uint8_t *)text, strlen(text));
}

static void the_last_piece_is_unstable(void **state)
{
    (void)state;
    assert_int_equal(unstable(""), 0);
    assert_int_equal(unstable("word"), 0);
    assert_int_equal(unstable("one two"), 3);
    assert_int_equal(unstable("one two,"), 7);
    assert_int_equal(unstable("one  "), 3);
    assert_int_equal(unstable("we'l"), 2);
    assert_int_equal(unstable("we'"), 2);
    assert_int_equal(unstable("we'x"), 3);
    assert_int_equal(unstable("we 'l"), 4);
    assert_int_equal(unstable("a  \xE3\x80"), 1);   /* may become an ideographic space */
}

/* Pieces before the unstable start are the same whatever follows. */
static void what_lies_before_the_unstable_start_never_changes(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "a", "b", "'", "l", "r", "e", "v", "s", " ", "  ", "\n", "1", ".",
        "\xE3", "\x80", "\x81", "\xE3\x81\x82", "\xC3", "\xA9", "\xF0\x9F", "\x98"};
    uint64_t seed = 11;
    for (int round = 0; round < 20000; round++) {
        uint8_t text[128];
        size_t n = 0;
        for (int i = 0; i < 12; i++) {
            const char *part = parts[support_random(&seed) % ARRAY_LEN(parts)];
            memcpy(text + n, part, strlen(part));
            n += strlen(part);
        }
        size_t cut = support_random(&seed) % (n + 1);
        size_t stable = tokenizer_unstable_start(text, cut);
        for (size_t at = 0; at < stable;) {
            size_t then = split_piece(text, cut, at), now = split_piece(text, n, at);
            assert_int_equal(then, now);
            at = now;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_numbers_and_marks_are_pieces),
        cmocka_unit_test(white_space_leaves_one_space_to_the_next_word),
        cmocka_unit_test(contractions_are_pieces_only_where_the_apostrophe_starts_one),
        cmocka_unit_test(contraction_table),
        cmocka_unit_test(bytes_that_are_not_utf8_are_marks),
        cmocka_unit_test(the_last_piece_is_unstable),
        cmocka_unit_test(what_lies_before_the_unstable_start_never_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
