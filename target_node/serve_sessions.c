#include "serve_int.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

enum { ANSWER_MS = 2000 };                  /* a step of a large model may last as long */

/* Somebody's request, in the caller's memory, under serve->lock. */
struct serve_listing {
    struct serve_session *out;
    size_t max, n;
    bool done;
};

static const char *state_of(const struct connection *c)
{
    return !c->session                          ? "closing"
           : !target_session_ready(c->session) ? "opening"
           : target_session_busy(c->session)   ? "working"
                                                : "idle";
}

static uint64_t age_us(const struct connection *c)
{
    return clock_us(&c->serve->engine->clock) - c->opened_us;
}

/* ---- the log ---- */

static void dump_session(const struct connection *c)
{
    log_line_about(LOG_INFO, &c->about, "%s, %s, %.1f s, epoch %" PRIu32 ", %" PRIu64
                   " windows, %" PRIu64 " rows, %zu bytes waiting", rpc_peer(c->call), state_of(c),
                   (double)age_us(c) / 1e6, c->counted.epoch, c->counted.windows, c->counted.rows,
                   atomic_load(&c->waiting_bytes));
}

void serve_write_dump(const struct serve *serve)
{
    const struct target_counts *counts = &serve->counts;
    log_line(LOG_INFO, "%" PRIu32 " sessions; utterances: %" PRIu32 " listen, %" PRIu32
             " encode, %" PRIu32 " decode; %" PRIu64 " passes, %" PRIu64 " rows",
             atomic_load(&serve->load.sessions), counts->listening, counts->encoding,
             counts->decoding, counts->passes, counts->rows);
    for (const struct list *l = serve->connections.next; l != &serve->connections; l = l->next)
        dump_session(list_item(l, struct connection, link));
}

/* ---- a list ---- */

static struct serve_session describe(const struct connection *c)
{
    struct serve_session s = {.state = state_of(c), .age_us = age_us(c), .epoch = c->counted.epoch,
                              .windows = c->counted.windows, .rows = c->counted.rows,
                              .lag_us = c->counted.lag_us};
    snprintf(s.id, sizeof(s.id), "%02x%02x%02x%02x", c->counted.session[0], c->counted.session[1],
             c->counted.session[2], c->counted.session[3]);
    if (c->meter.key[0])
        snprintf(s.client, sizeof(s.client), "key %s", c->meter.key);
    else
        snprintf(s.client, sizeof(s.client), "%s", rpc_peer(c->call));
    return s;
}

/* Those at work first: there may be more than are asked for. */
void serve_answer_listing(struct serve *serve)
{
    pthread_mutex_lock(&serve->lock);
    struct serve_listing *listing = serve->listing;
    for (int pass = 0; listing && pass < 2; pass++)
        for (const struct list *l = serve->connections.next;
             l != &serve->connections && listing->n < listing->max; l = l->next) {
            const struct connection *c = list_item(l, struct connection, link);
            bool busy = c->session && target_session_busy(c->session);
            if (busy == (pass == 0))
                listing->out[listing->n++] = describe(c);
        }
    if (listing) {
        listing->done = true;
        serve->listing = NULL;
        pthread_cond_broadcast(&serve->listed);
    }
    pthread_mutex_unlock(&serve->lock);
}

enum status serve_sessions(struct serve *serve, struct serve_session *out, size_t max, size_t *n,
                           struct error *err)
{
    struct serve_listing listing = {.out = out, .max = max};
    struct timespec until;
    int rc = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ANSWER_MS / 1000;
    pthread_mutex_lock(&serve->lock);
    bool free_now = !serve->listing;
    if (free_now)
        serve->listing = &listing;
    serve_wake(serve);
    while (free_now && rc == 0 && !listing.done)
        rc = pthread_cond_timedwait(&serve->listed, &serve->lock, &until);
    if (free_now && !listing.done)
        serve->listing = NULL;
    pthread_mutex_unlock(&serve->lock);
    *n = listing.n;
    return listing.done ? STATUS_OK
                        : error_set(err, STATUS_TIMEOUT, "the model is in a long step: ask again");
}
