#include "serve_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "wire/wire.h"

enum {
    EVENTS_MAX = 8192,                      /* frames that wait for the model thread, all clients */
    LAST_WORDS_US = 60000000,               /* from the end of a session's time to its cut */
    WATCH_US = 250000,                      /* the watchdog looks this often, */
    SLOW_US = 500000,                       /* speaks for a step that lasts longer than this, */
    STUCK_US = 60000000,                    /* and no more for one that will never end */
    POLICY_US = 250000,                     /* the policy is looked at this often, and each turn */
    MEASURE_US = 250000,                    /* costs of rows, before the first client */
    REFUSED_CALLS_MAX = 1024                /* sessions to be refused */
};

/* ---- model thread ---- */

static void read_again_if_few(struct connection *connection, unsigned queued)
{
    if (queued < HOLD_TO && atomic_exchange(&connection->held, false))
        rpc_hold(connection->call, false);
}

static void meter(struct connection *connection, const struct wire_window_final *final)
{
    const struct api_amount amount = {
        .audio_ms = (final->next_start - final->window_start) / SAMPLES_PER_MS,
        .tokens = final->n_tokens};
    struct error err;
    if (gate_count(connection->serve->gate, &connection->meter, &amount, &err) == STATUS_OK)
        return;
    if (connection->spent.code == STATUS_OK)
        connection->spent_us = clock_us(&connection->serve->engine->clock);
    connection->spent = err;
}

static void watch(struct connection *connection)
{
    if (!connection->is_watched)
        list_append(&connection->serve->watched, &connection->watched);
    connection->is_watched = true;
}

static void session_died(void *context)
{
    watch(context);
}

static bool send_frame(void *context, const struct wire_frame *frame)
{
    struct connection *connection = context;
    struct serve *serve = connection->serve;
    struct wire_bytes bytes;
    load_frame(&serve->load, frame);
    serve->depth_sum -= connection->counted.depth;
    connection->counted.colocated =
        connection->session && target_session_colocated(connection->session);
    count_sent(serve->metrics, &connection->counted, frame, clock_us(&serve->engine->clock));
    serve->depth_sum += connection->counted.depth;
    if (frame->kind == WIRE_WINDOW_FINAL)
        meter(connection, &frame->u.window_final);
    if (wire_pack(frame, &bytes, NULL) != STATUS_OK)
        return false;
    enum rpc_sent sent = rpc_send(connection->call, bytes.data, bytes.size);
    wire_bytes_release(&bytes);
    if (sent == RPC_FULL)
        rpc_finish(connection->call, STATUS_EXHAUSTED, "the client does not read its frames");
    return sent == RPC_SENT;
}

static void end_stream(struct connection *connection, enum status code, const char *text)
{
    log_line_about(LOG_DEBUG, &connection->about, "%s: %s", rpc_peer(connection->call), text);
    rpc_finish(connection->call, code, text);
    connection->serve->depth_sum -= connection->counted.depth;
    connection->counted.depth = 0;
    target_session_close(&connection->session);
}

/* Before the stream that took the place of another begins, or is released, the other one ends. */
static void hear_who_is_replaced(struct serve *serve)
{
    pthread_mutex_lock(&serve->lock);
    while (!list_is_alone(&serve->replaced)) {
        struct connection *c = list_item(serve->replaced.next, struct connection, replaced);
        list_remove(&c->replaced);
        pthread_mutex_unlock(&serve->lock);
        watch(c);
        if (c->session)
            end_stream(c, STATUS_CANCELLED, "the session goes on in another stream");
        pthread_mutex_lock(&serve->lock);
    }
    pthread_mutex_unlock(&serve->lock);
}

static void open_connection(struct serve *serve, struct connection *connection)
{
    struct error err;
    struct target_sink sink = {.send = send_frame, .died = session_died, .context = connection};
    hear_who_is_replaced(serve);
    pthread_mutex_lock(&serve->lock);
    connection->opened_us = clock_us(&serve->engine->clock);
    list_append(&serve->connections, &connection->link);
    pthread_mutex_unlock(&serve->lock);
    enum status rc = target_session_open(serve->target, sink, &connection->session, &err);
    if (rc == STATUS_OK)
        rc = target_session_owner(connection->session, connection->owner, &err);
    if (rc != STATUS_OK) {
        count_refused(serve->metrics, rc);
        end_stream(connection, rc, err.text);
    } else
        log_line(LOG_DEBUG, "%s: session opened", rpc_peer(connection->call));
}

