/* Every fault in every phase of an utterance: nothing lost, nothing twice, no slot leaked. */
#include <stdio.h>

#include "../support/support.h"
#include "scenario.h"

enum { SEEDS = 6 };

struct cell {
    enum sim_fault_kind kind;
    const char *name;
    uint64_t duration_us;
    uint64_t outage_max_us;                 /* a client may be without a session for so long */
    int64_t step_s;                         /* of a date, to one side and the other by seed */
};

static const struct sim_utterance some[] = {{{5, 48000}, 0, 0},
                                                  {{6, 16000 * 34}, 200 * MS, 0},
                                                  {{10, 16000 * 40}, 300 * MS, 700 * MS},
                                                  {{7, 16000 * 5}, 400 * MS, 0}};
static const struct sim_utterance others[] = {{{8, 16000 * 8}, 0, 0},
                                              {{9, 16000 * 2}, 3 * SECOND, 0}};

/* Sampled text depends on the noise of its window and attempt, and all text on the one before. */
static void add_clients(struct sim *sim, bool live, float temperature)
{
    struct sim_plan subject = scenario_plan(some, ARRAY_LEN(some));
    struct sim_plan other = scenario_plan(others, ARRAY_LEN(others));
    subject.live = live;
    subject.options.rules.temperature = temperature;
    sim_add_client(sim, &subject);
    other.options.rules.wait_draft = true;
    sim_add_client(sim, &other);
    other.first_target = 1;
    other.drafts = false;
    sim_add_client(sim, &other);
}

struct seen {
    uint64_t outage_us[2];                  /* longest, with one target and with two */
    uint32_t n_refusals;
};

/* One cell under one seed; returns whether its fault happened. */
static bool run_cell(const struct cell *cell, enum sim_phase phase, uint64_t seed,
                     struct seen *seen)
{
    struct sim_options options = scenario_options(seed, 1 + seed % 2);
    options.target_pace = seed % 4 < 2 ? &pace_gpu : &pace_cpu;
    uint64_t outage_max_us =
        cell->outage_max_us + (seed % 2 ? 0 : cell->duration_us + 6000u * MS);  /* one target */
    struct sim *sim = sim_new(&scenario_world, &options);
    add_clients(sim, seed % 3 == 0, seed % 4 == 1 ? 0.0f : 1.0f);
    struct sim_fault drain = {.kind = SIM_DRAIN_TARGET, .phase = SIM_ENCODE, .client = 0,
                              .target = SIM_ANY, .duration_us = 500 * MS};
    struct sim_fault fault = {.kind = cell->kind, .phase = phase, .client = 0, .target = SIM_ANY,
                              .skip = phase >= SIM_FINAL || phase == SIM_OPENING ? seed % 2
                                                                                 : seed % 5 * 3,
                              .duration_us = cell->duration_us,
                              .step_s = seed / 2 % 2 ? cell->step_s : -cell->step_s};
    if (phase == SIM_DRAIN)
        sim_add_fault(sim, &drain);
    if (phase == SIM_OPENING && fault.skip) {   /* the second opening needs a first loss */
        struct sim_fault cut = {.kind = SIM_CUT, .phase = SIM_VERIFY, .client = 0,
                                .target = SIM_ANY};
        sim_add_fault(sim, &cut);
    }
    sim_add_fault(sim, &fault);
    const char *wrong = sim_run(sim, 200u * SECOND);
    if (wrong)
        fail_msg("%s in phase %d: %s", cell->name, (int)phase, wrong);
    uint64_t *outage_us = &seen->outage_us[seed % 2];
    *outage_us = MAX(*outage_us, sim_outage_max_us(sim));
    seen->n_refusals += sim_n_refusals(sim);
    if (sim_outage_max_us(sim) > outage_max_us)
        fail_msg("%s in phase %d: a client was without a session for %llu ms [SIM_SEED=%llu]",
                 cell->name, (int)phase, (unsigned long long)sim_outage_max_us(sim) / 1000u,
                 (unsigned long long)seed);
    bool fired = sim_n_fired(sim) > (phase == SIM_DRAIN || (phase == SIM_OPENING && seed % 2));
    sim_free(&sim);
    return fired;
}

static void every_phase_survives(const struct cell *cell)
{
    uint64_t seeds[SEEDS];
    struct seen seen = {0};
    uint32_t n_seeds = sim_seeds(1, SEEDS, seeds);
    for (int phase = SIM_OPENING; phase < SIM_PHASES; phase++) {
        uint32_t n_fired = 0;
        for (uint32_t i = 0; i < n_seeds; i++)
            n_fired += run_cell(cell, (enum sim_phase)phase, seeds[i], &seen);
        if (n_fired == 0 && n_seeds == SEEDS)
            fail_msg("%s never happened in phase %d", cell->name, phase);
    }
    if (cell->step_s && seen.n_refusals == 0)
        fail_msg("%s: no ticket was refused", cell->name);
    printf("             %s: without a session for at most %llu ms (two targets), %llu ms (one)\n",
           cell->name, (unsigned long long)seen.outage_us[1] / 1000u,
           (unsigned long long)seen.outage_us[0] / 1000u);
}

