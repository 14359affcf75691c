/* decoder.c: one layer loop for m rows: decode, verify and prefill are the same.
 *
 * All threads walk the loop together; a layer is a few phases with a barrier between them:
 *
 *     norm rows | q k v | store k v, attend | out, residual      self-attention
 *     norm rows | q     | attend            | out, residual      cross-attention, if the model has
 *     it norm rows | up, activation            | down, residual     feed-forward
 *
 * Threads split norms by rows, linear layers by outputs, attention by heads. Every number is
 * computed by one thread in the kernels' fixed order, so neither the split nor the other rows show
 * in the bits. What differs between models (norm, positions, activation, cross-attention, shared
 * key heads) is read from the description.
 */
#include <math.h>
#include <string.h>

#include "backend/cpu/lane.h"

/* y = x * w + bias for the lane's outputs, all rows; integer weights read the quantised copy. */
static struct columns project(const struct lane *t, const struct projection *p, const float *x,
                              void *x8, float *y)
{
    struct columns c = columns_of(t, p->w.n_out);
    struct linear job = {.w = &p->w, .bias = p->bias, .n_rows = t->d->n_rows, .x = x,
                         .x_stride = row_stride(p->w.n_in), .y = y,
                         .y_stride = row_stride(p->w.n_out)};
    if (weight_is_integer(p->w.type))
        job.xq = q8_rows_at(x8, BACKEND_ROWS_MAX, p->w.n_in);
    t->kernels->linear(&job, c.panel_from, c.panel_to);
    return c;
}

/* h = norm(x), by rows. */
static void norm_rows(const struct lane *t, const struct norm *norm)
{
    struct decoder *d = t->d;
    size_t stride = row_stride(t->s->n_state);
    uint32_t from, to;
    share_of(d->n_rows, t->id, t->n, &from, &to);
    for (uint32_t r = from; r < to; r++) {
        norm_row(t, norm, d->x + r * stride, d->h + r * stride);
        quantise(t, d->x8, d->h, r, t->s->n_state, (struct columns){.n = t->s->n_state});
    }
    barrier(t);
    mark(t, &d->times.rest_us);
}

/* x += input * w + bias. `h` is free here and takes the product. */
static void project_residual(const struct lane *t, const struct projection *p, const float *x,
                             void *x8)
{
    struct decoder *d = t->d;
    struct columns c = project(t, p, x, x8, d->h);
    for (uint32_t r = 0; r < d->n_rows; r++) {
        size_t at = r * row_stride(t->s->n_state) + c.from;
        t->kernels->add(d->x + at, d->h + at, c.n);
    }
    barrier(t);
    mark(t, &d->times.matrices_us);
}

static struct cpu_sequence *sequence_of(const struct decoder *d, uint32_t r)
{
    return (struct cpu_sequence *)d->rows[d->order[r]].sequence;
}

/* Rotates (where positions are rotary) one head of q or k of row r. */
static void rotate(const struct lane *t, uint32_t r, float *head)
{
    uint32_t half = t->s->head_size / 2;
    size_t at = (size_t)t->d->position[r] * half;
    if (t->s->positions == POSITION_ROTARY)
        t->kernels->rope(head, t->d->rope_cos + at, t->d->rope_sin + at, t->s->head_size);
}

/* Stores key and value head `kv_head` of all rows in their slots. */
static void store_head(const struct lane *t, uint32_t layer, uint32_t kv_head)
{
    const struct decoder *d = t->d;
    uint32_t size = t->s->head_size;
    for (uint32_t r = 0; r < d->n_rows; r++) {
        const struct cpu_sequence *sequence = sequence_of(d, r);
        const struct kv_layer *store = &sequence->self[layer];
        size_t head = (size_t)kv_head * size * sequence->self_slots;
        size_t at = r * row_stride(t->s->n_kv_heads * size) + kv_head * size;
        uint32_t slot = sequence->kv.rows[d->order[r]].slot;
        rotate(t, r, d->k + at);
        t->kernels->store_keys(store->keys + head, size, slot, 1, d->k + at, size);
        t->kernels->f16_from_f32(store->values + head + (size_t)slot * size, d->v + at, size);
    }
}