static void take_frame(struct serve *serve, struct connection *connection,
                       const struct wire_frame *frame)
{
    struct error err;
    count_received(&connection->counted, frame, clock_us(&serve->engine->clock));
    if (frame->kind == WIRE_OPEN)
        log_about_session(&connection->about, connection->counted.session);
    enum status rc = target_session_receive(connection->session, frame, &err);
    if (rc == STATUS_OK)
        return;
    if (!connection->counted.opened)
        count_refused(serve->metrics, rc);
    end_stream(connection, rc, err.text);
}

static void handle_event(struct serve *serve, struct event *event)
{
    struct connection *connection = event->connection;
    switch (event->kind) {
    case EVENT_WAKE:
        return;                             /* the one event that is not on the heap */
    case EVENT_OPEN:
        open_connection(serve, connection);
        break;
    case EVENT_REFUSED:
        metrics_add(serve->metrics, TARGET_METRIC_DROPPED_MALFORMED, 1);
        if (connection->session)
            end_stream(connection, event->refusal.code, event->refusal.text);
        break;
    case EVENT_FRAME:
        if (connection->session)
            take_frame(serve, connection, &event->frame);
        wire_frame_release(&event->frame);
        break;
    }
    watch(connection);
    atomic_fetch_sub(&connection->waiting_bytes, event->n_bytes);
    read_again_if_few(connection, atomic_load(&connection->queued) - 1);
    atomic_fetch_sub(&connection->queued, 1);   /* last: without events a connection may be freed */
    free(event);
}

/* Its key's day is used up, or the key is gone. */
static void end_spent(struct connection *c)
{
    serve_refuse(c->call, &c->spent, gate_retry_ms(c->serve->gate, &c->meter));
    end_stream(c, c->spent.code, c->spent.text);
}

/* Ends the stream if it is over; *next: when to look again if its last words last. */
static void end_if_over(struct connection *c, uint64_t now, uint64_t *next)
{
    uint64_t cut_us = c->opened_us + c->serve->session_max_us + LAST_WORDS_US;
    if (target_session_dead(c->session))
        end_stream(c, STATUS_UNAVAILABLE, "the session ended");
    else if (c->timed_out && (!target_session_busy(c->session) || now >= cut_us))
        end_stream(c, STATUS_UNAVAILABLE, "the session's time is over: open another one");
    else if (c->timed_out)
        *next = MIN(*next, cut_us);
    else if (c->spent.code != STATUS_OK &&
             (!target_session_busy(c->session) || now >= c->spent_us + LAST_WORDS_US))
        end_spent(c);
    else if (c->spent.code != STATUS_OK)
        *next = MIN(*next, c->spent_us + LAST_WORDS_US);
}

/* One line for each session that was served: what it was, not what was said. */
static void say_ended(const struct connection *c)
{
    uint64_t age_us = clock_us(&c->serve->engine->clock) - c->opened_us;
    bool left = c->ended == STATUS_OK || c->ended == STATUS_CANCELLED;
    if (c->counted.opened)
        log_line_about(LOG_INFO, &c->about, "%s, ended (%s) after %.1f s: epoch %" PRIu32 ", %"
                       PRIu64 " windows, %" PRIu64 " rows", rpc_peer(c->call),
                       left ? "the client left" : status_text(c->ended), (double)age_us / 1e6,
                       c->counted.epoch, c->counted.windows, c->counted.rows);
}

/* Frees what is gone: the stream's last callback is over and none of its events waits. Once the
 * seat is left, nobody can find the stream by it. */
static void release(struct connection *connection)
{
    struct serve *serve = connection->serve;
    if (connection->session)
        end_stream(connection, STATUS_CANCELLED, "the client is gone");
    say_ended(connection);
    seats_leave(serve->seats, &connection->seat);
    list_remove(&connection->watched);
    pthread_mutex_lock(&serve->lock);
    list_remove(&connection->link);
    list_remove(&connection->replaced);
    pthread_mutex_unlock(&serve->lock);
    rpc_unref(connection->call);
    free(connection);
}

/* Until something happens to it, or it has been idle for too long. */
static void stop_watching(struct connection *c, uint64_t now)
{
    list_remove(&c->watched);
    c->is_watched = false;
    c->idle_us = now;
    if (c->session)
        list_append(&c->serve->idle, &c->watched);
}

static void hear_who_is_gone(struct serve *serve)
{
    pthread_mutex_lock(&serve->lock);
    while (!list_is_alone(&serve->gone)) {
        struct connection *c = list_item(serve->gone.next, struct connection, going);
        list_remove(&c->going);
        c->over = true;
        watch(c);
    }
    pthread_mutex_unlock(&serve->lock);
}

