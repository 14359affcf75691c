/* count.h: what a target counts of its sessions, from the frames that pass. Called by the model
 * thread; the metrics may be read by any. */
#ifndef TARGET_NODE_COUNT_H
#define TARGET_NODE_COUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/target.h"
#include "metrics/tables.h"
#include "wire/wire.h"

enum { SAMPLES_PER_MS = 16 };

/* Of one session. All zero at its begin. */
struct counted {
    bool opened, drafts;                    /* Opened went out; the client drafts */
    bool colocated;                         /* drafts are made here for it */
    uint8_t session[16];
    uint32_t epoch;
    uint32_t depth;                         /* advised last */
    uint64_t windows, rows;                 /* that are final */
    uint64_t lag_us;                        /* of the last utterance; 0: none yet */
    struct {
        uint32_t utterance;
        uint64_t ended_us;                  /* its EndOfUtterance came; 0: free */
    } ends[WIRE_UTTERANCES_MAX];
};

/* A frame of the client, before the session has it; and one to it. */
void count_received(struct counted *counted, const struct wire_frame *frame, uint64_t now_us);
void count_sent(struct metrics *metrics, struct counted *counted, const struct wire_frame *frame,
                uint64_t now_us);

/* A session that was not taken (its Open, or its stream). */
void count_refused(struct metrics *metrics, enum status code);

/* After each turn of the model thread, which runs at most one pass. *before is what the last call
 * had. */
void count_turn(struct metrics *metrics, struct target_counts *before,
                const struct target_counts *now);

#endif
