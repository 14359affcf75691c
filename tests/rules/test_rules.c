/* Each rule by itself, on a vocabulary small enough to see. */
#include <math.h>
#include <string.h>

#include "../support/support.h"
#include "rules/rules.h"

/* Text 0..9, end 10, start 11, languages 12 13, translate 14, transcribe 15, lm 16, previous 17,
 * no-speech 18, no-timestamps 19, timestamps from 20. Suppressed: 3; as first token: 4. */
enum { END = 10, LANGUAGE = 12, NO_TIMESTAMPS = 19, TIME = 20, N_VOCAB = TIME + 1501 };

static struct model_description model;
static struct rules_masks *masks;
static const struct kernels *kernels;

static int open_masks(void **state)
{
    (void)state;
    struct error err = {0};
    model = (struct model_description){
        .n_vocab = N_VOCAB,
        .special = {END, 11, 14, 15, 17, 18, NO_TIMESTAMPS, TIME, LANGUAGE},
        .n_languages = 2,
        .n_suppress = 1,
        .suppress = {3},
        .n_suppress_first = 1,
        .suppress_first = {4}};
    kernels = kernels_find("reference");
    return !kernels || rules_masks_new(&model, &masks, &err) != STATUS_OK;
}

static int close_masks(void **state)
{
    (void)state;
    rules_masks_free(&masks);
    return 0;
}

struct logit {
    int32_t token;
    float value;
};

/* A row of zeros in text and -20 in timestamps, but for the given entries. */
static struct rules_choice choose(const struct rules *rules, struct rules_state rules_state,
                                  const struct logit *logits, size_t n)
{
    float row[N_VOCAB];
    struct rules_choice choice;
    for (int32_t i = 0; i < N_VOCAB; i++)
        row[i] = i < TIME ? 0.0f : -20.0f;
    for (size_t i = 0; i < n; i++)
        row[logits[i].token] = logits[i].value;
    rules_choose(rules, &rules_state, kernels, row, &choice);
    return choice;
}
#define CHOOSE(rules, state, ...) choose(rules, state, (const struct logit[]){__VA_ARGS__}, \
    ARRAY_LEN(((const struct logit[]){__VA_ARGS__})))

static struct rules plain(void)
{
    return rules_default(&model, masks);
}

static struct rules timed(void)
{
    struct rules rules = plain();
    rules.timestamps = true;
    return rules;
}

static struct rules_state after(const struct rules *rules, const int32_t *tokens, size_t n)
{
    struct rules_state state = rules_begin();
    for (size_t i = 0; i < n; i++)
        state = rules_advance(rules, state, tokens[i]);
    return state;
}
#define AFTER(rules, ...) \
    after(rules, (const int32_t[]){__VA_ARGS__}, ARRAY_LEN(((const int32_t[]){__VA_ARGS__})))

static void the_likeliest_token_wins_with_its_runner_up(void **state)
{
    (void)state;
    struct rules rules = plain();
    struct rules_choice c = CHOOSE(&rules, AFTER(&rules, 1), {7, 5.0f}, {2, 4.5f});
    assert_int_equal(c.token, 7);
    assert_int_equal(c.second, 2);
    assert_float_equal(c.gap, 0.5f, 0.0f);
    assert_float_equal(c.logprob - c.second_logprob, 0.5f, 1e-6f);
    /* Allowed: 10 text tokens but 3, end, languages, no-timestamps, 1,501 timestamps at -20. */
    double sum = exp(5.0) + exp(4.5) + 7 + 4 + 1501 * exp(-20.0);
    assert_float_equal(c.logprob, (float)(5.0 - log(sum)), 1e-5f);
}

static void of_equal_scores_the_lowest_id_wins(void **state)
{
    (void)state;
    struct rules rules = plain();
    struct rules_choice c = CHOOSE(&rules, AFTER(&rules, 1), {9, 5.0f}, {6, 5.0f}, {8, 5.0f});
    assert_int_equal(c.token, 6);
    assert_int_equal(c.second, 8);
    assert_float_equal(c.gap, 0.0f, 0.0f);
    rules.timestamps = true;   /* the other timestamps are below what float32 adds to 1: a tie */
    c = CHOOSE(&rules, AFTER(&rules, TIME, 1), {9, 5.0f}, {TIME + 30, 5.0f});
    assert_int_equal(c.token, 9);
    assert_int_equal(c.second, TIME + 30);
}

