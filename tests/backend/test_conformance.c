/* One suite for every backend: what the five verbs promise, bit for bit.
 *
 * The yardstick is plain decoding, one row after another on a sequence of its own. Whatever else is
 * done (trees, chains of 1 to 64 rows, other sequences in the call, paths kept and rewound) must
 * give the same logits by memcmp, the same choice and the same no-speech probability. Subjects of a
 * group (one model, other kernels and thread counts) must also agree with each other.
 */
#include "../support/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/toy/toy.h"
#include "model/model_random.h"

enum { ROWS = BACKEND_ROWS_MAX, GROUPS = 5 };

/* The thread sanitizer slows everything down thirtyfold: it gets one threaded subject per weight
 * type and fewer lengths of chains. Numbers are checked in the other modes. */
#if defined(__SANITIZE_THREAD__)
enum { ONLY_THREADS = 1 };
#else
enum { ONLY_THREADS = 0 };
#endif

struct subject {
    const char *name;
    const char *kernels;        /* NULL: the toy */
    uint32_t n_threads;
    enum tensor_type type;      /* of the weights */
    bool slow;                  /* plain C: fewer rounds */
};

static const struct subject subjects[] = {
    {"toy", NULL, 1, TENSOR_F32, false},
    {"f16 reference", "reference", 1, TENSOR_F16, true},
    {"f16 avx2, 1 thread", "avx2", 1, TENSOR_F16, false},
    {"f16 avx2, 2 threads", "avx2", 2, TENSOR_F16, false},
    {"f16 avx2, 5 threads", "avx2", 5, TENSOR_F16, true},
    {"f16 avx512, 2 threads", "avx512", 2, TENSOR_F16, false},
    {"f16 neon, 2 threads", "neon", 2, TENSOR_F16, false},
    {"q8_0 reference", "reference", 2, TENSOR_Q8_0, true},
    {"q8_0 avx2, 2 threads", "avx2", 2, TENSOR_Q8_0, false},
    {"q8_0 avx512, 1 thread", "avx512", 1, TENSOR_Q8_0, false},
    {"q8_0 neon, 2 threads", "neon", 2, TENSOR_Q8_0, false},
    {"q4_0 reference", "reference", 1, TENSOR_Q4_0, true},
    {"q4_0 avx2, 2 threads", "avx2", 2, TENSOR_Q4_0, false},
    {"q4_0 avx512, 2 threads", "avx512", 2, TENSOR_Q4_0, false},
    {"q4_0 neon, 2 threads", "neon", 2, TENSOR_Q4_0, false},
    {"f32 reference", "reference", 1, TENSOR_F32, true},
    {"f32 best, 2 threads", "", 2, TENSOR_F32, false},
};

static char *folder;                    /* with a random model per weight type */
static uint64_t digests[GROUPS];        /* of the random life, by weight type; 0: none yet */
static bool digest_known[GROUPS];

/* ---- a backend with what is needed to use it ---- */

struct world {
    const struct subject *subject;
    struct model_description toy;
    struct model *model;
    struct backend *backend;
    struct rules_masks *masks;
    struct rules rules;
    uint32_t n_vocab;
    float *mel[3];              /* three windows */
    uint32_t n_frames;
};

static const char *model_file(enum tensor_type type)
{
    return support_format("%s/model-%d.gguf", folder, (int)type);
}

static struct backend_features window(const struct world *w, uint32_t which)
{
    return (struct backend_features){.mel = w->mel[which], .n_mels = w->backend->model->n_mels,
                                     .n_frames = w->n_frames};
}

static struct world *world_new(const struct subject *subject)
{
    struct error err = {.code = STATUS_OK};
    struct world *w = calloc(1, sizeof(*w));
    const struct cpu_options options = {.n_threads = subject->n_threads, .unpinned = true,
                                        .kernels = subject->kernels && *subject->kernels
                                                       ? subject->kernels : NULL};
    w->subject = subject;
    if (!subject->kernels) {
        toy_description(&w->toy);
        assert_ok(toy_backend_new(&w->toy, &(struct toy_options){.seed = 7, .mistakes = 0.2f},
                                  &w->backend, &err), &err);
    } else {
        assert_ok(model_open(model_file(subject->type), &w->model, &err), &err);
        assert_ok(cpu_backend_new(w->model, &options, &w->backend, &err), &err);
    }
    assert_ok(rules_masks_new(w->backend->model, &w->masks, &err), &err);
    w->rules = rules_default(w->backend->model, w->masks);
    w->n_vocab = w->backend->model->n_vocab;
    w->n_frames = 2 * w->backend->model->encoder.n_positions;
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t seed = i;
        size_t n = (size_t)w->backend->model->n_mels * w->n_frames;
        w->mel[i] = malloc(n * sizeof(float));
        for (size_t k = 0; k < n; k++)
            w->mel[i][k] = support_uniform(&seed, -1.0f, 1.0f);
    }
    return w;
}

