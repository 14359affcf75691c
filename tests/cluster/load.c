#include "load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/support.h"
#include "engine/target_int.h"
#include "recorded.h"
#include "sim_int.h"

enum { SPEECHES = 192, UTTERANCES_MAX = 64, LOOK_US = 50000 };

const struct pace pace_gpu_draft = {.encode_ms = 1, .n = 2, .rows = {1, 64}, .ms = {1.44f, 1.5f}};
const struct pace pace_cpu_draft = {.encode_ms = 55, .n = 4, .rows = {1, 8, 16, 64},
                                    .ms = {0.55f, 0.9f, 1.6f, 6.4f}};

const struct pace pace_rows = {.encode_ms = 5, .n = 3, .rows = {1, 16, 64},
                               .ms = {120.0f, 128.0f, 512.0f}};

static size_t n_samples_of[SPEECHES];

int load_open(void **state)
{
    struct world_options world = {.recorded = recorded, .n_recorded = n_recorded};
    (void)state;
    world_open(&scenario_world, &world);
    for (uint64_t i = 0; i < SPEECHES; i++)
        n_samples_of[i] = world_recorded_samples(&scenario_world, 1000 + i);
    return 0;
}

/* ---- statistics ---- */

static int by_value(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

static uint64_t quantile(uint64_t *values, uint32_t n, uint32_t percent)
{
    qsort(values, n, sizeof(*values), by_value);
    return n > 0 ? values[(uint64_t)n * percent / 100u] : 0;
}

static double mean_of(const uint64_t *values, uint32_t n)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)values[i];
    return sum / (double)MAX(n, 1u);
}

/* Student's t, 95 % two-sided, for 1 .. 15 degrees of freedom. */
static const double student[LOAD_SEEDS_MAX] = {0.0,   12.71, 4.303, 3.182, 2.776, 2.571,
                                               2.447, 2.365, 2.306, 2.262, 2.228, 2.201,
                                               2.179, 2.160, 2.145, 2.131};

static void settle(struct load_mean *mean, uint32_t n)
{
    double sum = 0.0, squares = 0.0;
    for (uint32_t i = 0; i < n; i++)
        sum += mean->of[i];
    mean->mean = sum / n;
    for (uint32_t i = 0; i < n; i++)
        squares += (mean->of[i] - mean->mean) * (mean->of[i] - mean->mean);
    mean->half = n > 1 ? student[n - 1] * sqrt(squares / (n - 1) / n) : 0.0;
}

struct load_mean load_ratio(const struct load_mean *a, const struct load_mean *b, uint32_t n)
{
    struct load_mean ratio = {0};
    for (uint32_t i = 0; i < n; i++)
        ratio.of[i] = a->of[i] / b->of[i];
    settle(&ratio, n);
    return ratio;
}

/* ---- one run ---- */

struct run {
    const struct load *load;
    struct sim *sim;
    struct pace draft;                      /* in force */
    bool later;
    bool advised;                           /* the first stream, when it was looked at last */
    struct load_result *out;
};

struct lags {                               /* of all runs */
    uint64_t *lag, *decode;
    uint32_t n, max;
};

/* Utterances of a stream; returns how many. */
static uint32_t speak(uint64_t *seed, uint64_t seconds, struct sim_utterance *out)
{
    uint32_t n = 0;
    uint64_t at = support_random(seed) % (12u * SECOND);
    while (at < seconds * SECOND && n < UTTERANCES_MAX) {
        uint64_t number = support_random(seed) % SPEECHES;
        size_t n_samples = n_samples_of[number];
        uint64_t spoken_us = n_samples * 1000000u / 16000u;
        out[n++] = (struct sim_utterance){{1000 + number, n_samples}, at, 0};
        at += spoken_us + SECOND + support_random(seed) % (2u * spoken_us);
    }
    return n;
}

static struct sim_net net_of(uint64_t rtt_us)
{
    return (struct sim_net){.delay_us = rtt_us / 2, .jitter_us = rtt_us / 10, .rate = 2000000};
}

