/* cluster_lag.c: lag against load in virtual time (tests/cluster): how long a stream of speech
 * waits for its final text when so many streams share one target. Prints CSV.
 *
 *     cluster_lag [gpu|cpu] [SECONDS]     default: both curves, 40 s of speech a stream
 *
 * Each stream is a live client that speaks 3 to 9 s, pauses, and speaks again; half of the time is
 * speech. Choices are the toy backend's with drafts that mishear 5 % of the tokens; times are those
 * of the curve. Not a measurement of a machine: a model of one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tests/cluster/scenario.h"
#include "../tests/support/support.h"

enum { SPEECHES = 48, UTTERANCES_MAX = 64 };

struct mode {
    const char *name;
    bool drafts;
};

static const struct mode modes[] = {{"alone", false}, {"split", true}};

struct curve {
    const char *name;
    const struct pace *pace;
    uint32_t streams[12];
};

static const struct curve curves[] = {
    {"gpu", &pace_gpu, {1, 8, 16, 32, 64, 96, 128, 160, 192, 224, 256, 0}},
    {"cpu", &pace_cpu, {1, 2, 4, 6, 8, 10, 12, 16, 24, 0}},
};

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

struct outcome {
    uint64_t *lag;
    uint32_t n;
    struct wire_window_stats stats;
    struct sim_work work;
    uint64_t time_us;
};

static void collect(struct outcome *out, const struct history *history)
{
    out->stats.tokens += history->stats.tokens;
    out->stats.passes += history->stats.passes;
    out->stats.rows += history->stats.rows;
    for (uint32_t i = 0; i < history->n; i++)
        if (history->told[i].ended)
            out->lag[out->n++] = history_lag_us(history, i);
}

static struct outcome run(const struct curve *curve, const struct mode *mode, uint32_t n_streams,
                          uint64_t seconds)
{
    struct outcome out = {.lag = calloc(n_streams * UTTERANCES_MAX, sizeof(uint64_t))};
    struct sim_utterance(*spoken)[UTTERANCES_MAX] = calloc(n_streams, sizeof(*spoken));
    uint64_t seed = 11;
    struct sim_options options = scenario_options(1, 1);
    assert_true(out.lag && spoken);
    options.target_pace = curve->pace;
    options.target.sessions_max = SIM_CLIENTS_MAX;
    struct sim *sim = sim_new(&scenario_world, &options);
    for (uint32_t i = 0; i < n_streams; i++) {
        uint32_t n = speak(&seed, seconds, spoken[i]);
        struct sim_plan plan = scenario_plan(spoken[i], n);
        plan.live = plan.aggregate = true;
        plan.drafts = mode->drafts;
        plan.mistakes = 0.05f;
        plan.net = (struct sim_net){.delay_us = 10 * MS, .jitter_us = 2 * MS, .rate = 2000000};
        (void)sim_add_client(sim, &plan);
    }
    const char *wrong = sim_run(sim, 10 * seconds * SECOND);
    if (wrong)
        fprintf(stderr, "cluster_lag: %s\n", wrong);
    for (uint32_t i = 0; i < n_streams; i++)
        collect(&out, sim_history(sim, i));
    out.work = sim_target_work(sim, 0);
    out.time_us = sim_time_us(sim);
    sim_free(&sim);
    free(spoken);
    return out;
}

static double ms(const struct outcome *out, double share)
{
    uint32_t i = (uint32_t)(share * (double)out->n);
    return out->n ? (double)out->lag[MIN(i, out->n - 1)] / 1000.0 : 0.0;
}

static void print(const struct curve *curve, const struct mode *mode, uint32_t n_streams,
                  uint64_t seconds)
{
    struct outcome out = run(curve, mode, n_streams, seconds);
    qsort(out.lag, out.n, sizeof(uint64_t), by_value);
    double n_tokens = (double)out.stats.tokens;
    printf("%s,%s,%u,%u,%.0f,%.0f,%.0f,%.2f,%.2f,%.1f,%.2f\n", curve->name, mode->name, n_streams,
           out.n, ms(&out, 0.5), ms(&out, 0.9), ms(&out, 0.99),
           n_tokens / (double)MAX(out.stats.passes, 1u),
           (double)out.stats.rows / MAX(n_tokens, 1.0),
           (double)out.work.rows / (double)MAX(out.work.passes, 1u),
           (double)out.work.busy_us / (double)out.time_us);
    fflush(stdout);
    free(out.lag);
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : "";
    uint64_t seconds = argc > 2 ? strtoull(argv[2], NULL, 10) : 40;
    static const struct world_options world = {.script_min = 14, .script_max = 34,
                                               .mistakes = 0.02f};
    world_open(&scenario_world, &world);
    printf("curve,mode,streams,utterances,p50_ms,p90_ms,p99_ms,tokens_per_turn,rows_per_token,"
           "rows_per_pass,busy\n");
    for (uint32_t c = 0; c < ARRAY_LEN(curves); c++)
        for (uint32_t s = 0; curves[c].streams[s] && (!*only || strcmp(only, curves[c].name) == 0);
             s++)
            for (uint32_t m = 0; m < ARRAY_LEN(modes); m++)
                print(&curves[c], &modes[m], curves[c].streams[s], seconds);
    world_close(&scenario_world);
    return 0;
}
