/* pool.h: a few threads that run one function together, for the inside of a model step.
 *
 * A step is 40-75 parallel sections of 10-1,000 us, so workers must not sleep between them:
 * waking costs 15-76 us, a spinning barrier 0.05-0.35 us. Between steps they must not burn a
 * processor. So:
 *
 *     pool_hot(pool);                    workers wake up and spin
 *     pool_run(pool, layer, &step);      all threads run layer(); inside: pool_barrier(pool)
 *     pool_cool(pool);                   workers spin for a moment more, then sleep
 *
 * The caller is thread 0. One thread at a time drives a pool.
 *
 * Pinning: two spinners on one core wait for each other a time slice long, so each thread is
 * bound to its own processor, from the set that the process might use when it made its first
 * pool. The thread that drives the pool is bound when it first does (threads that it starts later
 * inherit that), and unbound by pool_free or when another thread takes over. With one thread, or
 * more threads than processors, nobody is bound; in the second case waiting threads yield instead
 * of spinning.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { POOL_THREADS_MAX = 256 };

struct pool;

typedef void (*pool_fn)(void *context, uint32_t thread, uint32_t n_threads);

/* Starts n_threads - 1 workers (n_threads in 1..POOL_THREADS_MAX), ready when this returns. `pin`
 * asks for binding as above. STATUS_INVALID, _NO_MEMORY, _EXHAUSTED (the system refuses threads).
 * */
MUST_CHECK enum status pool_new(uint32_t n_threads, bool pin, struct pool **out, struct error *err);

/* Ends and joins the workers; NULL is fine, *pool becomes NULL. Not from inside a run. */
void pool_free(struct pool **pool);

/* Runs fn(context, thread, n_threads) once on every thread and returns when all have returned;
 * what the functions wrote is then visible to the caller. Not nested. In a pool with pinned threads
 * n_threads is 1 while their processors are used by others so much that they would only wait for
 * each other. */
void pool_run(struct pool *pool, pool_fn fn, void *context);

/* Only inside a run, and by all threads of it: nobody returns before all have arrived. */
void pool_barrier(struct pool *pool);

/* Keeps workers spinning until pool_cool. Both may be repeated. */
void pool_hot(struct pool *pool);
void pool_cool(struct pool *pool);

uint32_t pool_threads(const struct pool *pool);
bool pool_pinned(const struct pool *pool);

#endif
