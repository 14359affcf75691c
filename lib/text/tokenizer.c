/* tokenizer.c: the vocabulary: made, checked, looked up, decoded. encode.c has the merging. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "text/text_int.h"

int32_t token_find(const struct tokenizer *tokenizer, const uint8_t *bytes, size_t n)
{
    if (n == 0 || n > tokenizer->longest)
        return -1;
    if (n == 1)
        return tokenizer->byte_tokens[bytes[0]];
    uint64_t hash = XXH3_64bits(bytes, n);
    uint32_t tag = (uint32_t)(hash >> 32);
    for (uint32_t at = (uint32_t)hash & tokenizer->slot_mask;;
         at = (at + 1) & tokenizer->slot_mask) {
        const struct token_slot *slot = &tokenizer->slots[at];
        if (slot->id < 0)
            return -1;
        uint32_t offset = tokenizer->offsets[slot->id];
        if (slot->tag == tag && tokenizer->offsets[slot->id + 1] - offset == n &&
            memcmp(tokenizer->bytes + offset, bytes, n) == 0)
            return slot->id;
    }
}

static enum status check_special(const struct tokenizer_source *source, struct error *err)
{
    const struct special_tokens *s = &source->special;
    const int32_t ids[] = {s->start,     s->translate,     s->transcribe,      s->previous,
                           s->no_speech, s->no_timestamps, s->timestamp_begin, s->language_begin};
    int32_t n_tokens = (int32_t)source->n_tokens;
    if (s->end < 256 || s->end >= n_tokens)
        return error_set(err, STATUS_CORRUPT, "vocabulary: end token %d of %d tokens cannot be",
                         s->end, n_tokens);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        if (ids[i] != -1 && (ids[i] < s->end || ids[i] >= n_tokens))
            return error_set(err, STATUS_CORRUPT,
                             "vocabulary: special token %d is outside %d..%d", ids[i], s->end,
                             n_tokens - 1);
    }
    if (s->timestamp_begin >= 0 && n_tokens - s->timestamp_begin <= TIMESTAMP_STEPS_MAX)
        return error_set(err, STATUS_CORRUPT, "vocabulary: %d timestamp tokens, %d are needed",
                         n_tokens - s->timestamp_begin, TIMESTAMP_STEPS_MAX + 1);
    return STATUS_OK;
}

static enum status check_languages(const struct tokenizer_source *source, struct error *err)
{
    if (source->n_languages > MODEL_LANGUAGES_MAX)
        return error_set(err, STATUS_CORRUPT, "vocabulary: %u languages, at most %d are possible",
                         source->n_languages, MODEL_LANGUAGES_MAX);
    int32_t begin = source->special.language_begin;
    if (source->n_languages > 0 &&
        (begin < 0 || source->n_languages > source->n_tokens - (uint32_t)begin))
        return error_set(err, STATUS_CORRUPT, "vocabulary: languages without tokens");
    for (uint32_t i = 0; i < source->n_languages; i++) {
        if (!memchr(source->languages[i], '\0', sizeof(source->languages[i])))
            return error_set(err, STATUS_CORRUPT, "vocabulary: language %u has no end", i);
    }
    return STATUS_OK;
}

static enum status check_source(const struct tokenizer_source *source, struct error *err)
{
    if (source->n_tokens > TOKENIZER_TOKENS_MAX)
        return error_set(err, STATUS_CORRUPT, "vocabulary: %u tokens, at most %d are possible",
                         source->n_tokens, TOKENIZER_TOKENS_MAX);
    for (uint32_t i = 0; i < source->n_tokens; i++) {
        uint32_t from = source->offsets[i], to = source->offsets[i + 1];
        if (to < from || to - from > TOKENIZER_TOKEN_BYTES_MAX)
            return error_set(err, STATUS_CORRUPT, "vocabulary: token %u has a bad length", i);
    }
    enum status status = check_special(source, err);
    return status == STATUS_OK ? check_languages(source, err) : status;
}

static enum status copy_source(struct tokenizer *t, const struct tokenizer_source *source,
                               struct error *err)
{
    uint32_t first = source->offsets[0];
    size_t n_bytes = source->offsets[source->n_tokens] - first;
    t->offsets = malloc((source->n_tokens + 1) * sizeof(*t->offsets));
    t->bytes = malloc(MAX(n_bytes, 1));
    if (!t->offsets || !t->bytes)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for a vocabulary of %u tokens",
                         source->n_tokens);
    for (uint32_t i = 0; i <= source->n_tokens; i++)
        t->offsets[i] = source->offsets[i] - first;
    memcpy(t->bytes, source->bytes + first, n_bytes);
    t->n_tokens = source->n_tokens;
    t->special = source->special;
    t->n_languages = source->n_languages;
    if (source->n_languages > 0)
        memcpy(t->languages, source->languages, source->n_languages * sizeof(t->languages[0]));
    t->hash = source->hash;
    return STATUS_OK;
}

/* From the highest id down, so that of equal bytes the lowest id stays. */
static void insert_tokens(struct tokenizer *t)
{
    for (int32_t id = t->special.end - 1; id >= 0; id--) {
        const uint8_t *bytes = t->bytes + t->offsets[id];
        uint32_t n = t->offsets[id + 1] - t->offsets[id];
        t->longest = MAX(t->longest, n);
        if (n == 0)
            continue;
        if (n == 1) {
            t->byte_tokens[bytes[0]] = id;
            continue;
        }
        uint64_t hash = XXH3_64bits(bytes, n);
        uint32_t at = (uint32_t)hash & t->slot_mask;
        while (t->slots[at].id >= 0 &&
               !(t->offsets[t->slots[at].id + 1] - t->offsets[t->slots[at].id] == n &&
                 memcmp(t->bytes + t->offsets[t->slots[at].id], bytes, n) == 0))
            at = (at + 1) & t->slot_mask;
        t->slots[at] = (struct token_slot){.tag = (uint32_t)(hash >> 32), .id = id};
    }
}