static void suppressed_tokens_are_never_chosen(void **state)
{
    (void)state;
    struct rules rules = plain();
    static const int32_t always[] = {3, 11, 14, 15, 16, 17, 18};
    for (size_t i = 0; i < ARRAY_LEN(always); i++) {
        struct rules_choice c = CHOOSE(&rules, AFTER(&rules, 1), {always[i], 50.0f}, {5, 1.0f});
        assert_int_equal(c.token, 5);
        assert_true(rules_masks_suppressed(masks, always[i], false));
    }
    assert_false(rules_masks_suppressed(masks, 4, false));
    assert_true(rules_masks_suppressed(masks, 4, true));
    assert_true(rules_masks_suppressed(masks, END, true));
    assert_false(rules_masks_suppressed(masks, LANGUAGE, true));
}

static void blank_and_end_are_not_the_first_token_but_later_they_may_come(void **state)
{
    (void)state;
    struct rules rules = plain();
    struct rules_choice c = CHOOSE(&rules, rules_begin(), {4, 9.0f}, {END, 8.0f}, {5, 1.0f});
    assert_int_equal(c.token, 5);
    c = CHOOSE(&rules, AFTER(&rules, 5), {4, 9.0f}, {END, 8.0f}, {5, 1.0f});
    assert_int_equal(c.token, 4);
    assert_int_equal(c.second, END);
}

static void without_timestamp_mode_nothing_forbids_timestamps(void **state)
{
    (void)state;
    struct rules rules = plain();
    struct rules_choice c = CHOOSE(&rules, AFTER(&rules, 1), {TIME + 3, 9.0f}, {5, 1.0f});
    assert_int_equal(c.token, TIME + 3);
}

/* What the grammar of timestamps says: after these tokens, of these two the second is chosen
 * although the first scores higher. */
static void the_grammar_of_timestamps(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        int32_t prefix[4];
        int n_prefix;
        int32_t forbidden, allowed;
    } cases[] = {
        {"text first", {0}, 0, 5, TIME + 8},
        {"later than the limit", {0}, 0, TIME + 51, TIME + 50},
        {"no-timestamps", {TIME, 5}, 2, NO_TIMESTAMPS, 6},
        {"timestamp after the first one", {TIME + 5}, 1, TIME + 9, 6},
        {"text after text and timestamp", {TIME, 5, TIME + 9}, 3, 6, TIME + 9},
        {"text before the end token", {TIME, 5, TIME + 9}, 3, 6, END},
        {"earlier than the last", {TIME, 5, TIME + 9}, 3, TIME + 8, TIME + 9},
        {"third timestamp", {5, TIME + 9, TIME + 9}, 3, TIME + 20, 6},
        {"equal time for a segment's end", {TIME + 9, 5}, 2, TIME + 9, TIME + 10},
        {"equal time after a pair and text", {TIME + 9, TIME + 9, 5}, 3, TIME + 9, TIME + 10},
    };
    struct rules rules = timed();
    rules.max_initial_timestamp = 50;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rules_state at = after(&rules, cases[i].prefix, (size_t)cases[i].n_prefix);
        struct rules_choice c =
            CHOOSE(&rules, at, {cases[i].forbidden, 40.0f}, {cases[i].allowed, 30.0f});
        if (c.token != cases[i].allowed)
            fail_msg("%s: %d instead of %d", cases[i].what, c.token, cases[i].allowed);
    }
}

static void timestamps_win_when_together_they_are_likelier_than_any_text(void **state)
{
    (void)state;
    struct rules rules = timed();
    struct rules_state at = AFTER(&rules, TIME, 5);
    struct rules_choice c = CHOOSE(&rules, at, {6, 5.0f}, {TIME + 40, 4.5f}, {TIME + 41, 4.4f});
    assert_int_equal(c.token, TIME + 40);
    assert_int_equal(c.second, TIME + 41);
    assert_true(c.logprob > -1.0f);   /* over timestamps alone */
    c = CHOOSE(&rules, at, {6, 5.0f}, {TIME + 40, 4.0f}, {TIME + 41, 4.0f});
    assert_int_equal(c.token, 6);     /* 2 e^4 is under e^5 */
    assert_int_equal(c.second, TIME + 40);
}

