#include "../support/support.h"

#include <math.h>
#include <string.h>

#include "spec/accept.h"
#include "spec/realign.h"

enum { END = 0, TIMES = 1000, VOCAB = 2000 };

static const struct spec_caps wide = {63, 400};

static struct spec_source load(const struct spec_realign *how, const int32_t *token, uint32_t n)
{
    float confidence[SPEC_NODES_MAX];
    for (uint32_t i = 0; i < n; i++)
        confidence[i] = 0.9f;
    struct spec_draft draft = {.number = 1};
    spec_tree_from_chain(&draft.tree, SPEC_NODES_MAX, (struct spec_chain){token, confidence, n});
    struct spec_source source;
    assert_true(spec_source_load(&source, how, &draft, NULL, 0));
    return source;
}

/* A draft 10, 11, 12, ... 29, end. */
static struct spec_source count_up(const struct spec_realign *how)
{
    int32_t token[21];
    for (int32_t i = 0; i < 20; i++)
        token[i] = 10 + i;
    token[20] = END;
    return load(how, token, 21);
}

/* Token of the place that is thought the likeliest. */
static int32_t likeliest(const struct spec_source *source, const struct spec_realign *how)
{
    struct spec_place place;
    if (spec_source_places(source, how, 1, &place) == 0 || place.at >= source->n)
        return -1;
    return source->token[place.at];
}

/* How many of the tokens the proposal has as one path from the prefix. */
static uint32_t foreseen(const struct spec_tree *tree, const int32_t *token, uint32_t n)
{
    int32_t node = -1;
    uint32_t i = 0;
    for (; i < n; i++) {
        node = spec_tree_child(tree, node, token[i]);
        if (node < 0)
            break;
    }
    return i;
}

struct scene {
    const char *name;
    int32_t decided[12];
    uint32_t n;
    int32_t next;                       /* where the draft goes on */
};

static void the_rest_goes_on_behind_a_correction(void **state)
{
    (void)state;
    static const struct scene scenes[] = {
        {"agreed", {10, 11, 12}, 3, 13},
        {"substituted", {10, 11, 99}, 3, 13},
        {"deleted", {10, 11, 13, 14}, 4, 15},
        {"inserted", {10, 11, 99, 12}, 4, 13},
        {"two for one", {10, 11, 98, 99, 13}, 5, 14},
        {"one for three", {10, 11, 99, 15, 16}, 5, 17},
        {"twice", {10, 99, 12, 98, 14}, 5, 15},
        {"drift", {10, 99, 98, 11, 12, 97, 14, 15}, 8, 16},
        {"grown while nothing fitted", {10, 99, 98, 97, 96, 95, 14, 15}, 8, 16},
    };
    struct spec_realign how = spec_realign_default(END, -1);
    for (uint32_t i = 0; i < ARRAY_LEN(scenes); i++) {
        struct spec_source source = count_up(&how);
        spec_source_follow(&source, &how, scenes[i].decided, scenes[i].n);
        if (likeliest(&source, &how) != scenes[i].next)
            fail_msg("%s: goes on at %d", scenes[i].name, likeliest(&source, &how));
        struct spec_tree tree;
        int32_t rest[8];
        for (int32_t k = 0; k < 8; k++)
            rest[k] = scenes[i].next + k;
        spec_propose(&source, &how, wide, &tree);
        assert_int_equal(foreseen(&tree, rest, 8), 8);
    }
}

static void other_places_are_proposed_too(void **state)
{
    (void)state;
    const int32_t decided[] = {10, 11, 99};
    const int32_t inserted[] = {12, 13, 14};
    const int32_t deleted[] = {14, 15, 16};
    struct spec_realign how = spec_realign_default(END, -1);
    struct spec_source source = count_up(&how);
    struct spec_tree tree;
    spec_source_follow(&source, &how, decided, 3);
    spec_propose(&source, &how, wide, &tree);
    assert_int_equal(foreseen(&tree, inserted, 3), 3);
    assert_int_equal(foreseen(&tree, deleted, 3), 3);
}

