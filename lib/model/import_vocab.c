#include <stdlib.h>
#include <string.h>

#include "model/byte_unicode.h"
#include "model/import_int.h"

enum status vocabulary_init(struct vocabulary *v, uint32_t n, struct error *err)
{
    if (n < 1 || n > 1u << 20)
        return error_set(err, STATUS_CORRUPT, "a vocabulary of %u tokens is out of range", n);
    v->tokens = calloc(n, sizeof(*v->tokens));
    if (!v->tokens)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the vocabulary");
    v->n = n;
    return STATUS_OK;
}

void vocabulary_release(struct vocabulary *v)
{
    for (uint32_t i = 0; i < v->n; i++)
        free((void *)v->tokens[i].bytes);
    free(v->tokens);
    *v = (struct vocabulary){0};
}

/* Takes `bytes` (heap). */
static enum status set_owned(struct vocabulary *v, int64_t id, uint8_t *bytes, size_t n,
                             struct error *err)
{
    if (id < 0 || id >= (int64_t)v->n) {
        free(bytes);
        return error_set(err, STATUS_CORRUPT, "token id %lld is outside the vocabulary of %u",
                         (long long)id, v->n);
    }
    free((void *)v->tokens[id].bytes);
    v->tokens[id] = (struct token_text){bytes, n};
    return STATUS_OK;
}

enum status vocabulary_set(struct vocabulary *v, int64_t id, const void *bytes, size_t n,
                           struct error *err)
{
    uint8_t *copy = malloc(n + 1);
    if (!copy)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the vocabulary");
    memcpy(copy, bytes, n);
    return set_owned(v, id, copy, n, err);
}

enum status vocabulary_set_printable(struct vocabulary *v, int64_t id, const char *text, size_t n,
                                     struct error *err)
{
    uint8_t *copy = malloc(n + 1);
    size_t n_bytes = 0;
    if (!copy)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the vocabulary");
    if (!byte_unicode_decode(text, n, copy, &n_bytes)) {
        free(copy);
        return error_set(err, STATUS_CORRUPT,
                         "token %lld is not written in GPT-2's byte characters", (long long)id);
    }
    return set_owned(v, id, copy, n_bytes, err);
}

enum status vocabulary_set_map(struct vocabulary *v, const cJSON *map, int64_t end,
                               struct error *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, map) {
        if (!item->string || !cJSON_IsNumber(item))
            return error_set(err, STATUS_CORRUPT, "the vocabulary is no map from token to id");
        int64_t id = item->valueint; /* saturates */
        if (id >= end)
            continue;
        enum status st = vocabulary_set_printable(v, id, item->string, strlen(item->string), err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

/* Other spellings of a special token in circulating files. */
static bool same_special(const char *expected, const struct token_text *given)
{
    static const char *const aliases[][2] = {
        {"<|nospeech|>", "<|nocaptions|>"},
        {"<|he|>", "<|iw|>"},
        {"<|jw|>", "<|jv|>"},
    };
    if (given->n_bytes == strlen(expected) && memcmp(given->bytes, expected, given->n_bytes) == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
        if (strcmp(expected, aliases[i][0]) == 0 && given->n_bytes == strlen(aliases[i][1]) &&
            memcmp(given->bytes, aliases[i][1], given->n_bytes) == 0)
            return true;
    return false;
}

/* Special tokens get their one text here, whatever spelling the source had, so that equal
 * vocabularies have equal hashes. */
static enum status set_special(struct vocabulary *v, const struct model_description *d, int32_t id,
                               struct error *err)
{
    char text[WHISPER_SPECIAL_TEXT_MAX];
    bool special = whisper_special_text(d, id, text);
    SA_ASSERT(special);
    const struct token_text *given = &v->tokens[id];
    if (given->bytes && !same_special(text, given))
        return error_set(
            err, STATUS_MISMATCH,
            "token %d is '%.*s' where Whisper's order has %s: not a Whisper vocabulary", id,
            (int)MIN(given->n_bytes, 40), (const char *)given->bytes, text);
    return vocabulary_set(v, id, text, strlen(text), err);
}

enum status import_finish_vocabulary(struct import *import, int32_t end, struct error *err)
{
    struct model_description *d = &import->source.description;
    struct vocabulary *v = &import->vocabulary;
    enum status st = whisper_layout(d, end, err);
    if (st != STATUS_OK)
        return st;
    for (int32_t id = 0; id < end; id++)
        if (!v->tokens[id].bytes)
            return error_set(err, STATUS_CORRUPT, "the vocabulary has no token %d", id);
    for (int32_t id = end; id < (int32_t)v->n; id++) {
        st = set_special(v, d, id, err);
        if (st != STATUS_OK)
            return st;
    }
    import->source.tokens = v->tokens;
    if (d->n_suppress == 0 && d->n_suppress_first == 0)
        whisper_default_suppress(d, v->tokens);
    whisper_guess_name(d);
    return STATUS_OK;
}
