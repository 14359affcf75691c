/* cluster_lag.c: lag against load, and depth control against fixed depths, in virtual time
 * (tests/cluster/load.h). Prints CSV; bench/figures.sh draws it.
 *
 *     cluster_lag lag gpu|cpu|rows [MODE] [STREAMS ...]   how long a stream waits for its text
 *     cluster_lag grid gpu|cpu [RTT_MS ...]               round trip x load x draft speed x depth
 *
 * Not a measurement of a machine, but a model of one: times are those of a cost curve, texts and
 * the draft's mistakes those of recordings. Half-widths are of 95 % intervals over the seeds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tests/cluster/load.h"

enum { STREAMS_MAX = 16, SEEDS = 5, GRID_SEEDS = 3, RTT_US = 20000 };

struct curve {
    const char *name;
    const struct pace *pace, *colocated;
    uint32_t loads[3];                      /* of the grid: idle, half, full */
    uint32_t streams[STREAMS_MAX];
};

static const struct curve curves[] = {
    {"gpu", &pace_gpu, &pace_gpu_draft, {1, 64, 176},
     {1, 8, 16, 32, 64, 96, 128, 160, 192, 224, 256}},
    {"cpu", &pace_cpu, &pace_cpu_draft, {1, 12, 24},
     {1, 2, 4, 6, 8, 10, 12, 16, 20, 24, 28, 32, 40}},
    {"rows", &pace_rows, &pace_gpu_draft, {1, 16, 32}, {1, 16, 48, 80, 112}},
};

struct mode {
    const char *name;
    enum load_mode mode;
    uint32_t depth;
};

static const struct mode modes[] = {
    {"alone", LOAD_ALONE, 0},
    {"colocated-4", LOAD_COLOCATED, 4},
    {"colocated-16", LOAD_COLOCATED, 16},
    {"always", LOAD_ALWAYS, 0},
    {"controlled", LOAD_CONTROLLED, 0}};

static double ms(double us)
{
    return us / 1000.0;
}

static void print_lag(const struct curve *curve, uint32_t n_streams, const struct mode *mode)
{
    struct load load = {.pace = curve->pace, .colocated = curve->colocated, .mode = mode->mode,
                        .depth = mode->depth, .rtt_us = RTT_US, .n_streams = n_streams,
                        .seconds = n_streams <= 8 ? 160 : n_streams > 400 ? 12 : 40,
                        .seed = 11, .n_seeds = SEEDS};
    struct load_result r = load_run(&load);
    if (r.wrong)
        fprintf(stderr, "cluster_lag: %s\n", r.wrong);
    printf("%s,%s,%u,%u,%.1f,%.1f,%.1f,%.1f,%.1f,%.1f,%.1f,%.1f,%.1f,%.1f,%.2f,%.2f,%.1f,%.2f,"
           "%.1f,%.1f,%.2f,%.2f\n",
           curve->name, mode->name, n_streams, r.n, ms(r.lag_us.mean), ms(r.lag_us.half),
           ms((double)r.p50_us), ms((double)r.p90_us), ms((double)r.all_p99_us),
           ms(r.p99_us.mean), ms(r.p99_us.half), ms(r.decode_us.mean), ms(r.decode_us.half),
           ms((double)r.decode_p99_us), r.tokens_per_turn, r.rows_per_token, r.rows_per_pass,
           r.drafted, r.tokens_per_s.mean, r.tokens_per_s.half, r.busy, r.advised);
    fflush(stdout);
}

static void lag(const struct curve *curve, int n, char **streams)
{
    printf("curve,mode,streams,utterances,mean_ms,mean_half,p50_ms,p90_ms,p99_ms,seed_p99_ms,"
           "seed_p99_half,decode_ms,decode_half,decode_p99_ms,tokens_per_turn,rows_per_token,"
           "rows_per_pass,drafted_per_token,tokens_per_s,tokens_half,busy,advised\n");
    const char *only = n > 0 && strchr("0123456789", streams[0][0]) == NULL ? *streams : NULL;
    n -= only != NULL;
    streams += only != NULL;
    for (uint32_t s = 0; n > 0 ? s < (uint32_t)n : s < STREAMS_MAX && curve->streams[s]; s++) {
        uint32_t n_streams = n > 0 ? (uint32_t)strtoul(streams[s], NULL, 10) : curve->streams[s];
        for (uint32_t m = 0; m < ARRAY_LEN(modes); m++)
            if (!only || strcmp(only, modes[m].name) == 0)
                print_lag(curve, n_streams, &modes[m]);
    }
}

