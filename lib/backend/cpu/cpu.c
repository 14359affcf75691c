/* cpu.c: the five verbs on this machine's processors. */
#include "backend/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/cpu/cpu_int.h"

enum { THREADS_DEFAULT_MAX = 16 };

static struct cpu_backend *backend_of(const struct sequence *sequence)
{
    return (struct cpu_backend *)sequence->backend;
}

static enum status verb_open(struct backend *backend, struct sequence **out, struct error *err)
{
    struct cpu_sequence *sequence = calloc(1, sizeof(*sequence));
    if (!sequence)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a sequence");
    sequence->base.backend = backend;
    kv_init(&sequence->kv, backend->model->decoder.n_positions);
    *out = &sequence->base;
    return STATUS_OK;
}

static enum status check_features(const struct model_description *m,
                                  const struct backend_features *f, struct error *err)
{
    if (f->n_frames == 0 || f->n_frames % 2 || f->n_frames > 2 * m->encoder.n_positions)
        return error_set(err, STATUS_INVALID,
                         "a window has an even number of frames up to %u, not %u",
                         2 * m->encoder.n_positions, f->n_frames);
    return STATUS_OK;
}

/* A window for this sequence: what it held before is gone. */
static enum status clear_window(struct cpu_sequence *sequence,
                                const struct backend_features *features, struct error *err)
{
    struct cpu_backend *backend = backend_of(&sequence->base);
    sequence->encoded = false;
    kv_init(&sequence->kv, backend->description->decoder.n_positions);
    sequence->base.n_kept = 0;
    enum status status = sequence_reserve(sequence, features->n_frames / 2, err);
    if (status != STATUS_OK)
        return status;
    sequence->n_keys = features->n_frames / 2;
    return STATUS_OK;
}

/* Small numbers for keys and values, in memory of their own: passes take as long as with real
 * ones. */
static enum status encode_nothing(struct cpu_sequence *sequence,
                                  const struct backend_features *features, struct error *err)
{
    SA_ASSERT(!encoder_job_of(&backend_of(&sequence->base)->encoder, sequence));
    enum status status = clear_window(sequence, features, err);
    if (status != STATUS_OK)
        return status;
    memset(sequence->memory, 0x11, sequence->n_bytes);
    sequence->encoded = true;
    return STATUS_OK;
}

/* Works on another sequence's window; true when it is done and time is left. */
static bool help(struct cpu_backend *backend, uint64_t deadline)
{
    struct encoder_job *job = encoder_first_job(&backend->encoder);
    struct cpu_sequence *other = job->sequence;
    other->finished_by_other = encoder_advance(backend, job, deadline);
    return other->finished_by_other && clock_us(&backend->clock) < deadline;
}

/* No more windows may begin: the one who asks helps to finish the first, so that nobody waits for a
 * caller that went away. *job stays NULL when that takes all the time there is. */
static enum status begin_window(struct cpu_sequence *sequence,
                                const struct backend_features *features, uint64_t deadline,
                                struct encoder_job **job, struct error *err)
{
    struct cpu_backend *backend = backend_of(&sequence->base);
    struct encoder_job *free_job = encoder_free_job(backend);
    if (!free_job && help(backend, deadline))
        free_job = encoder_free_job(backend);
    if (!free_job)
        return STATUS_OK;
    enum status status = clear_window(sequence, features, err);
    if (status != STATUS_OK)
        return status;
    encoder_begin(backend, free_job, sequence, features);
    *job = free_job;
    return STATUS_OK;
}

static enum status verb_encode(struct sequence *base, const struct backend_features *features,
                               uint64_t budget_us, bool *done, struct error *err)
{
    struct cpu_sequence *sequence = (struct cpu_sequence *)base;
    struct cpu_backend *backend = backend_of(base);
    uint64_t now = clock_us(&backend->clock);
    uint64_t deadline = budget_us > UINT64_MAX - now ? UINT64_MAX : now + budget_us;
    enum status status = check_features(backend->description, features, err);
    if (status != STATUS_OK)
        return status;
    if (!features->mel) {
        *done = true;
        return encode_nothing(sequence, features, err);
    }
    if (sequence->finished_by_other) {
        sequence->finished_by_other = false;
        *done = true;
        return STATUS_OK;
    }
    struct encoder_job *job = encoder_job_of(&backend->encoder, sequence);
    if (!job)
        status = begin_window(sequence, features, deadline, &job, err);
    if (job)
        *done = encoder_advance(backend, job, deadline);
    return status;
}

static enum status verb_forward(struct backend *backend, struct backend_row *rows, uint32_t n_rows,
                                struct error *err)
{
    return decoder_forward((struct cpu_backend *)backend, rows, n_rows, err);
}

static void verb_keep(struct sequence *base, uint32_t n_base, const uint8_t *rows, uint32_t n_rows)
{
    struct cpu_sequence *sequence = (struct cpu_sequence *)base;
    struct kv_move moves[KV_ROWS_MAX];
    uint32_t n_moves = kv_keep(&sequence->kv, n_base, rows, n_rows, moves);
    sequence_move(sequence, moves, n_moves);
    base->n_kept = sequence->kv.n_kept;
}