static void language_detection_looks_at_languages_alone(void **state)
{
    (void)state;
    struct rules rules = timed();
    rules.detect_language = true;
    struct rules_choice c = CHOOSE(&rules, rules_begin(), {5, 90.0f}, {LANGUAGE + 1, 2.0f});
    assert_int_equal(c.token, LANGUAGE + 1);
    assert_int_equal(c.second, LANGUAGE);
    assert_float_equal(c.logprob, (float)(2.0 - log(exp(2.0) + 1.0)), 1e-6f);
}

static void a_row_with_nothing_allowed_ends_the_text(void **state)
{
    (void)state;
    struct rules rules = plain();
    struct rules_state start = rules_begin();
    struct rules_choice c;
    float row[N_VOCAB];
    for (int32_t i = 0; i < N_VOCAB; i++)
        row[i] = -INFINITY;
    rules_choose(&rules, &start, kernels, row, &c);
    assert_int_equal(c.token, END);
    assert_true(c.logprob == -INFINITY);
    assert_int_equal(c.second, -1);
    row[7] = 1.0f;
    rules_choose(&rules, &start, kernels, row, &c);
    assert_int_equal(c.token, 7);
    assert_float_equal(c.logprob, 0.0f, 1e-7f);
    assert_int_equal(c.second, -1);
    assert_true(c.gap == INFINITY);
}

static void the_state_remembers_what_the_rules_need(void **state)
{
    (void)state;
    struct rules rules = timed();
    struct rules_state s = AFTER(&rules, TIME + 4, 5, 6);
    assert_int_equal(s.n_sampled, 3);
    assert_int_equal(s.last, 6);
    assert_int_equal(s.before_last, 5);
    assert_int_equal(s.last_timestamp, TIME + 4);
    assert_int_equal(sizeof(s), 16);
    assert_int_equal(rules_timestamp_steps(&model, TIME + 1500), 1500);
    assert_int_equal(rules_timestamp_steps(&model, TIME - 1), -1);
}

static void a_models_lists_must_lie_in_its_vocabulary(void **state)
{
    (void)state;
    struct model_description bad = model;
    struct rules_masks *none = masks;
    struct error err = {0};
    bad.suppress[0] = N_VOCAB;
    assert_int_equal(rules_masks_new(&bad, &none, &err), STATUS_CORRUPT);
    assert_null(none);
    bad = model;
    bad.suppress_first[0] = -1;
    assert_int_equal(rules_masks_new(&bad, &none, &err), STATUS_CORRUPT);
    bad = model;
    bad.special.no_speech = N_VOCAB;
    assert_int_equal(rules_masks_new(&bad, &none, &err), STATUS_CORRUPT);
}

/* The converted lists hold what OpenAI's code would compute, so ours adds nothing to them. */
static void check_lists(const char *file, uint32_t n_expected, int32_t lm)
{
    struct error err = {0};
    struct model *opened = NULL;
    struct rules_masks *own = NULL;
    uint32_t n = 0;
    assert_ok(model_open(support_model(file), &opened, &err), &err);
    const struct model_description *d = model_describe(opened);
    assert_ok(rules_masks_new(d, &own, &err), &err);
    for (int32_t i = 0; i < (int32_t)d->n_vocab; i++)
        n += rules_masks_suppressed(own, i, false);
    assert_int_equal(n, n_expected);
    assert_int_equal(d->n_suppress, n_expected);
    assert_true(rules_masks_suppressed(own, lm, false));
    assert_true(rules_masks_suppressed(own, 220, true));   /* a space alone */
    assert_true(rules_masks_suppressed(own, d->special.end, true));
    assert_false(rules_masks_suppressed(own, d->special.language_begin, true));
    rules_masks_free(&own);
    model_close(&opened);
}

static void the_lists_of_real_models_are_openais(void **state)
{
    (void)state;
    check_lists("whisper-base.gguf", 88, 50360);
    check_lists("whisper-tiny.en.gguf", 90, 50359);
}

