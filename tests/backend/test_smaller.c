/* Weights made smaller as they are loaded: the same bits as a file that was converted. */
#include "../support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"

enum { N_FRAMES = 200, N_TOKENS = 5 };

/* Logits of a few rows under a model of the cache; the caller frees them. */
static float *logits_of(const char *file, enum cpu_weights weights, size_t *n, size_t *n_bytes)
{
    struct error err = {.code = STATUS_OK};
    struct model *model;
    struct backend *backend;
    struct sequence *sequence;
    bool done;
    uint64_t seed = 11;
    assert_ok(model_open(support_model(file), &model, &err), &err);
    const struct cpu_options options = {.n_threads = 2, .unpinned = true, .weights = weights};
    assert_ok(cpu_backend_new(model, &options, &backend, &err), &err);
    const struct model_description *m = backend->model;
    *n_bytes = backend->info.weight_bytes;
    *n = (size_t)N_TOKENS * m->n_vocab;
    float *mel = malloc((size_t)m->n_mels * N_FRAMES * sizeof(float));
    for (size_t i = 0; i < (size_t)m->n_mels * N_FRAMES; i++)
        mel[i] = support_uniform(&seed, -1.0f, 1.0f);
    const struct backend_features features = {.mel = mel, .n_mels = m->n_mels,
                                              .n_frames = N_FRAMES};
    assert_ok(backend_open(backend, &sequence, &err), &err);
    assert_ok(backend_encode(sequence, &features, UINT64_MAX, &done, &err), &err);
    float *logits = malloc(*n * sizeof(float));
    struct backend_row rows[N_TOKENS];
    for (int32_t i = 0; i < N_TOKENS; i++)
        rows[i] = (struct backend_row){.sequence = sequence, .token = 100 + i, .parent = i - 1,
                                       .logits = logits + (size_t)i * m->n_vocab};
    assert_ok(backend_forward(backend, rows, N_TOKENS, &err), &err);
    backend_close(&sequence);
    backend_free(&backend);
    model_close(&model);
    free(mel);
    return logits;
}

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0.0, aa = 0.0, bb = 0.0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

static void eight_bits_equal_a_converted_file(void **state)
{
    size_t n, n_bytes, converted_bytes;
    (void)state;
    float *loaded = logits_of("whisper-base.gguf", CPU_WEIGHTS_Q8_0, &n, &n_bytes);
    float *converted =
        logits_of("whisper-base-q8_0.gguf", CPU_WEIGHTS_AS_STORED, &n, &converted_bytes);
    assert_memory_equal(loaded, converted, n * sizeof(float));
    assert_int_equal(n_bytes, converted_bytes);
    free(loaded);
    free(converted);
}

static void four_bits_are_smaller_still_and_say_much_the_same(void **state)
{
    size_t n, stored_bytes, eight_bytes, four_bytes;
    (void)state;
    float *stored = logits_of("whisper-tiny.en.gguf", CPU_WEIGHTS_AS_STORED, &n, &stored_bytes);
    float *eight = logits_of("whisper-tiny.en.gguf", CPU_WEIGHTS_Q8_0, &n, &eight_bytes);
    float *four = logits_of("whisper-tiny.en.gguf", CPU_WEIGHTS_Q4_0, &n, &four_bytes);
    assert_true(four_bytes < eight_bytes && eight_bytes < stored_bytes);
    assert_memory_not_equal(four, eight, n * sizeof(float));
    double eight_like = cosine(stored, eight, n), four_like = cosine(stored, four, n);
    assert_true(eight_like > 0.99);
    assert_true(four_like > 0.9 && four_like < eight_like);
    free(stored);
    free(eight);
    free(four);
}

static void blocks_stay_as_they_are_stored(void **state)
{
    size_t n, a_bytes, b_bytes;
    (void)state;
    float *a = logits_of("whisper-base-q8_0.gguf", CPU_WEIGHTS_AS_STORED, &n, &a_bytes);
    float *b = logits_of("whisper-base-q8_0.gguf", CPU_WEIGHTS_Q4_0, &n, &b_bytes);
    assert_memory_equal(a, b, n * sizeof(float));
    assert_int_equal(a_bytes, b_bytes);
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_bits_equal_a_converted_file),
        cmocka_unit_test(four_bits_are_smaller_still_and_say_much_the_same),
        cmocka_unit_test(blocks_stay_as_they_are_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
