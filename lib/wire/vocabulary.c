#include "wire/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "wire/wire_int.h"

enum { UNPACK_MEMORY_MAX = 48 << 20 };  /* lengths grow from one byte to four */

enum status wire_vocabulary_request_pack(uint64_t hash, struct wire_bytes *out, struct error *err)
{
    Specasr__V1__VocabularyRequest m = SPECASR__V1__VOCABULARY_REQUEST__INIT;
    m.hash = hash;
    *out = (struct wire_bytes){0};
    return wire_emit(&m.base, out, err);
}

enum status wire_vocabulary_request_unpack(const uint8_t *data, size_t size, uint64_t *hash,
                                           struct error *err)
{
    ProtobufCMessage *message = NULL;
    *hash = 0;
    if (size > 256)
        return error_set(err, STATUS_CORRUPT, "a vocabulary request of %zu bytes", size);
    enum status rc = wire_parse(&specasr__v1__vocabulary_request__descriptor, data, size,
                                UNPACK_MEMORY_MAX, &message, err);
    if (rc != STATUS_OK)
        return rc;
    *hash = ((Specasr__V1__VocabularyRequest *)message)->hash;
    wire_free_message(message);
    return STATUS_OK;
}

/* ---- rules, for both directions ---- */

static bool language_ok(const char *code)
{
    size_t n = strnlen(code, 4);
    return n >= 1 && n <= 3 && utf8_valid(code, n);
}

static const char *problem_in_tokens(const struct wire_vocabulary *v)
{
    if (v->n_tokens == 0 || v->n_tokens > WIRE_VOCABULARY_TOKENS_MAX)
        return "no tokens, or too many";
    if (v->offsets[0] != 0)
        return "the first token does not begin at 0";
    for (uint32_t i = 0; i < v->n_tokens; i++)
        if (v->offsets[i + 1] < v->offsets[i]
            || v->offsets[i + 1] - v->offsets[i] > WIRE_TOKEN_BYTES_MAX)
            return "an overlong token";
    return NULL;
}

static const char *problem_in_vocabulary(const struct wire_vocabulary *v)
{
    const char *problem = problem_in_tokens(v);
    if (problem)
        return problem;
    for (int i = 0; i < WIRE_SPECIAL_N; i++)
        if (v->special[i] < -1 || v->special[i] >= (int32_t)v->n_tokens)
            return "a special token is out of range";
    if (v->n_languages > WIRE_LANGUAGES_MAX)
        return "too many languages";
    for (uint32_t i = 0; i < v->n_languages; i++)
        if (!language_ok(v->languages[i]))
            return "a language code is not 1 to 3 bytes of UTF-8";
    return NULL;
}

/* ---- pack ---- */

enum status wire_vocabulary_pack(const struct wire_vocabulary *vocabulary, struct wire_bytes *out,
                                 struct error *err)
{
    const char *problem = problem_in_vocabulary(vocabulary);
    *out = (struct wire_bytes){0};
    if (problem)
        assert_failed(problem, "vocabulary", 0);
    Specasr__V1__Vocabulary m = SPECASR__V1__VOCABULARY__INIT;
    char *languages[WIRE_LANGUAGES_MAX];
    uint32_t *lengths = calloc(vocabulary->n_tokens, sizeof(*lengths));
    if (!lengths)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a vocabulary");
    for (uint32_t i = 0; i < vocabulary->n_tokens; i++)
        lengths[i] = vocabulary->offsets[i + 1] - vocabulary->offsets[i];
    for (uint32_t i = 0; i < vocabulary->n_languages; i++)
        languages[i] = vocabulary->languages[i];
    m.hash = vocabulary->hash;
    m.n_lengths = vocabulary->n_tokens;
    m.lengths = lengths;
    m.data = (ProtobufCBinaryData){vocabulary->offsets[vocabulary->n_tokens], vocabulary->bytes};
    m.n_special = WIRE_SPECIAL_N;
    m.special = (int32_t *)vocabulary->special;
    m.n_languages = vocabulary->n_languages;
    m.languages = languages;
    enum status rc = wire_emit(&m.base, out, err);
    free(lengths);
    if (rc == STATUS_OK && out->size > WIRE_VOCABULARY_MAX) {
        wire_bytes_release(out);
        return error_set(err, STATUS_UNSUPPORTED, "a vocabulary of more than %d bytes",
                         WIRE_VOCABULARY_MAX);
    }
    return rc;
}