static void world_free(struct world *w)
{
    for (uint32_t i = 0; i < 3; i++)
        free(w->mel[i]);
    rules_masks_free(&w->masks);
    backend_free(&w->backend);
    model_close(&w->model);
    free(w);
}

static struct sequence *open_encoded(struct world *w, uint32_t which)
{
    struct error err = {.code = STATUS_OK};
    struct sequence *sequence;
    struct backend_features features = window(w, which);
    bool done;
    assert_ok(backend_open(w->backend, &sequence, &err), &err);
    assert_ok(backend_encode(sequence, &features, UINT64_MAX, &done, &err), &err);
    assert_true(done);
    return sequence;
}

/* What a row gave. */
struct answer {
    float *logits;
    struct rules_choice choice;
    float no_speech;
};

static struct answer *answers_new(const struct world *w, uint32_t n)
{
    struct answer *answers = calloc(n, sizeof(*answers));
    for (uint32_t i = 0; i < n; i++)
        answers[i].logits = malloc(w->n_vocab * sizeof(float));
    return answers;
}

static void answers_free(struct answer *answers, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        free(answers[i].logits);
    free(answers);
}

static struct backend_row ask(struct world *w, struct sequence *sequence, int32_t token,
                              int32_t parent, struct answer *answer)
{
    struct rules_state state = rules_advance(&w->rules, rules_begin(), token % 100);
    return (struct backend_row){.sequence = sequence, .token = token, .parent = parent,
                                .rules = &w->rules, .state = state, .choice = &answer->choice,
                                .no_speech = &answer->no_speech, .logits = answer->logits};
}

static void forward(struct world *w, struct backend_row *rows, uint32_t n)
{
    struct error err = {.code = STATUS_OK};
    assert_ok(backend_forward(w->backend, rows, n, &err), &err);
}

/* One plain step that stays. */
static void step(struct world *w, struct sequence *sequence, int32_t token, struct answer *answer)
{
    struct backend_row row = ask(w, sequence, token, -1, answer);
    const uint8_t first = 0;
    uint32_t n_kept = sequence_kept(sequence);
    forward(w, &row, 1);
    backend_keep(sequence, n_kept, &first, 1);
    assert_int_equal(sequence_kept(sequence), n_kept + 1);
}

static bool equal(const struct world *w, const struct answer *a, const struct answer *b)
{
    return memcmp(a->logits, b->logits, w->n_vocab * sizeof(float)) == 0 &&
           memcmp(&a->choice, &b->choice, sizeof(a->choice)) == 0 &&
           memcmp(&a->no_speech, &b->no_speech, sizeof(float)) == 0;
}

static uint64_t hash_answer(const struct world *w, const struct answer *a, uint64_t hash)
{
    for (uint32_t i = 0; i < w->n_vocab; i++) {
        uint32_t bits;
        memcpy(&bits, &a->logits[i], sizeof(bits));
        hash = (hash ^ bits) * 0x100000001B3u;
    }
    return (hash ^ (uint64_t)(uint32_t)a->choice.token) * 0x100000001B3u;
}

static int32_t random_token(const struct world *w, uint64_t *random)
{
    return (int32_t)(support_random(random) % w->n_vocab);
}

/* ---- rows ---- */

