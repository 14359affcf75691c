/* CTranslate2 folders.
 *
 * model.bin: u32 version (6), spec name, u32 spec revision, u32 count; each variable: name, u8
 * rank, u32 dims, u8 type, u32 bytes, then its bytes, unaligned; then u32 count of aliases, each
 * two names. A name is a u16 length that counts a closing NUL. Little endian. Source:
 * OpenNMT/CTranslate2 model.cc, model_spec.py. The file may be cut in parts model.bin.part1,
 * model.bin.part2, ...
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/import_int.h"
#include "model/number_types.h"

enum { VERSION = 6, VARIABLES_MAX = 65536, ACTIVATION_GELU_CT2 = 3 };
enum { TYPE_F32 = 0, TYPE_I8 = 1, TYPE_I16 = 2, TYPE_I32 = 3, TYPE_F16 = 4, TYPE_BF16 = 5 };

/* Reads forward through the blob; the first failure sticks in *err. */
struct reader {
    const struct blob *blob;
    uint64_t at;
    struct error *err;
};

static bool ok(const struct reader *r)
{
    return r->err->code == STATUS_OK;
}

static uint32_t take(struct reader *r, size_t n)
{
    uint32_t value = 0;
    if (ok(r) && blob_read(r->blob, r->at, &value, n, r->err) != STATUS_OK)
        error_prefix(r->err, "model.bin");
    r->at += n;
    return value;
}

static void take_name(struct reader *r, char *out, size_t size)
{
    uint32_t n = take(r, 2);
    out[0] = '\0';
    if (!ok(r))
        return;
    if (n < 1 || n > size) {
        error_set(r->err, STATUS_CORRUPT, "model.bin: a name of %u bytes at %" PRIu64, n, r->at);
        return;
    }
    if (blob_read(r->blob, r->at, out, n, r->err) == STATUS_OK)
        out[n - 1] = '\0';
    r->at += n;
}

static bool float_type(uint32_t type, enum source_type *out)
{
    switch (type) {
    case TYPE_F32:
        *out = SOURCE_F32;
        return true;
    case TYPE_F16:
        *out = SOURCE_F16;
        return true;
    case TYPE_BF16:
        *out = SOURCE_BF16;
        return true;
    default:
        return false;
    }
}

/* Scalars that matter: how many heads, and that the blocks are Whisper's. */
struct scalars {
    uint32_t encoder_heads, decoder_heads;
    uint32_t pre_norm, activation, scale_embeddings;
};

static void note_scalar(struct scalars *s, const char *name, uint32_t value)
{
    const struct {
        const char *name;
        uint32_t *out;
    } known[] = {
        {"encoder/num_heads", &s->encoder_heads},
        {"decoder/num_heads", &s->decoder_heads},
        {"decoder/pre_norm", &s->pre_norm},
        {"decoder/activation", &s->activation},
        {"decoder/scale_embeddings", &s->scale_embeddings},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(name, known[i].name) == 0)
            *known[i].out = value;
}

static void take_shape(struct reader *r, struct source_tensor *t)
{
    uint64_t n = 1;
    t->n_dims = take(r, 1);
    if (ok(r) && t->n_dims > 4)
        error_set(r->err, STATUS_CORRUPT, "model.bin: '%s' has %u dimensions", t->name, t->n_dims);
    for (uint32_t i = 0; ok(r) && i < t->n_dims; i++) {
        t->shape[i] = take(r, 4);
        if (ok(r) && (t->shape[i] == 0 || t->shape[i] > (UINT64_C(1) << 40) / n))
            error_set(r->err, STATUS_CORRUPT, "model.bin: '%s' has an absurd shape", t->name);
        else
            n *= t->shape[i];
    }
}

