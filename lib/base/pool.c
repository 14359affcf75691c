/* pool.c: one word says it all to the workers.
 *
 *     word = 2 * (number of runs so far) + (1 while hot)
 *
 * A worker that has done run g waits until the run number is no longer g. It spins; when that has
 * lasted and the pool is not hot, it sleeps on the word (futex): any change of it, by a run or by
 * pool_hot, ends the sleep or prevents it. `sleepers` saves the caller a system call while nobody
 * sleeps: the worker adds itself before it looks at the word for the last time, the caller looks
 * after it has changed the word.
 *
 * The end of a run is a count of workers that are through; the caller spins on it (it has just
 * done its own equal share). Everything that spins gives its time slice away after a while, so
 * that a busy machine, or more threads than processors, slows a run down but cannot stall it.
 */
#include "base/pool.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    SLEEP_AFTER_US = 100, /* a worker of a cool pool */
    YIELD_AFTER_US = 20,  /* any waiting thread */
    PAUSES_PER_LOOK = 32, /* pauses between two looks at the clock */
    CACHE_LINE = 64,
    LOST_US = 300,        /* a wait that is longer than any imbalance of a step */
    STRIKES = 4,          /* slow runs, less the good ones, before the caller works alone */
    ALONE_US = 30000,     /* for the first time; doubled while it does not help */
    ALONE_MAX_US = 480000,
};

struct worker {
    struct pool *pool;
    uint32_t index;
    pthread_t thread;
};

struct pool {
    uint32_t n_threads;
    bool pinned;
    bool crowded;                     /* more threads than processors: yield at once */
    int cpus[POOL_THREADS_MAX];       /* cpus[i] is thread i's, when pinned */
    pid_t driver;                     /* the bound thread that last drove the pool; 0: none */
    pthread_t driver_thread;          /* the same, while driver is not 0 */
    pool_fn fn;                       /* the run at hand: written before the word, read after it */
    void *context;
    bool ending;
    uint32_t n_active;                /* threads of the run at hand */
    uint32_t strikes;
    uint64_t alone_us, alone_until_us;
    _Atomic uint64_t lost_us;         /* waited for others in the run at hand, all threads */
    _Alignas(CACHE_LINE) _Atomic uint32_t word;
    _Atomic uint32_t sleepers;
    _Alignas(CACHE_LINE) _Atomic uint32_t n_done;
    _Alignas(CACHE_LINE) _Atomic uint32_t n_arrived; /* at the barrier */
    _Alignas(CACHE_LINE) _Atomic uint32_t phase;     /* barriers passed */
    _Alignas(CACHE_LINE) struct worker workers[];    /* thread 1 is workers[0] */
};

/* ---- waiting ---- */

static inline void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* One wait for something that is expected soon. */
struct spin {
    bool crowded;
    uint32_t n;
    uint64_t start_us;
    uint64_t waited_us;
};

static void spin_once(struct spin *spin)
{
    if (spin->crowded || spin->waited_us >= YIELD_AFTER_US)
        sched_yield();
    else
        pause_cpu();
    if (++spin->n % PAUSES_PER_LOOK != 0)
        return;
    uint64_t now = now_us();
    if (spin->n == PAUSES_PER_LOOK)
        spin->start_us = now;
    spin->waited_us = now - spin->start_us;
}

