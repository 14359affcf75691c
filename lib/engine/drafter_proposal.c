/* drafter_proposal.c: what the draft model said, as a tree of target tokens. */
#include <math.h>

#include "engine/drafter_int.h"

static const float second_min = 0.02f;      /* less likely second choices are not worth a row */
static const uint32_t rejoined_max = 8;     /* trunk tokens repeated behind a branch */

/* ---- second choices ---- */

/* A place in the text: bytes of text and special tokens before it. */
struct place {
    size_t bytes;
    uint32_t specials;
};

static void advance(struct place *place, const struct tokenizer *tokenizer, int32_t token)
{
    size_t n;
    (void)tokenizer_bytes(tokenizer, token, &n);
    if (tokenizer_is_special(tokenizer, token))
        place->specials++;
    else
        place->bytes += n;
}

static bool before(struct place a, struct place b)
{
    return a.specials < b.specials || (a.specials == b.specials && a.bytes < b.bytes);
}

/* A draft token as the first target token of its text; -1: there is none. */
static int32_t map_token(const struct drafter *drafter, int32_t token)
{
    const struct tokenizer *own = drafter->engine->tokenizer;
    if (text_map_is_identity(drafter->map))
        return token;
    if (token == tokenizer_special(own)->end)
        return tokenizer_special(drafter->target)->end;
    int32_t steps = tokenizer_timestamp_steps(own, token);
    if (steps >= 0)
        return tokenizer_timestamp_token(drafter->target, steps);
    if (tokenizer_is_special(own, token))
        return -1;
    int32_t ids[64];
    struct token_list list = {.ids = ids, .max = ARRAY_LEN(ids)};
    size_t n;
    const uint8_t *bytes = tokenizer_bytes(own, token, &n);
    bool encoded = n > 0 && tokenizer_encode(drafter->target, bytes, n, &list, NULL) == STATUS_OK;
    return encoded && list.n > 0 ? list.ids[0] : -1;
}

/* Leaves beside the trunk where draft and target tokens begin at the same place: a third of all
 * mismatches is the draft's second choice (format above all). */
static void add_seconds(struct drafter *drafter)
{
    struct drafter_proposal *proposal = &drafter->proposal;
    const struct attempt *attempt = &drafter->attempt;
    struct place own = {0}, mapped = {0};
    uint32_t i = drafter->n_forced;
    for (uint32_t j = 0; j < proposal->n_trunk && proposal->n_nodes < WIRE_DRAFT_NODES_MAX; j++) {
        while (i < attempt->n_decided && before(own, mapped))
            advance(&own, drafter->engine->tokenizer, attempt->decided[i++]);
        bool aligned = i < attempt->n_decided && !before(mapped, own) && attempt->second[i] >= 0;
        float p = aligned ? expf(attempt->second_logprob[i]) : 0.0f;
        int32_t token = p > second_min ? map_token(drafter, attempt->second[i]) : -1;
        if (token >= 0 && token != proposal->nodes[j].token)
            proposal->nodes[proposal->n_nodes++] = (struct wire_node){
                .token = token, .parent = (int32_t)j - 1, .confidence = fminf(p, 1.0f)};
        advance(&mapped, drafter->target, proposal->nodes[j].token);
    }
}

/* ---- side branches ---- */

/* Token i of what the model drafted behind the forced tokens. */
static struct map_piece drafted_piece(const struct drafter *drafter, uint32_t i)
{
    uint32_t at = drafter->n_forced + i;
    return (struct map_piece){.token = drafter->attempt.decided[at],
                              .confidence = expf(drafter->attempt.logprob[at])};
}

/* The trunk up to the branch, the branch, and what follows it of the trunk, as draft pieces. */
static uint32_t branch_pieces(const struct drafter *drafter, const struct spec_branch *branch,
                              struct map_piece *pieces)
{
    uint32_t n_trunk = drafter->attempt.n_decided - drafter->n_forced;
    uint32_t n = 0;
    for (uint32_t i = 0; i < branch->at; i++)
        pieces[n++] = drafted_piece(drafter, i);
    for (uint32_t i = 0; i < branch->n; i++, n++)
        pieces[n] = (struct map_piece){branch->token[i], branch->confidence[i]};
    uint32_t from = branch->rejoins >= 0 ? (uint32_t)branch->rejoins : n_trunk;
    for (uint32_t i = from; i < n_trunk && i < from + rejoined_max; i++)
        pieces[n++] = drafted_piece(drafter, i);
    return n;
}

