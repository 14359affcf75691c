/* whisper.cpp's ggml .bin files.
 *
 * i32 magic, 11 i32 of shape, the mel filter bank (not used: we compute it), the ordinary tokens as
 * raw bytes, then tensors to the end: i32 n_dims, name length, type; dims fastest first; name;
 * data. Little endian. Source: ggml-org/whisper.cpp models/convert-pt-to-ggml.py and the loader in
 * whisper.cpp. Types f32, f16 and q8_0 are read; the other quantised ones have lost more than a
 * conversion should start from.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/import_int.h"
#include "model/number_types.h"

enum { TOKEN_BYTES_MAX = 1024, FILTERS_MAX = 1 << 20, TENSORS_MAX = 65536 };
enum { TYPE_F32 = 0, TYPE_F16 = 1, TYPE_Q8_0 = 8 };

/* Reads forward; the first failure sticks in *err. */
struct reader {
    const struct blob *blob;
    uint64_t at;
    struct error *err;
};

static bool ok(const struct reader *r)
{
    return r->err->code == STATUS_OK;
}

static void take_bytes(struct reader *r, void *dst, size_t n)
{
    if (ok(r) && blob_read(r->blob, r->at, dst, n, r->err) == STATUS_OK)
        r->at += n;
}

static uint32_t take(struct reader *r)
{
    uint32_t value = 0;
    take_bytes(r, &value, sizeof(value));
    return value;
}

/* Whisper's shape in the order of the file. */
struct shape {
    uint32_t n_vocab, n_audio_ctx, n_audio_state, n_audio_head, n_audio_layer;
    uint32_t n_text_ctx, n_text_state, n_text_head, n_text_layer, n_mels, file_type;
};

static void describe(struct model_description *d, const struct shape *s)
{
    d->n_vocab = s->n_vocab;
    d->n_mels = s->n_mels;
    d->multilingual = s->n_vocab >= 51865;
    d->encoder.n_layers = s->n_audio_layer;
    d->encoder.n_state = s->n_audio_state;
    d->encoder.n_heads = s->n_audio_head;
    d->encoder.n_positions = s->n_audio_ctx;
    d->encoder.n_ff = s->n_audio_state <= 1u << 20 ? 4 * s->n_audio_state : 0;
    d->decoder.n_layers = s->n_text_layer;
    d->decoder.n_state = s->n_text_state;
    d->decoder.n_heads = s->n_text_head;
    d->decoder.n_positions = s->n_text_ctx;
    d->decoder.n_ff = s->n_text_state <= 1u << 20 ? 4 * s->n_text_state : 0;
    whisper_defaults(d);
}

static void skip_filters(struct reader *r)
{
    uint64_t n_mel = take(r);
    uint64_t n_fft = take(r);
    if (ok(r) && (n_mel > FILTERS_MAX || n_fft > FILTERS_MAX || n_mel * n_fft > FILTERS_MAX))
        error_set(r->err, STATUS_CORRUPT, "the mel filter bank has an absurd size");
    r->at += n_mel * n_fft * sizeof(float);
}

/* Returns the id of <|endoftext|>: the one with that text, else the first after those in the file.
 */
static int32_t take_tokens(struct reader *r, struct vocabulary *v)
{
    static const char mark[] = "<|endoftext|>";
    uint8_t bytes[TOKEN_BYTES_MAX];
    uint32_t n = take(r);
    if (ok(r) && n >= v->n)
        error_set(r->err, STATUS_CORRUPT, "%u ordinary tokens in a vocabulary of %u", n, v->n);
    for (uint32_t id = 0; ok(r) && id < n; id++) {
        uint32_t length = take(r);
        if (ok(r) && length > sizeof(bytes)) {
            error_set(r->err, STATUS_CORRUPT, "token %u has %u bytes", id, length);
            break;
        }
        take_bytes(r, bytes, length);
        if (ok(r) && length == sizeof(mark) - 1 && memcmp(bytes, mark, length) == 0)
            return (int32_t)id;
        if (ok(r) && vocabulary_set(v, id, bytes, length, r->err) != STATUS_OK)
            break;
    }
    return (int32_t)n;
}

static bool known_type(uint32_t type, enum source_type *out)
{
    *out = type == TYPE_F32 ? SOURCE_F32 : type == TYPE_F16 ? SOURCE_F16 : SOURCE_Q8_0;
    return type == TYPE_F32 || type == TYPE_F16 || type == TYPE_Q8_0;
}

static void take_shape(struct reader *r, struct source_tensor *t)
{
    uint64_t n = 1;
    for (uint32_t i = 0; ok(r) && i < t->n_dims; i++) {
        uint64_t dim = take(r);
        if (ok(r) && (dim == 0 || dim > (UINT64_C(1) << 40) / n))
            error_set(r->err, STATUS_CORRUPT, "a tensor has an absurd shape");
        else
            n *= dim;
        t->shape[t->n_dims - 1 - i] = dim;
    }
}

static void take_tensor(struct reader *r, struct import *import)
{
    struct source_tensor t = {0};
    t.n_dims = take(r);
    uint32_t length = take(r);
    uint32_t type = take(r);
    if (ok(r) && (t.n_dims < 1 || t.n_dims > 4 || length < 1 || length >= sizeof(t.name)))
        error_set(r->err, STATUS_CORRUPT, "a tensor at byte %" PRIu64 " has no sensible header",
                  r->at);
    take_shape(r, &t);
    take_bytes(r, t.name, ok(r) ? length : 0);
    if (!ok(r))
        return;
    if (!known_type(type, &t.type)) {
        error_set(
            r->err, STATUS_UNSUPPORTED,
            "tensor '%s' has ggml type %u: only f32, f16 and q8_0 files are read; convert from "
            "the f16 file, --type q8_0 makes it small",
            t.name, type);
        return;
    }
    t.offset = r->at;
    uint64_t n_bytes = source_bytes(t.type, source_elements(&t));
    if (n_bytes > r->blob->n - r->at)
        error_set(r->err, STATUS_CORRUPT, "the file ends inside tensor '%s' (truncated?)", t.name);
    else if (source_index_add(&import->index, &t, r->err) == STATUS_OK)
        r->at += n_bytes;
}

enum status import_ggml(struct import *import, struct error *err)
{
    struct error local;
    struct error *e = err ? err : &local;
    struct reader r = {.blob = &import->blobs[0], .at = sizeof(uint32_t), .err = e};
    struct shape shape = {0};
    error_clear(e);
    import->kind = "whisper.cpp";
    take_bytes(&r, &shape, sizeof(shape));
    skip_filters(&r);
    describe(&import->source.description, &shape);
    if (ok(&r) && vocabulary_init(&import->vocabulary, shape.n_vocab, e) != STATUS_OK)
        return e->code;
    int32_t end = take_tokens(&r, &import->vocabulary);
    while (ok(&r) && r.at < r.blob->n && import->index.n < TENSORS_MAX)
        take_tensor(&r, import);
    if (!ok(&r))
        return e->code;
    enum status st = source_index_finish(&import->index, e);
    if (st == STATUS_OK)
        st = import_finish_vocabulary(import, end, e);
    return st == STATUS_OK ? import_bind(import, NAMING_GGML, e) : st;
}
