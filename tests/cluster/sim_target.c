/* sim_target.c: a target's process as target_node/serve.c runs it, in virtual time: takes what has
 * come, ticks, ends streams; a watchdog says Alive during a long step. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"
#include "engine/target_int.h"
#include "sim_int.h"

enum {
    OPEN_WITHIN_US = 5000000,
    SLOW_US = 500000,
    SPEAK_US = 250000,
    DRAIN_US = 2000000
};

static struct sim_target *target_of(struct node *node)
{
    return (struct sim_target *)node;
}

static struct connection *find(struct sim_target *target, const struct line *line)
{
    for (uint32_t i = 0; i < target->n_connections; i++)
        if (target->connections[i].line == line)
            return &target->connections[i];
    return NULL;
}

/* ---- frames out ---- */

static void note_decoded(struct sim_target *target, struct line *line, uint32_t utterance)
{
    struct history *history = &line->client->history;
    const struct connection *c = find(target, line);
    const struct utterance *u = c && c->session ? session_current(c->session) : NULL;
    if (u && u->id == utterance && utterance < history->n)
        history->told[utterance].decode_us += clock_us(&target->engine.clock) - u->times.encoded_us;
}

static bool send_frame(void *context, const struct wire_frame *frame)
{
    struct line *line = context;
    struct sim_target *target = line->target;
    struct sim *sim = line->sim;
    uint64_t now = target->node.now_us;
    if (frame->kind == WIRE_WINDOW_FINAL) {
        sim_reached(sim, line->client, target, SIM_FINAL, sim->now_us,
                    now + line->client->plan.net.delay_us);
        note_decoded(target, line, frame->u.window_final.utterance);
    }
    if (line_send(line, CLIENT_SIDE, frame, now))
        return true;
    line_close(line, TARGET_SIDE, now, STATUS_EXHAUSTED, "the client does not read its frames");
    return false;
}

static void watchdog(struct node *node, uint64_t us)
{
    struct sim_target *target = target_of(node);
    const struct wire_frame alive = {.kind = WIRE_ALIVE};
    uint64_t at = MAX(target->began_us + SLOW_US, target->spoken_us + SPEAK_US);
    for (; at < node->now_us + us; at += SPEAK_US) {
        target->spoken_us = at;
        for (uint32_t i = 0; i < target->n_connections; i++) {
            struct connection *c = &target->connections[i];
            if (c->line && c->owed)
                (void)line_send(c->line, CLIENT_SIDE, &alive, at);
        }
    }
}

/* ---- streams ---- */

static void end_stream(struct sim_target *target, struct connection *c, enum status code,
                       const char *text)
{
    sim_trace(target->node.sim, target->node.now_us, "target %u: ends line %u: %s", target->number,
              c->line->number, text);
    if (!c->line->closed[TARGET_SIDE])
        line_close(c->line, TARGET_SIDE, target->node.now_us, code, text);
    target_session_close(&c->session);
    admit_leave(target->admission, &c->line->seat);
    colocated_free(&c->colocated);
    c->line = NULL;
}

bool sim_target_admits(struct line *line)
{
    struct sim_target *target = line->target;
    uint64_t now = line->sim->now_us;
    struct error err;
    char name[ADMIT_NAME_MAX];
    uint64_t owner = line->client->plan.owner;
    struct wire_frame frame = {.kind = WIRE_ERROR};
    snprintf(name, sizeof(name), "%s %llu", owner ? "owner" : "client",
             owner ? (unsigned long long)owner : line->client->number);
    enum status rc = sim_ticket_check(line, &err);
    if (rc == STATUS_EXHAUSTED)
        frame.u.error.retry_ms = admit_retry_ms(target->admission);
    if (rc == STATUS_OK)
        rc = admit_enter(target->admission, name, &line->seat, &frame.u.error.retry_ms, &err);
    if (rc == STATUS_OK)
        return true;
    sim_trace(line->sim, now, "target %u: refuses client %u: %s", target->number,
              line->client->number, err.text);
    frame.u.error.code = rc;
    frame.u.error.fatal = true;
    snprintf(frame.u.error.message, sizeof(frame.u.error.message), "%s", err.text);
    (void)line_send(line, CLIENT_SIDE, &frame, now);
    line_close(line, TARGET_SIDE, now, rc, err.text);
    return false;
}

static void open_stream(struct sim_target *target, struct line *line)
{
    struct error err;
    uint32_t i = 0;
    while (i < target->n_connections && target->connections[i].line)
        i++;
    if (i == target->connections_max)
        target->connections =
            sim_grow(target->connections, &target->connections_max, sizeof(*target->connections));
    if (i == target->n_connections)
        target->n_connections++;
    struct connection *c = &target->connections[i];
    *c = (struct connection){.line = line, .opened_us = clock_us(&target->engine.clock)};
    struct target_sink sink = {.send = send_frame, .context = line};
    enum status rc = target_session_open(target->target, sink, &c->session, &err);
    if (rc == STATUS_OK && line->client->plan.owner)
        rc = target_session_owner(c->session, line->client->plan.owner, &err);
    if (rc == STATUS_OK && target->node.sim->options.colocated_pace)
        c->colocated = colocated_new(target, line->client);
    if (rc != STATUS_OK)
        end_stream(target, c, rc, err.text);
}

