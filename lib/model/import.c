#include "model/import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/import_int.h"
#include "model/number_types.h"

enum { FILL_BYTES = 64 * 1024 };

/* --- source index */

enum status source_index_add(struct source_index *index, const struct source_tensor *tensor,
                             struct error *err)
{
    if (index->n == index->capacity) {
        uint32_t capacity = MAX(256u, index->capacity * 2);
        struct source_tensor *grown = realloc(index->tensors, capacity * sizeof(*grown));
        if (!grown)
            return error_set(err, STATUS_NO_MEMORY, "out of memory for the tensor list");
        index->tensors = grown;
        index->capacity = capacity;
    }
    index->tensors[index->n++] = *tensor;
    return STATUS_OK;
}

static int tensor_compare(const void *a, const void *b)
{
    return strcmp(((const struct source_tensor *)a)->name, ((const struct source_tensor *)b)->name);
}

enum status source_index_finish(struct source_index *index, struct error *err)
{
    if (index->n > 0)
        qsort(index->tensors, index->n, sizeof(*index->tensors), tensor_compare);
    for (uint32_t i = 1; i < index->n; i++)
        if (strcmp(index->tensors[i - 1].name, index->tensors[i].name) == 0)
            return error_set(err, STATUS_CORRUPT, "tensor '%s' is there twice",
                             index->tensors[i].name);
    return STATUS_OK;
}

const struct source_tensor *source_find(const struct source_index *index, const char *name)
{
    uint32_t low = 0, high = index->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(name, index->tensors[middle].name);
        if (order == 0)
            return &index->tensors[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

uint64_t source_elements(const struct source_tensor *tensor)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        n *= tensor->shape[i];
    return n;
}

uint64_t source_bytes(enum source_type type, uint64_t n)
{
    return type == SOURCE_F32 ? n * 4 : type == SOURCE_Q8_0 ? n / QBLOCK * Q8_BLOCK_BYTES : n * 2;
}

/* --- binding */

/* Dimensions of 1 carry no meaning in some sources (whisper.cpp's bias of the convolutions). */
static bool same_shape(const struct source_tensor *t, const struct weight *w)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (t->shape[i] == 1)
            continue;
        uint64_t wanted = k < w->spec.n_dims ? w->spec.shape[k] * (k == 0 ? w->n_parts : 1) : 0;
        if (t->shape[i] != wanted)
            return false;
        k++;
    }
    return k == w->spec.n_dims;
}

static enum status bind_one(struct import *import, uint32_t i, struct error *err)
{
    const struct weight *w = &import->weights[i];
    const struct source_tensor *t = source_find(&import->index, w->source);
    if (!t)
        return error_set(err, STATUS_CORRUPT,
                         "tensor '%s' is missing: is this a whole Whisper model?", w->source);
    if (!same_shape(t, w))
        return error_set(err, STATUS_CORRUPT, "tensor '%s' has a shape that does not fit the model",
                         w->source);
    if (t->type == SOURCE_Q8_0 && t->shape[t->n_dims - 1] % QBLOCK)
        return error_set(err, STATUS_CORRUPT, "tensor '%s' is no whole number of q8_0 blocks",
                         t->name);
    uint64_t n_bytes = source_bytes(t->type, source_elements(t));
    uint64_t there = import->blobs[t->blob].n;
    if (t->offset > there || n_bytes > there - t->offset)
        return error_set(err, STATUS_CORRUPT, "the file ends inside tensor '%s' (truncated?)",
                         t->name);
    import->found[i] = t;
    return STATUS_OK;
}

enum status import_bind(struct import *import, enum weight_naming naming, struct error *err)
{
    enum status st = whisper_check(&import->source.description, err);
    if (st != STATUS_OK)
        return st;
    import->weights = whisper_weights(&import->source.description, naming, &import->n_weights);
    if (import->weights)
        import->found = calloc(import->n_weights, sizeof(*import->found));
    if (!import->found)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the tensor list");
    for (uint32_t i = 0; i < import->n_weights && st == STATUS_OK; i++)
        st = bind_one(import, i, err);
    return st;
}

/* --- fill */

static void decode(enum source_type type, const uint8_t *src, float *dst, size_t n)
{
    if (type == SOURCE_BF16) {
        for (size_t i = 0; i < n; i++)
            dst[i] = bf16_to_f32((uint16_t)(src[2 * i] | src[2 * i + 1] << 8));
        return;
    }
    tensor_decode(type == SOURCE_F32   ? TENSOR_F32
                  : type == SOURCE_F16 ? TENSOR_F16
                                       : TENSOR_Q8_0,
                  src, dst, n);
}

