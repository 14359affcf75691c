/* encoder.c: one window of mel frames to cross-attention keys and values, in slices of bounded
 * time.
 *
 * The work is a list of stages, each a number of independent units (blocks of rows, or of queries
 * of a head) that threads take one after another; a stage begins when the one before is whole:
 *
 *     MEL      transpose to frames, zero frame at both ends
 *     CONV1    width 3, GELU                     -+ neighbouring frames are one contiguous row, so
 *     a CONV2    width 3, stride 2, GELU, + table  -+ convolution is a product with overlapping
 *     rows QKV      norm, projections; keys and values into panels   \
 *     ATTENTION  scores, softmax, weighted sum; over q           > per layer
 *     FEED     output projection, norm, feed-forward layer      /
 *     NORM     final norm
 *     CROSS    keys and values per decoder layer, in half precision, into the sequence
 *
 * A slice is one run of the pool over a few units; where it stopped is (stage, layer, unit). Units
 * compute each output in one fixed order (gemm.h, kernels.h), so neither the split nor the slicing
 * shows in the bits. Activations of a block of at most 144 rows stay in a core's cache; the
 * feed-forward layer goes by 512 hidden units, its sums resumed, so that its 4 n_state values per
 * row are never all there.
 *
 * A window under way is a job with activations of its own; threads keep nothing from slice to
 * slice. So a window can be put aside for another one at any slice. Of the few jobs all but the
 * first take their memory when they are wanted.
 */
#include "backend/cpu/encoder.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu_int.h"

/* ---- units ---- */

struct rows {
    uint32_t first;
    uint32_t n;
};

/* Largest block for `n` rows that is a multiple of `multiple`, at most ENCODER_ROWS, and gives
 * every thread the same number of blocks. */
static uint32_t block_rows(uint32_t n, uint32_t n_threads, uint32_t multiple)
{
    uint32_t n_blocks =
        n_threads * ((n + n_threads * ENCODER_ROWS - 1) / (n_threads * ENCODER_ROWS));
    uint32_t rows = (n + n_blocks - 1) / n_blocks;
    return MIN((rows + multiple - 1) / multiple * multiple, (uint32_t)ENCODER_ROWS);
}

static uint32_t stage_rows(const struct encoder_job *e, enum encoder_stage stage)
{
    return stage == STAGE_MEL || stage == STAGE_CONV1 ? e->features.n_frames : e->n_positions;
}

/* CROSS stores keys in panels of 16 with vectors: there a block starts at a whole panel, so that no
 * two threads write to one. 48 = least multiple of 16 and of the product's 6 rows. */
static uint32_t stage_block(const struct cpu_backend *backend, enum encoder_stage stage)
{
    uint32_t multiple = stage == STAGE_CROSS ? 48 : backend->gemm->n_rows;
    uint32_t n_rows = stage_rows(backend->encoder.job, stage);
    return block_rows(n_rows, pool_threads(backend->pool), multiple);
}

static uint32_t query_blocks(const struct encoder_job *e)
{
    return (e->n_positions + ENCODER_QUERIES - 1) / ENCODER_QUERIES;
}

static uint32_t stage_units(const struct cpu_backend *backend)
{
    const struct encoder_job *e = backend->encoder.job;
    if (e->stage == STAGE_ATTENTION)
        return backend->description->encoder.n_heads * query_blocks(e);
    uint32_t rows = stage_rows(e, e->stage), block = stage_block(backend, e->stage);
    return (rows + block - 1) / block;
}

static struct rows unit_rows(const struct cpu_backend *backend, uint32_t unit)
{
    const struct encoder_job *e = backend->encoder.job;
    uint32_t block = stage_block(backend, e->stage), first = unit * block;
    return (struct rows){.first = first, .n = MIN(block, stage_rows(e, e->stage) - first)};
}

/* ---- stages ---- */

static uint32_t round_panel(uint32_t n)
{
    return (n + PANEL - 1) / PANEL * PANEL;
}

