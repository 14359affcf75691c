#include "serve.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/queue.h"
#include "cluster/health.h"
#include "count.h"
#include "engine/admit.h"
#include "uplink.h"
#include "vocabulary.h"
#include "wire/wire.h"

enum {
    EVENTS_MAX = 8192,                      /* frames that wait for the model thread, all clients */
    WAITING_BYTES_MAX = 8 << 20,            /* of one client: its credit of four utterances */
    OPEN_WITHIN_US = 5000000,               /* a stream without its Open is ended */
    LAST_WORDS_US = 60000000,               /* from the end of a session's time to its cut */
    HOLD_FROM = 64, HOLD_TO = 32,           /* events of one client: no more are read, read again */
    WATCH_US = 250000,                      /* the watchdog looks this often, */
    SLOW_US = 500000,                       /* speaks for a step that lasts longer than this, */
    STUCK_US = 60000000,                    /* and no more for one that will never end */
    POLICY_US = 250000,                     /* the policy is looked at this often, and each turn */
    MEASURE_US = 250000,                    /* costs of rows, before the first client */
    REFUSED_CALLS_MAX = 1024                /* sessions to be refused */
};

/* One client's stream. The rpc thread sets `gone`; the model thread owns all else. The watchdog
 * reads `owed`, and the list under its lock. Whatever happens to a connection has it watched; one
 * that is idle is not looked at again until its time is over. */
struct connection {
    struct list link;                       /* in serve->connections */
    struct list watched;                    /* in serve->watched or serve->idle, or alone */
    bool is_watched;
    struct list going;                      /* in serve->gone, or alone */
    struct serve *serve;
    struct rpc_call *call;                  /* own reference */
    struct target_session *session;
    atomic_bool gone;                       /* on_done came: no callback will come any more */
    bool over;                              /* the model thread has heard that */
    atomic_uint queued;                     /* its events in the queue */
    atomic_bool held;                       /* too many of them: the stream is not read */
    atomic_size_t waiting_bytes;            /* of their frames */
    atomic_bool owed;                       /* the client waits for a result */
    uint64_t opened_us, idle_us;            /* when it came, when it had no more work */
    struct counted counted;
    struct log_about about;                 /* the session once its Open came, and the trace */
    enum status ended;                      /* of the stream; set before `gone` */
    struct gate_pass pass;
    struct admit_seat seat;
    bool timed_out;                         /* its time is over: ends when nothing is open */
    struct error spent;                     /* a quota is used up: the end after open utterances */
    uint64_t spent_us;                      /* and since when */
};

enum event_kind { EVENT_OPEN, EVENT_FRAME, EVENT_REFUSED, EVENT_WAKE };

struct event {
    enum event_kind kind;
    struct connection *connection;
    size_t n_bytes;                         /* of the frame as it waits */
    struct wire_frame frame;
    struct error refusal;                   /* EVENT_REFUSED: the frame did not validate */
};

struct serve {
    struct engine *engine;
    struct target *target;
    struct rpc_server *server;
    struct health *health;
    struct queue *events;
    struct event wake;
    struct vocabulary vocabulary;
    struct list watched;                    /* to be looked at after this turn */
    struct list idle;                       /* sessions without work, the longest first */
    pthread_mutex_t lock;                   /* of the two lists below, for the other threads */
    struct list connections;                /* all, in the order in which they came */
    struct list gone;                       /* since the last turn */
    pthread_t thread, watchdog;
    bool thread_runs, watchdog_runs;
    _Atomic uint64_t step_began_us;         /* 0: the model thread waits for events */
    struct queue *watchdog_end;             /* nothing comes: its end ends the watchdog */
    struct load load;                       /* for the coordinator */
    struct metrics *metrics;
    struct registration *registration;      /* NULL: no coordinator */
    struct gate *gate;
    struct admission *admission;
    uint64_t idle_max_us, session_max_us;   /* UINT64_MAX: never */
    struct target_counts counts;            /* of the turn before */
    uint64_t depth_sum;                     /* advised, of all sessions */
    atomic_bool dump;                       /* serve_dump was called */
    atomic_bool stopping;
    uint32_t grace_ms;                      /* valid once stopping is set */
};

