/* forward_bench.c: the cost curve of a pass, milliseconds for 1 to 64 rows, beside what the machine
 * allows.
 *
 *     forward_bench MODEL [--threads N] [--kernels SET] [--rows 1,8,64] [--repeat N]
 *                   [--weights stored|q8_0|mixed|q4_0] [--frames N] [--cold] [--whole-head]
 *                   [--json]
 *
 * Rows are a chain on top of 64 kept tokens over a window of 30 s, each with a choice: what the
 * verification of a whole draft costs. The ceilings (ceilings.h) are measured before and after,
 * with the same threads. Then
 *
 *     bound = max(bytes / bandwidth, float operations / FMA peak + integer operations / int8 peak)
 *
 * where bytes are all matrices and the keys and values of both attentions, and operations the
 * products of linear layers (integers where weights are 8 or 4 bits) and of attention (float). Row
 * counts take turns, so that a slow second hits all of them; a row's times are the median and the
 * best of its repeats, the parts (cpu_times) are medians. Output: tab-separated with a comment line
 * of ceilings, or one JSON object. --whole-head: an f16 output layer without screening (head.c).
 *
 * A draft's step: --weights mixed --rows 1 --frames 800 (8 s of audio; keys for half as many) and
 * --cold, which reads more than a cache holds before each pass, as a target on the same machine
 * does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu_int.h"
#include "ceilings.h"

enum { REPEATS_MAX = 1000, COUNTS_MAX = BACKEND_ROWS_MAX, PREFIX = 64 };
enum { COLD_BYTES = 128 << 20 };

enum part { PART_TOTAL, PART_MATRICES, PART_SELF, PART_CROSS, PART_REST, PART_PANELS, N_PARTS };

struct options {
    const char *model;
    const char *kernels;
    const char *rows;
    uint32_t n_threads;
    uint32_t repeats;
    bool json;
    bool whole_head;            /* --whole-head: the output layer without screening */
    bool cold;
    uint32_t n_frames;          /* 0: a whole window */
    enum cpu_weights weights;
};

/* What one pass of m rows has to read and to compute. */
struct work {
    double bytes, flop, int8;
};