static enum status build_table(struct tokenizer *t, struct error *err)
{
    uint32_t n_slots = 1024;
    while (n_slots < 2 * (uint32_t)t->special.end)
        n_slots *= 2;
    t->slots = malloc(n_slots * sizeof(*t->slots));
    if (!t->slots)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for a token table");
    t->slot_mask = n_slots - 1;
    for (uint32_t i = 0; i < n_slots; i++)
        t->slots[i] = (struct token_slot){.tag = 0, .id = -1};
    for (int i = 0; i < 256; i++)
        t->byte_tokens[i] = -1;
    insert_tokens(t);
    for (int i = 0; i < 256; i++) {
        if (t->byte_tokens[i] < 0)
            return error_set(err, STATUS_CORRUPT, "vocabulary: no token for byte 0x%02x", i);
    }
    return STATUS_OK;
}

enum status tokenizer_new(const struct tokenizer_source *source, struct tokenizer **out,
                          struct error *err)
{
    *out = NULL;
    enum status status = check_source(source, err);
    if (status != STATUS_OK)
        return status;
    struct tokenizer *t = calloc(1, sizeof(*t));
    if (!t)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for a tokenizer");
    status = copy_source(t, source, err);
    if (status == STATUS_OK)
        status = build_table(t, err);
    if (status != STATUS_OK)
        tokenizer_free(&t);
    *out = t;
    return status;
}

/* Puts the tokens of the model end to end; frees nothing, the caller does. */
static enum status gather(const struct model *model, struct tokenizer_source *source,
                          uint32_t **offsets, uint8_t **bytes)
{
    size_t n_bytes = 0, total = 0;
    for (uint32_t i = 0; i < source->n_tokens; i++) {
        model_token(model, (int32_t)i, &n_bytes);
        total += n_bytes;
    }
    *offsets = calloc((size_t)source->n_tokens + 1, sizeof(**offsets));
    *bytes = malloc(MAX(total, 1));
    if (!*offsets || !*bytes || total > UINT32_MAX)
        return STATUS_NO_MEMORY;
    for (uint32_t i = 0; i < source->n_tokens; i++) {
        const uint8_t *token = model_token(model, (int32_t)i, &n_bytes);
        if (n_bytes > 0)
            memcpy(*bytes + (*offsets)[i], token, n_bytes);
        (*offsets)[i + 1] = (*offsets)[i] + (uint32_t)n_bytes;
    }
    source->offsets = *offsets;
    source->bytes = *bytes;
    return STATUS_OK;
}

enum status tokenizer_new_from_model(const struct model *model, struct tokenizer **out,
                                     struct error *err)
{
    const struct model_description *d = model_describe(model);
    struct tokenizer_source source = {
        .n_tokens = d->n_vocab,
        .special = d->special,
        .n_languages = d->n_languages,
        .languages = d->languages,
        .hash = model_vocabulary_hash(model),
    };
    uint32_t *offsets = NULL;
    uint8_t *bytes = NULL;
    *out = NULL;
    enum status status = gather(model, &source, &offsets, &bytes);
    if (status != STATUS_OK)
        error_set(err, status, "out of memory for a vocabulary of %u tokens", d->n_vocab);
    else
        status = tokenizer_new(&source, out, err);
    free(offsets);
    free(bytes);
    return status;
}

