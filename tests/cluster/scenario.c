#include "scenario.h"

#include "../support/support.h"

const struct pace pace_gpu = {.encode_ms = 40, .n = 3, .rows = {1, 64, 128},
                              .ms = {12.0f, 13.0f, 14.0f}};
const struct pace pace_cpu = {.encode_ms = 450, .n = 9, .rows = {1, 4, 8, 12, 16, 24, 32, 48, 64},
                              .ms = {2.9f, 3.1f, 4.7f, 7.0f, 9.6f, 14.0f, 18.8f, 27.7f, 37.3f}};
const struct pace pace_phone = {.encode_ms = 150, .n = 2, .rows = {1, 64}, .ms = {8.0f, 40.0f}};
const struct pace pace_laptop = {.encode_ms = 40, .n = 2, .rows = {1, 64}, .ms = {2.0f, 8.0f}};

const struct sim_net net_near = {.delay_us = 300, .jitter_us = 100, .rate = 100000000};
const struct sim_net net_far = {.delay_us = 30 * MS, .jitter_us = 5 * MS, .rate = 2000000};
const struct sim_net net_radio = {.delay_us = 60 * MS, .jitter_us = 60 * MS, .rate = 150000,
                                  .spikes = 0.02f};

struct world scenario_world;

int scenario_open(void **state)
{
    static const struct world_options options = {.script_min = 4, .script_max = 40,
                                                 .mistakes = 0.02f};
    (void)state;
    world_open(&scenario_world, &options);
    return 0;
}

int scenario_close(void **state)
{
    (void)state;
    world_close(&scenario_world);
    return 0;
}

struct sim_options scenario_options(uint64_t seed, uint32_t n_targets)
{
    return (struct sim_options){.seed = seed, .n_targets = n_targets, .skew = true,
                                .target = target_options_default(),
                                .policy = target_policy_default(), .target_pace = &pace_gpu,
                                .draft_pace = &pace_laptop};
}

struct sim_plan scenario_plan(const struct sim_utterance *utterances, uint32_t n)
{
    struct sim_plan plan = {.options = client_options_default(), .drafts = true, .mistakes = 0.1f,
                            .net = net_far, .utterances = utterances, .n_utterances = n};
    plan.options.codec = WIRE_PCM_S16;
    plan.options.rules.timestamps = plan.options.drafter.timestamps = true;
    return plan;
}

void scenario_check(struct sim *sim, uint64_t limit_us)
{
    const char *wrong = sim_run(sim, limit_us);
    if (wrong)
        fail_msg("%s", wrong);
    sim_free(&sim);
}
