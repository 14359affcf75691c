#include "spec/draft.h"

#include "base/status.h"

void spec_draft_clear(struct spec_draft *draft)
{
    draft->number = 0;
    draft->n_prefix = 0;
    draft->complete = false;
    spec_tree_clear(&draft->tree);
}

/* (window, attempt, number) in that order: is `next` behind what is held? */
static bool is_newer(const struct spec_draft *held, const struct spec_draft *next)
{
    if (held->number == 0)
        return true;
    if (next->window != held->window)
        return next->window > held->window;
    if (next->attempt != held->attempt)
        return next->attempt > held->attempt;
    return next->number > held->number;
}

static bool continues(const struct spec_draft *held, const struct spec_draft *next, uint32_t base)
{
    return held->number == base && held->window == next->window &&
           held->attempt == next->attempt && held->n_prefix == next->n_prefix;
}

/* Appends nodes to the held tree and checks the whole; the held tree is cut back when that fails.
 * */
static bool append(struct spec_tree *tree, const struct spec_tree *more, uint32_t n_vocab)
{
    uint32_t n_before = tree->n;
    if (more->n > SPEC_NODES_MAX - n_before)
        return false;
    for (uint32_t i = 0; i < more->n; i++)
        tree->node[tree->n++] = more->node[i];
    if (spec_tree_valid(tree, SPEC_NODES_MAX, n_vocab))
        return true;
    tree->n = n_before;
    return false;
}

enum spec_arrival spec_draft_arrive(struct spec_draft *held, const struct spec_draft *next,
                                    uint32_t base, uint32_t n_vocab)
{
    if (next->number == 0)
        return SPEC_ARRIVAL_REFUSED;
    if (!is_newer(held, next))
        return SPEC_ARRIVAL_STALE;
    if (base == 0) {
        if (!spec_tree_valid(&next->tree, SPEC_NODES_MAX, n_vocab))
            return SPEC_ARRIVAL_REFUSED;
        *held = *next;
        return SPEC_ARRIVAL_TAKEN;
    }
    if (!continues(held, next, base))
        return SPEC_ARRIVAL_NEED_FULL;
    if (next->tree.n > SPEC_NODES_MAX || !append(&held->tree, &next->tree, n_vocab))
        return SPEC_ARRIVAL_REFUSED;
    held->number = next->number;
    held->complete = next->complete;
    return SPEC_ARRIVAL_TAKEN;
}

struct spec_walk spec_draft_walk(const struct spec_draft *draft, const int32_t *decided,
                                 uint32_t n_decided)
{
    struct spec_walk walk = {n_decided >= draft->n_prefix, false, 0, -1};
    if (!walk.possible)
        return walk;
    for (uint32_t i = draft->n_prefix; i < n_decided; i++) {
        int32_t child = spec_tree_child(&draft->tree, walk.node, decided[i]);
        if (child < 0)
            return walk;
        walk.node = child;
        walk.n_walked++;
    }
    walk.agrees = true;
    return walk;
}

static int32_t first_child(const struct spec_tree *tree, int32_t parent)
{
    for (uint32_t i = (uint32_t)(parent + 1); i < tree->n; i++) {
        if (tree->node[i].parent == parent)
            return (int32_t)i;
    }
    return -1;
}

bool spec_draft_goes_on(const struct spec_draft *draft, int32_t node, int32_t end)
{
    uint32_t n = 0;
    for (int32_t i = first_child(&draft->tree, node); i >= 0; i = first_child(&draft->tree, i))
        if (++n > SPEC_DRAFT_LOW || draft->tree.node[i].token == end)
            return true;
    return false;
}

uint32_t spec_draft_trunk(const struct spec_draft *draft, int32_t node,
                          int32_t token[SPEC_NODES_MAX], float confidence[SPEC_NODES_MAX])
{
    uint32_t n = 0;
    for (int32_t i = first_child(&draft->tree, node); i >= 0; i = first_child(&draft->tree, i)) {
        token[n] = draft->tree.node[i].token;
        confidence[n++] = draft->tree.node[i].confidence;
    }
    return n;
}

void spec_draft_rest(const struct spec_draft *draft, int32_t node, struct spec_tree *rest)
{
    int16_t place[SPEC_NODES_MAX];      /* in `rest`; -1: not behind the node */
    float survival[SPEC_NODES_MAX];
    rest->n = 0;
    for (uint32_t i = 0; i < draft->tree.n; i++) {
        struct spec_node copy = draft->tree.node[i];
        bool first = copy.parent == node;
        place[i] = -1;
        if (!first && (copy.parent < 0 || place[copy.parent] < 0))
            continue;
        copy.parent = first ? (int16_t)-1 : place[copy.parent];
        place[i] = (int16_t)rest->n;
        rest->node[rest->n++] = copy;
    }
    spec_tree_survival(rest, survival);
    spec_tree_sort(rest, survival);
}
