/* Opening: read the header (growing the buffer until it is whole), check its hash, read the
 * description, check every tensor against what the description asks for, decode the tokens; then
 * the header is let go.
 *
 * Reading: tensor bytes come with a hash per piece (metadata.h). A read checks each piece that it
 * touches the first time and remembers that in a bitmap, so every byte is hashed once, in any order
 * of reads and from any thread; whole pieces are read straight to the caller.
 */
#include "model/model.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "model/byte_unicode.h"
#include "model/metadata.h"
#include "model/model_int.h"
#include "model/number_types.h"
#include "model/whisper.h"

enum { HEADER_FIRST = 2 << 20, HEADER_MAX = 256 << 20 };

struct tensor {
    char name[64];
    struct tensor_info info;
    uint64_t offset; /* in the file */
    uint64_t first_piece;
};

struct model {
    char *path;
    struct blob blob;
    struct model_description description;
    struct tensor *tensors; /* sorted by name */
    uint32_t n_tensors;
    uint64_t *piece_hashes;
    atomic_uchar *piece_checked; /* one per piece */
    uint64_t n_pieces;
    uint8_t *token_bytes;
    uint32_t *token_ends; /* token i is bytes [token_ends[i], token_ends[i + 1]) */
    uint64_t fingerprint;
    uint32_t converter_version;
    uint64_t vocabulary_hash;
};

/* A header while it is being checked. */
struct header {
    uint8_t *bytes;
    uint64_t n;
    struct gguf gguf;
};

static void header_release(struct header *h)
{
    gguf_free(&h->gguf);
    free(h->bytes);
}

/* What a file that does not begin with "GGUF" seems to be, and what to do about it. */
static enum status wrong_kind(const uint8_t *magic, uint64_t n, struct error *err)
{
    static const char convert[] = "it has to be converted with the convert tool first";
    if (n == 0)
        return error_set(err, STATUS_CORRUPT, "the file is empty");
    if (memcmp(magic, "lmgg", 4) == 0)
        return error_set(err, STATUS_UNSUPPORTED, "this is a whisper.cpp ggml file: %s", convert);
    if (memcmp(magic, "\6\0\0\0", 4) == 0)
        return error_set(err, STATUS_UNSUPPORTED,
                         "this looks like CTranslate2's model.bin: %s (convert FOLDER OUT.gguf)",
                         convert);
    if (magic[8] == '{' && memcmp(magic + 5, "\0\0\0", 3) == 0)
        return error_set(err, STATUS_UNSUPPORTED, "this looks like a safetensors file: %s",
                         convert);
    if (memcmp(magic, "PK\3\4", 4) == 0)
        return error_set(err, STATUS_UNSUPPORTED,
                         "this is a zip archive (a PyTorch checkpoint?), not a GGUF model");
    return error_set(
        err, STATUS_CORRUPT,
        "not a GGUF model file; `make models` fetches models, the convert tool makes them");
}

static enum status read_header(const struct blob *blob, struct header *h, struct error *err)
{
    uint8_t magic[16] = {0};
    enum status st = blob_read(blob, 0, magic, (size_t)MIN(blob->n, sizeof(magic)), err);
    if (st == STATUS_OK && memcmp(magic, "GGUF", 4) != 0)
        return wrong_kind(magic, blob->n, err);
    bool more = true;
    for (uint64_t n = HEADER_FIRST; more && (st == STATUS_OK || st == STATUS_CORRUPT); n *= 4) {
        free(h->bytes);
        h->n = MIN(n, blob->n);
        h->bytes = malloc((size_t)h->n + 1);
        if (!h->bytes)
            return error_set(err, STATUS_NO_MEMORY, "out of memory for the header");
        st = blob_read(blob, 0, h->bytes, (size_t)h->n, err);
        if (st != STATUS_OK)
            return st;
        st = gguf_parse(h->bytes, h->n, blob->n, &h->gguf, &more, err);
        if (n >= HEADER_MAX)
            break;
    }
    if (st == STATUS_OK)
        error_clear(err);
    return st;
}

