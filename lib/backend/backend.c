#include "backend/backend.h"

enum status backend_open(struct backend *backend, struct sequence **out, struct error *err)
{
    *out = NULL;
    return backend->ops->open(backend, out, err);
}

enum status backend_encode(struct sequence *sequence, const struct backend_features *features,
                           uint64_t budget_us, bool *done, struct error *err)
{
    *done = false;
    if (features->n_mels != sequence->backend->model->n_mels)
        return error_set(err, STATUS_INVALID, "the model takes %u mel bands, the features have %u",
                         sequence->backend->model->n_mels, features->n_mels);
    return sequence->backend->ops->encode(sequence, features, budget_us, done, err);
}

enum status backend_forward(struct backend *backend, struct backend_row *rows, uint32_t n_rows,
                            struct error *err)
{
    SA_ASSERT(n_rows > 0 && n_rows <= BACKEND_ROWS_MAX);
    for (uint32_t i = 0; i < n_rows; i++) {
        const struct backend_row *row = &rows[i];
        SA_ASSERT(row->sequence->backend == backend);
        SA_ASSERT(row->parent < (int32_t)i);
        SA_ASSERT(row->parent < 0 || rows[row->parent].sequence == row->sequence);
        SA_ASSERT(!row->rules || row->choice);
        SA_ASSERT(row->token >= 0 && (uint32_t)row->token < backend->model->n_vocab);
    }
    return backend->ops->forward(backend, rows, n_rows, err);
}

void backend_keep(struct sequence *sequence, uint32_t n_base, const uint8_t *rows, uint32_t n_rows)
{
    SA_ASSERT(n_base <= sequence->n_kept);
    SA_ASSERT(n_rows == 0 || n_base == sequence->n_kept);
    sequence->backend->ops->keep(sequence, n_base, rows, n_rows);
}

void backend_close(struct sequence **sequence)
{
    if (*sequence)
        (*sequence)->backend->ops->close(*sequence);
    *sequence = NULL;
}

void backend_free(struct backend **backend)
{
    if (*backend)
        (*backend)->ops->free(*backend);
    *backend = NULL;
}
