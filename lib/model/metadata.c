#include "model/metadata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/byte_unicode.h"
#include "model/number_types.h"
#include "model/whisper.h"

enum { TOKEN_NORMAL = 1, TOKEN_CONTROL = 3 }; /* tokenizer.ggml.token_type */
enum { FILE_TYPE_F32 = 0, FILE_TYPE_F16 = 1, FILE_TYPE_Q8_0 = 7, FILE_TYPE_Q4_0 = 2 };

/* Numbers of a stack, in both directions. */
static const struct {
    const char *key;
    size_t offset;
} stack_fields[] = {
    {"block_count", offsetof(struct stack_description, n_layers)},
    {"embedding_length", offsetof(struct stack_description, n_state)},
    {"attention.head_count", offsetof(struct stack_description, n_heads)},
    {"feed_forward_length", offsetof(struct stack_description, n_ff)},
    {"context_length", offsetof(struct stack_description, n_positions)},
};

static const struct {
    const char *key;
    size_t offset;
} special_fields[] = {
    {"tokenizer.ggml.eos_token_id", offsetof(struct special_tokens, end)},
    {"tokenizer.ggml.bos_token_id", offsetof(struct special_tokens, start)},
    {"whisper.token.translate", offsetof(struct special_tokens, translate)},
    {"whisper.token.transcribe", offsetof(struct special_tokens, transcribe)},
    {"whisper.token.startofprev", offsetof(struct special_tokens, previous)},
    {"whisper.token.nospeech", offsetof(struct special_tokens, no_speech)},
    {"whisper.token.notimestamps", offsetof(struct special_tokens, no_timestamps)},
    {"whisper.token.timestamp_begin", offsetof(struct special_tokens, timestamp_begin)},
    {"whisper.token.language_begin", offsetof(struct special_tokens, language_begin)},
};

static void put_stack(struct gguf_builder *b, const char *name, const struct stack_description *s)
{
    char key[96];
    for (size_t i = 0; i < ARRAY_LEN(stack_fields); i++) {
        snprintf(key, sizeof(key), "whisper.%s.%s", name, stack_fields[i].key);
        gguf_put_u32(b, key, *(const uint32_t *)((const char *)s + stack_fields[i].offset));
    }
}

/* Ordinary tokens in GPT-2's printable form; special ones as they are, marked as control. */
static void put_tokens(struct gguf_builder *b, const struct model_source *source)
{
    const struct model_description *d = &source->description;
    gguf_put_string(b, "tokenizer.ggml.model", "gpt2");
    gguf_begin_strings(b, "tokenizer.ggml.tokens", d->n_vocab);
    for (uint32_t i = 0; i < d->n_vocab; i++) {
        const struct token_text *t = &source->tokens[i];
        if ((int32_t)i >= d->special.end) {
            gguf_put_item(b, t->bytes, t->n_bytes);
            continue;
        }
        char *text = malloc(2 * t->n_bytes + 1);
        if (!text) {
            b->failed = true;
            return;
        }
        gguf_put_item(b, text, byte_unicode_encode(t->bytes, t->n_bytes, text));
        free(text);
    }
    int32_t *types = malloc(d->n_vocab * sizeof(*types));
    for (uint32_t i = 0; types && i < d->n_vocab; i++)
        types[i] = (int32_t)i >= d->special.end ? TOKEN_CONTROL : TOKEN_NORMAL;
    if (types)
        gguf_put_i32_array(b, "tokenizer.ggml.token_type", types, d->n_vocab);
    else
        b->failed = true;
    free(types);
}

static void put_lists(struct gguf_builder *b, const struct model_source *source)
{
    const struct model_description *d = &source->description;
    gguf_begin_strings(b, "whisper.languages", d->n_languages);
    for (uint32_t i = 0; i < d->n_languages; i++)
        gguf_put_item(b, d->languages[i], strnlen(d->languages[i], sizeof(d->languages[i])));
    gguf_put_i32_array(b, "whisper.suppress_tokens", d->suppress, d->n_suppress);
    gguf_put_i32_array(b, "whisper.suppress_first_tokens", d->suppress_first, d->n_suppress_first);
    gguf_put_u32_array(b, "whisper.alignment_heads", source->alignment_heads,
                       source->alignment_heads ? (uint64_t)source->n_alignment_heads * 2 : 0);
}

void metadata_put(struct gguf_builder *b, const struct model_source *source, enum tensor_type type)
{
    const struct model_description *d = &source->description;
    static const uint32_t file_types[] = {FILE_TYPE_F32, FILE_TYPE_F16, FILE_TYPE_Q8_0,
                                          FILE_TYPE_Q4_0};
    gguf_put_string(b, "general.architecture", d->architecture);
    gguf_put_string(b, "general.name", d->name);
    gguf_put_u32(b, "general.alignment", GGUF_ALIGNMENT);
    gguf_put_u32(b, "general.file_type", file_types[type]);
    gguf_put_u32(b, "general.quantization_version", 2);
    gguf_put_u32(b, KEY_CONVERTER, MODEL_CONVERTER_VERSION);
    gguf_put_u32(b, "whisper.mel_bands", d->n_mels);
    gguf_put_bool(b, "whisper.multilingual", d->multilingual);
    gguf_put_f32(b, "whisper.attention.layer_norm_epsilon", d->decoder.norm_eps);
    put_stack(b, "encoder", &d->encoder);
    put_stack(b, "decoder", &d->decoder);
    for (size_t i = 0; i < ARRAY_LEN(special_fields); i++)
        gguf_put_u32(b, special_fields[i].key,
                     *(const uint32_t *)((const char *)&d->special + special_fields[i].offset));
    put_lists(b, source);
    put_tokens(b, source);
}

