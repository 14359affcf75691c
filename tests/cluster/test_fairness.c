/* What one client costs the others. */
#include <stdio.h>

#include "../support/support.h"
#include "scenario.h"

static const struct sim_net quiet = {.delay_us = 5 * MS};

/* Clocks and networks without chance: two runs differ only by what the test changes. */
static struct sim_options exact_options(const struct pace *pace)
{
    struct sim_options options = scenario_options(1, 1);
    options.skew = false;
    options.target_pace = pace;
    options.target.sessions_max = 512;
    return options;
}

static struct sim_plan quiet_plan(const struct sim_utterance *utterances, uint32_t n)
{
    struct sim_plan plan = scenario_plan(utterances, n);
    plan.net = quiet;
    return plan;
}

/* Runs; the lag of client 0's first utterance. */
static uint64_t lag_of_first(struct sim *sim)
{
    const char *wrong = sim_run(sim, 3600u * (uint64_t)SECOND);
    if (wrong)
        fail_msg("%s", wrong);
    uint64_t lag = history_lag_us(sim_history(sim, 0), 0);
    sim_free(&sim);
    return lag;
}

/* A slice of its encoder is under way, or a pass; then it is put aside, and has a row in passes
 * that run anyway. */
static void half_an_hour_of_speech_costs_three_seconds_at_most_a_slice(void **state)
{
    static const struct sim_utterance hour = {{30, 16000u * 1800u}, 0, 0};
    static const struct pace *const paces[] = {&pace_gpu, &pace_cpu};
    (void)state;
    for (uint32_t p = 0; p < ARRAY_LEN(paces); p++) {
        struct sim_options options = exact_options(paces[p]);
        uint64_t worst = 0;
        for (uint32_t i = 0; i < 8; i++) {
            uint64_t lag[2];
            const struct sim_utterance three = {{31, 48000}, SECOND + i * 79 * MS, 0};
            for (uint32_t beside = 0; beside < 2; beside++) {
                struct sim *sim = sim_new(&scenario_world, &options);
                struct sim_plan plan = quiet_plan(&three, 1);
                (void)sim_add_client(sim, &plan);
                plan = quiet_plan(&hour, 1);
                plan.drafts = false;
                plan.aggregate = i > 0;     /* its text is checked once */
                if (beside)
                    (void)sim_add_client(sim, &plan);
                lag[beside] = lag_of_first(sim);
            }
            worst = MAX(worst, lag[1] - MIN(lag[1], lag[0]));
        }
        printf("             %s: %.1f ms more\n", p ? "cpu" : "gpu", (double)worst / 1000.0);
        assert_true(worst <= options.target.slice_us);
    }
}

enum { BUSY = 8 };

static const struct sim_utterance busy_speech[] = {{{40, 16000 * 4}, 0, 0},
                                                   {{41, 16000 * 9}, 900 * MS, 0},
                                                   {{42, 16000 * 3}, 1700 * MS, 0}};

/* Lags of the busy clients' utterances, beside whatever else is there. */
static void run_busy(struct sim *sim, uint64_t *lags)
{
    const char *wrong = sim_run(sim, 300u * SECOND);
    if (wrong)
        fail_msg("%s", wrong);
    for (uint32_t c = 0; c < BUSY; c++)
        for (uint32_t i = 0; i < ARRAY_LEN(busy_speech); i++)
            *lags++ = history_lag_us(sim_history(sim, c), i);
    sim_free(&sim);
}

static struct sim *with_busy(const struct sim_options *options)
{
    struct sim *sim = sim_new(&scenario_world, options);
    for (uint32_t c = 0; c < BUSY; c++) {
        struct sim_plan plan = quiet_plan(busy_speech, ARRAY_LEN(busy_speech));
        plan.live = c % 2;
        (void)sim_add_client(sim, &plan);
    }
    return sim;
}

