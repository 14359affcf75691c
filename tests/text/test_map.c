/* Vocabulary mapping: by eye on small vocabularies, by properties on small and on real ones. */
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"
#include "../support/vocabulary.h"
#include "model/model.h"
#include "text/map.h"

enum { TOKENS_MAX = 512, TEXT_MAX = 1 << 14 };

/* " there" is " th" + "ere" for the draft and " the" + "re" for the target. */
#define DRAFT_WORDS "re|ere| t| th|he|zq"
#define TARGET_WORDS "th| th| the|re| t"
enum { D_RE = 256, D_ERE, D_T, D_TH, D_HE, D_ZQ, D_END };
enum { T_TH = 256, T_SPACE_TH, T_SPACE_THE, T_RE, T_SPACE_T, T_END };

struct pair {
    struct tokenizer *draft, *target;
    struct text_map *map;
};

static struct pair open_pair(struct tokenizer *draft, struct tokenizer *target)
{
    struct pair pair = {draft, target, NULL};
    struct error err = {0};
    assert_ok(text_map_new(draft, target, TOKENS_MAX, &pair.map, &err), &err);
    return pair;
}

static struct pair small_pair(void)
{
    return open_pair(support_tokenizer(DRAFT_WORDS, 1), support_tokenizer(TARGET_WORDS, 2));
}

static void close_pair(struct pair *pair)
{
    text_map_free(&pair->map);
    tokenizer_free(&pair->draft);
    tokenizer_free(&pair->target);
}

#define PIECES(...) .pieces = (const struct map_piece[]){__VA_ARGS__}, \
    .n_pieces = ARRAY_LEN(((const struct map_piece[]){__VA_ARGS__}))
#define DECIDED(...) .decided = (const int32_t[]){__VA_ARGS__}, \
    .n_decided = ARRAY_LEN(((const int32_t[]){__VA_ARGS__}))
#define EXPECT(pair, draft, ...) expect(pair, draft, (const struct map_piece[]){__VA_ARGS__}, \
    ARRAY_LEN(((const struct map_piece[]){__VA_ARGS__})))

static void expect(const struct pair *pair, const struct map_draft *draft,
                   const struct map_piece *expected, uint32_t n)
{
    struct map_piece pieces[TOKENS_MAX];
    struct map_pieces out = {.pieces = pieces, .max = TOKENS_MAX};
    struct error err = {0};
    assert_ok(text_map_to_target(pair->map, draft, &out, &err), &err);
    assert_int_equal(out.n, n);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(pieces[i].token, expected[i].token);
        assert_float_equal(pieces[i].confidence, expected[i].confidence, 0.0f);
    }
}

static void text_is_encoded_anew_with_the_least_confidence_of_the_pieces(void **state)
{
    (void)state;
    struct pair pair = small_pair();
    /* " th" "ere" -> " the" "re" */
    EXPECT(&pair, (&(struct map_draft){PIECES({D_TH, 0.9f}, {D_ERE, 0.4f}), .complete = true}),
           {T_SPACE_THE, 0.4f}, {T_RE, 0.4f});
    EXPECT(&pair, (&(struct map_draft){PIECES({D_TH, 0.3f}, {D_ERE, 0.8f}), .complete = true}),
           {T_SPACE_THE, 0.3f}, {T_RE, 0.8f});
    close_pair(&pair);
}

static void a_continuation_keeps_the_decided_tokens(void **state)
{
    (void)state;
    struct pair pair = small_pair();
    /* " the" + "re": decided stays. " th" + "ere" would become " the" "re": encoded alone. */
    EXPECT(&pair, (&(struct map_draft){DECIDED(T_SPACE_THE), PIECES({'r', 0.5f}, {'e', 0.6f}),
                                       .complete = true}),
           {T_RE, 0.5f});
    EXPECT(&pair, (&(struct map_draft){DECIDED(T_SPACE_TH), PIECES({D_ERE, 0.7f}),
                                       .complete = true}),
           {'e', 0.7f}, {T_RE, 0.7f});
    close_pair(&pair);
}