/* The hash covers the header up to the data, with its own eight bytes zero. */
static enum status check_header_hash(struct model *model, struct header *h, bool check,
                                     struct error *err)
{
    const struct gguf_entry *e = gguf_find(&h->gguf, KEY_HASH_HEADER);
    uint64_t stored = 0;
    if (!e || e->type != GGUF_U64 || h->gguf.data_offset > h->n)
        return error_set(
            err, STATUS_UNSUPPORTED,
            "the file has no hashes (%s): it was not written by this project's convert tool; "
            "convert the original weights",
            KEY_HASH_HEADER);
    memcpy(&stored, e->value, sizeof(stored));
    memset(h->bytes + (e->value - h->bytes), 0, sizeof(stored));
    model->fingerprint = XXH3_64bits(h->bytes, h->gguf.data_offset);
    if (check && model->fingerprint != stored)
        return error_set(
            err, STATUS_CORRUPT,
            "the header is damaged (its hash differs): fetch or convert the model again");
    return STATUS_OK;
}

/* A newer converter may mean something else by the same names. */
static enum status check_converter(struct model *model, const struct gguf *gguf, struct error *err)
{
    if (!gguf_u32(gguf, KEY_CONVERTER, &model->converter_version))
        return error_set(err, STATUS_CORRUPT, "metadata key '%s' is missing", KEY_CONVERTER);
    if (model->converter_version > MODEL_CONVERTER_VERSION)
        return error_set(
            err, STATUS_UNSUPPORTED,
            "the file was written by a newer converter (%u, this program knows %d): use a "
            "newer specasr, or convert the original weights again",
            model->converter_version, MODEL_CONVERTER_VERSION);
    return STATUS_OK;
}

static enum status take_hashes(struct model *model, const struct gguf *gguf, struct error *err)
{
    uint32_t piece = 0;
    const struct gguf_entry *e = gguf_array(gguf, KEY_HASH_TENSORS, GGUF_U64);
    if (!gguf_u32(gguf, KEY_HASH_PIECE, &piece) || piece != HASH_PIECE || !e)
        return error_set(err, STATUS_UNSUPPORTED, "the file's hashes are in another form (%s)",
                         KEY_HASH_PIECE);
    if (e->n_items != model->n_pieces)
        return error_set(err, STATUS_CORRUPT, "%" PRIu64 " hashes for %" PRIu64 " pieces",
                         e->n_items, model->n_pieces);
    model->piece_hashes = malloc(model->n_pieces * sizeof(uint64_t) + 1);
    model->piece_checked = calloc(model->n_pieces + 1, sizeof(*model->piece_checked));
    if (!model->piece_hashes || !model->piece_checked)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the hashes");
    memcpy(model->piece_hashes, e->value, model->n_pieces * sizeof(uint64_t));
    return STATUS_OK;
}

static int tensor_compare(const void *a, const void *b)
{
    return strcmp(((const struct tensor *)a)->name, ((const struct tensor *)b)->name);
}

static enum status take_tensor(struct model *model, const struct gguf *gguf, uint32_t i,
                               struct error *err)
{
    const struct gguf_tensor *from = &gguf->tensors[i];
    struct tensor *t = &model->tensors[i];
    if (from->name.n >= sizeof(t->name))
        return error_set(err, STATUS_CORRUPT, "a tensor's name is too long");
    memcpy(t->name, from->name.bytes, from->name.n);
    t->info = from->info;
    t->offset = from->offset;
    t->first_piece = model->n_pieces;
    model->n_pieces += hash_pieces(t->info.n_bytes);
    return STATUS_OK;
}

