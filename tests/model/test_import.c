#include "../support/foreign_model.h"
#include "../support/model_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/import_int.h"

/* One model of ours, its files in the three foreign forms, and a folder to write to. */
struct fixture {
    char *folder;
    struct model *model;
    const char *path;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct error err = {0};
    f->folder = support_temp_new();
    f->path = strdup(fixture_write(f->folder, "ours.gguf", TENSOR_F16));
    assert_ok(model_open(f->path, &f->model, &err), &err);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    model_close(&f->model);
    support_temp_free(f->folder);
    free((void *)f->path);
    free(f);
    return 0;
}

static void save(const struct fixture *f, const char *name, struct bytes *b)
{
    fixture_write_file(support_format("%s/%s", f->folder, name), b->data, b->n);
    bytes_release(b);
}

static void save_ct2(const struct fixture *f, enum foreign_numbers numbers)
{
    struct bytes b = {0};
    foreign_ct2(f->model, numbers, &b);
    save(f, "model.bin", &b);
    foreign_vocabulary_txt(f->model, &b);
    save(f, "vocabulary.txt", &b);
}

static void save_hf(const struct fixture *f, enum foreign_numbers numbers)
{
    struct bytes b = {0};
    foreign_safetensors(f->model, numbers, 0, 1, &b, NULL);
    save(f, "model.safetensors", &b);
    foreign_vocab_json(f->model, &b);
    save(f, "vocab.json", &b);
    foreign_added_tokens(f->model, &b);
    save(f, "added_tokens.json", &b);
    foreign_hf_config(f->model, &b);
    save(f, "config.json", &b);
}

static void save_text(const struct fixture *f, const char *name, const char *text)
{
    fixture_write_file(support_format("%s/%s", f->folder, name), text, strlen(text));
}

/* The import, written as f16, must be our file again, byte for byte. */
static void expect_same_file(const struct fixture *f, const char *input, const char *kind)
{
    struct import *import = NULL;
    struct error err = {0};
    const char *out = support_format("%s/again.gguf", f->folder);
    size_t n, n2;
    assert_ok(import_open(input, &import, &err), &err);
    assert_string_equal(import_kind(import), kind);
    assert_ok(model_write(out, import_source(import), TENSOR_F16, &err), &err);
    import_close(&import);
    assert_null(import);
    uint8_t *a = fixture_read_file(f->path, &n), *b = fixture_read_file(out, &n2);
    assert_int_equal(n, n2);
    assert_memory_equal(a, b, n);
    free(a);
    free(b);
}

static void expect_refusal(const char *input, enum status wanted, const char *text)
{
    struct import *import = NULL;
    struct error err = {0};
    enum status st = import_open(input, &import, &err);
    assert_null(import);
    if (st != wanted || !strstr(err.text, text))
        fail_msg("%s: '%s' instead of %s with '%s'", status_text(st), err.text, status_text(wanted),
                 text);
}

static void ct2_gives_our_file(void **state)
{
    struct fixture *f = *state;
    save_ct2(f, FOREIGN_F32);
    expect_same_file(f, f->folder, "CTranslate2");
    save_ct2(f, FOREIGN_F16);
    expect_same_file(f, f->folder, "CTranslate2");
}

static void ct2_in_parts_gives_our_file(void **state)
{
    struct fixture *f = *state;
    struct bytes b = {0};
    foreign_ct2(f->model, FOREIGN_F16, &b);
    fixture_write_file(support_format("%s/model.bin.part1", f->folder), b.data, 12345);
    fixture_write_file(support_format("%s/model.bin.part2", f->folder), b.data + 12345, 1);
    fixture_write_file(support_format("%s/model.bin.part3", f->folder), b.data + 12346,
                       b.n - 12346);
    bytes_release(&b);
    foreign_vocabulary_txt(f->model, &b);
    save(f, "vocabulary.txt", &b);
    expect_same_file(f, f->folder, "CTranslate2");
}

static void ct2_vocabulary_may_be_json(void **state)
{
    struct fixture *f = *state;
    struct bytes text = {0};
    save_ct2(f, FOREIGN_F16);
    foreign_vocabulary_txt(f->model, &text);
    bytes_put(&text, "", 1);
    cJSON *list = cJSON_CreateArray();
    for (char *p = (char *)text.data, *end; (end = strchr(p, '\n')); p = end + 1) {
        *end = '\0';
        cJSON_AddItemToArray(list, cJSON_CreateString(p));
    }
    char *json = cJSON_PrintUnformatted(list);
    save_text(f, "vocabulary.json", json);
    save_text(f, "vocabulary.txt", "not read\n");
    expect_same_file(f, f->folder, "CTranslate2");
    free(json);
    cJSON_Delete(list);
    bytes_release(&text);
}

