/* The tokenizer on a small vocabulary whose answers can be seen by eye. */
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"
#include "../support/vocabulary.h"
#include "text/tokenizer.h"

/* Ids from 256 on: th=256 he=257 the=258 " t"=259 " the"=260 an=261 " a"=262 "'s"=263, end=264 */
#define WORDS "th|he|the| t| the|an| a|'s"
enum { TH = 256, HE, THE, SPACE_T, SPACE_THE, AN, SPACE_A, APOSTROPHE_S, END };

static void check_ids(const char *words, const char *text, const int32_t *expected, uint32_t n)
{
    int32_t ids[64];
    struct error err = {0};
    struct token_list list = {.ids = ids, .max = ARRAY_LEN(ids)};
    struct tokenizer *t = support_tokenizer(words, 1);
    assert_ok(tokenizer_encode(t, (const uint8_t *)text, strlen(text), &list, &err), &err);
    if (list.n != n || memcmp(ids, expected, n * sizeof(*ids)) != 0)
        fail_msg("other ids for '%s': %d %d %d", text, ids[0], ids[1], ids[2]);
    tokenizer_free(&t);
}
#define IDS(...) ((const int32_t[]){__VA_ARGS__})
#define CHECK(words, text, ...) \
    check_ids(words, text, IDS(__VA_ARGS__), ARRAY_LEN(IDS(__VA_ARGS__)))

static void lowest_id_is_merged_first(void **state)
{
    (void)state;
    CHECK(WORDS, "the", THE);
    CHECK("th|he", "the", 256, 'e');
    CHECK("he|th", "the", 't', 256);
    CHECK("ab|abab", "ababab", 257, 256);          /* ab ab ab, then the leftmost pair */
    CHECK("aa", "aaaaa", 256, 256, 'a');
}

static void a_piece_that_is_a_token_is_not_merged(void **state)
{
    (void)state;
    CHECK("bc|abc", "abc", 257);                   /* a + bc would give 256 + nothing */
    CHECK("xy|abcd", "abcd", 257);                 /* no pair of it is a token */
}

static void text_is_split_as_gpt2_does(void **state)
{
    (void)state;
    CHECK(WORDS, "an the", AN, SPACE_THE);
    CHECK(WORDS, "an  the", AN, ' ', SPACE_THE);
    CHECK(WORDS, "an's", AN, APOSTROPHE_S);
    CHECK(WORDS "| '|x", "x 's", 'x', END, 's');    /* " '" comes before the contraction */
    CHECK("a1|1a", "a1a", 'a', '1', 'a');
    CHECK(WORDS, "an  ", AN, ' ', ' ');
}

static void special_tokens_never_come_out_of_encode(void **state)
{
    (void)state;
    CHECK("zz", "<|en|>", '<', '|', 'e', 'n', '|', '>');
}

static void of_equal_tokens_the_lowest_id_is_taken(void **state)
{
    (void)state;
    CHECK("no|no|yes", "no", 256);
}

static void any_bytes_come_back(void **state)
{
    (void)state;
    struct tokenizer *t = support_tokenizer(WORDS, 1);
    struct error err = {0};
    uint64_t seed = 5;
    for (int round = 0; round < 2000; round++) {
        uint8_t text[96], back[96];
        int32_t ids[96];
        size_t n = support_random(&seed) % sizeof(text);
        for (size_t i = 0; i < n; i++)
            text[i] = (uint8_t)(support_random(&seed) % (round % 2 ? 256 : 128));
        struct token_list list = {.ids = ids, .max = 96};
        struct text_buffer buffer = {.bytes = back, .max = 96};
        assert_ok(tokenizer_encode(t, text, n, &list, &err), &err);
        assert_ok(tokenizer_decode(t, ids, list.n, &buffer, &err), &err);
        assert_int_equal(buffer.n, n);
        assert_memory_equal(back, text, n);
    }
    tokenizer_free(&t);
}

