#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include "rpc/link.h"

static struct link_call *of(struct rpc_call *base)
{
    return (struct link_call *)base;
}

/* ---- starting operations: always with the lock held, never after the end ---- */

static bool flying(const struct link_call *call, enum link_op op)
{
    return call->in_flight & (1u << op);
}

static void start(struct link_call *call, enum link_op op, grpc_op *what)
{
    SA_ASSERT(!call->ended && !flying(call, op));
    call->in_flight |= 1u << op;
    if (op == OP_SEND || op == OP_CLOSE)
        call->moved_us = link_now_us();
    grpc_call_error rc = grpc_call_start_batch(call->core, what, 1, &call->tags[op], NULL);
    SA_ASSERT(rc == GRPC_CALL_OK);
}

static void start_receive(struct link_call *call)
{
    if (call->ended || call->held || call->no_more || flying(call, OP_RECV))
        return;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &call->incoming;
    start(call, OP_RECV, &op);
}

static void start_send(struct link_call *call)
{
    const struct rpc_message *message = call->outbox.first;
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *)message->data, message->size);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
    op.data.send_message.send_message = buffer;
    start(call, OP_SEND, &op);
    grpc_byte_buffer_destroy(buffer);
    grpc_slice_unref(slice);
}

/* The core makes up statuses of its own, on both sides, and gives them out as the peer's. Those
 * that rpc_finish sent carry this mark, so that their text is left as it is. */
static const char mark[] = "rpc-finished";

static bool is_marked(const grpc_metadata_array *trailing)
{
    for (size_t i = 0; i < trailing->count; i++)
        if (grpc_slice_str_cmp(trailing->metadata[i].key, mark) == 0)
            return true;
    return false;
}

static void start_close(struct link_call *call)
{
    grpc_metadata finished = {.key = grpc_slice_from_static_string(mark),
                              .value = grpc_slice_from_static_string("1")};
    grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
    grpc_slice details = grpc_empty_slice();
    if (call->base.server) {
        details = grpc_slice_from_copied_string(call->finish_text);
        op.op = GRPC_OP_SEND_STATUS_FROM_SERVER;
        op.data.send_status_from_server.status =
            (grpc_status_code)rpc_status_number(call->finish_code);
        op.data.send_status_from_server.status_details = &details;
        op.data.send_status_from_server.trailing_metadata = &finished;
        op.data.send_status_from_server.trailing_metadata_count = 1;
    }
    start(call, OP_CLOSE, &op);
    grpc_slice_unref(details);
    call->closed = true;
}

/* The next message, or the close when they are all out. One send in flight per call. */
static void pump_out(struct link_call *call)
{
    if (!call->started || call->ended || call->cancelled || flying(call, OP_SEND))
        return;
    if (call->outbox.n > 0)
        start_send(call);
    else if (call->closing && !call->closed)
        start_close(call);
}

/* ---- verbs ---- */

static enum rpc_sent call_send(struct rpc_call *base, const uint8_t *data, size_t size)
{
    struct link_call *call = of(base);
    enum rpc_sent rc = RPC_CLOSED;
    pthread_mutex_lock(&call->lock);
    if (!call->closing && !call->ended && !call->cancelled) {
        rc = rpc_outbox_push(&call->outbox, data, size);
        if (rc == RPC_SENT)
            pump_out(call);
    }
    pthread_mutex_unlock(&call->lock);
    return rc;
}

static size_t call_queued_bytes(struct rpc_call *base)
{
    pthread_mutex_lock(&of(base)->lock);
    size_t bytes = of(base)->outbox.bytes;
    pthread_mutex_unlock(&of(base)->lock);
    return bytes;
}

static void call_half_close(struct rpc_call *base)
{
    struct link_call *call = of(base);
    pthread_mutex_lock(&call->lock);
    call->closing = true;
    pump_out(call);
    pthread_mutex_unlock(&call->lock);
}

