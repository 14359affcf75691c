/* The balance in virtual time: sessions with any draft quality, any arrival and any cost curve
 * against plain decoding. */
#include "../support/support.h"

#include <math.h>
#include <string.h>

#include "spec/wait.h"

struct world {
    float curve[SPEC_ROWS_MAX + 1];     /* true microseconds of a pass, by rows */
    float noise;                        /* passes take up to this share more or less */
    float honesty;                      /* 1: confidences tell the truth, 0: they are made up */
    float quality;                      /* probability that a draft token is right */
    float late;                         /* drafts come this much later than they said, at most */
    enum spec_mode mode;
    float row_price;
};

struct run {
    double us;                          /* passes and waits */
    double plain_us;                    /* the same tokens decoded plainly */
    double overrun_us;                  /* largest pass beyond its estimate */
    uint32_t passes, verifies, waits;
};

static void random_curve(uint64_t *seed, float *curve)
{
    float us = support_uniform(seed, 500.0f, 9000.0f);
    curve[0] = us;
    float slope = support_uniform(seed, 0.0f, support_random(seed) % 2 ? us : us * 0.05f);
    for (uint32_t n = 1; n <= SPEC_ROWS_MAX; n++) {
        curve[n] = us;
        us += slope * support_uniform(seed, 0.0f, 2.0f);
        us += support_random(seed) % 16 == 0 ? slope * 8.0f : 0.0f;
    }
}

/* A tree whose confidences may or may not say how likely its nodes are. Best first, as proposed. */
static void random_tree(uint64_t *seed, const struct world *world, struct spec_tree *tree,
                        bool *right)
{
    spec_tree_clear(tree);
    uint32_t n = (uint32_t)(support_random(seed) % 60);
    for (uint32_t i = 0; i < n; i++) {
        float told = world->honesty > 0.0f ? world->quality : support_uniform(seed, 0.9f, 1.0f);
        bool above = i == 0 || right[i - 1];
        right[i] = above && support_uniform(seed, 0.0f, 1.0f) < world->quality;
        tree->node[i] = (struct spec_node){(int32_t)i, (int16_t)((int)i - 1), told};
        tree->n++;
    }
}

static uint32_t n_right(const bool *right, uint32_t n)
{
    uint32_t k = 0;
    while (k < n && right[k])
        k++;
    return k;
}

static double pass_us(uint64_t *seed, const struct world *world, uint32_t rows)
{
    float noise = world->noise;
    return (double)world->curve[rows] * (double)support_uniform(seed, 1.0f - noise, 1.0f + noise);
}

static void learn_curve(uint64_t *seed, const struct world *world, struct spec_cost *cost)
{
    static const uint32_t rows[] = {1, 2, 4, 8, 16, 32, 48, 64};
    spec_cost_init(cost, 5000.0f, 500.0f);
    for (int round = 0; round < 8; round++) {
        for (uint32_t i = 0; i < ARRAY_LEN(rows); i++)
            spec_cost_observe(cost, rows[i], (float)pass_us(seed, world, rows[i]));
    }
}

/* The true curve is made to be what the estimate can express: straight between its knots. */
static void straighten(struct world *world)
{
    struct spec_cost cost;
    uint64_t seed = 1;
    float noise = world->noise;
    world->noise = 0.0f;
    learn_curve(&seed, world, &cost);
    for (uint32_t n = 1; n <= SPEC_ROWS_MAX; n++)
        world->curve[n] = spec_cost_us(&cost, n);
    world->noise = noise;
}

struct client {
    bool due;
    uint64_t said_us, comes_us;
};

static void client_starts(uint64_t *seed, const struct world *world, struct client *client,
                          uint64_t now_us)
{
    client->due = support_random(seed) % 8 != 0;
    client->said_us = now_us + (uint64_t)support_uniform(seed, 0.0f, 20000.0f);
    client->comes_us = client->said_us + (uint64_t)support_uniform(seed, 0.0f, world->late);
}

static void take_pass(uint64_t *seed, const struct world *world, struct spec_cost *cost,
                      struct run *run, uint32_t rows)
{
    double us = pass_us(seed, world, rows);
    run->us += us;
    run->passes++;
    run->overrun_us = fmax(run->overrun_us, us - (double)spec_cost_us(cost, rows));
}

