/* Slots against a model that keeps every row's whole path as a list of names. */
#include "../support/support.h"

#include <string.h>

#include "kv/kv.h"

enum { POSITIONS = 100 };

/* What a store holds: the name of the row in each slot. */
struct store {
    struct kv kv;
    uint32_t slots[POSITIONS + KV_ROWS_MAX];
    uint32_t kept[POSITIONS];           /* the model: names of kept rows in logical order */
    uint32_t n_kept;
    uint32_t next_name;
};

static void store_init(struct store *s)
{
    memset(s, 0, sizeof(*s));
    kv_init(&s->kv, POSITIONS);
}

static void store_keep(struct store *s, uint32_t n_base, const uint8_t *rows, uint32_t n)
{
    struct kv_move moves[KV_ROWS_MAX];
    for (uint32_t i = 0; i < n; i++)
        s->kept[n_base + i] = s->slots[s->kv.rows[rows[i]].slot];
    uint32_t n_moves = kv_keep(&s->kv, n_base, rows, n, moves);
    for (uint32_t i = 0; i < n_moves; i++) {
        assert_true(moves[i].to < moves[i].from);
        s->slots[moves[i].to] = s->slots[moves[i].from];
    }
    s->n_kept = n_base + n;
    assert_int_equal(s->kv.n_kept, s->n_kept);
    assert_memory_equal(s->slots, s->kept, s->n_kept * sizeof(uint32_t));
}

static uint32_t store_add(struct store *s, uint32_t row, int32_t parent)
{
    assert_true(kv_add(&s->kv, row, parent));
    return s->slots[s->kv.rows[row].slot] = ++s->next_name;
}

static void a_chain_needs_no_move(void **state)
{
    (void)state;
    struct store s;
    store_init(&s);
    kv_begin(&s.kv);
    for (uint32_t i = 0; i < 10; i++)
        store_add(&s, i, (int32_t)i - 1);
    struct kv_move moves[KV_ROWS_MAX];
    const uint8_t rows[] = {0, 1, 2, 3};
    assert_int_equal(kv_keep(&s.kv, 0, rows, 4, moves), 0);
    assert_int_equal(s.kv.n_kept, 4);
    assert_int_equal(s.kv.n_rows, 0);
}

static void a_branch_moves_down_in_order(void **state)
{
    (void)state;
    struct store s;
    store_init(&s);
    kv_begin(&s.kv);
    store_add(&s, 0, -1);
    store_add(&s, 1, -1);
    store_add(&s, 2, 0);
    store_add(&s, 3, 1);
    struct kv_move moves[KV_ROWS_MAX];
    const uint8_t rows[] = {1, 3};
    assert_int_equal(kv_keep(&s.kv, 0, rows, 2, moves), 2);
    assert_int_equal(moves[0].from, 1);
    assert_int_equal(moves[0].to, 0);
    assert_int_equal(moves[1].from, 3);
    assert_int_equal(moves[1].to, 1);
}

static void nothing_goes_past_the_last_position(void **state)
{
    (void)state;
    struct kv kv;
    kv_init(&kv, 3);
    kv_begin(&kv);
    assert_true(kv_add(&kv, 5, -1));
    assert_true(kv_add(&kv, 6, 5));
    assert_true(kv_add(&kv, 7, 6));
    assert_false(kv_add(&kv, 8, 7));
    assert_int_equal(kv.n_rows, 3);
    assert_true(kv_add(&kv, 8, 6));     /* a sibling still fits */
    assert_int_equal(kv.rows[8].position, 2);
    assert_int_equal(kv.rows[8].slot, 3);
    assert_true(kv.rows[8].slot < kv_slots(3));
}

static void rewinding_and_dropping_are_counters(void **state)
{
    (void)state;
    struct store s;
    store_init(&s);
    for (uint32_t i = 0; i < 6; i++) {
        const uint8_t row = (uint8_t)i;
        kv_begin(&s.kv);
        store_add(&s, i, -1);
        store_keep(&s, i, &row, 1);
    }
    store_keep(&s, 2, NULL, 0);
    assert_int_equal(s.kv.n_kept, 2);
    kv_begin(&s.kv);
    store_add(&s, 0, -1);
    assert_int_equal(s.kv.rows[0].position, 2);
    kv_begin(&s.kv);
    assert_false(s.kv.rows[0].present);
    store_keep(&s, 0, NULL, 0);
}

/* One random call: rows under random numbers and parents, then a random path is kept. */
static void one_call(struct store *s, uint64_t *random)
{
    uint32_t paths[KV_ROWS_MAX][KV_ROWS_MAX], lengths[KV_ROWS_MAX], names[KV_ROWS_MAX];
    uint8_t numbers[KV_ROWS_MAX];
    int32_t parents[KV_ROWS_MAX];
    uint32_t n = 1 + (uint32_t)(support_random(random) % KV_ROWS_MAX);
    uint32_t stride = 1 + 2 * (uint32_t)(support_random(random) % 32);
    kv_begin(&s->kv);
    for (uint32_t i = 0; i < n; i++) {
        numbers[i] = (uint8_t)(i * stride % KV_ROWS_MAX);      /* odd stride: each number once */
        int32_t p = (int32_t)(support_random(random) % (i + 1)) - 1;
        if (s->n_kept + (p < 0 ? 0 : lengths[p]) >= POSITIONS) {
            n = i;
            break;
        }
        parents[i] = p;
        names[i] = store_add(s, numbers[i], p < 0 ? -1 : numbers[p]);
        lengths[i] = p < 0 ? 0 : lengths[p];
        if (p >= 0)
            memcpy(paths[i], paths[p], sizeof(paths[i]));
        paths[i][lengths[i]++] = names[i];
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t slots[KV_ROWS_MAX];
        assert_int_equal(kv_path(&s->kv, numbers[i], slots), lengths[i]);
        for (uint32_t j = 0; j < lengths[i]; j++)
            assert_int_equal(s->slots[slots[j]], paths[i][j]);
        assert_int_equal(s->kv.rows[numbers[i]].position, s->n_kept + lengths[i] - 1);
    }
    uint8_t chosen[KV_ROWS_MAX];
    uint32_t n_chosen = 0;
    if (n > 0 && support_random(random) % 4) {
        uint32_t at = (uint32_t)(support_random(random) % n);
        n_chosen = lengths[at];
        for (int32_t i = (int32_t)at, j = (int32_t)n_chosen; i >= 0; i = parents[i])
            chosen[--j] = numbers[i];
    }
    store_keep(s, s->n_kept, chosen, n_chosen);
}

static void random_trees_keep_every_path_in_logical_order(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        uint64_t random = seed;
        struct store s;
        store_init(&s);
        for (int call = 0; call < 20; call++) {
            one_call(&s, &random);
            if (support_random(&random) % 5 == 0)
                store_keep(&s, (uint32_t)(support_random(&random) % (s.n_kept + 1)), NULL, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_needs_no_move),
        cmocka_unit_test(a_branch_moves_down_in_order),
        cmocka_unit_test(nothing_goes_past_the_last_position),
        cmocka_unit_test(rewinding_and_dropping_are_counters),
        cmocka_unit_test(random_trees_keep_every_path_in_logical_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