/* A run of rows of one sequence, one head, over its kept rows and each row's own ancestors. */
static void attend_self(const struct lane *t, uint32_t layer, uint32_t group, uint32_t head)
{
    struct decoder *d = t->d;
    uint32_t first = d->group_start[group], n = d->group_start[group + 1] - first;
    const struct cpu_sequence *sequence = sequence_of(d, first);
    uint32_t size = t->s->head_size, width = t->s->n_heads * size;
    size_t stride = row_stride(width), at = first * stride + head * size;
    size_t store =
        (size_t)(head / (t->s->n_heads / t->s->n_kv_heads)) * size * sequence->self_slots;
    for (uint32_t r = 0; r < n; r++) {
        rotate(t, first + r, d->q + at + r * stride);
        t->kernels->scale(d->q + at + r * stride, 1.0f / sqrtf((float)size), size);
    }
    struct attention job = {
        .keys = sequence->self[layer].keys + store, .values = sequence->self[layer].values + store,
        .head_size = size, .n_prefix = sequence->kv.n_kept, .tails = d->tails + first,
        .n_rows = n, .q = d->q + at, .q_stride = stride, .out = d->att + at, .out_stride = stride,
        .scratch = d->scratch + t->id * d->scratch_floats,
    };
    t->kernels->attention(&job);
    for (uint32_t r = 0; r < n; r++)
        quantise(t, d->x8, d->att, first + r, width,
                 (struct columns){.from = head * size, .n = size});
}

static void self_attention(const struct lane *t, uint32_t layer)
{
    const struct attention_weights *w = &t->backend->weights.decoder[layer].self;
    struct decoder *d = t->d;
    uint32_t from, to, per_kv = t->s->n_heads / t->s->n_kv_heads;
    norm_rows(t, &w->norm);
    project(t, &w->q, d->h, d->x8, d->q);
    project(t, &w->k, d->h, d->x8, d->k);
    project(t, &w->v, d->h, d->x8, d->v);
    barrier(t);
    mark(t, &d->times.matrices_us);
    share_of(t->s->n_kv_heads, t->id, t->n, &from, &to);
    for (uint32_t kv_head = from; kv_head < to; kv_head++) {
        store_head(t, layer, kv_head);
        for (uint32_t i = 0; i < per_kv * d->n_groups; i++)
            attend_self(t, layer, i % d->n_groups, kv_head * per_kv + i / d->n_groups);
    }
    barrier(t);
    mark(t, &d->times.self_us);
    project_residual(t, &w->out, d->att, d->x8);
}

/* A run of rows of one sequence, one head, over the encoder's positions. */
static void attend_cross(const struct lane *t, uint32_t layer, uint32_t group, uint32_t head)
{
    struct decoder *d = t->d;
    uint32_t first = d->group_start[group], n = d->group_start[group + 1] - first;
    const struct cpu_sequence *sequence = sequence_of(d, first);
    uint32_t size = t->s->head_size, width = t->s->n_heads * size;
    size_t store =
        (size_t)(head / (t->s->n_heads / t->s->n_kv_heads)) * size * sequence->cross_slots;
    size_t stride = row_stride(width), at = first * stride + head * size;
    for (uint32_t r = 0; r < n; r++)
        t->kernels->scale(d->q + at + r * stride, 1.0f / sqrtf((float)size), size);
    struct attention job = {
        .keys = sequence->cross[layer].keys + store,
        .values = sequence->cross[layer].values + store,
        .head_size = size,
        .n_prefix = sequence->n_keys,
        .n_rows = n,
        .q = d->q + at,
        .q_stride = stride,
        .out = d->att + at,
        .out_stride = stride,
        .scratch = d->scratch + t->id * d->scratch_floats,
    };
    t->kernels->attention(&job);
    for (uint32_t r = 0; r < n; r++)
        quantise(t, d->x8, d->att, first + r, width,
                 (struct columns){.from = head * size, .n = size});
}

static void cross_attention(const struct lane *t, uint32_t layer)
{
    const struct attention_weights *w = &t->backend->weights.decoder[layer].cross;
    struct decoder *d = t->d;
    uint32_t from, to;
    norm_rows(t, &w->norm);
    project(t, &w->q, d->h, d->x8, d->q);
    barrier(t);
    mark(t, &d->times.matrices_us);
    share_of(d->n_groups * t->s->n_heads, t->id, t->n, &from, &to);
    for (uint32_t unit = from; unit < to; unit++) /* a head's keys and values: read once, for all */
        attend_cross(t, layer, unit % d->n_groups, unit / d->n_groups);
    barrier(t);
    mark(t, &d->times.cross_us);
    project_residual(t, &w->out, d->att, d->x8);
}