/* Every tensor of the description, and no other. */
static enum status check_tensors(const struct model *model, struct error *err)
{
    uint32_t n = 0;
    struct error sticky = {0};
    struct tensor_spec *specs = model_tensor_specs(&model->description, &n);
    if (!specs)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the tensor list");
    for (uint32_t i = 0; i < n; i++)
        model_tensor(model, specs[i].name, specs[i].n_dims, specs[i].shape, NULL, &sticky);
    free(specs);
    if (sticky.code != STATUS_OK)
        return error_set(err, sticky.code, "%s", sticky.text);
    if (n != model->n_tensors)
        return error_set(err, STATUS_CORRUPT, "%u tensors where the description asks for %u",
                         model->n_tensors, n);
    return STATUS_OK;
}

static enum status take_tensors(struct model *model, const struct gguf *gguf, struct error *err)
{
    enum status st = STATUS_OK;
    model->n_tensors = gguf->n_tensors;
    model->tensors = calloc(gguf->n_tensors + 1, sizeof(*model->tensors));
    if (!model->tensors)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the tensor list");
    for (uint32_t i = 0; i < gguf->n_tensors && st == STATUS_OK; i++)
        st = take_tensor(model, gguf, i, err);
    if (st != STATUS_OK)
        return st;
    qsort(model->tensors, model->n_tensors, sizeof(*model->tensors), tensor_compare);
    return check_tensors(model, err);
}

static enum status take_token(struct model *model, uint32_t id, struct gguf_text text, size_t *at,
                              struct error *err)
{
    char special[WHISPER_SPECIAL_TEXT_MAX];
    size_t n = text.n;
    if (whisper_special_text(&model->description, (int32_t)id, special)) {
        if (n != strlen(special) || memcmp(text.bytes, special, n) != 0)
            return error_set(err, STATUS_CORRUPT, "token %u is not %s", id, special);
        memcpy(model->token_bytes + *at, text.bytes, n);
    } else if (!byte_unicode_decode(text.bytes, n, model->token_bytes + *at, &n)) {
        return error_set(err, STATUS_CORRUPT, "token %u is not in GPT-2's byte characters", id);
    }
    *at += n;
    return STATUS_OK;
}

static void hash_vocabulary(struct model *model)
{
    const struct model_description *d = &model->description;
    uint64_t seed = XXH3_64bits(model->token_ends, (d->n_vocab + 1) * sizeof(uint32_t));
    seed ^= XXH3_64bits(&d->special, sizeof(d->special));
    model->vocabulary_hash =
        XXH3_64bits_withSeed(model->token_bytes, model->token_ends[d->n_vocab], seed);
}

static enum status take_tokens(struct model *model, const struct gguf *gguf, struct error *err)
{
    const struct gguf_entry *e = gguf_array(gguf, "tokenizer.ggml.tokens", GGUF_STRING);
    const uint8_t *position = e->value;
    enum status st = STATUS_OK;
    size_t at = 0;
    uint32_t n_vocab = model->description.n_vocab;
    model->token_bytes = malloc(e->n_bytes + 1);
    model->token_ends = malloc((n_vocab + 1) * sizeof(uint32_t));
    if (!model->token_bytes || !model->token_ends)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the tokens");
    model->token_ends[0] = 0;
    for (uint32_t id = 0; id < n_vocab && st == STATUS_OK; id++) {
        st = take_token(model, id, gguf_next_string(&position), &at, err);
        model->token_ends[id + 1] = (uint32_t)at;
    }
    if (st == STATUS_OK)
        hash_vocabulary(model);
    return st;
}

static enum status load(struct model *model, bool check_hash, struct error *err)
{
    struct header header = {0};
    enum status st = read_header(&model->blob, &header, err);
    if (st == STATUS_OK)
        st = check_header_hash(model, &header, check_hash, err);
    if (st == STATUS_OK)
        st = check_converter(model, &header.gguf, err);
    if (st == STATUS_OK)
        st = metadata_read(&header.gguf, &model->description, err);
    if (st == STATUS_OK)
        st = take_tensors(model, &header.gguf, err);
    if (st == STATUS_OK)
        st = take_hashes(model, &header.gguf, err);
    if (st == STATUS_OK)
        st = take_tokens(model, &header.gguf, err);
    header_release(&header);
    return st;
}

