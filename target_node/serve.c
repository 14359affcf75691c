#include "serve.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/queue.h"
#include "wire/wire.h"

enum {
    EVENTS_MAX = 8192,                      /* frames that wait for the model thread, all clients */
    WAITING_BYTES_MAX = 8 << 20             /* of one client: its credit of four utterances */
};

/* One client's stream. The rpc thread sets `gone`; the model thread owns all else. */
struct connection {
    struct connection *next;
    struct serve *serve;
    struct rpc_call *call;                  /* own reference */
    struct target_session *session;
    atomic_bool gone;                       /* on_done came: no callback will come any more */
    atomic_uint queued;                     /* its events in the queue */
    atomic_size_t waiting_bytes;            /* of their frames */
};

enum event_kind { EVENT_OPEN, EVENT_FRAME, EVENT_REFUSED, EVENT_WAKE };

struct event {
    enum event_kind kind;
    struct connection *connection;
    size_t n_bytes;                         /* of the frame as it came */
    struct wire_frame frame;
    struct error refusal;                   /* EVENT_REFUSED: the frame did not validate */
};

struct serve {
    struct engine *engine;
    struct target *target;
    struct rpc_server *server;
    struct queue *events;
    struct event wake;
    struct wire_bytes vocabulary;           /* packed answer of GetVocabulary */
    struct connection *connections;
    pthread_t thread;
    bool thread_runs;
    atomic_bool stopping;
    uint32_t grace_ms;                      /* valid once stopping is set */
};

/* ---- rpc thread ---- */

static void wake(struct serve *serve)
{
    (void)queue_push(serve->events, &serve->wake);  /* full: it is awake anyway */
}

/* Takes the event. A full queue, or a client far beyond its credit, ends the stream: the client
 * resumes elsewhere or later. */
