/* The CPU backend against an independent float32 implementation (tests/reference/whisper_numpy.py),
 * on the same weights: logits along the backend's own greedy tokens, and the choice after each.
 *
 * Real weights with real speech, and random weights of true shapes (some with fewer layers, said in
 * the list) with noise. Sizes marked `large` run only with TEST_SIZES=all in the environment: they
 * write up to a gigabyte.
 */
#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/audio_file.h"
#include "audio/mel.h"
#include "backend/cpu/cpu.h"
#include "model/model_random.h"

#define SPEECH                                                                                     \
    "/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0880.wav"

struct scenario {
    const char *name;
    const char *file;           /* a model of the cache, or NULL: random weights */
    const char *like;           /* whose shape they have */
    uint32_t n_encoder, n_decoder;      /* layers; 0: as many as the published model */
    uint32_t n_frames;
    uint32_t n_tokens;          /* chosen ones, at most */
    enum tensor_type type;
    bool timestamps;
    bool large;
    float tolerance;            /* largest absolute difference of a logit */
    bool blas;                  /* the encoder's products by OpenBLAS */
};

static const struct scenario scenarios[] = {
    {"base", "whisper-base.gguf", NULL, 0, 0, 3000, 30, TENSOR_F16, false, false, 0.02f, false},
    {"base, timestamps", "whisper-base.gguf", NULL, 0, 0, 3000, 30, TENSOR_F16, true, true,
     0.02f, false},
    {"tiny.en, timestamps", "whisper-tiny.en.gguf", NULL, 0, 0, 3000, 30, TENSOR_F16, true, false,
     0.02f, false},
    {"tiny.en, OpenBLAS", "whisper-tiny.en.gguf", NULL, 0, 0, 3000, 30, TENSOR_F16, false, false,
     0.02f, true},
    {"tiny", NULL, "tiny", 0, 0, 3000, 20, TENSOR_F16, true, false, 0.01f, false},
    {"tiny, q8_0, 2+2 layers", NULL, "tiny", 2, 2, 600, 20, TENSOR_Q8_0, true, false, 0.35f, false},
    {"tiny, q4_0, 2+2 layers", NULL, "tiny", 2, 2, 600, 20, TENSOR_Q4_0, true, false, 0.35f, false},
    {"small, 2+2 layers", NULL, "small", 2, 2, 600, 16, TENSOR_F16, false, false, 0.01f, false},
    {"large-v3, 1+1 layers", NULL, "large-v3", 1, 1, 200, 16, TENSOR_F16, false, false, 0.01f,
     false},
    {"base.en, f32", NULL, "base.en", 0, 0, 300, 16, TENSOR_F32, false, true, 0.01f, false},
    {"small", NULL, "small", 0, 0, 3000, 20, TENSOR_F16, true, true, 0.01f, false},
    {"medium.en, 6+6 layers", NULL, "medium.en", 6, 6, 1000, 16, TENSOR_F16, false, true, 0.01f,
     false},
    {"large-v2, 3+3 layers", NULL, "large-v2", 3, 3, 600, 16, TENSOR_F16, false, true, 0.01f,
     false},
    {"large-v3-turbo, 4+4 layers", NULL, "large-v3-turbo", 4, 0, 600, 16, TENSOR_F16, true, true,
     0.01f, false},
    {"distil-large-v3, 4+2 layers", NULL, "distil-large-v3", 4, 0, 600, 16, TENSOR_F16, false, true,
     0.01f, false},
    {"distil-small.en", NULL, "distil-small.en", 0, 0, 1500, 16, TENSOR_F16, false, true, 0.01f,
     false},
};

struct run {
    const struct scenario *scenario;
    const struct model_description *m;
    struct model *model;
    struct backend *backend;
    struct sequence *sequence;
    struct rules_masks *masks;
    struct rules rules;
    float *mel, *logits;        /* logits: [n][n_vocab] */
    int32_t tokens[256], chosen[256];
    uint32_t n, n_prompt;
};

static void write_random(const struct scenario *s, const char *path)
{
    struct error err = {.code = STATUS_OK};
    struct model_description shape;
    assert_ok(model_shape_like(s->like, &shape, &err), &err);
    if (s->n_encoder)
        shape.encoder.n_layers = s->n_encoder;
    if (s->n_decoder)
        shape.decoder.n_layers = s->n_decoder;
    assert_ok(model_write_random(path, &shape, 3, s->type, &err), &err);
}

static void make_mel(struct run *r)
{
    struct error err = {.code = STATUS_OK};
    struct mel *mel = NULL;
    int16_t *samples = NULL;
    size_t n = (size_t)r->m->n_mels * r->scenario->n_frames, n_samples;
    uint64_t seed = 5;
    r->mel = malloc(n * sizeof(float));
    for (size_t i = 0; i < n; i++)
        r->mel[i] = support_uniform(&seed, -1.0f, 1.0f);
    if (!r->scenario->file)
        return;
    assert_ok(audio_file_load(SPEECH, MEL_WINDOW_SAMPLES, &samples, &n_samples, NULL, &err), &err);
    assert_ok(mel_new(r->m->n_mels, &mel, &err), &err);
    mel_compute(mel, samples, n_samples, r->scenario->n_frames, r->mel);
    mel_free(mel);
    free(samples);
}

static void start(struct run *r)
{
    const struct special_tokens *special = &r->m->special;
    r->tokens[r->n++] = special->start;
    if (r->m->multilingual) {
        r->tokens[r->n++] = special->language_begin;
        r->tokens[r->n++] = special->transcribe;
    }
    if (!r->scenario->timestamps)
        r->tokens[r->n++] = special->no_timestamps;
    r->n_prompt = r->n;
}

