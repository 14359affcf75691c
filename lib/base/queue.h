/* queue.h: a bounded mailbox, many producers and one consumer.
 *
 * Items are pointers that stay the caller's: the queue never looks behind them, nor frees them. A
 * push never blocks and never allocates: a full queue answers. A closed queue refuses new items but
 * still hands out what it holds, so that a consumer can drain before it stops.
 */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum queue_result {
    QUEUE_OK,
    QUEUE_FULL,                         /* push: capacity items are waiting */
    QUEUE_EMPTY,                        /* pop: nothing came in time */
    QUEUE_CLOSED                        /* push: closed; pop: closed and drained */
};

#define QUEUE_FOREVER INT64_MAX

struct queue;

/* capacity: items that may wait at once, at least 1. STATUS_NO_MEMORY. */
MUST_CHECK enum status queue_new(size_t capacity, struct queue **out, struct error *err);

/* Items still inside are the caller's to pop first; nobody may be inside a call. Accepts NULL. */
void queue_free(struct queue **queue);

/* From any thread. On anything but QUEUE_OK the item stays with the caller. */
enum queue_result queue_push(struct queue *queue, void *item);

/* Waits at most timeout_us (0: looks only; QUEUE_FOREVER) on the monotonic clock. First in, first
 * out; *item is NULL unless QUEUE_OK. */
enum queue_result queue_pop(struct queue *queue, int64_t timeout_us, void **item);

/* Refuses further items and wakes everyone who waits. Closing twice is allowed. */
void queue_close(struct queue *queue);

/* Items waiting now; a hint when other threads push. */
size_t queue_count(struct queue *queue);

#endif