void tokenizer_free(struct tokenizer **tokenizer)
{
    struct tokenizer *t = *tokenizer;
    if (t) {
        free(t->offsets);
        free(t->bytes);
        free(t->slots);
        free(t);
    }
    *tokenizer = NULL;
}

void tokenizer_describe(const struct tokenizer *tokenizer, struct tokenizer_source *out)
{
    *out = (struct tokenizer_source){
        .n_tokens = tokenizer->n_tokens,
        .offsets = tokenizer->offsets,
        .bytes = tokenizer->bytes,
        .special = tokenizer->special,
        .n_languages = tokenizer->n_languages,
        .languages = tokenizer->languages,
        .hash = tokenizer->hash,
    };
}

uint32_t tokenizer_n_tokens(const struct tokenizer *tokenizer)
{
    return tokenizer->n_tokens;
}

uint64_t tokenizer_hash(const struct tokenizer *tokenizer)
{
    return tokenizer->hash;
}

const struct special_tokens *tokenizer_special(const struct tokenizer *tokenizer)
{
    return &tokenizer->special;
}

uint32_t tokenizer_longest(const struct tokenizer *tokenizer)
{
    return tokenizer->longest;
}

const uint8_t *tokenizer_bytes(const struct tokenizer *tokenizer, int32_t id, size_t *n_bytes)
{
    SA_ASSERT(id >= 0 && (uint32_t)id < tokenizer->n_tokens);
    *n_bytes = tokenizer->offsets[id + 1] - tokenizer->offsets[id];
    return tokenizer->bytes + tokenizer->offsets[id];
}

bool tokenizer_is_special(const struct tokenizer *tokenizer, int32_t id)
{
    return id >= tokenizer->special.end;
}

static enum status decode(const struct tokenizer *t, const int32_t *ids, uint32_t n, bool shown,
                          struct text_buffer *out)
{
    size_t at = out->n;
    for (uint32_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= t->n_tokens)
            return STATUS_INVALID;
        if (tokenizer_is_special(t, ids[i]) && !shown)
            continue;
        size_t n_bytes = 0;
        const uint8_t *bytes = tokenizer_bytes(t, ids[i], &n_bytes);
        if (n_bytes > out->max - at)
            return STATUS_EXHAUSTED;
        if (n_bytes > 0)
            memcpy(out->bytes + at, bytes, n_bytes);
        at += n_bytes;
    }
    out->n = at;
    return STATUS_OK;
}

static enum status explain(enum status status, const struct text_buffer *out, struct error *err)
{
    if (status == STATUS_INVALID)
        return error_set(err, status, "decode: a token id is outside the vocabulary");
    if (status == STATUS_EXHAUSTED)
        return error_set(err, status, "decode: the text needs more than %zu bytes", out->max);
    return status;
}

enum status tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, uint32_t n,
                             struct text_buffer *out, struct error *err)
{
    return explain(decode(tokenizer, ids, n, false, out), out, err);
}

enum status tokenizer_decode_shown(const struct tokenizer *tokenizer, const int32_t *ids,
                                   uint32_t n, struct text_buffer *out, struct error *err)
{
    return explain(decode(tokenizer, ids, n, true, out), out, err);
}

int32_t tokenizer_language_token(const struct tokenizer *tokenizer, const char *code)
{
    for (uint32_t i = 0; i < tokenizer->n_languages; i++) {
        if (strcmp(tokenizer->languages[i], code) == 0)
            return tokenizer->special.language_begin + (int32_t)i;
    }
    return -1;
}

const char *tokenizer_language_code(const struct tokenizer *tokenizer, int32_t id)
{
    int32_t begin = tokenizer->special.language_begin;
    if (begin < 0 || id < begin || (uint32_t)(id - begin) >= tokenizer->n_languages)
        return NULL;
    return tokenizer->languages[id - begin];
}

int32_t tokenizer_timestamp_token(const struct tokenizer *tokenizer, int32_t steps)
{
    int32_t begin = tokenizer->special.timestamp_begin;
    return begin < 0 || steps < 0 || steps > TIMESTAMP_STEPS_MAX ? -1 : begin + steps;
}

int32_t tokenizer_timestamp_steps(const struct tokenizer *tokenizer, int32_t id)
{
    int32_t begin = tokenizer->special.timestamp_begin;
    return begin < 0 || id < begin || id > begin + TIMESTAMP_STEPS_MAX ? -1 : id - begin;
}
