/* Hugging Face folders (transformers' WhisperForConditionalGeneration): config.json has the shape,
 * generation_config.json the suppress lists, vocab.json or tokenizer.json the tokens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/import_safetensors.h"

static const char end_mark[] = "<|endoftext|>";

/* --- config.json */

static enum status describe(struct model_description *d, const cJSON *json, struct error *err)
{
    const struct {
        const char *key;
        uint32_t *out;
    } numbers[] = {
        {"vocab_size", &d->n_vocab},
        {"num_mel_bins", &d->n_mels},
        {"d_model", &d->encoder.n_state},
        {"encoder_layers", &d->encoder.n_layers},
        {"encoder_attention_heads", &d->encoder.n_heads},
        {"encoder_ffn_dim", &d->encoder.n_ff},
        {"max_source_positions", &d->encoder.n_positions},
        {"decoder_layers", &d->decoder.n_layers},
        {"decoder_attention_heads", &d->decoder.n_heads},
        {"decoder_ffn_dim", &d->decoder.n_ff},
        {"max_target_positions", &d->decoder.n_positions},
    };
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(json, "model_type");
    const cJSON *activation = cJSON_GetObjectItemCaseSensitive(json, "activation_function");
    if (cJSON_IsString(type) && strcmp(type->valuestring, "whisper") != 0)
        return error_set(err, STATUS_UNSUPPORTED,
                         "config.json describes a '%s', not a Whisper model", type->valuestring);
    if ((cJSON_IsString(activation) && strcmp(activation->valuestring, "gelu") != 0) ||
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "scale_embedding")) ||
        cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(json, "tie_word_embeddings")))
        return error_set(err, STATUS_UNSUPPORTED,
                         "config.json changes Whisper's activation, embedding scale or tied head");
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        enum status st = json_number(json, numbers[i].key, numbers[i].out, err);
        if (st != STATUS_OK)
            return err ? error_prefix(err, "config.json") : st;
    }
    d->decoder.n_state = d->encoder.n_state;
    d->multilingual = d->n_vocab >= 51865;
    whisper_defaults(d);
    return STATUS_OK;
}

/* Both files may have the lists; what comes first stays. */
static enum status read_lists(struct import *import, const cJSON *json, struct error *err)
{
    struct model_description *d = &import->source.description;
    const cJSON *multilingual = cJSON_GetObjectItemCaseSensitive(json, "is_multilingual");
    enum status st = STATUS_OK;
    if (cJSON_IsBool(multilingual))
        d->multilingual = cJSON_IsTrue(multilingual);
    if (d->n_suppress == 0)
        st =
            json_ids(json, "suppress_tokens", d->suppress, MODEL_SUPPRESS_MAX, &d->n_suppress, err);
    if (st == STATUS_OK && d->n_suppress_first == 0)
        st = json_ids(json, "begin_suppress_tokens", d->suppress_first,
                      ARRAY_LEN(d->suppress_first), &d->n_suppress_first, err);
    if (st == STATUS_OK && import->source.n_alignment_heads == 0)
        st = json_alignment_heads(import, json, err);
    return st;
}

static enum status read_config(struct import *import, const struct folder *folder,
                               struct error *err)
{
    cJSON *config = NULL, *generation = NULL;
    enum status st = json_parse(folder, "config.json", &config, err);
    if (st == STATUS_OK)
        st = describe(&import->source.description, config, err);
    if (st == STATUS_OK && folder_has(folder, "generation_config.json")) {
        st = json_parse(folder, "generation_config.json", &generation, err);
        if (st == STATUS_OK)
            st = read_lists(import, generation, err);
    }
    if (st == STATUS_OK)
        st = read_lists(import, config, err);
    cJSON_Delete(config);
    cJSON_Delete(generation);
    return st;
}

/* --- weights */

static enum status open_shard(struct import *import, const struct folder *folder, const char *name,
                              struct error *err)
{
    if (import->n_blobs == IMPORT_BLOBS_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "more than %d shards", IMPORT_BLOBS_MAX);
    uint32_t blob = import->n_blobs++;
    enum status st = folder_open(folder, name, &import->blobs[blob], err);
    if (st != STATUS_OK)
        return st;
    st = safetensors_scan(import, blob, err);
    return st != STATUS_OK && err ? error_prefix(err, "%s", name) : st;
}

/* weight_map: {tensor: file}; each file once, in order of first mention. */
static enum status open_shards(struct import *import, const struct folder *folder, const cJSON *map,
                               struct error *err)
{
    const char *opened[IMPORT_BLOBS_MAX];
    uint32_t n = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, map) {
        if (!cJSON_IsString(item) || strchr(item->valuestring, '/'))
            return error_set(err, STATUS_CORRUPT, "the shard index names no plain file");
        uint32_t k = 0;
        while (k < n && strcmp(opened[k], item->valuestring) != 0)
            k++;
        if (k < n)
            continue;
        enum status st = open_shard(import, folder, item->valuestring, err);
        if (st != STATUS_OK)
            return st;
        opened[n++] = item->valuestring;
    }
    return STATUS_OK;
}