/* Idle ones end at once; those that have lasted too long are told, and end when nothing is open.
 * Returns when the next one's time is over. */
static uint64_t end_times(struct serve *serve, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    while (serve->idle_max_us != UINT64_MAX && !list_is_alone(&serve->idle)) {
        struct connection *c = list_item(serve->idle.next, struct connection, watched);
        next = c->idle_us + serve->idle_max_us;
        if (now < next)
            break;
        list_remove(&c->watched);
        end_stream(c, STATUS_UNAVAILABLE, "the session was idle for too long: open another one");
        next = UINT64_MAX;
    }
    for (struct list *l = serve->connections.next;
         serve->session_max_us != UINT64_MAX && l != &serve->connections; l = l->next) {
        struct connection *c = list_item(l, struct connection, link);
        struct wire_frame drain = {.kind = WIRE_DRAIN};
        drain.u.drain.grace_ms = LAST_WORDS_US / 1000;
        if (now < c->opened_us + serve->session_max_us)
            return MIN(next, c->opened_us + serve->session_max_us);
        if (!c->session || c->timed_out)
            continue;
        c->timed_out = true;
        watch(c);
        (void)send_frame(c, &drain);
    }
    return next;
}

/* Looks at those to which something happened, or from which something is due. Returns when to look
 * again. */
static uint64_t look_after_streams(struct serve *serve)
{
    uint64_t now = clock_us(&serve->engine->clock), next = UINT64_MAX;
    struct list *behind;
    hear_who_is_replaced(serve);
    hear_who_is_gone(serve);
    next = end_times(serve, now);
    for (struct list *l = serve->watched.next; l != &serve->watched; l = behind) {
        struct connection *c = list_item(l, struct connection, watched);
        behind = l->next;
        if (c->session)
            end_if_over(c, now, &next);
        bool busy = c->session && target_session_busy(c->session);
        atomic_store(&c->owed, busy);
        if (c->over && atomic_load(&c->queued) == 0)
            release(c);
        else if (!busy && !c->over && (!c->session || target_session_ready(c->session)))
            stop_watching(c, now);
    }
    return next;
}

static void note_load(struct serve *serve)
{
    struct target_counts counts = target_counts(serve->target);
    uint32_t sessions = counts.sessions;
    load_turn(&serve->load, atomic_load(&serve->step_began_us), clock_us(&serve->engine->clock));
    load_counts(&serve->load, sessions, counts.busy);
    count_turn(serve->metrics, &serve->counts, &counts);
    metrics_set(serve->metrics, TARGET_METRIC_SESSIONS, sessions);
    metrics_set(serve->metrics, TARGET_METRIC_QUEUE, atomic_load(&serve->load.queue_us));
    metrics_set(serve->metrics, TARGET_METRIC_DEPTH,
                sessions ? (int64_t)(serve->depth_sum * 1000u / sessions) : 0);
}

/* Sessions follow a new price from their next pass on. Without a coordinator, or when the time of
 * its policy is over, the target's own holds. */
static void follow_policy(struct serve *serve)
{
    const struct wire_policy policy = registration_policy(serve->registration);
    const bool drafts = (policy.modes & WIRE_MODE_SPLIT) != 0;
    target_set_policy(serve->target,
                      (struct target_policy){
                          .price = policy.shadow_price,
                          .latency_goal_us = (float)policy.latency_goal_ms * 1000.0f,
                          .drafts = drafts,
                          .colocated = (policy.modes & WIRE_MODE_COLOCATED) != 0});
    metrics_set(serve->metrics, TARGET_METRIC_SHADOW_PRICE, (int64_t)(policy.shadow_price * 1e6f));
    metrics_set(serve->metrics, TARGET_METRIC_LATENCY_GOAL,
                (int64_t)policy.latency_goal_ms * 1000);
    metrics_set(serve->metrics, TARGET_METRIC_DRAFTS_ALLOWED, drafts);
}

/* Waits for an event until the given time, then takes all that are there. */
static void take_events(struct serve *serve, uint64_t until_us)
{
    uint64_t now = clock_us(&serve->engine->clock);
    int64_t timeout = until_us == UINT64_MAX ? QUEUE_FOREVER
                      : until_us > now       ? (int64_t)(until_us - now)
                                             : 0;
    void *item;
    for (uint32_t n = 0; n < EVENTS_MAX; n++) {
        if (queue_pop(serve->events, timeout, &item) != QUEUE_OK)
            return;
        handle_event(serve, item);
        timeout = 0;
    }
}

