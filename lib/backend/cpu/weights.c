/* weights.c: tensors by name into packed matrices, once, strictly.
 *
 * The same binding code runs twice over a carve: first without memory, which checks every shape and
 * counts bytes; then with memory, which reads. A file is read in pieces of about a megabyte that
 * are packed at once, so that no second copy of the weights ever exists.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu_int.h"
#include "model/number_types.h"

enum { PIECE_BYTES = 1 << 20, NAME_MAX_BYTES = 96 };

struct binder {
    const struct model *model;
    struct carve carve;
    uint8_t *piece;             /* staging; grows to hold a row at least */
    size_t piece_bytes;
    bool four_bits;             /* may what is bound now be q4_0? */
    bool output;                /* is it the output layer or the embedding? */
    enum cpu_weights keep;      /* smaller than stored? */
    float *floats;              /* smaller: a piece of a row on its way */
    uint8_t *smaller;
    struct error *err;          /* sticky */
};

static const enum weight_type weight_types[] = {[TENSOR_F32] = WEIGHT_F32,
                                                [TENSOR_F16] = WEIGHT_F16,
                                                [TENSOR_Q8_0] = WEIGHT_Q8_0,
                                                [TENSOR_Q4_0] = WEIGHT_Q4_0};

static bool failed(const struct binder *b)
{
    return b->err->code != STATUS_OK;
}

static bool reserve_piece(struct binder *b, size_t row_bytes)
{
    size_t want = MAX((size_t)PIECE_BYTES, row_bytes * 2);
    if (want <= b->piece_bytes)
        return true;
    free(b->piece);
    b->piece = malloc(want);
    b->piece_bytes = b->piece ? want : 0;
    if (!b->piece)
        error_set(b->err, STATUS_NO_MEMORY, "no memory to read weights");
    return b->piece != NULL;
}

static void join(char name[NAME_MAX_BYTES], const char *prefix, const char *suffix)
{
    snprintf(name, NAME_MAX_BYTES, "%s%s", prefix, suffix);
}

/* A float32 vector or table of n values, padded with zeros to whole panels. */
static const float *bind_floats(struct binder *b, const char *name, uint32_t n_dims,
                                const uint64_t *shape)
{
    struct tensor_info info;
    if (failed(b) || !model_tensor(b->model, name, n_dims, shape, &info, b->err))
        return NULL;
    size_t n = 1;
    for (uint32_t i = 0; i < n_dims; i++)
        n *= shape[i];
    float *to = carve_take(&b->carve, (n + PANEL - 1) / PANEL * PANEL * sizeof(float));
    if (to && model_read_f32(b->model, name, to, n, b->err) != STATUS_OK)
        return NULL;
    return to;
}

static const float *bind_vector(struct binder *b, const char *prefix, const char *suffix,
                                uint32_t n)
{
    char name[NAME_MAX_BYTES];
    join(name, prefix, suffix);
    return bind_floats(b, name, 1, (const uint64_t[]){n});
}

/* Channels of each row from [channel][3] to [3][channel]: then three neighbouring frames of input
 * are one contiguous row, and a convolution is a plain product. */
static void taps_first(uint8_t *row, uint8_t *copy, uint32_t n_channels, size_t element)
{
    memcpy(copy, row, 3 * n_channels * element);
    for (size_t c = 0; c < n_channels; c++)
        for (size_t tap = 0; tap < 3; tap++)
            memcpy(row + (tap * n_channels + c) * element, copy + (c * 3 + tap) * element, element);
}

static const enum tensor_type tensor_types[] = {[WEIGHT_Q8_0] = TENSOR_Q8_0,
                                                [WEIGHT_Q4_0] = TENSOR_Q4_0};

/* Rows of a piece, stored as `type`, to the smaller type of the matrix. */
static const void *make_smaller(struct binder *b, const struct matrix *m, enum tensor_type type,
                                uint32_t n_rows)
{
    size_t from = tensor_type_bytes(type, m->n_in);
    size_t to = weight_row_bytes(m->type, m->n_in);
    float *floats = realloc(b->floats, m->n_in * sizeof(float));
    b->floats = floats ? floats : b->floats;
    uint8_t *smaller = realloc(b->smaller, n_rows * to);
    b->smaller = smaller ? smaller : b->smaller;
    if (!floats || !smaller) {
        error_set(b->err, STATUS_NO_MEMORY, "no memory to make weights smaller");
        return NULL;
    }
    for (uint32_t i = 0; i < n_rows; i++) {
        tensor_decode(type, b->piece + i * from, floats, m->n_in);
        tensor_encode(tensor_types[m->type], floats, smaller + i * to, m->n_in);
    }
    return smaller;
}

/* Reads and packs rows stored as `type`; `n_channels` is 0, or the channels of a convolution of
 * width 3. */
