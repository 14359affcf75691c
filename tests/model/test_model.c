#include "../support/model_fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/gguf.h"
#include "model/model_int.h"
#include "model/model_random.h"
#include "model/model_write.h"

static int make_folder(void **state)
{
    *state = support_temp_new();
    return 0;
}

static int remove_folder(void **state)
{
    support_temp_free(*state);
    return 0;
}

static struct model *open_model(const char *path)
{
    struct model *model = NULL;
    struct error err = {0};
    assert_ok(model_open(path, &model, &err), &err);
    return model;
}

static float *read_all(const struct model *model, const char *name, size_t *n)
{
    struct tensor_info info;
    struct error err = {0};
    uint64_t any[4] = {0};
    uint32_t n_dims = strstr(name, "conv1.weight") ? 3 : strstr(name, "bias") ? 1 : 2;
    assert_true(model_tensor(model, name, n_dims, any, &info, &err));
    *n = 1;
    for (uint32_t i = 0; i < info.n_dims; i++)
        *n *= info.shape[i];
    float *values = malloc(*n * sizeof(float));
    assert_ok(model_read_f32(model, name, values, *n, &err), &err);
    return values;
}

static void the_description_comes_back(void **state)
{
    struct model *model = open_model(fixture_write(*state, "m.gguf", TENSOR_F16));
    struct model_description expected = fixture_description();
    const struct model_description *d = model_describe(model);
    assert_string_equal(d->architecture, "whisper");
    assert_string_equal(d->name, "whisper");
    assert_memory_equal(&d->encoder, &expected.encoder, sizeof(d->encoder));
    assert_memory_equal(&d->decoder, &expected.decoder, sizeof(d->decoder));
    assert_memory_equal(&d->special, &expected.special, sizeof(d->special));
    assert_int_equal(d->n_vocab, 1908);
    assert_int_equal(d->n_languages, 99);
    assert_string_equal(d->languages[98], "su");
    assert_true(d->n_suppress > 5 && d->n_suppress_first == 2);
    assert_int_equal(d->suppress_first[1], 300);
    assert_false(d->multilingual);
    model_close(&model);
    assert_null(model);
}

static void tokens_come_back_as_bytes(void **state)
{
    struct model *model = open_model(fixture_write(*state, "m.gguf", TENSOR_F16));
    size_t n;
    bool seen[256] = {false};
    for (int32_t id = 0; id < 256; id++) {
        const uint8_t *bytes = model_token(model, id, &n);
        assert_int_equal(n, 1);
        assert_false(seen[bytes[0]]);
        seen[bytes[0]] = true;
    }
    assert_memory_equal(model_token(model, 0, &n), "!", 1);
    assert_memory_equal(model_token(model, 220, &n), " ", 1);
    assert_memory_equal(model_token(model, 256, &n), " a", 2);
    assert_int_equal(n, 2);
    assert_memory_equal(model_token(model, 300, &n), "<|endoftext|>", 13);
    assert_int_equal(n, 13);
    assert_memory_equal(model_token(model, 302, &n), "<|en|>", 6);
    assert_memory_equal(model_token(model, 407, &n), "<|0.00|>", 8);
    assert_memory_equal(model_token(model, 1907, &n), "<|30.00|>", 9);
    model_close(&model);
}