static void chains_of_1_to_64_rows_equal_plain_decode(void **state)
{
    struct world *w = world_new(*state);
    struct sequence *plain = open_encoded(w, 0), *chain = open_encoded(w, 0);
    struct answer *want = answers_new(w, ROWS), *got = answers_new(w, ROWS);
    struct backend_row rows[ROWS];
    int32_t tokens[ROWS];
    uint64_t random = 1;
    bool few = w->subject->slow || ONLY_THREADS;
    for (uint32_t i = 0; i < ROWS; i++) {
        tokens[i] = random_token(w, &random);
        step(w, plain, tokens[i], &want[i]);
    }
    for (uint32_t n = 1; n <= ROWS; n = few ? n * 3 + 1 : n + 1) {
        for (uint32_t i = 0; i < n; i++)
            rows[i] = ask(w, chain, tokens[i], (int32_t)i - 1, &got[i]);
        forward(w, rows, n);
        for (uint32_t i = 0; i < n; i++)
            assert_true(equal(w, &want[i], &got[i]));
        backend_keep(chain, 0, NULL, 0);
    }
    answers_free(want, ROWS);
    answers_free(got, ROWS);
    backend_close(&plain);
    backend_close(&chain);
    world_free(w);
}

/* A tree of rows, and the number of its call for each. */
struct tree {
    uint32_t n;
    int32_t token[ROWS], parent[ROWS];
    uint8_t call[ROWS];
};

/* Decodes node by node on `plain`, depth first, and compares. */
static void compare_subtree(struct world *w, struct sequence *plain, const struct tree *tree,
                            int32_t parent, struct answer *got)
{
    uint32_t base = sequence_kept(plain);
    struct answer *want = answers_new(w, 1);
    for (uint32_t i = 0; i < tree->n; i++) {
        if (tree->parent[i] != parent)
            continue;
        backend_keep(plain, base, NULL, 0);
        step(w, plain, tree->token[i], want);
        assert_true(equal(w, want, &got[i]));
        compare_subtree(w, plain, tree, (int32_t)i, got);
    }
    backend_keep(plain, base, NULL, 0);
    answers_free(want, 1);
}

/* Random nodes of `subject`, with rows of `other` (a chain) strewn in. */
static uint32_t grow(struct world *w, struct sequence *subject, struct sequence *other,
                     struct tree *tree, struct answer *answers, struct backend_row *rows,
                     uint32_t n_max, uint64_t *random)
{
    int32_t last_other = -1;
    uint32_t n = 1 + (uint32_t)(support_random(random) % n_max);
    uint32_t room = w->backend->model->decoder.n_positions - sequence_kept(subject);
    uint32_t depth[ROWS];
    tree->n = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (support_random(random) % 4 == 0) {
            rows[i] = (struct backend_row){.sequence = other, .token = random_token(w, random),
                                           .parent = last_other};
            last_other = support_random(random) % 2 ? (int32_t)i : last_other;
            continue;
        }
        int32_t p = (int32_t)(support_random(random) % (tree->n + 1)) - 1;
        if (p >= 0 && depth[p] + 2 > room)
            p = -1;
        uint32_t node = tree->n++;
        depth[node] = p < 0 ? 0 : depth[p] + 1;
        tree->parent[node] = p;
        tree->token[node] = random_token(w, random);
        tree->call[node] = (uint8_t)i;
        rows[i] = ask(w, subject, tree->token[node], p < 0 ? -1 : tree->call[p], &answers[node]);
    }
    return n;
}

/* Keeps a random path in `subject` and plays it on `plain`; sometimes both are rewound. */
static void keep_some(struct world *w, struct sequence *subject, struct sequence *plain,
                      const struct tree *tree, uint64_t *random)
{
    uint8_t path[ROWS];
    int32_t tokens[ROWS];
    struct answer *unused = answers_new(w, 1);
    uint32_t n = 0;
    if (tree->n > 0 && support_random(random) % 5) {
        int32_t end = (int32_t)(support_random(random) % tree->n);
        for (int32_t i = end; i >= 0; i = tree->parent[i])
            n++;
        for (int32_t i = end, at = (int32_t)n; i >= 0; i = tree->parent[i]) {
            path[--at] = tree->call[i];
            tokens[at] = tree->token[i];
        }
    }
    backend_keep(subject, sequence_kept(subject), path, n);
    for (uint32_t i = 0; i < n; i++)
        step(w, plain, tokens[i], unused);
    if (support_random(random) % 4 == 0) {
        uint32_t base = (uint32_t)(support_random(random) % (sequence_kept(subject) + 1));
        backend_keep(subject, base, NULL, 0);
        backend_keep(plain, base, NULL, 0);
    }
    assert_int_equal(sequence_kept(subject), sequence_kept(plain));
    answers_free(unused, 1);
}

