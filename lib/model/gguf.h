/* gguf.h: the structure of a GGUF file, as defined by the ggml project (versions 2 and 3, little
 * endian).
 *
 *     "GGUF" version n_tensors n_entries
 *     entries   key, value type, value             (metadata)
 *     tensors   name, n_dims, dims fastest first, type, offset from the start of data
 *     padding to the alignment, then the data
 *
 * This file knows bytes, bounds and names; what the names mean is model.c's business. Every count
 * and length is checked against what is left before it is used, so a hostile header costs no more
 * memory than its own size times a small factor.
 */
#ifndef MODEL_GGUF_H
#define MODEL_GGUF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "model/model.h"

enum gguf_value_type {
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL,
    GGUF_STRING, GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64, GGUF_TYPES
};

enum { GGUF_DIMS_MAX = 4, GGUF_ENTRIES_MAX = 4096, GGUF_TENSORS_MAX = 65536 };

/* Bytes inside the header, not terminated. */
struct gguf_text {
    const char *bytes;
    uint64_t n;
};

struct gguf_entry {
    struct gguf_text key;
    enum gguf_value_type type;
    enum gguf_value_type item_type; /* GGUF_ARRAY only; never an array itself */
    uint64_t n_items;               /* GGUF_ARRAY only */
    const uint8_t *value;           /* first byte of the value (of the first item) */
    uint64_t n_bytes;
};

struct gguf_tensor {
    struct gguf_text name;
    struct tensor_info info; /* shape slowest first */
    uint64_t offset;         /* from the start of the file */
};

struct gguf {
    uint32_t version;
    uint64_t header_bytes; /* up to the padding */
    uint64_t data_offset;
    uint32_t n_entries;
    uint32_t n_tensors;
    struct gguf_entry *entries;  /* sorted by key */
    struct gguf_tensor *tensors; /* in file order */
    uint32_t *by_name;           /* tensor indices sorted by name */
};

/* Parses the header that `bytes` begins with and checks it against file_size. Borrows bytes until
 * gguf_free. When the header goes on beyond n_bytes but may be whole within file_size, sets
 * *needs_more and returns STATUS_CORRUPT: call again with more of the file. */
MUST_CHECK enum status gguf_parse(const uint8_t *bytes, uint64_t n_bytes, uint64_t file_size,
                                  struct gguf *out, bool *needs_more, struct error *err);
void gguf_free(struct gguf *gguf);

/* NULL when there is none. */
const struct gguf_entry *gguf_find(const struct gguf *gguf, const char *key);
const struct gguf_tensor *gguf_tensor(const struct gguf *gguf, const char *name);

/* Typed values: false when the key is missing or of another type. Integers of any width are taken
 * where the value fits. */
bool gguf_u32(const struct gguf *gguf, const char *key, uint32_t *out);
bool gguf_u64(const struct gguf *gguf, const char *key, uint64_t *out);
bool gguf_f32(const struct gguf *gguf, const char *key, float *out);
bool gguf_bool(const struct gguf *gguf, const char *key, bool *out);
bool gguf_string(const struct gguf *gguf, const char *key, struct gguf_text *out);

/* An array entry of that item type, or NULL. */
const struct gguf_entry *gguf_array(const struct gguf *gguf, const char *key,
                                    enum gguf_value_type item_type);

/* Reads the string at *position (which must be inside a string array's value) and moves past it. */
struct gguf_text gguf_next_string(const uint8_t **position);

/* Little-endian loads for array items. */
uint32_t gguf_load_u32(const uint8_t *p);
uint64_t gguf_load_u64(const uint8_t *p);

#endif
