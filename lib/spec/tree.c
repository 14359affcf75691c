#include "spec/tree.h"

#include "base/status.h"

void spec_tree_clear(struct spec_tree *tree)
{
    tree->n = 0;
}

int32_t spec_tree_child(const struct spec_tree *tree, int32_t parent, int32_t token)
{
    for (uint32_t i = (uint32_t)(parent + 1); i < tree->n; i++) {
        if (tree->node[i].parent == parent && tree->node[i].token == token)
            return (int32_t)i;
    }
    return -1;
}

int32_t spec_tree_add(struct spec_tree *tree, uint32_t n_max, struct spec_node node)
{
    SA_ASSERT(n_max <= SPEC_NODES_MAX);
    SA_ASSERT(node.parent >= -1 && node.parent < (int32_t)tree->n);
    int32_t found = spec_tree_child(tree, node.parent, node.token);
    if (found >= 0) {
        struct spec_node *same = &tree->node[found];
        same->confidence = MAX(same->confidence, node.confidence);
        return found;
    }
    if (tree->n >= n_max)
        return -1;
    tree->node[tree->n] = node;
    return (int32_t)tree->n++;
}

uint32_t spec_tree_graft(struct spec_tree *tree, uint32_t n_max, int32_t parent,
                         struct spec_chain chain)
{
    for (uint32_t i = 0; i < chain.n; i++) {
        struct spec_node node = {chain.token[i], (int16_t)parent,
                                 chain.confidence ? chain.confidence[i] : 1.0f};
        parent = spec_tree_add(tree, n_max, node);
        if (parent < 0)
            return i;
    }
    return chain.n;
}

uint32_t spec_tree_from_chain(struct spec_tree *tree, uint32_t n_max, struct spec_chain chain)
{
    spec_tree_clear(tree);
    return spec_tree_graft(tree, n_max, -1, chain);
}

static bool node_valid(const struct spec_tree *tree, uint32_t i, uint32_t n_vocab)
{
    const struct spec_node *node = &tree->node[i];
    if (node->token < 0 || (uint32_t)node->token >= n_vocab)
        return false;
    if (node->parent < -1 || node->parent >= (int32_t)i)
        return false;
    if (!(node->confidence >= 0.0f && node->confidence <= 1.0f))
        return false;
    return spec_tree_child(tree, node->parent, node->token) == (int32_t)i;
}

bool spec_tree_valid(const struct spec_tree *tree, uint32_t n_max, uint32_t n_vocab)
{
    if (tree->n > n_max || tree->n > SPEC_NODES_MAX)
        return false;
    for (uint32_t i = 0; i < tree->n; i++) {
        if (!node_valid(tree, i, n_vocab))
            return false;
    }
    return true;
}

uint32_t spec_tree_depth(const struct spec_tree *tree, int32_t node)
{
    uint32_t depth = 0;
    for (; node >= 0; node = tree->node[node].parent)
        depth++;
    return depth;
}

uint32_t spec_tree_path(const struct spec_tree *tree, int32_t node, uint8_t path[SPEC_NODES_MAX])
{
    uint32_t depth = spec_tree_depth(tree, node);
    for (uint32_t i = depth; node >= 0; node = tree->node[node].parent)
        path[--i] = (uint8_t)node;
    return depth;
}

void spec_tree_survival(const struct spec_tree *tree, float survival[SPEC_NODES_MAX])
{
    for (uint32_t i = 0; i < tree->n; i++) {
        int32_t parent = tree->node[i].parent;
        survival[i] = tree->node[i].confidence * (parent < 0 ? 1.0f : survival[parent]);
    }
}

uint32_t spec_tree_height(const struct spec_tree *tree)
{
    uint16_t depth[SPEC_NODES_MAX];
    uint32_t height = 0;
    for (uint32_t i = 0; i < tree->n; i++) {
        int32_t parent = tree->node[i].parent;
        depth[i] = (uint16_t)(1 + (parent < 0 ? 0 : depth[parent]));
        height = MAX(height, depth[i]);
    }
    return height;
}

void spec_tree_sort(struct spec_tree *tree, const float *survival)
{
    struct spec_tree sorted = {.n = 0};
    int16_t place[SPEC_NODES_MAX];
    bool used[SPEC_NODES_MAX] = {false};
    for (; sorted.n < tree->n; sorted.n++) {
        int32_t best = -1;
        for (uint32_t i = 0; i < tree->n; i++) {
            if (!used[i] && (best < 0 || survival[i] > survival[best]))
                best = (int32_t)i;
        }
        used[best] = true;
        place[best] = (int16_t)sorted.n;
        struct spec_node node = tree->node[best];
        node.parent = node.parent < 0 ? (int16_t)-1 : place[node.parent];
        sorted.node[sorted.n] = node;
    }
    *tree = sorted;
}
