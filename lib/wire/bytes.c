#include "wire/wire_int.h"

#include <stdlib.h>
#include <string.h>

enum status wire_emit(const ProtobufCMessage *message, struct wire_bytes *out, struct error *err)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *data = malloc(size + 1);
    if (!data)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a frame of %zu bytes", size);
    out->size = protobuf_c_message_pack(message, data);
    out->data = data;
    SA_ASSERT(out->size == size);
    return STATUS_OK;
}

void wire_bytes_release(struct wire_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct wire_bytes){0};
}

/* ---- a look at the raw bytes ---- */

struct cursor {
    const uint8_t *at, *end;
};

static bool read_varint(struct cursor *c, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && c->at < c->end; shift += 7) {
        uint8_t byte = *c->at++;
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* One field's value: for a length-delimited one *value is its length and the cursor stands at
 * it. */
static bool read_value(struct cursor *c, unsigned wire_type, uint64_t *value)
{
    size_t fixed = wire_type == 1 ? 8 : wire_type == 5 ? 4 : 0;
    if (fixed) {
        if ((size_t)(c->end - c->at) < fixed)
            return false;
        c->at += fixed;
        return true;
    }
    if (wire_type != 0 && wire_type != 2)
        return false;
    return read_varint(c, value) && (wire_type == 0 || *value <= (uint64_t)(c->end - c->at));
}

/* protobuf-c hands a string out as a C string, so that "en\0zz" would pass for "en". Walks the
 * message by its description and refuses that; also what is no protobuf at all. The messages here
 * do not contain themselves, so the recursion is bounded by the schema. */
static const char *problem_in_raw(const ProtobufCMessageDescriptor *type, struct cursor c)
{
    while (c.at < c.end) {
        uint64_t key, value = 0;
        unsigned wire_type;
        if (!read_varint(&c, &key))
            return "truncated";
        wire_type = (unsigned)(key & 7);
        if (key >> 3 == 0 || key >> 32 || !read_value(&c, wire_type, &value))
            return "truncated or not protobuf";
        if (wire_type != 2)
            continue;
        struct cursor inner = {c.at, c.at + value};
        c.at = inner.end;
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, (unsigned)(key >> 3));
        if (field && field->type == PROTOBUF_C_TYPE_STRING && memchr(inner.at, 0, value))
            return "a NUL character inside a text";
        const char *problem = NULL;
        if (field && field->type == PROTOBUF_C_TYPE_MESSAGE)
            problem = problem_in_raw(field->descriptor, inner);
        if (problem)
            return problem;
    }
    return NULL;
}

/* ---- memory with a cap ---- */

/* A few bytes on the wire (an empty repeated message) can ask for a hundred in memory. */
struct budget {
    size_t left;
    bool exceeded;
};

static void *budget_alloc(void *context, size_t size)
{
    struct budget *budget = context;
    if (size > budget->left) {
        budget->exceeded = true;
        return NULL;
    }
    budget->left -= size;
    return malloc(size ? size : 1);
}

static void budget_free(void *context, void *pointer)
{
    (void)context;
    free(pointer);
}

enum status wire_parse(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size,
                       size_t memory_max, ProtobufCMessage **out, struct error *err)
{
    struct budget budget = {.left = memory_max};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    const char *problem = size ? problem_in_raw(type, (struct cursor){data, data + size}) : NULL;
    if (problem)
        return error_set(err, STATUS_CORRUPT, "a malformed %s: %s", type->short_name, problem);
    *out = protobuf_c_message_unpack(type, &allocator, size, data);
    if (*out)
        return STATUS_OK;
    if (budget.exceeded)
        return error_set(err, STATUS_CORRUPT, "a malformed %s: too many parts", type->short_name);
    return error_set(err, STATUS_CORRUPT, "a malformed %s", type->short_name);
}

void wire_free_message(ProtobufCMessage *message)
{
    ProtobufCAllocator allocator = {budget_alloc, budget_free, NULL};
    protobuf_c_message_free_unpacked(message, &allocator);
}

/* ---- copies ---- */

enum status wire_copy_text(char *dst, size_t capacity, const char *src, const char *field,
                           struct error *err)
{
    size_t n = strlen(src);
    if (n >= capacity)
        return error_set(err, STATUS_CORRUPT, "%s is %zu bytes long, the limit is %zu", field, n,
                         capacity - 1);
    memcpy(dst, src, n + 1);
    return STATUS_OK;
}

enum status wire_copy_tokens(int32_t *dst, uint32_t *n, size_t capacity, const uint32_t *src,
                             size_t n_src, struct error *err)
{
    if (n_src > capacity)
        return error_set(err, STATUS_CORRUPT, "%zu tokens, the limit is %zu", n_src, capacity);
    for (size_t i = 0; i < n_src; i++)
        dst[i] = (int32_t)src[i];
    *n = (uint32_t)n_src;
    return STATUS_OK;
}
