#include "base/queue.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;             /* an item came, or the queue closed; CLOCK_MONOTONIC */
    size_t capacity, first, count;
    bool closed;
    void *items[];                      /* ring of `capacity` */
};

enum status queue_new(size_t capacity, struct queue **out, struct error *err)
{
    SA_ASSERT(capacity >= 1 && capacity <= SIZE_MAX / sizeof(void *) / 2);
    struct queue *queue = calloc(1, sizeof(*queue) + capacity * sizeof(void *));
    if (!queue)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a queue of %zu items", capacity);
    queue->capacity = capacity;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    *out = queue;
    return STATUS_OK;
}

void queue_free(struct queue **queue)
{
    if (!*queue)
        return;
    SA_ASSERT((*queue)->count == 0);
    pthread_cond_destroy(&(*queue)->changed);
    pthread_mutex_destroy(&(*queue)->lock);
    free(*queue);
    *queue = NULL;
}

enum queue_result queue_push(struct queue *queue, void *item)
{
    enum queue_result result = QUEUE_OK;
    pthread_mutex_lock(&queue->lock);
    if (queue->closed) {
        result = QUEUE_CLOSED;
    } else if (queue->count == queue->capacity) {
        result = QUEUE_FULL;
    } else {
        queue->items[(queue->first + queue->count) % queue->capacity] = item;
        queue->count++;
        pthread_cond_signal(&queue->changed);
    }
    pthread_mutex_unlock(&queue->lock);
    return result;
}

static struct timespec deadline_after(int64_t timeout_us)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(timeout_us / 1000000);
    at.tv_nsec += (long)(timeout_us % 1000000) * 1000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_nsec -= 1000000000;
        at.tv_sec++;
    }
    return at;
}

/* With the lock held: until there is an item, the queue closes, or the time is over. */
static void wait_for_item(struct queue *queue, int64_t timeout_us)
{
    bool forever = timeout_us == QUEUE_FOREVER;
    struct timespec deadline = {0};
    if (!forever && timeout_us > 0)
        deadline = deadline_after(timeout_us);
    bool in_time = timeout_us > 0;
    while (in_time && queue->count == 0 && !queue->closed) {
        if (forever)
            pthread_cond_wait(&queue->changed, &queue->lock);
        else
            in_time = pthread_cond_timedwait(&queue->changed, &queue->lock, &deadline) == 0;
    }
}

enum queue_result queue_pop(struct queue *queue, int64_t timeout_us, void **item)
{
    enum queue_result result = QUEUE_OK;
    *item = NULL;
    pthread_mutex_lock(&queue->lock);
    wait_for_item(queue, timeout_us);
    if (queue->count > 0) {
        *item = queue->items[queue->first];
        queue->first = (queue->first + 1) % queue->capacity;
        queue->count--;
    } else {
        result = queue->closed ? QUEUE_CLOSED : QUEUE_EMPTY;
    }
    pthread_mutex_unlock(&queue->lock);
    return result;
}

void queue_close(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

size_t queue_count(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    size_t count = queue->count;
    pthread_mutex_unlock(&queue->lock);
    return count;
}