static void take_frame(struct sim_target *target, struct connection *c, const struct item *item)
{
    struct wire_frame frame;
    struct error err;
    enum status rc = wire_unpack(item->bytes.data, item->bytes.size, true, &frame, &err);
    if (c->colocated && rc == STATUS_OK && frame.kind == WIRE_OPEN)
        frame.u.open.rules.use_drafts = true;
    if (rc == STATUS_OK) {
        rc = target_session_receive(c->session, &frame, &err);
        wire_frame_release(&frame);
    }
    if (rc == STATUS_OK)
        return;
    /* Only the race of two streams of one session may end like this. */
    if (rc != STATUS_CANCELLED)
        sim_violated(target->node.sim, "target %u refused a frame of client %u: %s", target->number,
                     c->line->client->number, err.text);
    end_stream(target, c, rc, err.text);
}

static void take_items(struct sim_target *target)
{
    struct item item;
    while (node_take(&target->node, &item)) {
        struct connection *c = find(target, item.line);
        if (item.kind == ITEM_OPEN)
            open_stream(target, item.line);
        else if (item.kind == ITEM_FRAME && c && c->session)
            take_frame(target, c, &item);
        else if (item.kind == ITEM_DONE && c)
            end_stream(target, c, item.why.code, "the client is gone");
        wire_bytes_release(&item.bytes);
    }
}

/* Ends what is over; returns when to look again (engine clock). */
static uint64_t end_streams(struct sim_target *target)
{
    uint64_t now = clock_us(&target->engine.clock), next = UINT64_MAX;
    for (uint32_t i = 0; i < target->n_connections; i++) {
        struct connection *c = &target->connections[i];
        if (!c->line)
            continue;
        c->owed = target_session_busy(c->session);
        if (target_session_dead(c->session))
            end_stream(target, c, STATUS_UNAVAILABLE, "the session ended");
        else if (!target_session_ready(c->session) && now >= c->opened_us + OPEN_WITHIN_US)
            end_stream(target, c, STATUS_TIMEOUT, "no Open frame came");
        else if (!target_session_ready(c->session))
            next = MIN(next, c->opened_us + OPEN_WITHIN_US);
    }
    return next;
}

/* ---- what a test wants to know ---- */

static enum sim_phase phase_of(struct sim_target *target, struct target_session *session)
{
    struct utterance *u = session_current(session);
    if (!u)
        return SIM_AT_TIME;
    if (target->target->draining)
        return SIM_DRAIN;
    if (u->phase == PHASE_LISTEN && u->audio.end > u->audio.first)
        return SIM_AUDIO;
    if (u->phase == PHASE_ENCODE && target_place(target->target, session))
        return SIM_ENCODE;
    if (u->phase == PHASE_DECODE && u->attempt.n_decided > 1)
        return SIM_VERIFY;
    return SIM_AT_TIME;
}

static void tell_phases(struct sim_target *target)
{
    for (uint32_t i = 0; i < target->n_connections; i++) {
        struct connection *c = &target->connections[i];
        enum sim_phase phase = c->line ? phase_of(target, c->session) : SIM_AT_TIME;
        if (phase != SIM_AT_TIME)
            sim_reached(target->node.sim, c->line->client, target, phase, target->began_us,
                        target->node.now_us + c->line->client->plan.net.delay_us);
    }
}

/* How long sessions that could decode have gone without rows; what passes are made of. */
static void count_work(struct sim_target *target)
{
    const struct target *t = target->target;
    uint64_t now = clock_us(&target->engine.clock);
    target->work.audits = t->counts.audits;
    target->work.audit_mismatches = t->counts.audit_mismatches;
    if (t->n_sessions > 0)                  /* else it measures itself */
        target->work.busy_us += target->node.now_us - target->began_us;
    if (t->n_sessions > 0 && t->pass.n > 0) {
        target->work.passes++;
        target->work.rows += t->pass.n;
    }
    for (struct target_session *s = t->sessions; s; s = s->next) {
        const struct utterance *u = session_current(s);
        if (!u || s->dead || u->waiting || u->phase < PHASE_DETECT || u->phase > PHASE_DECODE)
            continue;
        if (s->depth.chosen_us != 0) {
            target->work.control_us += target->node.now_us - target->began_us;
            target->work.depth_us +=
                s->depth.advice.depth > 0 ? target->node.now_us - target->began_us : 0;
        }
        uint64_t since = MAX(u->times.rows_us, u->times.encoded_us);
        target->work.gap_max_us = MAX(target->work.gap_max_us, now - since);
    }
}

/* Two streams of one client that are both at work. */
static bool has_twin(const struct target_session *session)
{
    for (const struct target_session *s = session->next; s; s = s->next)
        if (s->open && !s->dead && session->open && !session->dead &&
            memcmp(s->id, session->id, sizeof(s->id)) == 0)
            return true;
    return false;
}