enum status model_open_blob(struct blob *blob, const char *path, bool check_hash,
                            struct model **out, struct error *err)
{
    struct model *model = calloc(1, sizeof(*model));
    if (!model || !(model->path = strdup(path))) {
        free(model);
        blob_close(blob);
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    model->blob = *blob;
    enum status st = load(model, check_hash, err);
    if (st != STATUS_OK) {
        if (err)
            error_prefix(err, "%s", path);
        model_close(&model);
        return st;
    }
    *out = model;
    return STATUS_OK;
}

enum status model_open(const char *path, struct model **out, struct error *err)
{
    struct blob blob = {0};
    enum status st = blob_append(&blob, path, err);
    return st == STATUS_OK ? model_open_blob(&blob, path, true, out, err) : st;
}

void model_close(struct model **model)
{
    struct model *m = *model;
    if (!m)
        return;
    blob_close(&m->blob);
    free(m->path);
    free(m->tensors);
    free(m->piece_hashes);
    free(m->piece_checked);
    free(m->token_bytes);
    free(m->token_ends);
    free(m);
    *model = NULL;
}

uint32_t model_converter_version(const struct model *model)
{
    return model->converter_version;
}

const struct model_description *model_describe(const struct model *model)
{
    return &model->description;
}

const char *model_path(const struct model *model)
{
    return model->path;
}

uint64_t model_fingerprint(const struct model *model)
{
    return model->fingerprint;
}

uint64_t model_vocabulary_hash(const struct model *model)
{
    return model->vocabulary_hash;
}

const uint8_t *model_token(const struct model *model, int32_t id, size_t *n_bytes)
{
    SA_ASSERT(id >= 0 && (uint32_t)id < model->description.n_vocab);
    *n_bytes = model->token_ends[id + 1] - model->token_ends[id];
    return model->token_bytes + model->token_ends[id];
}

static const struct tensor *find_tensor(const struct model *model, const char *name)
{
    uint32_t low = 0, high = model->n_tensors;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(name, model->tensors[middle].name);
        if (order == 0)
            return &model->tensors[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

bool model_tensor(const struct model *model, const char *name, uint32_t n_dims,
                  const uint64_t *shape, struct tensor_info *out, struct error *err)
{
    if (err->code != STATUS_OK)
        return false;
    const struct tensor *t = find_tensor(model, name);
    if (!t) {
        error_set(err, STATUS_CORRUPT, "tensor '%s' is missing", name);
        return false;
    }
    bool same = t->info.n_dims == n_dims;
    for (uint32_t i = 0; same && i < n_dims; i++)
        same = shape[i] == 0 || shape[i] == t->info.shape[i];
    if (!same) {
        error_set(err, STATUS_CORRUPT,
                  "tensor '%s' has %u dimensions [%" PRIu64 ", %" PRIu64
                  ", ...], not the %u [%" PRIu64 ", ...] that the description asks for",
                  name, t->info.n_dims, t->info.shape[0], t->info.n_dims > 1 ? t->info.shape[1] : 1,
                  n_dims, shape[0]);
        return false;
    }
    if (out)
        *out = t->info;
    return true;
}

static enum status check_piece(const struct model *model, const struct tensor *t, uint64_t piece,
                               const void *bytes, size_t n, struct error *err)
{
    uint64_t index = t->first_piece + piece;
    if (XXH3_64bits(bytes, n) != model->piece_hashes[index])
        return error_set(
            err, STATUS_CORRUPT,
            "%s: tensor '%s' is damaged (its hash differs): fetch or convert the model again",
            model->path, t->name);
    atomic_store_explicit(&model->piece_checked[index], 1, memory_order_relaxed);
    return STATUS_OK;
}

/* Reads [from, from + n) of one piece. *spare is a piece's room, made when first needed. */
static enum status read_piece(const struct model *model, const struct tensor *t, uint64_t piece,
                              size_t from, void *dst, size_t n, uint8_t **spare, struct error *err)
{
    uint64_t start = piece * HASH_PIECE;
    size_t whole = (size_t)MIN((uint64_t)HASH_PIECE, t->info.n_bytes - start);
    bool checked =
        atomic_load_explicit(&model->piece_checked[t->first_piece + piece], memory_order_relaxed);
    if (checked)
        return blob_read(&model->blob, t->offset + start + from, dst, n, err);
    uint8_t *into = dst;
    if (n < whole) {
        if (!*spare && !(*spare = malloc(HASH_PIECE)))
            return error_set(err, STATUS_NO_MEMORY, "out of memory");
        into = *spare;
    }
    enum status st = blob_read(&model->blob, t->offset + start, into, whole, err);
    if (st == STATUS_OK)
        st = check_piece(model, t, piece, into, whole, err);
    if (st == STATUS_OK && into != dst)
        memcpy(dst, into + from, n);
    return st;
}

static enum status read_range(const struct model *model, const struct tensor *t, uint64_t offset,
                              void *dst, size_t n, struct error *err)
{
    enum status st = STATUS_OK;
    uint8_t *spare = NULL;
    uint8_t *out = dst;
    while (n > 0 && st == STATUS_OK) {
        size_t from = (size_t)(offset % HASH_PIECE);
        size_t here = MIN(n, HASH_PIECE - from);
        st = read_piece(model, t, offset / HASH_PIECE, from, out, here, &spare, err);
        out += here;
        offset += here;
        n -= here;
    }
    free(spare);
    return st;
}

enum status model_read(const struct model *model, const char *name, uint64_t offset, void *dst,
                       size_t n, struct error *err)
{
    const struct tensor *t = find_tensor(model, name);
    if (!t)
        return error_set(err, STATUS_NOT_FOUND, "there is no tensor '%s'", name);
    if (offset > t->info.n_bytes || n > t->info.n_bytes - offset)
        return error_set(err, STATUS_INVALID, "tensor '%s' has only %" PRIu64 " bytes", name,
                         t->info.n_bytes);
    return read_range(model, t, offset, dst, n, err);
}

enum status model_read_f32(const struct model *model, const char *name, float *dst, size_t n,
                           struct error *err)
{
    const struct tensor *t = find_tensor(model, name);
    if (!t)
        return error_set(err, STATUS_NOT_FOUND, "there is no tensor '%s'", name);
    if (tensor_type_bytes(t->info.type, n) != t->info.n_bytes)
        return error_set(err, STATUS_INVALID, "tensor '%s' does not have %zu elements", name, n);
    if (t->info.type == TENSOR_F32)
        return read_range(model, t, 0, dst, n * sizeof(float), err);
    uint8_t *bytes = malloc(HASH_PIECE);
    if (!bytes)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    enum status st = STATUS_OK;
    size_t step = tensor_type_blocks(t->info.type) ? HASH_PIECE_ELEMENTS_MAX : HASH_PIECE / 2;
    for (size_t first = 0; first < n && st == STATUS_OK; first += step) {
        size_t here = MIN(step, n - first);
        st = read_range(model, t, tensor_type_bytes(t->info.type, first), bytes,
                        (size_t)tensor_type_bytes(t->info.type, here), err);
        if (st == STATUS_OK)
            tensor_decode(t->info.type, bytes, dst + first, here);
    }
    free(bytes);
    return st;
}

enum status model_verify(const struct model *model, struct error *err)
{
    uint8_t *bytes = malloc(HASH_PIECE);
    if (!bytes)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    enum status st = STATUS_OK;
    for (uint32_t i = 0; i < model->n_tensors && st == STATUS_OK; i++) {
        const struct tensor *t = &model->tensors[i];
        for (uint64_t at = 0; at < t->info.n_bytes && st == STATUS_OK; at += HASH_PIECE)
            st = read_range(model, t, at, bytes,
                            (size_t)MIN((uint64_t)HASH_PIECE, t->info.n_bytes - at), err);
    }
    free(bytes);
    return st;
}
