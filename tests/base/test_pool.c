#include "../support/support.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/pool.h"

enum { THREADS = 4 };

static struct pool *new_pool(uint32_t n_threads, bool pin)
{
    struct error err;
    struct pool *pool = NULL;
    assert_ok(pool_new(n_threads, pin, &pool, &err), &err);
    assert_int_equal(pool_threads(pool), n_threads);
    return pool;
}

/* ---- each thread, once ---- */

struct counts {
    uint32_t n[64]; /* plain memory: a thread touches its own, the caller reads after the run */
    uint32_t n_threads;
};

static void count(void *context, uint32_t thread, uint32_t n_threads)
{
    struct counts *counts = context;
    counts->n[thread]++;
    if (thread == 0)
        counts->n_threads = n_threads;
}

static void run_many(uint32_t n_threads, bool pin, bool hot, uint32_t n_runs)
{
    struct counts counts = {0};
    struct pool *pool = new_pool(n_threads, pin);
    for (uint32_t run = 0; run < n_runs; run++) {
        if (hot)
            pool_hot(pool);
        struct counts before = counts;
        pool_run(pool, count, &counts);
        assert_true(counts.n_threads == n_threads || (counts.n_threads == 1 && pool_pinned(pool)));
        for (uint32_t thread = 0; thread < n_threads; thread++)
            assert_int_equal(counts.n[thread], before.n[thread] + (thread < counts.n_threads));
        if (hot && run % 3 == 2)
            pool_cool(pool);
    }
    pool_free(&pool);
    assert_null(pool);
}

static void every_thread_runs_once(void **state)
{
    (void)state;
    run_many(1, true, false, 100);
    run_many(2, true, false, 5000);
    run_many(2, true, true, 5000);
    run_many(2, false, true, 500);
}

static void more_threads_than_processors_still_finish(void **state)
{
    (void)state;
    run_many(16, true, false, 100);
    run_many(16, true, true, 100);
    run_many(40, false, true, 20);
}

/* ---- sleeping and waking ---- */

/* Are all threads of the process but the calling one asleep? From /proc: "tid (name) S ...". */
static bool others_sleep(void)
{
    DIR *tasks = opendir("/proc/self/task");
    bool asleep = true;
    for (struct dirent *entry; (entry = readdir(tasks));) {
        if (entry->d_name[0] == '.' || strtol(entry->d_name, NULL, 10) == gettid())
            continue;
        char line[256] = "";
        FILE *file = fopen(support_format("/proc/self/task/%s/stat", entry->d_name), "r");
        if (file && fgets(line, sizeof(line), file)) {
            char *state = strrchr(line, ')');
            asleep = asleep && state && state[1] == ' ' && state[2] == 'S';
        }
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return asleep;
}

static void idle_workers_sleep_and_wake(void **state)
{
    (void)state;
    struct counts counts = {0};
    struct pool *pool = new_pool(3, true);
    for (uint32_t run = 0; run < 20; run++) {
        while (!others_sleep()) /* for ever, if workers kept spinning: the limit fails it */
            sched_yield();
        if (run % 2)
            pool_hot(pool);
        pool_run(pool, count, &counts);
        pool_cool(pool);
        assert_int_equal(counts.n[2], run + 1);
    }
    pool_free(&pool);
}

/* ---- barrier ---- */

struct relay {
    struct pool *pool;
    uint32_t value[THREADS];
    _Atomic uint32_t n_wrong;
};

/* Between two barriers everybody writes its own place and then reads all others'. */
static void pass_on(void *context, uint32_t thread, uint32_t n_threads)
{
    struct relay *relay = context;
    for (uint32_t round = 1; round <= 200; round++) {
        relay->value[thread] = round;
        pool_barrier(relay->pool);
        for (uint32_t i = 0; i < n_threads; i++)
            if (relay->value[i] != round)
                atomic_fetch_add(&relay->n_wrong, 1);
        pool_barrier(relay->pool);
    }
}

static void nobody_leaves_a_barrier_early(void **state)
{
    (void)state;
    for (uint32_t n_threads = 1; n_threads <= THREADS; n_threads++) {
        struct relay relay = {.pool = new_pool(n_threads, true)};
        for (int run = 0; run < 5; run++)
            pool_run(relay.pool, pass_on, &relay);
        assert_int_equal(atomic_load(&relay.n_wrong), 0);
        pool_free(&relay.pool);
    }
}

/* ---- processors ---- */

struct places {
    cpu_set_t allowed[THREADS];
};

static void note_place(void *context, uint32_t thread, uint32_t n_threads)
{
    struct places *places = context;
    (void)n_threads;
    sched_getaffinity(0, sizeof(cpu_set_t), &places->allowed[thread]);
}

static void pinned_threads_have_a_processor_each(void **state)
{
    (void)state;
    cpu_set_t before, after, both;
    sched_getaffinity(0, sizeof(before), &before);
    struct pool *pool = new_pool(2, true);
    struct places places;
    pool_run(pool, note_place, &places);
    if (CPU_COUNT(&before) >= 2) {
        assert_true(pool_pinned(pool));
        assert_int_equal(CPU_COUNT(&places.allowed[0]), 1);
        assert_int_equal(CPU_COUNT(&places.allowed[1]), 1);
        assert_false(CPU_EQUAL(&places.allowed[0], &places.allowed[1]));
        CPU_OR(&both, &places.allowed[0], &places.allowed[1]);
        CPU_AND(&both, &both, &before);
        assert_int_equal(CPU_COUNT(&both), 2);
    } else {
        assert_false(pool_pinned(pool));
    }
    pool_free(&pool);
    sched_getaffinity(0, sizeof(after), &after);
    assert_true(CPU_EQUAL(&before, &after));
}

/* In a process that may use one processor only, two threads are not bound and still get through. */
static void one_processor_is_enough(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        execl("/proc/self/exe", "test_pool", "--one-processor", (char *)NULL);
        _exit(9);
    }
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int run_on_one_processor(void)
{
    cpu_set_t mask, one;
    sched_getaffinity(0, sizeof(mask), &mask);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &mask))
            CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof(one), &one);
    struct pool *pool = NULL;
    if (pool_new(3, true, &pool, NULL) != STATUS_OK || pool_pinned(pool))
        return 1;
    struct counts counts = {0};
    pool_hot(pool);
    for (uint32_t run = 0; run < 200; run++)
        pool_run(pool, count, &counts);
    pool_free(&pool);
    return counts.n[0] == 200 && counts.n[1] == 200 && counts.n[2] == 200 ? 0 : 2;
}

