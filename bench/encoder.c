/* encoder.c: milliseconds and GFLOP/s of one window: encoder MODEL [frames [threads [kernels
 * [repeats]]]]
 *
 * kernels: a set's name, or "blas" for OpenBLAS in the linear layers. Prints a row per repeat and
 * the median; resident memory afterwards.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/cpu/cpu.h"

enum { REPEATS_MAX = 100 };

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Multiplications and additions of one window, 2 per weight and position. */
static double flop(const struct model_description *m, double n)
{
    const struct stack_description *e = &m->encoder, *d = &m->decoder;
    double s = e->n_state;
    double convolutions = 2 * n * 3 * m->n_mels * s + n * 3 * s * s;
    double layer = n * (4 * s * s + 2 * s * e->n_ff) + 2 * n * n * s;
    double cross = n * 2 * s * d->n_kv_heads * d->head_size;
    return 2 * (convolutions + e->n_layers * layer + d->n_layers * cross);
}

static long resident_kb(void)
{
    char line[256];
    long kb = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "VmRSS: %ld", &kb) == 1)
            break;
    if (file)
        fclose(file);
    return kb;
}

static double processor_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int fail(const struct error *err)
{
    fprintf(stderr, "encoder: %s\n", err->text);
    return 1;
}

static int measure(struct backend *backend, uint32_t n_frames, uint32_t repeats, struct error *err)
{
    const struct model_description *m = backend->model;
    struct clock clock = clock_monotonic();
    struct sequence *sequence;
    double ms[REPEATS_MAX];
    bool done;
    float *mel = calloc((size_t)m->n_mels * n_frames, sizeof(float));
    if (!mel || backend_open(backend, &sequence, err) != STATUS_OK)
        return fail(err);
    for (size_t i = 0; i < (size_t)m->n_mels * n_frames; i++)
        mel[i] = (float)(i * 2654435761u % 1000) / 1000.0f - 0.5f;
    const struct backend_features features = {
        .mel = mel, .n_mels = m->n_mels, .n_frames = n_frames};
    for (uint32_t i = 0; i < repeats; i++) {
        uint64_t start = clock_us(&clock);
        double processor = processor_ms();
        if (backend_encode(sequence, &features, UINT64_MAX, &done, err) != STATUS_OK)
            return fail(err);
        ms[i] = (double)(clock_us(&clock) - start) / 1000.0;
        printf("run %u %.1f ms, processor %.1f ms\n", i, ms[i], processor_ms() - processor);
    }
    qsort(ms, repeats, sizeof(ms[0]), compare);
    double gflop = flop(m, n_frames / 2.0) * 1e-9;
    printf("%s kernels %s threads %u positions %u: median %.1f ms, best %.1f ms, %.1f GFLOP, %.1f "
           "GFLOP/s, "
           "resident %ld MB\n",
           m->name, backend->info.kernels, backend->info.n_threads, n_frames / 2, ms[repeats / 2],
           ms[0], gflop, gflop / ms[repeats / 2] * 1000.0, resident_kb() / 1000);
    backend_close(&sequence);
    free(mel);
    return 0;
}

int main(int argc, char **argv)
{
    struct error err = {.code = STATUS_OK};
    struct model *model;
    struct backend *backend;
    if (argc < 2) {
        fprintf(stderr, "usage: encoder MODEL [frames [threads [kernels|blas [repeats]]]]\n");
        return 2;
    }
    uint32_t n_frames = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 3000;
    uint32_t repeats = argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) : 5;
    struct cpu_options options = {.n_threads = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0};
    options.encoder_blas = argc > 4 && strcmp(argv[4], "blas") == 0;
    options.kernels = argc > 4 && !options.encoder_blas && argv[4][0] ? argv[4] : NULL;
    struct clock clock = clock_monotonic();
    uint64_t start = clock_us(&clock);
    if (model_open(argv[1], &model, &err) != STATUS_OK ||
        cpu_backend_new(model, &options, &backend, &err) != STATUS_OK)
        return fail(&err);
    printf("opened in %.0f ms, %.1f MB of weights\n", (double)(clock_us(&clock) - start) / 1000.0,
           (double)backend->info.weight_bytes / 1e6);
    int rc = measure(backend, n_frames, MAX(1u, MIN(repeats, (uint32_t)REPEATS_MAX)), &err);
    backend_free(&backend);
    model_close(&model);
    return rc;
}