/* f32 holds the weights; f16 and q8_0 differ from it by their rounding and no more. */
static void three_types_hold_the_same_weights(void **state)
{
    static const char *const names[] = {"encoder.conv1.weight", "decoder.token_embd.weight",
                                        "decoder.blk.0.cross_k.weight", "encoder.blk.1.ffn_up.bias",
                                        "encoder.position_embd.weight"};
    struct model *f32 = open_model(fixture_write(*state, "a.gguf", TENSOR_F32));
    struct model *f16 = open_model(fixture_write(*state, "b.gguf", TENSOR_F16));
    struct model *q8 = open_model(fixture_write(*state, "c.gguf", TENSOR_Q8_0));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t n;
        float *a = read_all(f32, names[i], &n), *b = read_all(f16, names[i], &n);
        float *c = read_all(q8, names[i], &n);
        float absmax = 0, worst_f16 = 0, worst_q8 = 0;
        for (size_t k = 0; k < n; k++) {
            absmax = fmaxf(absmax, fabsf(a[k]));
            worst_f16 = fmaxf(worst_f16, fabsf(a[k] - b[k]) - fabsf(a[k]) * 0x1p-11f);
            worst_q8 = fmaxf(worst_q8, fabsf(a[k] - c[k]));
        }
        assert_true(absmax > 0.05f);
        assert_true(worst_f16 <= 0x1p-25f);
        assert_true(worst_q8 <= absmax / 127 * 0.57f);
        if (i >= 3)
            assert_true(memcmp(a, b, n * 4) == 0 && memcmp(a, c, n * 4) == 0);
        if (i == 1)
            assert_true(worst_q8 > 0);
        free(a);
        free(b);
        free(c);
    }
    assert_true(model_fingerprint(f32) != model_fingerprint(f16));
    assert_true(model_vocabulary_hash(f32) == model_vocabulary_hash(q8));
    model_close(&f32);
    model_close(&f16);
    model_close(&q8);
}

static void convolutions_stay_f16_under_q8_0(void **state)
{
    struct model *model = open_model(fixture_write(*state, "m.gguf", TENSOR_Q8_0));
    struct tensor_info info;
    struct error err = {0};
    assert_true(
        model_tensor(model, "encoder.conv1.weight", 3, (const uint64_t[]){64, 80, 3}, &info, &err));
    assert_int_equal(info.type, TENSOR_F16);
    assert_true(model_tensor(model, "encoder.blk.0.attn_q.weight", 2, (const uint64_t[]){64, 64},
                             &info, &err));
    assert_int_equal(info.type, TENSOR_Q8_0);
    assert_int_equal(info.n_bytes, 64 * 68);
    assert_true(
        model_tensor(model, "encoder.blk.0.attn_q.bias", 1, (const uint64_t[]){64}, &info, &err));
    assert_int_equal(info.type, TENSOR_F32);
    model_close(&model);
}

static enum tensor_type type_of(const struct model *model, const char *name)
{
    struct tensor_info info;
    struct error err = {0};
    const uint64_t any[4] = {0};
    assert_true(model_tensor(model, name, 2, any, &info, &err));
    return info.type;
}

static void only_what_decoder_rows_are_multiplied_with_is_q4_0(void **state)
{
    static const char *const four[] = {"decoder.token_embd.weight", "decoder.blk.0.attn_q.weight",
                                       "decoder.blk.0.attn_k.weight",
                                       "decoder.blk.0.cross_q.weight",
                                       "decoder.blk.0.cross_out.weight",
                                       "decoder.blk.0.ffn_down.weight"};
    static const char *const eight[] = {"encoder.blk.0.attn_q.weight",
                                        "encoder.blk.1.ffn_up.weight",
                                        "decoder.blk.0.cross_k.weight",
                                        "decoder.blk.0.cross_v.weight"};
    struct model *model = open_model(fixture_write(*state, "m.gguf", TENSOR_Q4_0));
    for (size_t i = 0; i < ARRAY_LEN(four); i++)
        assert_int_equal(type_of(model, four[i]), TENSOR_Q4_0);
    for (size_t i = 0; i < ARRAY_LEN(eight); i++)
        assert_int_equal(type_of(model, eight[i]), TENSOR_Q8_0);
    assert_int_equal(type_of(model, "decoder.position_embd.weight"), TENSOR_F32);
    model_close(&model);
}

