/* Lag against load: the split never falls behind the target alone nor behind drafts made on its own
 * machine, and nothing collapses. bench/cluster_lag.c has all loads and more seeds. */
#include <stdio.h>

#include "../support/support.h"
#include "load.h"

enum { RTT_US = 20000 };

struct grid {
    const char *name;
    const struct pace *pace, *colocated;
    struct {
        uint32_t n_streams, seconds, n_seeds;
    } loads[6];
};

static const struct grid grids[] = {
    {"gpu", &pace_gpu, &pace_gpu_draft, {{1, 60, 3}, {24, 24, 1}, {96, 10, 1}, {240, 12, 1}}},
    {"cpu", &pace_cpu, &pace_cpu_draft, {{1, 60, 3}, {4, 40, 3}, {6, 40, 2}, {16, 30, 2},
                                         {28, 30, 2}}}};

static struct load_result run(const struct grid *grid, uint32_t i, enum load_mode mode,
                              uint32_t depth)
{
    static const char *const names[] = {"alone", "colocated", "always", "fixed", "controlled"};
    struct load load = {.pace = grid->pace, .colocated = grid->colocated, .mode = mode,
                        .depth = depth, .rtt_us = RTT_US, .n_streams = grid->loads[i].n_streams,
                        .seconds = grid->loads[i].seconds, .n_seeds = grid->loads[i].n_seeds,
                        .seed = 11};
    struct load_result r = load_run(&load);
    if (r.wrong)
        fail_msg("%s, %u streams: %s", grid->name, load.n_streams, r.wrong);
    printf("             %s, %3u streams, %-10s: mean %5.0f ms, p99 %5.0f ms, decode %4.0f ms, "
           "%.1f tokens/s\n",
           grid->name, load.n_streams, names[mode], r.lag_us.mean / 1e3,
           (double)r.all_p99_us / 1e3, r.decode_us.mean / 1e3, r.tokens_per_s.mean);
    return r;
}

static void the_split_lies_below_both_others_at_every_load(void **state)
{
    (void)state;
    for (uint32_t g = 0; g < ARRAY_LEN(grids); g++)
        for (uint32_t i = 0; grids[g].loads[i].n_streams; i++) {
            struct load_result alone = run(&grids[g], i, LOAD_ALONE, 0);
            struct load_result near = run(&grids[g], i, LOAD_COLOCATED, 8);
            struct load_result split = run(&grids[g], i, LOAD_CONTROLLED, 0);
            assert_int_equal(alone.n, split.n);
            assert_true(split.lag_us.mean <= 1.02 * alone.lag_us.mean);
            assert_true(split.lag_us.mean <= 1.02 * near.lag_us.mean);
            assert_true((double)split.all_p99_us <= 1.02 * (double)alone.all_p99_us);
            assert_true((double)split.all_p99_us <= 1.02 * (double)near.all_p99_us);
            assert_true(split.tokens_per_s.mean >= 0.98 * alone.tokens_per_s.mean);
            if (g == 0 && i == 0)           /* at light load on the GPU curve */
                assert_true(2.0 * split.decode_us.mean <= alone.decode_us.mean);
        }
}

/* The more speak, the more it does in the time that it works, and at four times its limit no less:
 * there it works without a pause, so that this is what it does in a second. The limit of pace_gpu
 * (near 300 streams) and pace_cpu is its encoder's, of pace_rows the rows'. */
static void overload_does_not_cost_throughput(void **state)
{
    static const struct grid over[] = {
        {"gpu", &pace_gpu, NULL, {{60, 5, 1}, {250, 5, 1}, {1000, 4, 1}}},
        {"rows", &pace_rows, NULL, {{25, 20, 1}, {100, 12, 1}, {400, 8, 1}}},
        {"cpu", &pace_cpu, NULL, {{10, 20, 2}, {40, 20, 2}, {160, 12, 2}}}};
    (void)state;
    for (uint32_t g = 0; g < ARRAY_LEN(over); g++) {
        double most = 0.0;
        struct load_result r;
        for (uint32_t i = 0; over[g].loads[i].n_streams; i++) {
            r = run(&over[g], i, LOAD_CONTROLLED, 0);
            printf("             %.1f tokens per second of work, %.0f %% of the time; drafts "
                   "advised for %.0f %%\n", r.tokens_per_busy_s, 100.0 * r.busy, 100.0 * r.advised);
            assert_true(r.tokens_per_busy_s >= 0.95 * most);   /* not the same texts */
            most = MAX(most, r.tokens_per_busy_s);
        }
        assert_true(r.busy > 0.75);
        if (over[g].pace == &pace_rows)     /* there speculation has given up by itself */
            assert_true(r.advised < 0.1);
    }
}

/* Clients that find it full are told at once, whatever the model does, and come back until it has
 * room; all are served. */
static void a_full_target_refuses_at_once_and_serves_all_in_the_end(void **state)
{
    static const struct pace *const paces[] = {&pace_gpu, &pace_cpu};
    (void)state;
    for (uint32_t i = 0; i < ARRAY_LEN(paces); i++) {
        struct load load = {.pace = paces[i], .mode = LOAD_CONTROLLED, .rtt_us = RTT_US,
                            .n_streams = 60, .seconds = 8, .sessions_max = 16,
                            .seed = 3};
        struct load_result result = load_run(&load);
        if (result.wrong)
            fail_msg("%s", result.wrong);
        printf("             %u refusals, told within %.1f ms, 10 ms away\n", result.n_refusals,
               (double)result.refusal_max_us / 1e3);
        assert_true(result.refusal_max_us <= 50 * MS);
        assert_true(result.n > 2 * load.sessions_max);
        assert_true(result.n_refusals >= load.n_streams - load.sessions_max);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_split_lies_below_both_others_at_every_load),
        cmocka_unit_test(overload_does_not_cost_throughput),
        cmocka_unit_test(a_full_target_refuses_at_once_and_serves_all_in_the_end),
    };
    return cmocka_run_group_tests(tests, load_open, scenario_close);
}
