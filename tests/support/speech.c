#include "speech.h"

#include <stdlib.h>
#include <string.h>

#include "audio/audio_file.h"
#include "support.h"


/* A turn is a piece of work or a look at an empty line; only a hang reaches the limit. */
enum { SPEECH_SAMPLES_MAX = 16 * 60 * 1000 };
static const uint64_t turns_max = UINT64_C(1) << 32;

void speech_engine_open(struct engine *engine, const char *model, uint32_t n_threads,
                        const char *kernels)
{
    struct error err = {.code = STATUS_OK};
    struct cpu_options cpu = {.n_threads = n_threads, .kernels = kernels, .unpinned = true};
    assert_ok(engine_open(engine, support_model(model), &cpu, &err), &err);
}

struct client_options speech_options(bool timestamps)
{
    struct client_options options = client_options_default();
    options.rules.fallback = false;
    options.rules.timestamps = timestamps;
    options.drafter.timestamps = timestamps;
    return options;
}

void speech_options_wait(struct client_options *options)
{
    options->rules.wait_draft = true;
    options->rules.row_price = 0.0f;
}

const struct loop_result *speech_transcribe(struct loop *loop, const char *file)
{
    struct error err = {.code = STATUS_OK};
    const char *path = support_format("%s/%s", SPEECH_FOLDER, file);
    int16_t *samples = NULL;
    size_t n = 0;
    assert_ok(audio_file_load(path, SPEECH_SAMPLES_MAX, &samples, &n, NULL, &err), &err);
    bool ended = loop_transcribe(loop, samples, n, turns_max);
    free(samples);
    if (!ended)
        fail_msg("%s was not transcribed: %s%s", file, loop->error.text,
                 loop->result.error.message);
    return &loop->result;
}

struct loop_result *speech_once(struct engine *target, struct engine *draft,
                                const struct client_options *options, const char *file)
{
    struct loop *loop = loop_new(target, draft, options);
    struct loop_result *copy = malloc(sizeof(*copy));
    assert_non_null(copy);
    *copy = *speech_transcribe(loop, file);
    loop_free(loop);
    return copy;
}

void speech_assert_tokens(const char *file, const int32_t *expected, uint32_t n_expected,
                          const struct loop_result *actual)
{
    uint32_t n = MIN(n_expected, actual->n_tokens), i = 0;
    while (i < n && expected[i] == actual->tokens[i])
        i++;
    if (i < n || n_expected != actual->n_tokens)
        fail_msg("%s differs at token %u: expected %d of %u, got %d of %u: \"%s\"", file, i,
                 i < n_expected ? expected[i] : -1, n_expected,
                 i < actual->n_tokens ? actual->tokens[i] : -1, actual->n_tokens, actual->text);
}

void speech_assert_same(const char *file, const struct loop_result *expected,
                        const struct loop_result *actual)
{
    speech_assert_tokens(file, expected->tokens, expected->n_tokens, actual);
    assert_string_equal(expected->text, actual->text);
    assert_string_equal(expected->language, actual->language);
    assert_int_equal(expected->n_windows, actual->n_windows);
    assert_int_equal(expected->n_segments, actual->n_segments);
}
