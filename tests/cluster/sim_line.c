/* sim_line.c: a call between a client and a target over a network with delays and faults.
 *
 * Frames of one direction arrive in order. A call that is not accepted within 5 s has failed; a
 * peer that does not answer pings for 2.5 s is gone (lib/rpc: keepalive). What is sent to a side
 * that does not read waits, up to 1,024 frames or 4 MiB; then the sender is told.
 */
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"
#include "sim_int.h"

enum {
    ACCEPT_US = 5000000,
    PING_US = 2500000,
    AGAIN_US = 200000,                      /* a lost packet is sent again */
    QUEUE_ITEMS_MAX = 1024,
    QUEUE_BYTES_MAX = 4 << 20
};

static struct node *node_at(const struct line *line, enum side side)
{
    return side == CLIENT_SIDE ? &line->client->node : &line->target->node;
}

static enum side other(enum side side)
{
    return side == CLIENT_SIDE ? TARGET_SIDE : CLIENT_SIDE;
}

static void deliver(struct sim *sim, void *object, uint64_t to);

/* How long nothing arrives at that side; 0: it does now. */
static uint64_t held_until(const struct line *line, enum side to, uint64_t now_us)
{
    const struct sim *sim = line->sim;
    const struct node *node = node_at(line, to);
    uint64_t until = sim->cut[line->client->number][line->target->number].until_us;
    if (!node->down)
        until = MAX(until, node->frozen_until_us);
    if (to == CLIENT_SIDE)
        until = MAX(until, line->client->reads_from_us);
    return until > now_us ? until : 0;
}

static void push(struct line *line, enum side to, struct item item)
{
    struct direction *d = &line->to[to];
    const struct sim_net *net = &line->client->plan.net;
    struct sim *sim = line->sim;
    if (line->severed) {
        wire_bytes_release(&item.bytes);
        return;
    }
    if (d->n == d->max)
        d->items = sim_grow(d->items, &d->max, sizeof(*d->items));
    item.line = line;
    d->free_us = MAX(d->free_us, item.sent_us);
    if (net->rate > 0)
        d->free_us += (item.bytes.size + 60) * 1000000u / net->rate;
    item.left_us = d->free_us;
    item.due_us = item.left_us + net->delay_us + sim_draw(sim, net->jitter_us);
    if (net->spikes > 0.0f && (float)sim_draw(sim, 10000) < 10000.0f * net->spikes)
        item.due_us += AGAIN_US;
    d->last_due_us = item.due_us = MAX(item.due_us, d->last_due_us);
    d->items[d->n++] = item;
    sim_at(sim, item.due_us, deliver, line, to);
}

static void clear(struct direction *d)
{
    for (uint32_t i = d->first; i < d->n; i++)
        wire_bytes_release(&d->items[i].bytes);
    d->first = d->n = 0;
}

/* The item is there; takes its bytes. */
static void arrive(struct line *line, enum side to, struct item *item)
{
    struct sim *sim = line->sim;
    struct node *node = node_at(line, to);
    if (line->closed[to] || node->down) {
        if (item->kind == ITEM_OPEN)        /* nobody listens there */
            line_close(line, TARGET_SIDE, sim->now_us, STATUS_UNAVAILABLE, "connection refused");
        wire_bytes_release(&item->bytes);
        return;
    }
    if (item->kind == ITEM_OPEN) {
        line->reached = true;
        push(line, CLIENT_SIDE, (struct item){.kind = ITEM_ACCEPTED, .sent_us = sim->now_us});
        sim_reached(sim, line->client, line->target, SIM_OPENING, sim->now_us, sim->now_us);
        if (!sim_target_admits(line))
            return;
    }
    if (item->kind == ITEM_ACCEPTED)
        line->accepted = true;
    if (item->kind == ITEM_DONE)
        line->closed[to] = true;
    if (node->n_inbox == node->inbox_max)
        node->inbox = sim_grow(node->inbox, &node->inbox_max, sizeof(*node->inbox));
    node->inbox[node->n_inbox++] = *item;
    node_wake(node, sim->now_us);
}