/* Reads forward through required keys; the first missing one sticks in *err. */
static void need_u32(const struct gguf *gguf, const char *key, uint32_t *out, struct error *err)
{
    if (err->code == STATUS_OK && !gguf_u32(gguf, key, out))
        error_set(err, STATUS_CORRUPT, "metadata key '%s' is missing or no u32", key);
}

static void read_stack(const struct gguf *gguf, const char *name, struct stack_description *s,
                       struct error *err)
{
    char key[96];
    for (size_t i = 0; i < ARRAY_LEN(stack_fields); i++) {
        snprintf(key, sizeof(key), "whisper.%s.%s", name, stack_fields[i].key);
        need_u32(gguf, key, (uint32_t *)((char *)s + stack_fields[i].offset), err);
    }
}

static void read_ids(const struct gguf *gguf, const char *key, int32_t *out, uint32_t max,
                     uint32_t *n, struct error *err)
{
    const struct gguf_entry *e = gguf_array(gguf, key, GGUF_I32);
    if (err->code != STATUS_OK)
        return;
    if (!e || e->n_items > max) {
        error_set(err, STATUS_CORRUPT, "metadata key '%s' is missing or holds more than %u ids",
                  key, max);
        return;
    }
    memcpy(out, e->value, e->n_items * sizeof(*out));
    *n = (uint32_t)e->n_items;
}

static void read_languages(const struct gguf *gguf, struct model_description *d, struct error *err)
{
    const struct gguf_entry *e = gguf_array(gguf, "whisper.languages", GGUF_STRING);
    if (err->code != STATUS_OK)
        return;
    if (!e || e->n_items > MODEL_LANGUAGES_MAX) {
        error_set(err, STATUS_CORRUPT, "metadata key 'whisper.languages' is missing or too long");
        return;
    }
    const uint8_t *position = e->value;
    d->n_languages = (uint32_t)e->n_items;
    for (uint32_t i = 0; i < d->n_languages; i++) {
        struct gguf_text code = gguf_next_string(&position);
        if (code.n < 2 || code.n >= sizeof(d->languages[i])) {
            error_set(err, STATUS_CORRUPT, "language %u has no code of two or three letters", i);
            return;
        }
        memcpy(d->languages[i], code.bytes, code.n);
    }
}

static void copy_text(char *dst, size_t size, struct gguf_text text)
{
    snprintf(dst, size, "%.*s", (int)MIN(text.n, size - 1), text.bytes);
}

static enum status read_architecture(const struct gguf *gguf, struct model_description *d,
                                     struct error *err)
{
    struct gguf_text text;
    if (!gguf_string(gguf, "general.architecture", &text))
        return error_set(err, STATUS_CORRUPT, "metadata key 'general.architecture' is missing");
    copy_text(d->architecture, sizeof(d->architecture), text);
    if (strcmp(d->architecture, "whisper") != 0)
        return error_set(err, STATUS_UNSUPPORTED,
                         "architecture '%s' is not supported, only 'whisper'", d->architecture);
    if (gguf_string(gguf, "general.name", &text))
        copy_text(d->name, sizeof(d->name), text);
    return STATUS_OK;
}

enum status metadata_read(const struct gguf *gguf, struct model_description *out, struct error *err)
{
    struct error local = {0};
    struct error *e = err ? err : &local;
    struct model_description *d = out;
    error_clear(e);
    memset(d, 0, sizeof(*d));
    if (read_architecture(gguf, d, e) != STATUS_OK)
        return e->code;
    need_u32(gguf, "whisper.mel_bands", &d->n_mels, e);
    read_stack(gguf, "encoder", &d->encoder, e);
    read_stack(gguf, "decoder", &d->decoder, e);
    for (size_t i = 0; i < ARRAY_LEN(special_fields); i++)
        need_u32(gguf, special_fields[i].key,
                 (uint32_t *)((char *)&d->special + special_fields[i].offset), e);
    read_ids(gguf, "whisper.suppress_tokens", d->suppress, MODEL_SUPPRESS_MAX, &d->n_suppress, e);
    read_ids(gguf, "whisper.suppress_first_tokens", d->suppress_first, ARRAY_LEN(d->suppress_first),
             &d->n_suppress_first, e);
    read_languages(gguf, d, e);
    const struct gguf_entry *tokens = gguf_array(gguf, "tokenizer.ggml.tokens", GGUF_STRING);
    if (e->code == STATUS_OK && (!tokens || tokens->n_items > 1u << 20))
        error_set(e, STATUS_CORRUPT, "metadata key 'tokenizer.ggml.tokens' is missing or too long");
    if (e->code == STATUS_OK && !gguf_bool(gguf, "whisper.multilingual", &d->multilingual))
        error_set(e, STATUS_CORRUPT, "metadata key 'whisper.multilingual' is missing");
    if (e->code != STATUS_OK)
        return e->code;
    d->n_vocab = (uint32_t)tokens->n_items;
    whisper_defaults(d);
    gguf_f32(gguf, "whisper.attention.layer_norm_epsilon", &d->encoder.norm_eps);
    d->decoder.norm_eps = d->encoder.norm_eps;
    return whisper_check(d, e);
}
