/* batch.c: what a pass costs when its rows are of many sessions: batch MODEL [threads [kernels
 * [weights [repeats]]]]
 *
 * Passes of 64 rows of 1, 2, 4, 8, 16, 32 and 64 sessions in turns, each session with an encoded
 * window, 64 kept rows and a chain of its share. Weights are read once a pass and by all rows;
 * cross-attention reads each session's own keys and values: that is the difference. Prints medians
 * and the ratio to one session. weights: as they are ("stored"), or q8_0.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"

enum { ROWS = BACKEND_ROWS_MAX, PREFIX = 64, COUNTS = 7, REPEATS_MAX = 200 };

struct bench {
    struct model *model;
    struct backend *backend;
    struct rules_masks *masks;
    struct sequence *sequences[ROWS];
    double ms[COUNTS][REPEATS_MAX];
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A window that says nothing, in memory of its own, with a prefix of kept rows. */
static enum status prepare(struct bench *b, uint32_t number, struct error *err)
{
    const struct model_description *m = b->backend->model;
    struct backend_row rows[PREFIX];
    uint8_t kept[PREFIX];
    bool done;
    const struct backend_features nothing = {.n_mels = m->n_mels,
                                             .n_frames = 2 * m->encoder.n_positions};
    struct sequence **s = &b->sequences[number];
    enum status rc = backend_open(b->backend, s, err);
    if (rc == STATUS_OK)
        rc = backend_encode(*s, &nothing, UINT64_MAX, &done, err);
    for (uint32_t i = 0; i < PREFIX; i++) {
        kept[i] = (uint8_t)i;
        rows[i] = (struct backend_row){.sequence = *s, .token = (int32_t)((i + number) * 37 % 1000),
                                       .parent = (int32_t)i - 1};
    }
    if (rc == STATUS_OK)
        rc = backend_forward(b->backend, rows, PREFIX, err);
    if (rc == STATUS_OK)
        backend_keep(*s, 0, kept, PREFIX);
    return rc;
}

/* ROWS rows, an equal chain of each of n sessions. */
static enum status one_pass(struct bench *b, uint32_t n, double *ms, struct error *err)
{
    struct clock clock = clock_monotonic();
    struct backend_row rows[ROWS];
    struct rules_choice choices[ROWS];
    struct rules rules = rules_default(b->backend->model, b->masks);
    uint32_t each = ROWS / n;
    for (uint32_t i = 0; i < ROWS; i++)
        rows[i] = (struct backend_row){
            .sequence = b->sequences[i / each], .token = (int32_t)(i * 91 % 1000),
            .parent = i % each ? (int32_t)i - 1 : -1, .rules = &rules, .state = rules_begin(),
            .choice = &choices[i]};
    uint64_t start = clock_us(&clock);
    enum status rc = backend_forward(b->backend, rows, ROWS, err);
    *ms = (double)(clock_us(&clock) - start) / 1e3;
    return rc;
}

/* The second of two passes counts: what one of the same kind left in the caches. */
static enum status measure(struct bench *b, uint32_t repeats, struct error *err)
{
    enum status rc = STATUS_OK;
    for (uint32_t i = 0; i < repeats; i++)
        for (uint32_t c = 0; c < COUNTS && rc == STATUS_OK; c++) {
            rc = one_pass(b, 1u << c, &b->ms[c][i], err);
            if (rc == STATUS_OK)
                rc = one_pass(b, 1u << c, &b->ms[c][i], err);
        }
    printf("# %s, kernels %s, %u threads, passes of %d rows, median of %u\n",
           b->backend->model->name, b->backend->info.kernels, b->backend->info.n_threads, ROWS,
           repeats);
    printf("sessions\trows_each\tms\tratio\n");
    for (uint32_t c = 0; c < COUNTS; c++) {
        qsort(b->ms[c], repeats, sizeof(double), compare);
        printf("%u\t%u\t%.2f\t%.3f\n", 1u << c, ROWS >> c, b->ms[c][repeats / 2],
               b->ms[c][repeats / 2] / b->ms[0][repeats / 2]);
    }
    return rc;
}

static enum status run(struct bench *b, const char *path, const struct cpu_options *options,
                       uint32_t repeats, struct error *err)
{
    enum status rc = model_open(path, &b->model, err);
    if (rc == STATUS_OK)
        rc = cpu_backend_new(b->model, options, &b->backend, err);
    if (rc == STATUS_OK)
        rc = rules_masks_new(b->backend->model, &b->masks, err);
    for (uint32_t i = 0; i < ROWS && rc == STATUS_OK; i++)
        rc = prepare(b, i, err);
    return rc == STATUS_OK ? measure(b, repeats, err) : rc;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    struct error err = {.code = STATUS_OK};
    if (argc < 2) {
        fprintf(stderr, "usage: batch MODEL [threads [kernels [weights [repeats]]]]\n");
        return 2;
    }
    struct cpu_options options = {.n_threads = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0};
    options.kernels = argc > 3 && argv[3][0] ? argv[3] : NULL;
    options.weights = argc > 4 && strcmp(argv[4], "q8_0") == 0 ? CPU_WEIGHTS_Q8_0
                                                               : CPU_WEIGHTS_AS_STORED;
    uint32_t repeats = argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) : 15;
    repeats = MAX(MIN(repeats, (uint32_t)REPEATS_MAX), 1u);
    enum status rc = run(&bench, argv[1], &options, repeats, &err);
    if (rc != STATUS_OK)
        fprintf(stderr, "batch: %s\n", err.text);
    for (uint32_t i = 0; i < ROWS; i++)
        backend_close(&bench.sequences[i]);
    rules_masks_free(&bench.masks);
    backend_free(&bench.backend);
    model_close(&bench.model);
    return rc == STATUS_OK ? 0 : 1;
}