/* ---- unpack ---- */

/* Lengths to offsets; they must add up to the bytes that are there. */
static enum status read_token_bytes(const Specasr__V1__Vocabulary *m, struct wire_vocabulary *out,
                                    struct error *err)
{
    if (m->n_lengths == 0 || m->n_lengths > WIRE_VOCABULARY_TOKENS_MAX)
        return error_set(err, STATUS_CORRUPT, "a vocabulary of %zu tokens", m->n_lengths);
    out->offsets = calloc(m->n_lengths + 1, sizeof(*out->offsets));
    out->bytes = malloc(m->data.len + 1);
    if (!out->offsets || !out->bytes)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a vocabulary");
    uint64_t total = 0;
    for (size_t i = 0; i < m->n_lengths; i++) {
        total += m->lengths[i];
        if (total > m->data.len)
            break;
        out->offsets[i + 1] = (uint32_t)total;
    }
    if (total != m->data.len)
        return error_set(err, STATUS_CORRUPT, "the token lengths do not add up");
    if (m->data.len)
        memcpy(out->bytes, m->data.data, m->data.len);
    out->n_tokens = (uint32_t)m->n_lengths;
    return STATUS_OK;
}

static enum status read_languages(const Specasr__V1__Vocabulary *m, struct wire_vocabulary *out,
                                  struct error *err)
{
    if (m->n_languages > WIRE_LANGUAGES_MAX)
        return error_set(err, STATUS_CORRUPT, "%zu languages, the limit is %d", m->n_languages,
                         WIRE_LANGUAGES_MAX);
    out->languages = calloc(m->n_languages + 1, sizeof(*out->languages));
    if (!out->languages)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a vocabulary");
    enum status rc = STATUS_OK;
    for (size_t i = 0; i < m->n_languages && rc == STATUS_OK; i++)
        rc = wire_copy_text(out->languages[i], sizeof(out->languages[i]), m->languages[i],
                            "a language code", err);
    out->n_languages = (uint32_t)m->n_languages;
    return rc;
}

static enum status read_vocabulary(const Specasr__V1__Vocabulary *m, struct wire_vocabulary *out,
                                   struct error *err)
{
    if (m->n_special != WIRE_SPECIAL_N)
        return error_set(err, STATUS_CORRUPT, "%zu special tokens, not %d", m->n_special,
                         WIRE_SPECIAL_N);
    out->hash = m->hash;
    memcpy(out->special, m->special, sizeof(out->special));
    enum status rc = read_token_bytes(m, out, err);
    if (rc == STATUS_OK)
        rc = read_languages(m, out, err);
    const char *problem = rc == STATUS_OK ? problem_in_vocabulary(out) : NULL;
    return problem ? error_set(err, STATUS_CORRUPT, "%s", problem) : rc;
}

enum status wire_vocabulary_unpack(const uint8_t *data, size_t size, struct wire_vocabulary *out,
                                   struct error *err)
{
    ProtobufCMessage *message = NULL;
    *out = (struct wire_vocabulary){0};
    if (size > WIRE_VOCABULARY_MAX)
        return error_set(err, STATUS_CORRUPT, "a vocabulary of %zu bytes, the limit is %d", size,
                         WIRE_VOCABULARY_MAX);
    enum status rc = wire_parse(&specasr__v1__vocabulary__descriptor, data, size,
                                UNPACK_MEMORY_MAX, &message, err);
    if (rc == STATUS_OK) {
        rc = read_vocabulary((Specasr__V1__Vocabulary *)message, out, err);
        wire_free_message(message);
    }
    if (rc != STATUS_OK) {
        error_prefix(err, "vocabulary refused");
        wire_vocabulary_release(out);
    }
    return rc;
}

void wire_vocabulary_release(struct wire_vocabulary *vocabulary)
{
    free(vocabulary->offsets);
    free(vocabulary->bytes);
    free(vocabulary->languages);
    *vocabulary = (struct wire_vocabulary){0};
}