/* ---- rpc thread ---- */

static void wake(struct serve *serve)
{
    (void)queue_push(serve->events, &serve->wake);  /* full: it is awake anyway */
}

/* A client that sends faster than it is served is not read for a while, so that it cannot fill the
 * queue that all share. `held` is looked at again after the call: the other side may have been
 * quicker. */
static void hold_if_many(struct connection *connection, unsigned queued)
{
    if (queued <= HOLD_FROM || atomic_exchange(&connection->held, true))
        return;
    rpc_hold(connection->call, true);
    if (!atomic_load(&connection->held))
        rpc_hold(connection->call, false);
}

static void read_again_if_few(struct connection *connection, unsigned queued)
{
    if (queued < HOLD_TO && atomic_exchange(&connection->held, false))
        rpc_hold(connection->call, false);
}

/* Takes the event. A full queue, or a client far beyond its credit, ends the stream: the client
 * resumes elsewhere or later. */
static void push_event(struct serve *serve, struct event *event)
{
    struct connection *connection = event->connection;
    size_t waiting = atomic_fetch_add(&connection->waiting_bytes, event->n_bytes);
    hold_if_many(connection, atomic_fetch_add(&connection->queued, 1) + 1);
    bool fits = waiting + event->n_bytes <= WAITING_BYTES_MAX;
    if (fits && queue_push(serve->events, event) == QUEUE_OK)
        return;
    atomic_fetch_sub(&connection->waiting_bytes, event->n_bytes);
    atomic_fetch_sub(&connection->queued, 1);
    rpc_finish(connection->call, STATUS_EXHAUSTED, "this target is overloaded: try later");
    if (event->kind == EVENT_FRAME)
        wire_frame_release(&event->frame);
    free(event);
}

/* Says so in a frame too: only that can tell when to ask again. */
static void refuse(struct rpc_call *call, const struct error *why, uint32_t retry_ms)
{
    struct wire_frame frame = {.kind = WIRE_ERROR};
    struct wire_bytes bytes;
    frame.u.error = (struct wire_error){.code = why->code, .fatal = true, .retry_ms = retry_ms};
    snprintf(frame.u.error.message, sizeof(frame.u.error.message), "%s", why->text);
    if (retry_ms > 0 && wire_pack(&frame, &bytes, NULL) == STATUS_OK) {
        (void)rpc_send(call, bytes.data, bytes.size);
        wire_bytes_release(&bytes);
    }
    rpc_finish(call, why->code, why->text);
}

/* Whose session it is, and whether there is a seat for it: answered here, where no pass of the
 * model is waited for. */
static enum status enter(struct serve *serve, struct rpc_call *call, struct gate_pass *pass,
                         struct admit_seat *seat)
{
    struct error err;
    char name[ADMIT_NAME_MAX];
    uint32_t retry_ms = 0;
    enum status rc = gate_enter(serve->gate, rpc_metadata_value(call, GATE_TICKET), pass, &err);
    if (rc == STATUS_OK) {
        admit_name(pass->key, rpc_peer(call), name);
        rc = admit_enter(serve->admission, name, seat, &retry_ms, &err);
        if (rc == STATUS_OK)
            return rc;
        count_refused(serve->metrics, rc);
        gate_leave(serve->gate, pass);
    } else if (rc == STATUS_EXHAUSTED) {
        retry_ms = admit_retry_ms(serve->admission);
    }
    refuse(call, &err, retry_ms);
    return rc;
}

