/* The split on real models and real speech, beyond the golden tokens (tests/golden): whatever
 * changes the time may not change the text. */
#include "../support/speech.h"
#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "audio/audio_file.h"

/* One thread each: other test programs run beside this one (tools/run_tests.sh). */
static struct engine base, base_q8, tiny;

static const char *const files[] = {
    SPEECH_SENTENCE,
    "librivox/sense_and_sensibility_01_austen_64kb-0930.wav",
    SPEECH_SHORT,
};

static int open_engines(void **state)
{
    (void)state;
    speech_engine_open(&base, "whisper-base.gguf", 1, NULL);
    speech_engine_open(&base_q8, "whisper-base-q8_0.gguf", 1, NULL);
    speech_engine_open(&tiny, "whisper-tiny.en.gguf", 1, NULL);
    return 0;
}

static int close_engines(void **state)
{
    (void)state;
    engine_close(&base);
    engine_close(&base_q8);
    engine_close(&tiny);
    return 0;
}

/* The first n files alone and with drafts; the two must be the same. Returns the passes saved, in
 * percent. */
static uint32_t check_drafts(struct engine *target, struct engine *draft,
                             const struct client_options *options, uint32_t n)
{
    struct loop *with = loop_new(target, draft, options);
    uint64_t plain = 0, drafted = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct loop_result *alone = speech_once(target, NULL, options, files[i]);
        const struct loop_result *result = speech_transcribe(with, files[i]);
        assert_true(alone->n_tokens > 0);
        speech_assert_same(files[i], alone, result);
        plain += alone->stats.passes;
        drafted += result->stats.passes;
        free(alone);
    }
    loop_free(with);
    assert_true(drafted <= plain);
    return (uint32_t)(100 * (plain - drafted) / plain);
}

/* Equal vocabularies: ids pass untouched. The draft hears less silence behind the audio. */
static void a_model_that_drafts_for_itself_is_nearly_always_right(void **state)
{
    (void)state;
    struct client_options options = speech_options(true);
    speech_options_wait(&options);
    assert_true(check_drafts(&base, &base, &options, 2) > 80);
}

static void an_8_bit_target_keeps_its_own_text_with_drafts(void **state)
{
    (void)state;
    struct client_options options = speech_options(false);
    speech_options_wait(&options);
    assert_true(check_drafts(&base_q8, &tiny, &options, ARRAY_LEN(files)) > 50);
}

static void a_detected_language_is_the_same_with_drafts(void **state)
{
    (void)state;
    struct client_options options = speech_options(false);
    memcpy(options.rules.language, "auto", 5);
    memcpy(options.drafter.language, "auto", 5);
    (void)check_drafts(&base, &tiny, &options, 2);
    struct loop_result *result = speech_once(&base, &base, &options, SPEECH_SENTENCE);
    assert_string_equal(result->language, "en");
    free(result);
}

static void sampled_text_is_the_same_with_drafts_and_follows_the_seed(void **state)
{
    (void)state;
    struct client_options options = speech_options(false);
    options.rules.temperature = 0.6f;
    options.rules.seed = 20;
    (void)check_drafts(&base, &tiny, &options, 2);
    speech_options_wait(&options);
    (void)check_drafts(&base, &tiny, &options, 2);
    options.rules.temperature = 1.0f;
    struct loop_result *one = speech_once(&base, NULL, &options, SPEECH_SENTENCE);
    options.rules.seed = 21;
    struct loop_result *other = speech_once(&base, NULL, &options, SPEECH_SENTENCE);
    assert_string_not_equal(one->text, other->text);
    free(one);
    free(other);
}

static void lockstep_and_default_fallback_change_nothing(void **state)
{
    (void)state;
    struct client_options options = speech_options(true);
    options.rules.lockstep = true;
    options.rules.row_price = 0.0f;
    (void)check_drafts(&base, &tiny, &options, 2);
    options = speech_options(true);
    options.rules.fallback = true;
    (void)check_drafts(&base, &tiny, &options, 2);
}

static uint32_t steps_to_the_end(struct drafter *drafter)
{
    struct error err;
    uint32_t before = drafter_stats(drafter)->steps;
    for (bool worked = true; worked;)
        assert_ok(drafter_step(drafter, &worked, &err), &err);
    return drafter_stats(drafter)->steps - before;
}

/* Drafts of three quarters, then of all of a sentence: the end has little left to draft. */
static void what_was_drafted_early_is_verified_at_once(void **state)
{
    (void)state;
    struct error err = {.code = STATUS_OK};
    struct drafter_options options = {.language = "en", .silence_ms = 5000,
                                      .policy = spec_policy_default()};
    struct drafter *drafter;
    int16_t *samples = NULL;
    size_t n = 0;
    const char *path = support_format("%s/%s", SPEECH_FOLDER, SPEECH_SENTENCE);
    assert_ok(audio_file_load(path, 480000, &samples, &n, NULL, &err), &err);
    assert_ok(drafter_new(&tiny, &options, &drafter, &err), &err);
    assert_ok(drafter_set_target(drafter, base.tokenizer, &err), &err);
    drafter_begin(drafter, &(struct drafter_window){.samples = samples, .n = n});
    uint32_t version, n_direct = steps_to_the_end(drafter);
    struct drafter_proposal direct = *drafter_proposal(drafter, &version);
    drafter_begin(drafter, &(struct drafter_window){
                               .samples = samples, .n = n - n / 4, .early = true});
    (void)steps_to_the_end(drafter);
    const struct drafter_proposal *proposal = drafter_proposal(drafter, &version);
    assert_true(proposal->early && !proposal->complete && proposal->n_trunk > 0);
    drafter_begin(drafter, &(struct drafter_window){.samples = samples, .n = n, .again = true});
    uint32_t n_again = steps_to_the_end(drafter);
    assert_true(proposal->complete && !proposal->early);
    assert_int_equal(proposal->n_trunk, direct.n_trunk);
    for (uint32_t i = 0; i < direct.n_trunk; i++)
        assert_int_equal(proposal->nodes[i].token, direct.nodes[i].token);
    assert_true(n_again < n_direct);
    drafter_free(&drafter);
    free(samples);
}