static void feed_forward(const struct lane *t, const struct layer *w)
{
    struct decoder *d = t->d;
    size_t stride = row_stride(t->s->n_ff);
    norm_rows(t, &w->ffn_norm);
    struct columns c = project(t, &w->up, d->h, d->x8, d->ff);
    if (t->s->activation == ACTIVATION_SWIGLU)
        project(t, &w->gate, d->h, d->x8, d->gate);
    mark(t, &d->times.matrices_us);
    for (uint32_t r = 0; r < d->n_rows && c.n > 0; r++) {
        float *ff = d->ff + r * stride + c.from;
        if (t->s->activation == ACTIVATION_SWIGLU)
            t->kernels->silu_mul(ff, d->gate + r * stride + c.from, ff, c.n);
        else
            t->kernels->gelu(ff, ff, c.n);
        quantise(t, d->ff8, d->ff, r, t->s->n_ff, c);
    }
    barrier(t);
    mark(t, &d->times.rest_us);
    project_residual(t, &w->down, d->ff, d->ff8);
}

/* x = embedding of the token (+ position), by rows. */
static void embed(const struct lane *t)
{
    struct decoder *d = t->d;
    const struct weights *w = &t->backend->weights;
    size_t n_state = t->s->n_state, stride = row_stride(n_state);
    uint32_t from, to;
    share_of(d->n_rows, t->id, t->n, &from, &to);
    for (uint32_t r = from; r < to; r++) {
        matrix_unpack_row(&w->embedding, (uint32_t)d->rows[d->order[r]].token, d->x + r * stride);
        if (w->positions)
            t->kernels->add(d->x + r * stride, w->positions + d->position[r] * n_state, n_state);
    }
    barrier(t);
}

static void step(void *context, uint32_t thread, uint32_t n_threads)
{
    struct cpu_backend *backend = context;
    const struct stack_description *s = &backend->description->decoder;
    const struct lane lane = {.backend = backend,
                              .kernels = backend->kernels,
                              .d = &backend->decoder,
                              .s = s,
                              .id = thread,
                              .n = n_threads};
    embed(&lane);
    for (uint32_t layer = 0; layer < s->n_layers; layer++) {
        self_attention(&lane, layer);
        if (s->cross_attention)
            cross_attention(&lane, layer);
        feed_forward(&lane, &backend->weights.decoder[layer]);
    }
    if (lane.d->n_top > 0)
        head_run(&lane);
    mark(&lane, &lane.d->times.rest_us);
}

/* Rows [first, end) of one sequence, cut evenly into groups. */
static void group_rows(struct decoder *d, uint32_t first, uint32_t end)
{
    uint32_t n = (end - first + ATTENTION_ROWS - 1) / ATTENTION_ROWS;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t from, to;
        share_of(end - first, i, n, &from, &to);
        d->group_start[d->n_groups++] = first + from;
    }
}

/* Internal order: the rows of a sequence together, in the caller's order. */
static void order_rows(struct decoder *d)
{
    bool placed[BACKEND_ROWS_MAX] = {false};
    uint32_t n = 0;
    d->n_groups = 0;
    for (uint32_t i = 0; i < d->n_rows; i++) {
        uint32_t first = n;
        for (uint32_t j = i; j < d->n_rows && !placed[i]; j++) {
            if (d->rows[j].sequence == d->rows[i].sequence)
                d->order[n++] = (uint8_t)j;
        }
        for (uint32_t j = first; j < n; j++)
            placed[d->order[j]] = true;
        group_rows(d, first, n);
    }
    d->group_start[d->n_groups] = n;
}

static enum status drop_rows(struct decoder *d, enum status code)
{
    for (uint32_t i = 0; i < d->n_rows; i++)
        kv_begin(&((struct cpu_sequence *)d->rows[i].sequence)->kv);
    return code;
}

/* Gives each row its slot, position and path. */
static enum status place_rows(struct decoder *d, struct error *err)
{
    (void)drop_rows(d, STATUS_OK);
    for (uint32_t r = 0; r < d->n_rows; r++) {
        struct cpu_sequence *sequence = sequence_of(d, r);
        const struct backend_row *row = &d->rows[d->order[r]];
        if (!sequence->encoded)
            return drop_rows(d,
                             error_set(err, STATUS_INVALID, "encode a window before its tokens"));
        if (!kv_add(&sequence->kv, d->order[r], row->parent))
            return drop_rows(d, error_set(err, STATUS_INVALID,
                                          "a row lies past the last of %u positions",
                                          sequence->kv.n_positions));
        d->position[r] = sequence->kv.rows[d->order[r]].position;
        d->tails[r].n = kv_path(&sequence->kv, d->order[r], d->tail[r]);
        d->tails[r].slots = d->tail[r];
    }
    return STATUS_OK;
}

