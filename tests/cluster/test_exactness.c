/* Many sessions in one pass: every transcript is that of the target alone. */
#include <stdio.h>
#include <string.h>

#include "../support/support.h"
#include "scenario.h"

static const struct sim_utterance utterances[][2] = {
    {{{20, 16000 * 3}, 0, 0}, {{21, 16000 * 9}, 100 * MS, 0}},
    {{{22, 16000 * 33}, 50 * MS, 0}, {{23, 8000}, 60 * MS, 0}},
    {{{24, 16000 * 12}, 0, 0}, {{25, 16000 * 30}, SECOND, 0}},
    {{{26, 1}, 0, 0}, {{27, 16000 * 6}, 10 * MS, 0}},
};

static const char *const policies[] = {"full", "ar",          "spec:8",     "asp",   "asp:auto",
                                       "sparse", "asp+recycle", "sparse:auto"};

/* Client number i: its policy, mode, price, language, temperature, machine and network. */
static struct sim_plan mixed(uint32_t i)
{
    struct sim_plan plan = scenario_plan(utterances[i % ARRAY_LEN(utterances)], 2);
    struct wire_rules *rules = &plan.options.rules;
    assert_true(spec_policy_parse(policies[i % ARRAY_LEN(policies)],
                                  &plan.options.drafter.policy));
    plan.drafts = i % 5 != 4;
    plan.mistakes = i % 3 == 0 ? 0.5f : 0.08f;
    plan.pace = i % 2 ? &pace_phone : &pace_laptop;
    plan.net = i % 3 == 0 ? net_near : i % 3 == 1 ? net_far : net_radio;
    plan.live = i % 7 == 3;
    rules->timestamps = plan.options.drafter.timestamps = i % 3 != 1;
    rules->lockstep = i % 8 == 3;
    rules->wait_draft = i % 8 == 5;
    rules->row_price = i % 4 == 2 ? 0.0f : -1.0f;
    rules->rows_max = i % 6 == 5 ? 5 : 0;
    rules->temperature = i % 4 == 1 ? 0.7f : 0.0f;
    rules->seed = i % 2;
    rules->fallback = i % 2 == 0;
    if (i % 4 == 3)
        memcpy(rules->language, "auto", 5);
    memcpy(plan.options.drafter.language, rules->language, sizeof(rules->language));
    plan.options.codec = i % 8 == 0 ? WIRE_FLAC : WIRE_PCM_S16;
    return plan;
}

static void run_mixed(uint32_t n_clients, const struct pace *pace)
{
    uint64_t seeds[2];
    uint32_t n_seeds = sim_seeds(n_clients, n_clients < 64 ? 2 : 1, seeds);
    for (uint32_t s = 0; s < n_seeds; s++) {
        struct sim_options options = scenario_options(seeds[s], 1);
        options.target_pace = pace;
        options.target.sessions_max = 64;
        struct sim *sim = sim_new(&scenario_world, &options);
        for (uint32_t i = 0; i < n_clients; i++) {
            struct sim_plan plan = mixed(i + (uint32_t)seeds[s]);
            (void)sim_add_client(sim, &plan);
        }
        scenario_check(sim, 600u * SECOND);
    }
}

static void one_session(void **state)
{
    (void)state;
    run_mixed(1, &pace_gpu);
    run_mixed(1, &pace_cpu);
}

static void two_sessions(void **state)
{
    (void)state;
    run_mixed(2, &pace_gpu);
    run_mixed(2, &pace_cpu);
}

static void eight_sessions(void **state)
{
    (void)state;
    run_mixed(8, &pace_gpu);
    run_mixed(8, &pace_cpu);
}

static void sixty_four_sessions(void **state)
{
    (void)state;
    run_mixed(64, &pace_gpu);
}

/* Keys and values for three at once: text is the same, whoever has to give them up in between. */
static void twelve_sessions_in_three_slots(void **state)
{
    (void)state;
    struct sim_options options = scenario_options(5, 1);
    options.target.slots_max = 3;
    struct sim *sim = sim_new(&scenario_world, &options);
    for (uint32_t i = 0; i < 12; i++) {
        struct sim_plan plan = mixed(i);
        (void)sim_add_client(sim, &plan);
    }
    scenario_check(sim, 600u * SECOND);
}