static void *model_thread(void *argument)
{
    struct serve *serve = argument;
    uint64_t until = 0, end_us = UINT64_MAX;
    for (;;) {
        atomic_store(&serve->step_began_us, 0);
        take_events(serve, MIN(until, end_us));
        atomic_store(&serve->step_began_us, clock_us(&serve->engine->clock));
        if (end_us == UINT64_MAX && atomic_load(&serve->stopping)) {
            end_us = clock_us(&serve->engine->clock) + (uint64_t)serve->grace_ms * 1000u;
            target_drain(serve->target, serve->grace_ms);
        }
        if (end_us != UINT64_MAX && (target_counts(serve->target).busy == 0 ||
                                     clock_us(&serve->engine->clock) >= end_us))
            return NULL;
        follow_policy(serve);
        until = target_tick(serve->target);
        until = MIN(until, look_after_streams(serve));
        if (serve->registration)
            until = MIN(until, clock_us(&serve->engine->clock) + POLICY_US);
        note_load(serve);
        if (atomic_exchange(&serve->dump, false))
            serve_write_dump(serve);
        serve_answer_listing(serve);
    }
}

/* ---- watchdog ---- */

/* A step of a large model may take longer than a client's patience with a silent target. */
static void speak_for_the_model(struct serve *serve)
{
    uint64_t began = atomic_load(&serve->step_began_us);
    uint64_t now = clock_us(&serve->engine->clock);
    if (began == 0 || now < began + SLOW_US || now > began + STUCK_US)
        return;
    const struct wire_frame alive = {.kind = WIRE_ALIVE};
    struct wire_bytes bytes;
    if (wire_pack(&alive, &bytes, NULL) != STATUS_OK)
        return;
    pthread_mutex_lock(&serve->lock);
    for (struct list *l = serve->connections.next; l != &serve->connections; l = l->next) {
        struct connection *c = list_item(l, struct connection, link);
        if (atomic_load(&c->owed) && !atomic_load(&c->gone))
            (void)rpc_send(c->call, bytes.data, bytes.size);
    }
    pthread_mutex_unlock(&serve->lock);
    wire_bytes_release(&bytes);
}

static void *watchdog_thread(void *argument)
{
    struct serve *serve = argument;
    void *item;
    while (queue_pop(serve->watchdog_end, WATCH_US, &item) == QUEUE_EMPTY)
        speak_for_the_model(serve);
    return NULL;
}

/* ---- life ---- */

/* A ping a second finds frozen clients soon. To ten thousand of them it takes a quarter of a
 * processor: where there are more than a thousand, a frozen one is found within 15 s. */
static struct rpc_keepalive keepalive(uint32_t sessions_max)
{
    enum { OFTEN_MAX = 1000, INTERVAL_MAX_MS = 10000, TIMEOUT_MS = 1500, TIMEOUT_MAX_MS = 5000 };
    return (struct rpc_keepalive){
        .interval_ms = MIN(MAX(sessions_max, OFTEN_MAX), INTERVAL_MAX_MS),
        .timeout_ms = sessions_max > OFTEN_MAX ? TIMEOUT_MAX_MS : TIMEOUT_MS};
}

static enum status start_server(struct serve *serve, const struct serve_options *options,
                                struct error *err)
{
    struct rpc_method methods[2 + HEALTH_METHODS_N] = {
        {"/specasr.v1.Verify/Session", &session_handler, serve, false},
        {"/specasr.v1.Verify/GetVocabulary", &vocabulary_handler, &serve->vocabulary, true},
    };
    health_methods(serve->health, methods + 2);
    struct rpc_server_options server = {
        .listen = options->listen,
        .tls = options->tls,
        .limits = {.message_max = WIRE_VOCABULARY_MAX},
        .keepalive = keepalive(options->target.sessions_max),
        .guards = options->guards,
        .calls_max = options->target.sessions_max + REFUSED_CALLS_MAX,
        .methods = methods,
        .n_methods = ARRAY_LEN(methods),
    };
    return rpc_server_new(&server, &serve->server, err);
}

static enum status start_thread(pthread_t *thread, void *(*main)(void *), struct serve *serve,
                                bool *runs, struct error *err)
{
    *runs = pthread_create(thread, NULL, main, serve) == 0;
    return *runs ? STATUS_OK : error_set(err, STATUS_EXHAUSTED, "cannot start a thread");
}