/* first and n are any for plain types; q8_0 blocks are decoded whole and cut. */
static enum status fill(void *context, uint32_t index, const struct tensor_spec *spec,
                        uint64_t first, float *dst, size_t n, struct error *err)
{
    struct import *import = context;
    const struct weight *w = &import->weights[index];
    const struct source_tensor *t = import->found[index];
    uint8_t bytes[FILL_BYTES];
    float block[QBLOCK];
    uint64_t at = source_elements(t) / w->n_parts * w->part + first;
    size_t step = t->type == SOURCE_Q8_0 ? QBLOCK : FILL_BYTES / source_bytes(t->type, 1);
    (void)spec;
    while (n > 0) {
        bool cut = t->type == SOURCE_Q8_0 && (at % QBLOCK != 0 || n < QBLOCK);
        uint64_t skip = t->type == SOURCE_Q8_0 ? at % QBLOCK : 0;
        size_t here = MIN(n, step - (size_t)skip);
        uint64_t n_read = cut ? QBLOCK : here;
        enum status st =
            blob_read(&import->blobs[t->blob], t->offset + source_bytes(t->type, at - skip), bytes,
                      source_bytes(t->type, n_read), err);
        if (st != STATUS_OK)
            return st;
        decode(t->type, bytes, cut ? block : dst, n_read);
        if (cut)
            memcpy(dst, block + skip, here * sizeof(float));
        dst += here;
        at += here;
        n -= here;
    }
    return STATUS_OK;
}

/* --- opening */

static struct import *import_new(struct error *err)
{
    struct import *import = calloc(1, sizeof(*import));
    if (!import)
        error_set(err, STATUS_NO_MEMORY, "out of memory");
    return import;
}

static enum status finish(struct import *import, enum status st, struct import **out)
{
    if (st != STATUS_OK) {
        import_close(&import);
        return st;
    }
    import->source.fill = fill;
    import->source.context = import;
    import->source.alignment_heads = import->alignment_heads;
    *out = import;
    return STATUS_OK;
}

enum status import_folder(const struct folder *folder, struct import **out, struct error *err)
{
    bool ct2 = folder_has(folder, "model.bin") || folder_has(folder, "model.bin.part1");
    bool hf = folder_has(folder, "model.safetensors") ||
              folder_has(folder, "model.safetensors.index.json");
    if (!ct2 && !hf)
        return error_set(err, STATUS_UNSUPPORTED,
                         "the folder holds neither model.bin (CTranslate2) nor model.safetensors "
                         "(Hugging Face)%s",
                         folder_has(folder, "pytorch_model.bin")
                             ? "; pytorch_model.bin is not read: save it as safetensors"
                             : "");
    struct import *import = import_new(err);
    if (!import)
        return STATUS_NO_MEMORY;
    enum status st = hf ? import_hf(import, folder, err) : import_ct2(import, folder, err);
    return finish(import, st, out);
}

enum status import_ggml_blob(const struct blob *blob, struct import **out, struct error *err)
{
    struct import *import = import_new(err);
    if (!import)
        return STATUS_NO_MEMORY;
    import->blobs[0] = *blob;
    import->n_blobs = 1;
    return finish(import, import_ggml(import, err), out);
}

/* A file: whisper.cpp's, or something that is not a model in one of the three forms. */
static enum status open_file(const char *path, struct import **out, struct error *err)
{
    struct blob blob = {0};
    uint8_t magic[16] = {0};
    enum status st = blob_append(&blob, path, err);
    if (st == STATUS_OK)
        st = blob_read(&blob, 0, magic, (size_t)MIN(blob.n, sizeof(magic)), err);
    if (st != STATUS_OK)
        return st;
    if (memcmp(magic, "lmgg", 4) == 0)
        return import_ggml_blob(&blob, out, err);
    uint64_t n = blob.n;
    blob_close(&blob);
    if (n == 0)
        return error_set(err, STATUS_CORRUPT, "the file is empty");
    if (memcmp(magic, "GGUF", 4) == 0)
        return error_set(err, STATUS_UNSUPPORTED, "this is a GGUF file already");
    if (magic[0] == 6 && memcmp(magic + 1, "\0\0\0", 3) == 0)
        return error_set(err, STATUS_UNSUPPORTED,
                         "this looks like CTranslate2's model.bin: give its folder instead, with "
                         "config.json and vocabulary.txt");
    if (magic[8] == '{' && memcmp(magic + 6, "\0\0", 2) == 0)
        return error_set(
            err, STATUS_UNSUPPORTED,
            "this looks like a safetensors file: give its folder instead, with config.json "
            "and vocab.json");
    return error_set(err, STATUS_UNSUPPORTED,
                     "not a model that can be converted: give a CTranslate2 folder, a Hugging Face "
                     "folder with safetensors, or a whisper.cpp ggml .bin file");
}

enum status import_open(const char *path, struct import **out, struct error *err)
{
    struct stat info;
    struct folder folder = {.path = path};
    if (stat(path, &info) != 0)
        return error_set(err, errno == EACCES ? STATUS_DENIED : STATUS_NOT_FOUND, "%s: %s", path,
                         strerror(errno));
    enum status st =
        S_ISDIR(info.st_mode) ? import_folder(&folder, out, err) : open_file(path, out, err);
    if (st != STATUS_OK && err)
        error_prefix(err, "%s", path);
    return st;
}

void import_close(struct import **import)
{
    struct import *i = *import;
    if (!i)
        return;
    for (uint32_t k = 0; k < i->n_blobs; k++)
        blob_close(&i->blobs[k]);
    vocabulary_release(&i->vocabulary);
    free(i->index.tensors);
    free(i->weights);
    free(i->found);
    free(i);
    *import = NULL;
}

const char *import_kind(const struct import *import)
{
    return import->kind;
}

struct model_source *import_source(struct import *import)
{
    return &import->source;
}