static void deliver(struct sim *sim, void *object, uint64_t to)
{
    struct line *line = object;
    struct direction *d = &line->to[to];
    uint64_t until = held_until(line, (enum side)to, sim->now_us);
    if (d->first < d->n && until > 0) {
        sim_at(sim, until, deliver, line, to);
        return;
    }
    while (d->first < d->n && d->items[d->first].due_us <= sim->now_us) {
        struct item item = d->items[d->first++];
        arrive(line, (enum side)to, &item);
    }
    if (d->first == d->n)
        d->first = d->n = 0;
}

static void not_accepted(struct sim *sim, void *object, uint64_t argument)
{
    struct line *line = object;
    (void)argument;
    if (line->accepted || line->closed[CLIENT_SIDE])
        return;
    clear(&line->to[CLIENT_SIDE]);
    struct item done = {.kind = ITEM_DONE, .sent_us = sim->now_us};
    error_set(&done.why, STATUS_UNAVAILABLE, "no answer within 5 s");
    done.line = line;
    arrive(line, CLIENT_SIDE, &done);
    line_close(line, CLIENT_SIDE, sim->now_us, STATUS_CANCELLED, "given up");
}

struct line *line_open(struct sim_client *client, struct sim_target *target)
{
    struct sim *sim = client->node.sim;
    struct line *line = calloc(1, sizeof(*line));
    assert_non_null(line);
    if (sim->n_lines == sim->lines_max)
        sim->lines = sim_grow(sim->lines, &sim->lines_max, sizeof(*sim->lines));
    sim->lines[sim->n_lines] = line;
    *line = (struct line){.sim = sim, .client = client, .target = target,
                          .number = sim->n_lines++, .opened_us = client->node.now_us,
                          .ticket = client->ticket};
    push(line, TARGET_SIDE, (struct item){.kind = ITEM_OPEN, .sent_us = line->opened_us});
    sim_at(sim, line->opened_us + ACCEPT_US, not_accepted, line, 0);
    return line;
}

void line_free(struct line *line)
{
    clear(&line->to[CLIENT_SIDE]);
    clear(&line->to[TARGET_SIDE]);
    free(line->to[CLIENT_SIDE].items);
    free(line->to[TARGET_SIDE].items);
    free(line);
}

bool line_send(struct line *line, enum side to, const struct wire_frame *frame, uint64_t at_us)
{
    struct direction *d = &line->to[to];
    struct item item = {.kind = ITEM_FRAME, .sent_us = at_us};
    size_t waiting = 0;
    struct error err;
    if (line->closed[other(to)])
        return false;
    for (uint32_t i = d->first; d->n - d->first > 64 && i < d->n; i++)
        waiting += d->items[i].bytes.size;
    if (d->n - d->first >= QUEUE_ITEMS_MAX || waiting > QUEUE_BYTES_MAX)
        return false;
    assert_ok(wire_pack(frame, &item.bytes, &err), &err);
    push(line, to, item);
    return true;
}

size_t line_queued(const struct line *line, uint64_t at_us)
{
    const struct direction *d = &line->to[TARGET_SIDE];
    size_t queued = 0;
    bool stuck = held_until(line, TARGET_SIDE, at_us) > 0 || !line->accepted;
    for (uint32_t i = d->first; i < d->n; i++)
        if (stuck || d->items[i].left_us > at_us)
            queued += d->items[i].bytes.size;
    return queued;
}

void line_close(struct line *line, enum side by, uint64_t at_us, enum status code, const char *text)
{
    struct item done = {.kind = ITEM_DONE, .sent_us = at_us};
    enum side to = other(by);
    line->closed[by] = true;
    if (by == CLIENT_SIDE && !line->reached && held_until(line, to, at_us) > 0 &&
        !line->target->node.frozen_until_us)
        clear(&line->to[to]);               /* no connection was made */
    if (line->closed[to])
        return;
    error_set(&done.why, code, "%s", text);
    push(line, to, done);
}