static void take_variable(struct reader *r, struct import *import, struct scalars *scalars)
{
    struct source_tensor t = {.blob = 0};
    take_name(r, t.name, sizeof(t.name));
    take_shape(r, &t);
    uint32_t type = take(r, 1);
    uint32_t n_bytes = take(r, 4);
    t.offset = r->at;
    if (!ok(r))
        return;
    r->at += n_bytes;
    if (r->at > r->blob->n) {
        error_set(r->err, STATUS_CORRUPT, "model.bin: the file ends inside '%s' (truncated?)",
                  t.name);
    } else if (t.n_dims == 0) {
        uint32_t value = 0;
        if (n_bytes <= 4 && blob_read(r->blob, t.offset, &value, n_bytes, r->err) == STATUS_OK)
            note_scalar(scalars, t.name, value);
    } else if (float_type(type, &t.type)) {
        if (source_bytes(t.type, source_elements(&t)) != n_bytes)
            error_set(r->err, STATUS_CORRUPT, "model.bin: '%s' has %u bytes for its shape", t.name,
                      n_bytes);
        else if (source_index_add(&import->index, &t, r->err) != STATUS_OK)
            return;
    } else if (type == TYPE_I8 || type == TYPE_I16) {
        error_set(r->err, STATUS_UNSUPPORTED,
                  "model.bin: '%s' is quantised to integers: use a float16 or float32 conversion",
                  t.name);
    }
}

/* Leaves the variables in import->index. */
static enum status scan(struct import *import, struct scalars *scalars, struct error *err)
{
    struct reader r = {.blob = &import->blobs[0], .err = err};
    char spec[64], target[96];
    uint32_t version = take(&r, 4);
    if (ok(&r) && version != VERSION)
        return error_set(err, STATUS_UNSUPPORTED,
                         "model.bin has version %u: only CTranslate2's version %d is read", version,
                         VERSION);
    take_name(&r, spec, sizeof(spec));
    if (ok(&r) && strcmp(spec, "WhisperSpec") != 0)
        return error_set(err, STATUS_UNSUPPORTED, "model.bin holds a '%s', not a Whisper model",
                         spec);
    take(&r, 4);
    uint32_t n = take(&r, 4);
    if (ok(&r) && n > VARIABLES_MAX)
        return error_set(err, STATUS_CORRUPT, "model.bin claims %u variables", n);
    for (uint32_t i = 0; ok(&r) && i < n; i++)
        take_variable(&r, import, scalars);
    uint32_t n_aliases = take(&r, 4);
    if (ok(&r) && n_aliases > VARIABLES_MAX)
        return error_set(err, STATUS_CORRUPT, "model.bin claims %u aliases", n_aliases);
    for (uint32_t i = 0; ok(&r) && i < n_aliases; i++) {
        take_name(&r, target, sizeof(target));
        take_name(&r, target, sizeof(target));
    }
    if (ok(&r) && r.at != r.blob->n)
        return error_set(err, STATUS_CORRUPT, "model.bin has %" PRIu64 " bytes too many at its end",
                         r.blob->n - r.at);
    return ok(&r) ? source_index_finish(&import->index, err) : err->code;
}

static uint32_t count_layers(const struct import *import, const char *stack)
{
    char name[96];
    for (uint32_t n = 0; n <= 256; n++) {
        snprintf(name, sizeof(name), "%s/layer_%u/ffn/linear_0/weight", stack, n);
        if (!source_find(&import->index, name))
            return n;
    }
    return 257;
}

static uint32_t dimension(const struct import *import, const char *name, uint32_t which,
                          struct error *err)
{
    const struct source_tensor *t = source_find(&import->index, name);
    if (err->code != STATUS_OK)
        return 0;
    if (!t || which >= t->n_dims || t->shape[which] > UINT32_MAX) {
        error_set(err, STATUS_CORRUPT, "model.bin: '%s' is missing or has a wrong shape", name);
        return 0;
    }
    return (uint32_t)t->shape[which];
}

