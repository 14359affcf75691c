/* cluster_lag.c: lag against load in virtual time (tests/cluster/load.h): how long a stream of
 * speech waits for its final text when so many streams share one target. Prints CSV.
 *
 *     cluster_lag [gpu|cpu] [SECONDS]     default: both curves, 40 s a stream
 *
 * Not a measurement of a machine, but a model of one: times are those of a cost curve, choices the
 * toy backend's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tests/cluster/load.h"

struct curve {
    const char *name;
    const struct pace *pace;
    uint32_t streams[14];
};

static const struct curve curves[] = {
    {"gpu", &pace_gpu, {1, 8, 16, 32, 64, 96, 128, 160, 176, 192, 224, 256, 0}},
    {"cpu", &pace_cpu, {1, 2, 4, 6, 8, 10, 12, 16, 20, 24, 32, 0}},
};

struct mode {
    const char *name;
    bool drafts, always;
};

/* Without drafts, batched; with whole drafts always; with drafts as depth control says. */
static const struct mode modes[] = {
    {"alone", false, false}, {"always", true, true}, {"controlled", true, false}};

static void print(const struct curve *curve, uint32_t n_streams, const struct mode *mode,
                  uint32_t seconds)
{
    struct load load = {.pace = curve->pace, .drafts = mode->drafts, .always = mode->always,
                        .n_streams = n_streams, .seconds = seconds, .seed = 11};
    struct load_result r = load_run(&load);
    if (r.wrong)
        fprintf(stderr, "cluster_lag: %s\n", r.wrong);
    printf("%s,%s,%u,%u,%.0f,%.0f,%.0f,%.2f,%.2f,%.1f,%.2f,%.0f,%.2f\n", curve->name,
           mode->name, n_streams, r.n, (double)r.p50_us / 1000.0,
           (double)r.p90_us / 1000.0, (double)r.p99_us / 1000.0, r.tokens_per_turn,
           r.rows_per_token, r.rows_per_pass, r.drafted, r.tokens_per_s, r.busy);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : "";
    uint32_t seconds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 40;
    (void)load_open(NULL);
    printf("curve,mode,streams,utterances,p50_ms,p90_ms,p99_ms,tokens_per_turn,rows_per_token,"
           "rows_per_pass,drafted_per_token,tokens_per_s,busy\n");
    for (uint32_t c = 0; c < ARRAY_LEN(curves); c++) {
        if (*only && strcmp(only, curves[c].name) != 0)
            continue;
        for (uint32_t s = 0; curves[c].streams[s]; s++)
            for (uint32_t m = 0; m < ARRAY_LEN(modes); m++)
                print(&curves[c], curves[c].streams[s], &modes[m], seconds);
    }
    (void)scenario_close(NULL);
    return 0;
}
