#include "model/gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/number_types.h"

enum { STRING_MAX = 1 << 20, KEY_MAX = 4096, ALIGNMENT_MAX = 1 << 16, N_ELEMENTS_LOG2_MAX = 40 };

/* Reads forward; the first failure sticks, and later reads give zeros. */
struct cursor {
    const uint8_t *bytes;
    uint64_t at;
    uint64_t n;
    uint64_t file_size;
    bool *needs_more;
    struct error *err;
    bool failed;
};

static void fail(struct cursor *c, enum status code, const char *what)
{
    if (!c->failed)
        error_set(c->err, code, "%s at byte %" PRIu64 " of the GGUF header", what, c->at);
    c->failed = true;
}

static const uint8_t *take(struct cursor *c, uint64_t n)
{
    if (c->failed)
        return NULL;
    if (n > c->n - c->at) {
        *c->needs_more = c->n < c->file_size && n <= c->file_size - c->at;
        fail(c, STATUS_CORRUPT, "the file ends inside the header (truncated?)");
        return NULL;
    }
    const uint8_t *p = c->bytes + c->at;
    c->at += n;
    return p;
}

uint32_t gguf_load_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

uint64_t gguf_load_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static uint32_t take_u32(struct cursor *c)
{
    const uint8_t *p = take(c, 4);
    return p ? gguf_load_u32(p) : 0;
}

static uint64_t take_u64(struct cursor *c)
{
    const uint8_t *p = take(c, 8);
    return p ? gguf_load_u64(p) : 0;
}

static struct gguf_text take_text(struct cursor *c, uint64_t max)
{
    struct gguf_text text = {.n = take_u64(c)};
    if (text.n > max)
        fail(c, STATUS_CORRUPT, "a string has an absurd length");
    text.bytes = (const char *)take(c, text.n);
    if (!text.bytes)
        text.n = 0;
    return text;
}

