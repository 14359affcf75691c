#include "backend/paced/paced.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SLICE_MIN_US = 100 };

struct paced_backend {
    struct backend base;
    struct backend *inner, *load;
    struct pace pace;
    bool has_pace;
    uint32_t n_late;
    uint64_t hidden_us;                 /* taken by `inner` beside a load */
    struct clock machine;
    struct rules_masks *masks;          /* of the load */
    struct rules rules;
    struct rules_choice choice[BACKEND_ROWS_MAX];
    struct backend_row rows[BACKEND_ROWS_MAX];
    float *features;                    /* the load's mel: silence */
};

struct paced_sequence {
    struct sequence base;
    struct sequence *inner, *load;
    bool encoding, inner_encoded;
    uint64_t encode_left_us;            /* of the table's time */
};

static struct paced_backend *backend_of(const struct sequence *sequence)
{
    return (struct paced_backend *)sequence->backend;
}

static uint64_t machine_us(const struct paced_backend *backend)
{
    return clock_us(&backend->machine);
}

static void sleep_until(const struct paced_backend *backend, uint64_t at_us)
{
    uint64_t now = machine_us(backend);
    if (now >= at_us)
        return;
    struct timespec left = {.tv_sec = (time_t)((at_us - now) / 1000000u),
                            .tv_nsec = (long)((at_us - now) % 1000000u) * 1000};
    while (nanosleep(&left, &left) != 0)
        continue;
}

/* Work of the model that chooses: beside a load its time does not count. */
static void hide(struct paced_backend *backend, uint64_t start_us)
{
    if (backend->load)
        backend->hidden_us += machine_us(backend) - start_us;
}

static void verb_close(struct sequence *base)
{
    struct paced_sequence *sequence = (struct paced_sequence *)base;
    backend_close(&sequence->inner);
    backend_close(&sequence->load);
    free(sequence);
}

static enum status verb_open(struct backend *base, struct sequence **out, struct error *err)
{
    struct paced_backend *backend = (struct paced_backend *)base;
    struct paced_sequence *sequence = calloc(1, sizeof(*sequence));
    if (!sequence)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a sequence");
    sequence->base.backend = base;
    enum status rc = backend_open(backend->inner, &sequence->inner, err);
    if (rc == STATUS_OK && backend->load)
        rc = backend_open(backend->load, &sequence->load, err);
    if (rc != STATUS_OK)
        verb_close(&sequence->base);
    else
        *out = &sequence->base;
    return rc;
}

/* Beside a load: its own encoder over silence. Paced: sleeps on, a budget at a time. */
static enum status encode_rest(struct paced_sequence *sequence, uint64_t budget_us, bool *done,
                               struct error *err)
{
    struct paced_backend *backend = backend_of(&sequence->base);
    if (sequence->load) {
        const struct backend_features features = {.mel = backend->features,
                                                  .n_mels = backend->load->model->n_mels,
                                                  .n_frames = 3000};
        return backend_encode(sequence->load, &features, budget_us, done, err);
    }
    uint64_t slice_us = MIN(MAX(budget_us, (uint64_t)SLICE_MIN_US), sequence->encode_left_us);
    sleep_until(backend, machine_us(backend) + slice_us);
    return STATUS_OK;
}

/* For both models at once. */
static enum status encode_nothing(struct paced_sequence *sequence,
                                  const struct backend_features *features, bool *done,
                                  struct error *err)
{
    struct paced_backend *backend = backend_of(&sequence->base);
    enum status rc = backend_encode(sequence->inner, features, UINT64_MAX, done, err);
    if (rc == STATUS_OK && sequence->load) {
        struct backend_features load = *features;
        load.n_mels = backend->load->model->n_mels;
        rc = backend_encode(sequence->load, &load, UINT64_MAX, done, err);
    }
    sequence->encoding = false;
    sequence->base.n_kept = sequence->inner->n_kept;
    return rc;
}

static enum status verb_encode(struct sequence *base, const struct backend_features *features,
                               uint64_t budget_us, bool *done, struct error *err)
{
    struct paced_sequence *sequence = (struct paced_sequence *)base;
    struct paced_backend *backend = backend_of(base);
    uint64_t start = machine_us(backend);
    if (!features->mel)
        return encode_nothing(sequence, features, done, err);
    if (!sequence->encoding) {
        sequence->encoding = true;
        sequence->inner_encoded = false;
        sequence->encode_left_us = (uint64_t)(1000.0f * backend->pace.encode_ms);
    }
    enum status rc = STATUS_OK;
    *done = false;
    if (!sequence->inner_encoded) {
        rc = backend_encode(sequence->inner, features, budget_us, &sequence->inner_encoded, err);
        hide(backend, start);
    } else {
        rc = encode_rest(sequence, budget_us, done, err);
    }
    if (!sequence->load) {                  /* windows may take turns: only its own time counts */
        uint64_t spent = machine_us(backend) - start;
        sequence->encode_left_us -= MIN(spent, sequence->encode_left_us);
        *done = sequence->inner_encoded && sequence->encode_left_us == 0;
    }
    base->n_kept = sequence->inner->n_kept;
    sequence->encoding = !*done;
    return rc;
}