/* A piece of the hashes is no whole number of q4_0 blocks: a block that lies in two of them. */
static void blocks_may_lie_in_two_pieces(void **state)
{
    struct error err = {0};
    struct model_description d = fixture_description();
    d.decoder.n_ff = 8192; /* 294,912 bytes a matrix, a piece has 278,528 */
    const char *plain = support_format("%s/plain.gguf", (const char *)*state);
    const char *small = support_format("%s/small.gguf", (const char *)*state);
    assert_ok(model_write_random(plain, &d, 7, TENSOR_F32, &err), &err);
    assert_ok(model_write_random(small, &d, 7, TENSOR_Q4_0, &err), &err);
    struct model *f32 = open_model(plain), *q4 = open_model(small);
    assert_ok(model_verify(q4, &err), &err);
    size_t n;
    float *a = read_all(f32, "decoder.blk.0.ffn_up.weight", &n);
    float *b = read_all(q4, "decoder.blk.0.ffn_up.weight", &n);
    double error = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        error += pow((double)a[i] - (double)b[i], 2);
        size += pow((double)a[i], 2);
    }
    assert_true(error < 0.015 * size && error > 0.001 * size);
    free(a);
    free(b);
    model_close(&f32);
    model_close(&q4);
}

static void the_first_failed_lookup_sticks(void **state)
{
    struct model *model = open_model(fixture_write(*state, "m.gguf", TENSOR_F16));
    struct tensor_info info;
    struct error err = {0};
    const uint64_t wrong[] = {64, 65}, right[] = {64, 0};
    assert_true(model_tensor(model, "encoder.blk.0.attn_q.weight", 2, right, &info, &err));
    assert_false(model_tensor(model, "encoder.blk.0.attn_q.weight", 2, wrong, &info, &err));
    assert_int_equal(err.code, STATUS_CORRUPT);
    char first[ERROR_TEXT_MAX];
    memcpy(first, err.text, sizeof(first));
    assert_false(model_tensor(model, "nothing", 2, right, &info, &err));
    assert_false(model_tensor(model, "encoder.blk.0.attn_q.weight", 2, right, &info, &err));
    assert_string_equal(err.text, first);
    error_clear(&err);
    assert_false(model_tensor(model, "encoder.blk.0.attn_k.bias", 1, right, &info, &err));
    model_close(&model);
}

/* Any order, any cut: the same bytes as one read of the whole. */
static void parts_equal_the_whole(void **state)
{
    struct model *model = open_model(fixture_write(*state, "m.gguf", TENSOR_F32));
    const char *name = "decoder.token_embd.weight";
    size_t n = 1908 * 64 * 4;
    uint64_t seed = 11;
    struct error err = {0};
    uint8_t *parts = calloc(1, n), *whole = malloc(n), *again = malloc(n);
    size_t cuts[] = {0, 300000, 300001, n - 5, n};
    for (size_t i = ARRAY_LEN(cuts) - 1; i > 0; i--)
        assert_ok(
            model_read(model, name, cuts[i - 1], parts + cuts[i - 1], cuts[i] - cuts[i - 1], &err),
            &err);
    assert_ok(model_read(model, name, 0, whole, n, &err), &err);
    assert_memory_equal(parts, whole, n);
    for (int i = 0; i < 100; i++) {
        size_t from = support_random(&seed) % n, length = support_random(&seed) % (n - from);
        assert_ok(model_read(model, name, from, again, length, &err), &err);
        assert_memory_equal(again, whole + from, length);
    }
    assert_int_equal(model_read(model, name, n - 1, again, 2, &err), STATUS_INVALID);
    assert_int_equal(model_read(model, name, UINT64_MAX, again, 2, &err), STATUS_INVALID);
    assert_int_equal(model_read(model, "nothing", 0, again, 2, &err), STATUS_NOT_FOUND);
    assert_int_equal(model_read_f32(model, name, (float *)again, 5, &err), STATUS_INVALID);
    free(parts);
    free(whole);
    free(again);
    model_close(&model);
}

/* Opening and reading everything: the status of the first that fails. */
static enum status load(const char *path)
{
    struct model *model = NULL;
    struct error err = {0};
    enum status st = model_open(path, &model, &err);
    if (st == STATUS_OK)
        st = model_verify(model, &err);
    if (st != STATUS_OK)
        assert_non_null(strstr(err.text, path));
    model_close(&model);
    return st;
}