static void a_side_branch_leaves_out_a_doubtful_token(void **state)
{
    (void)state;
    const int32_t without[] = {10, 12, 13, 14};
    struct spec_realign how = spec_realign_default(END, -1);
    struct spec_source source = count_up(&how);
    source.confidence[1] = 0.3f;
    struct spec_tree tree;
    spec_propose(&source, &how, wide, &tree);
    assert_int_equal(foreseen(&tree, without, 4), 4);
    how.side_branches = false;
    spec_propose(&source, &how, wide, &tree);
    assert_int_equal(foreseen(&tree, without, 4), 1);
}

static void a_second_choice_becomes_a_branch_that_rejoins(void **state)
{
    (void)state;
    static const int32_t trunk[] = {10, 11, 12, 13};
    const int32_t other[] = {10, 77, 12, 13};
    struct spec_realign how = spec_realign_default(END, -1);
    struct spec_draft draft = {.number = 1};
    const float confidence[] = {0.9f, 0.5f, 0.9f, 0.9f};
    spec_tree_from_chain(&draft.tree, 8, (struct spec_chain){trunk, confidence, 4});
    spec_tree_add(&draft.tree, 8, (struct spec_node){77, 0, 0.4f});
    struct spec_source source;
    struct spec_tree tree;
    assert_true(spec_source_load(&source, &how, &draft, NULL, 0));
    assert_int_equal(source.n, 4);
    assert_int_equal(source.second[1], 77);
    spec_propose(&source, &how, wide, &tree);
    assert_int_equal(foreseen(&tree, other, 4), 4);
}

static void a_wrong_time_alone_is_no_mismatch(void **state)
{
    (void)state;
    static const int32_t trunk[] = {TIMES, 10, 11, TIMES + 50, TIMES + 50, 12, 13, 14, END};
    const int32_t decided[] = {TIMES, 10, 11, TIMES + 53};
    const int32_t rest[] = {TIMES + 53, 12, 13, 14};
    struct spec_realign how = spec_realign_default(END, TIMES);
    struct spec_source source = load(&how, trunk, 9);
    struct spec_place place;
    struct spec_tree tree;
    spec_source_follow(&source, &how, decided, 4);
    assert_true(spec_source_places(&source, &how, 1, &place) == 1);
    assert_int_equal(place.at, 4);
    assert_true(place.probability > 0.8f);
    spec_propose(&source, &how, wide, &tree);
    assert_int_equal(foreseen(&tree, rest, 4), 4); /* the pair repeats the corrected time */
}

static void times_nearby_are_side_branches(void **state)
{
    (void)state;
    static const int32_t trunk[] = {TIMES, 10, 11, TIMES + 50, TIMES + 50, 12, 13};
    const int32_t later[] = {TIMES, 10, 11, TIMES + 51, TIMES + 51, 12};
    struct spec_realign how = spec_realign_default(END, TIMES);
    struct spec_source source = load(&how, trunk, 7);
    struct spec_tree tree;
    spec_propose(&source, &how, wide, &tree);
    assert_int_equal(foreseen(&tree, later, 6), 6);
}

/* Forms for the test: token t and t + 500 are the same word, 40 and 41 are marks. */
static int32_t flip(const void *context, int32_t token, uint32_t k)
{
    (void)context;
    if (k > 0 || token < 10)
        return -1;
    return token == 40 ? 41 : token == 41 ? 40 : token < 500 ? token + 500 : token - 500;
}