static uint32_t add_streams(struct run *run, uint64_t seed,
                            struct sim_utterance (*spoken)[UTTERANCES_MAX])
{
    const struct load *load = run->load;
    uint32_t n_all = 0;
    for (uint32_t i = 0; i < load->n_streams; i++) {
        uint32_t n = speak(&seed, load->seconds, spoken[i]);
        struct sim_plan plan = scenario_plan(spoken[i], n);
        plan.options.rules.timestamps = plan.options.drafter.timestamps = false;
        plan.live = plan.aggregate = true;
        plan.drafts = load->mode != LOAD_ALONE && load->mode != LOAD_COLOCATED;
        plan.pace = &run->draft;
        plan.net = net_of(load->rtt_us);
        (void)sim_add_client(run->sim, &plan);
        n_all += n;
    }
    return n_all;
}

static void change(struct sim *sim, void *object, uint64_t argument)
{
    struct run *run = object;
    const struct load *load = run->load;
    run->later = !run->later;
    if (load->draft_later)
        run->draft = run->later ? *load->draft_later : load->draft ? *load->draft : pace_laptop;
    if (load->rtt_later_us)
        for (uint32_t i = 0; i < sim->n_clients; i++)
            sim->clients[i]->plan.net = net_of(run->later ? load->rtt_later_us : load->rtt_us);
    sim_at(sim, sim->now_us + load->change_us, change, object, argument);
}

/* Does the target advise the first stream to draft? */
static void look(struct sim *sim, void *object, uint64_t argument)
{
    struct run *run = object;
    const struct line *line = sim->clients[0]->line;
    struct sim_target *target = &sim->targets[0];
    for (uint32_t i = 0; line && i < target->n_connections; i++) {
        const struct connection *c = &target->connections[i];
        if (c->line != line || !c->session || c->session->depth.chosen_us == 0)
            continue;
        bool advised = c->session->depth.advice.depth > 0;
        if (advised != run->advised && run->out->n_changes < LOAD_CHANGES_MAX)
            run->out->change_us[run->out->n_changes++] = sim->now_us;
        run->advised = advised;
    }
    sim_at(sim, sim->now_us + LOOK_US, look, object, argument);
}

/* Adds what the clients saw; `number`: of the run. */
static void add_lags(const struct run *run, uint32_t number, struct lags *lags)
{
    struct load_result *out = run->out;
    uint32_t first = lags->n;
    for (uint32_t c = 0; c < run->load->n_streams; c++) {
        const struct history *history = sim_history(run->sim, c);
        for (uint32_t i = 0; i < history->n; i++) {
            if (!history->told[i].ended || history->told[i].spoken_us < run->load->from_us)
                continue;
            if (lags->n == lags->max) {
                lags->max = 2 * lags->max + 256;
                lags->lag = realloc(lags->lag, lags->max * sizeof(uint64_t));
                lags->decode = realloc(lags->decode, lags->max * sizeof(uint64_t));
                assert_true(lags->lag && lags->decode);
            }
            lags->lag[lags->n] = history_lag_us(history, i);
            lags->decode[lags->n++] = history->told[i].decode_us;
        }
    }
    uint32_t n = lags->n - first;
    out->lag_us.of[number] = mean_of(lags->lag + first, n);
    out->decode_us.of[number] = mean_of(lags->decode + first, n);
    out->p99_us.of[number] = (double)quantile(lags->lag + first, n, 99);
}

struct sums {
    struct wire_window_stats stats;
    struct sim_work work;
    uint64_t draft_steps;
    double time_s;
};

static void add_sums(const struct run *run, uint32_t number, struct sums *sums)
{
    struct sim_work work = sim_target_work(run->sim, 0);
    double time_s = (double)sim_done_us(run->sim) / 1e6;
    uint32_t tokens = 0;
    for (uint32_t c = 0; c < run->load->n_streams; c++) {
        const struct history *history = sim_history(run->sim, c);
        sums->draft_steps += sim_draft_steps(run->sim, c);
        tokens += history->stats.tokens;
        sums->stats.passes += history->stats.passes;
        sums->stats.rows += history->stats.rows;
    }
    sums->stats.tokens += tokens;
    sums->time_s += time_s;
    sums->work.passes += work.passes;
    sums->work.rows += work.rows;
    sums->work.busy_us += work.busy_us;
    sums->work.depth_us += work.depth_us;
    sums->work.control_us += work.control_us;
    run->out->tokens_per_s.of[number] = (double)tokens / time_s;
    run->out->n_refusals += sim_n_refusals(run->sim);
    run->out->refusal_max_us = MAX(run->out->refusal_max_us, sim_refusal_max_us(run->sim));
}

