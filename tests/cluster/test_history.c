/* The checker of the cluster tests sees what must not happen. */
#include <string.h>

#include "../support/support.h"
#include "history.h"
#include "scenario.h"

static int32_t tokens[] = {5, 6, 7, 8, 9};
static const struct expected expected = {.n_tokens = 5, .n_windows = 2, .tokens = tokens};

static struct wire_frame window(uint32_t number, uint64_t start, uint32_t first, uint32_t n)
{
    struct wire_frame frame = {.kind = WIRE_WINDOW_FINAL};
    struct wire_window_final *final = &frame.u.window_final;
    final->window = number;
    final->window_start = start;
    final->next_start = start + 1000;
    final->n_tokens = n;
    memcpy(final->tokens, tokens + first, n * sizeof(int32_t));
    return frame;
}

static void begin(struct history *history)
{
    history_init(history, 2);
    history_begin(history, 0, &expected);
    history_begin(history, 1, &expected);
}

static void tell(struct history *history, struct wire_frame frame)
{
    history_window(history, &frame.u.window_final);
}

static void what_is_right_passes(void **state)
{
    struct history history;
    (void)state;
    begin(&history);
    history_spoken(&history, 0, 100);
    tell(&history, window(0, 0, 0, 3));
    tell(&history, window(1, 1000, 3, 2));
    assert_false(history_complete(&history));
    history_end(&history, 0, 350);
    assert_string_equal(history.violation, "");
    assert_int_equal(history_lag_us(&history, 0), 250);
    history_release(&history);
}

static void assert_violated(struct history *history)
{
    assert_true(strlen(history->violation) > 0);
    history_release(history);
}

static void what_is_wrong_is_seen(void **state)
{
    struct history history;
    struct wire_frame other = window(0, 0, 0, 3);
    (void)state;
    begin(&history);                        /* twice */
    tell(&history, window(0, 0, 0, 3));
    tell(&history, window(0, 0, 0, 3));
    assert_violated(&history);
    begin(&history);                        /* out of order */
    tell(&history, window(1, 0, 0, 3));
    assert_violated(&history);
    begin(&history);                        /* a gap in the audio */
    tell(&history, window(0, 10, 0, 3));
    assert_violated(&history);
    begin(&history);                        /* another token */
    other.u.window_final.tokens[1] = 99;
    tell(&history, other);
    assert_violated(&history);
    begin(&history);                        /* too many */
    tell(&history, window(0, 0, 0, 5));
    tell(&history, window(1, 1000, 0, 1));
    assert_violated(&history);
    begin(&history);                        /* too few */
    tell(&history, window(0, 0, 0, 3));
    history_end(&history, 0, 1);
    assert_violated(&history);
    begin(&history);                        /* the younger one first */
    tell(&history, window(0, 0, 0, 3));
    tell(&history, window(1, 1000, 3, 2));
    history_end(&history, 1, 1);
    assert_violated(&history);
    begin(&history);                        /* nobody began it */
    history_end(&history, 7, 1);
    assert_violated(&history);
}

/* The same seed gives the same run to the microsecond, another one another. */
static void a_seed_decides_everything(void **state)
{
    static const struct sim_utterance utterances[] = {{{5, 48000}, 0, 0},
                                                      {{6, 80000}, 300 * MS, 0}};
    uint64_t lag[3];
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        struct sim_options options = scenario_options(i < 2 ? 7 : 8, 2);
        struct sim *sim = sim_new(&scenario_world, &options);
        struct sim_plan plan = scenario_plan(utterances, ARRAY_LEN(utterances));
        for (uint32_t c = 0; c < 3; c++)
            (void)sim_add_client(sim, &plan);
        struct sim_fault crash = {.kind = SIM_CRASH_TARGET, .phase = SIM_VERIFY, .client = 1,
                                  .target = SIM_ANY, .duration_us = SECOND};
        sim_add_fault(sim, &crash);
        assert_null(sim_run(sim, 60u * SECOND));
        lag[i] = history_lag_us(sim_history(sim, 2), 1);
        assert_int_equal(sim_n_fired(sim), 1);
        assert_true(sim_n_resumes(sim) > 0);
        sim_free(&sim);
    }
    assert_int_equal(lag[0], lag[1]);
    assert_int_not_equal(lag[0], lag[2]);
}

/* A cluster without a target that answers is a failure that the simulation tells. */
static void a_run_that_cannot_end_well_fails(void **state)
{
    static const struct sim_utterance utterance = {{5, 48000}, 0, 0};
    (void)state;
    struct sim_options options = scenario_options(1, 1);
    options.patience_us = 3 * SECOND;
    struct sim *sim = sim_new(&scenario_world, &options);
    struct sim_plan plan = scenario_plan(&utterance, 1);
    (void)sim_add_client(sim, &plan);
    struct sim_fault crash = {.kind = SIM_CRASH_TARGET, .phase = SIM_ENCODE, .client = 0,
                              .target = SIM_ANY, .duration_us = 60u * SECOND};
    sim_add_fault(sim, &crash);
    const char *wrong = sim_run(sim, 60u * SECOND);
    assert_non_null(wrong);
    assert_non_null(strstr(wrong, "gave up"));
    assert_non_null(strstr(wrong, "SIM_SEED=1"));
    sim_free(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right_passes),
        cmocka_unit_test(what_is_wrong_is_seen),
        cmocka_unit_test(a_seed_decides_everything),
        cmocka_unit_test(a_run_that_cannot_end_well_fails),
    };
    return cmocka_run_group_tests(tests, scenario_open, scenario_close);
}