static void format_is_guessed_where_the_vocabulary_is_known(void **state)
{
    (void)state;
    static const int32_t marks[] = {40, 41};
    static const int32_t trunk[] = {10, 40, 511, 12, 13, END};
    const int32_t without[] = {10, 511, 12, 13};
    const int32_t other_mark[] = {10, 41, 11, 12, 13};
    const struct spec_forms forms = {flip, NULL, marks, 2};
    struct spec_realign how = spec_realign_default(END, -1);
    how.forms = &forms;
    struct spec_source source = load(&how, trunk, 6);
    source.confidence[1] = 0.4f;
    struct spec_tree tree;
    spec_propose(&source, &how, wide, &tree);
    assert_int_equal(foreseen(&tree, without, 4), 4);
    assert_int_equal(foreseen(&tree, other_mark, 5), 5);
}

static void drafts_that_agree_are_one_path_and_the_longer_goes_on(void **state)
{
    (void)state;
    static const int32_t fresh_trunk[] = {10, 11, 50, 13};
    const int32_t along_fresh[] = {10, 11, 50, 13};
    const int32_t along_old[] = {10, 11, 12, 13, 14, 15, 16};
    struct spec_realign how = spec_realign_default(END, -1);
    struct spec_source fresh = load(&how, fresh_trunk, 4);
    struct spec_source old = count_up(&how);
    const struct spec_source *const both[] = {&fresh, &old};
    struct spec_tree tree;
    spec_propose_from(both, 2, &how, wide, &tree);
    assert_int_equal(foreseen(&tree, along_fresh, 4), 4);
    assert_int_equal(foreseen(&tree, along_old, 7), 7);
    assert_int_equal(tree.node[0].token, 10);
    assert_true(tree.node[0].confidence > 0.85f);
    assert_int_equal(tree.node[2].token, 50); /* the newest is believed more */
    spec_propose_from(both, 0, &how, wide, &tree);
    assert_int_equal(tree.n, 0);
}

static void a_used_up_draft_proposes_nothing(void **state)
{
    (void)state;
    int32_t whole[21];
    for (int32_t i = 0; i < 20; i++)
        whole[i] = 10 + i;
    struct spec_realign how = spec_realign_default(END, -1);
    struct spec_source source = load(&how, whole, 20);
    struct spec_tree tree;
    assert_true(spec_source_useful(&source));
    spec_source_follow(&source, &how, whole, 20);
    assert_false(spec_source_useful(&source));
    spec_propose(&source, &how, wide, &tree);
    assert_int_equal(tree.n, 0);
    spec_source_clear(&source);
    assert_false(spec_source_useful(&source));
    spec_propose(&source, &how, wide, &tree);
    assert_int_equal(tree.n, 0);
}

static void a_draft_of_an_unknown_prefix_is_not_loaded(void **state)
{
    (void)state;
    const int32_t decided[] = {10};
    struct spec_realign how = spec_realign_default(END, -1);
    struct spec_draft draft = {.number = 1, .n_prefix = 2};
    struct spec_source source;
    assert_false(spec_source_load(&source, &how, &draft, decided, 1));
    assert_false(spec_source_useful(&source));
    draft.number = 0;
    draft.n_prefix = 0;
    assert_false(spec_source_load(&source, &how, &draft, decided, 1));
}

static void check_proposal(const struct spec_source *source, const struct spec_realign *how,
                           struct spec_caps caps)
{
    struct spec_tree tree;
    float survival[SPEC_NODES_MAX];
    float sum = 0.0f;
    spec_propose(source, how, caps, &tree);
    assert_true(spec_tree_valid(&tree, caps.n_nodes, VOCAB));
    assert_true(spec_tree_height(&tree) <= caps.n_depth);
    spec_tree_survival(&tree, survival);
    for (uint32_t i = 0; i < tree.n; i++) {
        assert_true(i == 0 || survival[i] <= survival[i - 1] * 1.0001f);
        sum += tree.node[i].parent < 0 ? survival[i] : 0.0f;
        assert_false(tree.node[i].parent >= 0 &&
                     tree.node[tree.node[i].parent].token == how->end);
    }
    assert_true(sum <= 1.001f);
}

