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
        int64_t id = item->valueint;     /* saturates */
        if (id >= end)
            continue;
        enum status st = vocabulary_set_printable(v, id, item->string, strlen(item->string), err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
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
        char text[WHISPER_SPECIAL_TEXT_MAX];
        bool special = whisper_special_text(d, id, text);
        SA_ASSERT(special);
        st = vocabulary_set(v, id, text, strlen(text), err);
        if (st != STATUS_OK)
            return st;
    }
    import->source.tokens = v->tokens;
    if (d->n_suppress == 0 && d->n_suppress_first == 0)
        whisper_default_suppress(d, v->tokens);
    whisper_guess_name(d);
    return STATUS_OK;
}
