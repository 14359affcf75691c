/* head.c: the output layer and the choices.
 *
 * An f16 output layer is more than half of what a step reads, nearly all of it to find out which
 * tokens are not the next one. So a greedy choice goes in two stages (kernels/screen.h):
 *
 *     scan      a copy in 8 bits (drafts: 4), by groups of panels; where timestamps are asked for,
 *               from the panel of the end token on (special tokens and timestamps, whose sum the
 *               rules compare): in full
 *     screen    by rows: which panels may hold one of the two best allowed tokens?
 *     compute   those, in full, into the row; what is left keeps its approximate logit
 *     choose    as ever
 *
 * An output layer of integers is computed in one, but it is also scanned by groups: the largest
 * logit of each 128 tokens (rules_row) shows the choice where to look.
 *
 * Token, runner-up and the gap between them are those of the full product, proved. Not so with
 * CPU_WEIGHTS_MIXED, for drafts: a copy in 4 bits and a part of the bound (screen_trust); of 1,545
 * rows of speech none lost its token, with 3.7 panels computed for a row. Log-probabilities are
 * defined by this row: a function of the row's state and rules, whatever else is asked for or in
 * the call. Logits, the probability of no speech, sampling and languages take the full product,
 * as does every choice of a model whose output layer is not f16.
 */
#include "backend/cpu/head.h"

#include <string.h>

#include "backend/cpu/lane.h"

struct fill {
    struct screen *screen;
    const struct kernels *kernels;
};

static void fill_screen(void *context, uint32_t thread, uint32_t n_threads)
{
    struct fill *fill = context;
    uint32_t from, to;
    share_of(panel_groups(matrix_panels(fill->screen->full->n_out)), thread, n_threads, &from, &to);
    screen_fill(fill->screen, fill->kernels, from, to);
}

enum status head_init(struct cpu_backend *backend, const struct cpu_options *options,
                      struct error *err)
{
    struct head *h = &backend->decoder.head;
    const struct matrix *full = &backend->weights.head;
    h->n_all = full->n_out / PANEL;
    h->n_text = (uint32_t)backend->description->special.end / PANEL;
    bool rough = options->weights == CPU_WEIGHTS_MIXED;
    enum weight_type type = rough ? WEIGHT_Q4_0 : WEIGHT_Q8_0;
    h->screens = !options->whole_head && screen_fits(full) && h->n_text > 0;
    h->indexes = h->screens || (weight_is_integer(full->type) && h->n_text > 0);
    if (!h->screens)
        return STATUS_OK;
    h->n_bytes = screen_bytes(full, type);
    h->memory = kernels_alloc(h->n_bytes);
    if (!h->memory)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a copy of the output layer");
    h->screen = screen_at(h->memory, full, type, rough ? screen_trust(full->n_in) : 1.0f,
                          backend->weights.decoder_norm.gain);
    pool_run(backend->pool, fill_screen, &(struct fill){&h->screen, backend->kernels});
    return STATUS_OK;
}

void head_release(struct cpu_backend *backend)
{
    struct head *h = &backend->decoder.head;
    if (h->memory)
        kernels_free(h->memory, h->n_bytes);
    h->memory = NULL;
}

void head_lay_out(struct cpu_backend *backend, struct carve *carve)
{
    struct head *h = &backend->decoder.head;
    h->n_groups = panel_groups(h->n_all);
    if (h->indexes)
        h->largest = carve_take(carve, (size_t)BACKEND_ROWS_MAX * h->n_groups * sizeof(float));
    if (!h->screens)
        return;
    h->x8 = carve_take(carve, q8_rows_bytes(BACKEND_ROWS_MAX, backend->weights.head.n_in));
    h->panels = carve_take(carve, (size_t)BACKEND_ROWS_MAX * h->n_all * sizeof(*h->panels));
}

/* ---- which rows ---- */

static bool is_indexed(const struct head *h, const struct backend_row *row)
{
    return h->indexes && row->rules && rules_screens(row->rules);
}

/* Where sums are compared, only text tokens may be a little off. */
static uint32_t panels_indexed(const struct head *h, const struct backend_row *row)
{
    return rules_sums(row->rules) ? h->n_text : h->n_all;
}

static bool is_full(const struct head *h, const struct backend_row *row)
{
    return row->logits || row->no_speech || (row->rules && !is_indexed(h, row));
}