/* A whole linear layer with bias on a block; rows of a and c are contiguous unless changed. */
static struct project whole(const struct projection *p, uint32_t n_rows, const float *a, float *c)
{
    return (struct project){
        .p = p, .n_rows = n_rows, .panel_to = matrix_panels(p->w.n_out), .k_to = p->w.n_in,
        .a = a, .a_stride = p->w.n_in, .c = c, .c_row = p->w.n_out, .c_panel = PANEL, .bias = true,
    };
}

static void norm_block(const struct cpu_backend *backend, const struct norm *norm, const float *x,
                       float *y, uint32_t n_rows)
{
    const struct stack_description *s = &backend->description->encoder;
    for (size_t r = 0; r < n_rows; r++)
        backend->kernels->layer_norm(y + r * s->n_state, x + r * s->n_state, norm->gain, norm->bias,
                                     s->n_state, s->norm_eps);
}

static void run_mel(struct cpu_backend *backend, struct rows rows)
{
    const struct encoder_job *e = backend->encoder.job;
    const struct backend_features *f = &e->features;
    size_t n_mels = f->n_mels;
    if (rows.first == 0) {
        memset(e->mel, 0, n_mels * sizeof(float));
        memset(e->mel + (f->n_frames + 1) * n_mels, 0, n_mels * sizeof(float));
    }
    for (size_t band = 0; band < n_mels; band++)
        for (size_t i = rows.first; i < rows.first + rows.n; i++)
            e->mel[(i + 1) * n_mels + band] = f->mel[band * f->n_frames + i];
}

static void run_conv1(struct cpu_backend *backend, const struct encoder_worker *w, struct rows rows)
{
    const struct encoder_job *e = backend->encoder.job;
    size_t n_state = backend->description->encoder.n_state, n_mels = e->features.n_mels;
    float *conv = e->q, *out = conv + (rows.first + 1) * n_state;
    if (rows.first == 0) {
        memset(conv, 0, n_state * sizeof(float));
        memset(conv + (e->features.n_frames + 1) * n_state, 0, n_state * sizeof(float));
    }
    struct project job = whole(&backend->weights.conv1, rows.n, e->mel + rows.first * n_mels, out);
    job.a_stride = n_mels;
    project_run(backend, w, &job);
    backend->kernels->gelu(out, out, rows.n * n_state);
}

static void run_conv2(struct cpu_backend *backend, const struct encoder_worker *w, struct rows rows)
{
    const struct encoder_job *e = backend->encoder.job;
    size_t n_state = backend->description->encoder.n_state;
    float *out = e->x + rows.first * n_state;
    struct project job =
        whole(&backend->weights.conv2, rows.n, e->q + 2 * rows.first * n_state, out);
    job.a_stride = 2 * n_state;
    project_run(backend, w, &job);
    backend->kernels->gelu(out, out, rows.n * n_state);
    backend->kernels->add(out, backend->weights.encoder_positions + rows.first * n_state,
                          rows.n * n_state);
}

/* Keys of a block of rows into panels [head][key/16][head_size][16]. Threads may share a panel but
 * never a lane of it, so this stores single floats. */
static void pack_keys(const struct encoder_job *e, const struct stack_description *s,
                      struct rows rows, const float *k)
{
    uint32_t size = s->head_size;
    size_t head_floats = (size_t)round_panel(e->n_positions) * size;
    for (uint32_t r = 0; r < rows.n; r++) {
        uint32_t key = rows.first + r;
        float *to = e->k + (size_t)(key / PANEL) * size * PANEL + key % PANEL;
        for (uint32_t head = 0; head < s->n_heads; head++, to += head_floats)
            for (uint32_t d = 0; d < size; d++)
                to[(size_t)d * PANEL] = *k++;
    }
}

/* Values of a block of rows into panels of 16 columns, [column/16][position][16]: the right-hand
 * side of the weighted sum. */
