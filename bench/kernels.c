/* kernels.c: how fast the decode path's kernels are, on the shapes of whisper-base.
 *
 *     kernels [--set NAME] [--threads N] [--rows 1,8,64] [--only f16,cross] [--repeat N]
 *
 * A "step" is all matrices of one decoder step: 6 layers of six 512x512, 512x2048 and 2048x512,
 * then the 51,865 x 512 output layer. "cross" is attention over 1,500 keys, 8 heads, 6 layers.
 * Each layer has its own weights, so that they come from memory as in a real step. ms is the
 * median of the repetitions; GB/s and GFLOP/s follow from it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/pool.h"
#include "kernels/kernels.h"

enum {
    N_LAYERS = 6, N_STATE = 512, N_FF = 2048, N_VOCAB = 51865, N_KEYS = 1500, HEAD = 64,
    N_HEADS = N_STATE / HEAD, SQUARES = 6, MATRICES = SQUARES + 2, ROWS_MAX = 64, REPEAT_MAX = 1000,
};

struct bench {
    const struct kernels *kernels;
    struct pool *pool;
    uint32_t n_rows;
    uint32_t repeat;
    struct matrix layers[N_LAYERS][MATRICES];
    struct matrix head;
    float *x;
    float *y;
    float *logits;
    struct q8_rows xq[2]; /* n_in = 512 and 2048 */
    uint16_t *keys[N_LAYERS];
    uint16_t *values[N_LAYERS];
    float *scratch[POOL_THREADS_MAX];
};

static void *must(void *memory)
{
    if (!memory) {
        fprintf(stderr, "kernels: out of memory\n");
        exit(1);
    }
    return memory;
}

static struct matrix random_matrix(enum weight_type type, uint32_t n_out, uint32_t n_in)
{
    struct matrix m = {.type = type, .n_out = n_out, .n_in = n_in};
    size_t n_bytes = matrix_bytes(type, n_out, n_in);
    m.data = must(kernels_alloc(n_bytes));
    uint32_t seed = n_out + n_in;
    if (type == WEIGHT_Q4_0) {
        struct q4_0_block row[N_FF / Q8_BLOCK];
        for (uint32_t o = 0; o < n_out; o++) {
            for (uint32_t k = 0; k < n_in / 2; k++)
                row[k / 16].q[k % 16] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
            for (uint32_t b = 0; b < n_in / Q8_BLOCK; b++)
                row[b].scale = f16_from_f32(1e-3f);
            matrix_pack(&m, o, 1, type, row);
        }
        return m;
    }
    if (type == WEIGHT_Q8_0) {
        struct q8_0_block row[N_FF / Q8_BLOCK];
        for (uint32_t o = 0; o < n_out; o++) {
            for (uint32_t k = 0; k < n_in; k++)
                row[k / Q8_BLOCK].q[k % Q8_BLOCK] = (int8_t)((seed = seed * 1664525 + 1013904223)
                >> 24);
            for (uint32_t b = 0; b < n_in / Q8_BLOCK; b++)
                row[b].scale = f16_from_f32(1e-3f);
            matrix_pack(&m, o, 1, type, row);
        }
        return m;
    }
    float row[N_FF];
    for (uint32_t o = 0; o < n_out; o++) {
        for (uint32_t k = 0; k < n_in; k++)
            row[k] = (float)(int32_t)(seed = seed * 1664525 + 1013904223) * 0x1p-34f;
        matrix_pack(&m, o, 1, WEIGHT_F32, row);
    }
    return m;
}

static void free_matrix(struct matrix *m)
{
    kernels_free(m->data, matrix_bytes(m->type, m->n_out, m->n_in));
    m->data = NULL;
}

static uint32_t layer_out(int i) { return i == SQUARES ? N_FF : N_STATE; }
static uint32_t layer_in(int i) { return i == SQUARES + 1 ? N_FF : N_STATE; }

static size_t make_weights(struct bench *b, enum weight_type type)
{
    size_t n_bytes = matrix_bytes(type, N_VOCAB, N_STATE);
    for (int layer = 0; layer < N_LAYERS; layer++)
        for (int i = 0; i < MATRICES; i++) {
            b->layers[layer][i] = random_matrix(type, layer_out(i), layer_in(i));
            n_bytes += matrix_bytes(type, layer_out(i), layer_in(i));
        }
    b->head = random_matrix(type, N_VOCAB, N_STATE);
    return n_bytes;
}

