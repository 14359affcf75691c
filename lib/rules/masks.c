/* masks.c: the suppressed tokens of a model. */
#include <stdlib.h>

#include "rules/rules_int.h"

static void set_bit(uint32_t *bits, int32_t token)
{
    bits[token / 32] |= UINT32_C(1) << (token % 32);
}

static bool get_bit(const uint32_t *bits, int32_t token)
{
    return bits[token / 32] >> (token % 32) & 1;
}

static enum status set_bits(const struct model_description *model, const int32_t *ids, uint32_t n,
                            uint32_t *bits, struct error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= model->n_vocab)
            return error_set(err, STATUS_CORRUPT, "suppressed token %d is outside 0..%u", ids[i],
                             model->n_vocab - 1);
        set_bit(bits, ids[i]);
    }
    return STATUS_OK;
}

/* openai/whisper decoding.py, _get_suppress_tokens: these are never text. <|startoflm|>, which the
 * model description does not name, stands between transcribe and previous where the model has it.
 * */
static enum status set_prompt_tokens(const struct model_description *model, uint32_t *bits,
                                     struct error *err)
{
    const struct special_tokens *s = &model->special;
    bool has_lm = s->transcribe >= 0 && s->previous == s->transcribe + 2;
    const int32_t ids[] = {s->transcribe, s->translate, s->start, s->previous, s->no_speech,
                           has_lm ? s->transcribe + 1 : -1};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < ARRAY_LEN(ids) && status == STATUS_OK; i++) {
        if (ids[i] >= 0)
            status = set_bits(model, &ids[i], 1, bits, err);
    }
    return status;
}

static enum status fill_bits(const struct model_description *model, struct rules_masks *masks,
                             struct error *err)
{
    enum status status =
        set_bits(model, model->suppress, model->n_suppress, masks->always, err);
    if (status == STATUS_OK)
        status = set_prompt_tokens(model, masks->always, err);
    if (status == STATUS_OK)
        status = set_bits(model, model->suppress_first, model->n_suppress_first, masks->first, err);
    if (status == STATUS_OK)
        status = set_bits(model, &model->special.end, 1, masks->first, err);
    return status;
}

static void fill_lists(const struct model_description *model, struct rules_masks *masks)
{
    for (int32_t i = 0; i < (int32_t)model->n_vocab; i++) {
        if (get_bit(masks->always, i))
            masks->always_ids[masks->n_always++] = i;
        else if (get_bit(masks->first, i))
            masks->first_ids[masks->n_first++] = i;
    }
}

enum status rules_masks_new(const struct model_description *model, struct rules_masks **out,
                            struct error *err)
{
    *out = NULL;
    struct rules_masks *m = calloc(1, sizeof(*m));
    if (!m)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for decoding rules");
    m->n_words = model->n_vocab / 32 + 1;
    m->always = calloc(m->n_words, sizeof(*m->always));
    m->first = calloc(m->n_words, sizeof(*m->first));
    m->always_ids = calloc(model->n_suppress + 6, sizeof(*m->always_ids));
    m->first_ids = calloc(model->n_suppress_first + 1, sizeof(*m->first_ids));
    enum status status = STATUS_OK;
    if (!m->always || !m->first || !m->always_ids || !m->first_ids)
        status = error_set(err, STATUS_NO_MEMORY, "out of memory for decoding rules");
    else
        status = fill_bits(model, m, err);
    if (status == STATUS_OK)
        fill_lists(model, m);
    else
        rules_masks_free(&m);
    *out = m;
    return status;
}

void rules_masks_free(struct rules_masks **masks)
{
    struct rules_masks *m = *masks;
    if (m) {
        free(m->always);
        free(m->first);
        free(m->always_ids);
        free(m->first_ids);
        free(m);
    }
    *masks = NULL;
}

bool rules_masks_suppressed(const struct rules_masks *masks, int32_t token, bool first)
{
    SA_ASSERT(token >= 0 && (uint32_t)token < masks->n_words * 32);
    return get_bit(masks->always, token) || (first && get_bit(masks->first, token));
}