/* No slot and no sequence without a stream; one stream for each client. */
static void audit(struct sim_target *target)
{
    uint32_t n_streams = 0;
    const struct target *t = target->target;
    for (const struct target_session *s = t->sessions; s; s = s->next)
        if (has_twin(s))
            sim_violated(target->node.sim, "target %u: two sessions of one client", target->number);
    for (uint32_t i = 0; i < target->n_connections; i++)
        n_streams += target->connections[i].line != NULL;
    uint32_t n_sequences = toy_open_sequences(target->engine.backend);
    if (t->n_sessions != n_streams || n_sequences != n_streams + (t->probe.sequence != NULL) +
                                                          (t->audit.session != NULL))
        sim_violated(target->node.sim, "target %u: %u sessions and %u sequences for %u streams",
                     target->number, t->n_sessions, n_sequences, n_streams);
}

/* ---- life ---- */

static bool any_busy(const struct sim_target *target)
{
    for (uint32_t i = 0; i < target->n_connections; i++)
        if (target->connections[i].line && target_session_busy(target->connections[i].session))
            return true;
    return false;
}

static void restart(struct sim *sim, void *object, uint64_t argument)
{
    struct sim_target *target = object;
    (void)argument;
    sim_trace(sim, sim->now_us, "target %u: starts", target->number);
    sim_target_start(target);
}

/* Drained: tells the streams, ends, and comes back. */
static void leave(struct sim_target *target)
{
    struct sim *sim = target->node.sim;
    for (uint32_t i = 0; i < target->n_connections; i++)
        if (target->connections[i].line)
            end_stream(target, &target->connections[i], STATUS_UNAVAILABLE,
                       "the target was shut down");
    sim_at(sim, target->node.now_us + target->drain_down_us, restart, target, 0);
    sim_target_stop(target);
}

static void turn(struct node *node)
{
    struct sim_target *target = target_of(node);
    target->began_us = node->now_us;
    take_items(target);
    if (target->drain_wanted && !target->drain_end_us) {
        target->drain_end_us = node->now_us + DRAIN_US;
        target_drain(target->target, DRAIN_US / 1000);
    }
    if (target->drain_end_us && (!any_busy(target) || node->now_us >= target->drain_end_us)) {
        leave(target);
        return;
    }
    if (node->sim->options.colocated_pace)
        colocated_turn(target);
    uint64_t until = target_tick(target->target);
    until = MIN(until, end_streams(target));
    tell_phases(target);
    audit(target);
    count_work(target);
    if (node->down)
        return;
    if (node->n_inbox > 0 || until == 0)
        node_wake(node, node->now_us);
    else if (until != UINT64_MAX)
        node_wake(node, node_from_clock(node, until));
    if (target->drain_end_us)
        node_wake(node, MIN(node->now_us + 1000, target->drain_end_us));
}

void sim_target_drain(struct sim_target *target, uint64_t down_us)
{
    if (target->node.down || target->drain_wanted)
        return;
    target->drain_wanted = true;
    target->drain_down_us = down_us;
    node_wake(&target->node, target->node.sim->now_us);
}

void sim_target_start(struct sim_target *target)
{
    struct error err;
    struct sim *sim = target->node.sim;
    target->node.down = false;
    target->node.now_us = sim->now_us;
    target->node.frozen_until_us = 0;
    target->node.wake_us = UINT64_MAX;
    target->node.spending = watchdog;
    target->node.turn = turn;
    target->drain_end_us = 0;
    target->drain_wanted = false;
    target->engine = sim->world->toy.engine;
    target->engine.clock = node_clock(&target->node);
    struct toy_time time = node_time(&target->node, sim->options.target_pace);
    target->engine.backend = world_backend(sim->world, 1, sim->world->options.mistakes, &time);
    assert_ok(target_new(&target->engine, &sim->options.target, &target->target, &err), &err);
    const struct admit_options admit = {.sessions_max = sim->options.target.sessions_max,
                                        .clock = target->engine.clock};
    assert_ok(admit_new(&admit, &target->admission, &err), &err);
    target_set_policy(target->target, sim->options.policy);
    node_wake(&target->node, sim->now_us);
}

void sim_target_stop(struct sim_target *target)
{
    if (!target->target)
        return;
    for (uint32_t i = 0; i < target->n_connections; i++) {
        target_session_close(&target->connections[i].session);
        colocated_free(&target->connections[i].colocated);
    }
    for (uint32_t i = 0; i < target->node.sim->n_lines; i++)
        if (target->node.sim->lines[i]->target == target)
            admit_leave(target->admission, &target->node.sim->lines[i]->seat);
    admit_free(&target->admission);
    free(target->connections);
    target->connections = NULL;
    target->n_connections = target->connections_max = 0;
    target_free(&target->target);
    if (toy_open_sequences(target->engine.backend) > 0)
        sim_violated(target->node.sim, "target %u kept sequences", target->number);
    backend_free(&target->engine.backend);
    node_clear_inbox(&target->node);
    target->node.down = true;
    target->node.generation++;
    target->node.wake_us = UINT64_MAX;
}
