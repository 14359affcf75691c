#include "spec/realign.h"

#include <math.h>

#include "base/status.h"
#include "spec/realign_int.h"

const struct realign_numbers realign_numbers = {
    .surest = 0.99f,
    .skip = 0.25f,
    .replace = 0.55f,
    .insert = 0.20f,
    .leave = 0.60f,
    .skip_more = 0.20f,
    .jump = 0.03f,
};

/* A model spreads its probability over many times and yet often picks the one that another model
 * picks: a round one, or one at a pause. So a time's confidence says little. */
static const float time_rate = 0.50f;

/* A timestamp that stands for another one emits with a probability that falls by half for each so
 * many steps of 20 ms of difference; an unknown token is this likely, whatever it is. */
static const float time_half_steps = 25.0f;
static const float any_token = 0.01f;

struct spec_realign spec_realign_default(int32_t end, int32_t timestamp_begin)
{
    return (struct spec_realign){.end = end,
                                 .timestamp_begin = timestamp_begin,
                                 .forms = NULL,
                                 .calibration = NULL,
                                 .side_branches = true};
}

void spec_source_clear(struct spec_source *source)
{
    source->number = 0;
    source->complete = false;
    source->n = 0;
    source->n_followed = 0;
    source->n_agreed = 0;
    source->last = -1;
    source->agree[0] = 1.0f;
    source->apart[0] = 0.0f;
}

float realign_rate(const struct spec_source *source, const struct spec_realign *how, uint32_t j)
{
    float rate = source->confidence[j];
    if (realign_is_time(how, source->token[j]))
        rate = time_rate + (1.0f - time_rate) * rate;
    else if (how->calibration)
        rate = spec_calibration_rate(how->calibration, rate);
    return fminf(rate, realign_numbers.surest);
}

void realign_apart(const struct spec_source *source, const struct spec_realign *how,
                   bool from_agree, float apart[SPEC_NODES_MAX + 1])
{
    const struct realign_numbers *p = &realign_numbers;
    float lost = 0.0f;
    for (uint32_t j = 0; j <= source->n; j++)
        lost += source->apart[j];
    float jumped = lost * p->jump / (float)(source->n + 1);
    float skipped = 0.0f;
    for (uint32_t j = 0; j <= source->n; j++) {
        apart[j] = source->apart[j] * (1.0f - p->jump) + jumped + skipped;
        if (j == source->n)
            break;
        skipped = apart[j] * p->skip_more;
        apart[j] -= skipped;
        if (from_agree)
            skipped += source->agree[j] * (1.0f - realign_rate(source, how, j)) * p->skip;
    }
}

/* How likely draft token j "is" the decided token: 1 equal, something for a time nearby, else 0. */
static float likeness(const struct spec_source *source, const struct spec_realign *how, uint32_t j,
                      int32_t decided)
{
    int32_t token = source->token[j];
    if (token == decided)
        return 1.0f;
    if (!realign_is_time(how, token) || !realign_is_time(how, decided))
        return 0.0f;
    float steps = fabsf((float)(token - decided));
    return 0.1f * exp2f(-steps / time_half_steps);
}

/* One decided token: the forward recursion of the model, then scaled to a sum of 1. */
static void forward(struct spec_source *source, const struct spec_realign *how, int32_t decided)
{
    const struct realign_numbers *p = &realign_numbers;
    float apart[SPEC_NODES_MAX + 1];
    realign_apart(source, how, true, apart);
    float sum = 0.0f;
    float matched = 0.0f;  /* flows from j - 1 to j */
    float replaced = 0.0f;
    for (uint32_t j = 0; j <= source->n; j++) {
        float rate = j < source->n ? realign_rate(source, how, j) : 0.0f;
        float same = j < source->n ? likeness(source, how, j, decided) : 0.0f;
        float agree = source->agree[j];
        float error = any_token * (agree * (1.0f - rate) + apart[j] * (1.0f - p->leave));
        source->agree[j] = matched;
        source->apart[j] = replaced + error * p->insert;
        matched = same * (agree * rate + apart[j] * p->leave);
        replaced = error * p->replace;
        sum += source->agree[j] + source->apart[j];
    }
    for (uint32_t j = 0; j <= source->n; j++) {
        source->agree[j] /= sum;
        source->apart[j] /= sum;
    }
}

