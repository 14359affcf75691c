#include <stdlib.h>
#include <string.h>

#include "rpc/local.h"

static struct local_half *of(struct rpc_call *base)
{
    return (struct local_half *)base;
}

/* ---- readiness and outcomes ---- */

void local_ready(struct local_half *half)
{
    struct rpc_network *network = half->network;
    if (half->queued || half->done)
        return;
    half->queued = true;
    half->next_ready = NULL;
    if (network->ready_last)
        network->ready_last->next_ready = half;
    else
        network->ready_first = half;
    network->ready_last = half;
    pthread_cond_signal(&network->work);
}

static void ready_both(struct local_half *half)
{
    local_ready(half);
    if (half->peer)
        local_ready(half->peer);
}

static void set_outcome(struct local_half *half, enum status code, const char *text)
{
    if (half->over)
        return;
    half->over = true;
    half->code = code;
    rpc_copy_text(half->text, text);
    local_ready(half);
}

/* Of the half that ends the call; the other side learns only that it is over. */
void local_end(struct local_half *half, enum status code, const char *text)
{
    set_outcome(half, code, text);
    if (!half->peer)
        return;
    if (half->base.server)
        set_outcome(half->peer, STATUS_CANCELLED, "the server cancelled the call");
    else
        set_outcome(half->peer, STATUS_CANCELLED, "the client cancelled the call or is gone");
}

void local_break(struct local_half *client_half, int number, const char *details)
{
    char text[RPC_TEXT_MAX];
    rpc_explain(text, client_half->base.peer, number, details, RPC_FROM_LINK);
    local_end(client_half, rpc_status_of(number), text);
}

/* ---- verbs ---- */

static enum rpc_sent half_send(struct rpc_call *base, const uint8_t *data, size_t size)
{
    struct local_half *half = of(base);
    enum rpc_sent rc = RPC_CLOSED;
    pthread_mutex_lock(&half->network->lock);
    if (!half->closing && !half->over) {
        if (half->outbox.n == 0)
            half->moved_us = clock_us(&half->network->clock);
        rc = rpc_outbox_push(&half->outbox, data, size);
        if (rc == RPC_SENT)
            ready_both(half);
    }
    pthread_mutex_unlock(&half->network->lock);
    return rc;
}

static size_t half_queued_bytes(struct rpc_call *base)
{
    pthread_mutex_lock(&of(base)->network->lock);
    size_t bytes = of(base)->outbox.bytes;
    pthread_mutex_unlock(&of(base)->network->lock);
    return bytes;
}

static void half_half_close(struct rpc_call *base)
{
    struct local_half *half = of(base);
    pthread_mutex_lock(&half->network->lock);
    half->closing = true;
    ready_both(half);
    pthread_mutex_unlock(&half->network->lock);
}

static void half_finish(struct rpc_call *base, enum status code, const char *message)
{
    struct local_half *half = of(base);
    pthread_mutex_lock(&half->network->lock);
    if (!half->closing) {
        half->closing = true;
        half->moved_us = clock_us(&half->network->clock);
        half->finish_code = code;
        rpc_copy_text(half->finish_text, message);
        ready_both(half);
    }
    pthread_mutex_unlock(&half->network->lock);
}

static void half_cancel(struct rpc_call *base)
{
    struct local_half *half = of(base);
    pthread_mutex_lock(&half->network->lock);
    local_end(half, STATUS_CANCELLED,
              base->server ? "the call was cancelled here" : "the call was cancelled");
    pthread_mutex_unlock(&half->network->lock);
}

static void half_hold(struct rpc_call *base, bool held)
{
    struct local_half *half = of(base);
    pthread_mutex_lock(&half->network->lock);
    half->held = held;
    local_ready(half);
    pthread_mutex_unlock(&half->network->lock);
}

static void half_destroy(struct rpc_call *base)
{
    struct local_half *half = of(base);
    rpc_outbox_clear(&half->outbox);
    rpc_call_release(base);
    free(half);
}

static const struct rpc_call_ops ops = {
    .send = half_send,
    .queued_bytes = half_queued_bytes,
    .half_close = half_half_close,
    .finish = half_finish,
    .cancel = half_cancel,
    .hold = half_hold,
    .destroy = half_destroy,
};

struct local_half *local_half_new(struct rpc_network *network, const struct rpc_limits *limits,
                                  const char *method, const char *peer)
{
    struct local_half *half = calloc(1, sizeof(*half));
    if (!half)
        return NULL;
    half->network = network;
    half->outbox.limits = *limits;
    if (!rpc_call_init(&half->base, &ops, method, peer)) {
        half_destroy(&half->base);
        return NULL;
    }
    half->next = network->halves;
    half->link = &network->halves;
    if (half->next)
        half->next->link = &half->next;
    network->halves = half;
    return half;
}

/* ---- steps: what is next for a half, in this order ---- */

static void unlock(struct local_half *half)
{
    half->network->in_callback = true;
    pthread_mutex_unlock(&half->network->lock);
}

