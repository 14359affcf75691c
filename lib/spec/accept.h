/* accept.h: the target's choices over a tree -> the tokens that are decided.
 *
 * A verify pass evaluates the last decided token itself (the root row; the last prompt token when
 * nothing is decided) and every node of the tree:
 *
 *     row 0 = root, row 1 + i = node i          choices[r] = the target's next token after row r
 *
 * From the root on, the child that carries the chosen token is accepted, and its own row says what
 * comes next, until no child does: then the last choice is the target's own next token. So a pass
 * decides at least one token, and the decided tokens are those of decoding one by one, whatever the
 * tree was: the tree only says how many come at once.
 */
#ifndef SPEC_ACCEPT_H
#define SPEC_ACCEPT_H

#include <stdint.h>

#include "spec/tree.h"

struct spec_limits {
    int32_t end;                        /* decoding stops behind this token; -1: no such token */
    uint32_t n_tokens_max;              /* tokens that may still be decided, at least 1 */
};

struct spec_accepted {
    uint32_t n_tokens;                  /* decided by the pass, at least 1 */
    uint32_t n_nodes;                   /* accepted nodes: n_tokens, or one less */
    int32_t token[SPEC_ROWS_MAX];
    uint8_t node[SPEC_ROWS_MAX];        /* accepted nodes, root to leaf; row = node + 1 */
};

/* Choices has 1 + tree->n entries; tree->n is below SPEC_ROWS_MAX. Token i was chosen by the root
 * row for i = 0, else by row node[i - 1] + 1. The token behind an accepted end token is not
 * reported, and no more than n_tokens_max tokens are: then n_nodes == n_tokens is possible. */
void spec_accept(const struct spec_tree *tree, const int32_t *choices, struct spec_limits limits,
                 struct spec_accepted *out);

/* Row that chose out->token[i]: its log-probability belongs to token i. */
static inline uint32_t spec_accepted_row(const struct spec_accepted *accepted, uint32_t i)
{
    return i == 0 ? 0 : accepted->node[i - 1] + 1u;
}

#endif