static struct sim_options options_of(const struct load *load, uint64_t seed)
{
    struct sim_options options = scenario_options(seed, 1);
    options.target_pace = load->pace;
    options.target.depth_control = load->mode == LOAD_CONTROLLED;
    options.target.depth_fixed = load->mode == LOAD_FIXED ? load->depth : 0;
    options.policy.drafts = !load->forbidden;
    options.patience_us = 3600u * (uint64_t)SECOND;
    options.target.sessions_max = load->sessions_max ? load->sessions_max : SIM_CLIENTS_MAX;
    if (load->mode == LOAD_COLOCATED) {
        options.colocated_pace = load->colocated;
        options.colocated_depth = load->depth;
    }
    return options;
}

static void run_once(const struct load *load, uint32_t number, struct load_result *out,
                     struct lags *lags, struct sums *sums)
{
    static char wrong[1024];
    struct sim_utterance(*spoken)[UTTERANCES_MAX] = calloc(load->n_streams, sizeof(*spoken));
    uint64_t seed = load->seed + 1000u * number;
    struct sim_options options = options_of(load, seed);
    struct run run = {.load = load, .draft = load->draft ? *load->draft : pace_laptop, .out = out,
                      .advised = true, .sim = sim_new(&scenario_world, &options)};
    assert_non_null(spoken);
    (void)add_streams(&run, seed, spoken);
    if (load->change_us)
        sim_at(run.sim, load->change_us, change, &run, 0);
    sim_at(run.sim, LOOK_US, look, &run, 0);
    const char *text = sim_run(run.sim, 3600u * (uint64_t)SECOND);
    if (text) {
        snprintf(wrong, sizeof(wrong), "%s", text);
        out->wrong = wrong;
    }
    add_lags(&run, number, lags);
    add_sums(&run, number, sums);
    sim_free(&run.sim);
    free(spoken);
}

static void summarise(struct lags *lags, const struct sums *sums, uint32_t n_runs,
                      struct load_result *out)
{
    const struct wire_window_stats *stats = &sums->stats;
    out->n = lags->n;
    settle(&out->lag_us, n_runs);
    settle(&out->p99_us, n_runs);
    settle(&out->decode_us, n_runs);
    settle(&out->tokens_per_s, n_runs);
    if (out->n == 0 || stats->passes == 0)
        return;
    out->p50_us = quantile(lags->lag, lags->n, 50);
    out->p90_us = quantile(lags->lag, lags->n, 90);
    out->all_p99_us = quantile(lags->lag, lags->n, 99);
    out->decode_p99_us = quantile(lags->decode, lags->n, 99);
    out->tokens_per_turn = (double)stats->tokens / (double)stats->passes;
    out->rows_per_token = (double)stats->rows / (double)MAX(stats->tokens, 1u);
    out->drafted = (double)sums->draft_steps / (double)MAX(stats->tokens, 1u);
    out->rows_per_pass = (double)sums->work.rows / (double)MAX(sums->work.passes, (uint64_t)1);
    out->tokens_per_busy_s =
        (double)stats->tokens * 1e6 / (double)MAX(sums->work.busy_us, (uint64_t)1);
    out->busy = (double)sums->work.busy_us / 1e6 / sums->time_s;
    out->advised = (double)sums->work.depth_us / (double)MAX(sums->work.control_us, (uint64_t)1);
}

struct load_result load_run(const struct load *load)
{
    struct load_result out = {0};
    struct lags lags = {0};
    struct sums sums = {0};
    uint32_t n_runs = MAX(load->n_seeds, 1u);
    SA_ASSERT(n_runs <= LOAD_SEEDS_MAX);
    for (uint32_t i = 0; i < n_runs; i++)
        run_once(load, i, &out, &lags, &sums);
    summarise(&lags, &sums, n_runs, &out);
    free(lags.lag);
    free(lags.decode);
    return out;
}