static void a_random_life_of_trees_equals_plain_decode(void **state)
{
    struct world *w = world_new(*state);
    struct sequence *subject = open_encoded(w, 0), *plain = open_encoded(w, 0);
    struct sequence *other = open_encoded(w, 1);
    struct answer *got = answers_new(w, ROWS);
    struct backend_row rows[ROWS];
    struct tree tree;
    uint64_t random = 2, hash = 0xCBF29CE484222325u;
    static const uint32_t sizes[] = {5, 12, 30, 3, 64, 1, 20, 40, 9, 64, 17, 33};
    for (uint32_t round = 0; round < ARRAY_LEN(sizes); round++) {
        if (sequence_kept(subject) + 2 > w->backend->model->decoder.n_positions) {
            backend_keep(subject, 3, NULL, 0);
            backend_keep(plain, 3, NULL, 0);
        }
        uint32_t n = grow(w, subject, other, &tree, got, rows, sizes[round], &random);
        forward(w, rows, n);
        for (uint32_t i = 0; i < tree.n; i++)
            hash = hash_answer(w, &got[i], hash);
        if (!w->subject->slow)
            compare_subtree(w, plain, &tree, -1, got);
        keep_some(w, subject, plain, &tree, &random);
        backend_keep(other, 0, NULL, 0);
    }
    uint32_t group = w->subject->kernels ? (uint32_t)w->subject->type : GROUPS - 1;
    if (digest_known[group])
        assert_true(digests[group] == hash);
    digests[group] = hash;
    digest_known[group] = true;
    answers_free(got, ROWS);
    backend_close(&subject);
    backend_close(&plain);
    backend_close(&other);
    world_free(w);
}

static void what_a_row_sees_shows_in_its_logits_and_nothing_else_does(void **state)
{
    struct world *w = world_new(*state);
    struct sequence *s = open_encoded(w, 0), *other_audio = open_encoded(w, 1);
    struct answer *a = answers_new(w, 7);
    struct backend_row rows[4];
    /* 0 - 1 - 3, with 2 a sibling of 1 */
    for (uint32_t change = 0; change < 4; change++) {
        struct sequence *here = change == 3 ? other_audio : s;
        backend_keep(here, 0, NULL, 0);
        step(w, here, 10, &a[4]);
        rows[0] = ask(w, here, change == 1 ? 12 : 11, -1, &a[1]);
        rows[1] = ask(w, here, 20, 0, &a[5]);
        rows[2] = ask(w, here, change == 2 ? 22 : 21, 0, &a[6]);
        rows[3] = ask(w, here, 30, 1, change == 0 ? &a[0] : &a[2]);
        forward(w, rows, 4);
        if (change > 0)
            assert_int_equal(equal(w, &a[0], &a[2]), change == 2);
    }
    answers_free(a, 7);
    backend_close(&s);
    backend_close(&other_audio);
    world_free(w);
}

static void rows_that_ask_for_nothing_cost_no_choice_and_change_nothing(void **state)
{
    struct world *w = world_new(*state);
    struct sequence *asked = open_encoded(w, 0), *silent = open_encoded(w, 0);
    struct answer *a = answers_new(w, 4), *b = answers_new(w, 1);
    struct backend_row rows[4];
    for (uint32_t i = 0; i < 4; i++)
        rows[i] = ask(w, asked, (int32_t)i + 40, (int32_t)i - 1, &a[i]);
    forward(w, rows, 4);
    for (uint32_t i = 0; i < 3; i++)
        rows[i] = (struct backend_row){.sequence = silent, .token = (int32_t)i + 40,
                                       .parent = (int32_t)i - 1};
    rows[3] = ask(w, silent, 43, 2, b);
    forward(w, rows, 4);
    assert_true(equal(w, &a[3], b));
    answers_free(a, 4);
    answers_free(b, 1);
    backend_close(&asked);
    backend_close(&silent);
    world_free(w);
}

/* Most calls ask for choices alone, and may get them without all logits: the token, the runner-up
 * and the gap are those of the logits all the same, and whatever else is asked for in the row or
 * the call does not show. */