static void timestamps_go_over_by_value_and_cut_the_text(void **state)
{
    (void)state;
    struct pair pair = small_pair();
    int32_t d_time = tokenizer_timestamp_token(pair.draft, 77);
    int32_t t_time = tokenizer_timestamp_token(pair.target, 77);
    assert_int_not_equal(d_time, t_time);
    EXPECT(&pair,
           (&(struct map_draft){DECIDED(t_time, T_SPACE_TH),
                                PIECES({'x', 0.9f}, {d_time, 0.5f}, {d_time, 0.6f}, {D_T, 0.7f},
                                       {D_HE, 0.8f}, {D_END, 0.3f}, {'y', 1.0f}),
                                .complete = true}),
           {'x', 0.9f}, {t_time, 0.5f}, {t_time, 0.6f}, {T_SPACE_THE, 0.7f}, {T_END, 0.3f});
    close_pair(&pair);
}

static void a_growing_draft_holds_its_last_word_back(void **state)
{
    (void)state;
    struct pair pair = small_pair();
    int32_t d_time = tokenizer_timestamp_token(pair.draft, 3);
    int32_t t_time = tokenizer_timestamp_token(pair.target, 3);
    EXPECT(&pair, (&(struct map_draft){PIECES({'x', 0.9f}, {D_TH, 0.8f})}), {'x', 0.9f});
    EXPECT(&pair, (&(struct map_draft){PIECES({'x', 0.9f}, {D_TH, 0.8f}, {d_time, 0.5f})}),
           {'x', 0.9f}, {T_SPACE_TH, 0.8f}, {t_time, 0.5f});
    struct map_piece none[1];
    struct map_pieces out = {.pieces = none, .max = 0};
    struct error err = {0};
    /* The seam itself may still change: decided " th" and "e" are one word. */
    struct map_draft one = {DECIDED(T_SPACE_TH), PIECES({'e', 1.0f})};
    assert_ok(text_map_to_target(pair.map, &one, &out, &err), &err);
    close_pair(&pair);
}

/* Decided text and draft may be cut differently together and alone: what is final is so in both. */
static void what_is_held_back_is_final_with_and_without_the_decided_text(void **state)
{
    (void)state;
    struct pair pair = open_pair(support_tokenizer(DRAFT_WORDS, 1),
                                 support_tokenizer("'v|'ve|vets|sxy", 2));
    /* "'ve" + "t" together, "vet" alone (it may become "vets"). */
    struct map_piece none[1];
    struct map_pieces out = {.pieces = none, .max = 0};
    struct error err = {0};
    struct map_draft vet = {DECIDED('\''), PIECES({'v', 1.0f}, {'e', 1.0f}, {'t', 1.0f})};
    assert_ok(text_map_to_target(pair.map, &vet, &out, &err), &err);
    /* ".'" + "sx" together, "'s" + "x" alone: "sx" may become "sxy". */
    EXPECT(&pair, (&(struct map_draft){DECIDED('.'),
                                       PIECES({'\'', 0.5f}, {'s', 0.6f}, {'x', 0.7f})}),
           {'\'', 0.5f});
    close_pair(&pair);
}

static void a_draft_ends_before_a_token_that_the_target_lacks(void **state)
{
    (void)state;
    struct pair pair = small_pair();
    int32_t lm = tokenizer_special(pair.draft)->transcribe + 1;
    int32_t german = tokenizer_language_token(pair.draft, "de");
    EXPECT(&pair, (&(struct map_draft){PIECES({'x', 0.9f}, {german, 0.8f}, {lm, 1.0f}, {'y', 1.0f}),
                                       .complete = true}),
           {'x', 0.9f}, {tokenizer_language_token(pair.target, "de"), 0.8f});
    close_pair(&pair);
}

static void equal_vocabularies_pass_untouched(void **state)
{
    (void)state;
    struct pair pair = open_pair(support_tokenizer(DRAFT_WORDS, 5),
                                 support_tokenizer(DRAFT_WORDS, 5));
    assert_true(text_map_is_identity(pair.map));
    EXPECT(&pair, (&(struct map_draft){DECIDED(D_TH), PIECES({'e', 0.5f}, {D_END, 0.25f})}),
           {'e', 0.5f}, {D_END, 0.25f});
    int32_t ids[4];
    struct token_list out = {.ids = ids, .max = 2};
    struct error err = {0};
    assert_ok(text_map_to_draft(pair.map, (const int32_t[]){'t', 'h'}, 2, &out, &err), &err);
    assert_int_equal(out.n, 2);
    assert_int_equal(ids[1], 'h');
    assert_int_equal(text_map_to_draft(pair.map, (const int32_t[]){'t'}, 1, &out, &err),
                     STATUS_EXHAUSTED);
    close_pair(&pair);
}