/* Where bytes count: all but the padding between tensors. Each tensor and the header get flips. */
static void a_flipped_byte_is_noticed(void **state)
{
    const char *path = fixture_write(*state, "m.gguf", TENSOR_Q8_0);
    size_t n;
    uint8_t *bytes = fixture_read_file(path, &n);
    struct gguf g;
    bool more;
    struct error err = {0};
    uint64_t seed = 5;
    uint8_t *copy = malloc(n);
    memcpy(copy, bytes, n);
    assert_ok(gguf_parse(copy, n, n, &g, &more, &err), &err);
    assert_int_equal(load(path), STATUS_OK);
    for (uint32_t i = 0; i < g.n_tensors + 200; i++) {
        const struct gguf_tensor *t = i < g.n_tensors ? &g.tensors[i] : NULL;
        uint64_t at = t ? t->offset + support_random(&seed) % t->info.n_bytes
                        : 4 + support_random(&seed) % (g.data_offset - 4);
        bytes[at] ^= (uint8_t)(1u << (support_random(&seed) % 8));
        fixture_write_file(path, bytes, n);
        enum status st = load(path);
        if (st != STATUS_CORRUPT && (t || st != STATUS_UNSUPPORTED))
            fail_msg("a flip at byte %llu gives %s", (unsigned long long)at, status_text(st));
        bytes[at] = copy[at];
    }
    gguf_free(&g);
    free(bytes);
    free(copy);
}

static void a_truncated_file_is_refused_when_opened(void **state)
{
    const char *path = fixture_write(*state, "m.gguf", TENSOR_F16);
    size_t n;
    uint8_t *bytes = fixture_read_file(path, &n);
    struct model *model = NULL;
    struct error err = {0};
    for (int i = 0; i < 60; i++) {
        size_t length = n - 20 - (size_t)i * (n - 20) / 60;
        fixture_write_file(path, bytes, length);
        assert_int_equal(model_open(path, &model, &err), STATUS_CORRUPT);
        assert_null(model);
    }
    assert_non_null(strstr(err.text, path));
    free(bytes);
}

static void expect_refusal(const char *path, const void *bytes, size_t n, enum status wanted,
                           const char *text)
{
    struct model *model = NULL;
    struct error err = {0};
    fixture_write_file(path, bytes, n);
    assert_int_equal(model_open(path, &model, &err), wanted);
    if (!strstr(err.text, text))
        fail_msg("'%s' does not say '%s'", err.text, text);
}

static void files_of_another_kind_are_named(void **state)
{
    const char *path = support_format("%s/x", (char *)*state);
    struct model *model = NULL;
    struct error err = {0};
    expect_refusal(path, "", 0, STATUS_CORRUPT, "empty");
    expect_refusal(path, "Call me Ishmael.\n", 17, STATUS_CORRUPT, "not a GGUF model");
    expect_refusal(path, "GG", 2, STATUS_CORRUPT, "not a GGUF model");
    expect_refusal(path, "\6\0\0\0\14\0WhisperSpec", 17, STATUS_UNSUPPORTED, "convert");
    expect_refusal(path, "lmgg\x99\xca\0\0", 8, STATUS_UNSUPPORTED, "whisper.cpp");
    expect_refusal(path, "\x10\0\0\0\0\0\0\0{\"a\":{}}        ", 24, STATUS_UNSUPPORTED,
                   "safetensors");
    expect_refusal(path, "PK\3\4abcdefgh", 12, STATUS_UNSUPPORTED, "zip");
    expect_refusal(path, "GGUF\4\0\0\0", 8, STATUS_UNSUPPORTED, "version 4");
    assert_int_equal(model_open(*state, &model, &err), STATUS_INVALID);
    assert_int_equal(model_open(support_format("%s/absent", (char *)*state), &model, &err),
                     STATUS_NOT_FOUND);
}