static enum status open_weights(struct import *import, const struct folder *folder,
                                struct error *err)
{
    cJSON *index = NULL;
    enum status st;
    if (folder_has(folder, "model.safetensors")) {
        st = open_shard(import, folder, "model.safetensors", err);
    } else {
        st = json_parse(folder, "model.safetensors.index.json", &index, err);
        if (st == STATUS_OK)
            st = open_shards(import, folder, cJSON_GetObjectItemCaseSensitive(index, "weight_map"),
                             err);
    }
    cJSON_Delete(index);
    if (st == STATUS_OK)
        st = source_index_finish(&import->index, err);
    if (st == STATUS_OK &&
        source_find(&import->index, "model.decoder.layers.0.self_attn.k_proj.bias"))
        return error_set(err, STATUS_UNSUPPORTED, "the keys have a bias: not a Whisper model");
    return st;
}

/* --- vocabulary */

/* Takes special tokens from {text: id} or [{content, id}, ...]. *end is set when the mark is among
 * them. */
static enum status take_special(struct vocabulary *v, const cJSON *list, int64_t *end,
                                struct error *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        const cJSON *id =
            cJSON_IsNumber(item) ? item : cJSON_GetObjectItemCaseSensitive(item, "id");
        const cJSON *content = cJSON_GetObjectItemCaseSensitive(item, "content");
        const char *text = cJSON_IsNumber(item)      ? item->string
                           : cJSON_IsString(content) ? content->valuestring
                                                     : NULL;
        if (!text || !cJSON_IsNumber(id))
            return error_set(err, STATUS_CORRUPT, "the added tokens are no list of texts and ids");
        if (strcmp(text, end_mark) == 0)
            *end = id->valueint;
        if (id->valueint < 0 || (uint32_t)id->valueint >= v->n)
            continue;
        enum status st = vocabulary_set(v, id->valueint, text, strlen(text), err);
        if (st != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

static void find_end(const cJSON *map, int64_t *end)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(map, end_mark);
    if (cJSON_IsNumber(item))
        *end = item->valueint;
}

/* map: {token: id}; added: special tokens, or NULL. */
static enum status take_maps(struct import *import, const cJSON *map, const cJSON *added,
                             struct error *err)
{
    int64_t end = -1;
    struct vocabulary *v = &import->vocabulary;
    if (!cJSON_IsObject(map))
        return error_set(err, STATUS_CORRUPT, "the vocabulary is no map from token to id");
    enum status st = take_special(v, added, &end, err);
    if (st != STATUS_OK)
        return st;
    find_end(map, &end);
    if (end < 0 || end >= (int64_t)v->n)
        return error_set(err, STATUS_MISMATCH,
                         "the vocabulary has no %s inside the model's %u tokens", end_mark, v->n);
    st = vocabulary_set_map(v, map, end, err);
    return st == STATUS_OK ? import_finish_vocabulary(import, (int32_t)end, err) : st;
}

static enum status read_vocabulary(struct import *import, const struct folder *folder,
                                   struct error *err)
{
    cJSON *json = NULL, *added = NULL;
    bool plain = folder_has(folder, "vocab.json");
    if (!plain && !folder_has(folder, "tokenizer.json"))
        return error_set(err, STATUS_NOT_FOUND,
                         "neither vocab.json nor tokenizer.json lies beside the weights");
    enum status st = vocabulary_init(&import->vocabulary, import->source.description.n_vocab, err);
    if (st == STATUS_OK)
        st = json_parse(folder, plain ? "vocab.json" : "tokenizer.json", &json, err);
    if (st == STATUS_OK && plain && folder_has(folder, "added_tokens.json"))
        st = json_parse(folder, "added_tokens.json", &added, err);
    if (st == STATUS_OK && plain)
        st = take_maps(import, json, added, err);
    else if (st == STATUS_OK)
        st = take_maps(import,
                       cJSON_GetObjectItemCaseSensitive(
                           cJSON_GetObjectItemCaseSensitive(json, "model"), "vocab"),
                       cJSON_GetObjectItemCaseSensitive(json, "added_tokens"), err);
    cJSON_Delete(json);
    cJSON_Delete(added);
    return st;
}

enum status import_hf(struct import *import, const struct folder *folder, struct error *err)
{
    import->kind = "Hugging Face";
    enum status st = read_config(import, folder, err);
    if (st == STATUS_OK)
        st = open_weights(import, folder, err);
    if (st == STATUS_OK)
        st = read_vocabulary(import, folder, err);
    return st == STATUS_OK ? import_bind(import, NAMING_HF, err) : st;
}
