/* Equality with tiktoken, for both vocabularies and every character. Needs the models (make models)
 * and tools/python_deps.sh, which it runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "../support/support.h"
#include "model/model.h"
#include "text/text_int.h"

enum { TEXTS = 3000, IDS_MAX = 1 << 16 };

static char *folder;

static int open_folder(void **state)
{
    (void)state;
    folder = support_temp_new();
    return system("tools/python_deps.sh >&2");
}

static int close_folder(void **state)
{
    (void)state;
    support_temp_free(folder);
    return 0;
}

static void run(const char *command)
{
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

static uint8_t *load(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *n = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(*n + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *n, file), *n);
    fclose(file);
    return data;
}

static struct tokenizer *open_tokenizer(const char *file)
{
    struct error err = {0};
    struct model *model = NULL;
    struct tokenizer *tokenizer = NULL;
    assert_ok(model_open(support_model(file), &model, &err), &err);
    assert_ok(tokenizer_new_from_model(model, &tokenizer, &err), &err);
    model_close(&model);
    return tokenizer;
}

static void write_vocabulary(const struct tokenizer *tokenizer, const char *path)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int32_t id = 0; id < tokenizer_special(tokenizer)->end; id++) {
        size_t n = 0;
        const uint8_t *bytes = tokenizer_bytes(tokenizer, id, &n);
        uint32_t length = (uint32_t)n;
        assert_int_equal(fwrite(&length, sizeof(length), 1, file), 1);
        assert_int_equal(fwrite(bytes, 1, n, file), n);
    }
    assert_int_equal(fclose(file), 0);
}

static uint32_t take_u32(const uint8_t **at)
{
    uint32_t value = 0;
    memcpy(&value, *at, sizeof(value));
    *at += sizeof(value);
    return value;
}

/* One expected case: same ids, and the ids give the text back. */
static void check_case(const struct tokenizer *tokenizer, const uint8_t *text, uint32_t n_text,
                       const uint8_t *expected, uint32_t n_expected)
{
    static int32_t ids[IDS_MAX];
    static uint8_t back[IDS_MAX];
    struct error err = {0};
    struct token_list list = {.ids = ids, .max = IDS_MAX};
    struct text_buffer buffer = {.bytes = back, .max = IDS_MAX};
    assert_ok(tokenizer_encode(tokenizer, text, n_text, &list, &err), &err);
    if (list.n != n_expected || memcmp(ids, expected, 4 * (size_t)n_expected) != 0)
        fail_msg("other ids than tiktoken for: %.*s", (int)n_text, text);
    assert_ok(tokenizer_decode(tokenizer, ids, list.n, &buffer, &err), &err);
    assert_int_equal(buffer.n, n_text);
    assert_memory_equal(back, text, n_text);
}

static void compare(const char *model, int seed)
{
    struct tokenizer *tokenizer = open_tokenizer(model);
    const char *vocabulary = support_format("%s/vocabulary", folder);
    const char *cases = support_format("%s/cases", folder);
    write_vocabulary(tokenizer, vocabulary);
    run(support_format("/usr/bin/python3 tests/reference/tiktoken_check.py strings %s %s %d %d",
                       vocabulary, cases, TEXTS, seed));
    size_t n = 0, n_cases = 0;
    uint8_t *data = load(cases, &n);
    for (const uint8_t *at = data; at < data + n; n_cases++) {
        uint32_t n_text = take_u32(&at);
        const uint8_t *text = at;
        at += n_text;
        uint32_t n_ids = take_u32(&at);
        check_case(tokenizer, text, n_text, at, n_ids);
        at += 4 * (size_t)n_ids;
    }
    assert_true(n_cases > TEXTS);
    free(data);
    tokenizer_free(&tokenizer);
}

static void multilingual_ids_equal_tiktoken(void **state)
{
    (void)state;
    compare("whisper-base.gguf", 1);
}

static void english_ids_equal_tiktoken(void **state)
{
    (void)state;
    compare("whisper-tiny.en.gguf", 2);
}

static bool one_piece(const char *before, uint32_t code, const char *after)
{
    uint8_t text[16];
    size_t n = strlen(before);
    memcpy(text, before, n);
    n += (size_t)utf8proc_encode_char((utf8proc_int32_t)code, text + n);
    memcpy(text + n, after, strlen(after));
    n += strlen(after);
    return split_piece(text, n, 0) == n;
}

static char class_of_code(uint32_t code)
{
    bool letter = one_piece("a", code, ""), number = one_piece("1", code, "");
    bool space = one_piece("\n", code, ""), mark = one_piece("!", code, "");
    assert_int_equal(letter + number + space + mark, 1);
    return letter ? 'L' : number ? 'N' : space ? 'S' : 'M';
}

/* Characters that utf8proc's Unicode version does not know yet may differ, no others. */
static void every_character_has_tiktokens_class(void **state)
{
    (void)state;
    const char *path = support_format("%s/classes", folder);
    run(support_format("/usr/bin/python3 tests/reference/tiktoken_check.py classes %s", path));
    size_t n = 0, n_compared = 0;
    uint8_t *expected = load(path, &n);
    assert_int_equal(n, 0x110000);
    for (uint32_t code = 0; code < 0x110000; code++) {
        bool unknown = utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_CN;
        if (expected[code] == 0 || unknown)
            continue;
        n_compared++;
        if (class_of_code(code) != (char)expected[code])
            fail_msg("U+%04X is %c here and %c there", code, class_of_code(code), expected[code]);
    }
    assert_true(n_compared > 280000);
    free(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multilingual_ids_equal_tiktoken),
        cmocka_unit_test(english_ids_equal_tiktoken),
        cmocka_unit_test(every_character_has_tiktokens_class),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