/* The prompt and then each choice, every row with its logits; stops at the end token. */
static void decode(struct run *r)
{
    struct error err = {.code = STATUS_OK};
    struct rules_state state = rules_begin();
    const uint8_t first = 0;
    uint32_t n_max = r->n_prompt + r->scenario->n_tokens;
    for (uint32_t i = 0; i < r->n; i++) {
        struct rules_choice choice = {.token = -1};
        struct backend_row row = {.sequence = r->sequence, .token = r->tokens[i], .parent = -1,
                                  .logits = r->logits + (size_t)i * r->m->n_vocab};
        bool choosing = i + 1 >= r->n_prompt;
        if (choosing && i >= r->n_prompt)
            state = rules_advance(&r->rules, state, row.token);
        row.rules = choosing ? &r->rules : NULL;
        row.choice = choosing ? &choice : NULL;
        row.state = state;
        assert_ok(backend_forward(r->backend, &row, 1, &err), &err);
        backend_keep(r->sequence, i, &first, 1);
        r->chosen[i] = choice.token;
        if (choosing && choice.token != r->m->special.end && r->n < n_max)
            r->tokens[r->n++] = choice.token;
    }
}

static void save(const char *folder, const char *name, const void *data, size_t n_bytes)
{
    FILE *file = fopen(support_format("%s/%s", folder, name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, n_bytes, file), n_bytes);
    assert_int_equal(fclose(file), 0);
}

static void save_all(const struct run *r, const char *folder)
{
    const struct scenario *s = r->scenario;
    const char *text = support_format(
        "{\"n_frames\": %u, \"prompt\": %u, \"timestamps\": %s, \"tolerance\": %g, \"near\": %g}",
        s->n_frames, r->n_prompt, s->timestamps ? "true" : "false", (double)s->tolerance,
        s->type == TENSOR_Q8_0 || s->type == TENSOR_Q4_0 ? 2 * (double)s->tolerance : 0.01);
    save(folder, "case.json", text, strlen(text));
    save(folder, "mel.f32", r->mel, (size_t)r->m->n_mels * s->n_frames * sizeof(float));
    save(folder, "tokens.i32", r->tokens, r->n * sizeof(int32_t));
    save(folder, "chosen.i32", r->chosen, r->n * sizeof(int32_t));
    save(folder, "logits.f32", r->logits, (size_t)r->n * r->m->n_vocab * sizeof(float));
}

static void run_backend(struct run *r, const char *path)
{
    struct error err = {.code = STATUS_OK};
    bool done;
    assert_ok(model_open(path, &r->model, &err), &err);
    const struct cpu_options options = {.encoder_blas = r->scenario->blas};
    assert_ok(cpu_backend_new(r->model, &options, &r->backend, &err), &err);
    r->m = r->backend->model;
    assert_ok(backend_open(r->backend, &r->sequence, &err), &err);
    assert_ok(rules_masks_new(r->m, &r->masks, &err), &err);
    r->rules = rules_default(r->m, r->masks);
    r->rules.timestamps = r->scenario->timestamps;
    r->rules.max_initial_timestamp = 50;
    make_mel(r);
    const struct backend_features features = {.mel = r->mel, .n_mels = r->m->n_mels,
                                              .n_frames = r->scenario->n_frames};
    assert_ok(backend_encode(r->sequence, &features, UINT64_MAX, &done, &err), &err);
    start(r);
    r->logits = malloc((size_t)(r->n + r->scenario->n_tokens) * r->m->n_vocab * sizeof(float));
    decode(r);
}

static int python(const char *command, const char *path, const char *folder)
{
    return system(support_format("/usr/bin/python3 tests/reference/whisper_numpy.py %s '%s' '%s'",
                                 command, path, folder));
}

static void logits_and_choices_match_the_reference(void **state)
{
    const struct scenario *s = *state;
    char *folder = support_temp_new();
    struct run r = {.scenario = s};
    char path[1024];
    snprintf(path, sizeof(path), "%s", s->file ? support_model(s->file)
                                               : support_format("%s/random.gguf", folder));
    if (!s->file)
        write_random(s, path);
    run_backend(&r, path);
    save_all(&r, folder);
    fprintf(stderr, "%s: ", s->name);
    assert_int_equal(python("check", path, folder), 0);
    if (s == &scenarios[0]) {
        /* and the comparison can fail: one logit off by more than the tolerance */
        r.logits[7] += 2 * s->tolerance;
        save_all(&r, folder);
        fprintf(stderr, "spoilt on purpose: ");
        assert_int_not_equal(python("check", path, folder), 0);
    }
    free(r.mel);
    free(r.logits);
    rules_masks_free(&r.masks);
    backend_close(&r.sequence);
    backend_free(&r.backend);
    model_close(&r.model);
    support_temp_free(folder);
}

int main(void)
{
    static struct CMUnitTest tests[ARRAY_LEN(scenarios)];
    const char *sizes = getenv("TEST_SIZES");
    bool all = sizes && strcmp(sizes, "all") == 0;
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(scenarios); i++)
        if (all || !scenarios[i].large)
            tests[n++] = (struct CMUnitTest){.name = scenarios[i].name,
                                             .test_func = logits_and_choices_match_the_reference,
                                             .initial_state = (void *)(uintptr_t)&scenarios[i]};
    return _cmocka_run_group_tests("reference", tests, n, NULL, NULL);
}