static void run_values(struct cpu_backend *backend, const struct encoder_worker *w,
                       struct rows rows, const struct projection *p)
{
    const struct encoder_job *e = backend->encoder.job;
    size_t panel_floats = (size_t)round_panel(e->n_positions) * PANEL;
    float *to = e->v + (size_t)rows.first * PANEL;
    struct project v = whole(p, rows.n, w->normed, to);
    if (!project_is_q8(backend, p)) {
        v.c_row = PANEL;
        v.c_panel = panel_floats;
        project_run(backend, w, &v);
        return;
    }
    v.c = w->sum;
    project_run(backend, w, &v);
    for (size_t r = 0; r < rows.n; r++)
        for (size_t panel = 0; panel < v.panel_to; panel++)
            memcpy(to + panel * panel_floats + r * PANEL, w->sum + r * v.c_row + panel * PANEL,
                   PANEL * sizeof(float));
}

static void run_qkv(struct cpu_backend *backend, const struct encoder_worker *w, struct rows rows)
{
    const struct encoder_job *e = backend->encoder.job;
    const struct stack_description *s = &backend->description->encoder;
    const struct attention_weights *a = &backend->weights.encoder[e->layer].self;
    size_t at = (size_t)rows.first * s->n_state;
    norm_block(backend, &a->norm, e->x + at, w->normed, rows.n);
    struct project q = whole(&a->q, rows.n, w->normed, e->q + at);
    project_run(backend, w, &q);
    backend->kernels->scale(e->q + at, 1.0f / sqrtf((float)s->head_size),
                            (size_t)rows.n * s->n_state);
    struct project k = whole(&a->k, rows.n, w->normed, w->sum);
    project_run(backend, w, &k);
    pack_keys(e, s, rows, w->sum);
    run_values(backend, w, rows, &a->v);
}

/* One head, one block of queries; the result takes the place of the queries. */
static void run_attention(struct cpu_backend *backend, const struct encoder_worker *w,
                          uint32_t unit)
{
    const struct encoder_job *e = backend->encoder.job;
    const struct stack_description *s = &backend->description->encoder;
    uint32_t head = unit / query_blocks(e), first = unit % query_blocks(e) * ENCODER_QUERIES;
    uint32_t n_keys = round_panel(e->n_positions), size = s->head_size;
    float *q = e->q + (size_t)first * s->n_state + head * size;
    struct gemm_block scores = {
        .n_rows = MIN((uint32_t)ENCODER_QUERIES, e->n_positions - first),
        .n_panels = n_keys / PANEL,
        .n_k = size,
        .a = q,
        .a_stride = s->n_state,
        .b = e->k + (size_t)head * n_keys * size,
        .b_stride = (size_t)size * PANEL,
        .c = w->scores,
        .c_row = n_keys,
        .c_panel = PANEL,
    };
    backend->gemm->run(&scores);
    for (uint32_t r = 0; r < scores.n_rows; r++)
        backend->kernels->softmax(w->scores + (size_t)r * n_keys, e->n_positions);
    struct gemm_block sums = {
        .n_rows = scores.n_rows, .n_panels = size / PANEL, .n_k = e->n_positions, .a = w->scores,
        .a_stride = n_keys, .b = e->v + (size_t)head * n_keys * size,
        .b_stride = (size_t)n_keys * PANEL, .c = q, .c_row = s->n_state, .c_panel = PANEL,
    };
    backend->gemm->run(&sums);
}