static void decode_skips_special_tokens_or_shows_them(void **state)
{
    (void)state;
    struct tokenizer *t = support_tokenizer(WORDS, 1);
    struct error err = {0};
    uint8_t bytes[64];
    const int32_t ids[] = {tokenizer_timestamp_token(t, 61), SPACE_THE, END};
    struct text_buffer out = {.bytes = bytes, .max = sizeof(bytes)};
    assert_ok(tokenizer_decode(t, ids, 3, &out, &err), &err);
    assert_int_equal(out.n, 4);
    assert_memory_equal(bytes, " the", 4);
    assert_ok(tokenizer_decode_shown(t, ids, 3, &out, &err), &err);
    const char *whole = " the<|1.22|> the<|endoftext|>";
    assert_int_equal(out.n, strlen(whole));
    assert_memory_equal(bytes, whole, strlen(whole));
    tokenizer_free(&t);
}

static void full_buffers_and_bad_ids_are_refused_and_nothing_is_appended(void **state)
{
    (void)state;
    struct tokenizer *t = support_tokenizer(WORDS, 1);
    struct error err = {0};
    int32_t ids[4] = {7};
    uint8_t bytes[8];
    struct token_list list = {.ids = ids, .n = 1, .max = 4};
    assert_int_equal(tokenizer_encode(t, (const uint8_t *)"xyzq", 4, &list, &err),
                     STATUS_EXHAUSTED);
    assert_int_equal(list.n, 1);
    assert_non_null(strstr(err.text, "4 tokens"));
    struct text_buffer out = {.bytes = bytes, .n = 1, .max = 8};
    const int32_t many[] = {SPACE_THE, SPACE_THE}, bad[] = {'x', 1 << 20}, negative[] = {-1};
    assert_int_equal(tokenizer_decode(t, many, 2, &out, &err), STATUS_EXHAUSTED);
    assert_int_equal(tokenizer_decode(t, bad, 2, &out, &err), STATUS_INVALID);
    assert_int_equal(tokenizer_decode_shown(t, negative, 1, &out, &err), STATUS_INVALID);
    assert_int_equal(out.n, 1);
    tokenizer_free(&t);
}

static void texts_beyond_the_cap_are_refused(void **state)
{
    (void)state;
    struct tokenizer *t = support_tokenizer(WORDS, 1);
    struct error err = {0};
    struct token_list list = {0};
    uint8_t *text = calloc(1, TOKENIZER_TEXT_MAX + 1);
    assert_int_equal(tokenizer_encode(t, text, TOKENIZER_TEXT_MAX + 1, &list, &err),
                     STATUS_INVALID);
    free(text);
    tokenizer_free(&t);
}

static void languages_and_timestamps_map_both_ways(void **state)
{
    (void)state;
    struct tokenizer *t = support_tokenizer(WORDS, 1);
    const struct special_tokens *s = tokenizer_special(t);
    assert_int_equal(tokenizer_language_token(t, "de"), s->language_begin + 1);
    assert_string_equal(tokenizer_language_code(t, s->language_begin), "en");
    assert_int_equal(tokenizer_language_token(t, "fr"), -1);
    assert_null(tokenizer_language_code(t, s->language_begin + 2));
    assert_null(tokenizer_language_code(t, 5));
    for (int32_t steps = 0; steps <= TIMESTAMP_STEPS_MAX; steps++)
        assert_int_equal(tokenizer_timestamp_steps(t, tokenizer_timestamp_token(t, steps)), steps);
    assert_int_equal(tokenizer_timestamp_token(t, 1501), -1);
    assert_int_equal(tokenizer_timestamp_token(t, -1), -1);
    assert_int_equal(tokenizer_timestamp_steps(t, s->timestamp_begin - 1), -1);
    assert_true(tokenizer_is_special(t, END));
    assert_false(tokenizer_is_special(t, END - 1));
    tokenizer_free(&t);
}

