/* sim_client.c: a client's process as draft_node/run.c runs it, in virtual time: feeds audio, lets
 * the client send and draft, takes frames, looks after the link. */
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"
#include "sim_int.h"

enum {
    POLL_US = 20000,
    RATE = 16000,
    CHUNK = 1600                            /* live: samples that come at once */
};

static struct sim_client *client_of(struct node *node)
{
    return (struct sim_client *)node;
}

/* ---- what the client tells ---- */

static void on_opened(void *context, const struct wire_opened *opened)
{
    struct sim_client *c = context;
    struct sim *sim = c->node.sim;
    struct error err;
    (void)opened;
    reconnect_opened(&c->reconnect, clock_us(&c->engine.clock), client_n_open(c->client) == 0);
    if (c->lost_us)
        sim->outage_max_us = MAX(sim->outage_max_us, c->node.now_us - c->lost_us);
    c->lost_us = 0;
    if (c->plan.drafts)
        assert_ok(client_set_vocabulary(c->client, sim->world->toy.engine.tokenizer, &err), &err);
}

static void on_window_final(void *context, const struct wire_window_final *final)
{
    struct sim_client *c = context;
    reconnect_committed(&c->reconnect);
    history_window(&c->history, final);
}

static void on_utterance_final(void *context, uint32_t utterance, const struct drafter_stats *stats)
{
    struct sim_client *c = context;
    c->draft_steps += stats->steps;
    sim_trace(c->node.sim, c->node.now_us, "client %u: utterance %u is final", c->number,
              utterance);
    history_end(&c->history, utterance, c->node.now_us);
}

static void on_failed(void *context, const struct wire_error *error)
{
    struct sim_client *c = context;
    history_failed(&c->history, error);
}

static void on_drain(void *context, uint32_t grace_ms)
{
    struct sim_client *c = context;
    (void)grace_ms;
    reconnect_draining(&c->reconnect);
}

/* ---- link ---- */

static bool sink_send(void *context, const struct wire_frame *frame)
{
    struct sim_client *c = context;
    return c->line && line_send(c->line, TARGET_SIDE, frame, c->node.now_us);
}

static size_t sink_queued(void *context)
{
    const struct sim_client *c = context;
    return c->line ? line_queued(c->line, c->node.now_us) : 0;
}

static void link_failed(struct sim_client *c, enum status code, const char *why,
                        uint32_t retry_ms)
{
    struct sim *sim = c->node.sim;
    sim_trace(sim, c->node.now_us, "client %u: loses target %u: %s", c->number,
              c->line->target->number, why);
    client_disconnected(c->client);
    if (!c->line->closed[CLIENT_SIDE])
        line_close(c->line, CLIENT_SIDE, c->node.now_us, STATUS_CANCELLED, "cancelled");
    c->line = NULL;
    c->open_sent = false;
    if (c->reconnect.state == RECONNECT_OPEN) {
        sim->n_resumes++;
        c->lost_us = MIN(node_from_clock(&c->node, c->reconnect.heard_us), c->node.now_us);
        for (uint32_t i = 0; i < c->history.n; i++)
            c->history.told[i].n_resumes += !c->history.told[i].ended;
    }
    if (!reconnect_failed(&c->reconnect, clock_us(&c->engine.clock), code, retry_ms)) {
        sim_violated(sim, "client %u: no target serves it: %s", c->number, why);
        c->done = true;
    }
}

static void call(struct sim_client *c)
{
    struct sim *sim = c->node.sim;
    uint32_t number = (c->plan.first_target + c->reconnect.target) % sim->options.n_targets;
    sim_trace(sim, c->node.now_us, "client %u: calls target %u", c->number, number);
    if (c->called)                          /* that one failed: as draft_node/link.c */
        sim_ticket_ask(c);
    c->called = true;
    c->line = line_open(c, &sim->targets[number]);
}

static void look_after_link(struct sim_client *c)
{
    struct reconnect_seen seen = {.now_us = clock_us(&c->engine.clock),
                                  .expects = client_expects(c->client),
                                  .idle = client_n_open(c->client) == 0};
    struct error why;
    if (c->done)
        return;
    switch (reconnect_look(&c->reconnect, &seen, &why)) {
    case RECONNECT_CALL:
        call(c);
        break;
    case RECONNECT_HANG_UP:
        link_failed(c, why.code, why.text, 0);
        break;
    case RECONNECT_GIVE_UP:
        sim_violated(c->node.sim, "client %u gave up", c->number);
        c->done = true;
        break;
    case RECONNECT_NOTHING:
        break;
    }
}

