/* Which rows go into a pass. */
#include <math.h>
#include <string.h>

#include "../support/support.h"
#include "../../lib/spec/pick.c"

static struct spec_cost line(float step_us, float row_us)
{
    struct spec_cost cost;
    spec_cost_init(&cost, step_us, row_us);
    return cost;
}

struct case_of {
    uint32_t n;
    struct spec_offer offer[SPEC_PICK_MAX];
    float survival[SPEC_PICK_MAX][SPEC_ROWS_MAX];
};

static void random_case(uint64_t *seed, struct case_of *c, uint32_t n, uint32_t nodes_max)
{
    c->n = n;
    for (uint32_t i = 0; i < n; i++) {
        struct spec_offer *offer = &c->offer[i];
        *offer = (struct spec_offer){.order = support_random(seed) % 50, .n_fixed = 1,
                                     .survival = c->survival[i]};
        offer->n_nodes = (uint32_t)(support_random(seed) % (nodes_max + 1));
        float s = 1.0f;
        for (uint32_t k = 0; k < offer->n_nodes; k++)
            c->survival[i][k] = s *= support_uniform(seed, 0.3f, 1.0f);
    }
}

static float rate(const struct case_of *c, const struct spec_cost *cost, const uint32_t *n_rows)
{
    uint32_t rows = 0;
    float expected = 0.0f;
    for (uint32_t i = 0; i < c->n; i++) {
        rows += n_rows[i];
        expected += 1.0f;
        for (uint32_t k = 0; k + 1 < n_rows[i]; k++)
            expected += c->survival[i][k];
    }
    return expected / spec_cost_us(cost, rows);
}

/* Every combination of prefixes of up to four offers. */
static float best_by_force(const struct case_of *c, const struct spec_cost *cost, uint32_t rows_max)
{
    float best = 0.0f;
    uint32_t n[4] = {1, 1, 1, 1};
    uint32_t total = 1;
    for (uint32_t i = 0; i < c->n; i++)
        total *= c->offer[i].n_nodes + 1;
    for (uint32_t code = 0; code < total; code++) {
        uint32_t rest = code, rows = 0;
        for (uint32_t i = 0; i < c->n; i++) {
            n[i] = 1 + rest % (c->offer[i].n_nodes + 1);
            rest /= c->offer[i].n_nodes + 1;
            rows += n[i];
        }
        if (rows <= rows_max)
            best = fmaxf(best, rate(c, cost, n));
    }
    return best;
}

/* A curve as machines have it: flat, then rising, with a step. */
static struct spec_cost random_curve(uint64_t *seed)
{
    struct spec_cost cost = line(support_uniform(seed, 500.0f, 9000.0f), 1.0f);
    static const uint32_t rows[] = {1, 2, 4, 8, 16, 32, 48, 64};
    float us = support_uniform(seed, 500.0f, 9000.0f);
    for (uint32_t k = 0; k < ARRAY_LEN(rows); k++) {
        us += support_uniform(seed, 0.0f, 3000.0f);
        for (int i = 0; i < 20; i++)
            spec_cost_observe(&cost, rows[k], us);
    }
    return cost;
}

static void no_other_choice_decides_more_per_millisecond(void **state)
{
    uint64_t seed = 1;
    (void)state;
    for (int i = 0; i < 3000; i++) {
        struct case_of c;
        struct spec_cost cost = random_curve(&seed);
        uint32_t n_rows[SPEC_PICK_MAX], sum = 0;
        uint32_t rows_max = 4 + (uint32_t)(support_random(&seed) % 20);
        random_case(&seed, &c, 1 + (uint32_t)(support_random(&seed) % 4), 6);
        spec_pick(c.offer, c.n, &cost, rows_max, n_rows);
        for (uint32_t k = 0; k < c.n; k++) {
            assert_in_range(n_rows[k], 1, 1 + c.offer[k].n_nodes);
            sum += n_rows[k];
        }
        assert_true(sum <= rows_max);
        float best = best_by_force(&c, &cost, rows_max);
        assert_true(rate(&c, &cost, n_rows) >= best * 0.99999f);
    }
}