static void lock(struct local_half *half)
{
    pthread_mutex_lock(&half->network->lock);
    half->network->in_callback = false;
}

static void step_done(struct local_half *half)
{
    half->done = true;
    rpc_outbox_clear(&half->outbox);
    if (half->peer)
        half->peer->peer = NULL;
    half->peer = NULL;
    if (half->base.server) {
        half->server->n_open--;
        half->server->n_aside -= half->aside;
        if (half->client)
            half->client->n_aside -= half->aside;
    }
    unlock(half);
    rpc_call_done(&half->base, half->code, half->text);
    lock(half);
    *half->link = half->next;
    if (half->next)
        half->next->link = half->link;
    if (half->base.server)
        half->server->n_calls--;
    else
        half->client->n_calls--;
    pthread_cond_broadcast(&half->network->changed);
    rpc_unref(&half->base);
}

static void step_open(struct local_half *half)
{
    unlock(half);
    rpc_call_opened(&half->base);
    lock(half);
    half->opened = true;
    if (half->base.server && half->peer) {
        half->peer->accepted = true;
        local_ready(half->peer);
    }
}

static void step_sent(struct local_half *half)
{
    size_t queued = half->outbox.bytes;
    half->n_unreported--;
    unlock(half);
    rpc_call_sent(&half->base, queued);
    lock(half);
}

/* After rpc_finish a server hears nothing more, but what comes is taken. */
static void step_message(struct local_half *half)
{
    struct local_half *peer = half->peer;
    struct rpc_message *message = rpc_outbox_pop(&peer->outbox);
    bool told = !(half->base.server && half->closing);
    peer->n_unreported++;
    peer->moved_us = clock_us(&half->network->clock);
    half->first_by_us = 0;
    local_ready(peer);
    if (message->size > half->outbox.limits.message_max) {
        local_break(half->base.server ? peer : half, 8, "Received message larger than max");
    } else if (told) {
        unlock(half);
        rpc_call_message(&half->base, message->data, message->size);
        lock(half);
    }
    free(message);
}

static void step_eof(struct local_half *half)
{
    half->eof_told = true;
    unlock(half);
    rpc_call_eof(&half->base);
    lock(half);
}

static void step_drain(struct local_half *half)
{
    half->drain_told = true;
    unlock(half);
    rpc_call_drain(&half->base);
    lock(half);
}

/* The client has read everything: the server's status arrives, and the server learns that it
 * did. */
static void step_status(struct local_half *client)
{
    struct local_half *server = client->peer;
    enum status seen = rpc_status_seen(server->finish_code);
    set_outcome(client, seen, server->finish_text);
    set_outcome(server, server->finish_code, server->finish_text);
}

static bool take_step(struct local_half *half)
{
    const struct local_half *peer = half->peer;
    bool server = half->base.server, finished = server && half->closing;
    bool drained_peer = peer && half->opened && peer->outbox.n == 0;
    if (server && !half->opened)
        step_open(half);                /* even of a call that is over: on_done needs an on_open */
    else if (half->over)
        step_done(half);
    else if (half->accepted && !half->opened)
        step_open(half);
    else if (half->n_unreported > 0)
        step_sent(half);
    else if (half->drain_wanted && !half->drain_told && !finished)
        step_drain(half);
    else if (peer && half->opened && !half->held && peer->outbox.n > 0)
        step_message(half);
    else if (server && drained_peer && peer->closing && !half->eof_told && !finished)
        step_eof(half);
    else if (!server && drained_peer && peer->closing)
        step_status(half);
    else
        return false;
    return true;
}

bool local_step(struct local_half *half)
{
    rpc_ref(&half->base);
    bool did = take_step(half);
    if (did)
        local_ready(half);              /* there may be more */
    rpc_unref(&half->base);
    return did;
}

/* ---- time ---- */

static uint64_t expire_server(struct local_half *half, uint64_t now_us)
{
    struct rpc_server *server = &half->server->base;
    uint64_t stalled_us = half->moved_us + server->guards.stall_ms * 1000ull;
    bool owes = half->outbox.n > 0 || half->closing;
    bool silent = half->first_by_us && !half->closing && !half->held;
    if (silent && now_us >= half->first_by_us) {
        atomic_fetch_add(&server->n_silent, 1);
        half->closing = true;
        half->moved_us = now_us;
        half->finish_code = STATUS_TIMEOUT;
        rpc_copy_text(half->finish_text, rpc_silent_text);
        ready_both(half);
    } else if (owes && now_us >= stalled_us) {
        atomic_fetch_add(&server->n_stalled, 1);
        local_end(half, STATUS_EXHAUSTED, rpc_stalled_text);
    } else if (silent) {
        return half->first_by_us;
    } else if (owes) {
        return stalled_us;
    }
    return 0;
}

uint64_t local_expire(struct local_half *half, uint64_t now_us)
{
    if (half->base.server)
        return expire_server(half, now_us);
    if (half->deadline_us && half->deadline_us <= now_us)
        local_break(half, 4, "Deadline Exceeded");
    return half->over ? 0 : half->deadline_us;
}