/* Branches share with the trunk what maps to the same target tokens. */
static enum status graft(struct drafter *drafter, const struct spec_branch *branch,
                         struct spec_tree *tree, struct error *err)
{
    struct map_piece drafted[WINDOW_TOKENS_MAX + SPEC_BRANCH_LENGTH_MAX];
    struct map_piece mapped[2 * WIRE_TOKENS_MAX];
    int32_t token[2 * WIRE_TOKENS_MAX];
    float confidence[2 * WIRE_TOKENS_MAX];
    struct map_draft draft = {.decided = drafter->decided, .n_decided = drafter->n_decided,
                              .pieces = drafted, .complete = branch->rejoins < 0};
    struct map_pieces out = {.pieces = mapped, .max = ARRAY_LEN(mapped)};
    draft.n_pieces = branch_pieces(drafter, branch, drafted);
    enum status rc = text_map_to_target(drafter->map, &draft, &out, err);
    if (rc != STATUS_OK)
        return rc == STATUS_EXHAUSTED ? STATUS_OK : rc;
    for (uint32_t i = 0; i < out.n; i++) {
        token[i] = mapped[i].token;
        confidence[i] = fminf(fmaxf(mapped[i].confidence, 0.0f), 1.0f);
    }
    struct spec_chain chain = {.token = token, .confidence = confidence, .n = out.n};
    (void)spec_tree_graft(tree, WIRE_DRAFT_NODES_MAX, -1, chain);
    return STATUS_OK;
}

static enum status add_branches(struct drafter *drafter, struct error *err)
{
    struct drafter_proposal *proposal = &drafter->proposal;
    if (drafter->n_branches == 0)           /* nearly always: this runs once a token */
        return STATUS_OK;
    struct spec_tree tree = {.n = proposal->n_nodes};
    for (uint32_t i = 0; i < proposal->n_nodes; i++)
        tree.node[i] = (struct spec_node){.token = proposal->nodes[i].token,
                                          .parent = (int16_t)proposal->nodes[i].parent,
                                          .confidence = proposal->nodes[i].confidence};
    for (uint32_t b = 0; b < drafter->n_branches; b++) {
        enum status rc = graft(drafter, &drafter->branch[b], &tree, err);
        if (rc != STATUS_OK)
            return rc;
    }
    for (uint32_t i = proposal->n_nodes; i < tree.n; i++)
        proposal->nodes[i] = (struct wire_node){.token = tree.node[i].token,
                                                .parent = tree.node[i].parent,
                                                .confidence = tree.node[i].confidence};
    proposal->n_nodes = tree.n;
    return STATUS_OK;
}

/* ---- proposal ---- */

uint32_t drafter_n_drafted(const struct drafter *drafter)
{
    const struct attempt *attempt = &drafter->attempt;
    uint32_t n = attempt->n_decided - drafter->n_forced;
    bool ends = n > 0 && attempt->decided[attempt->n_decided - 1] ==
                             drafter->engine->description->special.end;
    return drafter->early && ends ? n - 1 : n;
}

struct wire_draft drafter_wire_draft(const struct drafter_proposal *proposal,
                                     const int32_t *decided)
{
    return (struct wire_draft){.n_prefix = proposal->n_prefix,
                               .prefix_hash = wire_hash(decided, proposal->n_prefix),
                               .complete = proposal->complete, .n_nodes = proposal->n_nodes,
                               .nodes = (struct wire_node *)(uintptr_t)proposal->nodes};
}

void drafter_complete_proposal(struct drafter *drafter)
{
    drafter->phase = DRAFTER_COMPLETE;
    drafter->proposal.complete = !drafter->early;
    drafter->proposal.early = drafter->early;
    drafter->version++;
}

enum status drafter_map_proposal(struct drafter *drafter, bool complete, struct error *err)
{
    struct map_piece drafted[WINDOW_TOKENS_MAX];
    struct map_piece mapped[2 * WIRE_TOKENS_MAX];
    uint32_t n = drafter_n_drafted(drafter);
    if (!drafter->map)
        return STATUS_OK;
    complete = complete && !drafter->early;
    for (uint32_t i = 0; i < n; i++)
        drafted[i] = drafted_piece(drafter, i);
    struct map_draft draft = {.decided = drafter->decided, .n_decided = drafter->n_decided,
                              .pieces = drafted, .n_pieces = n, .complete = complete};
    struct map_pieces out = {.pieces = mapped, .max = ARRAY_LEN(mapped)};
    enum status rc = text_map_to_target(drafter->map, &draft, &out, err);
    if (rc == STATUS_EXHAUSTED) {           /* too long in the target's tokens */
        drafter_complete_proposal(drafter);
        return STATUS_OK;
    }
    if (rc != STATUS_OK)
        return rc;
    struct drafter_proposal *proposal = &drafter->proposal;
    bool changed = complete != proposal->complete || drafter->early != proposal->early ||
                   out.n != proposal->n_trunk ||
                   proposal->n_prefix != drafter->n_decided;
    proposal->n_prefix = drafter->n_decided;
    proposal->complete = complete;
    proposal->early = drafter->early;
    proposal->n_trunk = MIN(out.n, (uint32_t)WIRE_DRAFT_NODES_MAX);
    proposal->n_nodes = proposal->n_trunk;
    for (uint32_t i = 0; i < proposal->n_trunk; i++)
        proposal->nodes[i] = (struct wire_node){
            .token = mapped[i].token, .parent = (int32_t)i - 1,
            .confidence = fminf(fmaxf(mapped[i].confidence, 0.0f), 1.0f)};
    if (drafter->options.policy.realign)
        add_seconds(drafter);
    rc = add_branches(drafter, err);
    drafter->version += changed || drafter->n_branches > 0;
    return rc;
}