static void alone_it_is_what_rows_are_worth(void **state)
{
    uint64_t seed = 5;
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct case_of c;
        struct spec_tree tree = {.n = 0};
        struct spec_cost cost = random_curve(&seed);
        uint32_t n_rows[1];
        random_case(&seed, &c, 1, 40);
        float before = 1.0f;
        for (uint32_t k = 0; k < c.offer[0].n_nodes; k++) {
            tree.node[tree.n++] = (struct spec_node){(int32_t)k, (int16_t)((int32_t)k - 1),
                                                     c.survival[0][k] / before};
            before = c.survival[0][k];
        }
        float survival[SPEC_NODES_MAX];
        spec_tree_survival(&tree, survival);
        c.offer[0].survival = survival;
        float us_max = support_uniform(&seed, 0.0f, 20000.0f);
        c.offer[0].n_nodes =
            spec_pick_cap(&cost, 1, us_max, 0.05f, survival, c.offer[0].n_nodes);
        struct spec_rows_ask ask = {.tree = &tree, .cost = &cost, .n_fixed = 1, .n_nodes_max = 63,
                                    .us_max = spec_cost_us(&cost, 1) + us_max, .price = -1.0f,
                                    .survival_min = 0.05f, .end = -1};
        spec_pick(c.offer, 1, &cost, SPEC_ROWS_MAX, n_rows);
        assert_int_equal(n_rows[0], 1 + spec_rows_worth(&ask).n_nodes);
    }
}

static uint32_t total(const struct case_of *c, const struct spec_cost *cost)
{
    uint32_t n_rows[SPEC_PICK_MAX], sum = 0;
    spec_pick(c->offer, c->n, cost, SPEC_ROWS_MAX, n_rows);
    for (uint32_t i = 0; i < c->n; i++)
        sum += n_rows[i];
    return sum;
}

static void dearer_rows_are_never_more_rows(void **state)
{
    uint64_t seed = 9;
    (void)state;
    for (int i = 0; i < 300; i++) {
        struct case_of c;
        random_case(&seed, &c, 1 + (uint32_t)(support_random(&seed) % 20), 20);
        uint32_t before = SPEC_ROWS_MAX;
        for (float row_us = 1.0f; row_us < 20000.0f; row_us *= 1.5f) {
            struct spec_cost cost = line(4000.0f, row_us);
            uint32_t now = total(&c, &cost);
            assert_true(now <= before);
            before = now;
        }
        assert_int_equal(before, c.n);      /* in the end nothing but roots */
    }
}

static void when_full_those_that_waited_longest_come_first(void **state)
{
    enum { ROWS = 8, SESSIONS = 50 };
    struct case_of c;
    uint64_t seed = 3, served[SESSIONS] = {0};
    (void)state;
    struct spec_cost cost = line(1000.0f, 10.0f);
    random_case(&seed, &c, SESSIONS, 10);
    for (uint32_t i = 0; i < SESSIONS; i++)
        c.offer[i].order = 0;
    for (uint64_t now = 1; now <= 100; now++) {
        uint32_t n_rows[SPEC_PICK_MAX], sum = 0;
        spec_pick(c.offer, c.n, &cost, ROWS, n_rows);
        for (uint32_t i = 0; i < SESSIONS; i++) {
            sum += n_rows[i];
            if (n_rows[i] > 0)
                c.offer[i].order = served[i] = now;
            assert_true(now - served[i] <= (SESSIONS + ROWS - 1) / ROWS);
        }
        assert_int_equal(sum, ROWS);
    }
}

enum { MANY = 40, SINGLES = 10 };

/* Turns of the first MANY, which have one owner, by how often they were served. */
static void set_turns(struct case_of *c, const uint32_t *got, uint64_t owner_order)
{
    for (uint32_t i = 0; i < MANY; i++) {
        c->offer[i].turn = 0;
        for (uint32_t k = 0; k < MANY; k++)
            c->offer[i].turn += got[k] < got[i] || (got[k] == got[i] && k < i);
        c->offer[i].order = owner_order;
    }
}

