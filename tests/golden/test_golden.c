/* Tokens of real speech against an independent implementation (see remake.py beside this file): the
 * target alone gives them, and so does the split, whatever the drafts cost. */
#include "../support/speech.h"
#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GOLDEN_FILES = 10, GOLDEN_TOKENS_MAX = 224 };

struct golden {
    char file[128];
    float gap;                              /* how near a tie the decode came */
    uint32_t n_tokens;                      /* without the end token */
    int32_t tokens[GOLDEN_TOKENS_MAX];
};

/* One thread each: another test program runs beside this one (tools/run_tests.sh). More threads, in
 * programs.sh. */
static struct engine base, tiny;

static int open_engines(void **state)
{
    (void)state;
    speech_engine_open(&base, "whisper-base.gguf", 1, NULL);
    speech_engine_open(&tiny, "whisper-tiny.en.gguf", 1, NULL);
    return 0;
}

static int close_engines(void **state)
{
    (void)state;
    engine_close(&base);
    engine_close(&tiny);
    return 0;
}

static bool parse_line(char *line, int32_t end, struct golden *out)
{
    char *rest = NULL, *file = strtok_r(line, " \n", &rest);
    char *word = file ? strtok_r(NULL, " \n", &rest) : NULL;
    if (!file || file[0] == '#')
        return false;
    assert_non_null(word);
    snprintf(out->file, sizeof(out->file), "%s", file);
    out->gap = strtof(word, NULL);
    out->n_tokens = 0;
    while ((word = strtok_r(NULL, " \n", &rest)) != NULL) {
        assert_true(out->n_tokens < GOLDEN_TOKENS_MAX);
        out->tokens[out->n_tokens++] = (int32_t)strtol(word, NULL, 10);
    }
    assert_true(out->n_tokens > 1);
    assert_int_equal(out->tokens[out->n_tokens - 1], end);
    out->n_tokens--;
    return true;
}

/* All ten files, or the test fails. */
static struct golden *read_golden(const struct engine *engine, bool timestamps)
{
    const char *model = engine == &base ? "whisper-base" : "whisper-tiny.en";
    const char *suffix = timestamps ? "-timestamps" : "";
    const char *path = support_format("tests/golden/%s%s.txt", model, suffix);
    struct golden *golden = calloc(GOLDEN_FILES, sizeof(*golden));
    char line[4096];
    uint32_t n = 0;
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("cannot read %s: run this from the repository's folder", path);
    assert_non_null(golden);
    while (fgets(line, sizeof(line), f)) {
        assert_true(n < GOLDEN_FILES || line[0] == '#');
        if (n < GOLDEN_FILES)
            n += parse_line(line, engine->description->special.end, &golden[n]);
    }
    fclose(f);
    assert_int_equal(n, GOLDEN_FILES);
    return golden;
}

struct sums {
    uint32_t tokens, passes, rounds;
};

/* All files in one session. */
static struct sums check_files(struct engine *target, struct engine *draft,
                               const struct client_options *options)
{
    struct golden *golden = read_golden(target, options->rules.timestamps);
    struct loop *loop = loop_new(target, draft, options);
    struct sums sums = {0};
    for (uint32_t i = 0; i < GOLDEN_FILES; i++) {
        const struct loop_result *result = speech_transcribe(loop, golden[i].file);
        speech_assert_tokens(golden[i].file, golden[i].tokens, golden[i].n_tokens, result);
        assert_int_equal(result->stats.tokens, golden[i].n_tokens + 1);
        sums.tokens += result->stats.tokens;
        sums.passes += result->stats.passes;
        sums.rounds += result->stats.rounds;
    }
    loop_free(loop);
    free(golden);
    return sums;
}

static void check_alone(struct engine *target, bool timestamps)
{
    struct client_options options = speech_options(timestamps);
    struct sums sums = check_files(target, NULL, &options);
    assert_int_equal(sums.passes, sums.tokens);
}

static void base_alone_gives_the_golden_tokens(void **state)
{
    (void)state;
    check_alone(&base, false);
}

static void base_alone_gives_the_golden_tokens_with_timestamps(void **state)
{
    (void)state;
    check_alone(&base, true);
}

static void tiny_en_alone_gives_the_golden_tokens(void **state)
{
    (void)state;
    check_alone(&tiny, false);
}

static void tiny_en_alone_gives_the_golden_tokens_with_timestamps(void **state)
{
    (void)state;
    check_alone(&tiny, true);
}

/* Whole drafts and free rows: fewest passes. One round each: the target re-aligns by itself. */
static void check_whole_drafts(bool timestamps)
{
    struct client_options options = speech_options(timestamps);
    speech_options_wait(&options);
    struct sums sums = check_files(&base, &tiny, &options);
    print_message("%u tokens in %u passes, %u rounds\n", sums.tokens, sums.passes, sums.rounds);
    assert_true(3 * sums.passes < sums.tokens);
    assert_true(sums.rounds <= GOLDEN_FILES + 1);
}

static void whole_drafts_change_nothing_but_the_number_of_passes(void **state)
{
    (void)state;
    check_whole_drafts(false);
}

static void whole_drafts_with_timestamps_change_nothing_but_the_number_of_passes(void **state)
{
    (void)state;
    check_whole_drafts(true);
}

/* With timestamps; without, in programs.sh. */
static void drafts_at_the_measured_price_change_nothing(void **state)
{
    (void)state;
    struct client_options options = speech_options(true);
    struct sums sums = check_files(&base, &tiny, &options);
    print_message("%u tokens in %u passes\n", sums.tokens, sums.passes);
    assert_true(sums.passes <= sums.tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base_alone_gives_the_golden_tokens),
        cmocka_unit_test(base_alone_gives_the_golden_tokens_with_timestamps),
        cmocka_unit_test(tiny_en_alone_gives_the_golden_tokens),
        cmocka_unit_test(tiny_en_alone_gives_the_golden_tokens_with_timestamps),
        cmocka_unit_test(whole_drafts_change_nothing_but_the_number_of_passes),
        cmocka_unit_test(whole_drafts_with_timestamps_change_nothing_but_the_number_of_passes),
        cmocka_unit_test(drafts_at_the_measured_price_change_nothing),
    };
    return cmocka_run_group_tests(tests, open_engines, close_engines);
}
