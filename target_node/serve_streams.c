#include "serve_int.h"

#include <stdlib.h>
#include <string.h>

#include "uplink.h"

enum { WAITING_BYTES_MAX = 8 << 20 };       /* of one client: its credit of four utterances */

void serve_wake(struct serve *serve)
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

static void free_event(struct event *event)
{
    if (event->kind == EVENT_FRAME)
        wire_frame_release(&event->frame);
    free(event);
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
    free_event(event);
}

void serve_refuse(struct rpc_call *call, const struct error *why, uint32_t retry_ms)
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

/* ---- the first message ---- */

/* Whose session it is, and whether there is a seat for it: answered here, where no pass of the
 * model is waited for. */
static enum status ask_for_seat(struct connection *connection, const struct wire_open *open,
                            uint32_t *retry_ms, struct error *err)
{
    struct rpc_call *call = connection->call;
    const struct seats_ask ask = {.ticket = rpc_metadata_value(call, GATE_TICKET),
                                  .peer = rpc_peer(call), .session = open->session,
                                  .epoch = open->epoch};
    enum status rc = seats_enter(connection->serve->seats, &ask, &connection->seat, retry_ms, err);
    connection->seated = rc == STATUS_OK;
    connection->meter = connection->seat.pass;
    connection->owner = connection->seat.place.owner;
    return rc;
}

/* The session begins: the model thread hears of it before it hears the frame. */
static bool begin(struct connection *connection, const struct wire_open *open)
{
    struct serve *serve = connection->serve;
    struct event *event = calloc(1, sizeof(*event));
    struct error err;
    uint32_t retry_ms = 0;
    enum status rc = event ? ask_for_seat(connection, open, &retry_ms, &err)
                           : error_set(&err, STATUS_NO_MEMORY, "no memory for a session");
    if (rc == STATUS_OK) {
        *event = (struct event){.kind = EVENT_OPEN, .connection = connection};
        atomic_store(&connection->queued, 1);
        if (queue_push(serve->events, event) == QUEUE_OK)
            return true;
        atomic_store(&connection->queued, 0);
        count_refused(serve->metrics, STATUS_EXHAUSTED);
        (void)error_set(&err, STATUS_EXHAUSTED, "this target is overloaded: try later");
        retry_ms = seats_retry_ms(serve->seats);
    }
    free(event);
    serve_refuse(connection->call, &err, retry_ms);
    return false;
}

/* Nothing is asked of the model, no seat and no ticket, before there is a whole Open. */
static bool take_first(struct connection *connection, const struct event *event)
{
    struct error err = event->refusal;
    if (event->kind == EVENT_FRAME && event->frame.kind == WIRE_OPEN)
        return begin(connection, &event->frame.u.open);
    if (event->kind == EVENT_FRAME)
        (void)error_set(&err, STATUS_INVALID, "the first frame of a session must be Open, not %s",
                        wire_kind_name(event->frame.kind));
    else
        metrics_add(connection->serve->metrics, TARGET_METRIC_DROPPED_MALFORMED, 1);
    count_refused(connection->serve->metrics, err.code);
    rpc_finish(connection->call, err.code, err.text);
    return false;
}

/* ---- callbacks ---- */

static void session_on_open(struct rpc_call *call)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    if (connection) {
        *connection = (struct connection){.serve = rpc_user(call), .call = rpc_ref(call)};
        (void)trace_read(rpc_metadata_value(call, TRACE_HEADER), connection->about.trace);
        list_init(&connection->link);
        list_init(&connection->watched);
        list_init(&connection->going);
        list_init(&connection->replaced);
    }
    rpc_set_user(call, connection);
    if (!connection)
        rpc_finish(call, STATUS_NO_MEMORY, "no memory for a session");
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
    if (connection->seated || take_first(connection, event))
        push_event(connection->serve, event);
    else
        free_event(event);
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
    if (!connection->seated) {              /* nobody else has heard of it */
        rpc_unref(connection->call);
        free(connection);
        return;
    }
    struct serve *serve = connection->serve;
    connection->ended = code;
    pthread_mutex_lock(&serve->lock);
    atomic_store(&connection->gone, true);
    list_append(&serve->gone, &connection->going);
    pthread_mutex_unlock(&serve->lock);     /* from here on the model thread may free it */
    serve_wake(serve);
}

const struct rpc_handler session_handler = {
    .on_open = session_on_open,
    .on_message = session_on_message,
    .on_eof = session_on_eof,
    .on_done = session_on_done,
};

/* The seats' lock is held, so that the stream cannot be freed meanwhile. */
void serve_replaced(struct seat *former)
{
    struct connection *connection = list_item(former, struct connection, seat);
    struct serve *serve = connection->serve;
    pthread_mutex_lock(&serve->lock);
    list_append(&serve->replaced, &connection->replaced);
    pthread_mutex_unlock(&serve->lock);
}
