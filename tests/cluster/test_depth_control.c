/* Depth control in the engine: the split with it is no worse than the target alone and than drafts
 * in full, at light load and beyond the limit, and takes no rows where they cost others as much. */
#include <stdio.h>

#include "../support/support.h"
#include "load.h"

enum mode { ALONE, ALWAYS, CONTROLLED, MODES };

static const char *const mode_names[] = {"alone", "always", "controlled"};

struct cell {
    const char *name;
    const struct pace *pace;
    uint32_t n_streams, seconds;
};

/* What the GPU and the CPU lack at their limit is time for encoders: tokens still pay. Here it is
 * rows: free to 16, then each costs. */
static const struct pace pace_rows = {.encode_ms = 5, .n = 3, .rows = {1, 16, 64},
                                      .ms = {120.0f, 128.0f, 512.0f}};

static const struct cell light[] = {
    {"gpu", &pace_gpu, 1, 16}, {"cpu", &pace_cpu, 1, 16}, {"rows", &pace_rows, 1, 16}};
static const struct cell full[] = {{"gpu", &pace_gpu, 256, 16}, {"cpu", &pace_cpu, 32, 16}};
static const struct cell full_of_rows = {"rows", &pace_rows, 64, 48};

static struct load_result run(const struct cell *cell, enum mode mode)
{
    struct load load = {.pace = cell->pace, .drafts = mode != ALONE, .always = mode == ALWAYS,
                        .n_streams = cell->n_streams, .seconds = cell->seconds, .seed = 11};
    struct load_result r = load_run(&load);
    if (r.wrong)
        fail_msg("%s, %u streams, %s: %s", cell->name, cell->n_streams, mode_names[mode], r.wrong);
    printf("             %s, %3u streams, %-10s: p50 %5.0f ms, p99 %5.0f ms, %4.0f tokens/s, "
           "%.2f rows and %.2f draft steps a token\n",
           cell->name, cell->n_streams, mode_names[mode], (double)r.p50_us / 1e3,
           (double)r.p99_us / 1e3, r.tokens_per_s, r.rows_per_token, r.drafted);
    return r;
}

static void compare(const struct cell *cell, struct load_result *r)
{
    for (int m = 0; m < MODES; m++)
        r[m] = run(cell, (enum mode)m);
    for (int m = 0; m < CONTROLLED; m++) {
        assert_int_equal(r[CONTROLLED].n, r[m].n);
        assert_true((double)r[CONTROLLED].p50_us <= 1.02 * (double)r[m].p50_us);
        assert_true((double)r[CONTROLLED].p99_us <= 1.02 * (double)r[m].p99_us);
        assert_true(r[CONTROLLED].tokens_per_s >= 0.98 * r[m].tokens_per_s);
    }
}

static void at_light_load_it_drafts_and_gains(void **state)
{
    struct load_result r[MODES];
    (void)state;
    for (uint32_t i = 0; i < ARRAY_LEN(light); i++) {
        compare(&light[i], r);
        assert_true(r[CONTROLLED].p99_us < r[ALONE].p99_us);
    }
}

static void beyond_the_limit_it_costs_nothing(void **state)
{
    struct load_result r[MODES];
    (void)state;
    for (uint32_t i = 0; i < ARRAY_LEN(full); i++)
        compare(&full[i], r);
}

static void where_rows_lack_it_takes_hardly_any(void **state)
{
    struct load_result r[MODES];
    (void)state;
    compare(&full_of_rows, r);
    assert_true(r[CONTROLLED].rows_per_token <= 1.05 * r[ALONE].rows_per_token);
}

/* Only what was begun before the target knew the client, and looks now and then, are drafted. */
static void a_policy_without_drafts_is_obeyed(void **state)
{
    struct load load = {.pace = &pace_gpu, .drafts = true, .n_streams = 4, .seconds = 60,
                        .seed = 5};
    struct load_result free = load_run(&load);
    load.forbidden = true;
    struct load_result forbidden = load_run(&load);
    (void)state;
    printf("             draft steps a token: %.2f, forbidden: %.2f\n", free.drafted,
           forbidden.drafted);
    assert_null(free.wrong);
    assert_null(forbidden.wrong);
    assert_true(forbidden.drafted < 0.7 * free.drafted);
    assert_true(forbidden.rows_per_token < free.rows_per_token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_light_load_it_drafts_and_gains),
        cmocka_unit_test(beyond_the_limit_it_costs_nothing),
        cmocka_unit_test(where_rows_lack_it_takes_hardly_any),
        cmocka_unit_test(a_policy_without_drafts_is_obeyed),
    };
    return cmocka_run_group_tests(tests, load_open, scenario_close);
}