/* ---- driven from elsewhere ---- */

static void *drive(void *context)
{
    struct counts counts = {0};
    for (int run = 0; run < 100; run++)
        pool_run(context, count, &counts);
    return (void *)(uintptr_t)(counts.n[1] <= counts.n[0] ? counts.n[0] : 0);
}

static void another_thread_may_drive(void **state)
{
    (void)state;
    struct pool *pool = new_pool(2, true);
    struct counts counts = {0};
    pool_run(pool, count, &counts);
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        void *sum = NULL;
        assert_int_equal(pthread_create(&thread, NULL, drive, pool), 0);
        pthread_join(thread, &sum);
        assert_int_equal((uintptr_t)sum, 100);
    }
    pool_free(&pool);
    pool_free(&pool);
}

/* ---- a processor that others use ---- */

struct slow {
    atomic_bool on;
    uint32_t n_threads;
};

/* Thread 1 stops for a while, as if its processor had been given to somebody else. */
static void stop_now_and_then(void *context, uint32_t thread, uint32_t n_threads)
{
    struct slow *slow = context;
    const struct timespec slice = {.tv_nsec = 2000000};
    if (thread == 1 && atomic_load(&slow->on))
        nanosleep(&slice, NULL);
    if (thread == 0)
        slow->n_threads = n_threads;
}

/* Runs until one has had that many threads; false: it never came. */
static bool comes_to(struct pool *pool, struct slow *slow, uint32_t n_threads)
{
    for (uint32_t run = 0; run < 5000000; run++) {
        pool_run(pool, stop_now_and_then, slow);
        if (slow->n_threads == n_threads)
            return true;
    }
    return false;
}

static void the_caller_works_alone_while_others_are_stopped(void **state)
{
    (void)state;
    struct pool *pool = new_pool(2, true);
    struct slow slow = {.on = true};
    if (pool_pinned(pool)) {
        assert_true(comes_to(pool, &slow, 1));
        atomic_store(&slow.on, false);
        assert_true(comes_to(pool, &slow, 2));
    }
    pool_free(&pool);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    struct error err;
    struct pool *pool = NULL;
    assert_int_equal(pool_new(0, true, &pool, &err), STATUS_INVALID);
    assert_int_equal(pool_new(POOL_THREADS_MAX + 1, true, &pool, &err), STATUS_INVALID);
    assert_null(pool);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--one-processor") == 0)
        return run_on_one_processor();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_thread_runs_once),
        cmocka_unit_test(more_threads_than_processors_still_finish),
        cmocka_unit_test(idle_workers_sleep_and_wake),
        cmocka_unit_test(nobody_leaves_a_barrier_early),
        cmocka_unit_test(pinned_threads_have_a_processor_each),
        cmocka_unit_test(one_processor_is_enough),
        cmocka_unit_test(another_thread_may_drive),
        cmocka_unit_test(the_caller_works_alone_while_others_are_stopped),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
