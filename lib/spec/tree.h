/* tree.h: proposed tokens as nodes with parents.
 *
 *     committed ... the |  cat  sat  on        node: 0 cat (parent -1), 1 sat (0), 2 on (1)
 *                       |   \-- sad            node: 3 sad (parent 0)
 *
 * Parents stand before their children; parent -1 follows the committed prefix. Two children of one
 * parent never carry the same token (a trie), so a path is named by its tokens.
 *
 * Order is meaning: a proposal made by spec_propose lists its nodes best first (by survival, the
 * product of confidences down from the prefix), so cutting `n` leaves the best smaller tree.
 */
#ifndef SPEC_TREE_H
#define SPEC_TREE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SPEC_NODES_MAX = 256,               /* nodes of a draft */
    SPEC_ROWS_MAX = 64                  /* rows of a pass, the root row among them */
};

struct spec_node {
    int32_t token;
    int16_t parent;                     /* index below own, or -1 */
    float confidence;                   /* 0..1: probability of being right where its parent is */
};

struct spec_tree {
    uint32_t n;
    struct spec_node node[SPEC_NODES_MAX];
};

/* The first `n_max` nodes may be used; n_max is at most SPEC_NODES_MAX. */
void spec_tree_clear(struct spec_tree *tree);

/* The child of `parent` that carries `token`, or -1. */
int32_t spec_tree_child(const struct spec_tree *tree, int32_t parent, int32_t token);

/* Adds a node below node.parent, or finds the one that is there (it keeps the higher confidence).
 * Returns its index, or -1 when n_max nodes are taken. */
int32_t spec_tree_add(struct spec_tree *tree, uint32_t n_max, struct spec_node node);

/* Tokens one after the other; `confidence` may be NULL (all 1). Borrowed views. */
struct spec_chain {
    const int32_t *token;
    const float *confidence;
    uint32_t n;
};

/* Inserts a chain below `parent` (-1: at the prefix), sharing what is there already, as far as
 * n_max allows. Returns how many tokens of the chain are in the tree. */
uint32_t spec_tree_graft(struct spec_tree *tree, uint32_t n_max, int32_t parent,
                         struct spec_chain chain);

/* Clear, then graft at the prefix. */
uint32_t spec_tree_from_chain(struct spec_tree *tree, uint32_t n_max, struct spec_chain chain);

/* Checks a tree that somebody else made: n at most n_max, tokens in 0..n_vocab-1, parents before
 * children, confidences 0..1 (no NaN), no two children of one parent with the same token. */
bool spec_tree_valid(const struct spec_tree *tree, uint32_t n_max, uint32_t n_vocab);

/* Tokens from the prefix to `node`, itself included: 1 for a child of the prefix, 0 for node -1. */
uint32_t spec_tree_depth(const struct spec_tree *tree, int32_t node);

/* Writes the node indices from the prefix down to `node`; returns how many (spec_tree_depth). */
uint32_t spec_tree_path(const struct spec_tree *tree, int32_t node, uint8_t path[SPEC_NODES_MAX]);

/* Probability that each node is accepted: the product of the confidences along its path. */
void spec_tree_survival(const struct spec_tree *tree, float survival[SPEC_NODES_MAX]);

/* Best first by `survival`, which never rises from parent to child. */
void spec_tree_sort(struct spec_tree *tree, const float *survival);

/* Largest depth in the tree. */
uint32_t spec_tree_height(const struct spec_tree *tree);

#endif