static void take_frame(struct sim_client *c, const struct item *item)
{
    struct wire_frame frame;
    struct error err;
    uint32_t retry_ms = 0;
    reconnect_heard(&c->reconnect, clock_us(&c->engine.clock));
    enum status rc = wire_unpack(item->bytes.data, item->bytes.size, false, &frame, &err);
    if (rc == STATUS_OK) {
        retry_ms = frame.kind == WIRE_ERROR ? frame.u.error.retry_ms : 0;
        rc = client_receive(c->client, &frame, &err);
        wire_frame_release(&frame);
    }
    if (rc == STATUS_OK)
        return;
    if (retry_ms == 0)
        sim_violated(c->node.sim, "client %u refused a frame: %s", c->number, err.text);
    c->node.sim->n_refusals++;
    c->node.sim->refusal_max_us =
        MAX(c->node.sim->refusal_max_us, item->due_us - item->line->opened_us);
    link_failed(c, rc, err.text, retry_ms);
}

static void take_items(struct sim_client *c)
{
    struct item item;
    while (node_take(&c->node, &item)) {
        bool mine = item.line == c->line;   /* else of a call that was given up */
        if (mine && item.kind == ITEM_ACCEPTED)
            reconnect_accepted(&c->reconnect, clock_us(&c->engine.clock));
        else if (mine && item.kind == ITEM_FRAME)
            take_frame(c, &item);
        else if (mine && item.kind == ITEM_DONE)
            link_failed(c, item.why.code, item.why.text, 0);
        wire_bytes_release(&item.bytes);
    }
}

/* ---- speech ---- */

static const struct sim_utterance *speaking(const struct sim_client *c)
{
    return &c->plan.utterances[c->next];
}

static bool may_begin(const struct sim_client *c)
{
    return !c->feeding && c->next < c->plan.n_utterances &&
           c->node.now_us >= speaking(c)->at_us && !c->reconnect.draining &&
           client_can_begin(c->client);
}

static void cancel(struct sim *sim, void *object, uint64_t utterance)
{
    struct sim_client *c = object;
    if (c->killed || c->history.told[utterance].ended)
        return;
    if (c->node.now_us > sim->now_us || c->node.frozen_until_us > sim->now_us) {
        sim_at(sim, MAX(c->node.now_us, c->node.frozen_until_us), cancel, c, utterance);
        return;
    }
    c->node.now_us = sim->now_us;
    if (c->feeding && utterance + 1 == c->history.n) {
        c->feeding = false;
        c->next++;
    }
    client_cancel(c->client, (uint32_t)utterance);
    history_cancel(&c->history, (uint32_t)utterance);
}

static void begin(struct sim_client *c)
{
    struct sim *sim = c->node.sim;
    static const struct expected nothing;
    const struct expected *expected =
        c->plan.aggregate ? &nothing
                          : world_expected(sim->world, speaking(c)->speech, &c->plan.options);
    uint32_t id = client_begin(c->client);
    history_begin(&c->history, id, expected);
    reconnect_heard(&c->reconnect, clock_us(&c->engine.clock));
    c->feeding = true;
    c->fed = 0;
    c->began_us = MAX(speaking(c)->at_us, c->plan.live ? c->node.now_us : 0);
    if (speaking(c)->cancel_us)
        sim_at(sim, c->node.now_us + speaking(c)->cancel_us, cancel, c, id);
}

/* Samples that have been spoken. */
static uint64_t spoken(const struct sim_client *c)
{
    uint64_t n = speaking(c)->speech.n_samples;
    if (!c->plan.live)
        return n;
    uint64_t so_far = (c->node.now_us - c->began_us) * RATE / 1000000u;
    return so_far >= n ? n : so_far / CHUNK * CHUNK;
}

