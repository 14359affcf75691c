/* gguf_write.h: builds the header of a GGUF file (version 3) in memory.
 *
 * Entries first, then tensors, then gguf_builder_finish. A failed allocation sticks: later calls do
 * nothing and finish says STATUS_NO_MEMORY. The tensor data is the caller's to write at the offsets
 * given.
 */
#ifndef MODEL_GGUF_WRITE_H
#define MODEL_GGUF_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "model/model.h"

enum { GGUF_ALIGNMENT = 32 };

struct gguf_builder {
    uint8_t *bytes; /* the header so far */
    size_t n;
    size_t capacity;
    uint64_t n_entries;
    uint64_t n_tensors;
    uint64_t data_bytes; /* what the tensors so far take, padded */
    bool failed;
};

void gguf_builder_init(struct gguf_builder *builder);
void gguf_builder_release(struct gguf_builder *builder);

/* Metadata. Arrays of 32-bit integers are given as their bits. */
void gguf_put_u32(struct gguf_builder *b, const char *key, uint32_t value);
void gguf_put_u64(struct gguf_builder *b, const char *key, uint64_t value);
void gguf_put_f32(struct gguf_builder *b, const char *key, float value);
void gguf_put_bool(struct gguf_builder *b, const char *key, bool value);
void gguf_put_string(struct gguf_builder *b, const char *key, const char *value);
void gguf_put_i32_array(struct gguf_builder *b, const char *key, const int32_t *items, uint64_t n);
void gguf_put_u32_array(struct gguf_builder *b, const char *key, const uint32_t *items, uint64_t n);

/* An array of n u64 to be filled in later: returns the offset of the first item in the header. */
size_t gguf_put_u64_array_space(struct gguf_builder *b, const char *key, uint64_t n);

/* An array of n strings: begin, then exactly n items. */
void gguf_begin_strings(struct gguf_builder *b, const char *key, uint64_t n);
void gguf_put_item(struct gguf_builder *b, const void *bytes, uint64_t n_bytes);

/* A tensor of this type and shape (slowest first). Returns its offset from the start of the data.
 */
uint64_t gguf_put_tensor(struct gguf_builder *b, const char *name, const struct tensor_info *info);

/* Writes the counts and the padding; the data begins at b->n. */
MUST_CHECK enum status gguf_builder_finish(struct gguf_builder *b, struct error *err);

#endif
