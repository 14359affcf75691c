#include "spec/recycle.h"

/* A wrong splice costs a pass, a late one a draft step. */
static const float certain = 0.6f;

void spec_recycle_stop(struct spec_recycle *recycle)
{
    recycle->active = false;
}

void spec_recycle_start(struct spec_recycle *recycle, const struct spec_realign *how,
                        const struct spec_draft *old, const int32_t *tokens, uint32_t n)
{
    recycle->active = spec_source_load(&recycle->rest, how, old, tokens, n) &&
                      spec_source_useful(&recycle->rest);
}

void spec_recycle_follow(struct spec_recycle *recycle, const struct spec_realign *how,
                         int32_t token)
{
    if (!recycle->active)
        return;
    spec_source_follow(&recycle->rest, how, &token, 1);
    recycle->active = spec_source_useful(&recycle->rest);
}

int32_t spec_recycle_place(const struct spec_recycle *recycle, const struct spec_realign *how)
{
    struct spec_place best;
    if (!recycle->active || spec_source_places(&recycle->rest, how, 1, &best) == 0)
        return -1;
    bool goes_on = best.agrees && best.probability >= certain && best.at < recycle->rest.n;
    return goes_on ? (int32_t)best.at : -1;
}