static void a_cut_connection(void **state)
{
    (void)state;
    every_phase_survives(&(struct cell){SIM_CUT, "cut", 0, 1000 * MS, 0});
}

static void a_client_at_another_address(void **state)
{
    (void)state;
    every_phase_survives(&(struct cell){SIM_MOVE, "move", 0, 1000 * MS, 0});
}

static void a_short_partition(void **state)
{
    (void)state;
    every_phase_survives(&(struct cell){SIM_PARTITION, "partition of 1 s", 1000 * MS,
                                        3 * SECOND, 0});
}

static void a_long_partition(void **state)
{
    (void)state;
    every_phase_survives(&(struct cell){SIM_PARTITION, "partition of 8 s", 8 * SECOND,
                                        9 * SECOND, 0});
}

static void a_target_frozen_for_a_second(void **state)
{
    (void)state;
    every_phase_survives(&(struct cell){SIM_FREEZE_TARGET, "target frozen for 1 s", SECOND,
                                        3 * SECOND, 0});
}

static void a_target_frozen_for_long(void **state)
{
    (void)state;
    every_phase_survives(&(struct cell){SIM_FREEZE_TARGET, "target frozen for 7 s", 7 * SECOND,
                                        8 * SECOND, 0});
}

static void a_target_killed_and_restarted(void **state)
{
    (void)state;
    every_phase_survives(&(struct cell){SIM_CRASH_TARGET, "target killed", 3 * SECOND,
                                        1500 * MS, 0});
}

static void a_target_drained(void **state)
{
    (void)state;
    every_phase_survives(&(struct cell){SIM_DRAIN_TARGET, "target drained", 2 * SECOND,
                                        1500 * MS, 0});
}

static void a_slow_reader(void **state)
{
    (void)state;
    every_phase_survives(&(struct cell){SIM_SLOW_READER, "slow reader", 4 * SECOND,
                                        6 * SECOND, 0});
}

static void a_frozen_client(void **state)
{
    (void)state;
    every_phase_survives(&(struct cell){SIM_FREEZE_CLIENT, "client frozen", 5 * SECOND,
                                        6500 * MS, 0});
}

/* Two hours ahead all tickets have expired there, two hours back none is valid yet: sessions go on,
 * but who comes anew is let in by the other target, or when the date is right again. */
static void a_target_whose_date_jumps(void **state)
{
    (void)state;
    every_phase_survives(&(struct cell){SIM_STEP_TARGET, "a target's date wrong",
                                        4 * SECOND, 1500 * MS, 7200});
}

static void a_coordinator_whose_date_jumps(void **state)
{
    (void)state;
    every_phase_survives(&(struct cell){SIM_STEP_COORDINATOR, "the coordinator's date wrong",
                                        4 * SECOND, 8 * SECOND, 7200});
}

static void a_killed_client_leaves_no_session(void **state)
{
    (void)state;
    every_phase_survives(&(struct cell){SIM_KILL_CLIENT, "client killed", 0, 1500 * MS, 0});
}

/* Many things at once, for a long time. */
static void storms(void **state)
{
    uint64_t seeds[12];
    uint32_t n_seeds = sim_seeds(1000, ARRAY_LEN(seeds), seeds);
    (void)state;
    for (uint32_t i = 0; i < n_seeds; i++) {
        uint64_t random = seeds[i] * 77;
        struct sim_options options = scenario_options(seeds[i], 3);
        options.patience_us = 300u * SECOND;
        struct sim *sim = sim_new(&scenario_world, &options);
        for (uint32_t c = 0; c < 2; c++)
            add_clients(sim, c == 1, 1.0f);
        for (uint32_t f = 0; f < 24; f++) {
            struct sim_fault fault = {
                .kind = (enum sim_fault_kind)(support_random(&random) % SIM_KILL_CLIENT),
                .client = (int)(support_random(&random) % 6),
                .target = (int)(support_random(&random) % 3),
                .at_us = support_random(&random) % (20u * SECOND),
                .duration_us = 1 + support_random(&random) % (4u * SECOND),
                .step_s = (int64_t)(support_random(&random) % 20000) - 10000};
            sim_add_fault(sim, &fault);
        }
        scenario_check(sim, 300u * SECOND);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_connection),
        cmocka_unit_test(a_client_at_another_address),
        cmocka_unit_test(a_short_partition),
        cmocka_unit_test(a_long_partition),
        cmocka_unit_test(a_target_frozen_for_a_second),
        cmocka_unit_test(a_target_frozen_for_long),
        cmocka_unit_test(a_target_killed_and_restarted),
        cmocka_unit_test(a_target_drained),
        cmocka_unit_test(a_slow_reader),
        cmocka_unit_test(a_frozen_client),
        cmocka_unit_test(a_target_whose_date_jumps),
        cmocka_unit_test(a_coordinator_whose_date_jumps),
        cmocka_unit_test(a_killed_client_leaves_no_session),
        cmocka_unit_test(storms),
    };
    return cmocka_run_group_tests(tests, scenario_open, scenario_close);
}