static void read_matrix(struct binder *b, const char *name, const struct matrix *m,
                        enum tensor_type type, uint32_t n_channels)
{
    enum weight_type stored = weight_types[type];
    size_t row_bytes = weight_row_bytes(stored, m->n_in);
    if (!reserve_piece(b, row_bytes))
        return;
    uint32_t n = (uint32_t)MAX((b->piece_bytes - row_bytes) / row_bytes, (size_t)1);
    if (n > PANEL)
        n -= n % PANEL;
    for (uint32_t row = 0; row < m->n_out; row += n) {
        uint32_t here = MIN(n, m->n_out - row);
        if (model_read(b->model, name, row * row_bytes, b->piece, here * row_bytes, b->err) !=
            STATUS_OK)
            return;
        for (uint32_t i = 0; n_channels && i < here; i++)
            taps_first(b->piece + i * row_bytes, b->piece + b->piece_bytes - row_bytes, n_channels,
                       row_bytes / m->n_in);
        bool blocks = m->type != stored && weight_is_integer(m->type);
        const void *rows = blocks ? make_smaller(b, m, type, here) : b->piece;
        if (!rows)
            return;
        matrix_pack(m, row, here, blocks ? m->type : stored, rows);
    }
}

/* What a float matrix of the decoder or the encoder is kept as, if it may be smaller. */
static enum weight_type smaller_type(const struct binder *b)
{
    if (b->keep == CPU_WEIGHTS_MIXED && b->output)
        return WEIGHT_F16;
    return b->four_bits && b->keep != CPU_WEIGHTS_Q8_0 ? WEIGHT_Q4_0 : WEIGHT_Q8_0;
}

static void bind_matrix(struct binder *b, const char *name, uint32_t n_out, uint32_t n_in,
                        uint32_t n_channels, struct matrix *out)
{
    const uint64_t plain[] = {n_out, n_in}, convolution[] = {n_out, n_channels, 3};
    struct tensor_info info;
    if (failed(b) || !model_tensor(b->model, name, n_channels ? 3 : 2,
                                   n_channels ? convolution : plain, &info, b->err))
        return;
    enum weight_type type = weight_types[info.type];
    if (weight_is_integer(type) && (n_channels || n_in % Q8_BLOCK)) {
        error_set(b->err, STATUS_UNSUPPORTED, "tensor %s cannot be in blocks: convert it to f16",
                  name);
        return;
    }
    if (type == WEIGHT_Q4_0 && !b->four_bits) {
        error_set(b->err, STATUS_UNSUPPORTED,
                  "tensor %s cannot be q4_0, only the decoder's can: convert it to q8_0", name);
        return;
    }
    bool smaller = b->keep != CPU_WEIGHTS_AS_STORED && !weight_is_integer(type) && !n_channels &&
                   n_in % Q8_BLOCK == 0;
    if (smaller)
        type = smaller_type(b);
    *out = (struct matrix){.type = type, .n_out = n_out, .n_in = n_in};
    out->data = carve_take(&b->carve, matrix_bytes(type, n_out, n_in));
    if (out->data)
        read_matrix(b, name, out, info.type, n_channels);
}

/* prefix "decoder.blk.3.attn_q" gives .weight and, unless absent by design, .bias. */
static void bind_projection(struct binder *b, const char *prefix, uint32_t n_out, uint32_t n_in,
                            bool bias, struct projection *out)
{
    char name[NAME_MAX_BYTES];
    join(name, prefix, ".weight");
    bind_matrix(b, name, n_out, n_in, 0, &out->w);
    out->bias = bias ? bind_vector(b, prefix, ".bias", n_out) : NULL;
}

static void bind_norm(struct binder *b, const char *prefix, const struct stack_description *s,
                      struct norm *out)
{
    out->gain = bind_vector(b, prefix, ".weight", s->n_state);
    out->bias = s->norm == NORM_LAYER ? bind_vector(b, prefix, ".bias", s->n_state) : NULL;
}

/* Layer-normed models of this family have biases everywhere but on keys; RMS-normed ones have none.
 * Keys and values come from n_source states of the encoder; 0: from the stack itself. */
static void bind_attention(struct binder *b, const char *prefix, const struct stack_description *s,
                           uint32_t n_source, struct attention_weights *out)
{
    char name[NAME_MAX_BYTES];
    uint32_t n_q = s->n_heads * s->head_size, n_kv = s->n_kv_heads * s->head_size;
    uint32_t n_in = n_source ? n_source : s->n_state;
    bool bias = s->norm == NORM_LAYER;
    join(name, prefix, "_norm");
    bind_norm(b, name, s, &out->norm);
    join(name, prefix, "_q");
    bind_projection(b, name, n_q, s->n_state, bias, &out->q);
    bool four_bits = b->four_bits;
    b->four_bits = four_bits && !n_source; /* the encoder's stages compute those of the audio */
    join(name, prefix, "_k");
    bind_projection(b, name, n_kv, n_in, false, &out->k);
    join(name, prefix, "_v");
    bind_projection(b, name, n_kv, n_in, bias, &out->v);
    b->four_bits = four_bits;
    join(name, prefix, "_out");
    bind_projection(b, name, s->n_state, n_q, bias, &out->out);
}