/* In `top`: rows in full, then those that are indexed as well, then those only indexed. */
void head_rows(struct cpu_backend *backend)
{
    struct decoder *d = &backend->decoder;
    struct head *h = &d->head;
    d->n_top = h->n_full = h->first = 0;
    for (int pass = 0; pass < 3; pass++) {
        for (uint32_t r = 0; r < d->n_rows; r++) {
            const struct backend_row *row = &d->rows[d->order[r]];
            bool full = is_full(h, row), indexed = is_indexed(h, row);
            if (full == (pass < 2) && indexed == (pass > 0))
                d->top_rows[d->n_top++] = (uint8_t)r;
        }
        h->first = pass == 0 ? d->n_top : h->first;
        h->n_full = pass == 1 ? d->n_top : h->n_full;
    }
}

static struct backend_row *row_of(const struct decoder *d, uint32_t i)
{
    return &d->rows[d->order[d->top_rows[i]]];
}

static float *logits_of(const struct decoder *d, uint32_t i)
{
    return d->logits + (size_t)i * d->logits_stride;
}

static const float *state_of(const struct lane *t, uint32_t i)
{
    return t->d->top + i * row_stride(t->s->n_state);
}

/* Row i on of quantised rows at `memory`. */
static struct q8_rows eight_bits(const struct lane *t, void *memory, uint32_t i)
{
    struct q8_rows rows = q8_rows_at(memory, BACKEND_ROWS_MAX, t->s->n_state);
    size_t at = (size_t)i * t->s->n_state;
    return (struct q8_rows){rows.q + at, rows.scale + at / Q8_BLOCK, rows.offset + at / Q8_BLOCK};
}

/* Row i, with what was found out about it. */
static struct rules_row indexed_row(const struct lane *t, uint32_t i)
{
    const struct screened *row = &t->d->head.rows[i];
    return (struct rules_row){row->row, row->largest, row->n_panels * PANEL};
}

/* ---- stages ---- */

/* Final states; `h` is free here and takes them as the copy wants them. */
static void norm_states(const struct lane *t)
{
    struct decoder *d = t->d;
    size_t n_state = t->s->n_state, stride = row_stride(n_state);
    uint32_t from, to;
    share_of(d->n_top, t->id, t->n, &from, &to);
    for (uint32_t i = from; i < to; i++) {
        float *state = d->top + i * stride;
        norm_row(t, &t->backend->weights.decoder_norm, d->x + d->top_rows[i] * stride, state);
        quantise(t, d->x8, d->top, i, t->s->n_state, (struct columns){.n = t->s->n_state});
        if (i < d->head.first)
            continue;
        struct screened *row = &d->head.rows[i];
        if (d->head.screens)
            *row = screen_row(&d->head.screen, t->kernels, state, d->h + i * stride,
                              eight_bits(t, d->head.x8, i));
        row->row = logits_of(d, i);
        row->n_panels = panels_indexed(&d->head, row_of(d, i));
        row->largest = d->head.largest + (size_t)i * d->head.n_groups;
    }
    barrier(t);
    mark(t, &d->times.rest_us);
}

/* The lane's share of panels [panel_from, panel_to), rows [first, end) of `top`, all computed. */
static void compute(const struct lane *t, uint32_t first, uint32_t end, struct columns c)
{
    const struct decoder *d = t->d;
    const struct weights *w = &t->backend->weights;
    struct linear job = {.w = &w->head, .n_rows = end - first, .x = state_of(t, first),
                         .x_stride = row_stride(t->s->n_state), .y = logits_of(d, first),
                         .y_stride = d->logits_stride};
    if (weight_is_integer(w->head.type))
        job.xq = eight_bits(t, d->x8, first);
    t->kernels->linear(&job, c.panel_from, c.panel_to);
}

static void finish_full(const struct lane *t, uint32_t i)
{
    const struct model_description *model = t->backend->description;
    struct backend_row *row = row_of(t->d, i);
    float *logits = logits_of(t->d, i);
    if (row->logits)
        memcpy(row->logits, logits, model->n_vocab * sizeof(float));
    if (row->no_speech)
        *row->no_speech = rules_probability(t->kernels, logits, model->n_vocab,
                                            model->special.no_speech);
    if (row->rules && i < t->d->head.first)
        rules_choose(row->rules, &row->state, t->kernels, logits, row->choice);
}

static void run_full(const struct lane *t, uint32_t n_rows)
{
    struct decoder *d = t->d;
    uint32_t from, to;
    compute(t, 0, n_rows, columns_of(t, t->backend->weights.head.n_out));
    barrier(t);
    mark(t, &d->times.matrices_us);
    share_of(n_rows, t->id, t->n, &from, &to);
    for (uint32_t i = from; i < to; i++)
        finish_full(t, i);
    barrier(t);
    mark(t, &d->times.rest_us);
}