static enum status describe(struct import *import, const struct scalars *s, struct error *err)
{
    struct model_description *d = &import->source.description;
    if (s->encoder_heads == 0 || s->decoder_heads == 0 || s->pre_norm != 1 ||
        s->activation != ACTIVATION_GELU_CT2 || s->scale_embeddings != 0)
        return error_set(
            err, STATUS_UNSUPPORTED,
            "model.bin describes blocks that are not Whisper's (heads %u and %u, pre-norm "
            "%u, activation %u, scaled embeddings %u)",
            s->encoder_heads, s->decoder_heads, s->pre_norm, s->activation, s->scale_embeddings);
    d->n_mels = dimension(import, "encoder/conv1/weight", 1, err);
    d->n_vocab = dimension(import, "decoder/embeddings/weight", 0, err);
    d->encoder.n_state = dimension(import, "encoder/conv1/weight", 0, err);
    d->decoder.n_state = dimension(import, "decoder/embeddings/weight", 1, err);
    d->encoder.n_positions = dimension(import, "encoder/position_encodings/encodings", 0, err);
    d->decoder.n_positions = dimension(import, "decoder/position_encodings/encodings", 0, err);
    d->encoder.n_ff = dimension(import, "encoder/layer_0/ffn/linear_0/weight", 0, err);
    d->decoder.n_ff = dimension(import, "decoder/layer_0/ffn/linear_0/weight", 0, err);
    d->encoder.n_layers = count_layers(import, "encoder");
    d->decoder.n_layers = count_layers(import, "decoder");
    d->encoder.n_heads = s->encoder_heads;
    d->decoder.n_heads = s->decoder_heads;
    d->multilingual = d->n_vocab >= 51865;
    whisper_defaults(d);
    return err->code;
}

/* Ordinary tokens are printable characters of GPT-2's map, one per line; from <|endoftext|> on
 * (*end), plain texts. */
static enum status token_line(struct vocabulary *v, uint32_t id, const char *text, size_t n,
                              int32_t *end, struct error *err)
{
    static const char mark[] = "<|endoftext|>";
    if (*end < 0 && n == sizeof(mark) - 1 && memcmp(text, mark, n) == 0)
        *end = (int32_t)id;
    if (*end >= 0)
        return vocabulary_set(v, id, text, n, err);
    return vocabulary_set_printable(v, id, text, n, err);
}

static enum status read_vocabulary_text(struct import *import, const struct folder *folder,
                                        uint32_t *n_tokens, int32_t *end, struct error *err)
{
    char *text = NULL;
    enum status st = folder_read_text(folder, "vocabulary.txt", IMPORT_TEXT_MAX, &text, err);
    const char *p = text;
    while (st == STATUS_OK && *p) {
        size_t n = strcspn(p, "\n");
        st = token_line(&import->vocabulary, (*n_tokens)++, p, n, end, err);
        p += n + (p[n] == '\n');
    }
    free(text);
    return st;
}

static enum status read_vocabulary_json(struct import *import, const struct folder *folder,
                                        uint32_t *n_tokens, int32_t *end, struct error *err)
{
    cJSON *json = NULL;
    enum status st = json_parse(folder, "vocabulary.json", &json, err);
    const cJSON *item;
    if (st == STATUS_OK && !cJSON_IsArray(json))
        st = error_set(err, STATUS_CORRUPT, "vocabulary.json is not a list of tokens");
    cJSON_ArrayForEach(item, json) {
        if (st != STATUS_OK)
            break;
        st = cJSON_IsString(item)
                 ? token_line(&import->vocabulary, (*n_tokens)++, item->valuestring,
                              strlen(item->valuestring), end, err)
                 : error_set(err, STATUS_CORRUPT, "vocabulary.json is not a list of tokens");
    }
    cJSON_Delete(json);
    return st;
}

static enum status read_vocabulary(struct import *import, const struct folder *folder,
                                   struct error *err)
{
    int32_t end = -1;
    uint32_t n = 0;
    uint32_t n_vocab = import->source.description.n_vocab;
    enum status st = vocabulary_init(&import->vocabulary, n_vocab, err);
    if (st != STATUS_OK)
        return st;
    bool json = folder_has(folder, "vocabulary.json");
    if (!json && !folder_has(folder, "vocabulary.txt"))
        return error_set(err, STATUS_NOT_FOUND,
                         "neither vocabulary.txt nor vocabulary.json lies beside model.bin");
    st = json ? read_vocabulary_json(import, folder, &n, &end, err)
              : read_vocabulary_text(import, folder, &n, &end, err);
    if (st != STATUS_OK)
        return st;
    if (end < 0 || n != n_vocab)
        return error_set(err, STATUS_MISMATCH,
                         "the vocabulary has %u tokens%s, the model %u: files of different models?",
                         n, end < 0 ? " and no <|endoftext|>" : "", n_vocab);
    return import_finish_vocabulary(import, end, err);
}

