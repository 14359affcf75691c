/* Acceptance against its definition: decoding one token after the other with a toy model whose next
 * token is a hash of the whole text so far. */
#include "../support/support.h"

#include <string.h>

#include "spec/accept.h"
#include "spec/realign.h"

enum { TEXT_MAX = 80, VOCAB = 5, END = 0 };

/* How many random trees; sanitizers take twenty times as long for each. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(SPECASR_DEBUG)
enum { TREES = 50000 };
#else
enum { TREES = 1000000 };
#endif

/* The toy model: deterministic, few tokens, so that random trees are often right. */
static int32_t next_token(uint64_t model, const int32_t *text, uint32_t n)
{
    uint64_t hash = model;
    for (uint32_t i = 0; i < n; i++)
        hash = (hash ^ (uint64_t)text[i]) * 0x9E3779B97F4A7C15ull;
    uint64_t mixed = support_random(&hash);
    return mixed % 37 == 0 ? END : (int32_t)(1 + mixed % (VOCAB - 1));
}

static uint32_t decode_plainly(uint64_t model, int32_t text[TEXT_MAX])
{
    uint32_t n = 0;
    while (n < TEXT_MAX) {
        text[n] = next_token(model, text, n);
        if (text[n++] == END)
            break;
    }
    return n;
}

/* What a backend does: each row's choice, from the text on its own path. */
static void evaluate(uint64_t model, const struct spec_tree *tree, const int32_t *text, uint32_t n,
                     int32_t *choices)
{
    choices[0] = next_token(model, text, n);
    for (uint32_t i = 0; i < tree->n; i++) {
        int32_t whole[TEXT_MAX + SPEC_NODES_MAX];
        uint8_t path[SPEC_NODES_MAX];
        memcpy(whole, text, n * sizeof(*text));
        uint32_t depth = spec_tree_path(tree, (int32_t)i, path);
        for (uint32_t d = 0; d < depth; d++)
            whole[n + d] = tree->node[path[d]].token;
        choices[i + 1] = next_token(model, whole, n + depth);
    }
}

static void random_tree(uint64_t *seed, const int32_t *truth, uint32_t n_truth,
                        struct spec_tree *tree)
{
    uint32_t n_max = (uint32_t)(support_random(seed) % SPEC_ROWS_MAX);
    spec_tree_clear(tree);
    for (int tries = 0; tries < 80; tries++) {
        int32_t parent = (int32_t)(support_random(seed) % (tree->n + 1)) - 1;
        uint32_t depth = spec_tree_depth(tree, parent);
        bool right = depth < n_truth && support_random(seed) % 2;
        int32_t token = right ? truth[depth] : (int32_t)(support_random(seed) % VOCAB);
        spec_tree_add(tree, n_max, (struct spec_node){token, (int16_t)parent, 0.5f});
    }
}

/* The definition: the longest path that reads like the truth. */
static uint32_t longest_right_path(const struct spec_tree *tree, const int32_t *truth,
                                   uint32_t n_truth)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < tree->n; i++) {
        uint8_t path[SPEC_NODES_MAX];
        uint32_t depth = spec_tree_path(tree, (int32_t)i, path);
        uint32_t right = 0;
        while (right < depth && right < n_truth && tree->node[path[right]].token == truth[right])
            right++;
        if (right == depth && depth > longest)
            longest = depth;
    }
    return longest;
}

typedef void accept_rule(const struct spec_tree *tree, const int32_t *choices,
                         struct spec_limits limits, struct spec_accepted *out);

struct decoded {
    uint32_t n_trees, n_nodes;              /* run, and accepted in all */
    bool same;                              /* text, and what each tree brought */
};