void line_cut(struct line *line, uint64_t at_us)
{
    for (int side = CLIENT_SIDE; side <= TARGET_SIDE; side++) {
        struct direction *d = &line->to[side];
        clear(d);
        d->last_due_us = at_us;
        if (line->closed[side])
            continue;
        struct item done = {.kind = ITEM_DONE, .sent_us = at_us};
        error_set(&done.why, STATUS_UNAVAILABLE, "the connection broke");
        push(line, (enum side)side, done);
    }
}

void line_sever(struct line *line, uint64_t at_us)
{
    struct item done = {.kind = ITEM_DONE, .sent_us = at_us};
    error_set(&done.why, STATUS_UNAVAILABLE, "the network changed");
    clear(&line->to[CLIENT_SIDE]);
    clear(&line->to[TARGET_SIDE]);
    if (!line->closed[CLIENT_SIDE])
        push(line, CLIENT_SIDE, done);
    line->severed = true;
    line_watch(line, TARGET_SIDE, at_us);
}

void line_forget(struct line *line, enum side from, uint64_t at_us)
{
    struct direction *d = &line->to[other(from)];
    while (d->n > d->first && d->items[d->n - 1].sent_us > at_us)
        wire_bytes_release(&d->items[--d->n].bytes);
    if (d->n > d->first)
        d->last_due_us = d->items[d->n - 1].due_us;
}

void line_shift(struct line *line, enum side from, uint64_t at_us, uint64_t by_us)
{
    enum side to = other(from);
    struct direction *d = &line->to[to];
    for (uint32_t i = d->first; i < d->n; i++) {
        struct item *item = &d->items[i];
        if (item->sent_us <= at_us)
            continue;
        item->sent_us += by_us;
        item->left_us += by_us;
        d->last_due_us = item->due_us += by_us;
        sim_at(line->sim, MAX(item->due_us, line->sim->now_us), deliver, line, to);
    }
}

/* ---- keepalive ---- */

/* Since when that side cannot be reached from the other; UINT64_MAX: it can. */
static bool silent_since(const struct line *line, enum side side, uint64_t since_us)
{
    const struct sim *sim = line->sim;
    uint32_t c = line->client->number, t = line->target->number;
    const struct node *node = node_at(line, side);
    bool apart = sim->cut[c][t].until_us > sim->now_us && sim->cut[c][t].since_us <= since_us;
    bool frozen = node->frozen_until_us > sim->now_us;
    bool gone = side == CLIENT_SIDE && (line->client->killed || line->severed);
    return apart || frozen || gone;
}

static void no_pong(struct sim *sim, void *object, uint64_t by)
{
    struct line *line = object;
    enum side side = (enum side)(by & 1);
    uint64_t since_us = by >> 1;
    if (line->closed[side] || node_at(line, side)->down ||
        !silent_since(line, other(side), since_us))
        return;
    uint64_t frozen = node_at(line, side)->frozen_until_us;
    if (frozen > sim->now_us) {             /* looks when it is awake */
        sim_at(sim, frozen, no_pong, line, by);
        return;
    }
    clear(&line->to[side]);
    struct item done = {.kind = ITEM_DONE, .sent_us = sim->now_us, .line = line};
    error_set(&done.why, STATUS_UNAVAILABLE, "the peer does not answer");
    arrive(line, side, &done);
    line_close(line, side, sim->now_us, STATUS_UNAVAILABLE, "the peer gave the call up");
}

void line_watch(struct line *line, enum side by, uint64_t since_us)
{
    if (!line->closed[by])
        sim_at(line->sim, MAX(since_us + PING_US, line->sim->now_us), no_pong, line,
               since_us << 1 | (uint64_t)by);
}
