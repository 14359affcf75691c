/* import_int.h: what the three importers share. Private to lib/model. */
#ifndef MODEL_IMPORT_INT_H
#define MODEL_IMPORT_INT_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "model/blob.h"
#include "model/import.h"
#include "model/whisper.h"

enum { IMPORT_BLOBS_MAX = 64, IMPORT_HEADS_MAX = 256, IMPORT_TEXT_MAX = 64 << 20 };

enum source_type { SOURCE_F32, SOURCE_F16, SOURCE_BF16, SOURCE_Q8_0 };

/* A tensor as the source has it. */
struct source_tensor {
    char name[96];
    enum source_type type;
    uint32_t n_dims;
    uint64_t shape[4]; /* slowest first */
    uint32_t blob;
    uint64_t offset;
};

struct source_index {
    struct source_tensor *tensors; /* sorted by name after source_index_finish */
    uint32_t n;
    uint32_t capacity;
};

/* Owned token bytes by id. */
struct vocabulary {
    struct token_text *tokens; /* bytes NULL where no token was set */
    uint32_t n;
};

struct import {
    const char *kind;
    struct model_source source;
    struct vocabulary vocabulary;
    uint32_t alignment_heads[IMPORT_HEADS_MAX * 2];
    struct blob blobs[IMPORT_BLOBS_MAX];
    uint32_t n_blobs;
    struct source_index index;
    struct weight *weights; /* in model order */
    const struct source_tensor **found;
    uint32_t n_weights;
};

/* The importers: each fills description, vocabulary, blobs, index and weights of an empty import.
 * The ggml importer takes its file from blobs[0]. */
MUST_CHECK enum status import_ct2(struct import *import, const struct folder *folder,
                                  struct error *err);
MUST_CHECK enum status import_hf(struct import *import, const struct folder *folder,
                                 struct error *err);
MUST_CHECK enum status import_ggml(struct import *import, struct error *err);

/* For tests and fuzzing: an importer on memory. Same as import_open otherwise. */
MUST_CHECK enum status import_folder(const struct folder *folder, struct import **out,
                                     struct error *err);
MUST_CHECK enum status import_ggml_blob(const struct blob *blob, struct import **out,
                                        struct error *err);

/* --- source index (import.c) */

/* Adds a copy; names may come in any order. */
MUST_CHECK enum status source_index_add(struct source_index *index,
                                        const struct source_tensor *tensor, struct error *err);
/* Sorts; STATUS_CORRUPT for a name that is there twice. */
MUST_CHECK enum status source_index_finish(struct source_index *index, struct error *err);
const struct source_tensor *source_find(const struct source_index *index, const char *name);
uint64_t source_elements(const struct source_tensor *tensor);
uint64_t source_bytes(enum source_type type, uint64_t n_elements);

/* Looks every weight of the description up and checks its shape (dimensions of 1 are ignored). */
MUST_CHECK enum status import_bind(struct import *import, enum weight_naming naming,
                                   struct error *err);

/* --- vocabulary (import_vocab.c) */

MUST_CHECK enum status vocabulary_init(struct vocabulary *vocabulary, uint32_t n,
                                       struct error *err);
void vocabulary_release(struct vocabulary *vocabulary);

/* Sets a token from raw bytes, or from GPT-2's printable form. STATUS_CORRUPT outside the
 * vocabulary. */
MUST_CHECK enum status vocabulary_set(struct vocabulary *vocabulary, int64_t id, const void *bytes,
                                      size_t n, struct error *err);
MUST_CHECK enum status vocabulary_set_printable(struct vocabulary *vocabulary, int64_t id,
                                                const char *text, size_t n, struct error *err);

/* {"token": id, ...}, as in vocab.json; entries at or above `end` are skipped. */
MUST_CHECK enum status vocabulary_set_map(struct vocabulary *vocabulary, const cJSON *map,
                                          int64_t end, struct error *err);

/* Lays the special tokens out (whisper_layout), writes their texts, and checks that no ordinary
 * token is missing; also guesses the name and completes empty suppress lists. */
MUST_CHECK enum status import_finish_vocabulary(struct import *import, int32_t end,
                                                struct error *err);

/* --- JSON (import_json.c) */

MUST_CHECK enum status json_parse(const struct folder *folder, const char *name, cJSON **out,
                                  struct error *err);
/* A whole number from 0 to 2^31 - 1 that must be there. */
MUST_CHECK enum status json_number(const cJSON *object, const char *key, uint32_t *out,
                                   struct error *err);
/* A list of token ids; *n is 0 when the key is missing or null. */
MUST_CHECK enum status json_ids(const cJSON *object, const char *key, int32_t *out, uint32_t max,
                                uint32_t *n, struct error *err);
/* [[layer, head], ...] into the import's alignment heads, when the key is there. */
MUST_CHECK enum status json_alignment_heads(struct import *import, const cJSON *object,
                                            struct error *err);

#endif