static void run_feed(struct cpu_backend *backend, const struct encoder_worker *w, struct rows rows)
{
    const struct encoder_job *e = backend->encoder.job;
    const struct stack_description *s = &backend->description->encoder;
    const struct layer *l = &backend->weights.encoder[e->layer];
    size_t n = (size_t)rows.n * s->n_state;
    float *x = e->x + (size_t)rows.first * s->n_state;
    struct project out =
        whole(&l->self.out, rows.n, e->q + (size_t)rows.first * s->n_state, w->sum);
    project_run(backend, w, &out);
    backend->kernels->add(x, w->sum, n);
    norm_block(backend, &l->ffn_norm, x, w->normed, rows.n);
    for (uint32_t from = 0; from < s->n_ff; from += ENCODER_CHUNK) {
        uint32_t to = MIN(from + ENCODER_CHUNK, s->n_ff);
        struct project up = whole(&l->up, rows.n, w->normed, w->hidden);
        up.panel_from = from / PANEL;
        up.panel_to = matrix_panels(to);
        up.c_row = ENCODER_CHUNK;
        project_run(backend, w, &up);
        for (uint32_t r = 0; r < rows.n; r++)
            backend->kernels->gelu(w->hidden + (size_t)r * ENCODER_CHUNK,
                                   w->hidden + (size_t)r * ENCODER_CHUNK, to - from);
        struct project down = whole(&l->down, rows.n, w->hidden, w->sum);
        down.k_from = from;
        down.k_to = to;
        down.a_stride = ENCODER_CHUNK;
        down.resume = from > 0;
        down.bias = to == s->n_ff;
        if (!project_is_q8(backend, &l->down))
            project_run(backend, w, &down);
        else
            project_quantise(backend, &down, w->hidden8);
    }
    if (project_is_q8(backend, &l->down)) {
        struct project down = whole(&l->down, rows.n, NULL, w->sum);
        project_q8(backend, &down, w->hidden8);
    }
    backend->kernels->add(x, w->sum, n);
}

static void run_norm(struct cpu_backend *backend, struct rows rows)
{
    float *x = backend->encoder.job->x + (size_t)rows.first * backend->description->encoder.n_state;
    norm_block(backend, &backend->weights.encoder_norm, x, x, rows.n);
}

/* Keys and values of decoder layer e->layer for a block of positions, head by head. */
static void run_cross(struct cpu_backend *backend, const struct encoder_worker *w, struct rows rows)
{
    const struct encoder_job *e = backend->encoder.job;
    const struct stack_description *s = &backend->description->decoder;
    const struct attention_weights *a = &backend->weights.decoder[e->layer].cross;
    const struct kv_layer *store = &e->sequence->cross[e->layer];
    uint32_t size = s->head_size, width = s->n_kv_heads * size;
    size_t head_halves = (size_t)e->sequence->cross_slots * size;
    const float *x = e->x + (size_t)rows.first * backend->description->encoder.n_state;
    struct project k = whole(&a->k, rows.n, x, w->sum), v = whole(&a->v, rows.n, x, w->sum);
    project_run(backend, w, &k);
    for (uint32_t head = 0; head < s->n_kv_heads; head++)
        backend->kernels->store_keys(store->keys + head * head_halves, size, rows.first, rows.n,
                                     w->sum + head * size, width);
    project_run(backend, w, &v);
    for (uint32_t head = 0; head < s->n_kv_heads; head++)
        for (uint32_t r = 0; r < rows.n; r++)
            backend->kernels->f16_from_f32(
                store->values + head * head_halves + (size_t)(rows.first + r) * size,
                w->sum + (size_t)r * width + head * size, size);
}

static void run_unit(struct cpu_backend *backend, const struct encoder_worker *worker,
                     uint32_t unit)
{
    enum encoder_stage stage = backend->encoder.job->stage;
    if (stage == STAGE_ATTENTION) {
        run_attention(backend, worker, unit);
        return;
    }
    struct rows rows = unit_rows(backend, unit);
    switch (stage) {
    case STAGE_MEL: run_mel(backend, rows); break;
    case STAGE_CONV1: run_conv1(backend, worker, rows); break;
    case STAGE_CONV2: run_conv2(backend, worker, rows); break;
    case STAGE_QKV: run_qkv(backend, worker, rows); break;
    case STAGE_FEED: run_feed(backend, worker, rows); break;
    case STAGE_NORM: run_norm(backend, rows); break;
    case STAGE_CROSS: run_cross(backend, worker, rows); break;
    case STAGE_ATTENTION:
    case STAGE_DONE: SA_ASSERT(!"no rows in this stage");
    }
}

/* ---- slices ---- */