static void push_event(struct serve *serve, struct event *event)
{
    struct connection *connection = event->connection;
    size_t waiting = atomic_fetch_add(&connection->waiting_bytes, event->n_bytes);
    atomic_fetch_add(&connection->queued, 1);
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

static void session_on_open(struct rpc_call *call)
{
    struct serve *serve = rpc_user(call);
    struct connection *connection = calloc(1, sizeof(*connection));
    struct event *event = calloc(1, sizeof(*event));
    rpc_set_user(call, NULL);
    if (connection && event) {
        *connection = (struct connection){.serve = serve, .call = rpc_ref(call)};
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
    rpc_finish(call, STATUS_EXHAUSTED, "this target is overloaded: try later");
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
    event->kind = wire_unpack(data, size, true, &event->frame, &event->refusal) == STATUS_OK
                      ? EVENT_FRAME
                      : EVENT_REFUSED;
    push_event(connection->serve, event);
}

static void session_on_eof(struct rpc_call *call)
{
    rpc_finish(call, STATUS_OK, "");
}

static void session_on_done(struct rpc_call *call, enum status code, const char *message)
{
    struct connection *connection = rpc_user(call);
    (void)code;
    (void)message;
    if (!connection)
        return;
    struct serve *serve = connection->serve;
    atomic_store(&connection->gone, true);  /* from here on the model thread may free it */
    wake(serve);
}

static const struct rpc_handler session_handler = {
    .on_open = session_on_open,
    .on_message = session_on_message,
    .on_eof = session_on_eof,
    .on_done = session_on_done,
};

static void vocabulary_on_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    struct serve *serve = rpc_user(call);
    uint64_t hash;
    struct error err;
    enum status rc = wire_vocabulary_request_unpack(data, size, &hash, &err);
    if (rc == STATUS_OK && hash != 0 && hash != tokenizer_hash(serve->engine->tokenizer))
        rc = error_set(&err, STATUS_NOT_FOUND, "this target has another vocabulary");
    if (rc != STATUS_OK) {
        rpc_finish(call, rc, err.text);
        return;
    }
    (void)rpc_send(call, serve->vocabulary.data, serve->vocabulary.size);
    rpc_finish(call, STATUS_OK, "");
}

static const struct rpc_handler vocabulary_handler = {.on_message = vocabulary_on_message};

/* ---- model thread ---- */

static bool send_frame(void *context, const struct wire_frame *frame)
{
    struct connection *connection = context;
    struct wire_bytes bytes;
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
    log_line(LOG_DEBUG, "%s: %s", rpc_peer(connection->call), text);
    rpc_finish(connection->call, code, text);
    target_session_close(&connection->session);
}

static void open_connection(struct serve *serve, struct connection *connection)
{
    struct error err;
    struct target_sink sink = {.send = send_frame, .context = connection};
    connection->next = serve->connections;
    serve->connections = connection;
    enum status rc = target_session_open(serve->target, sink, &connection->session, &err);
    if (rc != STATUS_OK)
        end_stream(connection, rc, err.text);
    else
        log_line(LOG_DEBUG, "%s: session opened", rpc_peer(connection->call));
}

static void handle_event(struct serve *serve, struct event *event)
{
    struct connection *connection = event->connection;
    struct error err;
    switch (event->kind) {
    case EVENT_WAKE:
        return;                             /* the one event that is not on the heap */
    case EVENT_OPEN:
        open_connection(serve, connection);
        break;
    case EVENT_REFUSED:
        if (connection->session)
            end_stream(connection, event->refusal.code, event->refusal.text);
        break;
    case EVENT_FRAME:
        if (connection->session) {
            enum status rc = target_session_receive(connection->session, &event->frame, &err);
            if (rc != STATUS_OK)
                end_stream(connection, rc, err.text);
        }
        wire_frame_release(&event->frame);
        break;
    }
    atomic_fetch_sub(&connection->waiting_bytes, event->n_bytes);
    atomic_fetch_sub(&connection->queued, 1);
    free(event);
}

/* Frees what is gone: the stream's last callback is over and none of its events waits. */
static void sweep(struct serve *serve)
{
    struct connection **link = &serve->connections;
    while (*link) {
        struct connection *connection = *link;
        if (connection->session && target_session_dead(connection->session))
            end_stream(connection, STATUS_UNAVAILABLE, "the session ended");
        if (!atomic_load(&connection->gone) || atomic_load(&connection->queued) > 0) {
            link = &connection->next;
            continue;
        }
        *link = connection->next;
        target_session_close(&connection->session);
        rpc_unref(connection->call);
        free(connection);
    }
}

static bool any_busy(const struct serve *serve)
{
    for (const struct connection *c = serve->connections; c; c = c->next)
        if (c->session && target_session_busy(c->session))
            return true;
    return false;
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
    uint64_t until = UINT64_MAX, end_us = UINT64_MAX;
    for (;;) {
        take_events(serve, MIN(until, end_us));
        if (end_us == UINT64_MAX && atomic_load(&serve->stopping)) {
            end_us = clock_us(&serve->engine->clock) + (uint64_t)serve->grace_ms * 1000u;
            target_drain(serve->target, serve->grace_ms);
        }
        if (end_us != UINT64_MAX && (!any_busy(serve) || clock_us(&serve->engine->clock) >= end_us))
            return NULL;
        until = target_tick(serve->target);
        sweep(serve);
    }
}

/* ---- life ---- */

static enum status pack_vocabulary(struct serve *serve, struct error *err)
{
    struct tokenizer_source source;
    tokenizer_describe(serve->engine->tokenizer, &source);
    const struct special_tokens *s = &source.special;
    struct wire_vocabulary message = {
        .hash = source.hash,
        .n_tokens = source.n_tokens,
        .offsets = (uint32_t *)(uintptr_t)source.offsets,
        .bytes = (uint8_t *)(uintptr_t)source.bytes,
        .special = {s->end, s->start, s->translate, s->transcribe, s->previous, s->no_speech,
                    s->no_timestamps, s->timestamp_begin, s->language_begin},
        .n_languages = source.n_languages,
        .languages = (char(*)[4])(uintptr_t)source.languages,
    };
    return wire_vocabulary_pack(&message, &serve->vocabulary, err);
}

static enum status start_server(struct serve *serve, const struct serve_options *options,
                                struct error *err)
{
    const struct rpc_method methods[] = {
        {"/specasr.v1.Verify/Session", &session_handler, serve},
        {"/specasr.v1.Verify/GetVocabulary", &vocabulary_handler, serve},
    };
    struct rpc_server_options server = {
        .listen = options->listen,
        .tls = options->tls,
        .limits = {.message_max = WIRE_VOCABULARY_MAX},
        .methods = methods,
        .n_methods = ARRAY_LEN(methods),
    };
    return rpc_server_new(&server, &serve->server, err);
}

enum status serve_start(struct engine *engine, const struct serve_options *options,
                        struct serve **out, struct error *err)
{
    struct serve *serve = calloc(1, sizeof(*serve));
    *out = NULL;
    if (!serve)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the server");
    serve->engine = engine;
    serve->wake.kind = EVENT_WAKE;
    enum status rc = queue_new(EVENTS_MAX, &serve->events, err);
    if (rc == STATUS_OK)
        rc = target_new(engine, &options->target, &serve->target, err);
    if (rc == STATUS_OK)
        rc = pack_vocabulary(serve, err);
    if (rc == STATUS_OK && pthread_create(&serve->thread, NULL, model_thread, serve) != 0)
        rc = error_set(err, STATUS_EXHAUSTED, "cannot start a thread");
    serve->thread_runs = rc == STATUS_OK;
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

static void stop_model_thread(struct serve *serve, uint32_t grace_ms)
{
    if (!serve->thread_runs)
        return;
    serve->grace_ms = grace_ms;
    atomic_store(&serve->stopping, true);
    wake(serve);
    pthread_join(serve->thread, NULL);
    for (struct connection *c = serve->connections; c; c = c->next)
        rpc_finish(c->call, STATUS_UNAVAILABLE, "the target was shut down");
}

void serve_stop(struct serve **serve_ptr, uint32_t grace_ms)
{
    struct serve *serve = *serve_ptr;
    if (!serve)
        return;
    stop_model_thread(serve, grace_ms);
    if (serve->server)
        rpc_server_stop(serve->server, 300);
    rpc_server_free(&serve->server);
    void *item;
    while (serve->events && queue_pop(serve->events, 0, &item) == QUEUE_OK)
        handle_event(serve, item);
    sweep(serve);                           /* every call has had its on_done */
    target_free(&serve->target);
    queue_free(&serve->events);
    wire_bytes_release(&serve->vocabulary);
    free(serve);
    *serve_ptr = NULL;
}
