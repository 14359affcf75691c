/* backend.h: a whole model step behind five verbs. No matrix product in the interface.
 *
 *     open     a sequence: one audio window's timeline with its keys and values
 *     encode   audio features -> cross-attention keys and values, in slices of bounded time
 *     forward  up to BACKEND_ROWS_MAX rows of any sequences -> a choice per row
 *     keep     which rows of the last forward stay (after an optional rewind)
 *     close
 *
 * Decode is a forward of one row, verification of many, prefill of many without choices: one
 * implementation. A row attends to the kept rows of its sequence, to its ancestors among the rows
 * of the same call, and to itself:
 *
 *     kept 0 1 2 3 4 | rows of this call        position of a row = n_kept + depth
 *                    | r0 (parent -1)           r0 at 5
 *                    |  +- r1 (parent r0)       r1 at 6
 *                    |  |   +- r3 (parent r1)   r3 at 7
 *                    |  +- r2 (parent r0)       r2 at 6
 *
 * Row invariance: the outputs of a row are the same bits whatever other rows are in the call.
 *
 * Threads: one thread owns a backend and all its sequences.
 */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "model/model.h"
#include "rules/rules.h"

enum {
    BACKEND_ROWS_MAX = 64,
    BACKEND_WINDOWS = 2                 /* in the encoder at once */
};

struct sequence;

/* One node to evaluate. Inputs are borrowed for the call; `out_*` may be NULL where not wanted. */
struct backend_row {
    struct sequence *sequence;
    int32_t token;
    int32_t parent; /* index in this call, of the same sequence, below own; -1: last kept */
    const struct rules *rules;          /* NULL: no choice and no logits are wanted (prompt rows) */
    struct rules_state state;           /* after `token` */
    struct rules_choice *choice;        /* out; required when rules are given */
    float *no_speech; /* out or NULL: probability of the no-speech token in this row */
    float *logits;                      /* out or NULL: n_vocab unfiltered logits */
};

/* Log-mel of one window: [n_mels][n_frames], frame-contiguous per band; n_frames even, at most
 * 3,000. Whisper's target always gets 3,000 (30 s); only a draft may get fewer. Without mel (NULL)
 * the window says nothing and is encoded at once: to time passes. */
struct backend_features {
    const float *mel;
    uint32_t n_mels;
    uint32_t n_frames;
};

struct backend_info {
    const char *kind;                   /* "cpu", "toy" */
    const char *kernels;                /* "reference", "avx2", "avx512", "neon" */
    uint32_t n_threads;
    uint64_t weight_bytes;              /* resident bytes of repacked weights */
    uint64_t sequence_bytes;            /* what a sequence takes once encoded */
    uint64_t window_bytes;              /* what a window takes while it is in the encoder */
};

struct backend;

struct backend_ops {
    enum status (*open)(struct backend *backend, struct sequence **out, struct error *err);
    enum status (*encode)(struct sequence *sequence, const struct backend_features *features,
                          uint64_t budget_us, bool *done, struct error *err);
    enum status (*forward)(struct backend *backend, struct backend_row *rows, uint32_t n_rows,
                           struct error *err);
    void (*keep)(struct sequence *sequence, uint32_t n_base, const uint8_t *rows, uint32_t n_rows);
    void (*close)(struct sequence *sequence);
    void (*free)(struct backend *backend);
};

/* An implementation embeds this as its first member. */
struct backend {
    const struct backend_ops *ops;
    struct backend_info info;
    const struct model_description *model;
};

/* Likewise the first member of an implementation's sequence. */
struct sequence {
    struct backend *backend;
    uint32_t n_kept;
};

/* Opens a sequence; cheap: keys and values are taken when encode begins. Caller closes it. */
MUST_CHECK enum status backend_open(struct backend *backend, struct sequence **out,
                                    struct error *err);

/* Works on the encoder for about budget_us (UINT64_MAX: to the end; at least one slice is done) and
 * sets *done. Features must be there and the same until done, or until the sequence is closed.
 * BACKEND_WINDOWS may be under way at once, slice by slice in any order; a call for one more first
 * helps to finish the one that began first (so it may return with its own window not yet begun).
 * Encoding again after done starts a new window: kept rows are dropped. The result does not depend
 * on slicing or on other sequences. STATUS_INVALID for an odd or too large number of frames. */
MUST_CHECK enum status backend_encode(struct sequence *sequence,
                                      const struct backend_features *features, uint64_t budget_us,
                                      bool *done, struct error *err);

/* Evaluates the rows. STATUS_INVALID when a row would pass the last position (n_positions) or its
 * sequence has no encoded window; then nothing was evaluated. The rows are provisional until keep;
 * the next forward with rows of the same sequence drops those not kept. No allocation. */
MUST_CHECK enum status backend_forward(struct backend *backend, struct backend_row *rows,
                                       uint32_t n_rows, struct error *err);

/* Rewinds to n_base kept rows (at most n_kept), then keeps the listed rows of the last forward
 * (indices in that call, each the child of the one before, the first a child of the last kept row;
 * only possible with n_base == n_kept when n_rows > 0). Drops the others of this sequence. */
void backend_keep(struct sequence *sequence, uint32_t n_base, const uint8_t *rows,
                  uint32_t n_rows);

void backend_close(struct sequence **sequence);
void backend_free(struct backend **backend);

static inline uint32_t sequence_kept(const struct sequence *sequence)
{
    return sequence->n_kept;
}

#endif