struct slice {
    struct cpu_backend *backend;
    _Atomic uint32_t next;
    uint32_t end;
    uint64_t deadline_us;
};

/* Threads take units as they get free: a core that somebody else uses delays only its own unit.
 * Time is looked at before a unit is taken, so what was taken is done, and all of it before `next`.
 */
static void run_slice(void *context, uint32_t thread, uint32_t n_threads)
{
    struct slice *slice = context;
    (void)n_threads;
    do {
        uint32_t unit = atomic_fetch_add_explicit(&slice->next, 1, memory_order_relaxed);
        if (unit >= slice->end)
            return;
        run_unit(slice->backend, &slice->backend->encoder.workers[thread], unit);
    } while (clock_us(&slice->backend->clock) < slice->deadline_us);
}

/* The stage after a finished one: layers repeat QKV, ATTENTION, FEED; CROSS repeats per decoder
 * layer. */
static void next_stage(const struct cpu_backend *backend, struct encoder_job *e)
{
    const struct model_description *m = backend->description;
    e->unit = 0;
    if (e->stage == STAGE_FEED && e->layer + 1 < m->encoder.n_layers) {
        e->stage = STAGE_QKV;
        e->layer++;
    } else if (e->stage == STAGE_CROSS && e->layer + 1 < m->decoder.n_layers) {
        e->layer++;
    } else {
        e->stage++;
        if (e->stage == STAGE_QKV || e->stage == STAGE_CROSS)
            e->layer = 0;
    }
}

/* ---- jobs ---- */

struct encoder_job *encoder_job_of(struct encoder *encoder, const struct cpu_sequence *sequence)
{
    for (uint32_t i = 0; i < BACKEND_WINDOWS; i++)
        if (encoder->jobs[i].sequence == sequence)
            return &encoder->jobs[i];
    return NULL;
}

struct encoder_job *encoder_first_job(struct encoder *encoder)
{
    struct encoder_job *first = NULL;
    for (uint32_t i = 0; i < BACKEND_WINDOWS; i++) {
        struct encoder_job *job = &encoder->jobs[i];
        if (job->sequence && (!first || job->number < first->number))
            first = job;
    }
    return first;
}

void encoder_begin(struct cpu_backend *backend, struct encoder_job *job,
                   struct cpu_sequence *sequence, const struct backend_features *features)
{
    SA_ASSERT(!job->sequence && job->memory);
    job->sequence = sequence;
    job->features = *features;
    job->number = backend->encoder.n_begun++;
    job->n_positions = features->n_frames / 2;
    job->stage = STAGE_MEL;
    job->layer = 0;
    job->unit = 0;
}

bool encoder_advance(struct cpu_backend *backend, struct encoder_job *job, uint64_t deadline_us)
{
    backend->encoder.job = job;
    pool_hot(backend->pool);
    do {
        struct slice slice = {.backend = backend,
                              .next = job->unit,
                              .end = stage_units(backend),
                              .deadline_us = deadline_us};
        pool_run(backend->pool, run_slice, &slice);
        job->unit = MIN(slice.next, slice.end);
        if (job->unit == slice.end)
            next_stage(backend, job);
    } while (job->stage != STAGE_DONE && clock_us(&backend->clock) < deadline_us);
    pool_cool(backend->pool);
    if (job->stage != STAGE_DONE)
        return false;
    job->sequence->encoded = true;
    job->sequence = NULL;
    return true;
}

/* ---- memory ---- */

/* Both lay memory out over a carve: it only counts when it has none. */
static void lay_out_job(const struct cpu_backend *backend, struct carve *carve,
                        struct encoder_job *job)
{
    const struct model_description *m = backend->description;
    const struct stack_description *s = &m->encoder;
    size_t states = (size_t)round_panel(s->n_positions) * s->n_state * sizeof(float);
    job->mel = carve_take(carve, (2 * (size_t)s->n_positions + 2) * m->n_mels * sizeof(float));
    job->x = carve_take(carve, states);
    job->q = carve_take(carve, states);     /* q, k, v adjoin: conv1's output spans them */
    job->k = carve_take(carve, states);
    job->v = carve_take(carve, states);
}