static void choices_alone_are_those_of_the_logits(void **state)
{
    struct world *w = world_new(*state);
    struct sequence *s = open_encoded(w, 0);
    struct answer *full = answers_new(w, ROWS), *alone = answers_new(w, ROWS);
    struct backend_row rows[ROWS];
    uint64_t random = 5;
    const struct kernels *kernels = kernels_find("reference");
    struct rules sets[4] = {w->rules, w->rules, w->rules, w->rules};
    sets[1].timestamps = sets[2].timestamps = true;
    sets[2].max_initial_timestamp = 50;
    sets[3].temperature = 0.7f;
    uint32_t n = w->subject->slow ? 12 : ROWS;
    for (uint32_t i = 0; i < n; i++) {
        rows[i] = ask(w, s, random_token(w, &random), (int32_t)i - 1, &full[i]);
        rows[i].rules = &sets[i % 4];
        rows[i].state = rules_begin();
        for (uint32_t k = 0; k < i / 4 % 4; k++) {
            int32_t begin = w->backend->model->special.timestamp_begin;
            int32_t token = (i + k) % 3 && begin >= 0 ? begin + 7 * (int32_t)k : 300;
            rows[i].state = rules_advance(rows[i].rules, rows[i].state, token);
        }
    }
    forward(w, rows, n);
    for (uint32_t i = 0; i < n; i++) {
        struct rules_choice choice;
        rules_choose(rows[i].rules, &rows[i].state, kernels, full[i].logits, &choice);
        assert_int_equal(choice.token, full[i].choice.token);
        assert_int_equal(choice.second, full[i].choice.second);
        assert_memory_equal(&choice.gap, &full[i].choice.gap, sizeof(float));
        assert_true(fabsf(choice.logprob - full[i].choice.logprob) < 0.05f ||
                    choice.logprob == full[i].choice.logprob);
    }
    for (uint32_t mix = 0; mix < 3; mix++) { /* nothing else asked for; in some rows; no speech */
        backend_keep(s, 0, NULL, 0);
        for (uint32_t i = 0; i < n; i++) {
            rows[i].choice = &alone[i].choice;
            rows[i].logits = mix == 1 && i % 3 == 0 ? alone[i].logits : NULL;
            rows[i].no_speech = mix == 2 && i % 5 == 0 ? &alone[i].no_speech : NULL;
        }
        forward(w, rows, n);
        for (uint32_t i = 0; i < n; i++)
            assert_memory_equal(&alone[i].choice, &full[i].choice, sizeof(full[i].choice));
    }
    answers_free(full, ROWS);
    answers_free(alone, ROWS);
    backend_close(&s);
    world_free(w);
}

/* ---- limits ---- */