static void sleep_on(struct pool *pool, uint32_t word)
{
    atomic_fetch_add(&pool->sleepers, 1);
    syscall(SYS_futex, (uint32_t *)(void *)&pool->word, FUTEX_WAIT_PRIVATE, word, NULL, NULL, 0);
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void change_word(struct pool *pool, uint32_t word)
{
    atomic_store(&pool->word, word);
    if (atomic_load(&pool->sleepers) > 0)
        syscall(SYS_futex, (uint32_t *)(void *)&pool->word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL,
        NULL,
                0);
}

/* Returns the word once its run number differs from that of `seen`. */
static uint32_t wait_for_run(struct pool *pool, uint32_t seen)
{
    struct spin spin = {.crowded = pool->crowded};
    for (;;) {
        uint32_t word = atomic_load_explicit(&pool->word, memory_order_acquire);
        if (word >> 1 != seen >> 1)
            return word;
        bool hot = word & 1;
        if (!hot && spin.waited_us >= SLEEP_AFTER_US) {
            sleep_on(pool, word);
            spin = (struct spin){.crowded = pool->crowded};
        } else {
            spin_once(&spin);
        }
    }
}

static void *worker_main(void *context)
{
    struct worker *self = context;
    struct pool *pool = self->pool;
    uint32_t seen = 0;
    for (;;) {
        seen = wait_for_run(pool, seen);
        if (pool->ending)
            return NULL;
        pool->fn(pool->context, self->index, pool->n_threads);
        atomic_fetch_add_explicit(&pool->n_done, 1, memory_order_release);
    }
}

/* ---- processors ---- */

/* What the process may use, looked up once: later a thread that drives a pool is bound to one
 * processor, and a second pool that it makes must not take that for the whole machine. */
static cpu_set_t process_cpus;
static pthread_once_t process_cpus_once = PTHREAD_ONCE_INIT;

static void look_up_process_cpus(void)
{
    CPU_ZERO(&process_cpus); /* stays empty with more processors than a cpu_set_t holds */
    sched_getaffinity(0, sizeof(process_cpus), &process_cpus);
}

static void plan_cpus(struct pool *pool, bool pin)
{
    pthread_once(&process_cpus_once, look_up_process_cpus);
    uint32_t n = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && n < pool->n_threads; cpu++)
        if (CPU_ISSET(cpu, &process_cpus))
            pool->cpus[n++] = cpu;
    bool known = CPU_COUNT(&process_cpus) > 0;
    pool->crowded = known && n < pool->n_threads;
    pool->pinned = pin && known && !pool->crowded && pool->n_threads > 1;
}

static void unbind_driver(struct pool *pool)
{
    if (pool->driver != 0)
        sched_setaffinity(pool->driver, sizeof(process_cpus), &process_cpus);
    pool->driver = 0;
}

/* Binds the calling thread to thread 0's processor, unless it already is. */
static void bind_driver(struct pool *pool)
{
    if (!pool->pinned)
        return;
    pthread_t self = pthread_self();
    if (pool->driver != 0 && pthread_equal(self, pool->driver_thread))
        return;
    unbind_driver(pool);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(pool->cpus[0], &one);
    if (sched_setaffinity(0, sizeof(one), &one) == 0) {
        pool->driver = gettid();
        pool->driver_thread = self;
    }
}

/* ---- life ---- */

static int start_worker(struct pool *pool, uint32_t index)
{
    struct worker *worker = &pool->workers[index - 1];
    *worker = (struct worker){.pool = pool, .index = index};
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    if (pool->pinned) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(pool->cpus[index], &one);
        pthread_attr_setaffinity_np(&attr, sizeof(one), &one);
    }
    int rc = pthread_create(&worker->thread, &attr, worker_main, worker);
    pthread_attr_destroy(&attr);
    return rc;
}

/* Workers 1 .. n_started. */
static void stop_workers(struct pool *pool, uint32_t n_started)
{
    pool->ending = true;
    change_word(pool, atomic_load(&pool->word) + 2);
    for (uint32_t i = 0; i < n_started; i++)
        pthread_join(pool->workers[i].thread, NULL);
}