static void lay_out_workers(struct cpu_backend *backend, struct carve *carve)
{
    const struct model_description *m = backend->description;
    const struct stack_description *s = &m->encoder;
    struct encoder *e = &backend->encoder;
    uint32_t keys = round_panel(s->n_positions), width = MAX(s->n_state, m->decoder.n_state);
    size_t block = (size_t)ENCODER_ROWS * sizeof(float);
    size_t scores = (size_t)ENCODER_QUERIES * keys * sizeof(float);
    size_t k_max = MAX(MAX(3 * s->n_state, 3 * m->n_mels), (uint32_t)ENCODER_CHUNK);
    for (uint32_t i = 0; i < pool_threads(backend->pool); i++) {
        struct encoder_worker *w = &e->workers[i];
        w->panel = carve_take(carve, backend->gemm->n_panels * k_max * PANEL * sizeof(float));
        w->normed = carve_take(carve, block * s->n_state);
        w->hidden = carve_take(carve, block * ENCODER_CHUNK);
        w->sum = carve_take(carve, block * round_panel(width));
        size_t there = block * (s->n_state + ENCODER_CHUNK + round_panel(width));
        if (scores > there)
            (void)carve_take(carve, scores - there);
        w->scores = w->normed;
        w->x8 = w->hidden8 = NULL;
        if (m->encoder.n_layers > 0 && project_is_q8(backend, &backend->weights.encoder[0].up)) {
            w->x8 = carve_take(carve, q8_rows_bytes(ENCODER_ROWS, width));
            w->hidden8 = carve_take(carve, q8_rows_bytes(ENCODER_ROWS, s->n_ff));
        }
        w->blas = backend->sgemm
                      ? carve_take(carve, project_blas_floats((uint32_t)k_max) * sizeof(float))
                      : NULL;
    }
}

static bool take_job_memory(const struct cpu_backend *backend, struct encoder_job *job)
{
    job->memory = kernels_alloc(backend->encoder.job_bytes);
    struct carve carve = {.base = (uint8_t *)job->memory};
    if (job->memory)
        lay_out_job(backend, &carve, job);
    return job->memory != NULL;
}

struct encoder_job *encoder_free_job(struct cpu_backend *backend)
{
    for (uint32_t i = 0; i < BACKEND_WINDOWS; i++) {
        struct encoder_job *job = &backend->encoder.jobs[i];
        if (!job->sequence && (job->memory || take_job_memory(backend, job)))
            return job;
    }
    return NULL;
}

enum status encoder_init(struct cpu_backend *backend, struct error *err)
{
    struct encoder *e = &backend->encoder;
    struct encoder_job counted;
    struct carve carve = {.base = NULL};
    lay_out_job(backend, &carve, &counted);
    e->job_bytes = carve.used;
    e->workers = calloc(pool_threads(backend->pool), sizeof(*e->workers));
    if (!e->workers)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the encoder's threads");
    carve = (struct carve){.base = NULL};
    lay_out_workers(backend, &carve);
    e->n_bytes = carve.used;
    e->memory = kernels_alloc(e->n_bytes);
    if (!e->memory || !take_job_memory(backend, &e->jobs[0]))
        return error_set(err, STATUS_NO_MEMORY, "no memory for the encoder's activations");
    carve = (struct carve){.base = (uint8_t *)e->memory};
    lay_out_workers(backend, &carve);
    return STATUS_OK;
}

void encoder_release(struct cpu_backend *backend)
{
    struct encoder *e = &backend->encoder;
    if (e->memory)
        kernels_free(e->memory, e->n_bytes);
    for (uint32_t i = 0; i < BACKEND_WINDOWS; i++)
        if (e->jobs[i].memory)
            kernels_free(e->jobs[i].memory, e->job_bytes);
    free(e->workers);
    *e = (struct encoder){0};
}