/* ---- the grid ---- */

static const struct pace fast = {.encode_ms = 40, .n = 1, .rows = {1}, .ms = {2.0f}};
static const struct pace slow = {.encode_ms = 80, .n = 1, .rows = {1}, .ms = {9.0f}};
static const struct pace cool = {.encode_ms = 40, .n = 1, .rows = {1}, .ms = {3.0f}};
static const struct pace hot = {.encode_ms = 120, .n = 1, .rows = {1}, .ms = {16.0f}};

static const struct {
    const char *name;
    const struct pace *draft, *later;
} drafts[] = {{"fast", &fast, NULL}, {"slow", &slow, NULL}, {"throttling", &cool, &hot}};

static const char *const load_names[] = {"idle", "half", "full"};

static const struct mode settings[] = {
    {"0", LOAD_ALONE, 0},  {"1", LOAD_FIXED, 1},   {"2", LOAD_FIXED, 2},
    {"4", LOAD_FIXED, 4},  {"8", LOAD_FIXED, 8},   {"16", LOAD_FIXED, 16},
    {"all", LOAD_ALWAYS, 0}, {"controlled", LOAD_CONTROLLED, 0}};

static void cell(const struct curve *curve, uint32_t rtt_ms, uint32_t l, uint32_t d)
{
    uint32_t n_streams = curve->loads[l];
    for (uint32_t s = 0; s < ARRAY_LEN(settings); s++) {
        struct load load = {.pace = curve->pace, .mode = settings[s].mode,
                            .depth = settings[s].depth, .rtt_us = 1000u * (uint64_t)rtt_ms,
                            .draft = drafts[d].draft, .draft_later = drafts[d].later,
                            .change_us = drafts[d].later ? 4000000 : 0,
                            .n_streams = n_streams,
                            .seconds = n_streams == 1 ? 160 : n_streams > 40 ? 12 : 20,
                            .seed = 21, .n_seeds = GRID_SEEDS};
        struct load_result r = load_run(&load);
        if (r.wrong)
            fprintf(stderr, "cluster_lag: %s\n", r.wrong);
        printf("%s,%u,%s,%s,%s,%u,%.2f,%.2f,%.2f,%.2f,%.1f,%.2f,%.3f\n", curve->name, rtt_ms,
               load_names[l], drafts[d].name, settings[s].name, r.n, ms(r.lag_us.mean),
               ms(r.lag_us.half), ms(r.decode_us.mean), ms(r.decode_us.half), r.tokens_per_s.mean,
               r.rows_per_token, r.advised);
        fflush(stdout);
    }
}

static void grid(const struct curve *curve, int n, char **rtts)
{
    static const uint32_t all[] = {0, 20, 60, 150, 400};
    printf("curve,rtt_ms,load,draft,depth,utterances,mean_ms,mean_half,decode_ms,decode_half,"
           "tokens_per_s,rows_per_token,advised\n");
    for (int i = 0; i < (n > 0 ? n : (int)ARRAY_LEN(all)); i++) {
        uint32_t rtt_ms = n > 0 ? (uint32_t)strtoul(rtts[i], NULL, 10) : all[i];
        for (uint32_t l = 0; l < ARRAY_LEN(load_names); l++)
            for (uint32_t d = 0; d < ARRAY_LEN(drafts); d++)
                cell(curve, rtt_ms, l, d);
    }
}

int main(int argc, char **argv)
{
    const struct curve *curve = NULL;
    for (uint32_t c = 0; argc > 2 && c < ARRAY_LEN(curves); c++)
        if (strcmp(argv[2], curves[c].name) == 0)
            curve = &curves[c];
    bool is_grid = argc > 1 && strcmp(argv[1], "grid") == 0;
    if (!curve || (!is_grid && strcmp(argv[1], "lag") != 0)) {
        fprintf(stderr, "usage: cluster_lag lag gpu|cpu|rows [MODE] [STREAMS ...]\n"
                        "       cluster_lag grid gpu|cpu [RTT_MS ...]\n");
        return 2;
    }
    (void)load_open(NULL);
    if (is_grid)
        grid(curve, argc - 3, argv + 3);
    else
        lag(curve, argc - 3, argv + 3);
    (void)scenario_close(NULL);
    return 0;
}