/* Decoded again without drafts in the pauses: never another text, and the pauses suffice. */
static void audits_find_nothing(void **state)
{
    static const struct sim_utterance spoken[] = {
        {{20, 16000 * 3}, 0, 0}, {{21, 16000 * 9}, 2 * SECOND, 0},
        {{22, 16000 * 33}, 4 * SECOND, 0}, {{26, 1}, 6 * SECOND, 0},
        {{27, 16000 * 6}, 7 * SECOND, 0}, {{23, 8000}, 9 * SECOND, 0}};
    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        struct sim_options options = scenario_options(i, 1);
        options.target.audit_share = 1.0f;
        struct sim *sim = sim_new(&scenario_world, &options);
        struct sim_plan plan = mixed(i);
        plan.utterances = spoken;
        plan.n_utterances = ARRAY_LEN(spoken);
        plan.live = false;
        (void)sim_add_client(sim, &plan);
        const char *wrong = sim_run(sim, 600u * SECOND);
        if (wrong)
            fail_msg("%s", wrong);
        struct sim_work work = sim_target_work(sim, 0);
        assert_true(work.audits >= 3);
        assert_int_equal(work.audit_mismatches, 0);
        sim_free(&sim);
    }
}

/* What is said after an utterance that was given up, at whatever moment, is not touched by it. */
static void a_cancelled_utterance_leaves_no_trace(void **state)
{
    (void)state;
    for (uint64_t after = 20 * MS; after < 1500u * MS; after += 29 * MS) {
        const struct sim_utterance spoken[] = {{{28, 16000 * 31}, 0, after}, {{29, 48000}, 0, 0}};
        struct sim_options options = scenario_options(after, 1);
        options.target_pace = &pace_cpu;
        struct sim *sim = sim_new(&scenario_world, &options);
        struct sim_plan plan = scenario_plan(spoken, ARRAY_LEN(spoken));
        plan.net = net_near;
        (void)sim_add_client(sim, &plan);
        scenario_check(sim, 60u * SECOND);
    }
}

/* A Cancel goes out at once, audio waits for room: it must not close the door to an older utterance
 * that the target has not heard of yet. Nothing is lost here, so nobody has to connect again. */
static void a_cancel_does_not_overtake_older_utterances(void **state)
{
    static const struct sim_utterance spoken[] = {{{20, 48000}, 0, 0},
                                                  {{22, 16000 * 33}, 50 * MS, 0},
                                                  {{24, 16000 * 12}, 60 * MS, 200 * MS},
                                                  {{26, 16000}, 70 * MS, 0}};
    (void)state;
    struct sim_options options = scenario_options(1, 1);
    struct sim *sim = sim_new(&scenario_world, &options);
    struct sim_plan plan = scenario_plan(spoken, ARRAY_LEN(spoken));
    plan.drafts = false;
    (void)sim_add_client(sim, &plan);
    struct sim_fault partition = {.kind = SIM_PARTITION, .at_us = 60 * MS, .client = 0,
                                  .target = 0, .duration_us = 1200 * MS};
    sim_add_fault(sim, &partition);
    const char *wrong = sim_run(sim, 60u * SECOND);
    if (wrong)
        fail_msg("%s", wrong);
    assert_int_equal(sim_n_resumes(sim), 0);
    sim_free(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_session),
        cmocka_unit_test(two_sessions),
        cmocka_unit_test(eight_sessions),
        cmocka_unit_test(sixty_four_sessions),
        cmocka_unit_test(twelve_sessions_in_three_slots),
        cmocka_unit_test(audits_find_nothing),
        cmocka_unit_test(a_cancelled_utterance_leaves_no_trace),
        cmocka_unit_test(a_cancel_does_not_overtake_older_utterances),
    };
    return cmocka_run_group_tests(tests, scenario_open, scenario_close);
}
