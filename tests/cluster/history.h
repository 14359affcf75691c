/* history.h: what a user saw of each utterance, and whether it may have happened.
 *
 *     every window exactly once and in order, each beginning where the one before said;
 *     tokens equal to those of the target alone; the end exactly once, behind all windows;
 *     utterances end in the order in which they began.
 */
#ifndef TESTS_CLUSTER_HISTORY_H
#define TESTS_CLUSTER_HISTORY_H

#include "wire/wire.h"
#include "world.h"

struct told {                               /* of one utterance */
    const struct expected *expected;        /* borrowed */
    uint32_t n_windows, n_tokens;
    uint64_t next_start;
    bool ended;
    bool cancelled;                         /* the user gave it up: nothing may come any more */
    uint64_t spoken_us;                     /* its last sample was there */
    uint64_t ended_us;
    uint64_t decode_us;                     /* on the target, from encoded to final, all windows */
    uint32_t n_resumes;                     /* streams lost while it was open */
};

struct history {
    struct told *told;                      /* by utterance id */
    uint32_t n, n_max;
    uint32_t n_ended;
    struct wire_window_stats stats;         /* sums of what the target counted */
    char violation[320];                    /* the first; empty: none */
};

void history_init(struct history *history, uint32_t n_max);
void history_release(struct history *history);

void history_begin(struct history *history, uint32_t utterance, const struct expected *expected);
void history_spoken(struct history *history, uint32_t utterance, uint64_t now_us);
void history_window(struct history *history, const struct wire_window_final *final);
void history_cancel(struct history *history, uint32_t utterance);
void history_end(struct history *history, uint32_t utterance, uint64_t now_us);

/* A client was told of a failed utterance: none of these worlds allows that. */
void history_failed(struct history *history, const struct wire_error *error);

/* All utterances that began have ended. */
bool history_complete(const struct history *history);

/* From the last sample to the end of utterance i, in microseconds. */
uint64_t history_lag_us(const struct history *history, uint32_t i);

#endif