enum status serve_start(struct engine *engine, const struct serve_options *options,
                        struct serve **out, struct error *err)
{
    struct serve *serve = calloc(1, sizeof(*serve));
    *out = NULL;
    if (!serve)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the server");
    serve->engine = engine;
    serve->metrics = options->metrics;
    serve->registration = options->registration;
    serve->gate = options->gate;
    metrics_set(serve->metrics, TARGET_METRIC_SESSIONS_MAX, options->target.sessions_max);
    metrics_set(serve->metrics, TARGET_METRIC_SLOTS_MAX, options->target.slots_max
                                                             ? options->target.slots_max
                                                             : options->target.sessions_max);
    serve->wake.kind = EVENT_WAKE;
    serve->idle_max_us = options->idle_max_us ? options->idle_max_us : UINT64_MAX;
    serve->session_max_us = options->session_max_us ? options->session_max_us : UINT64_MAX;
    list_init(&serve->watched);
    list_init(&serve->idle);
    list_init(&serve->connections);
    list_init(&serve->gone);
    list_init(&serve->replaced);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&serve->listed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&serve->lock, NULL);
    const struct seats_options seats = {
        .gate = options->gate, .metrics = options->metrics, .replaced = serve_replaced,
        .admit = {.sessions_max = options->target.sessions_max,
                  .client_max = options->client_sessions_max, .clock = clock_monotonic()}};
    enum status rc = seats_new(&seats, &serve->seats, err);
    if (rc == STATUS_OK)
        rc = queue_new(EVENTS_MAX, &serve->events, err);
    if (rc == STATUS_OK)
        rc = queue_new(1, &serve->watchdog_end, err);
    if (rc == STATUS_OK)
        rc = health_new("specasr.v1.Verify", &serve->health, err);
    if (rc == STATUS_OK)
        rc = target_new(engine, &options->target, &serve->target, err);
    if (rc == STATUS_OK)
        target_measure(serve->target, MEASURE_US);
    if (rc == STATUS_OK)
        rc = vocabulary_pack(engine->tokenizer, &serve->vocabulary, err);
    if (rc == STATUS_OK)
        rc = start_thread(&serve->thread, model_thread, serve, &serve->thread_runs, err);
    if (rc == STATUS_OK)
        rc = start_thread(&serve->watchdog, watchdog_thread, serve, &serve->watchdog_runs, err);
    if (rc == STATUS_OK)
        rc = start_server(serve, options, err);
    if (rc != STATUS_OK) {
        serve_stop(&serve, 0);
        return rc;
    }
    *out = serve;
    return STATUS_OK;
}

uint16_t serve_port(const struct serve *serve)
{
    return rpc_server_port(serve->server);
}

const struct load *serve_load(const struct serve *serve)
{
    return &serve->load;
}

enum status serve_reload_certificate(struct serve *serve, struct error *err)
{
    return rpc_server_reload(serve->server, err);
}

struct rpc_server_counts serve_guard_counts(const struct serve *serve)
{
    return rpc_server_counts(serve->server);
}

int64_t serve_certificate_expiry(const struct serve *serve)
{
    return rpc_server_certificate_expiry(serve->server);
}

void serve_dump(struct serve *serve)
{
    atomic_store(&serve->dump, true);
    serve_wake(serve);
}

static void stop_model_thread(struct serve *serve, uint32_t grace_ms)
{
    if (!serve->thread_runs)
        return;
    serve->grace_ms = grace_ms;
    atomic_store(&serve->stopping, true);
    serve_wake(serve);
    pthread_join(serve->thread, NULL);
    for (struct list *l = serve->connections.next; l != &serve->connections; l = l->next)
        rpc_finish(list_item(l, struct connection, link)->call, STATUS_UNAVAILABLE,
                   "the target was shut down");
}

void serve_stop(struct serve **serve_ptr, uint32_t grace_ms)
{
    struct serve *serve = *serve_ptr;
    if (!serve)
        return;
    if (serve->health)
        health_set(serve->health, false);
    stop_model_thread(serve, grace_ms);
    if (serve->watchdog_runs) {
        queue_close(serve->watchdog_end);
        pthread_join(serve->watchdog, NULL);
    }
    if (serve->server)
        rpc_server_stop(serve->server, 300);
    rpc_server_free(&serve->server);
    health_free(&serve->health);
    void *item;
    while (serve->events && queue_pop(serve->events, 0, &item) == QUEUE_OK)
        handle_event(serve, item);
    (void)look_after_streams(serve);        /* every call has had its on_done */
    target_free(&serve->target);
    seats_free(&serve->seats);
    queue_free(&serve->events);
    queue_free(&serve->watchdog_end);
    pthread_cond_destroy(&serve->listed);
    pthread_mutex_destroy(&serve->lock);
    vocabulary_release(&serve->vocabulary);
    free(serve);
    *serve_ptr = NULL;
}
