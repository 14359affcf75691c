/* Lag against load: the split never falls behind the target alone, and nothing collapses. */
#include <stdio.h>

#include "../support/support.h"
#include "load.h"

struct grid {
    const char *name;
    const struct pace *pace;
    uint32_t streams[6];
};

static const struct grid grids[] = {{"gpu", &pace_gpu, {1, 16, 64, 128, 192, 0}},
                                    {"cpu", &pace_cpu, {1, 4, 8, 16, 24, 0}}};

static struct load_result run(const struct grid *grid, uint32_t n_streams, bool drafts,
                              uint32_t seconds)
{
    struct load load = {.pace = grid->pace, .drafts = drafts, .n_streams = n_streams,
                        .seconds = seconds, .seed = 11};
    struct load_result result = load_run(&load);
    if (result.wrong)
        fail_msg("%s, %u streams: %s", grid->name, n_streams, result.wrong);
    printf("             %s, %3u streams, %s: p50 %5.0f ms, p99 %5.0f ms, %.1f tokens a turn\n",
           grid->name, n_streams, drafts ? "split" : "alone", (double)result.p50_us / 1000.0,
           (double)result.p99_us / 1000.0, result.tokens_per_turn);
    return result;
}

static void the_split_lies_below_the_target_alone_at_every_load(void **state)
{
    (void)state;
    for (uint32_t g = 0; g < ARRAY_LEN(grids); g++) {
        for (uint32_t i = 0; grids[g].streams[i]; i++) {
            struct load_result alone = run(&grids[g], grids[g].streams[i], false, 16);
            struct load_result split = run(&grids[g], grids[g].streams[i], true, 16);
            assert_int_equal(alone.n, split.n);
            assert_true((double)split.p50_us <= 1.02 * (double)alone.p50_us);
            assert_true((double)split.p99_us <= 1.02 * (double)alone.p99_us);
            if (g == 0 && i == 0)           /* at light load on the GPU curve */
                assert_true(2 * split.p99_us <= alone.p99_us);
        }
    }
}

/* Four times what the target can do: it does as much as at its limit. */
static void overload_does_not_cost_throughput(void **state)
{
    static const uint32_t limit[] = {192, 24};
    (void)state;
    for (uint32_t g = 0; g < ARRAY_LEN(grids); g++) {
        struct load_result at = run(&grids[g], limit[g], true, 9);
        struct load_result over = run(&grids[g], 4 * limit[g], true, 9);
        printf("             %s: %.0f tokens/s at the limit, %.0f beyond it\n", grids[g].name,
               at.tokens_per_s, over.tokens_per_s);
        assert_true(over.tokens_per_s >= 0.98 * at.tokens_per_s);
    }
}

/* Clients that find it full are told at once, whatever the model does, and come back until it has
 * room; all are served. */
static void a_full_target_serves_all_in_the_end(void **state)
{
    (void)state;
    struct load load = {.pace = &pace_gpu, .drafts = true, .n_streams = 60, .seconds = 6,
                        .sessions_max = 16, .seed = 3};
    struct load_result result = load_run(&load);
    if (result.wrong)
        fail_msg("%s", result.wrong);
    assert_true(result.n > 2 * load.sessions_max);
    printf("             %u refusals, told within %.1f ms, 12 ms away\n", result.n_refusals,
           (double)result.refusal_max_us / 1000.0);
    assert_true(result.n_refusals >= load.n_streams - load.sessions_max);
    assert_true(result.refusal_max_us <= 50 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_split_lies_below_the_target_alone_at_every_load),
        cmocka_unit_test(overload_does_not_cost_throughput),
        cmocka_unit_test(a_full_target_serves_all_in_the_end),
    };
    return cmocka_run_group_tests(tests, load_open, scenario_close);
}
