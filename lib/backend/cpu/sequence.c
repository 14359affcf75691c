/* sequence.c: keys and values of one sequence in one block of half-precision memory. */
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu_int.h"

static uint32_t round_panel(uint32_t n)
{
    return (n + PANEL - 1) / PANEL * PANEL;
}

/* Elements of the keys (or of the values) of one layer over n_slots slots. */
static size_t layer_elements(const struct stack_description *s, uint32_t n_slots)
{
    return (size_t)s->n_kv_heads * s->head_size * n_slots;
}

size_t sequence_bytes(const struct model_description *model, uint32_t n_keys)
{
    const struct stack_description *s = &model->decoder;
    size_t n = layer_elements(s, round_panel(kv_slots(s->n_positions)));
    if (s->cross_attention)
        n += layer_elements(s, round_panel(n_keys));
    return n * 2 * s->n_layers * sizeof(uint16_t);
}

static uint16_t *share(uint16_t *at, struct kv_layer *layers, uint32_t n_layers, size_t n)
{
    for (uint32_t i = 0; i < n_layers; i++) {
        layers[i].keys = at;
        layers[i].values = at + n;
        at += 2 * n;
    }
    return at;
}

enum status sequence_reserve(struct cpu_sequence *sequence, uint32_t n_keys, struct error *err)
{
    const struct model_description *model = sequence->base.backend->model;
    const struct stack_description *s = &model->decoder;
    if (sequence->memory && round_panel(n_keys) <= sequence->cross_slots)
        return STATUS_OK;
    sequence_release(sequence);
    sequence->n_bytes = sequence_bytes(model, n_keys);
    sequence->memory = kernels_alloc(sequence->n_bytes);
    sequence->self = calloc(2 * s->n_layers, sizeof(*sequence->self));
    if (!sequence->memory || !sequence->self) {
        sequence_release(sequence);
        return error_set(err, STATUS_NO_MEMORY, "no memory for the keys and values of a session");
    }
    sequence->cross = sequence->self + s->n_layers;
    sequence->self_slots = round_panel(kv_slots(s->n_positions));
    sequence->cross_slots = round_panel(n_keys);
    uint16_t *at = share(sequence->memory, sequence->self, s->n_layers,
                         layer_elements(s, sequence->self_slots));
    if (s->cross_attention)
        share(at, sequence->cross, s->n_layers, layer_elements(s, sequence->cross_slots));
    return STATUS_OK;
}

void sequence_release(struct cpu_sequence *sequence)
{
    if (sequence->memory)
        kernels_free(sequence->memory, sequence->n_bytes);
    free(sequence->self);
    sequence->memory = NULL;
    sequence->self = NULL;
    sequence->cross = NULL;
    sequence->cross_slots = 0;
    sequence->encoded = false;
}

static void move_head(const struct kv_layer *layer, size_t offset, uint32_t head_size,
                      const struct kv_move *move)
{
    uint16_t *keys = layer->keys + offset, *values = layer->values + offset;
    uint16_t *to = keys + (size_t)(move->to / PANEL) * head_size * PANEL + move->to % PANEL;
    const uint16_t *from =
        keys + (size_t)(move->from / PANEL) * head_size * PANEL + move->from % PANEL;
    for (uint32_t d = 0; d < head_size; d++)
        to[(size_t)d * PANEL] = from[(size_t)d * PANEL];
    memcpy(values + (size_t)move->to * head_size, values + (size_t)move->from * head_size,
           head_size * sizeof(*values));
}

void sequence_move(struct cpu_sequence *sequence, const struct kv_move *moves, uint32_t n_moves)
{
    const struct stack_description *s = &sequence->base.backend->model->decoder;
    for (uint32_t i = 0; i < n_moves; i++)
        for (uint32_t layer = 0; layer < s->n_layers; layer++)
            for (uint32_t head = 0; head < s->n_kv_heads; head++)
                move_head(&sequence->self[layer],
                          (size_t)head * s->head_size * sequence->self_slots, s->head_size,
                          &moves[i]);
}
