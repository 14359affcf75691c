/* safetensors: u64 length, a JSON object of that length {name: {dtype, shape, data_offsets}}, then
 * the data. Source: huggingface/safetensors README. */
#include "model/import_safetensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_MAX = 64 << 20 };

static bool float_type(const cJSON *dtype, enum source_type *out)
{
    static const char *const names[] = {
        [SOURCE_F32] = "F32", [SOURCE_F16] = "F16", [SOURCE_BF16] = "BF16"};
    for (size_t i = 0; cJSON_IsString(dtype) && i < ARRAY_LEN(names); i++)
        if (strcmp(dtype->valuestring, names[i]) == 0) {
            *out = (enum source_type)i;
            return true;
        }
    return false;
}

/* A whole number that a double holds exactly. */
static bool whole(const cJSON *item, uint64_t *out)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 0x1p53) ||
        floor(item->valuedouble) != item->valuedouble)
        return false;
    *out = (uint64_t)item->valuedouble;
    return true;
}

static bool take_shape(const cJSON *shape, struct source_tensor *t)
{
    const cJSON *item;
    uint64_t n = 1;
    if (!cJSON_IsArray(shape))
        return false;
    cJSON_ArrayForEach(item, shape) {
        uint64_t dim;
        if (t->n_dims == 4 || !whole(item, &dim) || dim == 0 || dim > (UINT64_C(1) << 40) / n)
            return false;
        n *= dim;
        t->shape[t->n_dims++] = dim;
    }
    return true;
}

static bool take_name(const char *name, struct source_tensor *t)
{
    bool bare = strncmp(name, "encoder.", 8) == 0 || strncmp(name, "decoder.", 8) == 0;
    int n = snprintf(t->name, sizeof(t->name), "%s%s", bare ? "model." : "", name);
    return n > 0 && (size_t)n < sizeof(t->name);
}

static enum status add(struct import *import, uint32_t blob, uint64_t data, const cJSON *entry,
                       struct error *err)
{
    struct source_tensor t = {.blob = blob};
    uint64_t begin, end;
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    if (!entry->string || !take_name(entry->string, &t) ||
        !float_type(cJSON_GetObjectItemCaseSensitive(entry, "dtype"), &t.type))
        return STATUS_OK; /* none of ours: its absence is noticed when it is wanted */
    if (!take_shape(cJSON_GetObjectItemCaseSensitive(entry, "shape"), &t) ||
        !whole(cJSON_GetArrayItem(offsets, 0), &begin) ||
        !whole(cJSON_GetArrayItem(offsets, 1), &end))
        return error_set(err, STATUS_CORRUPT, "tensor '%s' has no sensible entry", t.name);
    uint64_t there = import->blobs[blob].n - data;
    if (begin > end || end - begin != source_bytes(t.type, source_elements(&t)))
        return error_set(err, STATUS_CORRUPT,
                         "tensor '%s' has a wrong number of bytes for its shape", t.name);
    if (end > there)
        return error_set(err, STATUS_CORRUPT, "the file ends inside tensor '%s' (truncated?)",
                         t.name);
    t.offset = data + begin;
    return source_index_add(&import->index, &t, err);
}

static enum status scan_header(struct import *import, uint32_t blob, const char *text,
                               uint64_t data, struct error *err)
{
    cJSON *json = cJSON_Parse(text);
    enum status st = cJSON_IsObject(json) ? STATUS_OK
                                          : error_set(err, STATUS_CORRUPT,
                                                      "the safetensors header is not valid JSON");
    const cJSON *entry;
    cJSON_ArrayForEach(entry, json) {
        if (st != STATUS_OK)
            break;
        st = add(import, blob, data, entry, err);
    }
    cJSON_Delete(json);
    return st;
}

enum status safetensors_scan(struct import *import, uint32_t blob, struct error *err)
{
    uint64_t n = 0;
    const struct blob *file = &import->blobs[blob];
    enum status st = blob_read(file, 0, &n, sizeof(n), err);
    if (st != STATUS_OK)
        return st;
    if (n > HEADER_MAX || n > file->n - sizeof(n))
        return error_set(
            err, STATUS_CORRUPT,
            "the safetensors header claims %" PRIu64 " bytes (truncated, or another kind?)", n);
    char *text = malloc((size_t)n + 1);
    if (!text)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    st = blob_read(file, sizeof(n), text, (size_t)n, err);
    text[n] = '\0';
    if (st == STATUS_OK)
        st = scan_header(import, blob, text, sizeof(n) + n, err);
    free(text);
    return st;
}
