#include "cluster/health.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "wire/health.h"

/* One stream of Watch: listed from its request to its end. */
struct watcher {
    struct watcher *next;
    struct health *health;
    struct rpc_call *call;
    bool asked, known;
};

struct health {
    const char *service;
    pthread_mutex_t lock;               /* of all below */
    bool serving;
    unsigned n_watchers;
    struct watcher *watchers;
};

static bool is_known(const struct health *health, const char *asked)
{
    return asked[0] == '\0' || strcmp(asked, health->service) == 0;
}

/* Under the lock. A watcher that does not read its few bytes misses some: the queue has an end. */
static void send_state(struct rpc_call *call, enum wire_health state)
{
    struct wire_bytes bytes;
    if (wire_health_answer(state, &bytes, NULL) == STATUS_OK)
        (void)rpc_send(call, bytes.data, bytes.size);
    wire_bytes_release(&bytes);
}

static enum wire_health state_of(const struct health *health)
{
    return health->serving ? WIRE_HEALTH_SERVING : WIRE_HEALTH_NOT_SERVING;
}

/* ---- Check ---- */

static void check_on_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    struct health *health = rpc_user(call);
    char asked[WIRE_HEALTH_SERVICE_MAX + 1];
    struct error err;
    enum status rc = wire_health_asked(data, size, asked, &err);
    if (rc == STATUS_OK && !is_known(health, asked))
        rc = error_set(&err, STATUS_NOT_FOUND, "only the health of %s is known here",
                       health->service);
    if (rc == STATUS_OK) {
        pthread_mutex_lock(&health->lock);
        send_state(call, state_of(health));
        pthread_mutex_unlock(&health->lock);
    }
    rpc_finish(call, rc, rc == STATUS_OK ? "" : err.text);
}

/* ---- Watch ---- */

static void watch_on_open(struct rpc_call *call)
{
    struct watcher *watcher = calloc(1, sizeof(*watcher));
    if (watcher)
        *watcher = (struct watcher){.health = rpc_user(call), .call = call};
    rpc_set_user(call, watcher);
    if (!watcher)
        rpc_finish(call, STATUS_NO_MEMORY, "no memory for a watcher");
}

/* false: there are as many as there may be. */
static bool begin_watching(struct watcher *watcher)
{
    struct health *health = watcher->health;
    pthread_mutex_lock(&health->lock);
    bool fits = health->n_watchers < HEALTH_WATCHERS_MAX;
    if (fits) {
        watcher->asked = true;
        watcher->next = health->watchers;
        health->watchers = watcher;
        health->n_watchers++;
        send_state(watcher->call, watcher->known ? state_of(health) : WIRE_HEALTH_NO_SERVICE);
    }
    pthread_mutex_unlock(&health->lock);
    return fits;
}

static void watch_on_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    struct watcher *watcher = rpc_user(call);
    char asked[WIRE_HEALTH_SERVICE_MAX + 1];
    struct error err;
    if (!watcher)
        return;
    enum status rc = wire_health_asked(data, size, asked, &err);
    if (rc == STATUS_OK && watcher->asked)
        rc = error_set(&err, STATUS_CORRUPT, "a second request in one Watch");
    if (rc == STATUS_OK) {
        watcher->known = is_known(watcher->health, asked);
        if (!begin_watching(watcher))
            rc = error_set(&err, STATUS_EXHAUSTED, "%d watch already", HEALTH_WATCHERS_MAX);
    }
    if (rc != STATUS_OK)
        rpc_finish(call, rc, err.text);
}

static void watch_on_done(struct rpc_call *call, enum status code, const char *message)
{
    struct watcher *watcher = rpc_user(call);
    (void)code;
    (void)message;
    if (!watcher)
        return;
    struct health *health = watcher->health;
    pthread_mutex_lock(&health->lock);
    struct watcher **link = &health->watchers;
    while (*link && *link != watcher)
        link = &(*link)->next;
    if (*link) {
        *link = watcher->next;
        health->n_watchers--;
    }
    pthread_mutex_unlock(&health->lock);
    free(watcher);
}

static const struct rpc_handler check_handler = {.on_message = check_on_message};
static const struct rpc_handler watch_handler = {.on_open = watch_on_open,
                                                 .on_message = watch_on_message,
                                                 .on_done = watch_on_done};

/* ---- life ---- */

enum status health_new(const char *service, struct health **out, struct error *err)
{
    struct health *health = calloc(1, sizeof(*health));
    *out = health;
    if (!health)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the health service");
    health->service = service;
    health->serving = true;
    pthread_mutex_init(&health->lock, NULL);
    return STATUS_OK;
}

void health_methods(struct health *health, struct rpc_method methods[HEALTH_METHODS_N])
{
    methods[0] = (struct rpc_method){WIRE_HEALTH_CHECK, &check_handler, health, true};
    methods[1] = (struct rpc_method){WIRE_HEALTH_WATCH, &watch_handler, health, true};
}

void health_set(struct health *health, bool serving)
{
    pthread_mutex_lock(&health->lock);
    bool changed = health->serving != serving;
    health->serving = serving;
    for (struct watcher *w = health->watchers; changed && w; w = w->next)
        if (w->known)
            send_state(w->call, state_of(health));
    pthread_mutex_unlock(&health->lock);
}

void health_free(struct health **health_ptr)
{
    struct health *health = *health_ptr;
    if (!health)
        return;
    SA_ASSERT(health->n_watchers == 0);
    pthread_mutex_destroy(&health->lock);
    free(health);
    *health_ptr = NULL;
}