static void nothing_goes_past_the_last_position_and_a_refusal_changes_nothing(void **state)
{
    struct world *w = world_new(*state);
    struct error err = {.code = STATUS_OK};
    struct sequence *s = open_encoded(w, 2);
    struct answer *a = answers_new(w, 5), *again = answers_new(w, 5);
    uint32_t n_positions = w->backend->model->decoder.n_positions;
    struct backend_row rows[ROWS];
    uint8_t all[ROWS];
    while (sequence_kept(s) < n_positions - 3) {
        uint32_t n = MIN((uint32_t)ROWS, n_positions - 3 - sequence_kept(s));
        for (uint32_t i = 0; i < n; i++) {
            all[i] = (uint8_t)i;
            rows[i] =
                (struct backend_row){.sequence = s, .token = (int32_t)i, .parent = (int32_t)i - 1};
        }
        forward(w, rows, n);
        backend_keep(s, sequence_kept(s), all, n);
    }
    for (uint32_t i = 0; i < 3; i++)
        rows[i] = ask(w, s, 50, (int32_t)i - 1, &a[i]);
    forward(w, rows, 3);
    rows[3] = ask(w, s, 50, 2, &a[3]);
    assert_int_equal(backend_forward(w->backend, rows, 4, &err), STATUS_INVALID);
    assert_int_equal(sequence_kept(s), n_positions - 3);
    for (uint32_t i = 0; i < 3; i++)
        rows[i] = ask(w, s, 50, (int32_t)i - 1, &again[i]);
    forward(w, rows, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_true(equal(w, &a[i], &again[i]));
    answers_free(a, 5);
    answers_free(again, 5);
    backend_close(&s);
    world_free(w);
}

static void wrong_windows_are_refused(void **state)
{
    struct world *w = world_new(*state);
    struct error err = {.code = STATUS_OK};
    struct sequence *s;
    struct backend_row row = {.parent = -1};
    bool done = true;
    assert_ok(backend_open(w->backend, &s, &err), &err);
    row.sequence = s;
    assert_int_equal(backend_forward(w->backend, &row, 1, &err), STATUS_INVALID);
    struct backend_features f = window(w, 0);
    f.n_frames = 0;
    assert_int_equal(backend_encode(s, &f, UINT64_MAX, &done, &err), STATUS_INVALID);
    f.n_frames = 3;
    assert_int_equal(backend_encode(s, &f, UINT64_MAX, &done, &err), STATUS_INVALID);
    f.n_frames = w->n_frames + 2;
    assert_int_equal(backend_encode(s, &f, UINT64_MAX, &done, &err), STATUS_INVALID);
    f = window(w, 0);
    f.n_mels++;
    assert_int_equal(backend_encode(s, &f, UINT64_MAX, &done, &err), STATUS_INVALID);
    assert_false(done);
    backend_close(&s);
    assert_null(s);
    backend_close(&s);
    world_free(w);
}

/* ---- encode ---- */

static void first_answer(struct world *w, struct sequence *s, struct answer *answer)
{
    step(w, s, 60, answer);
}

static void slicing_does_not_show(void **state)
{
    struct world *w = world_new(*state);
    struct error err = {.code = STATUS_OK};
    struct answer *a = answers_new(w, 2);
    struct sequence *whole = open_encoded(w, 0), *sliced;
    struct backend_features features = window(w, 0);
    uint32_t n_slices = 0;
    assert_ok(backend_open(w->backend, &sliced, &err), &err);
    for (bool done = false; !done; n_slices++)
        assert_ok(backend_encode(sliced, &features, 0, &done, &err), &err);
    assert_true(n_slices > 2);
    first_answer(w, whole, &a[0]);
    first_answer(w, sliced, &a[1]);
    assert_true(equal(w, &a[0], &a[1]));
    answers_free(a, 2);
    backend_close(&whole);
    backend_close(&sliced);
    world_free(w);
}

/* Three windows in turn, one slice each, forwards of a fourth sequence between them, one closed
 * half way. */
static void windows_in_turn_give_the_same_as_one_after_another(void **state)
{
    struct world *w = world_new(*state);
    struct error err = {.code = STATUS_OK};
    struct answer *want = answers_new(w, 3), *got = answers_new(w, 3);
    struct sequence *s[3], *busy = open_encoded(w, 2), *closed;
    struct backend_features closed_features = window(w, 2);
    bool done[3] = {false}, ignored;
    for (uint32_t i = 0; i < 3; i++) {
        struct sequence *alone = open_encoded(w, i);
        first_answer(w, alone, &want[i]);
        backend_close(&alone);
        assert_ok(backend_open(w->backend, &s[i], &err), &err);
    }
    assert_ok(backend_open(w->backend, &closed, &err), &err);
    assert_ok(backend_encode(closed, &closed_features, 0, &ignored, &err), &err);
    for (uint32_t turn = 0; !done[0] || !done[1] || !done[2]; turn++) {
        struct backend_features features = window(w, turn % 3);
        assert_true(turn < 100000);
        if (!done[turn % 3])
            assert_ok(backend_encode(s[turn % 3], &features, 0, &done[turn % 3], &err), &err);
        if (turn == 1)
            backend_close(&closed);
        backend_keep(busy, 0, NULL, 0);
        if (turn % 5 == 0) {
            struct answer *answer = answers_new(w, 1);
            first_answer(w, busy, answer);
            assert_true(equal(w, &want[2], answer));
            answers_free(answer, 1);
        }
    }
    for (uint32_t i = 0; i < 3; i++) {
        first_answer(w, s[i], &got[i]);
        assert_true(equal(w, &want[i], &got[i]));
        backend_close(&s[i]);
    }
    assert_false(equal(w, &want[0], &want[1]));
    backend_close(&busy);
    answers_free(want, 3);
    answers_free(got, 3);
    world_free(w);
}

static void encoding_again_begins_a_new_window(void **state)
{
    struct world *w = world_new(*state);
    struct error err = {.code = STATUS_OK};
    struct answer *a = answers_new(w, 2);
    static const uint32_t halves[] = {1, 2, 8, 17, 0};     /* 0: the whole window */
    for (size_t i = 0; i < ARRAY_LEN(halves); i++) {
        struct sequence *used = open_encoded(w, 1), *fresh;
        struct backend_features features = window(w, 0);
        bool done;
        if (halves[i])
            features.n_frames = 2 * halves[i];
        first_answer(w, used, &a[0]);
        assert_ok(backend_encode(used, &features, UINT64_MAX, &done, &err), &err);
        assert_int_equal(sequence_kept(used), 0);
        assert_ok(backend_open(w->backend, &fresh, &err), &err);
        assert_ok(backend_encode(fresh, &features, UINT64_MAX, &done, &err), &err);
        first_answer(w, used, &a[0]);
        first_answer(w, fresh, &a[1]);
        assert_true(equal(w, &a[0], &a[1]));
        backend_close(&used);
        backend_close(&fresh);
    }
    answers_free(a, 2);
    world_free(w);
}

/* ---- the run ---- */

static int write_models(void **state)
{
    (void)state;
    struct error err = {.code = STATUS_OK};
    struct model_description shape;
    static const enum tensor_type types[] = {TENSOR_F32, TENSOR_F16, TENSOR_Q8_0, TENSOR_Q4_0};
    folder = support_temp_new();
    assert_ok(model_shape_like("tiny", &shape, &err), &err);
    shape.encoder.n_layers = shape.decoder.n_layers = 2;
    shape.encoder.n_state = shape.decoder.n_state = 96;
    shape.encoder.n_heads = shape.decoder.n_heads = 3;
    shape.encoder.n_kv_heads = shape.decoder.n_kv_heads = 3;
    shape.encoder.head_size = shape.decoder.head_size = 32;
    shape.encoder.n_ff = shape.decoder.n_ff = 384;
    shape.encoder.n_positions = 83;
    shape.decoder.n_positions = 100;
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        assert_ok(model_write_random(model_file(types[i]), &shape, 11, types[i], &err), &err);
    return 0;
}

static int remove_models(void **state)
{
    (void)state;
    support_temp_free(folder);
    return 0;
}

#define TEST(f) {#f, f}
static const struct {
    const char *name;
    CMUnitTestFunction run;
} checks[] = {
    TEST(chains_of_1_to_64_rows_equal_plain_decode),
    TEST(a_random_life_of_trees_equals_plain_decode),
    TEST(what_a_row_sees_shows_in_its_logits_and_nothing_else_does),
    TEST(rows_that_ask_for_nothing_cost_no_choice_and_change_nothing),
    TEST(choices_alone_are_those_of_the_logits),
    TEST(nothing_goes_past_the_last_position_and_a_refusal_changes_nothing),
    TEST(wrong_windows_are_refused),
    TEST(slicing_does_not_show),
    TEST(windows_in_turn_give_the_same_as_one_after_another),
    TEST(encoding_again_begins_a_new_window),
};

int main(void)
{
    static struct CMUnitTest tests[ARRAY_LEN(subjects) * ARRAY_LEN(checks)];
    static char names[ARRAY_LEN(tests)][160];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
        const struct subject *subject = &subjects[i];
        if (subject->kernels && !kernels_find(*subject->kernels ? subject->kernels : NULL)) {
            printf("%s: not on this machine\n", subject->name);
            continue;
        }
        if (ONLY_THREADS && (subject->n_threads != 2 || subject->slow ||
                             strcmp(subject->kernels, "avx512") == 0)) {
            printf("%s: not under this sanitizer, runs in the other modes\n", subject->name);
            continue;
        }
        for (size_t k = 0; k < ARRAY_LEN(checks); k++, n++) {
            snprintf(names[n], sizeof(names[n]), "%s: %s", subject->name, checks[k].name);
            tests[n] = (struct CMUnitTest){.name = names[n], .test_func = checks[k].run,
                                           .initial_state = (void *)(uintptr_t)subject};
        }
    }
    return _cmocka_run_group_tests("conformance", tests, n, write_models, remove_models);
}