static void session_on_open(struct rpc_call *call)
{
    struct serve *serve = rpc_user(call);
    struct gate_pass pass;
    struct admit_seat seat;
    struct error err;
    rpc_set_user(call, NULL);
    if (enter(serve, call, &pass, &seat) != STATUS_OK)
        return;
    struct connection *connection = calloc(1, sizeof(*connection));
    struct event *event = calloc(1, sizeof(*event));
    if (connection && event) {
        *connection = (struct connection){.serve = serve, .call = rpc_ref(call), .pass = pass,
                                          .seat = seat};
        (void)trace_read(rpc_metadata_value(call, TRACE_HEADER), connection->about.trace);
        list_init(&connection->link);
        list_init(&connection->watched);
        list_init(&connection->going);
        *event = (struct event){.kind = EVENT_OPEN, .connection = connection};
        rpc_set_user(call, connection);
        atomic_store(&connection->queued, 1);
        if (queue_push(serve->events, event) == QUEUE_OK)
            return;
        rpc_set_user(call, NULL);
        rpc_unref(call);
    }
    free(connection);
    free(event);
    gate_leave(serve->gate, &pass);
    admit_leave(serve->admission, &seat);
    count_refused(serve->metrics, STATUS_EXHAUSTED);
    (void)error_set(&err, STATUS_EXHAUSTED, "this target is overloaded: try later");
    refuse(call, &err, admit_retry_ms(serve->admission));
}

static void session_on_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    struct connection *connection = rpc_user(call);
    struct event *event = connection ? calloc(1, sizeof(*event)) : NULL;
    if (!connection)
        return;
    if (!event) {
        rpc_finish(call, STATUS_NO_MEMORY, "no memory for a frame");
        return;
    }
    event->connection = connection;
    event->n_bytes = size;
    event->kind = EVENT_REFUSED;
    if (uplink_read(data, size, &event->frame, &event->n_bytes, &event->refusal) == STATUS_OK)
        event->kind = EVENT_FRAME;
    push_event(connection->serve, event);
}

static void session_on_eof(struct rpc_call *call)
{
    rpc_finish(call, STATUS_OK, "");
}

static void session_on_done(struct rpc_call *call, enum status code, const char *message)
{
    struct connection *connection = rpc_user(call);
    (void)message;
    if (!connection)
        return;
    struct serve *serve = connection->serve;
    connection->ended = code;
    pthread_mutex_lock(&serve->lock);
    atomic_store(&connection->gone, true);
    list_append(&serve->gone, &connection->going);
    pthread_mutex_unlock(&serve->lock);     /* from here on the model thread may free it */
    wake(serve);
}

static const struct rpc_handler session_handler = {
    .on_open = session_on_open,
    .on_message = session_on_message,
    .on_eof = session_on_eof,
    .on_done = session_on_done,
};

/* ---- model thread ---- */