static void follow_one(struct spec_source *source, const struct spec_realign *how, int32_t decided)
{
    struct spec_place best;
    bool known = spec_source_places(source, how, 1, &best) == 1 && best.probability > 0.9f &&
                 best.agrees && best.at < source->n;
    if (known && how->calibration && !realign_is_time(how, source->token[best.at]))
        spec_calibration_observe(how->calibration, source->confidence[best.at],
                                 source->token[best.at] == decided);
    source->n_agreed = known && source->token[best.at] == decided ? source->n_agreed + 1 : 0;
    forward(source, how, decided);
    source->last = decided;
    source->n_followed++;
}

void spec_source_follow(struct spec_source *source, const struct spec_realign *how,
                        const int32_t *tokens, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        follow_one(source, how, tokens[i]);
}

/* The second child of the prefix or of a trunk node, if it is there, is the second choice. */
static void find_seconds(struct spec_source *source, const struct spec_tree *tree,
                         const int16_t trunk_place[SPEC_NODES_MAX + 1])
{
    for (uint32_t i = 0; i < tree->n; i++) {
        int16_t at = trunk_place[tree->node[i].parent + 1];
        if (at < 0 || trunk_place[i + 1] >= 0 || source->second[at] >= 0)
            continue;
        source->second[at] = tree->node[i].token;
        source->second_confidence[at] = tree->node[i].confidence;
    }
}

/* Trunk tokens, and for each node the number of the trunk token that its children stand beside. */
static void take_trunk(struct spec_source *source, const struct spec_tree *tree)
{
    int16_t trunk_place[SPEC_NODES_MAX + 1];
    for (uint32_t i = 0; i <= tree->n; i++)
        trunk_place[i] = -1;
    int32_t last = -1;
    trunk_place[0] = 0;
    source->n = 0;
    for (uint32_t i = 0; i < tree->n; i++) {
        if (tree->node[i].parent != last)
            continue;
        last = (int32_t)i;
        source->token[source->n] = tree->node[i].token;
        source->confidence[source->n] = tree->node[i].confidence;
        source->second[source->n] = -1;
        source->second_confidence[source->n] = 0.0f;
        source->n++;
        trunk_place[i + 1] = (int16_t)source->n;
    }
    if (last >= 0)
        trunk_place[last + 1] = -1; /* nothing stands beside the token behind the last one */
    find_seconds(source, tree, trunk_place);
}

bool spec_source_load(struct spec_source *source, const struct spec_realign *how,
                      const struct spec_draft *draft, const int32_t *decided, uint32_t n_decided)
{
    spec_source_clear(source);
    if (draft->number == 0 || draft->n_prefix > n_decided)
        return false;
    take_trunk(source, &draft->tree);
    source->number = draft->number;
    source->complete = draft->complete;
    for (uint32_t j = 0; j <= source->n; j++) {
        source->agree[j] = j == 0 ? 1.0f : 0.0f;
        source->apart[j] = 0.0f;
    }
    source->last = draft->n_prefix > 0 ? decided[draft->n_prefix - 1] : -1;
    spec_source_follow(source, how, decided + draft->n_prefix, n_decided - draft->n_prefix);
    return true;
}

uint32_t spec_source_places(const struct spec_source *source, const struct spec_realign *how,
                            uint32_t n_max, struct spec_place *places)
{
    float apart[SPEC_NODES_MAX + 1];
    realign_apart(source, how, true, apart);
    uint32_t n = 0;
    for (uint32_t j = 0; j <= source->n; j++) {
        float lost = apart[j] * realign_numbers.leave;
        float agree = source->agree[j];
        struct spec_place place = {j, agree + lost, agree >= lost};
        if (place.probability < 1e-4f)
            continue;
        uint32_t at = n < n_max ? n++ : n_max;
        for (; at > 0 && places[at - 1].probability < place.probability; at--) {
            if (at < n_max)
                places[at] = places[at - 1];
        }
        if (at < n_max)
            places[at] = place;
    }
    return n;
}

bool spec_source_useful(const struct spec_source *source)
{
    float left = 0.0f;
    for (uint32_t j = 0; j < source->n; j++)
        left += source->agree[j] + source->apart[j];
    return left > 0.05f;
}