/* config.json is optional: without it Whisper's default lists are used. */
static enum status read_config(struct import *import, const struct folder *folder,
                               struct error *err)
{
    struct model_description *d = &import->source.description;
    cJSON *json = NULL;
    if (!folder_has(folder, "config.json"))
        return STATUS_OK;
    enum status st = json_parse(folder, "config.json", &json, err);
    if (st == STATUS_OK)
        st = json_ids(json, "suppress_ids", d->suppress, MODEL_SUPPRESS_MAX, &d->n_suppress, err);
    if (st == STATUS_OK)
        st = json_ids(json, "suppress_ids_begin", d->suppress_first, ARRAY_LEN(d->suppress_first),
                      &d->n_suppress_first, err);
    if (st == STATUS_OK)
        st = json_alignment_heads(import, json, err);
    cJSON_Delete(json);
    return st;
}

/* The part of a joined bias that belongs to the keys must be zero: we have no place for it. */
static enum status check_key_bias(const struct import *import, struct error *err)
{
    uint32_t n_state = import->source.description.decoder.n_state;
    float values[64];
    uint8_t bytes[64 * 4];
    for (uint32_t i = 0; i < import->index.n; i++) {
        const struct source_tensor *t = &import->index.tensors[i];
        bool self = strstr(t->name, "/self_attention/linear_0/bias");
        bool cross = !self && strstr(t->name, "/attention/linear_1/bias");
        if ((!self && !cross) || source_elements(t) < 2 * (uint64_t)n_state)
            continue;
        for (uint32_t k = 0; k < n_state; k += 64) {
            uint32_t n = MIN(64u, n_state - k);
            uint64_t at = t->offset + source_bytes(t->type, (self ? n_state : 0) + k);
            enum status st = blob_read(&import->blobs[0], at, bytes, source_bytes(t->type, n), err);
            if (st != STATUS_OK)
                return st;
            /* Zero has no set bit except the sign, in all three float types. */
            tensor_decode(t->type == SOURCE_F32 ? TENSOR_F32 : TENSOR_F16, bytes, values, n);
            for (uint32_t j = 0; j < n; j++)
                if (values[j] != 0)
                    return error_set(err, STATUS_UNSUPPORTED,
                                     "'%s' has a key bias: not a Whisper model", t->name);
        }
    }
    return STATUS_OK;
}

static enum status open_model(struct import *import, const struct folder *folder, struct error *err)
{
    char name[32];
    enum status st;
    import->n_blobs = 1;
    if (folder_has(folder, "model.bin"))
        return folder_open(folder, "model.bin", &import->blobs[0], err);
    for (uint32_t part = 1;; part++) {
        snprintf(name, sizeof(name), "model.bin.part%u", part);
        if (part > 1 && !folder_has(folder, name))
            return STATUS_OK;
        st = folder_open(folder, name, &import->blobs[0], err);
        if (st != STATUS_OK)
            return st;
    }
}

enum status import_ct2(struct import *import, const struct folder *folder, struct error *err)
{
    struct error local;
    struct scalars scalars = {0};
    struct error *e = err ? err : &local;
    error_clear(e);
    import->kind = "CTranslate2";
    enum status st = open_model(import, folder, e);
    if (st == STATUS_OK)
        st = scan(import, &scalars, e);
    if (st == STATUS_OK)
        st = describe(import, &scalars, e);
    if (st == STATUS_OK)
        st = read_config(import, folder, e);
    if (st == STATUS_OK)
        st = read_vocabulary(import, folder, e);
    if (st == STATUS_OK)
        st = import_bind(import, NAMING_CT2, e);
    return st == STATUS_OK ? check_key_bias(import, e) : st;
}
