/* The packaged models as `make models` leaves them. */
#include "../support/model_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/resolve.h"
#include "model/whisper.h"

static struct model *open_cached(const char *file)
{
    struct model *model = NULL;
    struct error err = {0};
    assert_ok(model_open(support_model(file), &model, &err), &err);
    return model;
}

static void expect_token(const struct model *model, int32_t id, const char *text)
{
    size_t n;
    const uint8_t *bytes = model_token(model, id, &n);
    if (n != strlen(text) || memcmp(bytes, text, n) != 0)
        fail_msg("token %d is '%.*s', not '%s'", id, (int)n, (const char *)bytes, text);
}

static void base_is_as_published(void **state)
{
    (void)state;
    struct model *model = open_cached("whisper-base.gguf");
    const struct model_description *d = model_describe(model);
    assert_string_equal(d->name, "whisper-base");
    assert_true(d->multilingual);
    assert_int_equal(d->n_vocab, 51865);
    assert_int_equal(d->n_mels, 80);
    assert_int_equal(d->encoder.n_layers, 6);
    assert_int_equal(d->decoder.n_layers, 6);
    assert_int_equal(d->decoder.n_heads, 8);
    assert_int_equal(d->encoder.n_positions, 1500);
    assert_int_equal(d->decoder.n_positions, 448);
    assert_int_equal(d->special.end, 50257);
    assert_int_equal(d->special.language_begin, 50259);
    assert_int_equal(d->special.no_timestamps, 50363);
    assert_int_equal(d->special.timestamp_begin, 50364);
    assert_int_equal(d->n_suppress, 88);
    assert_int_equal(d->suppress_first[0], 220);
    assert_int_equal(d->suppress_first[1], 50257);
    expect_token(model, 220, " ");
    expect_token(model, 264, " the");
    expect_token(model, 50256, "");
    expect_token(model, 50357, "<|su|>");
    expect_token(model, 50362, "<|nospeech|>");
    expect_token(model, 51864, "<|30.00|>");
    model_close(&model);
}

static void tiny_en_is_as_published(void **state)
{
    (void)state;
    struct model *model = open_cached("whisper-tiny.en.gguf");
    const struct model_description *d = model_describe(model);
    assert_string_equal(d->name, "whisper-tiny.en");
    assert_false(d->multilingual);
    assert_int_equal(d->n_vocab, 51864);
    assert_int_equal(d->special.end, 50256);
    assert_int_equal(d->special.start, 50257);
    assert_int_equal(d->special.timestamp_begin, 50363);
    assert_int_equal(d->n_suppress, 90);
    expect_token(model, 262, " the");
    expect_token(model, 50278, "<|he|>");
    expect_token(model, 51863, "<|30.00|>");
    model_close(&model);
}

/* The list that we would make for a source without one is the list that these bring. */
static void default_suppress_lists_equal_the_published_ones(void **state)
{
    (void)state;
    static const char *const files[] = {"whisper-base.gguf", "whisper-tiny.en.gguf"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct model *model = open_cached(files[i]);
        const struct model_description *d = model_describe(model);
        struct model_description made = *d;
        struct token_text *tokens = calloc(d->n_vocab, sizeof(*tokens));
        for (uint32_t id = 0; id < d->n_vocab; id++)
            tokens[id].bytes = model_token(model, (int32_t)id, &tokens[id].n_bytes);
        whisper_default_suppress(&made, tokens);
        for (uint32_t k = 0; k < MIN(made.n_suppress, d->n_suppress); k++)
            if (made.suppress[k] != d->suppress[k])
                fail_msg("%s: entry %u is %d, not %d", files[i], k, made.suppress[k],
                         d->suppress[k]);
        assert_int_equal(made.n_suppress, d->n_suppress);
        assert_int_equal(made.n_suppress_first, d->n_suppress_first);
        assert_memory_equal(made.suppress_first, d->suppress_first, 2 * sizeof(int32_t));
        free(tokens);
        model_close(&model);
    }
}

static void hashes_tell_vocabularies_and_files_apart(void **state)
{
    (void)state;
    struct model *base = open_cached("whisper-base.gguf");
    struct model *q8 = open_cached("whisper-base-q8_0.gguf");
    struct model *tiny = open_cached("whisper-tiny.en.gguf");
    struct error err = {0};
    assert_true(model_vocabulary_hash(base) == model_vocabulary_hash(q8));
    assert_true(model_vocabulary_hash(base) != model_vocabulary_hash(tiny));
    assert_true(model_fingerprint(base) != model_fingerprint(q8));
    assert_ok(model_verify(base, &err), &err);
    assert_ok(model_verify(q8, &err), &err);
    assert_ok(model_verify(tiny, &err), &err);
    model_close(&base);
    model_close(&q8);
    model_close(&tiny);
}

/* A variable of CTranslate2's model.bin by its name: what follows name, rank and shape, type and
 * size. */
static const uint8_t *variable(const uint8_t *bytes, size_t n, const char *name, size_t n_dims)
{
    const uint8_t *at = memmem(bytes, n, name, strlen(name) + 1);
    assert_non_null(at);
    return at + strlen(name) + 1 + 1 + 4 * n_dims + 1 + 4;
}

static void expect_tensor(const struct model *model, const char *name, const uint8_t *expected,
                          size_t n_bytes)
{
    struct error err = {0};
    uint8_t *bytes = malloc(n_bytes);
    assert_ok(model_read(model, name, 0, bytes, n_bytes, &err), &err);
    assert_memory_equal(bytes, expected, n_bytes);
    free(bytes);
}

static void matrices_are_the_bits_of_the_source(void **state)
{
    (void)state;
    char path[MODEL_PATH_MAX];
    size_t n, square = 512 * 512 * 2;
    struct error err = {0};
    assert_ok(model_cache_folder(path, sizeof(path), &err), &err);
    const char *file = support_format("%s/sources/base/model.bin", path);
    if (access(file, R_OK) != 0) {
        print_message("%s is not kept on this machine\n", file);
        skip();
    }
    uint8_t *bytes = fixture_read_file(file, &n);
    struct model *model = open_cached("whisper-base.gguf");
    const uint8_t *kv = variable(bytes, n, "decoder/layer_3/attention/linear_1/weight", 2);
    expect_tensor(model, "decoder.blk.3.cross_k.weight", kv, square);
    expect_tensor(model, "decoder.blk.3.cross_v.weight", kv + square, square);
    const uint8_t *qkv = variable(bytes, n, "encoder/layer_5/self_attention/linear_0/weight", 2);
    expect_tensor(model, "encoder.blk.5.attn_q.weight", qkv, square);
    expect_tensor(model, "encoder.blk.5.attn_k.weight", qkv + square, square);
    expect_tensor(model, "encoder.blk.5.attn_v.weight", qkv + 2 * square, square);
    expect_tensor(model, "decoder.token_embd.weight",
                  variable(bytes, n, "decoder/embeddings/weight", 2), (size_t)51865 * 512 * 2);
    expect_tensor(model, "encoder.conv1.weight", variable(bytes, n, "encoder/conv1/weight", 3),
                  512 * 80 * 3 * 2);
    model_close(&model);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base_is_as_published),
        cmocka_unit_test(tiny_en_is_as_published),
        cmocka_unit_test(default_suppress_lists_equal_the_published_ones),
        cmocka_unit_test(hashes_tell_vocabularies_and_files_apart),
        cmocka_unit_test(matrices_are_the_bits_of_the_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