struct bench {
    struct backend *backend;
    struct sequence *sequence;
    struct rules_masks *masks;
    struct ceilings ceilings;
    uint32_t n_frames;          /* of the window; keys: half as many */
    uint64_t *cold;             /* NULL, or memory to read before each pass */
    uint32_t n_counts;
    uint32_t counts[COUNTS_MAX];
    double (*ms)[N_PARTS][REPEATS_MAX]; /* [n_counts] */
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- what there is to do ---- */

static void add_matrix(struct work *work, const struct matrix *w, double n_rows)
{
    double ops = 2.0 * w->n_out * w->n_in * n_rows;
    if (!w->data)
        return;
    work->bytes += (double)matrix_bytes(w->type, w->n_out, w->n_in);
    if (w->type == WEIGHT_F32 || w->type == WEIGHT_F16)
        work->flop += ops;
    else
        work->int8 += ops;
}

static void add_attention(struct work *work, const struct stack_description *s, double n_keys,
                          double n_rows)
{
    work->bytes += 2.0 * sizeof(uint16_t) * n_keys * s->n_kv_heads * s->head_size;
    work->flop += 4.0 * n_keys * s->n_heads * s->head_size * n_rows;
}

/* The output layer: all of it, or what is done where it is screened: all as integers, n_panels for
 * each row in full (at worst none of them twice). */
static void add_head(struct work *work, const struct head *head, const struct matrix *full,
                     uint32_t n_rows, double n_panels)
{
    if (!head->screens) {
        add_matrix(work, full, n_rows);
        return;
    }
    double panel = (double)matrix_panel_bytes(full->type, full->n_in);
    double rest = matrix_panels(full->n_out) - head->n_all;
    double picked = MIN(n_rows * n_panels, (double)head->n_all);
    double ops = 2.0 * PANEL * full->n_in;
    work->bytes += (rest + picked) * panel;
    work->bytes += head->n_all * (double)matrix_panel_bytes(head->screen.copy.type, full->n_in);
    work->int8 += ops * head->n_all * n_rows;
    work->flop += ops * (rest + n_panels) * n_rows;
}

/* n_panels: picked out of a screened output layer, per row. */
static struct work work_of(const struct bench *b, uint32_t n_rows, double n_panels)
{
    const struct cpu_backend *backend = (const struct cpu_backend *)b->backend;
    const struct model_description *m = b->backend->model;
    struct work work = {0};
    for (uint32_t i = 0; i < m->decoder.n_layers; i++) {
        const struct layer *l = &backend->weights.decoder[i];
        const struct projection *all[] = {&l->self.q, &l->self.k, &l->self.v, &l->self.out,
                                          &l->cross.q, &l->cross.out, &l->up, &l->gate, &l->down};
        for (size_t j = 0; j < ARRAY_LEN(all); j++)
            add_matrix(&work, &all[j]->w, n_rows);
        add_attention(&work, &m->decoder, PREFIX + (n_rows + 1) / 2.0, n_rows);
        if (m->decoder.cross_attention)
            add_attention(&work, &m->decoder, b->n_frames / 2.0, n_rows);
    }
    add_head(&work, &backend->decoder.head, &backend->weights.head, n_rows, n_panels);
    return work;
}

static double bound_ms(const struct bench *b, uint32_t n_rows, double n_panels)
{
    struct work work = work_of(b, n_rows, n_panels);
    double read = work.bytes / b->ceilings.bytes_per_us;
    double compute = work.flop / b->ceilings.flop_per_us;
    if (work.int8 > 0)
        compute += work.int8 / (b->ceilings.int8_per_us > 0 ? b->ceilings.int8_per_us
                                                            : b->ceilings.flop_per_us);
    return MAX(read, compute) / 1000.0;
}

/* ---- passes ---- */

/* Encodes silence and keeps a prefix of invented tokens. */
static enum status prepare(struct bench *b, struct error *err)
{
    struct backend *backend = b->backend;
    struct sequence **out = &b->sequence;
    const struct model_description *m = backend->model;
    float *mel = calloc((size_t)m->n_mels * b->n_frames, sizeof(float));
    const struct backend_features features = {
        .mel = mel, .n_mels = m->n_mels, .n_frames = b->n_frames};
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

static enum status one_pass(struct bench *b, uint32_t n_rows, double ms[N_PARTS],
                            struct error *err)
{
    struct clock clock = clock_monotonic();
    struct backend_row rows[BACKEND_ROWS_MAX];
    struct rules_choice choices[BACKEND_ROWS_MAX];
    struct rules rules = rules_default(b->backend->model, b->masks);
    for (uint32_t i = 0; i < n_rows; i++)
        rows[i] = (struct backend_row){.sequence = b->sequence, .token = (int32_t)(i * 91 % 1000),
                                       .parent = (int32_t)i - 1, .rules = &rules,
                                       .state = rules_begin(), .choice = &choices[i]};
    uint64_t sum = 0;
    for (size_t i = 0; b->cold && i < COLD_BYTES / sizeof(*b->cold); i += 8)
        sum += b->cold[i];
    rows[0].token += sum > 0;               /* 0: but the compiler does not know */
    uint64_t start = clock_us(&clock);
    enum status status = backend_forward(b->backend, rows, n_rows, err);
    double total = (double)(clock_us(&clock) - start) / 1e3;
    struct cpu_times times = cpu_backend_times(b->backend);
    ms[PART_TOTAL] = total;
    ms[PART_MATRICES] = (double)times.matrices_us / 1e3;
    ms[PART_SELF] = (double)times.self_us / 1e3;
    ms[PART_CROSS] = (double)times.cross_us / 1e3;
    ms[PART_REST] = total - ms[PART_MATRICES] - ms[PART_SELF] - ms[PART_CROSS];
    ms[PART_PANELS] = (double)times.n_panels / n_rows;
    return status;
}

/* The ceilings, or what was measured before where that was more: other programs may have been busy.
 */
static enum status look_up_ceilings(struct bench *b, struct error *err)
{
    struct ceilings now;
    bool vnni = !strcmp(b->backend->info.kernels, "avx512");
    if (!ceilings_measure(((struct cpu_backend *)b->backend)->pool, vnni, &now))
        return error_set(err, STATUS_NO_MEMORY, "no memory to measure the machine");
    b->ceilings.bytes_per_us = MAX(b->ceilings.bytes_per_us, now.bytes_per_us);
    b->ceilings.flop_per_us = MAX(b->ceilings.flop_per_us, now.flop_per_us);
    b->ceilings.int8_per_us = MAX(b->ceilings.int8_per_us, now.int8_per_us);
    return STATUS_OK;
}

static enum status measure(struct bench *b, uint32_t repeats, struct error *err)
{
    double ms[N_PARTS];
    enum status status = one_pass(b, BACKEND_ROWS_MAX, ms, err); /* pages, caches */
    for (uint32_t i = 0; i < repeats && status == STATUS_OK; i++)
        for (uint32_t c = 0; c < b->n_counts && status == STATUS_OK; c++) {
            /* the second of two: what a pass of the same size left in the caches, as in a row of
             * real ones */
            status = one_pass(b, b->counts[c], ms, err);
            if (status == STATUS_OK)
                status = one_pass(b, b->counts[c], ms, err);
            for (int part = 0; part < N_PARTS; part++)
                b->ms[c][part][i] = ms[part];
        }
    for (uint32_t c = 0; c < b->n_counts; c++)
        for (int part = 0; part < N_PARTS; part++)
            qsort(b->ms[c][part], repeats, sizeof(double), compare);
    return status;
}

/* ---- output ---- */

static const char *const part_names[N_PARTS] = {"ms", "matrices", "self", "cross", "rest",
                                                "panels_per_row"};

static void print_header(const struct bench *b, const struct options *o)
{
    const struct backend_info *info = &b->backend->info;
    double gb = b->ceilings.bytes_per_us / 1e3, fma = b->ceilings.flop_per_us / 1e3;
    double int8 = b->ceilings.int8_per_us / 1e3;
    if (o->json) {
        printf("{\"model\": \"%s\", \"kernels\": \"%s\", \"threads\": %u, \"repeat\": %u, "
               "\"bandwidth_gb_s\": %.2f, \"fma_gflop_s\": %.1f, \"int8_gop_s\": %.1f, \"rows\": [",
               b->backend->model->name, info->kernels, info->n_threads, o->repeats, gb, fma, int8);
        return;
    }
    printf("# %s, kernels %s, %u threads, median of %u\n", b->backend->model->name, info->kernels,
           info->n_threads, o->repeats);
    printf("# ceilings: %.1f GB/s read, %.0f GFLOP/s float32, %.0f GOP/s int8\n", gb, fma, int8);
    printf("rows\tms\tbest\tmatrices\tself\tcross\trest\tpanels\tbound\tratio\tratio_best\n");
}

static void print_row(const struct bench *b, const struct options *o, uint32_t c)
{
    double best = b->ms[c][PART_TOTAL][0], median[N_PARTS];
    for (int part = 0; part < N_PARTS; part++)
        median[part] = b->ms[c][part][o->repeats / 2];
    double bound = bound_ms(b, b->counts[c], median[PART_PANELS]);
    if (!o->json) {
        printf("%u\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.1f\t%.3f\t%.2f\t%.2f\n", b->counts[c],
               median[PART_TOTAL], best, median[PART_MATRICES], median[PART_SELF],
               median[PART_CROSS], median[PART_REST], median[PART_PANELS], bound,
               median[PART_TOTAL] / bound, best / bound);
        return;
    }
    printf("%s{\"rows\": %u, \"best\": %.3f, \"bound\": %.3f", c ? ", " : "", b->counts[c], best,
           bound);
    for (int part = 0; part < N_PARTS; part++)
        printf(", \"%s\": %.3f", part_names[part], median[part]);
    printf("}");
}

/* ---- options ---- */

static bool parse_rows(struct bench *b, const char *rows)
{
    for (const char *at = rows; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        unsigned long n = strtoul(at, NULL, 10);
        if (n < 1 || n > BACKEND_ROWS_MAX || b->n_counts == COUNTS_MAX)
            return false;
        b->counts[b->n_counts++] = (uint32_t)n;
    }
    return true;
}

static bool parse_weights(const char *name, enum cpu_weights *weights)
{
    static const char *const names[] = {[CPU_WEIGHTS_AS_STORED] = "stored",
                                        [CPU_WEIGHTS_Q8_0] = "q8_0",
                                        [CPU_WEIGHTS_MIXED] = "mixed",
                                        [CPU_WEIGHTS_Q4_0] = "q4_0"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (!strcmp(name, names[i])) {
            *weights = (enum cpu_weights)i;
            return true;
        }
    return false;
}

/* True: the word was one that takes no value. */
static bool parse_word(const char *word, struct options *o)
{
    if (!strcmp(word, "--json"))
        o->json = true;
    else if (!strcmp(word, "--whole-head"))
        o->whole_head = true;
    else if (!strcmp(word, "--cold"))
        o->cold = true;
    else if (word[0] != '-')
        o->model = word;
    else
        return false;
    return true;
}

static bool parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (parse_word(name, o))
            continue;
        if (!strcmp(name, "--kernels"))
            o->kernels = value;
        else if (!strcmp(name, "--rows"))
            o->rows = value;
        else if (!strcmp(name, "--threads"))
            o->n_threads = (uint32_t)strtoul(value, NULL, 10);
        else if (!strcmp(name, "--repeat"))
            o->repeats = (uint32_t)strtoul(value, NULL, 10);
        else if (!strcmp(name, "--frames"))
            o->n_frames = (uint32_t)strtoul(value, NULL, 10);
        else if (!strcmp(name, "--weights") && parse_weights(value, &o->weights))
            ;
        else
            return false;
        i++;
    }
    return o->model && o->repeats >= 1 && o->repeats <= REPEATS_MAX;
}

/* Fills b; the caller releases it even after a failure. */
static enum status open_bench(struct bench *b, struct model *model, const struct options *o,
                              struct error *err)
{
    struct cpu_options options = {.n_threads = o->n_threads, .kernels = o->kernels, .timed = true,
                                  .whole_head = o->whole_head, .weights = o->weights};
    enum status status = cpu_backend_new(model, &options, &b->backend, err);
    if (status == STATUS_OK)
        status = rules_masks_new(b->backend->model, &b->masks, err);
    b->ms = calloc(b->n_counts, sizeof(*b->ms));
    b->cold = o->cold ? calloc(1, COLD_BYTES) : NULL;
    if (status == STATUS_OK && (!b->ms || (o->cold && !b->cold)))
        status = error_set(err, STATUS_NO_MEMORY, "no memory");
    if (status != STATUS_OK)
        return status;
    b->n_frames = o->n_frames ? o->n_frames : 2 * b->backend->model->encoder.n_positions;
    if (b->n_frames % 2 || b->n_frames > 2 * b->backend->model->encoder.n_positions)
        return error_set(err, STATUS_INVALID, "--frames takes an even number up to %u",
                         2 * b->backend->model->encoder.n_positions);
    status = look_up_ceilings(b, err);
    return status == STATUS_OK ? prepare(b, err) : status;
}

int main(int argc, char **argv)
{
    struct error err = {.code = STATUS_OK};
    struct model *model;
    struct bench b = {.n_counts = 0};
    struct options o = {.rows = "1,2,3,4,6,8,10,12,16,20,24,28,32,40,48,56,64", .repeats = 15};
    if (!parse(argc, argv, &o) || !parse_rows(&b, o.rows)) {
        fprintf(stderr,
                "usage: forward_bench MODEL [--threads N] [--kernels SET] [--rows 1,8,64]\n"
                "                     [--repeat N (at most %d)] [--whole-head] [--json]\n"
                "                     [--weights stored|q8_0|mixed|q4_0] [--frames N] [--cold]\n",
                REPEATS_MAX);
        return 2;
    }
    enum status status = model_open(o.model, &model, &err);
    if (status == STATUS_OK)
        status = open_bench(&b, model, &o, &err);
    if (status == STATUS_OK)
        status = measure(&b, o.repeats, &err);
    if (status == STATUS_OK)
        status = look_up_ceilings(&b, &err);
    if (status != STATUS_OK) {
        fprintf(stderr, "forward_bench: %s\n", err.text);
        return 1;
    }
    print_header(&b, &o);
    for (uint32_t c = 0; c < b.n_counts; c++)
        print_row(&b, &o, c);
    if (o.json)
        printf("]}\n");
    free(b.ms);
    free(b.cold);
    backend_close(&b.sequence);
    rules_masks_free(&b.masks);
    backend_free(&b.backend);
    model_close(&model);
    return 0;
}