static void a_described_tokenizer_can_be_made_again(void **state)
{
    (void)state;
    struct tokenizer *a = support_tokenizer(WORDS, 77), *b = NULL;
    struct tokenizer_source source;
    struct error err = {0};
    tokenizer_describe(a, &source);
    assert_ok(tokenizer_new(&source, &b, &err), &err);
    assert_int_equal(tokenizer_hash(b), 77);
    assert_int_equal(tokenizer_n_tokens(a), tokenizer_n_tokens(b));
    assert_int_equal(tokenizer_longest(b), 4);
    assert_memory_equal(tokenizer_special(a), tokenizer_special(b), sizeof(struct special_tokens));
    for (int32_t id = 0; id < (int32_t)tokenizer_n_tokens(a); id++) {
        size_t n = 0, m = 0;
        const uint8_t *x = tokenizer_bytes(a, id, &n), *y = tokenizer_bytes(b, id, &m);
        assert_int_equal(n, m);
        assert_memory_equal(x, y, n);
    }
    tokenizer_free(&a);
    tokenizer_free(&b);
}

/* What a peer's vocabulary may get wrong: each is refused, with nothing left behind. */
static void broken_vocabularies_are_refused(void **state)
{
    (void)state;
    struct support_vocabulary v;
    support_vocabulary_init(&v, WORDS, 1);
    const struct tokenizer_source good = v.source;
    static const char endless[2][4] = {{'e', 'n', 'g', 'l'}, "de"};
    struct tokenizer_source bad[10];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        bad[i] = good;
    bad[0].n_tokens = TOKENIZER_TOKENS_MAX + 1;
    bad[1].n_tokens = 300;
    bad[2].special.end = 255;
    bad[3].special.end = (int32_t)good.n_tokens;
    bad[4].special.translate = (int32_t)good.n_tokens;
    bad[5].special.start = 3;
    bad[6].special.no_speech = -2;
    bad[7].special.timestamp_begin++;
    bad[8].n_languages = MODEL_LANGUAGES_MAX + 1;
    bad[9].languages = endless;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct tokenizer *t = (struct tokenizer *)&v;
        struct error err = {0};
        if (tokenizer_new(&bad[i], &t, &err) != STATUS_CORRUPT || t || err.text[0] == '\0')
            fail_msg("broken vocabulary %zu was taken", i);
    }
    support_vocabulary_release(&v);
}

static void offsets_that_fall_and_missing_bytes_are_refused(void **state)
{
    (void)state;
    struct support_vocabulary v;
    struct tokenizer *t = NULL;
    struct error err = {0};
    support_vocabulary_init(&v, WORDS, 1);
    v.offsets[100]--;
    v.offsets[101] -= 2;
    assert_int_equal(tokenizer_new(&v.source, &t, &err), STATUS_CORRUPT);
    v.offsets[100]++;
    v.offsets[101] += 2;
    v.bytes[200] = 'x';
    assert_int_equal(tokenizer_new(&v.source, &t, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "0xc8"));
    v.bytes[200] = 200;
    assert_ok(tokenizer_new(&v.source, &t, &err), &err);
    tokenizer_free(&t);
    support_vocabulary_release(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lowest_id_is_merged_first),
        cmocka_unit_test(a_piece_that_is_a_token_is_not_merged),
        cmocka_unit_test(text_is_split_as_gpt2_does),
        cmocka_unit_test(special_tokens_never_come_out_of_encode),
        cmocka_unit_test(of_equal_tokens_the_lowest_id_is_taken),
        cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(decode_skips_special_tokens_or_shows_them),
        cmocka_unit_test(full_buffers_and_bad_ids_are_refused_and_nothing_is_appended),
        cmocka_unit_test(texts_beyond_the_cap_are_refused),
        cmocka_unit_test(languages_and_timestamps_map_both_ways),
        cmocka_unit_test(a_described_tokenizer_can_be_made_again),
        cmocka_unit_test(broken_vocabularies_are_refused),
        cmocka_unit_test(offsets_that_fall_and_missing_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