/* What may be forbidden before the row is known, and only that. */
static void tokens_are_forbidden_by_the_state_alone(void **state)
{
    (void)state;
    struct rules rules = plain(), timed = plain(), hot = plain(), detect = plain();
    float row[END] = {0};
    timed.timestamps = true;
    hot.temperature = 0.5f;
    detect.detect_language = true;
    assert_true(rules_screens(&rules) && rules_screens(&timed));
    assert_false(rules_screens(&hot) || rules_screens(&detect));
    struct rules_state begin = rules_begin(), later = rules_advance(&rules, begin, 5);
    float largest[1] = {0};
    struct rules_row whole = {row, largest, END}, part = {row, largest, 4};
    assert_true(rules_forbid(&rules, &begin, kernels, &whole));
    for (int32_t i = 0; i < END; i++)
        assert_int_equal(row[i] == -INFINITY, i == 3 || i == 4);
    memset(row, 0, sizeof(row));
    assert_true(rules_forbid(&timed, &later, kernels, &part)); /* nothing beyond n is touched */
    for (int32_t i = 0; i < END; i++)
        assert_int_equal(row[i] == -INFINITY, i == 3);
    memset(row, 0, sizeof(row));
    assert_false(rules_forbid(&timed, &begin, kernels, &whole)); /* a timestamp comes first */
    for (int32_t i = 0; i < END; i++)
        assert_true(row[i] == 0.0f);
}

static int draw(uint64_t *random, int n)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (int)((*random >> 33) % (uint64_t)n);
}

/* Rows with and without an index, of few values so that ties are common: the same choice. */
static void an_index_changes_nothing(void **state)
{
    (void)state;
    enum { N = N_VOCAB, ROUNDS = 3000 };
    uint64_t random = 3;
    for (int round = 0; round < ROUNDS; round++) {
        float row[2][N], largest[N / RULES_GROUP + 1];
        struct rules rules = plain();
        struct rules_state at = rules_begin();
        struct rules_choice choice[2];
        rules.timestamps = round % 3 == 0;
        for (int i = 0; i < round % 4; i++)
            at = rules_advance(&rules, at, draw(&random, 2) ? 5 : TIME + i);
        for (size_t i = 0; i < N; i++)
            row[0][i] = row[1][i] = (float)draw(&random, round % 7 + 1) - 3.0f;
        struct rules_row indexed = {row[1], largest, (uint32_t)(round % 5 ? N - round % 90 : 100)};
        for (uint32_t g = 0; g * RULES_GROUP < indexed.n_indexed; g++) {
            uint32_t end = MIN((g + 1) * RULES_GROUP, indexed.n_indexed);
            largest[g] = kernels->max(row[1] + g * RULES_GROUP, end - g * RULES_GROUP);
        }
        if (round % 2)
            (void)rules_forbid(&rules, &at, kernels, &indexed);
        rules_choose(&rules, &at, kernels, row[0], &choice[0]);
        rules_choose_row(&rules, &at, kernels, &indexed, &choice[1]);
        assert_memory_equal(&choice[0], &choice[1], sizeof(choice[0]));
    }
}

static void probability_is_the_softmax_of_the_whole_row(void **state)
{
    (void)state;
    const float row[5] = {1.0f, 2.0f, 3.0f, -INFINITY, 2.0f};
    double sum = exp(-2.0) + exp(-1.0) + 1.0 + exp(-1.0);
    assert_float_equal(rules_probability(kernels, row, 5, 2), (float)(1.0 / sum), 1e-6f);
    assert_float_equal(rules_probability(kernels, row, 5, 3), 0.0f, 0.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_likeliest_token_wins_with_its_runner_up),
        cmocka_unit_test(of_equal_scores_the_lowest_id_wins),
        cmocka_unit_test(suppressed_tokens_are_never_chosen),
        cmocka_unit_test(blank_and_end_are_not_the_first_token_but_later_they_may_come),
        cmocka_unit_test(without_timestamp_mode_nothing_forbids_timestamps),
        cmocka_unit_test(the_grammar_of_timestamps),
        cmocka_unit_test(timestamps_win_when_together_they_are_likelier_than_any_text),
        cmocka_unit_test(language_detection_looks_at_languages_alone),
        cmocka_unit_test(a_row_with_nothing_allowed_ends_the_text),
        cmocka_unit_test(the_state_remembers_what_the_rules_need),
        cmocka_unit_test(a_models_lists_must_lie_in_its_vocabulary),
        cmocka_unit_test(the_lists_of_real_models_are_openais),
        cmocka_unit_test(tokens_are_forbidden_by_the_state_alone),
        cmocka_unit_test(an_index_changes_nothing),
        cmocka_unit_test(probability_is_the_softmax_of_the_whole_row),
    };
    return cmocka_run_group_tests(tests, open_masks, close_masks);
}