static void ct2_lists_come_from_the_config(void **state)
{
    struct fixture *f = *state;
    struct import *import = NULL;
    struct error err = {0};
    save_ct2(f, FOREIGN_F16);
    save_text(f, "config.json",
              "{\"suppress_ids\": [3, 1907], \"suppress_ids_begin\": [220, 300],"
              " \"alignment_heads\": [[0, 1]], \"lang_ids\": []}");
    assert_ok(import_open(f->folder, &import, &err), &err);
    const struct model_source *s = import_source(import);
    assert_int_equal(s->description.n_suppress, 2);
    assert_int_equal(s->description.suppress[1], 1907);
    assert_int_equal(s->description.suppress_first[1], 300);
    assert_int_equal(s->n_alignment_heads, 1);
    assert_int_equal(s->alignment_heads[1], 1);
    import_close(&import);
    save_text(f, "config.json", "{\"suppress_ids\": [3, -1]}");
    expect_refusal(f->folder, STATUS_CORRUPT, "suppress_ids");
    save_text(f, "config.json", "{\"suppress_ids\": [2000]}");
    expect_refusal(f->folder, STATUS_CORRUPT, "not in the vocabulary");
    save_text(f, "config.json", "{");
    expect_refusal(f->folder, STATUS_CORRUPT, "config.json");
}

static void hf_gives_our_file(void **state)
{
    struct fixture *f = *state;
    save_hf(f, FOREIGN_F32);
    expect_same_file(f, f->folder, "Hugging Face");
    save_hf(f, FOREIGN_F16);
    expect_same_file(f, f->folder, "Hugging Face");
}

static void hf_may_be_in_shards_with_a_tokenizer_json(void **state)
{
    struct fixture *f = *state;
    struct bytes b = {0}, vocabulary = {0}, index = {0};
    bytes_put(&index, "{\"weight_map\": {", 16);
    for (uint32_t shard = 0; shard < 3; shard++) {
        struct bytes names = {0};
        foreign_safetensors(f->model, FOREIGN_F16, shard, 3, &b, &names);
        save(f, support_format("model-%u.safetensors", shard), &b);
        bytes_put(&names, "", 1);
        for (char *p = (char *)names.data, *end; (end = strchr(p, '\n')); p = end + 1) {
            const char *entry = support_format("%s\"%.*s\": \"model-%u.safetensors\"",
                                               index.n > 16 ? "," : "", (int)(end - p), p, shard);
            bytes_put(&index, entry, strlen(entry));
        }
        bytes_release(&names);
    }
    bytes_put(&index, "}}", 2);
    save(f, "model.safetensors.index.json", &index);
    foreign_hf_config(f->model, &b);
    save(f, "config.json", &b);
    foreign_vocab_json(f->model, &vocabulary);
    bytes_put(&b, "{\"model\": {\"vocab\": ", 20);
    bytes_put(&b, vocabulary.data, vocabulary.n);
    const char *rest = "}, \"added_tokens\": [{\"id\": 300, \"content\": \"<|endoftext|>\"},"
                       "{\"id\": 405, \"content\": \"<|nocaptions|>\"}]}";
    bytes_put(&b, rest, strlen(rest));
    bytes_release(&vocabulary);
    save(f, "tokenizer.json", &b);
    expect_same_file(f, f->folder, "Hugging Face");
}

static void ggml_gives_our_file(void **state)
{
    struct fixture *f = *state;
    struct bytes b = {0};
    foreign_ggml(f->model, FOREIGN_F32, &b);
    save(f, "ggml.bin", &b);
    expect_same_file(f, support_format("%s/ggml.bin", f->folder), "whisper.cpp");
    foreign_ggml(f->model, FOREIGN_F16, &b);
    save(f, "ggml.bin", &b);
    expect_same_file(f, support_format("%s/ggml.bin", f->folder), "whisper.cpp");
}

/* Cut anywhere, a source is refused; nothing is read past its end and nothing leaks. */
static void truncated_sources_are_refused(void **state)
{
    struct fixture *f = *state;
    struct bytes b[3] = {{0}, {0}, {0}};
    save_ct2(f, FOREIGN_F16);
    foreign_ct2(f->model, FOREIGN_F16, &b[0]);
    foreign_ggml(f->model, FOREIGN_F16, &b[1]);
    for (int i = 0; i < 60; i++) {
        size_t keep[2];
        for (int k = 0; k < 2; k++) {
            size_t n = b[k].n - 1 - (size_t)i * (b[k].n - 1) / 60;
            keep[k] = i < 40 ? n : (size_t)(60 - i) * 3;
        }
        fixture_write_file(support_format("%s/model.bin", f->folder), b[0].data, keep[0]);
        expect_refusal(f->folder, STATUS_CORRUPT, "");
        fixture_write_file(support_format("%s/g.bin", f->folder), b[1].data, MAX(keep[1], 4u));
        expect_refusal(support_format("%s/g.bin", f->folder), STATUS_CORRUPT, "");
    }
    save_hf(f, FOREIGN_F16);
    foreign_safetensors(f->model, FOREIGN_F16, 0, 1, &b[2], NULL);
    for (int i = 0; i < 30; i++) {
        size_t n = i < 10 ? (size_t)i : b[2].n - 1 - (size_t)(i - 10) * (b[2].n - 1) / 20;
        fixture_write_file(support_format("%s/model.safetensors", f->folder), b[2].data, n);
        expect_refusal(f->folder, STATUS_CORRUPT, "");
    }
    for (int k = 0; k < 3; k++)
        bytes_release(&b[k]);
}