static struct run simulate(uint64_t *seed, const struct world *world, uint32_t n_tokens)
{
    struct run run = {0};
    struct spec_cost cost;
    struct spec_balance balance;
    struct client client = {0};
    struct spec_tree tree = {0};
    bool right[SPEC_NODES_MAX];
    uint64_t now_us = 1000000;
    learn_curve(seed, world, &cost);
    spec_balance_start(&balance, &cost);
    client_starts(seed, world, &client, now_us);
    for (uint32_t n = 0; n < n_tokens;) {
        uint32_t n_fixed = n == 0 ? 1 + (uint32_t)(support_random(seed) % 6) : 1;
        if (client.due && client.comes_us <= now_us) {
            random_tree(seed, world, &tree, right);
            client.due = false;
        }
        struct spec_turn_ask ask = {
            .mode = world->mode, .now_us = now_us, .tree = &tree, .cost = &cost,
            .balance = &balance, .n_fixed = n_fixed, .row_price = world->row_price,
            .n_nodes_max = MIN(SPEC_ROWS_MAX - n_fixed, n_tokens - n), .window_begun = n > 0,
            .draft_fresh = tree.n > 0, .draft_complete = tree.n > 0, .draft_due = client.due,
            .draft_at_us = client.said_us, .end = -1,
            .draft_tokens = support_uniform(seed, 1.0f, 60.0f), .patience_us = 0};
        struct spec_turn turn = spec_turn(&ask);
        double before_us = run.us;
        if (turn.action == SPEC_WAIT) {
            assert_true(turn.until_us > now_us);
            run.us += (double)(turn.until_us - now_us);
            run.waits++;
            spec_balance_wait(&balance, (float)(turn.until_us - now_us));
        } else {
            assert_true(turn.n_nodes <= ask.n_nodes_max);
            assert_int_equal(turn.action == SPEC_VERIFY, turn.n_nodes > 0);
            uint32_t got = 1 + n_right(right, turn.n_nodes);
            got = MIN(got, n_tokens - n);
            take_pass(seed, world, &cost, &run, n_fixed + turn.n_nodes);
            if (turn.action == SPEC_VERIFY) {
                spec_balance_pass(&balance, &cost, n_fixed, got, (float)(run.us - before_us));
                run.verifies++;
            }
            run.plain_us += (double)world->curve[n_fixed] +
                            (double)(got - 1) * (double)world->curve[1];
            n += got;
            tree.n = 0;
            if (!client.due)
                client_starts(seed, world, &client, now_us);
        }
        now_us += (uint64_t)(run.us - before_us) + 1;
    }
    return run;
}

static struct world random_world(uint64_t *seed)
{
    struct world world = {.mode = SPEC_MODE_FREE, .row_price = -1.0f};
    random_curve(seed, world.curve);
    world.honesty = (float)(support_random(seed) % 2);
    world.quality = support_uniform(seed, 0.0f, 1.0f);
    world.late = support_random(seed) % 2 ? 0.0f : 50000.0f;
    straighten(&world);
    return world;
}

static void no_session_loses_more_than_one_step(void **state)
{
    (void)state;
    uint64_t seed = 21;
    uint32_t verifies = 0;
    uint32_t waits = 0;
    uint32_t faster = 0;
    for (int round = 0; round < 4000; round++) {
        struct world world = random_world(&seed);
        uint32_t n_tokens = 1 + (uint32_t)(support_random(&seed) % 120);
        struct run run = simulate(&seed, &world, n_tokens);
        double rounding_us = 2.0 + 1e-4 * run.plain_us; /* float32 and whole microseconds */
        assert_true(run.us <= run.plain_us + (double)world.curve[1] + rounding_us);
        verifies += run.verifies;
        waits += run.waits;
        faster += run.us < 0.7 * run.plain_us;
    }
    assert_true(verifies > 1000 && waits > 200 && faster > 300);
}

/* With noise the estimates are off by a few per cent, and a pass may run over: that much more. */
static void noise_adds_no_more_than_its_own_size(void **state)
{
    (void)state;
    uint64_t seed = 22;
    for (int round = 0; round < 2000; round++) {
        struct world world = random_world(&seed);
        world.noise = 0.1f;
        struct run run = simulate(&seed, &world, 1 + (uint32_t)(support_random(&seed) % 120));
        double rounding_us = run.overrun_us + 0.1 * run.plain_us;
        assert_true(run.us <= run.plain_us + (double)world.curve[1] + rounding_us);
    }
}

/* The check itself can fail: without the balance, lying confidences and dear rows cost far more. */
static void free_rows_break_the_bound(void **state)
{
    (void)state;
    uint64_t seed = 23;
    struct world world = {.mode = SPEC_MODE_FREE, .row_price = 0.0f};
    for (uint32_t n = 0; n <= SPEC_ROWS_MAX; n++)
        world.curve[n] = 1000.0f * (float)n;
    struct run run = simulate(&seed, &world, 60);
    assert_true(run.us > 2.0 * run.plain_us);
}

struct ask_scene {
    struct spec_tree tree;
    struct spec_cost cost;
    struct spec_balance balance;
    struct spec_turn_ask ask;
};