static void call_finish(struct rpc_call *base, enum status code, const char *message)
{
    struct link_call *call = of(base);
    pthread_mutex_lock(&call->lock);
    if (!call->closing) {
        call->closing = true;
        call->finish_code = code;
        rpc_copy_text(call->finish_text, message);
        if (!flying(call, OP_SEND))
            call->moved_us = link_now_us();
        pump_out(call);
    }
    pthread_mutex_unlock(&call->lock);
}

static void cancel_with(struct link_call *call, grpc_status_code code, const char *text)
{
    pthread_mutex_lock(&call->lock);
    if (!call->ended && !call->cancelled && call->core) {
        call->cancelled = true;
        grpc_call_cancel_with_status(call->core, code, text, NULL);
    }
    pthread_mutex_unlock(&call->lock);
}

static void call_cancel(struct rpc_call *base)
{
    cancel_with(of(base), GRPC_STATUS_CANCELLED, "cancelled");
}

static void call_hold(struct rpc_call *base, bool held)
{
    struct link_call *call = of(base);
    pthread_mutex_lock(&call->lock);
    bool resume = call->held && !held && call->opened;
    call->held = held;
    if (resume)
        start_receive(call);
    pthread_mutex_unlock(&call->lock);
}

static void call_destroy(struct rpc_call *base)
{
    struct link_call *call = of(base);
    SA_ASSERT(!call->core);
    rpc_outbox_clear(&call->outbox);
    rpc_call_release(base);
    pthread_mutex_destroy(&call->lock);
    free(call->target);
    free(call);
}

static const struct rpc_call_ops ops = {
    .send = call_send,
    .queued_bytes = call_queued_bytes,
    .half_close = call_half_close,
    .finish = call_finish,
    .cancel = call_cancel,
    .hold = call_hold,
    .destroy = call_destroy,
};

/* ---- beginning ---- */

struct link_call *link_call_new(struct link_loop *loop, const struct rpc_limits *limits,
                                const char *method, const char *peer)
{
    struct link_call *call = calloc(1, sizeof(*call));
    if (!call)
        return NULL;
    pthread_mutex_init(&call->lock, NULL);
    call->loop = loop;
    call->outbox.limits = *limits;
    for (int op = 0; op < OP_CALL_N; op++)
        call->tags[op] = (struct link_tag){call, (enum link_op)op};
    if (!rpc_call_init(&call->base, &ops, method, peer)) {
        call_destroy(&call->base);
        return NULL;
    }
    return call;
}

static void start_end(struct link_call *call)
{
    grpc_op op = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    if (call->base.server) {
        op.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
        op.data.recv_close_on_server.cancelled = &call->was_cancelled;
    } else {
        op.data.recv_status_on_client.trailing_metadata = &call->trailing;
        op.data.recv_status_on_client.status = &call->status;
        op.data.recv_status_on_client.status_details = &call->details;
    }
    start(call, OP_END, &op);
}

static void start_headers(struct link_call *call, const struct rpc_metadata *metadata, size_t n)
{
    grpc_metadata entries[RPC_METADATA_MAX];
    memset(entries, 0, sizeof(entries));
    for (size_t i = 0; i < n; i++) {
        entries[i].key = grpc_slice_from_copied_string(metadata[i].key);
        entries[i].value = grpc_slice_from_copied_string(metadata[i].value);
    }
    grpc_op op = {.op = GRPC_OP_SEND_INITIAL_METADATA};
    op.data.send_initial_metadata.count = n;
    op.data.send_initial_metadata.metadata = entries;
    start(call, OP_START, &op);
    for (size_t i = 0; i < n; i++) {
        grpc_slice_unref(entries[i].key);
        grpc_slice_unref(entries[i].value);
    }
}

