#include "model/gguf_write.h"

#include <stdlib.h>
#include <string.h>

#include "model/gguf.h"

enum { COUNTS_AT = 8, HEADER_FIXED = 24, GGUF_VERSION = 3 };

static void put(struct gguf_builder *b, const void *bytes, size_t n)
{
    if (b->failed)
        return;
    if (n > b->capacity - b->n) {
        size_t capacity = MAX(b->capacity * 2, b->n + n + 4096);
        uint8_t *grown = realloc(b->bytes, capacity);
        if (!grown) {
            b->failed = true;
            return;
        }
        b->bytes = grown;
        b->capacity = capacity;
    }
    if (bytes)
        memcpy(b->bytes + b->n, bytes, n);
    else
        memset(b->bytes + b->n, 0, n);
    b->n += n;
}

static void put_u32(struct gguf_builder *b, uint32_t value)
{
    put(b, &value, sizeof(value));
}

static void put_u64(struct gguf_builder *b, uint64_t value)
{
    put(b, &value, sizeof(value));
}

static void put_key(struct gguf_builder *b, const char *key, enum gguf_value_type type)
{
    gguf_put_item(b, key, strlen(key));
    put_u32(b, type);
    b->n_entries++;
}

static void put_array_head(struct gguf_builder *b, const char *key, enum gguf_value_type item_type,
                           uint64_t n)
{
    put_key(b, key, GGUF_ARRAY);
    put_u32(b, item_type);
    put_u64(b, n);
}

void gguf_builder_init(struct gguf_builder *b)
{
    *b = (struct gguf_builder){0};
    put(b, "GGUF", 4);
    put_u32(b, GGUF_VERSION);
    put(b, NULL, HEADER_FIXED - COUNTS_AT);
}

void gguf_builder_release(struct gguf_builder *b)
{
    free(b->bytes);
    *b = (struct gguf_builder){0};
}

void gguf_put_u32(struct gguf_builder *b, const char *key, uint32_t value)
{
    put_key(b, key, GGUF_U32);
    put_u32(b, value);
}

void gguf_put_u64(struct gguf_builder *b, const char *key, uint64_t value)
{
    put_key(b, key, GGUF_U64);
    put_u64(b, value);
}

void gguf_put_f32(struct gguf_builder *b, const char *key, float value)
{
    put_key(b, key, GGUF_F32);
    put(b, &value, sizeof(value));
}

void gguf_put_bool(struct gguf_builder *b, const char *key, bool value)
{
    uint8_t byte = value;
    put_key(b, key, GGUF_BOOL);
    put(b, &byte, 1);
}

void gguf_put_string(struct gguf_builder *b, const char *key, const char *value)
{
    put_key(b, key, GGUF_STRING);
    gguf_put_item(b, value, strlen(value));
}

void gguf_put_i32_array(struct gguf_builder *b, const char *key, const int32_t *items, uint64_t n)
{
    put_array_head(b, key, GGUF_I32, n);
    put(b, items, n * sizeof(*items));
}

void gguf_put_u32_array(struct gguf_builder *b, const char *key, const uint32_t *items, uint64_t n)
{
    put_array_head(b, key, GGUF_U32, n);
    put(b, items, n * sizeof(*items));
}

size_t gguf_put_u64_array_space(struct gguf_builder *b, const char *key, uint64_t n)
{
    put_array_head(b, key, GGUF_U64, n);
    size_t at = b->n;
    put(b, NULL, n * sizeof(uint64_t));
    return at;
}

void gguf_begin_strings(struct gguf_builder *b, const char *key, uint64_t n)
{
    put_array_head(b, key, GGUF_STRING, n);
}

void gguf_put_item(struct gguf_builder *b, const void *bytes, uint64_t n_bytes)
{
    put_u64(b, n_bytes);
    put(b, n_bytes ? bytes : "", n_bytes);
}

uint64_t gguf_put_tensor(struct gguf_builder *b, const char *name, const struct tensor_info *info)
{
    static const uint32_t codes[] = {[TENSOR_F32] = 0, [TENSOR_F16] = 1, [TENSOR_Q8_0] = 8,
                                     [TENSOR_Q4_0] = 2};
    uint64_t offset = b->data_bytes;
    gguf_put_item(b, name, strlen(name));
    put_u32(b, info->n_dims);
    for (uint32_t i = 0; i < info->n_dims; i++)
        put_u64(b, info->shape[info->n_dims - 1 - i]);
    put_u32(b, codes[info->type]);
    put_u64(b, offset);
    b->n_tensors++;
    b->data_bytes += (info->n_bytes + GGUF_ALIGNMENT - 1) / GGUF_ALIGNMENT * GGUF_ALIGNMENT;
    return offset;
}

enum status gguf_builder_finish(struct gguf_builder *b, struct error *err)
{
    put(b, NULL, (GGUF_ALIGNMENT - b->n % GGUF_ALIGNMENT) % GGUF_ALIGNMENT);
    if (b->failed)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the GGUF header");
    memcpy(b->bytes + COUNTS_AT, &b->n_tensors, 8);
    memcpy(b->bytes + COUNTS_AT + 8, &b->n_entries, 8);
    return STATUS_OK;
}