static void free_weights(struct bench *b)
{
    for (int layer = 0; layer < N_LAYERS; layer++)
        for (int i = 0; i < MATRICES; i++)
            free_matrix(&b->layers[layer][i]);
    free_matrix(&b->head);
}

static void one_linear(struct bench *b, const struct matrix *w, float *y, uint32_t thread,
                       uint32_t n_threads)
{
    uint32_t from, to;
    struct linear job = {.w = w, .n_rows = b->n_rows, .x = b->x, .x_stride = w->n_in + PANEL,
                         .xq = b->xq[w->n_in == N_FF], .y = y, .y_stride = w->n_out};
    share_of(matrix_panels(w->n_out), thread, n_threads, &from, &to);
    b->kernels->linear(&job, from, to);
}

static void step(void *context, uint32_t thread, uint32_t n_threads)
{
    struct bench *b = context;
    for (int layer = 0; layer < N_LAYERS; layer++)
        for (int i = 0; i < MATRICES; i++) {
            one_linear(b, &b->layers[layer][i], b->y, thread, n_threads);
            pool_barrier(b->pool);
        }
    one_linear(b, &b->head, b->logits, thread, n_threads);
}

static void cross(void *context, uint32_t thread, uint32_t n_threads)
{
    struct bench *b = context;
    for (int layer = 0; layer < N_LAYERS; layer++) {
        uint32_t from, to;
        share_of(N_HEADS, thread, n_threads, &from, &to);
        for (uint32_t head = from; head < to; head++) {
            struct attention job = {
                .keys = b->keys[layer] + (size_t)head * HEAD * PANEL * matrix_panels(N_KEYS),
                .values = b->values[layer] + (size_t)head * HEAD * N_KEYS,
                .head_size = HEAD, .n_prefix = N_KEYS, .n_rows = b->n_rows,
                .q = b->x + (size_t)head * HEAD, .q_stride = N_STATE,
                .out = b->y + (size_t)head * HEAD, .out_stride = N_STATE,
                .scratch = b->scratch[thread],
            };
            b->kernels->attention(&job);
        }
        pool_barrier(b->pool);
    }
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

struct timing {
    double median_ms;
    double best_ms;
};

static struct timing measure(struct bench *b, pool_fn fn)
{
    static uint64_t us[REPEAT_MAX];
    struct clock clock = clock_monotonic();
    pool_hot(b->pool);
    pool_run(b->pool, fn, b);
    for (uint32_t i = 0; i < b->repeat; i++) {
        uint64_t start = clock_us(&clock);
        pool_run(b->pool, fn, b);
        us[i] = clock_us(&clock) - start;
    }
    pool_cool(b->pool);
    qsort(us, b->repeat, sizeof(us[0]), compare_u64);
    return (struct timing){(double)us[b->repeat / 2] / 1e3, (double)us[0] / 1e3};
}

static void print_row(const struct bench *b, const char *what, struct timing t, double bytes,
                      double flop)
{
    printf("%-10s %-6s %5u %8u %9.3f %9.3f %8.1f %9.1f\n", b->kernels->name, what, b->n_rows,
           pool_threads(b->pool), t.median_ms, t.best_ms, bytes / t.median_ms / 1e6,
           flop / t.median_ms / 1e6);
    fflush(stdout);
}

static const char *const type_names[] = {"f32", "f16", "q8_0", "q4_0"};

static void bench_steps(struct bench *b, enum weight_type type, const char *rows)
{
    size_t n_bytes = make_weights(b, type);
    double n_weights = (double)n_bytes / (double)weight_row_bytes(type, Q8_BLOCK) * Q8_BLOCK;
    for (const char *at = rows; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        b->n_rows = (uint32_t)strtoul(at, NULL, 10);
        print_row(b, type_names[type], measure(b, step), (double)n_bytes,
                  2 * n_weights * b->n_rows);
    }
    free_weights(b);
}

static void bench_cross(struct bench *b, const char *rows)
{
    double n = 2.0 * N_KEYS * N_STATE * N_LAYERS; /* numbers in keys and values */
    for (const char *at = rows; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        b->n_rows = (uint32_t)strtoul(at, NULL, 10);
        print_row(b, "cross", measure(b, cross), 2 * n, 2 * n * b->n_rows);
    }
}

static void make_buffers(struct bench *b)
{
    b->x = must(kernels_alloc(ROWS_MAX * (N_FF + PANEL) * sizeof(float)));
    b->y = must(kernels_alloc(ROWS_MAX * (N_FF + PANEL) * sizeof(float)));
    b->logits = must(kernels_alloc(ROWS_MAX * (size_t)N_VOCAB * sizeof(float)));
    for (size_t i = 0; i < (size_t)ROWS_MAX * (N_FF + PANEL); i++)
        b->x[i] = sinf((float)i);
    for (int wide = 0; wide < 2; wide++) {
        size_t n = wide ? N_FF : N_STATE;
        b->xq[wide] = q8_rows_at(must(kernels_alloc(q8_rows_bytes(ROWS_MAX, n))), ROWS_MAX, n);
        b->kernels->quantise(b->xq[wide], b->x, ROWS_MAX * n);
    }
    size_t n_kv = (size_t)N_STATE * PANEL * matrix_panels(N_KEYS);
    for (int layer = 0; layer < N_LAYERS; layer++) {
        b->keys[layer] = must(kernels_alloc(n_kv * sizeof(uint16_t)));
        b->values[layer] = must(kernels_alloc(n_kv * sizeof(uint16_t)));
        for (size_t i = 0; i < n_kv; i++) {
            b->keys[layer][i] = f16_from_f32(sinf((float)i));
            b->values[layer][i] = f16_from_f32(cosf((float)i));
        }
    }
    for (uint32_t i = 0; i < pool_threads(b->pool); i++)
        b->scratch[i] = must(kernels_alloc(attention_scratch(N_KEYS) * sizeof(float)));
}

struct options {
    const char *set;
    const char *rows;
    const char *only;
    uint32_t n_threads;
    uint32_t repeat;
};

static bool parse(int argc, char **argv, struct options *o)
{
    int i = 1;
    for (; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        uint32_t number = (uint32_t)strtoul(value, NULL, 10);
        if (!strcmp(name, "--set"))
            o->set = value;
        else if (!strcmp(name, "--rows"))
            o->rows = value;
        else if (!strcmp(name, "--only"))
            o->only = value;
        else if (!strcmp(name, "--threads"))
            o->n_threads = number;
        else if (!strcmp(name, "--repeat"))
            o->repeat = number;
        else
            return false;
    }
    bool rows_fit = true;
    for (const char *at = o->rows; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        rows_fit = rows_fit && strtoul(at, NULL, 10) - 1 < ROWS_MAX;
    return i == argc && rows_fit && o->repeat >= 1 && o->repeat <= REPEAT_MAX;
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct options o = {.rows = "1,2,4,8,12,16,24,32,48,64", .only = "f32,f16,q8_0,q4_0,cross",
                        .n_threads = 2, .repeat = 21};
    if (!parse(argc, argv, &o)) {
        fprintf(stderr, "usage: kernels [--set NAME] [--threads N] [--rows 1,8,64 (at most %d)]\n"
                "               [--only f32,f16,q8_0,q4_0,cross] [--repeat N (at most %d)]\n",
                ROWS_MAX, REPEAT_MAX);
        return 2;
    }
    struct error err;
    b.repeat = o.repeat;
    b.kernels = kernels_find(o.set);
    if (!b.kernels || pool_new(o.n_threads, true, &b.pool, &err) != STATUS_OK) {
        fprintf(stderr, "kernels: %s\n", b.kernels ? err.text : "no such kernel set here");
        return 2;
    }
    make_buffers(&b);
    printf("set        what    rows  threads        ms      best     GB/s   GFLOP/s\n");
    for (int type = WEIGHT_F32; type <= WEIGHT_Q4_0; type++)
        if (strstr(o.only, type_names[type]))
            bench_steps(&b, type, o.rows);
    if (strstr(o.only, "cross"))
        bench_cross(&b, o.rows);
    pool_free(&b.pool);
    return 0;
}