/* Decodes a text with random trees, by a rule. */
static struct decoded decode_in_trees(uint64_t model, uint64_t *seed, accept_rule *rule)
{
    int32_t truth[TEXT_MAX], text[TEXT_MAX + SPEC_ROWS_MAX], choices[SPEC_ROWS_MAX];
    uint32_t n_truth = decode_plainly(model, truth), n = 0;
    struct decoded all = {.same = true};
    while (n < n_truth && all.same) {
        struct spec_tree tree;
        struct spec_accepted accepted;
        random_tree(seed, truth + n, n_truth - n, &tree);
        evaluate(model, &tree, text, n, choices);
        rule(&tree, choices, (struct spec_limits){END, TEXT_MAX - n}, &accepted);
        uint32_t longest = longest_right_path(&tree, truth + n, n_truth - n);
        all.same = accepted.n_nodes == longest &&
                   accepted.n_tokens == MIN(longest + 1, n_truth - n) &&
                   memcmp(truth + n, accepted.token, accepted.n_tokens * sizeof(*truth)) == 0;
        memcpy(text + n, accepted.token, accepted.n_tokens * sizeof(*text));
        n += accepted.n_tokens;
        all.n_nodes += accepted.n_nodes;
        all.n_trees++;
    }
    return all;
}

static void any_tree_gives_the_text_of_plain_decoding(void **state)
{
    (void)state;
    uint64_t seed = 1, n_trees = 0, n_nodes = 0;
    for (uint64_t model = 1; n_trees < TREES; model++) {
        struct decoded all = decode_in_trees(model, &seed, spec_accept);
        if (!all.same)
            fail_msg("model %llu: the text is another", (unsigned long long)model);
        n_trees += all.n_trees;
        n_nodes += all.n_nodes;
    }
    assert_true(n_nodes > n_trees);         /* the trees were worth something */
}

/* ---- rules that are wrong ---- */

/* Takes the draft's word for a token. */
static void accept_unseen(const struct spec_tree *tree, const int32_t *choices,
                          struct spec_limits limits, struct spec_accepted *out)
{
    spec_accept(tree, choices, limits, out);
    for (uint32_t i = 0; i < tree->n && out->n_nodes == out->n_tokens - 1 &&
                         out->n_tokens < limits.n_tokens_max; i++) {
        if (tree->node[i].parent != (out->n_nodes ? out->node[out->n_nodes - 1] : -1))
            continue;
        out->token[out->n_tokens - 1] = tree->node[i].token;
        out->node[out->n_nodes++] = (uint8_t)i;
        out->token[out->n_tokens++] = choices[i + 1];
        return;
    }
}

/* Reads the choice of the row before. */
static void accept_one_row_off(const struct spec_tree *tree, const int32_t *choices,
                               struct spec_limits limits, struct spec_accepted *out)
{
    int32_t moved[SPEC_ROWS_MAX];
    for (uint32_t i = 0; i <= tree->n; i++)
        moved[i] = choices[i > 1 ? i - 1 : i];
    spec_accept(tree, moved, limits, out);
}

/* Goes on behind a node of the right token, wherever it hangs. */
static void accept_any_parent(const struct spec_tree *tree, const int32_t *choices,
                              struct spec_limits limits, struct spec_accepted *out)
{
    struct spec_tree flat = *tree;
    for (uint32_t i = 1; i < flat.n; i++)
        flat.node[i].parent = (int16_t)(i - 1);
    spec_accept(&flat, choices, limits, out);
}

/* Does not stop at the end token. */
static void accept_behind_the_end(const struct spec_tree *tree, const int32_t *choices,
                                  struct spec_limits limits, struct spec_accepted *out)
{
    limits.end = -1;
    spec_accept(tree, choices, limits, out);
}

/* What the property is worth: each of these is found within a few hundred texts. */
static void a_broken_rule_is_caught(void **state)
{
    (void)state;
    accept_rule *const broken[] = {accept_unseen, accept_one_row_off, accept_any_parent,
                                   accept_behind_the_end};
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        uint64_t seed = 1;
        bool caught = false;
        for (uint64_t model = 1; model <= 300 && !caught; model++)
            caught = !decode_in_trees(model, &seed, broken[i]).same;
        if (!caught)
            fail_msg("broken rule %zu was not noticed", i);
    }
}

