#include "../support/support.h"

#include <math.h>

#include "spec/tree.h"

static const int32_t abc[] = {10, 11, 12};
static const int32_t abd[] = {10, 11, 13, 14};

static struct spec_chain chain(const int32_t *token, uint32_t n)
{
    return (struct spec_chain){token, NULL, n};
}

static void chains_share_what_is_there(void **state)
{
    (void)state;
    struct spec_tree tree;
    assert_int_equal(spec_tree_from_chain(&tree, 8, chain(abc, 3)), 3);
    assert_int_equal(spec_tree_graft(&tree, 8, -1, chain(abd, 4)), 4);
    assert_int_equal(tree.n, 5);
    assert_int_equal(tree.node[3].parent, 1);
    assert_int_equal(tree.node[3].token, 13);
    assert_int_equal(tree.node[4].parent, 3);
    assert_int_equal(spec_tree_height(&tree), 4);
}

static void grafts_stop_at_the_cap(void **state)
{
    (void)state;
    struct spec_tree tree;
    spec_tree_from_chain(&tree, 4, chain(abc, 3));
    assert_int_equal(spec_tree_graft(&tree, 4, -1, chain(abd, 4)), 3);
    assert_int_equal(tree.n, 4);
    assert_int_equal(spec_tree_graft(&tree, 4, -1, chain(abc, 3)), 3);
    assert_true(spec_tree_valid(&tree, 4, 100));
}

static void a_repeated_node_keeps_the_higher_confidence(void **state)
{
    (void)state;
    struct spec_tree tree;
    spec_tree_clear(&tree);
    assert_int_equal(spec_tree_add(&tree, 4, (struct spec_node){5, -1, 0.25f}), 0);
    assert_int_equal(spec_tree_add(&tree, 4, (struct spec_node){5, -1, 0.75f}), 0);
    assert_int_equal(spec_tree_add(&tree, 4, (struct spec_node){5, -1, 0.5f}), 0);
    assert_int_equal(tree.n, 1);
    assert_true(tree.node[0].confidence == 0.75f);
}

static void paths_run_from_the_prefix_down(void **state)
{
    (void)state;
    struct spec_tree tree;
    uint8_t path[SPEC_NODES_MAX];
    spec_tree_from_chain(&tree, 8, chain(abc, 3));
    spec_tree_graft(&tree, 8, -1, chain(abd, 4));
    assert_int_equal(spec_tree_path(&tree, 4, path), 4);
    const uint8_t wanted[] = {0, 1, 3, 4};
    assert_memory_equal(path, wanted, 4);
    assert_int_equal(spec_tree_depth(&tree, 4), 4);
    assert_int_equal(spec_tree_depth(&tree, -1), 0);
    assert_int_equal(spec_tree_path(&tree, -1, path), 0);
}

static void survival_is_the_product_along_the_path(void **state)
{
    (void)state;
    const float confidence[] = {0.5f, 0.5f, 0.25f};
    struct spec_tree tree;
    float survival[SPEC_NODES_MAX];
    spec_tree_from_chain(&tree, 8, (struct spec_chain){abc, confidence, 3});
    spec_tree_survival(&tree, survival);
    assert_true(survival[0] == 0.5f && survival[1] == 0.25f && survival[2] == 0.0625f);
}

/* Each entry breaks a valid tree of three nodes in one way. */
static void broken_trees_are_refused(void **state)
{
    (void)state;
    struct spec_tree good;
    spec_tree_from_chain(&good, 8, chain(abc, 3));
    assert_true(spec_tree_valid(&good, 3, 13));
    assert_false(spec_tree_valid(&good, 2, 13));
    assert_false(spec_tree_valid(&good, 3, 12));
    const struct spec_node broken[] = {
        {12, 2, 1.0f},  {12, 3, 1.0f},  {12, -2, 1.0f}, {-1, 1, 1.0f},
        {12, 1, -0.1f}, {12, 1, 1.1f},  {12, 1, NAN},   {10, -1, 1.0f},
    };
    for (uint32_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct spec_tree tree = good;
        tree.node[2] = broken[i];
        assert_false(spec_tree_valid(&tree, 8, 100));
    }
    good.n = SPEC_NODES_MAX + 1;
    assert_false(spec_tree_valid(&good, SPEC_NODES_MAX + 1, 100));
}

static void random_grafts_keep_a_valid_trie(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int round = 0; round < 200; round++) {
        struct spec_tree tree;
        spec_tree_clear(&tree);
        for (int graft = 0; graft < 30; graft++) {
            int32_t token[12];
            float confidence[12];
            uint32_t n = (uint32_t)(support_random(&seed) % 13);
            for (uint32_t i = 0; i < n; i++) {
                token[i] = (int32_t)(support_random(&seed) % 3);
                confidence[i] = support_uniform(&seed, 0.0f, 1.0f);
            }
            int32_t parent = (int32_t)(support_random(&seed) % (tree.n + 1)) - 1;
            spec_tree_graft(&tree, 100, parent, (struct spec_chain){token, confidence, n});
        }
        assert_true(spec_tree_valid(&tree, 100, 3));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_share_what_is_there),
        cmocka_unit_test(grafts_stop_at_the_cap),
        cmocka_unit_test(a_repeated_node_keeps_the_higher_confidence),
        cmocka_unit_test(paths_run_from_the_prefix_down),
        cmocka_unit_test(survival_is_the_product_along_the_path),
        cmocka_unit_test(broken_trees_are_refused),
        cmocka_unit_test(random_grafts_keep_a_valid_trie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