static void more_threads_and_every_fast_kernel_set_give_the_same_tokens(void **state)
{
    static const struct { const char *kernels; uint32_t n_threads; } variants[] = {
        {NULL, 2}, {NULL, 3}, {"avx2", 2}, {"neon", 2}};
    (void)state;
    struct client_options options = speech_options(true);
    struct loop_result *expected = speech_once(&tiny, NULL, &options, SPEECH_SHORT);
    uint32_t n_compared = 0;
    for (uint32_t i = 0; i < ARRAY_LEN(variants); i++) {
        struct engine other;
        if (variants[i].kernels && !kernels_find(variants[i].kernels))
            continue;
        speech_engine_open(&other, "whisper-tiny.en.gguf", variants[i].n_threads,
                           variants[i].kernels);
        struct loop_result *result = speech_once(&other, NULL, &options, SPEECH_SHORT);
        speech_assert_same(SPEECH_SHORT, expected, result);
        free(result);
        engine_close(&other);
        n_compared++;
    }
    assert_true(n_compared >= 3);
    free(expected);
}

enum { FRAMES = 300, ROWS = 12 };           /* 3 s, and what is said in them */

/* The backend alone: greedy tokens of the short speech; their logits, [ROWS][n_vocab], freed by the
 * caller. */
static float *decode_short(struct engine *engine, int32_t tokens[ROWS])
{
    struct error err = {.code = STATUS_OK};
    const struct model_description *m = engine->description;
    struct sequence *sequence;
    int16_t *samples = NULL;
    size_t n = 0;
    bool done;
    const uint8_t first = 0;
    float *mel = malloc((size_t)m->n_mels * FRAMES * sizeof(float));
    float *logits = malloc((size_t)ROWS * m->n_vocab * sizeof(float));
    assert_true(mel && logits);
    const char *path = support_format("/usr/share/pocketsphinx/test/data/%s", SPEECH_SHORT);
    assert_ok(audio_file_load(path, 160 * FRAMES, &samples, &n, NULL, &err), &err);
    mel_compute(engine->mel, samples, n, FRAMES, mel);
    const struct backend_features features = {.mel = mel, .n_mels = m->n_mels, .n_frames = FRAMES};
    assert_ok(backend_open(engine->backend, &sequence, &err), &err);
    assert_ok(backend_encode(sequence, &features, UINT64_MAX, &done, &err), &err);
    tokens[0] = m->special.start;
    tokens[1] = m->special.no_timestamps;
    for (uint32_t i = 0; i < ROWS; i++) {
        float *own = logits + (size_t)i * m->n_vocab;
        struct backend_row row = {.sequence = sequence, .token = tokens[i], .parent = -1,
                                  .logits = own};
        assert_ok(backend_forward(engine->backend, &row, 1, &err), &err);
        backend_keep(sequence, i, &first, 1);
        int32_t best = 0;
        for (int32_t k = 1; k < (int32_t)m->n_vocab; k++)
            best = own[k] > own[best] ? k : best;
        if (i > 0 && i + 1 < ROWS)
            tokens[i + 1] = best;
    }
    backend_close(&sequence);
    free(samples);
    free(mel);
    return logits;
}

/* Three seconds, since the reference kernels need a minute for an encoder window. */
static void every_kernel_set_gives_the_same_bits(void **state)
{
    static const char *const sets[] = {"reference", "avx2", "avx512", "neon"};
    int32_t expected[ROWS], tokens[ROWS];
    uint32_t n_compared = 0;
    (void)state;
    float *bits = decode_short(&tiny, expected);
    size_t n_bytes = (size_t)ROWS * tiny.description->n_vocab * sizeof(float);
    for (uint32_t i = 0; i < ARRAY_LEN(sets); i++) {
        struct engine other;
        if (!kernels_find(sets[i]))
            continue;
        speech_engine_open(&other, "whisper-tiny.en.gguf", 1, sets[i]);
        float *logits = decode_short(&other, tokens);
        assert_memory_equal(expected, tokens, sizeof(tokens));
        assert_memory_equal(bits, logits, n_bytes);
        free(logits);
        engine_close(&other);
        n_compared++;
    }
    assert_true(n_compared >= 2);
    free(bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_that_drafts_for_itself_is_nearly_always_right),
        cmocka_unit_test(an_8_bit_target_keeps_its_own_text_with_drafts),
        cmocka_unit_test(a_detected_language_is_the_same_with_drafts),
        cmocka_unit_test(sampled_text_is_the_same_with_drafts_and_follows_the_seed),
        cmocka_unit_test(lockstep_and_default_fallback_change_nothing),
        cmocka_unit_test(what_was_drafted_early_is_verified_at_once),
        cmocka_unit_test(more_threads_and_every_fast_kernel_set_give_the_same_tokens),
        cmocka_unit_test(every_kernel_set_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, open_engines, close_engines);
}
