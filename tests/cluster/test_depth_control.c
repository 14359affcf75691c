/* Depth control in the engine: in each cell no worse than the best fixed depth and than the target
 * alone, steps followed; and it takes no rows and no drafts where they cost others as much.
 * bench/cluster_lag.c grid has all cells and more seeds. */
#include <stdio.h>

#include "../support/support.h"
#include "load.h"

static const struct pace fast = {.encode_ms = 40, .n = 1, .rows = {1}, .ms = {2.0f}};
static const struct pace slow = {.encode_ms = 80, .n = 1, .rows = {1}, .ms = {9.0f}};
static const struct pace cool = {.encode_ms = 40, .n = 1, .rows = {1}, .ms = {3.0f}};
static const struct pace hot = {.encode_ms = 120, .n = 1, .rows = {1}, .ms = {16.0f}};

struct cell {
    const char *name;
    struct load load;
};

/* A fifth of the 90 cells: both curves, each round trip, load and draft speed. */
static const struct cell cells[] = {
    {"gpu, 0 ms, idle, fast",
     {.pace = &pace_gpu, .draft = &fast, .rtt_us = 0, .n_streams = 1, .seconds = 90}},
    {"gpu, 60 ms, idle, slow",
     {.pace = &pace_gpu, .draft = &slow, .rtt_us = 60000, .n_streams = 1, .seconds = 90}},
    {"gpu, 150 ms, idle, throttling",
     {.pace = &pace_gpu, .draft = &cool, .draft_later = &hot, .change_us = 4000000,
      .rtt_us = 150000, .n_streams = 1, .seconds = 90}},
    {"gpu, 400 ms, half, fast",
     {.pace = &pace_gpu, .draft = &fast, .rtt_us = 400000, .n_streams = 48, .seconds = 12}},
    {"gpu, 20 ms, full, throttling",
     {.pace = &pace_gpu, .draft = &cool, .draft_later = &hot, .change_us = 4000000,
      .rtt_us = 20000, .n_streams = 208, .seconds = 8, .n_seeds = 1}},
    {"cpu, 20 ms, idle, fast",
     {.pace = &pace_cpu, .draft = &fast, .rtt_us = 20000, .n_streams = 1, .seconds = 90}},
    {"cpu, 400 ms, idle, slow",
     {.pace = &pace_cpu, .draft = &slow, .rtt_us = 400000, .n_streams = 1, .seconds = 90}},
    {"cpu, 60 ms, half, throttling",
     {.pace = &pace_cpu, .draft = &cool, .draft_later = &hot, .change_us = 4000000,
      .rtt_us = 60000, .n_streams = 12, .seconds = 24}},
    {"cpu, 150 ms, full, slow",
     {.pace = &pace_cpu, .draft = &slow, .rtt_us = 150000, .n_streams = 24, .seconds = 24}},
    {"cpu, 0 ms, full, fast",
     {.pace = &pace_cpu, .draft = &fast, .rtt_us = 0, .n_streams = 24, .seconds = 24}},
};

static struct load_result run(const struct cell *cell, enum load_mode mode, uint32_t depth)
{
    struct load load = cell->load;
    load.mode = mode;
    load.depth = depth;
    load.seed = 21;
    load.n_seeds = load.n_seeds ? load.n_seeds : 2;
    struct load_result r = load_run(&load);
    if (r.wrong)
        fail_msg("%s: %s", cell->name, r.wrong);
    return r;
}

/* Lags of the best of some fixed depths, and of none. */
static void check_cell(const struct cell *cell)
{
    static const uint32_t depths[] = {2, 8};
    struct load_result alone = run(cell, LOAD_ALONE, 0), r = run(cell, LOAD_ALWAYS, 0);
    double lag = MIN(alone.lag_us.mean, r.lag_us.mean);
    double decode = MIN(alone.decode_us.mean, r.decode_us.mean);
    for (uint32_t i = 0; i < ARRAY_LEN(depths); i++) {
        r = run(cell, LOAD_FIXED, depths[i]);
        lag = MIN(lag, r.lag_us.mean);
        decode = MIN(decode, r.decode_us.mean);
    }
    r = run(cell, LOAD_CONTROLLED, 0);
    printf("             %-30s lag %6.1f ms (%+5.1f %% of the best), decode %6.1f (%+5.1f %%), "
           "alone %6.1f\n",
           cell->name, r.lag_us.mean / 1e3, 100.0 * (r.lag_us.mean / lag - 1.0),
           r.decode_us.mean / 1e3, 100.0 * (r.decode_us.mean / decode - 1.0),
           alone.decode_us.mean / 1e3);
    assert_true(r.lag_us.mean <= 1.05 * lag);
    assert_true(r.decode_us.mean <= 1.05 * decode);
    assert_true(r.lag_us.mean <= 1.02 * alone.lag_us.mean);
    assert_true(r.decode_us.mean <= 1.02 * alone.decode_us.mean);
}