static void random_models_are_the_same_every_time(void **state)
{
    size_t n, n2;
    uint8_t *a = fixture_read_file(fixture_write(*state, "a.gguf", TENSOR_F16), &n);
    uint8_t *b = fixture_read_file(fixture_write(*state, "b.gguf", TENSOR_F16), &n2);
    assert_int_equal(n, n2);
    assert_memory_equal(a, b, n);
    struct model_description d = fixture_description();
    struct error err = {0};
    const char *path = support_format("%s/c.gguf", (char *)*state);
    assert_ok(model_write_random(path, &d, 8, TENSOR_F16, &err), &err);
    struct model *one = open_model(support_format("%s/a.gguf", (char *)*state));
    struct model *other = open_model(path);
    assert_true(model_fingerprint(one) != model_fingerprint(other));
    assert_true(model_vocabulary_hash(one) == model_vocabulary_hash(other));
    model_close(&one);
    model_close(&other);
    free(a);
    free(b);
}

static void a_contradicting_description_is_not_written(void **state)
{
    struct error err = {0};
    const char *path = support_format("%s/m.gguf", (char *)*state);
    struct model_description d = fixture_description();
    d.encoder.n_heads = 3;
    assert_true(model_write_random(path, &d, 1, TENSOR_F16, &err) != STATUS_OK);
    d = fixture_description();
    d.special.start = 5;
    assert_true(model_write_random(path, &d, 1, TENSOR_F16, &err) != STATUS_OK);
    d = fixture_description();
    d.n_mels = 81;
    assert_true(model_write_random(path, &d, 1, TENSOR_F16, &err) != STATUS_OK);
    assert_int_not_equal(access(path, F_OK), 0);
}

static enum status fill_fails(void *context, uint32_t index, const struct tensor_spec *spec,
                              uint64_t first, float *dst, size_t n, struct error *err)
{
    (void)context;
    (void)spec;
    (void)first;
    memset(dst, 0, n * sizeof(float));
    return index < 30 ? STATUS_OK : error_set(err, STATUS_IO, "the source broke");
}

static void a_failed_write_leaves_the_old_file_and_nothing_else(void **state)
{
    size_t n, n2;
    const char *path = fixture_write(*state, "m.gguf", TENSOR_F16);
    uint8_t *before = fixture_read_file(path, &n);
    struct model_source source = {.description = fixture_description(), .fill = fill_fails};
    struct token_text *tokens = calloc(1908, sizeof(*tokens));
    for (int i = 0; i < 1908; i++)
        tokens[i] = (struct token_text){(const uint8_t *)"x", 1};
    struct error err = {0};
    source.tokens = tokens;
    assert_int_equal(model_write(path, &source, TENSOR_F16, &err), STATUS_IO);
    assert_string_equal(err.text, "the source broke");
    uint8_t *after = fixture_read_file(path, &n2);
    assert_int_equal(n, n2);
    assert_memory_equal(before, after, n);
    assert_int_not_equal(access(support_format("%s.tmp-%ld", path, (long)getpid()), F_OK), 0);
    assert_int_equal(
        model_write(support_format("%s/no/such", (char *)*state), &source, TENSOR_F16, &err),
        STATUS_IO);
    free(before);
    free(after);
    free(tokens);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(the_description_comes_back),
        IN_FOLDER(tokens_come_back_as_bytes),
        IN_FOLDER(three_types_hold_the_same_weights),
        IN_FOLDER(convolutions_stay_f16_under_q8_0),
        IN_FOLDER(only_what_decoder_rows_are_multiplied_with_is_q4_0),
        IN_FOLDER(blocks_may_lie_in_two_pieces),
        IN_FOLDER(the_first_failed_lookup_sticks),
        IN_FOLDER(parts_equal_the_whole),
        IN_FOLDER(a_flipped_byte_is_noticed),
        IN_FOLDER(a_truncated_file_is_refused_when_opened),
        IN_FOLDER(files_of_another_kind_are_named),
        IN_FOLDER(random_models_are_the_same_every_time),
        IN_FOLDER(a_contradicting_description_is_not_written),
        IN_FOLDER(a_failed_write_leaves_the_old_file_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
