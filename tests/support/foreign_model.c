#include "foreign_model.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "model/byte_unicode.h"
#include "model/number_types.h"
#include "model/whisper.h"
#include "support.h"

void bytes_put(struct bytes *b, const void *data, size_t n)
{
    if (b->n + n > b->capacity) {
        b->capacity = 2 * (b->n + n) + 64;
        b->data = realloc(b->data, b->capacity);
        assert_non_null(b->data);
    }
    memcpy(b->data + b->n, data, n);
    b->n += n;
}

void bytes_u32(struct bytes *b, uint32_t value)
{
    bytes_put(b, &value, sizeof(value));
}

void bytes_release(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){0};
}

static void put_text(struct bytes *b, const char *text)
{
    bytes_put(b, text, strlen(text));
}

static uint64_t count(const struct tensor_spec *spec)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < spec->n_dims; i++)
        n *= spec->shape[i];
    return n;
}

static bool is_half(const struct tensor_spec *spec, enum foreign_numbers numbers)
{
    return numbers == FOREIGN_F16 && spec->matrix;
}

static void put_values(struct bytes *b, const struct model *model, const struct tensor_spec *spec,
                       bool half)
{
    struct error err = {0};
    uint64_t n = count(spec);
    float *values = malloc(n * sizeof(float));
    uint16_t *halves = malloc(n * sizeof(uint16_t));
    assert_ok(model_read_f32(model, spec->name, values, n, &err), &err);
    tensor_encode(TENSOR_F16, values, halves, n);
    if (half)
        bytes_put(b, halves, n * sizeof(uint16_t));
    else
        bytes_put(b, values, n * sizeof(float));
    free(values);
    free(halves);
}

/* --- CTranslate2 */

static void put_name(struct bytes *b, const char *name)
{
    uint16_t n = (uint16_t)(strlen(name) + 1);
    bytes_put(b, &n, 2);
    bytes_put(b, name, n);
}

static void put_scalar(struct bytes *b, const char *name, uint8_t type, uint16_t value)
{
    uint32_t n = type == 2 ? 2 : 1;
    put_name(b, name);
    bytes_put(b, "\0", 1);
    bytes_put(b, &type, 1);
    bytes_u32(b, n);
    bytes_put(b, &value, n);
}

/* A variable's parts lie among the weights in order; parts that we do not have (the key's bias) are
 * 0. */
static void put_variable(struct bytes *b, const struct model *model, const struct weight *weights,
                         uint32_t n_weights, uint32_t first, enum foreign_numbers numbers)
{
    const struct weight *w = &weights[first];
    bool half = is_half(&w->spec, numbers);
    uint8_t head[2] = {(uint8_t)w->spec.n_dims, half ? 4 : 0};
    uint64_t part_bytes = count(&w->spec) * (half ? 2 : 4);
    put_name(b, w->source);
    bytes_put(b, head, 1);
    for (uint32_t i = 0; i < w->spec.n_dims; i++)
        bytes_u32(b, (uint32_t)(w->spec.shape[i] * (i == 0 ? w->n_parts : 1)));
    bytes_put(b, head + 1, 1);
    bytes_u32(b, (uint32_t)(part_bytes * w->n_parts));
    for (uint32_t part = 0; part < w->n_parts; part++) {
        const struct weight *found = NULL;
        for (uint32_t i = 0; i < n_weights; i++)
            if (strcmp(weights[i].source, w->source) == 0 && weights[i].part == part)
                found = &weights[i];
        uint8_t *zeros = calloc(1, part_bytes);
        if (found)
            put_values(b, model, &found->spec, half);
        else
            bytes_put(b, zeros, part_bytes);
        free(zeros);
    }
}

static bool named_before(const struct weight *weights, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++)
        if (strcmp(weights[k].source, weights[i].source) == 0)
            return true;
    return false;
}

void foreign_ct2(const struct model *model, enum foreign_numbers numbers, struct bytes *out)
{
    const struct model_description *d = model_describe(model);
    uint32_t n = 0, n_variables = 5;
    struct weight *weights = whisper_weights(d, NAMING_CT2, &n);
    for (uint32_t i = 0; i < n; i++)
        n_variables += !named_before(weights, i);
    bytes_u32(out, 6);
    put_name(out, "WhisperSpec");
    bytes_u32(out, 3);
    bytes_u32(out, n_variables);
    put_scalar(out, "decoder/activation", 1, 3);
    put_scalar(out, "decoder/num_heads", 2, (uint16_t)d->decoder.n_heads);
    put_scalar(out, "decoder/pre_norm", 1, 1);
    put_scalar(out, "decoder/scale_embeddings", 1, 0);
    put_scalar(out, "encoder/num_heads", 2, (uint16_t)d->encoder.n_heads);
    for (uint32_t i = 0; i < n; i++)
        if (!named_before(weights, i))
            put_variable(out, model, weights, n, i, numbers);
    bytes_u32(out, 1);
    put_name(out, "decoder/projection/weight");
    put_name(out, "decoder/embeddings/weight");
    free(weights);
}

/* --- whisper.cpp */