/* The first MANY share a row or so, and so it goes round among the others and among them. */
static void owners_share_alike_whatever_they_bring(void **state)
{
    enum { PASSES = 440 };
    struct case_of c;
    uint64_t seed = 4, n_ordered = 0, owner_order = 0;
    uint32_t got[MANY + SINGLES] = {0}, of_many = 0;
    (void)state;
    struct spec_cost cost = line(1000.0f, 10.0f);
    random_case(&seed, &c, MANY + SINGLES, 0);
    for (uint32_t i = 0; i < c.n; i++)
        c.offer[i].order = 0;
    for (uint32_t pass = 0; pass < PASSES; pass++) {
        uint32_t n_rows[SPEC_PICK_MAX], order[SPEC_PICK_MAX];
        set_turns(&c, got, owner_order);
        spec_pick(c.offer, c.n, &cost, SINGLES, n_rows);
        sort_by_turn(c.offer, c.n, order);
        for (uint32_t i = 0; i < c.n; i++) {
            uint32_t k = order[i];
            if (n_rows[k] == 0)
                continue;
            c.offer[k].order = ++n_ordered;
            got[k]++;
            of_many += k < MANY;
            owner_order = k < MANY ? n_ordered : owner_order;
        }
    }
    assert_int_equal(of_many, PASSES * SINGLES / (SINGLES + 1));
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(got[i], of_many / MANY);
    for (uint32_t i = MANY; i < c.n; i++)
        assert_int_equal(got[i], PASSES * SINGLES / (SINGLES + 1));
}

static void a_long_prompt_leaves_the_others_a_row(void **state)
{
    struct spec_cost cost = line(1000.0f, 500.0f);
    float survival[4] = {0.9f, 0.8f, 0.7f, 0.6f};
    struct spec_offer offers[4] = {
        {.order = 1, .n_fixed = 64},
        {.order = 2, .n_fixed = 1, .n_nodes = 4, .survival = survival},
        {.order = 3, .n_fixed = 1},
        {.order = 0, .n_fixed = 1},
    };
    uint32_t n_rows[4];
    (void)state;
    spec_pick(offers, 4, &cost, 64, n_rows);
    assert_int_equal(n_rows[0], 61);        /* a piece */
    assert_int_equal(n_rows[1], 1);
    assert_int_equal(n_rows[2], 1);
    assert_int_equal(n_rows[3], 1);
    offers[0].n_fixed = 20;
    spec_pick(offers, 4, &cost, 64, n_rows);
    assert_int_equal(n_rows[0], 20);
}

static void what_is_asked_for_is_taken_at_any_price(void **state)
{
    struct spec_cost dear = line(1000.0f, 5000.0f);
    float survival[6] = {0.9f, 0.8f, 0.7f, 0.6f, 0.5f, 0.4f};
    struct spec_offer offers[2] = {
        {.n_fixed = 1, .n_nodes = 6, .n_asked = 6, .survival = survival},
        {.n_fixed = 1},
    };
    uint32_t n_rows[2];
    (void)state;
    spec_pick(offers, 2, &dear, 64, n_rows);
    assert_int_equal(n_rows[0], 7);
    spec_pick(offers, 2, &dear, 4, n_rows);     /* but nobody loses his root by it */
    assert_int_equal(n_rows[0], 3);
    assert_int_equal(n_rows[1], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_other_choice_decides_more_per_millisecond),
        cmocka_unit_test(alone_it_is_what_rows_are_worth),
        cmocka_unit_test(dearer_rows_are_never_more_rows),
        cmocka_unit_test(when_full_those_that_waited_longest_come_first),
        cmocka_unit_test(owners_share_alike_whatever_they_bring),
        cmocka_unit_test(a_long_prompt_leaves_the_others_a_row),
        cmocka_unit_test(what_is_asked_for_is_taken_at_any_price),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