/* Rows [first, end) of `top`, which index the same panels. */
static void scan_rows(const struct lane *t, uint32_t first, uint32_t end)
{
    struct decoder *d = t->d;
    struct head *h = &d->head;
    uint32_t n_panels = h->rows[first].n_panels, n_rest, from, to;
    struct linear_groups job = {
        .linear = {.w = h->screens ? &h->screen.copy : &t->backend->weights.head,
                   .n_rows = end - first,
                   .xq = eight_bits(t, h->screens ? h->x8 : d->x8, first),
                   .y = logits_of(d, first), .y_stride = d->logits_stride},
        .n_panels = n_panels,
        .largest = h->rows[first].largest, .largest_stride = h->n_groups,
    };
    struct columns rest;
    share_of(panel_groups(n_panels), t->id, t->n, &from, &to);
    t->kernels->linear_groups(&job, from, to);
    n_rest = matrix_panels(job.linear.w->n_out) - n_panels;
    share_of(n_rest, t->id, t->n, &rest.panel_from, &rest.panel_to);
    rest.panel_from += n_panels;
    rest.panel_to += n_panels;
    compute(t, first, end, rest);
}

static void scan(const struct lane *t)
{
    struct decoder *d = t->d;
    for (uint32_t first = d->head.first, end; first < d->n_top; first = end) {
        for (end = first + 1; end < d->n_top; end++)
            if (d->head.rows[end].n_panels != d->head.rows[first].n_panels)
                break;
        scan_rows(t, first, end);
    }
    barrier(t);
    mark(t, &d->times.matrices_us);
}

/* Finds the panels to compute, by rows. */
static void screen(const struct lane *t)
{
    struct decoder *d = t->d;
    struct head *h = &d->head;
    uint32_t from, to;
    share_of(d->n_top - h->first, t->id, t->n, &from, &to);
    for (uint32_t i = h->first + from; i < h->first + to; i++) {
        const struct backend_row *row = row_of(d, i);
        const struct rules_row logits = indexed_row(t, i);
        h->todo[i] = (struct screen_todo){0, 0};
        if (rules_forbid(row->rules, &row->state, t->kernels, &logits))
            h->todo[i] = screen_panels(&h->screen, t->kernels, &h->rows[i], state_of(t, i),
                                       h->panels + (size_t)i * h->n_all);
    }
    barrier(t);
    mark(t, &d->times.rest_us);
}

/* Computes them: the panels of all rows, one after another, in even shares. */
static void compute_panels(const struct lane *t)
{
    struct decoder *d = t->d;
    struct head *h = &d->head;
    uint32_t n = 0, n_all = 0, from, to, before = 0;
    for (uint32_t i = h->first; i < d->n_top; i++) {
        n += h->todo[i].n - h->todo[i].n_done;
        n_all += h->todo[i].n;
    }
    share_of(n, t->id, t->n, &from, &to);
    for (uint32_t i = h->first, here; i < d->n_top && before < to; i++, before += here) {
        here = h->todo[i].n - h->todo[i].n_done;
        uint32_t end = MIN(to, before + here), start = MAX(from, before);
        const uint16_t *panels = h->panels + (size_t)i * h->n_all + h->todo[i].n_done;
        if (start < end)
            t->kernels->linear_some(&t->backend->weights.head, state_of(t, i),
                                    panels + (start - before), end - start, logits_of(d, i));
    }
    barrier(t);
    mark(t, &d->times.matrices_us);
    if (t->id == 0) {
        d->times.n_screened += d->n_top - h->first;
        d->times.n_panels += n_all;
    }
}

static void choose(const struct lane *t, uint32_t i)
{
    const struct head *h = &t->d->head;
    const struct backend_row *row = row_of(t->d, i);
    const struct rules_row logits = indexed_row(t, i);
    if (h->screens)
        screen_changed(t->kernels, &h->rows[i], h->panels + (size_t)i * h->n_all, h->todo[i].n);
    else if (i < h->n_full)
        finish_full(t, i);
    rules_choose_row(row->rules, &row->state, t->kernels, &logits, row->choice);
}

void head_run(const struct lane *t)
{
    struct decoder *d = t->d;
    struct head *h = &d->head;
    uint32_t from, to, n_full = h->screens ? h->n_full : h->first;
    norm_states(t);
    if (n_full > 0)
        run_full(t, n_full);
    if (h->first == d->n_top)
        return;
    scan(t);
    if (h->screens) {
        screen(t);
        compute_panels(t);
    }
    share_of(d->n_top - h->first, t->id, t->n, &from, &to);
    for (uint32_t i = h->first + from; i < h->first + to; i++)
        choose(t, i);
}
