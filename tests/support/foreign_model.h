/* foreign_model.h: a model of ours written in the forms of others, to be imported again. */
#ifndef TESTS_FOREIGN_MODEL_H
#define TESTS_FOREIGN_MODEL_H

#include <stdbool.h>

#include "model/model.h"

/* Numbers of the tensors: all f32, or matrices f16 and the rest f32. */
enum foreign_numbers { FOREIGN_F32, FOREIGN_F16 };

/* Bytes that grow. */
struct bytes {
    uint8_t *data;
    size_t n;
    size_t capacity;
};

void bytes_put(struct bytes *b, const void *data, size_t n);
void bytes_u32(struct bytes *b, uint32_t value);
void bytes_release(struct bytes *b);

/* The main file of each kind. */
void foreign_ct2(const struct model *model, enum foreign_numbers numbers, struct bytes *out);
void foreign_ggml(const struct model *model, enum foreign_numbers numbers, struct bytes *out);

/* One safetensors file with every n_shards-th tensor, from number `shard` on. names (may be NULL)
 * gets the tensors' names as lines. */
void foreign_safetensors(const struct model *model, enum foreign_numbers numbers, uint32_t shard,
                         uint32_t n_shards, struct bytes *out, struct bytes *names);

/* Texts beside the weights: vocabulary.txt; vocab.json; added_tokens.json; config.json of
 * transformers. */
void foreign_vocabulary_txt(const struct model *model, struct bytes *out);
void foreign_vocab_json(const struct model *model, struct bytes *out);
void foreign_added_tokens(const struct model *model, struct bytes *out);
void foreign_hf_config(const struct model *model, struct bytes *out);

#endif