static void decided_tokens_become_the_drafts_prefix(void **state)
{
    (void)state;
    struct pair pair = small_pair();
    const int32_t decided[] = {tokenizer_timestamp_token(pair.target, 0), T_SPACE_THE, T_RE,
                               tokenizer_timestamp_token(pair.target, 9), ' ', 0xE3, 0x81};
    const int32_t expected[] = {tokenizer_timestamp_token(pair.draft, 0), D_TH, D_ERE,
                                tokenizer_timestamp_token(pair.draft, 9), ' ', 0xE3, 0x81};
    int32_t ids[16];
    struct token_list out = {.ids = ids, .max = 16};
    struct error err = {0};
    assert_ok(text_map_to_draft(pair.map, decided, ARRAY_LEN(decided), &out, &err), &err);
    assert_int_equal(out.n, ARRAY_LEN(expected));
    assert_memory_equal(ids, expected, sizeof(expected));
    close_pair(&pair);
}

static void bad_ids_and_full_lists_are_refused_and_nothing_is_appended(void **state)
{
    (void)state;
    struct pair pair = small_pair();
    struct map_piece pieces[2];
    struct map_pieces out = {.pieces = pieces, .max = 2};
    struct error err = {0};
    struct map_draft bad = {PIECES({'x', 1.0f}, {1 << 20, 1.0f}), .complete = true};
    assert_int_equal(text_map_to_target(pair.map, &bad, &out, &err), STATUS_INVALID);
    struct map_draft decided = {DECIDED(-1), .complete = true};
    assert_int_equal(text_map_to_target(pair.map, &decided, &out, &err), STATUS_INVALID);
    struct map_draft big = {PIECES({'x', 1.0f}, {'y', 1.0f}, {'z', 1.0f}), .complete = true};
    assert_int_equal(text_map_to_target(pair.map, &big, &out, &err), STATUS_EXHAUSTED);
    assert_int_equal(out.n, 0);
    struct map_draft many = {.n_decided = 1, .decided = &(int32_t){'x'}, .n_pieces = TOKENS_MAX,
                             .pieces = pieces};
    assert_int_equal(text_map_to_target(pair.map, &many, &out, &err), STATUS_INVALID);
    struct text_map *map = NULL;
    assert_int_equal(text_map_new(pair.draft, pair.target, 0, &map, &err), STATUS_INVALID);
    assert_int_equal(text_map_new(pair.draft, pair.target, 1u << 30, &map, &err), STATUS_INVALID);
    assert_null(map);
    close_pair(&pair);
}

/* ---- properties ---- */

static const char *const words[] = {
    " the", " quick", " Quilter", " don", "'t", "'ll", " we", ",", ".", " 1960", "...", "  ", "\n",
    " naïve", " Straße", " привет", "こんにちは", "世界", " 한국어",
    " สวัสดี", " مرحبا", "👩‍🚀", " e\xCC\x81", " Smithson", "-",
    " antidisestablishmentarianism", "th", "e", "re", "'", "l", " \"", "\xE3\x81"};

/* A random utterance as draft pieces: text encoded by the draft's vocabulary, times between. */
static uint32_t random_draft(const struct tokenizer *draft, struct map_piece *pieces,
                             uint64_t *seed)
{
    uint32_t n = 0;
    for (uint64_t spans = 1 + support_random(seed) % 3; spans > 0; spans--) {
        uint8_t text[1024];
        size_t n_text = 0;
        for (uint64_t i = support_random(seed) % 10; i > 0; i--) {
            const char *word = words[support_random(seed) % ARRAY_LEN(words)];
            memcpy(text + n_text, word, strlen(word));
            n_text += strlen(word);
        }
        int32_t ids[1024];
        struct token_list list = {.ids = ids, .max = 1024};
        struct error err = {0};
        assert_ok(tokenizer_encode(draft, text, n_text, &list, &err), &err);
        list.n = MIN(list.n, 60);
        ids[list.n++] = spans == 1 ? tokenizer_special(draft)->end
                                   : tokenizer_timestamp_token(draft, (int32_t)(spans * 40));
        for (uint32_t i = 0; i < list.n; i++)
            pieces[n++] = (struct map_piece){ids[i], support_uniform(seed, 0.0f, 1.0f)};
    }
    return n;
}