void link_call_begin(struct link_call *call, grpc_call *core, const struct rpc_metadata *metadata,
                     size_t n_metadata)
{
    pthread_mutex_lock(&call->lock);
    call->core = core;
    grpc_metadata_array_init(&call->initial);
    grpc_metadata_array_init(&call->trailing);
    call->details = grpc_empty_slice();
    start_end(call);
    if (!call->base.server) {
        grpc_op open = {.op = GRPC_OP_RECV_INITIAL_METADATA};
        open.data.recv_initial_metadata.recv_initial_metadata = &call->initial;
        start_headers(call, metadata, n_metadata);
        start(call, OP_OPEN, &open);
    }
    pthread_mutex_unlock(&call->lock);
}

/* ---- events: on the loop's thread, callbacks outside the lock ----
 *
 * An operation's bit is cleared in the same breath as its result is taken, so that another thread
 * can neither send the first message twice nor receive into `incoming` before it has been read. */

static void landed(struct link_call *call, enum link_op op)
{
    SA_ASSERT(flying(call, op));
    call->in_flight &= ~(1u << op);
    if (op == OP_SEND || op == OP_CLOSE)
        call->moved_us = link_now_us();
}

static void on_started(struct link_call *call, bool success)
{
    pthread_mutex_lock(&call->lock);
    landed(call, OP_START);
    call->started = success;
    pump_out(call);
    pthread_mutex_unlock(&call->lock);
}

/* Server: called once by the acceptor; its headers go out afterwards, so that a client's on_open
 * means that the server's has run. Client: the server's first headers are here. */
static void on_opened(struct link_call *call, bool success)
{
    if (success)
        rpc_call_opened(&call->base);
    pthread_mutex_lock(&call->lock);
    if (call->base.server)
        start_headers(call, NULL, 0);
    else
        landed(call, OP_OPEN);
    call->opened = success;
    if (success)
        start_receive(call);
    pthread_mutex_unlock(&call->lock);
}

static void on_sent(struct link_call *call, bool success)
{
    pthread_mutex_lock(&call->lock);
    landed(call, OP_SEND);
    free(rpc_outbox_pop(&call->outbox));
    size_t queued = call->outbox.bytes;
    if (success)
        pump_out(call);
    pthread_mutex_unlock(&call->lock);
    if (success)
        rpc_call_sent(&call->base, queued);
}

static void deliver(struct link_call *call, grpc_byte_buffer *buffer)
{
    grpc_byte_buffer_reader reader;
    SA_ASSERT(grpc_byte_buffer_reader_init(&reader, buffer));
    grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    rpc_call_message(&call->base, GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice));
    grpc_slice_unref(slice);
}

static void on_received(struct link_call *call, bool success)
{
    pthread_mutex_lock(&call->lock);
    grpc_byte_buffer *buffer = call->incoming;
    call->incoming = NULL;
    call->first_by_us = 0;
    bool silent = call->base.server && call->closing;   /* after rpc_finish only the end is told */
    pthread_mutex_unlock(&call->lock);
    if (success && buffer && !silent)
        deliver(call, buffer);
    else if (success && !buffer && !silent && call->base.server)
        rpc_call_eof(&call->base);
    if (buffer)
        grpc_byte_buffer_destroy(buffer);
    pthread_mutex_lock(&call->lock);
    landed(call, OP_RECV);
    call->no_more = !buffer;
    start_receive(call);
    pthread_mutex_unlock(&call->lock);
}

static void on_closed(struct link_call *call, enum link_op op)
{
    pthread_mutex_lock(&call->lock);
    landed(call, op);
    call->ended = call->ended || op == OP_END;
    pthread_mutex_unlock(&call->lock);
}

static void server_outcome(const struct link_call *call, enum status *code,
                           char text[RPC_TEXT_MAX])
{
    *code = STATUS_CANCELLED;
    if (call->stalled) {
        *code = STATUS_EXHAUSTED;
        rpc_copy_text(text, rpc_stalled_text);
    } else if (!call->was_cancelled && call->closed) {
        *code = call->finish_code;
        rpc_copy_text(text, call->finish_text);
    } else {
        rpc_copy_text(text, call->cancelled ? "the call was cancelled here"
                                            : "the client cancelled the call or is gone");
    }
}