enum status decoder_forward(struct cpu_backend *backend, struct backend_row *rows, uint32_t n_rows,
                            struct error *err)
{
    struct decoder *d = &backend->decoder;
    d->rows = rows;
    d->n_rows = n_rows;
    order_rows(d);
    enum status status = place_rows(d, err);
    if (status != STATUS_OK)
        return status;
    head_rows(backend);
    d->marked_us = d->timed ? clock_us(&backend->clock) : 0;
    pool_hot(backend->pool);
    pool_run(backend->pool, step, backend);
    pool_cool(backend->pool);
    d->times.n_passes += d->timed;
    return STATUS_OK;
}

struct cpu_times cpu_backend_times(struct backend *base)
{
    struct decoder *d = &((struct cpu_backend *)base)->decoder;
    struct cpu_times times = d->times;
    d->times = (struct cpu_times){.n_passes = 0};
    return times;
}

static bool layer_has_integers(const struct layer *l)
{
    const struct projection *all[] = {&l->self.q, &l->self.k, &l->self.v, &l->self.out, &l->cross.q,
                                      &l->cross.out, &l->up, &l->gate, &l->down};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i]->w.data && weight_is_integer(all[i]->w.type))
            return true;
    return false;
}

static float *carve_rows(struct carve *carve, size_t width)
{
    return carve_take(carve, BACKEND_ROWS_MAX * row_stride(width) * sizeof(float));
}

/* Lays the scratch out over a carve: counts when it has no memory. */
static void lay_out(struct cpu_backend *backend, struct carve *carve)
{
    const struct model_description *m = backend->description;
    const struct stack_description *s = &m->decoder;
    struct decoder *d = &backend->decoder;
    size_t n_q = (size_t)s->n_heads * s->head_size, n_kv = (size_t)s->n_kv_heads * s->head_size;
    uint32_t slots = MAX(kv_slots(s->n_positions), s->cross_attention ? m->encoder.n_positions : 0);
    d->scratch_floats = (attention_scratch(slots) + PANEL - 1) / PANEL * PANEL;
    d->logits_stride = matrix_panels(m->n_vocab) * PANEL;
    d->x = carve_rows(carve, s->n_state);
    d->h = carve_rows(carve, s->n_state);
    d->q = carve_rows(carve, n_q);
    d->k = carve_rows(carve, n_kv);
    d->v = carve_rows(carve, n_kv);
    d->att = carve_rows(carve, n_q);
    d->ff = carve_rows(carve, s->n_ff);
    d->gate = s->activation == ACTIVATION_SWIGLU ? carve_rows(carve, s->n_ff) : NULL;
    d->top = carve_rows(carve, s->n_state);
    d->scratch = carve_take(carve, d->scratch_floats * sizeof(float) * pool_threads(backend->pool));
    if (d->quantise) {
        d->x8 = carve_take(carve, q8_rows_bytes(BACKEND_ROWS_MAX, MAX(n_q, s->n_state)));
        d->ff8 = carve_take(carve, q8_rows_bytes(BACKEND_ROWS_MAX, s->n_ff));
    }
    if (s->positions == POSITION_ROTARY) {
        size_t table = (size_t)s->n_positions * (s->head_size / 2) * sizeof(float);
        d->rope_cos = carve_take(carve, table);
        d->rope_sin = carve_take(carve, table);
    }
    head_lay_out(backend, carve);
    /* Last, and mostly untouched (so not resident) while few rows ask for a choice. */
    d->logits = carve_take(carve, BACKEND_ROWS_MAX * d->logits_stride * sizeof(float));
}

enum status decoder_init(struct cpu_backend *backend, struct error *err)
{
    const struct stack_description *s = &backend->description->decoder;
    struct decoder *d = &backend->decoder;
    d->quantise = weight_is_integer(backend->weights.head.type);
    for (uint32_t i = 0; i < s->n_layers; i++)
        d->quantise |= layer_has_integers(&backend->weights.decoder[i]);
    struct carve carve = {.base = NULL};
    lay_out(backend, &carve);
    d->n_bytes = carve.used;
    d->memory = kernels_alloc(d->n_bytes);
    if (!d->memory)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the decoder's activations");
    carve = (struct carve){.base = d->memory};
    lay_out(backend, &carve);
    if (s->positions == POSITION_ROTARY)
        rope_table(d->rope_cos, d->rope_sin, s->n_positions, s->head_size, s->rope_theta);
    return STATUS_OK;
}

void decoder_release(struct cpu_backend *backend)
{
    if (backend->decoder.memory)
        kernels_free(backend->decoder.memory, backend->decoder.n_bytes);
    backend->decoder.memory = NULL;
}
