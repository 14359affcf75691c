/* The table of Whisper's weights: our name, the shape, and what the others call it.
 *
 * Shapes are written with letters: S states, F feed-forward, M mel bands, V vocabulary, P
 * positions, 3 the width of the convolutions. CTranslate2 joins query, key and value of
 * self-attention to one linear layer (parts 0, 1, 2 of 3), and key and value of cross-attention
 * (parts 0 and 1 of 2); its key bias is zero and not taken, since Whisper has none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/whisper.h"

struct row {
    const char *name;
    const char *shape;
    const char *ct2;
    uint8_t part, n_parts;
    const char *hf;
    const char *ggml;
    bool cross; /* only where the stack has cross-attention */
};

static const struct row encoder_first[] = {
    {"conv1.weight", "SM3", "conv1/weight", 0, 1, "conv1.weight", "conv1.weight", 0},
    {"conv1.bias", "S", "conv1/bias", 0, 1, "conv1.bias", "conv1.bias", 0},
    {"conv2.weight", "SS3", "conv2/weight", 0, 1, "conv2.weight", "conv2.weight", 0},
    {"conv2.bias", "S", "conv2/bias", 0, 1, "conv2.bias", "conv2.bias", 0},
    {"position_embd.weight", "PS", "position_encodings/encodings", 0, 1, "embed_positions.weight",
     "positional_embedding", 0},
};

static const struct row decoder_first[] = {
    {"token_embd.weight", "VS", "embeddings/weight", 0, 1, "embed_tokens.weight",
     "token_embedding.weight", 0},
    {"position_embd.weight", "PS", "position_encodings/encodings", 0, 1, "embed_positions.weight",
     "positional_embedding", 0},
};

static const struct row layer[] = {
    {"attn_norm.weight", "S", "self_attention/layer_norm/gamma", 0, 1,
     "self_attn_layer_norm.weight", "attn_ln.weight", 0},
    {"attn_norm.bias", "S", "self_attention/layer_norm/beta", 0, 1, "self_attn_layer_norm.bias",
     "attn_ln.bias", 0},
    {"attn_q.weight", "SS", "self_attention/linear_0/weight", 0, 3, "self_attn.q_proj.weight",
     "attn.query.weight", 0},
    {"attn_q.bias", "S", "self_attention/linear_0/bias", 0, 3, "self_attn.q_proj.bias",
     "attn.query.bias", 0},
    {"attn_k.weight", "SS", "self_attention/linear_0/weight", 1, 3, "self_attn.k_proj.weight",
     "attn.key.weight", 0},
    {"attn_v.weight", "SS", "self_attention/linear_0/weight", 2, 3, "self_attn.v_proj.weight",
     "attn.value.weight", 0},
    {"attn_v.bias", "S", "self_attention/linear_0/bias", 2, 3, "self_attn.v_proj.bias",
     "attn.value.bias", 0},
    {"attn_out.weight", "SS", "self_attention/linear_1/weight", 0, 1, "self_attn.out_proj.weight",
     "attn.out.weight", 0},
    {"attn_out.bias", "S", "self_attention/linear_1/bias", 0, 1, "self_attn.out_proj.bias",
     "attn.out.bias", 0},
    {"cross_norm.weight", "S", "attention/layer_norm/gamma", 0, 1, "encoder_attn_layer_norm.weight",
     "cross_attn_ln.weight", 1},
    {"cross_norm.bias", "S", "attention/layer_norm/beta", 0, 1, "encoder_attn_layer_norm.bias",
     "cross_attn_ln.bias", 1},
    {"cross_q.weight", "SS", "attention/linear_0/weight", 0, 1, "encoder_attn.q_proj.weight",
     "cross_attn.query.weight", 1},
    {"cross_q.bias", "S", "attention/linear_0/bias", 0, 1, "encoder_attn.q_proj.bias",
     "cross_attn.query.bias", 1},
    {"cross_k.weight", "SS", "attention/linear_1/weight", 0, 2, "encoder_attn.k_proj.weight",
     "cross_attn.key.weight", 1},
    {"cross_v.weight", "SS", "attention/linear_1/weight", 1, 2, "encoder_attn.v_proj.weight",
     "cross_attn.value.weight", 1},
    {"cross_v.bias", "S", "attention/linear_1/bias", 1, 2, "encoder_attn.v_proj.bias",
     "cross_attn.value.bias", 1},
    {"cross_out.weight", "SS", "attention/linear_2/weight", 0, 1, "encoder_attn.out_proj.weight",
     "cross_attn.out.weight", 1},
    {"cross_out.bias", "S", "attention/linear_2/bias", 0, 1, "encoder_attn.out_proj.bias",
     "cross_attn.out.bias", 1},
    {"ffn_norm.weight", "S", "ffn/layer_norm/gamma", 0, 1, "final_layer_norm.weight",
     "mlp_ln.weight", 0},
    {"ffn_norm.bias", "S", "ffn/layer_norm/beta", 0, 1, "final_layer_norm.bias", "mlp_ln.bias", 0},
    {"ffn_up.weight", "FS", "ffn/linear_0/weight", 0, 1, "fc1.weight", "mlp.0.weight", 0},
    {"ffn_up.bias", "F", "ffn/linear_0/bias", 0, 1, "fc1.bias", "mlp.0.bias", 0},
    {"ffn_down.weight", "SF", "ffn/linear_1/weight", 0, 1, "fc2.weight", "mlp.2.weight", 0},
    {"ffn_down.bias", "S", "ffn/linear_1/bias", 0, 1, "fc2.bias", "mlp.2.bias", 0},
};