static size_t spell(const struct tokenizer *t, const struct map_piece *pieces, uint32_t n,
                    uint8_t *text)
{
    struct text_buffer out = {.bytes = text, .max = TEXT_MAX};
    struct error err = {0};
    for (uint32_t i = 0; i < n; i++)
        assert_ok(tokenizer_decode_shown(t, &pieces[i].token, 1, &out, &err), &err);
    return out.n;
}

/* Byte by byte: the least confidence of the draft pieces under each mapped token. */
static void check_confidences(const struct pair *pair, const struct map_piece *draft,
                              uint32_t n_draft, const struct map_pieces *mapped)
{
    static float under[TEXT_MAX];
    size_t n = 0, at = 0, n_bytes = 0;
    for (uint32_t i = 0; i < n_draft; i++) {
        tokenizer_bytes(pair->draft, draft[i].token, &n_bytes);
        for (size_t k = 0; k < n_bytes; k++)
            under[n++] = draft[i].confidence;
    }
    for (uint32_t i = 0; i < mapped->n; i++) {
        float least = 2.0f;
        tokenizer_bytes(pair->target, mapped->pieces[i].token, &n_bytes);
        for (size_t k = 0; k < n_bytes; k++)
            least = MIN(least, under[at + k]);
        at += n_bytes;
        assert_float_equal(mapped->pieces[i].confidence, least, 0.0f);
    }
}

/* The same draft as it grows: every answer is a prefix of the complete one. */
static void check_growth(const struct pair *pair, const struct map_draft *whole,
                         const struct map_pieces *all)
{
    struct error err = {0};
    for (uint32_t n = 0; n <= whole->n_pieces; n++) {
        static struct map_piece pieces[TOKENS_MAX];
        struct map_pieces out = {.pieces = pieces, .max = TOKENS_MAX};
        struct map_draft part = *whole;
        part.n_pieces = n;
        part.complete = false;
        assert_ok(text_map_to_target(pair->map, &part, &out, &err), &err);
        assert_true(out.n <= all->n);
        for (uint32_t i = 0; i < out.n; i++) {
            if (pieces[i].token != all->pieces[i].token)
                fail_msg("token %u of a growing draft changed", i);
            assert_float_equal(pieces[i].confidence, all->pieces[i].confidence, 0.0f);
        }
    }
}

static void check_properties(const struct pair *pair, uint64_t seed, int rounds)
{
    static struct map_piece draft[TOKENS_MAX], mapped[TEXT_MAX];
    static uint8_t text[TEXT_MAX], back[TEXT_MAX];
    struct error err = {0};
    for (int round = 0; round < rounds; round++) {
        int32_t decided[16];
        struct token_list open = {.ids = decided, .max = 16};
        const char *first = words[support_random(&seed) % ARRAY_LEN(words)];
        if (round % 4)
            assert_ok(tokenizer_encode(pair->target, (const uint8_t *)first, strlen(first) / 2 + 1,
                                       &open, &err), &err);
        struct map_draft whole = {.decided = decided, .n_decided = open.n, .pieces = draft,
                                  .n_pieces = random_draft(pair->draft, draft, &seed),
                                  .complete = true};
        struct map_pieces out = {.pieces = mapped, .max = TEXT_MAX};
        assert_ok(text_map_to_target(pair->map, &whole, &out, &err), &err);
        size_t n = spell(pair->draft, draft, whole.n_pieces, text);
        assert_int_equal(spell(pair->target, mapped, out.n, back), n);
        assert_memory_equal(text, back, n);
        check_confidences(pair, draft, whole.n_pieces, &out);
        check_growth(pair, &whole, &out);
    }
}

/* Decided ids there and back: the bytes are the same. */
static void check_prefix(const struct pair *pair, uint64_t seed, int rounds)
{
    static struct map_piece pieces[TOKENS_MAX];
    static uint8_t text[TEXT_MAX], back[TEXT_MAX];
    static int32_t decided[TOKENS_MAX], ids[TEXT_MAX];
    struct error err = {0};
    for (int round = 0; round < rounds; round++) {
        uint32_t n = random_draft(pair->target, pieces, &seed);
        n = (uint32_t)(support_random(&seed) % (n + 1));
        for (uint32_t i = 0; i < n; i++)
            decided[i] = pieces[i].token;
        struct token_list list = {.ids = ids, .max = TEXT_MAX};
        struct text_buffer a = {.bytes = text, .max = TEXT_MAX};
        struct text_buffer b = {.bytes = back, .max = TEXT_MAX};
        assert_ok(text_map_to_draft(pair->map, decided, n, &list, &err), &err);
        assert_ok(tokenizer_decode_shown(pair->target, decided, n, &a, &err), &err);
        assert_ok(tokenizer_decode_shown(pair->draft, ids, list.n, &b, &err), &err);
        assert_int_equal(a.n, b.n);
        assert_memory_equal(text, back, a.n);
    }
}