static void bind_layer(struct binder *b, const char *stack, uint32_t index,
                       const struct stack_description *s, uint32_t n_source, struct layer *out)
{
    char block[NAME_MAX_BYTES / 2], name[NAME_MAX_BYTES];
    bool bias = s->norm == NORM_LAYER;
    snprintf(block, sizeof(block), "%s.blk.%u.", stack, index);
    join(name, block, "attn");
    bind_attention(b, name, s, 0, &out->self);
    join(name, block, "cross");
    if (s->cross_attention)
        bind_attention(b, name, s, n_source, &out->cross);
    join(name, block, "ffn_norm");
    bind_norm(b, name, s, &out->ffn_norm);
    join(name, block, "ffn_up");
    bind_projection(b, name, s->n_ff, s->n_state, bias, &out->up);
    join(name, block, "ffn_gate");
    if (s->activation == ACTIVATION_SWIGLU)
        bind_projection(b, name, s->n_ff, s->n_state, bias, &out->gate);
    join(name, block, "ffn_down");
    bind_projection(b, name, s->n_state, s->n_ff, bias, &out->down);
}

static void bind_encoder(struct binder *b, const struct model_description *d, struct weights *w,
                         struct layer *layers)
{
    const struct stack_description *s = &d->encoder;
    bind_matrix(b, "encoder.conv1.weight", s->n_state, 3 * d->n_mels, d->n_mels, &w->conv1.w);
    w->conv1.bias = bind_vector(b, "encoder.conv1", ".bias", s->n_state);
    bind_matrix(b, "encoder.conv2.weight", s->n_state, 3 * s->n_state, s->n_state, &w->conv2.w);
    w->conv2.bias = bind_vector(b, "encoder.conv2", ".bias", s->n_state);
    w->encoder_positions = bind_floats(b, "encoder.position_embd.weight", 2,
                                       (const uint64_t[]){s->n_positions, s->n_state});
    for (uint32_t i = 0; i < s->n_layers; i++)
        bind_layer(b, "encoder", i, s, 0, &layers[i]);
    bind_norm(b, "encoder.output_norm", s, &w->encoder_norm);
}

static void bind_decoder(struct binder *b, const struct model_description *d, struct weights *w,
                         struct layer *layers)
{
    const struct stack_description *s = &d->decoder;
    b->output = true;
    bind_matrix(b, "decoder.token_embd.weight", d->n_vocab, s->n_state, 0, &w->embedding);
    b->output = false;
    w->positions = NULL;
    if (s->positions == POSITION_TABLE)
        w->positions = bind_floats(b, "decoder.position_embd.weight", 2,
                                   (const uint64_t[]){s->n_positions, s->n_state});
    for (uint32_t i = 0; i < s->n_layers; i++)
        bind_layer(b, "decoder", i, s, d->encoder.n_state, &layers[i]);
    bind_norm(b, "decoder.output_norm", s, &w->decoder_norm);
    b->output = true;
    if (s->tied_head)
        w->head = w->embedding;
    else
        bind_matrix(b, "decoder.output.weight", d->n_vocab, s->n_state, 0, &w->head);
    b->output = false;
}

static void bind_all(struct binder *b, const struct model_description *d, struct weights *w)
{
    b->four_bits = false;
    bind_encoder(b, d, w, w->layers);
    b->four_bits = true;
    bind_decoder(b, d, w, w->layers + d->encoder.n_layers);
}

enum status weights_load(struct weights *weights, const struct model *model,
                         enum cpu_weights keep, struct error *err)
{
    const struct model_description *d = model_describe(model);
    struct error first = {.code = STATUS_OK};
    struct binder b = {.model = model, .keep = keep, .err = &first};
    memset(weights, 0, sizeof(*weights));
    weights->layers = calloc(d->encoder.n_layers + d->decoder.n_layers, sizeof(*weights->layers));
    if (!weights->layers)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the table of layers");
    weights->encoder = weights->layers;
    weights->decoder = weights->layers + d->encoder.n_layers;
    bind_all(&b, d, weights);
    if (!failed(&b)) {
        weights->n_bytes = b.carve.used;
        weights->memory = kernels_alloc(weights->n_bytes);
        if (!weights->memory)
            error_set(b.err, STATUS_NO_MEMORY, "no memory for %zu MB of weights",
                      weights->n_bytes >> 20);
    }
    b.carve = (struct carve){.base = weights->memory};
    if (!failed(&b))
        bind_all(&b, d, weights);
    free(b.piece);
    free(b.floats);
    free(b.smaller);
    if (!failed(&b))
        return STATUS_OK;
    weights_release(weights);
    return error_set(err, first.code, "%s", first.text);
}

void weights_release(struct weights *weights)
{
    if (weights->memory)
        kernels_free(weights->memory, weights->n_bytes);
    free(weights->layers);
    memset(weights, 0, sizeof(*weights));
}
