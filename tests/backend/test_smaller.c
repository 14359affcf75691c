/* Weights made smaller as they are loaded: the same bits as a file that was converted. */
#include "../support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"

enum { N_FRAMES = 200, N_TOKENS = 5, N_PASSES = 8 };

static struct backend *backend_of(const char *file, const struct cpu_options *options,
                                  struct model **model)
{
    struct error err = {.code = STATUS_OK};
    struct backend *backend;
    assert_ok(model_open(support_model(file), model, &err), &err);
    assert_ok(cpu_backend_new(*model, options, &backend, &err), &err);
    return backend;
}

/* A sequence with some noise encoded. */
static struct sequence *sequence_of(struct backend *backend, uint64_t seed)
{
    struct error err = {.code = STATUS_OK};
    const struct model_description *m = backend->model;
    struct sequence *sequence;
    bool done;
    float *mel = malloc((size_t)m->n_mels * N_FRAMES * sizeof(float));
    for (size_t i = 0; i < (size_t)m->n_mels * N_FRAMES; i++)
        mel[i] = support_uniform(&seed, -1.0f, 1.0f);
    const struct backend_features features = {.mel = mel, .n_mels = m->n_mels,
                                              .n_frames = N_FRAMES};
    assert_ok(backend_open(backend, &sequence, &err), &err);
    assert_ok(backend_encode(sequence, &features, UINT64_MAX, &done, &err), &err);
    free(mel);
    return sequence;
}

/* Logits of a few rows under a model of the cache; the caller frees them. */
static float *logits_of(const char *file, enum cpu_weights weights, size_t *n, size_t *n_bytes)
{
    struct error err = {.code = STATUS_OK};
    struct model *model;
    const struct cpu_options options = {.n_threads = 2, .unpinned = true, .weights = weights};
    struct backend *backend = backend_of(file, &options, &model);
    struct sequence *sequence = sequence_of(backend, 11);
    const struct model_description *m = backend->model;
    *n_bytes = backend->info.weight_bytes;
    *n = (size_t)N_TOKENS * m->n_vocab;
    float *logits = malloc(*n * sizeof(float));
    struct backend_row rows[N_TOKENS];
    for (int32_t i = 0; i < N_TOKENS; i++)
        rows[i] = (struct backend_row){.sequence = sequence, .token = 100 + i, .parent = i - 1,
                                       .logits = logits + (size_t)i * m->n_vocab};
    assert_ok(backend_forward(backend, rows, N_TOKENS, &err), &err);
    backend_close(&sequence);
    backend_free(&backend);
    model_close(&model);
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

/* Choices of rows of invented tokens, mixed weights; the panels that were computed for them. */
static uint64_t choose(bool whole_head, struct rules_choice *choices)
{
    struct error err = {.code = STATUS_OK};
    struct model *model;
    struct rules_masks *masks;
    const struct cpu_options options = {.n_threads = 2, .unpinned = true, .timed = true,
                                        .weights = CPU_WEIGHTS_MIXED, .whole_head = whole_head};
    struct backend *backend = backend_of("whisper-tiny.en.gguf", &options, &model);
    struct sequence *sequence = sequence_of(backend, 12);
    assert_ok(rules_masks_new(backend->model, &masks, &err), &err);
    struct rules rules = rules_default(backend->model, masks);
    struct backend_row rows[BACKEND_ROWS_MAX];
    uint64_t seed = 13;
    for (int pass = 0; pass < N_PASSES; pass++, choices += BACKEND_ROWS_MAX) {
        for (int32_t i = 0; i < BACKEND_ROWS_MAX; i++)
            rows[i] = (struct backend_row){.sequence = sequence, .parent = i - 1, .rules = &rules,
                                           .token = (int32_t)(support_random(&seed) % 50000),
                                           .state = rules_begin(), .choice = &choices[i]};
        assert_ok(backend_forward(backend, rows, BACKEND_ROWS_MAX, &err), &err);
    }
    uint64_t n_panels = cpu_backend_times(backend).n_panels;
    rules_masks_free(&masks);
    backend_close(&sequence);
    backend_free(&backend);
    model_close(&model);
    return n_panels;
}

/* Whatever was said: here nothing, and the tokens make no sense, which is harder than speech. */
static void mixed_weights_nearly_always_choose_as_an_f16_output_layer_does(void **state)
{
    (void)state;
    enum { N = N_PASSES * BACKEND_ROWS_MAX };
    static struct rules_choice whole[N], mixed[N];
    uint32_t same = 0;
    assert_int_equal(choose(true, whole), 0);
    uint64_t n_panels = choose(false, mixed);
    for (size_t i = 0; i < N; i++)
        same += whole[i].token == mixed[i].token;
    print_message("%u of %d the same, %.1f panels\n", same, N, (double)n_panels / N);
    assert_true(same * 100 >= N * 99);
    assert_in_range(n_panels, N, N * 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_bits_equal_a_converted_file),
        cmocka_unit_test(four_bits_are_smaller_still_and_say_much_the_same),
        cmocka_unit_test(blocks_stay_as_they_are_stored),
        cmocka_unit_test(mixed_weights_nearly_always_choose_as_an_f16_output_layer_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
