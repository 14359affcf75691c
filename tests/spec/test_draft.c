#include "../support/support.h"

#include "spec/draft.h"

enum { VOCAB = 100 };

static struct spec_draft make(uint32_t number, uint32_t n_prefix, const int32_t *token, uint32_t n)
{
    struct spec_draft draft = {.number = number, .window = 3, .attempt = 1, .n_prefix = n_prefix};
    spec_tree_from_chain(&draft.tree, SPEC_NODES_MAX, (struct spec_chain){token, NULL, n});
    return draft;
}

static const int32_t five[] = {1, 2, 3, 4, 5};

static void the_newest_wins(void **state)
{
    (void)state;
    struct spec_draft held;
    spec_draft_clear(&held);
    struct spec_draft first = make(1, 0, five, 2);
    struct spec_draft second = make(2, 0, five, 5);
    assert_int_equal(spec_draft_arrive(&held, &first, 0, VOCAB), SPEC_ARRIVAL_TAKEN);
    assert_int_equal(spec_draft_arrive(&held, &second, 0, VOCAB), SPEC_ARRIVAL_TAKEN);
    assert_int_equal(held.tree.n, 5);
    assert_int_equal(spec_draft_arrive(&held, &first, 0, VOCAB), SPEC_ARRIVAL_STALE);
    assert_int_equal(spec_draft_arrive(&held, &second, 0, VOCAB), SPEC_ARRIVAL_STALE);
    struct spec_draft old_attempt = make(9, 0, five, 1);
    old_attempt.attempt = 0;
    assert_int_equal(spec_draft_arrive(&held, &old_attempt, 0, VOCAB), SPEC_ARRIVAL_STALE);
    struct spec_draft next_window = make(1, 0, five, 1);
    next_window.window = 4;
    assert_int_equal(spec_draft_arrive(&held, &next_window, 0, VOCAB), SPEC_ARRIVAL_TAKEN);
    assert_int_equal(held.tree.n, 1);
}

static struct spec_draft delta(uint32_t number, int16_t parent, int32_t token)
{
    struct spec_draft draft = make(number, 0, five, 0);
    draft.tree.node[draft.tree.n++] = (struct spec_node){token, parent, 0.5f};
    return draft;
}

static void a_delta_continues_its_base(void **state)
{
    (void)state;
    struct spec_draft held;
    spec_draft_clear(&held);
    struct spec_draft whole = make(1, 0, five, 5);
    struct spec_draft more = delta(2, 4, 6);
    more.complete = true;
    assert_int_equal(spec_draft_arrive(&held, &more, 1, VOCAB), SPEC_ARRIVAL_NEED_FULL);
    assert_int_equal(held.number, 0);
    assert_int_equal(spec_draft_arrive(&held, &whole, 0, VOCAB), SPEC_ARRIVAL_TAKEN);
    assert_int_equal(spec_draft_arrive(&held, &more, 1, VOCAB), SPEC_ARRIVAL_TAKEN);
    assert_int_equal(held.tree.n, 6);
    assert_int_equal(held.number, 2);
    assert_true(held.complete);
    int32_t token[SPEC_NODES_MAX];
    float confidence[SPEC_NODES_MAX];
    assert_int_equal(spec_draft_trunk(&held, -1, token, confidence), 6);
    assert_int_equal(token[5], 6);
    assert_true(confidence[5] == 0.5f);
    assert_int_equal(spec_draft_trunk(&held, 3, token, confidence), 2);
}

static void a_delta_on_another_base_asks_for_the_whole(void **state)
{
    (void)state;
    struct spec_draft held = make(5, 2, five, 5);
    struct spec_draft wrong_base = delta(7, 4, 6);
    wrong_base.n_prefix = 2;
    assert_int_equal(spec_draft_arrive(&held, &wrong_base, 6, VOCAB), SPEC_ARRIVAL_NEED_FULL);
    struct spec_draft wrong_prefix = delta(7, 4, 6);
    assert_int_equal(spec_draft_arrive(&held, &wrong_prefix, 5, VOCAB), SPEC_ARRIVAL_NEED_FULL);
    assert_int_equal(held.number, 5);
    assert_int_equal(held.tree.n, 5);
}