static void meter(struct connection *connection, const struct wire_window_final *final)
{
    const struct api_amount amount = {
        .audio_ms = (final->next_start - final->window_start) / SAMPLES_PER_MS,
        .tokens = final->n_tokens};
    struct error err;
    if (gate_count(connection->serve->gate, &connection->pass, &amount, &err) == STATUS_OK)
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

static void open_connection(struct serve *serve, struct connection *connection)
{
    struct error err;
    struct target_sink sink = {.send = send_frame, .died = session_died, .context = connection};
    pthread_mutex_lock(&serve->lock);
    connection->opened_us = clock_us(&serve->engine->clock);
    list_append(&serve->connections, &connection->link);
    pthread_mutex_unlock(&serve->lock);
    enum status rc = target_session_open(serve->target, sink, &connection->session, &err);
    if (rc == STATUS_OK)
        rc = target_session_owner(connection->session, connection->seat.owner, &err);
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

/* Ends the stream if it is over; *next: when to look again if its Open does not come, or its last
 * words last. */
static void end_if_over(struct connection *c, uint64_t now, uint64_t *next)
{
    uint64_t open_by_us = c->opened_us + OPEN_WITHIN_US;
    uint64_t cut_us = c->opened_us + c->serve->session_max_us + LAST_WORDS_US;
    if (target_session_dead(c->session))
        end_stream(c, STATUS_UNAVAILABLE, "the session ended");
    else if (c->timed_out && (!target_session_busy(c->session) || now >= cut_us))
        end_stream(c, STATUS_UNAVAILABLE, "the session's time is over: open another one");
    else if (c->timed_out)
        *next = MIN(*next, cut_us);
    else if (c->spent.code != STATUS_OK &&
             (!target_session_busy(c->session) || now >= c->spent_us + LAST_WORDS_US))
        end_stream(c, c->spent.code, c->spent.text);
    else if (c->spent.code != STATUS_OK)
        *next = MIN(*next, c->spent_us + LAST_WORDS_US);
    else if (!target_session_ready(c->session) && now >= open_by_us)
        end_stream(c, STATUS_TIMEOUT, "no Open frame came");
    else if (!target_session_ready(c->session))
        *next = MIN(*next, open_by_us);
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

/* Frees what is gone: the stream's last callback is over and none of its events waits. */
static void release(struct connection *connection)
{
    struct serve *serve = connection->serve;
    if (connection->session)
        end_stream(connection, STATUS_CANCELLED, "the client is gone");
    say_ended(connection);
    list_remove(&connection->watched);
    pthread_mutex_lock(&serve->lock);
    list_remove(&connection->link);
    pthread_mutex_unlock(&serve->lock);
    gate_leave(serve->gate, &connection->pass);
    admit_leave(serve->admission, &connection->seat);
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
                          .drafts = drafts});
    metrics_set(serve->metrics, TARGET_METRIC_SHADOW_PRICE, (int64_t)(policy.shadow_price * 1e6f));
    metrics_set(serve->metrics, TARGET_METRIC_LATENCY_GOAL,
                (int64_t)policy.latency_goal_ms * 1000);
    metrics_set(serve->metrics, TARGET_METRIC_DRAFTS_ALLOWED, drafts);
}

static void dump_session(const struct serve *serve, const struct connection *c)
{
    uint64_t age_us = clock_us(&serve->engine->clock) - c->opened_us;
    const char *state = !c->session                          ? "closing"
                        : !target_session_ready(c->session) ? "no Open yet"
                        : target_session_busy(c->session)   ? "working"
                                                            : "idle";
    log_line_about(LOG_INFO, &c->about, "%s, %s, %.1f s, epoch %" PRIu32 ", %" PRIu64
                   " windows, %" PRIu64 " rows, %zu bytes waiting", rpc_peer(c->call), state,
                   (double)age_us / 1e6, c->counted.epoch, c->counted.windows, c->counted.rows,
                   atomic_load(&c->waiting_bytes));
}

static void dump_sessions(const struct serve *serve)
{
    const struct target_counts *counts = &serve->counts;
    log_line(LOG_INFO, "%" PRIu32 " sessions; utterances: %" PRIu32 " listen, %" PRIu32
             " encode, %" PRIu32 " decode; %" PRIu64 " passes, %" PRIu64 " rows",
             atomic_load(&serve->load.sessions), counts->listening, counts->encoding,
             counts->decoding, counts->passes, counts->rows);
    for (const struct list *l = serve->connections.next; l != &serve->connections; l = l->next)
        dump_session(serve, list_item(l, struct connection, link));
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
            dump_sessions(serve);
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
    pthread_mutex_init(&serve->lock, NULL);
    const struct admit_options admit = {.sessions_max = options->target.sessions_max,
                                        .client_max = options->client_sessions_max,
                                        .clock = clock_monotonic()};
    enum status rc = admit_new(&admit, &serve->admission, err);
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
    wake(serve);
}

static void stop_model_thread(struct serve *serve, uint32_t grace_ms)
{
    if (!serve->thread_runs)
        return;
    serve->grace_ms = grace_ms;
    atomic_store(&serve->stopping, true);
    wake(serve);
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
    admit_free(&serve->admission);
    queue_free(&serve->events);
    queue_free(&serve->watchdog_end);
    pthread_mutex_destroy(&serve->lock);
    vocabulary_release(&serve->vocabulary);
    free(serve);
    *serve_ptr = NULL;
}