static void verb_close(struct sequence *base)
{
    struct cpu_sequence *sequence = (struct cpu_sequence *)base;
    struct cpu_backend *backend = backend_of(base);
    struct encoder_job *job = encoder_job_of(&backend->encoder, sequence);
    if (job)
        job->sequence = NULL;
    sequence_release(sequence);
    free(sequence);
}

static void verb_free(struct backend *base)
{
    struct cpu_backend *backend = (struct cpu_backend *)base;
    decoder_release(backend);
    head_release(backend);
    encoder_release(backend);
    pool_free(&backend->pool);
    weights_release(&backend->weights);
    free(backend);
}

static const struct backend_ops cpu_ops = {
    .open = verb_open, .encode = verb_encode, .forward = verb_forward, .keep = verb_keep,
    .close = verb_close, .free = verb_free,
};

/* What the kernels and the encoder can run; the decoder's loop takes every description. */
static enum status check_description(const struct model_description *m, struct error *err)
{
    const struct stack_description *e = &m->encoder, *d = &m->decoder;
    const struct stack_description *stacks[] = {e, d};
    for (size_t i = 0; i < ARRAY_LEN(stacks); i++) {
        const struct stack_description *s = stacks[i];
        if (s->head_size == 0 || s->head_size % PANEL || s->head_size > 256 || s->n_kv_heads == 0 ||
            s->n_heads % s->n_kv_heads || s->n_state % PANEL || s->n_ff % PANEL)
            return error_set(
                err, STATUS_UNSUPPORTED,
                "the CPU backend takes heads of 16 to 256 and widths in steps of 16; this "
                "model has heads of %u and widths %u, %u",
                s->head_size, s->n_state, s->n_ff);
    }
    if (e->norm != NORM_LAYER || e->activation != ACTIVATION_GELU ||
        e->positions != POSITION_TABLE || e->n_kv_heads != e->n_heads ||
        e->n_heads * e->head_size != e->n_state)
        return error_set(err, STATUS_UNSUPPORTED,
                         "the CPU backend has only Whisper's kind of encoder");
    if (!d->cross_attention)
        return error_set(err, STATUS_UNSUPPORTED,
                         "the CPU backend reads audio by cross-attention only");
    return STATUS_OK;
}

static enum status choose(struct cpu_backend *backend, const struct cpu_options *options,
                          struct error *err)
{
    backend->kernels = kernels_find(options->kernels);
    backend->gemm = gemm_find(options->kernels);
    if (!backend->kernels || !backend->gemm)
        return error_set(err, STATUS_INVALID,
                         "kernels \"%s\" are unknown or cannot run on this machine",
                         options->kernels ? options->kernels : "");
    uint32_t n_threads = options->n_threads;
    if (n_threads == 0)
        n_threads =
            (uint32_t)MIN(MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L), (long)THREADS_DEFAULT_MAX);
    backend->decoder.timed = options->timed;
    backend->clock = options->clock ? *options->clock : clock_monotonic();
    if (options->encoder_blas && blas_load(&backend->sgemm, err) != STATUS_OK)
        return STATUS_UNAVAILABLE;
    return pool_new(n_threads, !options->unpinned, &backend->pool, err);
}

static enum status prepare(struct cpu_backend *backend, struct model *model,
                           const struct cpu_options *options, struct error *err)
{
    enum status status = check_description(backend->description, err);
    if (status == STATUS_OK)
        status = choose(backend, options, err);
    if (status == STATUS_OK)
        status = weights_load(&backend->weights, model, options->weights, err);
    if (status == STATUS_OK)
        status = encoder_init(backend, err);
    if (status == STATUS_OK)
        status = head_init(backend, options, err);
    if (status == STATUS_OK)
        status = decoder_init(backend, err);
    return status;
}

enum status cpu_backend_new(struct model *model, const struct cpu_options *options,
                            struct backend **out, struct error *err)
{
    const struct cpu_options none = {.n_threads = 0};
    struct cpu_backend *backend = calloc(1, sizeof(*backend));
    *out = NULL;
    if (!backend)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a backend");
    backend->description = model_describe(model);
    enum status status = prepare(backend, model, options ? options : &none, err);
    if (status != STATUS_OK) {
        verb_free(&backend->base);
        return status;
    }
    backend->base = (struct backend){
        .ops = &cpu_ops,
        .model = backend->description,
        .info = {
            .kind = "cpu",
            .kernels = backend->kernels->name,
            .n_threads = pool_threads(backend->pool),
            .weight_bytes = backend->weights.n_bytes + backend->decoder.head.n_bytes,
            .window_bytes = backend->encoder.job_bytes,
            .sequence_bytes = sequence_bytes(backend->description,
                                             backend->description->encoder.n_positions),
        },
    };
    *out = &backend->base;
    return STATUS_OK;
}