/* Bytes of a scalar; 0 for strings and arrays. */
static uint64_t scalar_bytes(uint32_t type)
{
    static const uint8_t sizes[GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < GGUF_TYPES ? sizes[type] : 0;
}

static void take_array(struct cursor *c, struct gguf_entry *e)
{
    uint32_t item_type = take_u32(c);
    e->n_items = take_u64(c);
    if (item_type >= GGUF_TYPES || item_type == GGUF_ARRAY) {
        fail(c, STATUS_UNSUPPORTED, "an array holds an unknown type");
        return;
    }
    e->item_type = (enum gguf_value_type)item_type;
    uint64_t item_bytes = item_type == GGUF_STRING ? 8 : scalar_bytes(item_type);
    if (e->n_items > c->file_size / item_bytes) {
        fail(c, STATUS_CORRUPT, "an array has an absurd length");
        return;
    }
    e->value = c->bytes + c->at;
    if (item_type != GGUF_STRING) {
        take(c, e->n_items * item_bytes);
        return;
    }
    for (uint64_t i = 0; i < e->n_items && !c->failed; i++)
        take_text(c, STRING_MAX);
}

static void take_entry(struct cursor *c, struct gguf_entry *e)
{
    e->key = take_text(c, KEY_MAX);
    uint32_t type = take_u32(c);
    if (!c->failed && type >= GGUF_TYPES)
        fail(c, STATUS_UNSUPPORTED, "a metadata value has an unknown type");
    if (c->failed)
        return;
    e->type = (enum gguf_value_type)type;
    e->value = c->bytes + c->at;
    uint64_t start = c->at;
    if (type == GGUF_ARRAY) {
        take_array(c, e);
        start = (uint64_t)(e->value - c->bytes);
    } else if (type == GGUF_STRING) {
        take_text(c, STRING_MAX);
    } else {
        take(c, scalar_bytes(type));
    }
    e->n_bytes = c->at - start;
}

static bool known_type(uint32_t type, enum tensor_type *out)
{
    switch (type) {
    case 0:
        *out = TENSOR_F32;
        return true;
    case 1:
        *out = TENSOR_F16;
        return true;
    case 2:
        *out = TENSOR_Q4_0;
        return true;
    case 8:
        *out = TENSOR_Q8_0;
        return true;
    default:
        return false;
    }
}

/* Reads dims (fastest first in the file) into info->shape (slowest first); returns the number of
 * elements. */
static uint64_t take_shape(struct cursor *c, struct tensor_info *info)
{
    info->n_dims = take_u32(c);
    if (info->n_dims < 1 || info->n_dims > GGUF_DIMS_MAX) {
        fail(c, STATUS_CORRUPT, "a tensor has no or too many dimensions");
        return 0;
    }
    uint64_t n = 1;
    for (uint32_t i = 0; i < info->n_dims; i++) {
        uint64_t dim = take_u64(c);
        if (dim == 0 || dim > (UINT64_C(1) << N_ELEMENTS_LOG2_MAX) / n) {
            fail(c, STATUS_CORRUPT, "a tensor has an absurd shape");
            return 0;
        }
        n *= dim;
        info->shape[info->n_dims - 1 - i] = dim;
    }
    return n;
}

static void take_tensor(struct cursor *c, struct gguf_tensor *t)
{
    t->name = take_text(c, KEY_MAX);
    uint64_t n = take_shape(c, &t->info);
    uint32_t type = take_u32(c);
    t->offset = take_u64(c);
    if (c->failed)
        return;
    if (!known_type(type, &t->info.type))
        fail(c, STATUS_UNSUPPORTED, "a tensor has a type other than f32, f16, q8_0, q4_0");
    else if (tensor_type_blocks(t->info.type) && t->info.shape[t->info.n_dims - 1] % QBLOCK)
        fail(c, STATUS_CORRUPT, "a tensor in blocks has rows that do not divide by 32");
    else
        t->info.n_bytes = tensor_type_bytes(t->info.type, n);
}

static int text_compare(struct gguf_text a, struct gguf_text b)
{
    int order = memcmp(a.bytes, b.bytes, MIN(a.n, b.n));
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int entry_compare(const void *a, const void *b)
{
    return text_compare(((const struct gguf_entry *)a)->key, ((const struct gguf_entry *)b)->key);
}

static int tensor_name_compare(const void *a, const void *b, void *gguf)
{
    const struct gguf_tensor *tensors = ((const struct gguf *)gguf)->tensors;
    return text_compare(tensors[*(const uint32_t *)a].name, tensors[*(const uint32_t *)b].name);
}

static enum status sort_and_check_names(struct gguf *gguf, struct error *err)
{
    qsort(gguf->entries, gguf->n_entries, sizeof(*gguf->entries), entry_compare);
    for (uint32_t i = 1; i < gguf->n_entries; i++) {
        struct gguf_text key = gguf->entries[i].key;
        if (text_compare(gguf->entries[i - 1].key, key) == 0)
            return error_set(err, STATUS_CORRUPT, "metadata key '%.*s' is there twice",
                             (int)MIN(key.n, 80), key.bytes);
    }
    for (uint32_t i = 0; i < gguf->n_tensors; i++)
        gguf->by_name[i] = i;
    qsort_r(gguf->by_name, gguf->n_tensors, sizeof(uint32_t), tensor_name_compare, gguf);
    for (uint32_t i = 1; i < gguf->n_tensors; i++) {
        struct gguf_text name = gguf->tensors[gguf->by_name[i]].name;
        if (text_compare(gguf->tensors[gguf->by_name[i - 1]].name, name) == 0)
            return error_set(err, STATUS_CORRUPT, "tensor '%.*s' is there twice",
                             (int)MIN(name.n, 80), name.bytes);
    }
    return STATUS_OK;
}

static uint64_t align_up(uint64_t n, uint64_t alignment)
{
    return (n + alignment - 1) & ~(alignment - 1);
}

/* Tensors must follow each other in file order without overlap, and end with the file. */
static enum status check_placement(struct gguf *gguf, uint64_t file_size, struct error *err)
{
    uint32_t alignment = 32;
    gguf_u32(gguf, "general.alignment", &alignment);
    if (alignment < 8 || alignment > ALIGNMENT_MAX || (alignment & (alignment - 1)))
        return error_set(err, STATUS_CORRUPT, "alignment %u is not a power of two from 8 to %d",
                         alignment, ALIGNMENT_MAX);
    gguf->data_offset = align_up(gguf->header_bytes, alignment);
    uint64_t end = gguf->data_offset;
    for (uint32_t i = 0; i < gguf->n_tensors; i++) {
        struct gguf_tensor *t = &gguf->tensors[i];
        int n = (int)MIN(t->name.n, 80);
        if (t->offset % alignment || t->offset > file_size)
            return error_set(err, STATUS_CORRUPT, "tensor '%.*s' lies at an impossible offset", n,
                             t->name.bytes);
        t->offset += gguf->data_offset;
        if (t->offset < end)
            return error_set(err, STATUS_CORRUPT,
                             "tensor '%.*s' overlaps the one before it or is out of order", n,
                             t->name.bytes);
        if (t->offset > file_size || t->info.n_bytes > file_size - t->offset)
            return error_set(
                err, STATUS_CORRUPT,
                "the file ends inside tensor '%.*s': it is truncated; fetch or convert "
                "the model again",
                n, t->name.bytes);
        end = t->offset + t->info.n_bytes;
    }
    if (file_size > align_up(end, alignment))
        return error_set(err, STATUS_CORRUPT, "%" PRIu64 " bytes too many after the last tensor",
                         file_size - end);
    return STATUS_OK;
}

static enum status parse_version(struct cursor *c, struct gguf *gguf, struct error *err)
{
    const uint8_t *magic = take(c, 4);
    if (!magic)
        return STATUS_CORRUPT;
    if (memcmp(magic, "GGUF", 4) != 0)
        return error_set(err, STATUS_CORRUPT, "not a GGUF file");
    gguf->version = take_u32(c);
    if (c->failed)
        return STATUS_CORRUPT;
    if (gguf->version > 0xFFFF && gguf->version << 8 == 0)
        return error_set(err, STATUS_UNSUPPORTED, "big-endian GGUF is not supported");
    if (gguf->version < 2 || gguf->version > 3)
        return error_set(err, STATUS_UNSUPPORTED,
                         "GGUF version %u is not supported (this program reads 2 and 3)%s",
                         gguf->version, gguf->version > 3 ? ": use a newer specasr" : "");
    return STATUS_OK;
}

/* Counts are believed only as far as the file could hold them: an entry takes at least 13 bytes, a
 * tensor 36. */
static enum status parse_counts(struct cursor *c, struct gguf *gguf, struct error *err)
{
    uint64_t n_tensors = take_u64(c);
    uint64_t n_entries = take_u64(c);
    if (c->failed)
        return STATUS_CORRUPT;
    if (n_tensors > MIN((uint64_t)GGUF_TENSORS_MAX, c->file_size / 36) ||
        n_entries > MIN((uint64_t)GGUF_ENTRIES_MAX, c->file_size / 13))
        return error_set(err, STATUS_CORRUPT,
                         "the header claims %" PRIu64 " tensors and %" PRIu64
                         " metadata entries: more than there can be",
                         n_tensors, n_entries);
    gguf->n_tensors = (uint32_t)n_tensors;
    gguf->n_entries = (uint32_t)n_entries;
    gguf->entries = calloc(n_entries + 1, sizeof(*gguf->entries));
    gguf->tensors = calloc(n_tensors + 1, sizeof(*gguf->tensors));
    gguf->by_name = calloc(n_tensors + 1, sizeof(*gguf->by_name));
    if (!gguf->entries || !gguf->tensors || !gguf->by_name)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the GGUF header");
    return STATUS_OK;
}

static enum status parse_all(struct cursor *c, struct gguf *gguf, struct error *err)
{
    enum status st = parse_version(c, gguf, err);
    if (st == STATUS_OK)
        st = parse_counts(c, gguf, err);
    if (st != STATUS_OK)
        return st;
    for (uint32_t i = 0; i < gguf->n_entries && !c->failed; i++)
        take_entry(c, &gguf->entries[i]);
    for (uint32_t i = 0; i < gguf->n_tensors && !c->failed; i++)
        take_tensor(c, &gguf->tensors[i]);
    if (c->failed)
        return err->code;
    gguf->header_bytes = c->at;
    st = sort_and_check_names(gguf, err);
    return st == STATUS_OK ? check_placement(gguf, c->file_size, err) : st;
}

enum status gguf_parse(const uint8_t *bytes, uint64_t n_bytes, uint64_t file_size, struct gguf *out,
                       bool *needs_more, struct error *err)
{
    struct error local;
    struct error *e = err ? err : &local;
    struct cursor c = {
        .bytes = bytes, .n = n_bytes, .file_size = file_size, .needs_more = needs_more, .err = e};
    SA_ASSERT(n_bytes <= file_size);
    memset(out, 0, sizeof(*out));
    *needs_more = false;
    enum status st = parse_all(&c, out, e);
    if (st == STATUS_OK && out->data_offset > n_bytes) {
        *needs_more = out->data_offset <= file_size;
        st = error_set(e, STATUS_CORRUPT, "the file ends inside the padding behind the header");
    }
    if (st != STATUS_OK)
        gguf_free(out);
    return st;
}

void gguf_free(struct gguf *gguf)
{
    if (!gguf)
        return;
    free(gguf->entries);
    free(gguf->tensors);
    free(gguf->by_name);
    memset(gguf, 0, sizeof(*gguf));
}

const struct gguf_entry *gguf_find(const struct gguf *gguf, const char *key)
{
    struct gguf_entry wanted = {.key = {key, strlen(key)}};
    return bsearch(&wanted, gguf->entries, gguf->n_entries, sizeof(wanted), entry_compare);
}

const struct gguf_tensor *gguf_tensor(const struct gguf *gguf, const char *name)
{
    struct gguf_text wanted = {name, strlen(name)};
    uint32_t low = 0, high = gguf->n_tensors;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct gguf_tensor *t = &gguf->tensors[gguf->by_name[middle]];
        int order = text_compare(wanted, t->name);
        if (order == 0)
            return t;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

bool gguf_u64(const struct gguf *gguf, const char *key, uint64_t *out)
{
    const struct gguf_entry *e = gguf_find(gguf, key);
    static const bool integer[GGUF_TYPES] = {1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0};
    static const bool is_signed[GGUF_TYPES] = {
        [GGUF_I8] = 1, [GGUF_I16] = 1, [GGUF_I32] = 1, [GGUF_I64] = 1};
    if (!e || !integer[e->type])
        return false;
    uint64_t value = 0;
    memcpy(&value, e->value, e->n_bytes);
    if (is_signed[e->type] && value >> (e->n_bytes * 8 - 1))
        return false;
    *out = value;
    return true;
}

bool gguf_u32(const struct gguf *gguf, const char *key, uint32_t *out)
{
    uint64_t value;
    if (!gguf_u64(gguf, key, &value) || value > UINT32_MAX)
        return false;
    *out = (uint32_t)value;
    return true;
}

bool gguf_f32(const struct gguf *gguf, const char *key, float *out)
{
    const struct gguf_entry *e = gguf_find(gguf, key);
    if (!e || e->type != GGUF_F32)
        return false;
    memcpy(out, e->value, sizeof(*out));
    return true;
}

bool gguf_bool(const struct gguf *gguf, const char *key, bool *out)
{
    const struct gguf_entry *e = gguf_find(gguf, key);
    if (!e || e->type != GGUF_BOOL || e->value[0] > 1)
        return false;
    *out = e->value[0];
    return true;
}

bool gguf_string(const struct gguf *gguf, const char *key, struct gguf_text *out)
{
    const struct gguf_entry *e = gguf_find(gguf, key);
    if (!e || e->type != GGUF_STRING)
        return false;
    const uint8_t *position = e->value;
    *out = gguf_next_string(&position);
    return true;
}

const struct gguf_entry *gguf_array(const struct gguf *gguf, const char *key,
                                    enum gguf_value_type item_type)
{
    const struct gguf_entry *e = gguf_find(gguf, key);
    return e && e->type == GGUF_ARRAY && e->item_type == item_type ? e : NULL;
}

struct gguf_text gguf_next_string(const uint8_t **position)
{
    struct gguf_text text = {.n = gguf_load_u64(*position)};
    text.bytes = (const char *)*position + 8;
    *position += 8 + text.n;
    return text;
}
