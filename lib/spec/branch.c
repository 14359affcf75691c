#include "spec/branch.h"

#include "base/status.h"

static const float least_second = 0.05f;        /* rarer second choices are not worth their rows */

/* Expected tokens saved by a branch at each place, given the survival of the trunk before it. */
static float saving(const struct spec_trunk *trunk, uint32_t i, float survival)
{
    if (trunk->second[i] < 0 || trunk->second_confidence[i] < least_second)
        return 0.0f;
    return survival * trunk->second_confidence[i] * (float)(trunk->n - i);
}

/* Keeps the n_max best, by insertion; `value` in falling order. */
static uint32_t insert(struct spec_branch *branches, float *value, uint32_t n, uint32_t n_max,
                       struct spec_branch branch, float gain)
{
    uint32_t at = n < n_max ? n++ : n_max;
    for (; at > 0 && value[at - 1] < gain; at--) {
        if (at < n_max) {
            value[at] = value[at - 1];
            branches[at] = branches[at - 1];
        }
    }
    if (at < n_max) {
        value[at] = gain;
        branches[at] = branch;
    }
    return n;
}

static void sort_by_place(struct spec_branch *branches, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t j = i; j > 0 && branches[j].at < branches[j - 1].at; j--) {
            struct spec_branch later = branches[j - 1];
            branches[j - 1] = branches[j];
            branches[j] = later;
        }
}

uint32_t spec_branches_choose(const struct spec_trunk *trunk, uint32_t n_max,
                              struct spec_branch *branches)
{
    float value[SPEC_BRANCHES_MAX];
    float survival = 1.0f;
    uint32_t n = 0;
    n_max = MIN(n_max, (uint32_t)SPEC_BRANCHES_MAX);
    for (uint32_t i = 0; i < trunk->n && n_max > 0; i++) {
        float gain = saving(trunk, i, survival);
        struct spec_branch branch = {.at = i, .n = 1, .rejoins = -1};
        branch.token[0] = trunk->second[i];
        branch.confidence[0] = trunk->second_confidence[i];
        if (gain > 0.0f)
            n = insert(branches, value, n, n_max, branch, gain);
        survival *= trunk->confidence[i];
    }
    sort_by_place(branches, n);
    return n;
}

bool spec_branch_grow(struct spec_branch *branch, const struct spec_trunk *trunk, int32_t token,
                      float confidence)
{
    /* Substituted first, then deleted, then inserted. */
    uint32_t at = branch->at + branch->n;
    const uint32_t places[] = {at, at + 1, at > 0 ? at - 1 : trunk->n};
    for (uint32_t i = 0; i < ARRAY_LEN(places); i++) {
        if (places[i] < trunk->n && trunk->token[places[i]] == token) {
            branch->rejoins = (int32_t)places[i];
            return true;
        }
    }
    if (branch->n == SPEC_BRANCH_LENGTH_MAX)
        return true;
    branch->token[branch->n] = token;
    branch->confidence[branch->n++] = confidence;
    return branch->n == SPEC_BRANCH_LENGTH_MAX;
}