static void idle_clients_cost_nothing(void **state)
{
    static const struct sim_utterance later = {{43, 8000}, 40u * SECOND, 0};
    uint64_t alone[BUSY * ARRAY_LEN(busy_speech)], beside[ARRAY_LEN(alone)];
    (void)state;
    struct sim_options options = exact_options(&pace_gpu);
    run_busy(with_busy(&options), alone);
    struct sim *sim = with_busy(&options);
    for (uint32_t i = 0; i < 300; i++) {
        struct sim_plan plan = quiet_plan(&later, 1);
        plan.drafts = false;
        (void)sim_add_client(sim, &plan);
    }
    run_busy(sim, beside);
    assert_memory_equal(alone, beside, sizeof(alone));
}

static void a_slow_reader_costs_no_more_than_a_client_that_reads(void **state)
{
    uint64_t reading[BUSY * ARRAY_LEN(busy_speech)], slow[ARRAY_LEN(reading)];
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        struct sim_options options = exact_options(&pace_gpu);
        struct sim *sim = with_busy(&options);
        struct sim_plan plan = quiet_plan(busy_speech, ARRAY_LEN(busy_speech));
        uint32_t number = sim_add_client(sim, &plan);
        struct sim_fault fault = {.kind = SIM_SLOW_READER, .at_us = 300 * MS,
                                  .client = (int)number, .duration_us = 20u * SECOND};
        if (i == 1)
            sim_add_fault(sim, &fault);
        run_busy(sim, i == 0 ? reading : slow);
    }
    uint64_t worst = 0;         /* it comes again, and what it has not read is encoded again */
    for (uint32_t i = 0; i < ARRAY_LEN(slow); i++)
        worst = MAX(worst, slow[i] - MIN(slow[i], reading[i]));
    printf("             at most %.1f ms more\n", (double)worst / 1000.0);
    float windows = (float)ARRAY_LEN(busy_speech);
    assert_true((float)worst / 1000.0f <= windows * pace_gpu.encode_ms + pace_ms(&pace_gpu, 64));
}

/* More sessions than rows: each has one within so many passes as it takes to serve all. */
static void nobody_starves(void **state)
{
    static const struct pace pace = {.encode_ms = 0.25f, .n = 2, .rows = {1, 64},
                                     .ms = {12.0f, 13.0f}};
    enum { MANY = 150 };
    static const struct sim_utterance speech = {{44, 16000 * 5}, 0, 0};
    (void)state;
    for (int fixed = 0; fixed < 2; fixed++) {
        struct sim_options options = exact_options(&pace);
        struct sim *sim = sim_new(&scenario_world, &options);
        for (uint32_t i = 0; i < MANY; i++) {
            struct sim_plan plan = quiet_plan(&speech, 1);
            plan.drafts = i % 2;
            if (fixed)                      /* some want all rows whatever they cost */
                plan.options.rules.row_price = i % 3 == 1 ? 0.0f : -1.0f;
            (void)sim_add_client(sim, &plan);
        }
        const char *wrong = sim_run(sim, 600u * SECOND);
        if (wrong)
            fail_msg("%s", wrong);
        struct sim_work work = sim_target_work(sim, 0);
        uint64_t round_us = (uint64_t)(1000.0f * pace_ms(&pace, 64)) + options.target.slice_us;
        printf("             longest gap %.1f ms, %.1f rows in a pass\n",
               (double)work.gap_max_us / 1000.0, (double)work.rows / (double)work.passes);
        assert_true(work.rows > 30 * work.passes);  /* else it was not full */
        assert_true(work.gap_max_us <= ((MANY + 63) / 64 + 1) * round_us);
        sim_free(&sim);
    }
}

/* A client with eight sessions and one with one, each with a file that it wants done: how far they
 * are when the one is through, in windows. */