static void small_vocabularies_keep_the_properties(void **state)
{
    (void)state;
    struct pair pair = small_pair();
    check_properties(&pair, 21, 300);
    check_prefix(&pair, 22, 300);
    close_pair(&pair);
}

static struct tokenizer *model_tokenizer(const char *file)
{
    struct error err = {0};
    struct model *model = NULL;
    struct tokenizer *tokenizer = NULL;
    assert_ok(model_open(support_model(file), &model, &err), &err);
    assert_ok(tokenizer_new_from_model(model, &tokenizer, &err), &err);
    model_close(&model);
    return tokenizer;
}

static void real_vocabularies_keep_the_properties(void **state)
{
    (void)state;
    struct pair pair = open_pair(model_tokenizer("whisper-tiny.en.gguf"),
                                 model_tokenizer("whisper-base.gguf"));
    assert_false(text_map_is_identity(pair.map));
    check_properties(&pair, 23, 300);
    check_prefix(&pair, 24, 300);
    close_pair(&pair);
}

static void text_that_the_target_would_write_maps_to_the_targets_own_tokens(void **state)
{
    (void)state;
    struct pair pair = open_pair(model_tokenizer("whisper-tiny.en.gguf"),
                                 model_tokenizer("whisper-base.gguf"));
    const char *text = " He hoped there would be stew for dinner, turnips and carrots.";
    int32_t expected[64], draft_ids[64];
    struct token_list target = {.ids = expected, .max = 64}, draft = {.ids = draft_ids, .max = 64};
    struct map_piece pieces[64], mapped[64];
    struct map_pieces out = {.pieces = mapped, .max = 64};
    struct error err = {0};
    assert_ok(tokenizer_encode(pair.target, (const uint8_t *)text, strlen(text), &target, &err),
              &err);
    for (uint32_t decided = 0; decided < target.n; decided++) {
        struct text_buffer prefix = {.bytes = (uint8_t[256]){0}, .max = 256};
        assert_ok(tokenizer_decode(pair.target, expected, decided, &prefix, &err), &err);
        draft.n = 0;
        assert_ok(tokenizer_encode(pair.draft, (const uint8_t *)text + prefix.n,
                                   strlen(text) - prefix.n, &draft, &err), &err);
        for (uint32_t i = 0; i < draft.n; i++)
            pieces[i] = (struct map_piece){draft_ids[i], 1.0f};
        struct map_draft whole = {.decided = expected, .n_decided = decided, .pieces = pieces,
                                  .n_pieces = draft.n, .complete = true};
        out.n = 0;
        assert_ok(text_map_to_target(pair.map, &whole, &out, &err), &err);
        assert_int_equal(out.n, target.n - decided);
        for (uint32_t i = 0; i < out.n; i++)
            assert_int_equal(mapped[i].token, expected[decided + i]);
    }
    close_pair(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_encoded_anew_with_the_least_confidence_of_the_pieces),
        cmocka_unit_test(a_continuation_keeps_the_decided_tokens),
        cmocka_unit_test(timestamps_go_over_by_value_and_cut_the_text),
        cmocka_unit_test(a_growing_draft_holds_its_last_word_back),
        cmocka_unit_test(what_is_held_back_is_final_with_and_without_the_decided_text),
        cmocka_unit_test(a_draft_ends_before_a_token_that_the_target_lacks),
        cmocka_unit_test(equal_vocabularies_pass_untouched),
        cmocka_unit_test(decided_tokens_become_the_drafts_prefix),
        cmocka_unit_test(bad_ids_and_full_lists_are_refused_and_nothing_is_appended),
        cmocka_unit_test(small_vocabularies_keep_the_properties),
        cmocka_unit_test(real_vocabularies_keep_the_properties),
        cmocka_unit_test(text_that_the_target_would_write_maps_to_the_targets_own_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