static void client_outcome(const struct link_call *call, enum status *code,
                           char text[RPC_TEXT_MAX])
{
    char *details = grpc_slice_to_c_string(call->details);
    *code = rpc_status_of((int)call->status);
    rpc_explain(text, call->target, (int)call->status, details,
                is_marked(&call->trailing) ? RPC_FROM_SERVER
                : call->opened             ? RPC_FROM_LINK
                                           : RPC_FROM_NEW_LINK);
    gpr_free(details);
}

static void finish_call(struct link_call *call)
{
    enum status code;
    char text[RPC_TEXT_MAX];
    if (call->base.server)
        server_outcome(call, &code, text);
    else
        client_outcome(call, &code, text);
    pthread_mutex_lock(&call->lock);
    grpc_call *core = call->core;
    call->core = NULL;
    rpc_outbox_clear(&call->outbox);
    pthread_mutex_unlock(&call->lock);
    rpc_call_done(&call->base, code, text);
    grpc_metadata_array_destroy(&call->initial);
    grpc_metadata_array_destroy(&call->trailing);
    grpc_slice_unref(call->details);
    grpc_call_unref(core);
    if (call->base.server)
        link_server_call_over(call->loop->server, call,
                              call->was_cancelled && !call->cancelled && !call->closed);
    link_loop_remove(call->loop, call);
    rpc_unref(&call->base);
}

void link_call_event(struct link_call *call, enum link_op op, bool success)
{
    switch (op) {
    case OP_START: on_started(call, success); break;
    case OP_OPEN: on_opened(call, success); break;
    case OP_SEND: on_sent(call, success); break;
    case OP_RECV: on_received(call, success); break;
    default: on_closed(call, op); break;
    }
    pthread_mutex_lock(&call->lock);
    bool over = call->ended && call->in_flight == 0;
    pthread_mutex_unlock(&call->lock);
    if (over)
        finish_call(call);
}

void link_call_drain(struct link_call *call)
{
    pthread_mutex_lock(&call->lock);
    bool first = !call->drained && !call->ended && !call->closing;
    call->drained = true;
    pthread_mutex_unlock(&call->lock);
    if (first)
        rpc_call_drain(&call->base);
}

/* Nothing leaves towards the client: a message, or the status behind it. */
static bool is_stalled(const struct link_call *call, uint64_t now_us, uint32_t stall_ms)
{
    bool owes = flying(call, OP_SEND) || flying(call, OP_CLOSE) || call->closing;
    return !call->ended && !call->cancelled && owes && now_us > call->moved_us + stall_ms * 1000ull;
}

static void check_server_call(struct link_call *call, uint64_t now_us)
{
    struct rpc_server *server = link_server_base(call->loop->server);
    pthread_mutex_lock(&call->lock);
    bool silent = call->first_by_us && now_us > call->first_by_us && !call->closing &&
                  !call->ended && !call->cancelled && !call->held;
    bool stalled = is_stalled(call, now_us, server->guards.stall_ms);
    call->stalled |= stalled;
    call->first_by_us = silent ? 0 : call->first_by_us;
    pthread_mutex_unlock(&call->lock);
    if (silent) {
        atomic_fetch_add(&server->n_silent, 1);
        call_finish(&call->base, STATUS_TIMEOUT, rpc_silent_text);
    }
    if (stalled) {
        atomic_fetch_add(&server->n_stalled, 1);
        cancel_with(call, GRPC_STATUS_RESOURCE_EXHAUSTED, rpc_stalled_text);
    }
}

void link_call_check_time(struct link_call *call, uint64_t now_us)
{
    if (call->base.server) {
        check_server_call(call, now_us);
        return;
    }
    pthread_mutex_lock(&call->lock);
    bool late = !call->opened && !call->ended && now_us > call->connect_by_us;
    pthread_mutex_unlock(&call->lock);
    if (late)
        cancel_with(call, GRPC_STATUS_UNAVAILABLE, "Timeout occurred");
}