static float share_beside_eight(const struct pace *pace, uint64_t owner, uint64_t *one_us)
{
    static const struct sim_utterance file = {{45, 16000 * 30 * 12}, 0, 0};
    struct sim_options options = exact_options(pace);
    struct sim *sim = sim_new(&scenario_world, &options);
    for (uint32_t i = 0; i < 9; i++) {
        struct sim_plan plan = quiet_plan(&file, 1);
        plan.aggregate = true;
        plan.drafts = false;
        plan.owner = i == 0 ? 0 : owner;
        (void)sim_add_client(sim, &plan);
    }
    const char *wrong = sim_run(sim, 3600u * (uint64_t)SECOND);
    if (wrong)
        fail_msg("%s", wrong);
    uint64_t all_us = 0;
    *one_us = sim_history(sim, 0)->told[0].ended_us;
    for (uint32_t i = 1; i < 9; i++)
        all_us = MAX(all_us, sim_history(sim, i)->told[0].ended_us);
    sim_free(&sim);
    return (float)all_us / (float)*one_us;
}

/* Where the encoder is what lacks they take turns: the eight together get less than twice what the
 * one gets (which is not always back from decoding when its turn comes). */
static void eight_sessions_of_a_client_get_the_share_of_one(void **state)
{
    uint64_t fair_us, each_us;
    (void)state;
    float fair = share_beside_eight(&pace_cpu, 7, &fair_us);
    float each = share_beside_eight(&pace_cpu, 0, &each_us);
    printf("             through after %.1f s, the eight after %.1f times that; as nine clients "
           "%.1f s, %.1f times\n", (double)fair_us / 1e6, (double)fair, (double)each_us / 1e6,
           (double)each);
    assert_true(fair > 3.0f);               /* in shares of 2 : 1 it would be 3 */
    assert_true(each < 1.5f);
}

/* An audit is one step under way at most: a slice or a short pass. */
static void audits_delay_nobody_by_more_than_a_slice(void **state)
{
    static const struct pace *const paces[] = {&pace_gpu, &pace_cpu};
    (void)state;
    for (uint32_t p = 0; p < ARRAY_LEN(paces); p++) {
        uint64_t worst = 0, audits = 0;
        for (uint32_t i = 0; i < 12; i++) {
            const struct sim_utterance spoken[] = {
                {{46, 16000 * 20}, 0, 0}, {{31, 48000}, SECOND + i * 67 * MS, 0}};
            uint64_t lag[2];
            for (uint32_t audited = 0; audited < 2; audited++) {
                struct sim_options options = exact_options(paces[p]);
                options.target.audit_share = (float)audited;
                struct sim *sim = sim_new(&scenario_world, &options);
                for (uint32_t c = 0; c < 2; c++) {
                    struct sim_plan plan = quiet_plan(&spoken[c], 1);
                    (void)sim_add_client(sim, &plan);
                }
                const char *wrong = sim_run(sim, 60u * SECOND);
                if (wrong)
                    fail_msg("%s", wrong);
                lag[audited] = history_lag_us(sim_history(sim, 1), 0);
                audits += sim_target_work(sim, 0).audits;
                assert_int_equal(sim_target_work(sim, 0).audit_mismatches, 0);
                sim_free(&sim);
            }
            worst = MAX(worst, lag[1] - MIN(lag[1], lag[0]));
        }
        printf("             %s: %.1f ms more, %u audits\n", p ? "cpu" : "gpu",
               (double)worst / 1000.0, (uint32_t)audits);
        assert_true(worst <= target_options_default().slice_us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_an_hour_of_speech_costs_three_seconds_at_most_a_slice),
        cmocka_unit_test(idle_clients_cost_nothing),
        cmocka_unit_test(a_slow_reader_costs_no_more_than_a_client_that_reads),
        cmocka_unit_test(nobody_starves),
        cmocka_unit_test(audits_delay_nobody_by_more_than_a_slice),
        cmocka_unit_test(eight_sessions_of_a_client_get_the_share_of_one),
    };
    return cmocka_run_group_tests(tests, scenario_open, scenario_close);
}
