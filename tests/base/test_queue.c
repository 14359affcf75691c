/* Mailboxes: order, caps, closing, waking, and nothing lost between threads. */
#include "../support/support.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/queue.h"

static struct queue *new_queue(size_t capacity)
{
    struct queue *queue = NULL;
    struct error err;
    assert_ok(queue_new(capacity, &queue, &err), &err);
    return queue;
}

static void first_in_first_out_across_the_ring_seam(void **state)
{
    (void)state;
    struct queue *queue = new_queue(3);
    int items[64];
    size_t pushed = 0, popped = 0;
    void *item;
    while (popped < ARRAY_LEN(items)) {
        while (pushed < ARRAY_LEN(items) && queue_push(queue, &items[pushed]) == QUEUE_OK)
            pushed++;
        assert_int_equal(queue_count(queue), pushed - popped);
        for (int i = 0; i < 2 && popped < pushed; i++) {
            assert_int_equal(queue_pop(queue, 0, &item), QUEUE_OK);
            assert_ptr_equal(item, &items[popped++]);
        }
    }
    assert_int_equal(queue_pop(queue, 0, &item), QUEUE_EMPTY);
    assert_null(item);
    queue_free(&queue);
    assert_null(queue);
}

static void full_queue_answers_and_keeps_nothing(void **state)
{
    (void)state;
    struct queue *queue = new_queue(1);
    int a, b;
    void *item;
    assert_int_equal(queue_push(queue, &a), QUEUE_OK);
    assert_int_equal(queue_push(queue, &b), QUEUE_FULL);
    assert_int_equal(queue_pop(queue, 0, &item), QUEUE_OK);
    assert_ptr_equal(item, &a);
    assert_int_equal(queue_push(queue, &b), QUEUE_OK);
    assert_int_equal(queue_pop(queue, QUEUE_FOREVER, &item), QUEUE_OK);
    assert_ptr_equal(item, &b);
    queue_free(&queue);
}

static void closed_queue_refuses_but_drains(void **state)
{
    (void)state;
    struct queue *queue = new_queue(4);
    int a;
    void *item;
    assert_int_equal(queue_push(queue, &a), QUEUE_OK);
    queue_close(queue);
    queue_close(queue);
    assert_int_equal(queue_push(queue, &a), QUEUE_CLOSED);
    assert_int_equal(queue_pop(queue, QUEUE_FOREVER, &item), QUEUE_OK);
    assert_int_equal(queue_pop(queue, QUEUE_FOREVER, &item), QUEUE_CLOSED);
    assert_null(item);
    queue_free(&queue);
}

static void timed_pop_waits_at_least_its_time(void **state)
{
    (void)state;
    struct queue *queue = new_queue(1);
    struct clock clock = clock_monotonic();
    void *item;
    uint64_t start = clock_us(&clock);
    assert_int_equal(queue_pop(queue, 20000, &item), QUEUE_EMPTY);
    assert_true(clock_us(&clock) - start >= 20000);
    queue_free(&queue);
}

enum { PRODUCERS = 4, PER_PRODUCER = 5000 };

struct producer {
    struct queue *queue;
    int base;
    int *items;
};

static void *produce(void *argument)
{
    struct producer *p = argument;
    for (int i = 0; i < PER_PRODUCER; i++)
        while (queue_push(p->queue, &p->items[p->base + i]) == QUEUE_FULL)
            sched_yield();
    return NULL;
}

static void many_producers_lose_nothing_and_keep_their_order(void **state)
{
    (void)state;
    struct queue *queue = new_queue(16);
    int *items = calloc(PRODUCERS * PER_PRODUCER, sizeof(*items));
    struct producer producers[PRODUCERS];
    pthread_t threads[PRODUCERS];
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){queue, i * PER_PRODUCER, items};
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    int next[PRODUCERS] = {0};
    for (int n = 0; n < PRODUCERS * PER_PRODUCER; n++) {
        void *item;
        assert_int_equal(queue_pop(queue, QUEUE_FOREVER, &item), QUEUE_OK);
        int index = (int)((int *)item - items);
        assert_int_equal(index % PER_PRODUCER, next[index / PER_PRODUCER]++);
    }
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(queue_count(queue), 0);
    free(items);
    queue_free(&queue);
}

static void *pop_until_closed(void *argument)
{
    void *item;
    return (void *)(intptr_t)(queue_pop(argument, QUEUE_FOREVER, &item) == QUEUE_CLOSED);
}

static void closing_wakes_a_waiting_consumer(void **state)
{
    (void)state;
    struct queue *queue = new_queue(2);
    pthread_t thread;
    void *closed = NULL;
    assert_int_equal(pthread_create(&thread, NULL, pop_until_closed, queue), 0);
    queue_close(queue);
    pthread_join(thread, &closed);
    assert_non_null(closed);
    queue_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_first_out_across_the_ring_seam),
        cmocka_unit_test(full_queue_answers_and_keeps_nothing),
        cmocka_unit_test(closed_queue_refuses_but_drains),
        cmocka_unit_test(timed_pop_waits_at_least_its_time),
        cmocka_unit_test(many_producers_lose_nothing_and_keep_their_order),
        cmocka_unit_test(closing_wakes_a_waiting_consumer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