static void check_masses(const struct spec_source *source)
{
    float sum = 0.0f;
    for (uint32_t j = 0; j <= source->n; j++) {
        assert_true(source->agree[j] >= 0.0f && source->apart[j] >= 0.0f);
        sum += source->agree[j] + source->apart[j];
    }
    assert_true(fabsf(sum - 1.0f) < 1e-3f);
}

static void any_draft_and_any_text_give_valid_proposals(void **state)
{
    (void)state;
    uint64_t seed = 11;
    for (int round = 0; round < 150; round++) {
        int32_t alphabet = 2 + (int32_t)(support_random(&seed) % 30);
        struct spec_calibration calibration;
        spec_calibration_init(&calibration);
        struct spec_realign how = spec_realign_default(END, alphabet / 2);
        how.calibration = &calibration;
        struct spec_draft draft = {.number = 1};
        uint32_t n = (uint32_t)(support_random(&seed) % (SPEC_NODES_MAX + 1));
        for (uint32_t i = 0; i < n; i++) {
            int16_t parent = (int16_t)(i - 1 - (support_random(&seed) % 4 == 0 && i > 0));
            float confidence = support_uniform(&seed, 0.0f, 1.0f);
            int32_t token = (int32_t)(support_random(&seed) % (uint32_t)alphabet);
            confidence = support_random(&seed) % 8 ? confidence : (float)(token & 1);
            spec_tree_add(&draft.tree, SPEC_NODES_MAX,
                          (struct spec_node){token, MIN(parent, (int16_t)(draft.tree.n - 1)),
                                             confidence});
        }
        struct spec_source source;
        assert_true(spec_source_load(&source, &how, &draft, NULL, 0));
        for (int step = 0; step < 40; step++) {
            int32_t token = (int32_t)(support_random(&seed) % (uint32_t)alphabet);
            struct spec_caps caps = {(uint32_t)(support_random(&seed) % 64),
                                     (uint32_t)(support_random(&seed) % 50)};
            check_proposal(&source, &how, caps);
            spec_source_follow(&source, &how, &token, 1);
            check_masses(&source);
        }
    }
}

static void a_followed_draft_teaches_the_calibration(void **state)
{
    (void)state;
    struct spec_calibration calibration;
    spec_calibration_init(&calibration);
    struct spec_realign how = spec_realign_default(END, -1);
    how.calibration = &calibration;
    float before = spec_calibration_rate(&calibration, 0.5f);
    int32_t token[20];
    for (int32_t i = 0; i < 20; i++)
        token[i] = 10 + i;
    for (int round = 0; round < 20; round++) {
        struct spec_source source = load(&how, token, 20);
        for (uint32_t i = 0; i < 20; i++)
            source.confidence[i] = 0.5f;
        spec_source_follow(&source, &how, token, 20);
        assert_true(source.n_agreed >= 18);
    }
    assert_true(spec_calibration_rate(&calibration, 0.5f) > before + 0.3f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rest_goes_on_behind_a_correction),
        cmocka_unit_test(other_places_are_proposed_too),
        cmocka_unit_test(a_side_branch_leaves_out_a_doubtful_token),
        cmocka_unit_test(a_second_choice_becomes_a_branch_that_rejoins),
        cmocka_unit_test(a_wrong_time_alone_is_no_mismatch),
        cmocka_unit_test(times_nearby_are_side_branches),
        cmocka_unit_test(format_is_guessed_where_the_vocabulary_is_known),
        cmocka_unit_test(drafts_that_agree_are_one_path_and_the_longer_goes_on),
        cmocka_unit_test(a_used_up_draft_proposes_nothing),
        cmocka_unit_test(a_draft_of_an_unknown_prefix_is_not_loaded),
        cmocka_unit_test(any_draft_and_any_text_give_valid_proposals),
        cmocka_unit_test(a_followed_draft_teaches_the_calibration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