static void translate(struct paced_backend *backend, const struct backend_row *rows,
                      uint32_t n_rows, bool load)
{
    for (uint32_t i = 0; i < n_rows; i++) {
        struct paced_sequence *sequence = (struct paced_sequence *)rows[i].sequence;
        backend->rows[i] = rows[i];
        backend->rows[i].sequence = load ? sequence->load : sequence->inner;
        if (!load)
            continue;
        uint32_t last = backend->load->model->n_vocab - 1;
        backend->rows[i].token = (int32_t)MIN((uint32_t)rows[i].token, last);
        backend->rows[i].rules = rows[i].rules ? &backend->rules : NULL;
        backend->rows[i].state = rules_begin();
        backend->rows[i].choice = rows[i].choice ? &backend->choice[i] : NULL;
        backend->rows[i].no_speech = NULL;
        backend->rows[i].logits = NULL;
    }
}

static enum status verb_forward(struct backend *base, struct backend_row *rows, uint32_t n_rows,
                                struct error *err)
{
    struct paced_backend *backend = (struct paced_backend *)base;
    uint64_t start = machine_us(backend);
    translate(backend, rows, n_rows, false);
    enum status rc = backend_forward(backend->inner, backend->rows, n_rows, err);
    hide(backend, start);
    if (rc == STATUS_OK && backend->load) {
        translate(backend, rows, n_rows, true);
        rc = backend_forward(backend->load, backend->rows, n_rows, err);
    }
    if (backend->has_pace) {
        uint64_t end = start + (uint64_t)(1000.0f * pace_ms(&backend->pace, n_rows));
        backend->n_late += machine_us(backend) > end;
        sleep_until(backend, end);
    }
    return rc;
}

static void verb_keep(struct sequence *base, uint32_t n_base, const uint8_t *rows, uint32_t n_rows)
{
    struct paced_sequence *sequence = (struct paced_sequence *)base;
    backend_keep(sequence->inner, n_base, rows, n_rows);
    if (sequence->load)
        backend_keep(sequence->load, n_base, rows, n_rows);
    base->n_kept = sequence->inner->n_kept;
}

static void verb_free(struct backend *base)
{
    struct paced_backend *backend = (struct paced_backend *)base;
    backend_free(&backend->inner);
    backend_free(&backend->load);
    rules_masks_free(&backend->masks);
    free(backend->features);
    free(backend);
}

static const struct backend_ops ops = {
    .open = verb_open, .encode = verb_encode, .forward = verb_forward,
    .keep = verb_keep, .close = verb_close,   .free = verb_free,
};

static enum status prepare_load(struct paced_backend *backend, struct error *err)
{
    const struct model_description *model = backend->load->model;
    if (model->decoder.n_positions < backend->inner->model->decoder.n_positions)
        return error_set(err, STATUS_INVALID, "the shape %s has too short a context", model->name);
    enum status rc = rules_masks_new(model, &backend->masks, err);
    if (rc != STATUS_OK)
        return rc;
    backend->rules = rules_default(model, backend->masks);
    backend->features = calloc((size_t)model->n_mels * 3000, sizeof(float));
    return backend->features ? STATUS_OK
                             : error_set(err, STATUS_NO_MEMORY, "no memory for features");
}

enum status paced_backend_new(struct backend *inner, const struct paced_options *options,
                              struct backend **out, struct error *err)
{
    struct paced_backend *backend = calloc(1, sizeof(*backend));
    struct backend *load = options->load;
    *out = NULL;
    if (!backend) {
        backend_free(&inner);
        backend_free(&load);
        return error_set(err, STATUS_NO_MEMORY, "no memory for a backend");
    }
    backend->inner = inner;
    backend->load = load;
    backend->has_pace = options->pace != NULL;
    if (options->pace)
        backend->pace = *options->pace;
    backend->machine = clock_monotonic();
    backend->base = (struct backend){.ops = &ops, .info = inner->info, .model = inner->model};
    backend->base.info.kind = load ? "shape" : "paced";
    enum status rc = load ? prepare_load(backend, err) : STATUS_OK;
    if (rc != STATUS_OK)
        verb_free(&backend->base);
    else
        *out = &backend->base;
    return rc;
}

static uint64_t visible_us(void *context)
{
    const struct paced_backend *backend = context;
    return machine_us(backend) - backend->hidden_us;
}

struct clock paced_clock(struct backend *paced)
{
    return (struct clock){.now = visible_us, .context = paced};
}

uint32_t paced_late(const struct backend *paced)
{
    return ((const struct paced_backend *)paced)->n_late;
}
