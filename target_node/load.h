/* load.h: how busy a target is, as its heartbeats say it. Written by the model thread, read by the
 * thread that reports.
 *
 *     window [us]  model time of one window (encoder + passes), smoothed over 16 windows
 *     used         share of its time that the model thread works, smoothed over about a second
 *     queue  [us]  window x min(sessions with work, used / (1 - used)): what a new window waits for
 *                  where all that is there shares the model (the mean of an M/M/1 queue, and never
 *                  more than what is there). Live sessions have work owed all the time and need
 *                  little: counting them alone would call a third-full target full.
 */
#ifndef TARGET_NODE_LOAD_H
#define TARGET_NODE_LOAD_H

#include <stdatomic.h>
#include <stdint.h>

#include "wire/wire.h"

struct load {
    /* the model thread's */
    float window_us, used;
    uint64_t noted_us;
    /* for the others */
    _Atomic uint32_t sessions, busy, queue_us, published_window_us, step_us, row_us;
};

/* What a frame to a client tells about time: WindowFinal, Price. */
void load_frame(struct load *load, const struct wire_frame *frame);

/* After each turn of the model thread: it worked from began_us to now_us, and waited before. */
void load_turn(struct load *load, uint64_t began_us, uint64_t now_us);
void load_counts(struct load *load, uint32_t sessions, uint32_t busy);

#endif