static void set_scene(struct ask_scene *scene, enum spec_mode mode, uint32_t n_nodes)
{
    *scene = (struct ask_scene){0};
    for (uint32_t i = 0; i < n_nodes; i++)
        scene->tree.node[i] = (struct spec_node){(int32_t)i, (int16_t)((int)i - 1), 0.9f};
    scene->tree.n = n_nodes;
    spec_cost_init(&scene->cost, 3000.0f, 100.0f);
    spec_balance_start(&scene->balance, &scene->cost);
    scene->ask = (struct spec_turn_ask){
        .mode = mode, .now_us = 10000, .tree = &scene->tree, .cost = &scene->cost,
        .balance = &scene->balance, .n_fixed = 1, .n_nodes_max = 63, .row_price = -1.0f,
        .draft_tokens = 8.0f, .end = -1, .patience_us = 500000};
}

static void a_wait_is_shorter_than_the_pass_it_replaces(void **state)
{
    (void)state;
    struct ask_scene scene;
    set_scene(&scene, SPEC_MODE_FREE, 0);
    scene.ask.draft_due = true;
    scene.ask.draft_at_us = 10800;
    struct spec_turn turn = spec_turn(&scene.ask);
    assert_int_equal(turn.action, SPEC_WAIT);
    assert_int_equal(turn.until_us, 10800);
    scene.ask.draft_at_us = 13100; /* a plain step is through by then */
    scene.balance.us = 1e9f;
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_PLAIN);
    scene.ask.draft_at_us = 9000; /* overdue */
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_PLAIN);
    scene.ask.draft_at_us = 10800;
    scene.balance.us = 500.0f; /* too poor to wait */
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_PLAIN);
    scene.balance.us = 3000.0f;
    scene.ask.draft_due = false;
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_PLAIN);
}

static void an_empty_balance_means_plain_steps(void **state)
{
    (void)state;
    struct ask_scene scene;
    set_scene(&scene, SPEC_MODE_FREE, 20);
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_VERIFY);
    scene.balance.us = 50.0f;
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_PLAIN);
    scene.balance.us = 700.0f; /* a quarter is left for another try */
    assert_int_equal(spec_turn(&scene.ask).n_nodes, 5);
    scene.ask.row_price = 0.0f;
    assert_int_equal(spec_turn(&scene.ask).n_nodes, 20);
}

static void wait_draft_begins_with_the_whole_draft_and_never_waits_again(void **state)
{
    (void)state;
    struct ask_scene scene;
    set_scene(&scene, SPEC_MODE_WAIT_DRAFT, 5);
    struct spec_turn turn = spec_turn(&scene.ask);
    assert_int_equal(turn.action, SPEC_WAIT);
    assert_int_equal(turn.until_us, 500000);
    scene.ask.draft_complete = true;
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_VERIFY);
    scene.ask.draft_complete = false;
    scene.ask.window_begun = true;
    scene.ask.draft_due = true;
    scene.ask.draft_at_us = 10001;
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_VERIFY);
    scene.ask.window_begun = false;
    scene.ask.now_us = 500000; /* out of patience */
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_VERIFY);
}

static void lockstep_runs_only_fresh_trees(void **state)
{
    (void)state;
    struct ask_scene scene;
    set_scene(&scene, SPEC_MODE_LOCKSTEP, 20);
    scene.ask.window_begun = true;
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_WAIT);
    scene.ask.draft_fresh = true;
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_VERIFY);
    scene.ask.draft_fresh = false;
    scene.ask.now_us = 600000;
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_PLAIN);
    scene.ask.mode = SPEC_MODE_ALONE;
    scene.ask.draft_fresh = true;
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_PLAIN);
}

static void turns_ask_for_a_draft_only_where_that_pays(void **state)
{
    (void)state;
    struct ask_scene scene;
    set_scene(&scene, SPEC_MODE_TURNS, 20);
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_WAIT); /* the first draft */
    scene.ask.window_begun = true;
    scene.ask.draft_due = true;
    scene.ask.draft_tokens = 2.0f;
    scene.ask.asking_us = 1e6f;                             /* dear, for little */
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_VERIFY);
    struct spec_tree nothing = {.n = 0};
    scene.ask.tree = &nothing;
    scene.ask.asking_us = 100.0f;                           /* cheap, and nothing is at hand */
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_WAIT);
    scene.ask.draft_due = false;                            /* the client has no more to say */
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_PLAIN);
    scene.ask.draft_due = true;
    scene.ask.draft_fresh = true;
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_PLAIN);
    scene.ask.draft_fresh = false;
    scene.ask.now_us = 600000;                              /* out of patience */
    assert_int_equal(spec_turn(&scene.ask).action, SPEC_PLAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_session_loses_more_than_one_step),
        cmocka_unit_test(noise_adds_no_more_than_its_own_size),
        cmocka_unit_test(free_rows_break_the_bound),
        cmocka_unit_test(a_wait_is_shorter_than_the_pass_it_replaces),
        cmocka_unit_test(an_empty_balance_means_plain_steps),
        cmocka_unit_test(wait_draft_begins_with_the_whole_draft_and_never_waits_again),
        cmocka_unit_test(lockstep_runs_only_fresh_trees),
        cmocka_unit_test(turns_ask_for_a_draft_only_where_that_pays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