static void another_vocabulary_is_a_mismatch(void **state)
{
    struct fixture *f = *state;
    struct bytes b = {0};
    save_ct2(f, FOREIGN_F16);
    foreign_vocabulary_txt(f->model, &b);
    b.n -= 10; /* without <|30.00|> */
    fixture_write_file(support_format("%s/vocabulary.txt", f->folder), b.data, b.n);
    expect_refusal(f->folder, STATUS_MISMATCH, "1907 tokens");
    b.n += 10;
    char *at = strstr((char *)b.data, "<|translate|>");
    memcpy(at, "<|somethin|>", 12);
    fixture_write_file(support_format("%s/vocabulary.txt", f->folder), b.data, b.n);
    expect_refusal(f->folder, STATUS_MISMATCH, "<|translate|>");
    bytes_release(&b);
    remove(support_format("%s/vocabulary.txt", f->folder));
    expect_refusal(f->folder, STATUS_NOT_FOUND, "vocabulary");
}

static void a_key_bias_is_not_dropped_silently(void **state)
{
    struct fixture *f = *state;
    struct bytes b = {0};
    save_ct2(f, FOREIGN_F32);
    foreign_ct2(f->model, FOREIGN_F32, &b);
    static const char name[] = "encoder/layer_1/self_attention/linear_0/bias";
    uint8_t *at = memmem(b.data, b.n, name, sizeof(name));
    assert_non_null(at);
    at += sizeof(name) + 1 + 4 + 1 + 4 + 64 * 4 + 37 * 4; /* an element of the key's part */
    memcpy(at, "\0\0\x80\x3F", 4);
    save(f, "model.bin", &b);
    expect_refusal(f->folder, STATUS_UNSUPPORTED, "key bias");
}

static void other_inputs_are_named(void **state)
{
    struct fixture *f = *state;
    const char *file = support_format("%s/x", f->folder);
    expect_refusal(support_format("%s/absent", f->folder), STATUS_NOT_FOUND, "absent");
    expect_refusal(f->folder, STATUS_UNSUPPORTED, "neither model.bin");
    expect_refusal(f->path, STATUS_UNSUPPORTED, "GGUF file already");
    save_text(f, "x", "");
    expect_refusal(file, STATUS_CORRUPT, "empty");
    save_text(f, "x", "Call me Ishmael.\n");
    expect_refusal(file, STATUS_UNSUPPORTED, "not a model");
    fixture_write_file(file, "\6\0\0\0\14\0WhisperSpec", 17);
    expect_refusal(file, STATUS_UNSUPPORTED, "folder");
    save_text(f, "pytorch_model.bin", "x");
    expect_refusal(f->folder, STATUS_UNSUPPORTED, "safetensors");
}

static void quantised_sources_are_refused_clearly(void **state)
{
    struct fixture *f = *state;
    struct bytes b = {0};
    foreign_ggml(f->model, FOREIGN_F16, &b);
    static const char name[] = "encoder.blocks.0.mlp.0.weight";
    uint8_t *at = memmem(b.data, b.n, name, sizeof(name) - 1);
    assert_non_null(at);
    at[-12] = 6; /* its type: q5_0 */
    save(f, "g.bin", &b);
    expect_refusal(support_format("%s/g.bin", f->folder), STATUS_UNSUPPORTED, "ggml type 6");
}

int main(void)
{
#define WITH_MODEL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_MODEL(ct2_gives_our_file),
        WITH_MODEL(ct2_in_parts_gives_our_file),
        WITH_MODEL(ct2_vocabulary_may_be_json),
        WITH_MODEL(ct2_lists_come_from_the_config),
        WITH_MODEL(hf_gives_our_file),
        WITH_MODEL(hf_may_be_in_shards_with_a_tokenizer_json),
        WITH_MODEL(ggml_gives_our_file),
        WITH_MODEL(truncated_sources_are_refused),
        WITH_MODEL(another_vocabulary_is_a_mismatch),
        WITH_MODEL(a_key_bias_is_not_dropped_silently),
        WITH_MODEL(other_inputs_are_named),
        WITH_MODEL(quantised_sources_are_refused_clearly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
