#include "spec/accept.h"

#include "base/status.h"

void spec_accept(const struct spec_tree *tree, const int32_t *choices, struct spec_limits limits,
                 struct spec_accepted *out)
{
    SA_ASSERT(tree->n < SPEC_ROWS_MAX && limits.n_tokens_max >= 1);
    out->n_tokens = 0;
    out->n_nodes = 0;
    int32_t node = -1;
    do {
        int32_t choice = choices[node + 1];
        out->token[out->n_tokens++] = choice;
        node = spec_tree_child(tree, node, choice);
        if (node >= 0)
            out->node[out->n_nodes++] = (uint8_t)node;
        if (choice == limits.end || out->n_tokens == limits.n_tokens_max)
            break;
    } while (node >= 0);
}