static void feed(struct sim_client *c)
{
    struct error err;
    while (c->feeding || may_begin(c)) {
        if (!c->feeding)
            begin(c);
        struct speech speech = speaking(c)->speech;
        const int16_t *samples = world_speech(c->node.sim->world, speech);
        uint64_t some = MIN(client_room(c->client), spoken(c) - c->fed);
        if (some > 0)
            assert_ok(client_audio(c->client, samples + c->fed, some, &err), &err);
        c->fed += some;
        if (c->fed < speech.n_samples)
            return;
        client_end(c->client);
        history_spoken(&c->history, c->history.n - 1,
                       c->plan.live ? c->began_us + speech.n_samples * 1000000u / RATE
                                    : c->node.now_us);
        c->feeding = false;
        c->next++;
    }
}

static uint64_t next_speech_us(const struct sim_client *c)
{
    if (c->feeding && c->plan.live) {
        uint64_t n = MIN(c->fed + CHUNK, speaking(c)->speech.n_samples);
        return c->began_us + n * 1000000u / RATE + 1;
    }
    if (!c->feeding && c->next < c->plan.n_utterances)
        return MAX(speaking(c)->at_us, c->node.now_us + 1);
    return UINT64_MAX;
}

/* ---- turns ---- */

static void finish(struct sim_client *c)
{
    c->done = true;
    if (c->line && !c->line->closed[CLIENT_SIDE])
        line_close(c->line, CLIENT_SIDE, c->node.now_us, STATUS_OK, "finished");
    client_disconnected(c->client);
    c->line = NULL;
}

static void turn(struct node *node)
{
    struct sim_client *c = client_of(node);
    struct error err;
    bool worked = false;
    if (c->done) {
        node_clear_inbox(node);
        return;
    }
    feed(c);
    if (c->line && !c->open_sent) {
        client_connected(c->client, (struct client_sink){.send = sink_send, .queued = sink_queued,
                                                         .context = c});
        c->open_sent = true;
    }
    assert_ok(client_step(c->client, &worked, &err), &err);
    take_items(c);
    if (c->line && c->open_sent && !client_is_connected(c->client))
        link_failed(c, STATUS_CLOSED, "the stream takes no more frames", 0);
    look_after_link(c);
    if (!c->done && c->next == c->plan.n_utterances && client_n_open(c->client) == 0) {
        finish(c);
        return;
    }
    bool again = worked || node->n_inbox > 0 || (c->line && !c->open_sent);
    node_wake(node, again ? node->now_us : MIN(node->now_us + POLL_US, next_speech_us(c)));
}

uint32_t sim_add_client(struct sim *sim, const struct sim_plan *plan)
{
    struct error err;
    uint32_t number = sim->n_clients;
    struct sim_client *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    SA_ASSERT(number < SIM_CLIENTS_MAX);
    sim->clients[sim->n_clients++] = c;
    node_init(sim, &c->node, turn);
    c->number = number;
    c->plan = *plan;
    spec_calibration_init(&c->calibration);
    c->engine = sim->world->toy.engine;
    c->engine.clock = node_clock(&c->node);
    const struct pace *pace = plan->pace ? plan->pace : sim->options.draft_pace;
    struct toy_time time = node_time(&c->node, pace);
    c->engine.backend = world_backend(sim->world, 100 + number, plan->mistakes, &time);
    struct client_events events = {.opened = on_opened, .window_final = on_window_final,
                                   .utterance_final = on_utterance_final, .failed = on_failed,
                                   .drain = on_drain, .context = c};
    c->plan.options.drafter.calibration = &c->calibration;
    memcpy(c->plan.options.session, &number, sizeof(number));
    assert_ok(client_new(plan->drafts ? &c->engine : NULL, &c->plan.options, &events, &c->client,
                         &err),
              &err);
    history_init(&c->history, plan->n_utterances);
    struct reconnect_options options = {
        .n_targets = sim->options.n_targets,
        .patience_us = sim->options.patience_us ? sim->options.patience_us : 60000000,
        .seed = sim->options.seed * 1000003u + number};
    reconnect_init(&c->reconnect, &options, clock_us(&c->engine.clock));
    sim_ticket_now(c);
    node_wake(&c->node, sim->now_us);
    return number;
}

void sim_client_free(struct sim_client **client)
{
    struct sim_client *c = *client;
    if (!c)
        return;
    client_free(&c->client);
    backend_free(&c->engine.backend);
    history_release(&c->history);
    node_release(&c->node);
    free(c);
    *client = NULL;
}
