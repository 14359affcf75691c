#include "load.h"

#include <stdio.h>
#include <stdlib.h>

#include "../support/support.h"

enum { SPEECHES = 48, UTTERANCES_MAX = 64 };

int load_open(void **state)
{
    static const struct world_options world = {.script_min = 14, .script_max = 34,
                                               .mistakes = 0.02f};
    (void)state;
    world_open(&scenario_world, &world);
    return 0;
}

static int by_value(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

/* Utterances of a stream; returns how many. */
static uint32_t speak(uint64_t *seed, uint64_t seconds, struct sim_utterance *out)
{
    uint32_t n = 0;
    uint64_t at = support_random(seed) % (8u * SECOND);
    while (at < seconds * SECOND && n < UTTERANCES_MAX) {
        uint64_t number = support_random(seed) % SPEECHES;
        size_t n_samples = 48000 + 2000 * number;
        out[n++] = (struct sim_utterance){{1000 + number, n_samples}, at, 0};
        at += n_samples * 1000000u / 16000u;
        at += SECOND + support_random(seed) % (10u * SECOND);
    }
    return n;
}

static uint32_t add_streams(struct sim *sim, const struct load *load,
                            struct sim_utterance (*spoken)[UTTERANCES_MAX])
{
    uint64_t seed = load->seed;
    uint32_t n_all = 0;
    for (uint32_t i = 0; i < load->n_streams; i++) {
        uint32_t n = speak(&seed, load->seconds, spoken[i]);
        struct sim_plan plan = scenario_plan(spoken[i], n);
        plan.live = plan.aggregate = true;
        plan.drafts = load->drafts;
        plan.mistakes = 0.05f;
        plan.net = (struct sim_net){.delay_us = 10 * MS, .jitter_us = 2 * MS, .rate = 2000000};
        (void)sim_add_client(sim, &plan);
        n_all += n;
    }
    return n_all;
}

static void summarise(const struct sim *sim, uint32_t n_streams, uint64_t *lag,
                      struct load_result *out)
{
    struct wire_window_stats sum = {0};
    uint64_t draft_steps = 0;
    for (uint32_t c = 0; c < n_streams; c++) {
        const struct history *history = sim_history(sim, c);
        draft_steps += sim_draft_steps(sim, c);
        sum.tokens += history->stats.tokens;
        sum.passes += history->stats.passes;
        sum.rows += history->stats.rows;
        for (uint32_t i = 0; i < history->n; i++)
            if (history->told[i].ended)
                lag[out->n++] = history_lag_us(history, i);
    }
    if (out->n == 0 || sum.passes == 0)
        return;
    qsort(lag, out->n, sizeof(*lag), by_value);
    struct sim_work work = sim_target_work(sim, 0);
    double time_s = (double)sim_done_us(sim) / 1e6;
    out->p50_us = lag[out->n / 2];
    out->p90_us = lag[out->n * 9 / 10];
    out->p99_us = lag[out->n * 99 / 100];
    out->tokens_per_turn = (double)sum.tokens / (double)sum.passes;
    out->rows_per_token = (double)sum.rows / (double)MAX(sum.tokens, 1u);
    out->drafted = (double)draft_steps / (double)MAX(sum.tokens, 1u);
    out->rows_per_pass = (double)work.rows / (double)MAX(work.passes, (uint64_t)1);
    out->tokens_per_s = (double)sum.tokens / time_s;
    out->busy = (double)work.busy_us / 1e6 / time_s;
}

struct load_result load_run(const struct load *load)
{
    static char wrong[1024];
    struct load_result out = {0};
    struct sim_utterance(*spoken)[UTTERANCES_MAX] = calloc(load->n_streams, sizeof(*spoken));
    struct sim_options options = scenario_options(load->seed, 1);
    assert_non_null(spoken);
    options.target_pace = load->pace;
    options.target.depth_control = !load->always;
    options.policy.drafts = !load->forbidden;
    options.patience_us = 3600u * (uint64_t)SECOND;
    options.target.sessions_max = load->sessions_max ? load->sessions_max : SIM_CLIENTS_MAX;
    struct sim *sim = sim_new(&scenario_world, &options);
    uint32_t n = add_streams(sim, load, spoken);
    uint64_t *lag = calloc(n + 1, sizeof(*lag));
    assert_non_null(lag);
    const char *text = sim_run(sim, 3600u * (uint64_t)SECOND);
    if (text) {
        snprintf(wrong, sizeof(wrong), "%s", text);
        out.wrong = wrong;
    }
    summarise(sim, load->n_streams, lag, &out);
    out.n_refusals = sim_n_refusals(sim);
    out.refusal_max_us = sim_refusal_max_us(sim);
    sim_free(&sim);
    free(lag);
    free(spoken);
    return out;
}
