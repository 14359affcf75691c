/* drafter_branch.c: the second pass of a sparse tree, on the draft model's own timeline.
 *
 *     kept | t[from] ... t[last]           the trunk once more, as one chain of rows
 *                 |   \
 *                 s    s                   each branch below the trunk token before it
 *
 * Rows that leave the trunk see no trunk token behind their place: so the rows from the first
 * branch on are dropped and run again in the same forward, and kept again afterwards.
 */
#include <math.h>

#include "engine/drafter_int.h"

struct second_pass {
    struct drafter *drafter;
    struct spec_trunk trunk;
    bool over[SPEC_BRANCHES_MAX];
    int32_t root_row[SPEC_BRANCHES_MAX];    /* the row that chooses behind the branch */
};

static int32_t add_row(struct drafter *drafter, int32_t token, int32_t parent)
{
    struct pass *pass = &drafter->pass;
    pass->row[pass->n] = (struct backend_row){
        .sequence = drafter->sequence, .token = token, .parent = parent};
    return (int32_t)pass->n++;
}

/* The branch below row `parent` (-1: the last kept one); its last row asks for a choice. */
static void offer_branch(struct second_pass *second, uint32_t b, int32_t parent)
{
    struct drafter *drafter = second->drafter;
    const struct spec_branch *branch = &drafter->branch[b];
    const struct attempt *attempt = &drafter->attempt;
    struct rules_state state = rules_begin();
    for (uint32_t i = 0; i < drafter->n_forced + branch->at; i++)
        state = rules_advance(&attempt->rules, state, attempt->decided[i]);
    for (uint32_t i = 0; i < branch->n; i++) {
        state = rules_advance(&attempt->rules, state, branch->token[i]);
        parent = add_row(drafter, branch->token[i], parent);
    }
    struct backend_row *row = &drafter->pass.row[parent];
    row->rules = &attempt->rules;
    row->state = state;
    row->choice = &drafter->pass.choice[parent];
    second->root_row[b] = parent;
}

/* One forward of the trunk and all branches that are not over. The trunk's rows are kept again. */
static enum status run(struct second_pass *second, uint32_t from, uint32_t to, struct error *err)
{
    struct drafter *drafter = second->drafter;
    const struct attempt *attempt = &drafter->attempt;
    uint8_t keep[BACKEND_ROWS_MAX];
    drafter->pass.n = 0;
    backend_keep(drafter->sequence, from, NULL, 0);
    for (uint32_t i = from; i < to; i++) {
        keep[i - from] = (uint8_t)(i - from);
        add_row(drafter, attempt_token(attempt, i), (int32_t)(i - from) - 1);
    }
    for (uint32_t b = 0; b < drafter->n_branches; b++) {
        uint32_t place = attempt->n_prompt + drafter->n_forced + drafter->branch[b].at;
        if (!second->over[b])
            offer_branch(second, b, (int32_t)place - 1 - (int32_t)from);
    }
    enum status rc =
        backend_forward(drafter->engine->backend, drafter->pass.row, drafter->pass.n, err);
    if (rc == STATUS_OK)
        backend_keep(drafter->sequence, from, keep, to - from);
    drafter->stats.steps++;
    drafter->stats.branch_steps++;
    drafter->stats.rows += drafter->pass.n;
    return rc;
}

static void choose_branches(struct second_pass *second, float *confidence,
                            float *second_confidence)
{
    struct drafter *drafter = second->drafter;
    const struct attempt *attempt = &drafter->attempt;
    uint32_t first = drafter->n_forced, n = attempt->n_decided - first;
    for (uint32_t i = 0; i < n; i++) {
        confidence[i] = expf(attempt->logprob[first + i]);
        second_confidence[i] = expf(attempt->second_logprob[first + i]);
    }
    second->trunk = (struct spec_trunk){.n = n, .token = attempt->decided + first,
                                        .confidence = confidence,
                                        .second = attempt->second + first,
                                        .second_confidence = second_confidence};
    drafter->n_branches = spec_branches_choose(&second->trunk, drafter->options.policy.branches,
                                               drafter->branch);
    for (uint32_t b = 0; b < drafter->n_branches; b++)
        second->over[b] = drafter->branch[b].token[0] == attempt->rules.model->special.end;
}

enum status drafter_grow_branches(struct drafter *drafter, struct error *err)
{
    float confidence[WINDOW_TOKENS_MAX], second_confidence[WINDOW_TOKENS_MAX];
    struct second_pass second = {.drafter = drafter};
    const struct attempt *attempt = &drafter->attempt;
    drafter->n_branches = 0;
    if (drafter->options.policy.branches == 0 || attempt->n_decided == drafter->n_forced)
        return STATUS_OK;
    choose_branches(&second, confidence, second_confidence);
    if (drafter->n_branches == 0)
        return STATUS_OK;
    uint32_t kept = sequence_kept(drafter->sequence);
    uint32_t first = attempt->n_prompt + drafter->n_forced + drafter->branch[0].at;
    uint32_t from = MIN(first, kept);
    uint32_t to = attempt_n_total(attempt) - 1;
    uint32_t rows = to - from + drafter->n_branches * SPEC_BRANCH_LENGTH_MAX;
    for (bool any = rows <= BACKEND_ROWS_MAX; any;) {
        enum status rc = run(&second, from, to, err);
        if (rc != STATUS_OK)
            return rc;
        any = false;
        for (uint32_t b = 0; b < drafter->n_branches; b++) {
            if (second.over[b])
                continue;
            const struct rules_choice *choice = &drafter->pass.choice[second.root_row[b]];
            second.over[b] = spec_branch_grow(&drafter->branch[b], &second.trunk, choice->token,
                                              expf(choice->logprob)) ||
                             choice->token == attempt->rules.model->special.end;
            any |= !second.over[b];
        }
    }
    return STATUS_OK;
}
