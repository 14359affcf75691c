/* draft.h: a client's draft as the target holds it: one mailbox place, the newest wins.
 *
 * A draft grew from n_prefix decided tokens of (window, attempt). While it travelled the target may
 * have decided more: spec_draft_walk goes along those. The trunk is the path of first children;
 * other nodes are side branches (a second choice is a leaf beside the trunk).
 */
#ifndef SPEC_DRAFT_H
#define SPEC_DRAFT_H

#include <stdbool.h>
#include <stdint.h>

#include "spec/tree.h"

struct spec_draft {
    uint32_t number;                    /* from 1, rising; 0: there is no draft */
    uint32_t window;
    uint32_t attempt;
    uint32_t n_prefix;                  /* decided tokens that it grew from */
    bool complete;                      /* reached its end token or its cap */
    struct spec_tree tree;
};

/* What the target does with an arriving draft. */
enum spec_arrival {
    SPEC_ARRIVAL_TAKEN,
    SPEC_ARRIVAL_STALE,                 /* older attempt, window or number: drop and count */
    SPEC_ARRIVAL_NEED_FULL,             /* its base is not held: drop, ask for a whole draft */
    SPEC_ARRIVAL_REFUSED                /* too many nodes, a broken tree: drop and count */
};

void spec_draft_clear(struct spec_draft *draft);

/* Puts `next` into the mailbox place `held`. base 0: whole. Otherwise next->tree holds only new
 * nodes, whose parents count from the start of the merged tree (so next->tree.node[i] becomes node
 * held->tree.n + i), and `held` must be draft `base` with the same window, attempt and prefix.
 * Window and attempt are compared with those of `held` alone: the caller checks them against the
 * session's first. On anything but TAKEN the mailbox is unchanged. */
enum spec_arrival spec_draft_arrive(struct spec_draft *held, const struct spec_draft *next,
                                    uint32_t base, uint32_t n_vocab);

/* How far the decided tokens lead into the draft. */
struct spec_walk {
    bool possible;                      /* n_decided >= n_prefix */
    bool agrees;                        /* the decided tokens behind the prefix are a path */
    uint32_t n_walked;                  /* how many of them are on that path */
    int32_t node;                       /* last node walked, -1: none; its children come next */
};

/* `decided` are all n_decided tokens of the attempt, the prefix among them. When !agrees, decided
 * token n_prefix + n_walked is the mismatch. */
struct spec_walk spec_draft_walk(const struct spec_draft *draft, const int32_t *decided,
                                 uint32_t n_decided);

/* A draft that stopped early is as good as used up with so few tokens left: the client splices them
 * into the next one, and a pass for them alone is nearly a plain step. */
enum { SPEC_DRAFT_LOW = 2 };

/* Has the draft more than SPEC_DRAFT_LOW tokens behind `node` (-1: in all), or its end token? */
bool spec_draft_goes_on(const struct spec_draft *draft, int32_t node, int32_t end);

/* The trunk below `node` (-1: from the start): first child of first child. Returns its length. */
uint32_t spec_draft_trunk(const struct spec_draft *draft, int32_t node,
                          int32_t token[SPEC_NODES_MAX], float confidence[SPEC_NODES_MAX]);

/* What the draft holds behind `node` (-1: all of it), best first by survival. */
void spec_draft_rest(const struct spec_draft *draft, int32_t node, struct spec_tree *rest);

#endif