void foreign_ggml(const struct model *model, enum foreign_numbers numbers, struct bytes *out)
{
    const struct model_description *d = model_describe(model);
    const uint32_t head[] = {0x67676d6c,
                             d->n_vocab,
                             d->encoder.n_positions,
                             d->encoder.n_state,
                             d->encoder.n_heads,
                             d->encoder.n_layers,
                             d->decoder.n_positions,
                             d->decoder.n_state,
                             d->decoder.n_heads,
                             d->decoder.n_layers,
                             d->n_mels,
                             numbers == FOREIGN_F16,
                             2,
                             3};
    float filters[6] = {0};
    uint32_t n = 0;
    struct weight *weights = whisper_weights(d, NAMING_GGML, &n);
    bytes_put(out, head, sizeof(head));
    bytes_put(out, filters, sizeof(filters));
    bytes_u32(out, (uint32_t)d->special.end);
    for (int32_t id = 0; id < d->special.end; id++) {
        size_t n_bytes;
        const uint8_t *bytes = model_token(model, id, &n_bytes);
        bytes_u32(out, (uint32_t)n_bytes);
        bytes_put(out, bytes, n_bytes);
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct tensor_spec *spec = &weights[i].spec;
        bool wide_bias = strstr(spec->name, "conv") && spec->n_dims == 1; /* its [n, 1] */
        bytes_u32(out, spec->n_dims + wide_bias);
        bytes_u32(out, (uint32_t)strlen(weights[i].source));
        bytes_u32(out, is_half(spec, numbers));
        if (wide_bias)
            bytes_u32(out, 1);
        for (uint32_t k = spec->n_dims; k > 0; k--)
            bytes_u32(out, (uint32_t)spec->shape[k - 1]);
        put_text(out, weights[i].source);
        put_values(out, model, spec, is_half(spec, numbers));
    }
    free(weights);
}

/* --- Hugging Face */

void foreign_safetensors(const struct model *model, enum foreign_numbers numbers, uint32_t shard,
                         uint32_t n_shards, struct bytes *out, struct bytes *names)
{
    struct bytes data = {0};
    uint32_t n = 0;
    struct weight *weights = whisper_weights(model_describe(model), NAMING_HF, &n);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddItemToObject(cJSON_AddObjectToObject(json, "__metadata__"), "format",
                          cJSON_CreateString("pt"));
    for (uint32_t i = shard; i < n; i += n_shards) {
        const struct tensor_spec *spec = &weights[i].spec;
        cJSON *entry = cJSON_AddObjectToObject(json, weights[i].source);
        cJSON_AddStringToObject(entry, "dtype", is_half(spec, numbers) ? "F16" : "F32");
        cJSON *shape = cJSON_AddArrayToObject(entry, "shape");
        for (uint32_t k = 0; k < spec->n_dims; k++)
            cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)spec->shape[k]));
        cJSON *offsets = cJSON_AddArrayToObject(entry, "data_offsets");
        cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)data.n));
        put_values(&data, model, spec, is_half(spec, numbers));
        cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)data.n));
        if (names) {
            put_text(names, weights[i].source);
            put_text(names, "\n");
        }
    }
    char *text = cJSON_PrintUnformatted(json);
    uint64_t length = strlen(text);
    bytes_put(out, &length, 8);
    put_text(out, text);
    bytes_put(out, data.data, data.n);
    bytes_release(&data);
    free(text);
    cJSON_Delete(json);
    free(weights);
}

static size_t printable(const struct model *model, int32_t id, char *text)
{
    size_t n;
    const uint8_t *bytes = model_token(model, id, &n);
    if (id < model_describe(model)->special.end)
        n = byte_unicode_encode(bytes, n, text);
    else
        memcpy(text, bytes, n);
    text[n] = '\0';
    return n;
}

void foreign_vocabulary_txt(const struct model *model, struct bytes *out)
{
    char text[256];
    for (int32_t id = 0; id < (int32_t)model_describe(model)->n_vocab; id++) {
        bytes_put(out, text, printable(model, id, text));
        put_text(out, "\n");
    }
}

static void put_json(struct bytes *out, cJSON *json)
{
    char *text = cJSON_PrintUnformatted(json);
    put_text(out, text);
    free(text);
    cJSON_Delete(json);
}

/* Ids from first to before last, as {text: id}. */
static void put_map(const struct model *model, int32_t first, int32_t last, struct bytes *out)
{
    char text[256];
    cJSON *json = cJSON_CreateObject();
    for (int32_t id = first; id < last; id++) {
        printable(model, id, text);
        cJSON_AddNumberToObject(json, text, id);
    }
    put_json(out, json);
}

void foreign_vocab_json(const struct model *model, struct bytes *out)
{
    put_map(model, 0, model_describe(model)->special.end + 1, out);
}

void foreign_added_tokens(const struct model *model, struct bytes *out)
{
    const struct model_description *d = model_describe(model);
    put_map(model, d->special.start, (int32_t)d->n_vocab, out);
}

void foreign_hf_config(const struct model *model, struct bytes *out)
{
    const struct model_description *d = model_describe(model);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "model_type", "whisper");
    cJSON_AddStringToObject(json, "activation_function", "gelu");
    cJSON_AddNumberToObject(json, "vocab_size", d->n_vocab);
    cJSON_AddNumberToObject(json, "num_mel_bins", d->n_mels);
    cJSON_AddNumberToObject(json, "d_model", d->encoder.n_state);
    cJSON_AddNumberToObject(json, "encoder_layers", d->encoder.n_layers);
    cJSON_AddNumberToObject(json, "encoder_attention_heads", d->encoder.n_heads);
    cJSON_AddNumberToObject(json, "encoder_ffn_dim", d->encoder.n_ff);
    cJSON_AddNumberToObject(json, "max_source_positions", d->encoder.n_positions);
    cJSON_AddNumberToObject(json, "decoder_layers", d->decoder.n_layers);
    cJSON_AddNumberToObject(json, "decoder_attention_heads", d->decoder.n_heads);
    cJSON_AddNumberToObject(json, "decoder_ffn_dim", d->decoder.n_ff);
    cJSON_AddNumberToObject(json, "max_target_positions", d->decoder.n_positions);
    put_json(out, json);
}