static void each_cell_is_near_its_best_fixed_depth(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < ARRAY_LEN(cells); i++)
        check_cell(&cells[i]);
}

/* Utterances from two seconds behind the step on are as those of the best fixed depth, and the
 * advice does not swing. */
static void steps_are_followed(void **state)
{
    static const struct cell steps[] = {
        {"gpu, 20 -> 400 ms", {.pace = &pace_gpu, .rtt_us = 20000, .rtt_later_us = 400000}},
        {"gpu, 400 -> 20 ms", {.pace = &pace_gpu, .rtt_us = 400000, .rtt_later_us = 20000}},
        {"gpu, draft 3 -> 16 ms", {.pace = &pace_gpu, .draft = &cool, .draft_later = &hot,
                                   .rtt_us = 20000}},
        {"gpu, draft 16 -> 3 ms", {.pace = &pace_gpu, .draft = &hot, .draft_later = &cool,
                                   .rtt_us = 20000}}};
    (void)state;
    for (uint32_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct cell cell = steps[i];
        cell.load.n_streams = 24;
        cell.load.seconds = 22;
        cell.load.change_us = 12000000;
        cell.load.from_us = 14000000;
        check_cell(&cell);
        struct load_result r = run(&cell, LOAD_CONTROLLED, 0);
        uint32_t n_late = 0;
        for (uint32_t k = 0; k < r.n_changes; k++)
            n_late += r.change_us[k] >= cell.load.from_us;
        assert_true(n_late <= 2);           /* one for each run */
    }
}

static void where_rows_lack_it_takes_hardly_any(void **state)
{
    const struct cell full = {"rows", {.pace = &pace_rows, .rtt_us = 20000, .n_streams = 112,
                                       .seconds = 40, .n_seeds = 1}};
    struct load_result alone = run(&full, LOAD_ALONE, 0), always = run(&full, LOAD_ALWAYS, 0);
    struct load_result r = run(&full, LOAD_CONTROLLED, 0);
    (void)state;
    printf("             rows lack: %.2f, %.2f, %.2f rows and %.2f, %.2f, %.2f draft steps a "
           "token, %.1f, %.1f, %.1f tokens/s; drafts advised %.0f %% of the time\n",
           alone.rows_per_token, always.rows_per_token, r.rows_per_token, alone.drafted,
           always.drafted, r.drafted, alone.tokens_per_s.mean, always.tokens_per_s.mean,
           r.tokens_per_s.mean, 100.0 * r.advised);
    assert_true(r.advised <= 0.2);
    assert_true(r.rows_per_token <= 1.05 * alone.rows_per_token);
    assert_true(r.drafted <= 0.75 * always.drafted);
    assert_true(r.tokens_per_s.mean >= 0.98 * alone.tokens_per_s.mean);
    assert_true((double)r.all_p99_us <= 1.02 * (double)alone.all_p99_us);
}

/* Only what was begun before the target knew the client, and looks now and then, are drafted. */
static void a_policy_without_drafts_is_obeyed(void **state)
{
    struct load load = {.pace = &pace_gpu, .mode = LOAD_CONTROLLED, .rtt_us = 20000,
                        .n_streams = 4, .seconds = 60, .seed = 5};
    struct load_result free = load_run(&load);
    load.forbidden = true;
    struct load_result forbidden = load_run(&load);
    (void)state;
    printf("             draft steps a token: %.2f, forbidden: %.2f\n", free.drafted,
           forbidden.drafted);
    assert_null(free.wrong);
    assert_null(forbidden.wrong);
    assert_true(forbidden.drafted < 0.55 * free.drafted);
    assert_true(forbidden.rows_per_token < free.rows_per_token);
    assert_true(forbidden.advised <= 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_cell_is_near_its_best_fixed_depth),
        cmocka_unit_test(steps_are_followed),
        cmocka_unit_test(where_rows_lack_it_takes_hardly_any),
        cmocka_unit_test(a_policy_without_drafts_is_obeyed),
    };
    return cmocka_run_group_tests(tests, load_open, scenario_close);
}