enum status pool_new(uint32_t n_threads, bool pin, struct pool **out, struct error *err)
{
    *out = NULL;
    if (n_threads < 1 || n_threads > POOL_THREADS_MAX)
        return error_set(err, STATUS_INVALID, "%u threads: choose 1 to %d", n_threads,
                         POOL_THREADS_MAX);
    size_t size = sizeof(struct pool) + (n_threads - 1) * sizeof(struct worker);
    size = (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    struct pool *pool = aligned_alloc(CACHE_LINE, size);
    if (!pool)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a pool of %u threads", n_threads);
    memset(pool, 0, size);
    pool->n_threads = n_threads;
    pool->alone_us = ALONE_US;
    plan_cpus(pool, pin);
    for (uint32_t i = 1; i < n_threads; i++) {
        int rc = start_worker(pool, i);
        if (rc == 0)
            continue;
        stop_workers(pool, i - 1);
        free(pool);
        return error_set(err, STATUS_EXHAUSTED,
                         "cannot start thread %u of %u (%s): ask for fewer", i, n_threads,
                         strerror(rc));
    }
    *out = pool;
    return STATUS_OK;
}

void pool_free(struct pool **pool)
{
    if (!*pool)
        return;
    stop_workers(*pool, (*pool)->n_threads - 1);
    unbind_driver(*pool);
    free(*pool);
    *pool = NULL;
}

/* ---- work ---- */

static void note_wait(struct pool *pool, const struct spin *spin)
{
    if (spin->waited_us > LOST_US)
        atomic_fetch_add_explicit(&pool->lost_us, spin->waited_us, memory_order_relaxed);
}

/* After a run by all threads that took so long. */
static void judge_run(struct pool *pool, uint64_t began_us, uint64_t now)
{
    uint64_t lost = atomic_load_explicit(&pool->lost_us, memory_order_relaxed);
    if (3 * lost < (now - began_us) * (pool->n_threads - 1)) {
        pool->strikes -= pool->strikes > 0;
        pool->alone_us = pool->strikes > 0 ? pool->alone_us : ALONE_US;
        return;
    }
    if (++pool->strikes < STRIKES)
        return;
    pool->strikes = STRIKES - 1;        /* one more slow run is enough next time */
    pool->alone_until_us = now + pool->alone_us;
    pool->alone_us = pool->alone_us < ALONE_MAX_US ? 2 * pool->alone_us : ALONE_MAX_US;
}

static bool works_alone(const struct pool *pool, uint64_t now)
{
    return now < pool->alone_until_us;
}

void pool_run(struct pool *pool, pool_fn fn, void *context)
{
    uint32_t n_workers = pool->n_threads - 1;
    uint64_t began_us = now_us();
    if (n_workers == 0 || works_alone(pool, began_us)) {
        unbind_driver(pool);            /* to whatever processor is free */
        pool->n_active = 1;
        fn(context, 0, 1);
        return;
    }
    bind_driver(pool);
    pool->n_active = pool->n_threads;
    pool->fn = fn;
    pool->context = context;
    atomic_store_explicit(&pool->lost_us, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->n_done, 0, memory_order_relaxed);
    change_word(pool, atomic_load(&pool->word) + 2);
    fn(context, 0, pool->n_threads);
    struct spin spin = {.crowded = pool->crowded};
    while (atomic_load_explicit(&pool->n_done, memory_order_acquire) != n_workers)
        spin_once(&spin);
    note_wait(pool, &spin);
    if (pool->pinned)                   /* others are moved to a free processor by the system */
        judge_run(pool, began_us, now_us());
}

void pool_barrier(struct pool *pool)
{
    uint32_t phase = atomic_load_explicit(&pool->phase, memory_order_relaxed);
    if (pool->n_active == 1)
        return;
    if (atomic_fetch_add(&pool->n_arrived, 1) + 1 == pool->n_threads) {
        atomic_store_explicit(&pool->n_arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&pool->phase, phase + 1, memory_order_release);
        return;
    }
    struct spin spin = {.crowded = pool->crowded};
    while (atomic_load_explicit(&pool->phase, memory_order_acquire) == phase)
        spin_once(&spin);
    note_wait(pool, &spin);
}

void pool_hot(struct pool *pool)
{
    if (pool->n_threads == 1 || works_alone(pool, now_us()))
        return;
    bind_driver(pool);
    change_word(pool, atomic_load(&pool->word) | 1);
}

void pool_cool(struct pool *pool)
{
    change_word(pool, atomic_load(&pool->word) & ~1u);
}

uint32_t pool_threads(const struct pool *pool)
{
    return pool->n_threads;
}

bool pool_pinned(const struct pool *pool)
{
    return pool->pinned;
}