static void broken_nodes_leave_the_mailbox_as_it_was(void **state)
{
    (void)state;
    struct spec_draft held = make(1, 0, five, 5);
    const struct spec_draft broken[] = {delta(2, 5, 6), delta(2, 3, 5), delta(2, 4, VOCAB),
                                        delta(2, -2, 6)};
    for (uint32_t i = 0; i < ARRAY_LEN(broken); i++) {
        assert_int_equal(spec_draft_arrive(&held, &broken[i], 1, VOCAB), SPEC_ARRIVAL_REFUSED);
        assert_int_equal(held.tree.n, 5);
        assert_int_equal(held.number, 1);
    }
    struct spec_draft too_long = make(2, 0, five, 0);
    too_long.tree.n = SPEC_NODES_MAX - 4;
    assert_int_equal(spec_draft_arrive(&held, &too_long, 1, VOCAB), SPEC_ARRIVAL_REFUSED);
    struct spec_draft nameless = make(0, 0, five, 2);
    assert_int_equal(spec_draft_arrive(&held, &nameless, 0, VOCAB), SPEC_ARRIVAL_REFUSED);
}

static void a_walk_says_how_far_a_draft_still_agrees(void **state)
{
    (void)state;
    struct spec_draft draft = make(1, 2, five, 5);
    spec_tree_add(&draft.tree, SPEC_NODES_MAX, (struct spec_node){7, 0, 0.5f});
    const int32_t along[] = {90, 91, 1, 2, 3};
    const int32_t aside[] = {90, 91, 1, 7};
    const int32_t apart[] = {90, 91, 1, 2, 8, 4};
    struct spec_walk walk = spec_draft_walk(&draft, along, 5);
    assert_true(walk.possible && walk.agrees);
    assert_int_equal(walk.n_walked, 3);
    assert_int_equal(walk.node, 2);
    walk = spec_draft_walk(&draft, aside, 4);
    assert_true(walk.agrees);
    assert_int_equal(walk.node, 5);
    walk = spec_draft_walk(&draft, apart, 6);
    assert_true(walk.possible && !walk.agrees);
    assert_int_equal(walk.n_walked, 2);
    assert_false(spec_draft_walk(&draft, along, 1).possible);
    walk = spec_draft_walk(&draft, along, 2);
    assert_true(walk.agrees);
    assert_int_equal(walk.node, -1);
}

/* The tokens from the prefix down to a node, for comparing paths of two trees. */
static uint32_t path_tokens(const struct spec_tree *tree, int32_t node, int32_t *token)
{
    uint8_t path[SPEC_NODES_MAX];
    uint32_t n = spec_tree_path(tree, node, path);
    for (uint32_t i = 0; i < n; i++)
        token[i] = tree->node[path[i]].token;
    return n;
}

static void the_rest_is_what_stands_behind_a_node_best_first(void **state)
{
    uint64_t seed = 4;
    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct spec_draft draft = make(1, 0, five, 0);
        for (uint32_t i = 0; i < 40; i++) {
            int32_t parent = (int32_t)(support_random(&seed) % (i + 1)) - 1;
            draft.tree.node[draft.tree.n++] = (struct spec_node){
                (int32_t)i, (int16_t)parent, support_uniform(&seed, 0.0f, 1.0f)};
        }
        int32_t from = (int32_t)(support_random(&seed) % 41) - 1;
        struct spec_tree rest;
        float survival[SPEC_NODES_MAX];
        spec_draft_rest(&draft, from, &rest);
        assert_true(spec_tree_valid(&rest, SPEC_NODES_MAX, VOCAB));
        spec_tree_survival(&rest, survival);
        uint32_t n_behind = 0;
        for (int32_t i = 0; i < 40; i++) {
            int32_t above = i;
            while (above >= 0 && above != from)
                above = draft.tree.node[above].parent;
            n_behind += above == from && i != from;
        }
        assert_int_equal(rest.n, n_behind);
        for (uint32_t i = 0; i < rest.n; i++) {
            int32_t here[SPEC_NODES_MAX], whole[SPEC_NODES_MAX];
            uint32_t n = path_tokens(&rest, (int32_t)i, here);
            uint32_t n_whole = path_tokens(&draft.tree, rest.node[i].token, whole);
            assert_int_equal(n_whole - n, from < 0 ? 0 : spec_tree_depth(&draft.tree, from));
            assert_memory_equal(here, whole + (n_whole - n), n * sizeof(*here));
            assert_true(i == 0 || survival[i] <= survival[i - 1] * 1.00001f);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_wins),
        cmocka_unit_test(a_delta_continues_its_base),
        cmocka_unit_test(a_delta_on_another_base_asks_for_the_whole),
        cmocka_unit_test(broken_nodes_leave_the_mailbox_as_it_was),
        cmocka_unit_test(a_walk_says_how_far_a_draft_still_agrees),
        cmocka_unit_test(the_rest_is_what_stands_behind_a_node_best_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