static const struct row encoder_last[] = {
    {"output_norm.weight", "S", "layer_norm/gamma", 0, 1, "layer_norm.weight", "ln_post.weight", 0},
    {"output_norm.bias", "S", "layer_norm/beta", 0, 1, "layer_norm.bias", "ln_post.bias", 0},
};

static const struct row decoder_last[] = {
    {"output_norm.weight", "S", "layer_norm/gamma", 0, 1, "layer_norm.weight", "ln.weight", 0},
    {"output_norm.bias", "S", "layer_norm/beta", 0, 1, "layer_norm.bias", "ln.bias", 0},
};

struct writer {
    const struct model_description *description;
    const struct stack_description *stack;
    const char *stack_name;
    enum weight_naming naming;
    struct weight *out;
    uint32_t n;
};

static uint64_t dimension(const struct writer *w, char letter)
{
    switch (letter) {
    case 'S':
        return w->stack->n_state;
    case 'F':
        return w->stack->n_ff;
    case 'M':
        return w->description->n_mels;
    case 'V':
        return w->description->n_vocab;
    case 'P':
        return w->stack->n_positions;
    case '3':
        return 3;
    }
    SA_ASSERT(!"shape letter");
    return 0;
}

/* layer_index < 0: a tensor of the stack itself. */
static void source_name(const struct writer *w, const struct row *row, int layer_index, char *out,
                        size_t out_size)
{
    static const char *const formats[] = {
        [NAMING_CT2] = "%s/layer_%d/%s",
        [NAMING_HF] = "model.%s.layers.%d.%s",
        [NAMING_GGML] = "%s.blocks.%d.%s",
    };
    static const char *const top_formats[] = {
        [NAMING_CT2] = "%s/%s",
        [NAMING_HF] = "model.%s.%s",
        [NAMING_GGML] = "%s.%s",
    };
    const char *tail = w->naming == NAMING_CT2  ? row->ct2
                       : w->naming == NAMING_HF ? row->hf
                                                : row->ggml;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    if (layer_index < 0)
        snprintf(out, out_size, top_formats[w->naming], w->stack_name, tail);
    else
        snprintf(out, out_size, formats[w->naming], w->stack_name, layer_index, tail);
#pragma GCC diagnostic pop
}

static void put_row(struct writer *w, const struct row *row, int layer_index)
{
    if (row->cross && !w->stack->cross_attention)
        return;
    struct weight *weight = &w->out[w->n++];
    struct tensor_spec *spec = &weight->spec;
    memset(weight, 0, sizeof(*weight));
    if (layer_index < 0)
        snprintf(spec->name, sizeof(spec->name), "%s.%s", w->stack_name, row->name);
    else
        snprintf(spec->name, sizeof(spec->name), "%s.blk.%d.%s", w->stack_name, layer_index,
                 row->name);
    for (const char *p = row->shape; *p; p++)
        spec->shape[spec->n_dims++] = dimension(w, *p);
    spec->matrix = spec->n_dims > 1 && row->shape[0] != 'P';
    bool from_encoder = !strncmp(row->name, "cross_k.", 8) || !strncmp(row->name, "cross_v.", 8);
    spec->four_bits = spec->matrix && w->stack == &w->description->decoder && !from_encoder;
    source_name(w, row, layer_index, weight->source, sizeof(weight->source));
    weight->part = w->naming == NAMING_CT2 ? row->part : 0;
    weight->n_parts = w->naming == NAMING_CT2 ? row->n_parts : 1;
}

static void put_rows(struct writer *w, const struct row *rows, size_t n_rows, int layer_index)
{
    for (size_t i = 0; i < n_rows; i++)
        put_row(w, &rows[i], layer_index);
}

static void put_layers(struct writer *w)
{
    for (uint32_t i = 0; i < w->stack->n_layers; i++)
        put_rows(w, layer, ARRAY_LEN(layer), (int)i);
}

struct weight *whisper_weights(const struct model_description *d, enum weight_naming naming,
                               uint32_t *n_weights)
{
    size_t max = ARRAY_LEN(encoder_first) + ARRAY_LEN(encoder_last) + ARRAY_LEN(decoder_first) +
                 ARRAY_LEN(decoder_last) +
                 ((size_t)d->encoder.n_layers + d->decoder.n_layers) * ARRAY_LEN(layer);
    struct writer w = {
        .description = d, .naming = naming, .out = calloc(max, sizeof(struct weight))};
    if (!w.out)
        return NULL;
    w.stack = &d->encoder;
    w.stack_name = "encoder";
    put_rows(&w, encoder_first, ARRAY_LEN(encoder_first), -1);
    put_layers(&w);
    put_rows(&w, encoder_last, ARRAY_LEN(encoder_last), -1);
    w.stack = &d->decoder;
    w.stack_name = "decoder";
    put_rows(&w, decoder_first, ARRAY_LEN(decoder_first), -1);
    put_layers(&w);
    put_rows(&w, decoder_last, ARRAY_LEN(decoder_last), -1);
    *n_weights = w.n;
    return w.out;
}

struct tensor_spec *model_tensor_specs(const struct model_description *description,
                                       uint32_t *n_specs)
{
    struct weight *weights = whisper_weights(description, NAMING_HF, n_specs);
    struct tensor_spec *specs = weights ? calloc(*n_specs, sizeof(*specs)) : NULL;
    for (uint32_t i = 0; specs && i < *n_specs; i++)
        specs[i] = weights[i].spec;
    free(weights);
    return specs;
}