static void realigned_drafts_give_the_text_of_plain_decoding(void **state)
{
    (void)state;
    uint64_t seed = 2;
    struct spec_realign how = spec_realign_default(END, -1);
    for (uint64_t model = 1; model <= 200; model++) {
        int32_t truth[TEXT_MAX];
        uint32_t n_truth = decode_plainly(model, truth);
        struct spec_draft draft;
        spec_draft_clear(&draft);
        draft.number = 1;
        for (uint32_t i = 0; i < n_truth; i++) {
            bool right = support_random(&seed) % 8;
            int32_t token = right ? truth[i] : (int32_t)(support_random(&seed) % VOCAB);
            spec_tree_add(&draft.tree, SPEC_NODES_MAX,
                          (struct spec_node){token, (int16_t)(draft.tree.n - 1), 0.9f});
        }
        struct spec_source source;
        assert_true(spec_source_load(&source, &how, &draft, NULL, 0));
        int32_t text[TEXT_MAX];
        uint32_t n = 0;
        uint32_t passes = 0;
        while (n < n_truth) {
            struct spec_tree tree;
            struct spec_accepted accepted;
            int32_t choices[SPEC_ROWS_MAX];
            spec_propose(&source, &how, (struct spec_caps){63, TEXT_MAX - n}, &tree);
            evaluate(model, &tree, text, n, choices);
            spec_accept(&tree, choices, (struct spec_limits){END, TEXT_MAX - n}, &accepted);
            memcpy(text + n, accepted.token, accepted.n_tokens * sizeof(*text));
            spec_source_follow(&source, &how, accepted.token, accepted.n_tokens);
            n += accepted.n_tokens;
            passes++;
        }
        assert_int_equal(n, n_truth);
        assert_memory_equal(text, truth, n * sizeof(*text));
        if (n_truth > 20)
            assert_true(passes < n_truth);
    }
}

static void nothing_is_decided_behind_the_end(void **state)
{
    (void)state;
    const int32_t tokens[] = {3, END, 4};
    struct spec_tree tree;
    struct spec_accepted accepted;
    spec_tree_from_chain(&tree, 8, (struct spec_chain){tokens, NULL, 3});
    const int32_t choices[] = {3, END, 4, 2};
    spec_accept(&tree, choices, (struct spec_limits){END, 9}, &accepted);
    assert_int_equal(accepted.n_tokens, 2);
    assert_int_equal(accepted.n_nodes, 2);
    assert_int_equal(accepted.token[1], END);
    assert_int_equal(spec_accepted_row(&accepted, 0), 0);
    assert_int_equal(spec_accepted_row(&accepted, 1), 1);
}

static void the_token_limit_is_kept(void **state)
{
    (void)state;
    const int32_t tokens[] = {3, 4, 5};
    struct spec_tree tree;
    struct spec_accepted accepted;
    spec_tree_from_chain(&tree, 8, (struct spec_chain){tokens, NULL, 3});
    const int32_t choices[] = {3, 4, 5, 6};
    for (uint32_t limit = 1; limit <= 4; limit++) {
        spec_accept(&tree, choices, (struct spec_limits){END, limit}, &accepted);
        assert_int_equal(accepted.n_tokens, limit);
        assert_int_equal(accepted.n_nodes, MIN(limit, 3));
    }
}

static void without_a_tree_one_token_is_decided(void **state)
{
    (void)state;
    struct spec_tree tree;
    struct spec_accepted accepted;
    spec_tree_clear(&tree);
    const int32_t choice = 9;
    spec_accept(&tree, &choice, (struct spec_limits){END, 5}, &accepted);
    assert_int_equal(accepted.n_tokens, 1);
    assert_int_equal(accepted.n_nodes, 0);
    assert_int_equal(accepted.token[0], 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_tree_gives_the_text_of_plain_decoding),
        cmocka_unit_test(a_broken_rule_is_caught),
        cmocka_unit_test(realigned_drafts_give_the_text_of_plain_decoding),
        cmocka_unit_test(nothing_is_decided_behind_the_end),
        cmocka_unit_test(the_token_limit_is_kept),
        cmocka_unit_test(without_a_tree_one_token_is_decided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
