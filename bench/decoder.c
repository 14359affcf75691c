/* decoder.c: the cost curve, milliseconds a pass for 1 to 64 rows: decoder MODEL [threads [kernels
 * [repeats]]]
 *
 * Rows are a chain on top of 64 kept tokens over a window of 30 s, each with a choice: what
 * verification of a whole draft costs. One line per number of rows: median and best of the repeats.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"

enum { REPEATS_MAX = 1000, PREFIX = 64 };

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int fail(const struct error *err)
{
    fprintf(stderr, "decoder: %s\n", err->text);
    return 1;
}

/* Encodes noise and keeps a prefix of invented tokens. */
static enum status prepare(struct backend *backend, struct sequence **out, struct error *err)
{
    const struct model_description *m = backend->model;
    uint32_t n_frames = 2 * m->encoder.n_positions;
    float *mel = calloc((size_t)m->n_mels * n_frames, sizeof(float));
    const struct backend_features features = {
        .mel = mel, .n_mels = m->n_mels, .n_frames = n_frames};
    struct backend_row rows[PREFIX];
    uint8_t kept[PREFIX];
    bool done;
    if (!mel)
        return error_set(err, STATUS_NO_MEMORY, "no memory");
    enum status status = backend_open(backend, out, err);
    if (status == STATUS_OK)
        status = backend_encode(*out, &features, UINT64_MAX, &done, err);
    for (uint32_t i = 0; i < PREFIX; i++) {
        kept[i] = (uint8_t)i;
        rows[i] = (struct backend_row){.sequence = *out, .token = (int32_t)(i * 37 % 1000),
                                       .parent = (int32_t)i - 1};
    }
    if (status == STATUS_OK)
        status = backend_forward(backend, rows, PREFIX, err);
    if (status == STATUS_OK)
        backend_keep(*out, 0, kept, PREFIX);
    free(mel);
    return status;
}

static enum status measure(struct backend *backend, struct sequence *sequence, uint32_t n_rows,
                           uint32_t repeats, struct error *err)
{
    struct clock clock = clock_monotonic();
    struct backend_row rows[BACKEND_ROWS_MAX];
    struct rules_choice choices[BACKEND_ROWS_MAX];
    struct rules_masks *masks;
    double ms[REPEATS_MAX];
    enum status status = rules_masks_new(backend->model, &masks, err);
    if (status != STATUS_OK)
        return status;
    struct rules rules = rules_default(backend->model, masks);
    for (uint32_t i = 0; i < n_rows; i++)
        rows[i] = (struct backend_row){.sequence = sequence, .token = (int32_t)(i * 91 % 1000),
                                       .parent = (int32_t)i - 1, .rules = &rules,
                                       .state = rules_begin(), .choice = &choices[i]};
    for (uint32_t i = 0; i < repeats && status == STATUS_OK; i++) {
        uint64_t start = clock_us(&clock);
        status = backend_forward(backend, rows, n_rows, err);
        ms[i] = (double)(clock_us(&clock) - start) / 1000.0;
    }
    qsort(ms, repeats, sizeof(ms[0]), compare);
    printf("rows %2u  median %7.3f ms  best %7.3f ms  per row %6.3f ms\n", n_rows, ms[repeats / 2],
           ms[0], ms[repeats / 2] / n_rows);
    rules_masks_free(&masks);
    return status;
}

int main(int argc, char **argv)
{
    static const uint32_t n_rows[] = {1, 2, 4, 8, 12, 16, 24, 32, 48, 64};
    struct error err = {.code = STATUS_OK};
    struct model *model;
    struct backend *backend;
    struct sequence *sequence;
    if (argc < 2) {
        fprintf(stderr, "usage: decoder MODEL [threads [kernels [repeats]]]\n");
        return 2;
    }
    struct cpu_options options = {.n_threads = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0};
    options.kernels = argc > 3 && argv[3][0] ? argv[3] : NULL;
    uint32_t repeats = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 30;
    if (model_open(argv[1], &model, &err) != STATUS_OK ||
        cpu_backend_new(model, &options, &backend, &err) != STATUS_OK ||
        prepare(backend, &sequence, &err) != STATUS_OK)
        return fail(&err);
    printf("%s kernels %s threads %u\n", backend->model->name, backend->info.kernels,
           backend->info.n_threads);
    for (size_t i = 0; i < ARRAY_LEN(n_rows); i++)
        if (measure(backend, sequence, n_rows[i], MAX(1u, MIN(repeats, (uint32_t)REPEATS_MAX)),
                    &err))
            return fail(&err);
    backend_close(&sequence);
    backend_free(&backend);
    model_close(&model);
    return 0;
}
