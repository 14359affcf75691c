/* target.c: how a target spends its time: one slice of an encoder, one pass, again. */
#include "engine/target.h"

#include <stdlib.h>
#include <string.h>

#include "engine/target_int.h"

enum {
    ALIVE_US = 500000,
    IDLE_US = 250000,                       /* before idle time is used to measure */
    SLICE_MIN_US = 2000,                    /* of an encoder: less is mostly overhead */
    REST_US = 2000000,                      /* before an idle session's memory is given back */
};

/* Before anything was measured: a plain step and a further row of a small model on a CPU. */
static const float prior_step_us = 4000.0f, prior_row_us = 500.0f;

struct target_options target_options_default(void)
{
    return (struct target_options){.sessions_max = 64, .slice_us = 30000,
                                   .depth_control = true};
}

struct target_policy target_policy_default(void)
{
    return (struct target_policy){.price = 1.0f, .drafts = true};
}

void target_set_policy(struct target *target, struct target_policy policy)
{
    target->policy = policy;
}

enum status target_new(struct engine *engine, const struct target_options *options,
                       struct target **out, struct error *err)
{
    struct target *target = calloc(1, sizeof(*target));
    *out = NULL;
    if (!target)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the target");
    target->engine = engine;
    target->options = *options;
    target->policy = target_policy_default();
    target->features = calloc((size_t)engine->description->n_mels * WINDOW_FRAMES, sizeof(float));
    target->ready = calloc(MAX(options->sessions_max, 1u), sizeof(struct target_session *));
    spec_cost_init(&target->cost, prior_step_us, prior_row_us);
    if (!target->features || !target->ready) {
        target_free(&target);
        return error_set(err, STATUS_NO_MEMORY, "no memory for the target's features");
    }
    *out = target;
    return STATUS_OK;
}

void target_free(struct target **target)
{
    if (!*target)
        return;
    SA_ASSERT((*target)->n_sessions == 0);
    backend_close(&(*target)->probe.sequence);
    free((*target)->features);
    free((*target)->ready);
    free(*target);
    *target = NULL;
}

/* ---- encoder ---- */

static struct utterance *wants_encoder(struct target_session *session)
{
    struct utterance *u = session->dead ? NULL : session_current(session);
    return u && u->phase == PHASE_ENCODE ? u : NULL;
}

/* One window is in the encoder until it is done: its features are held once, and the one that came
 * first is finished first. */
static struct target_session *next_encoding(struct target *target)
{
    struct target_session *oldest = NULL;
    for (struct target_session *s = target->sessions; s; s = s->next) {
        struct utterance *u = wants_encoder(s);
        if (u && (!oldest || u->times.ready_us < session_current(oldest)->times.ready_us))
            oldest = s;
    }
    return oldest;
}

void target_learn(float *mean, float value)
{
    *mean += *mean == 0.0f ? value : 0.125f * (value - *mean);
}

/* Works for about budget_us; false: nothing to encode. */
static bool encode_slice(struct target *target, uint64_t budget_us)
{
    if (target->encoding && !wants_encoder(target->encoding))
        target->encoding = NULL;
    struct target_session *session = target->encoding ? target->encoding : next_encoding(target);
    if (!session)
        return false;
    struct utterance *u = session_current(session);
    uint64_t start = clock_us(&target->engine->clock);
    if (!target->encoding) {
        utterance_features(session, u);
        target->encoding = session;
        session->holds_memory = true;
    }
    struct backend_features features = {.mel = target->features,
                                        .n_mels = target->engine->description->n_mels,
                                        .n_frames = WINDOW_FRAMES};
    struct error err;
    bool done;
    enum status rc =
        backend_encode(session->sequence, &features, budget_us, &done, &err);
    uint64_t spent = clock_us(&target->engine->clock) - start;
    u->stats.encode_us += spent;
    target->counts.encode_us += spent;
    if (rc != STATUS_OK) {
        target->encoding = NULL;
        session_fail_utterance(session, u->id, rc, err.text);
    } else if (done) {
        target->encoding = NULL;
        target_learn(&target->mean.encode_us, (float)u->stats.encode_us);
        utterance_encoded(session, u);
    }
    return true;
}

/* How long the encoder may work behind a pass. To encode first is right where sessions gain more by
 * decoding together than those that decode now lose by waiting:
 *
 *     sessions that wait for the encoder x time of a window's passes      (what they could share)
 *     sessions that decode               x time of a window's encoder     (what they would wait)
 *
 * Slice and pass stand in that ratio. So on a CPU short passes are not stretched by an encoder of
 * half a second, and on a GPU, where rows are free, sessions meet in a pass as soon as they can. */
static uint64_t slice_us(struct target *target, uint32_t n_decoding, uint64_t pass_us)
{
    uint32_t n_waiting = 0;
    const struct window_costs *mean = &target->mean;
    if (n_decoding == 0 || mean->encode_us <= 0.0f || mean->passes <= 0.0f)
        return target->options.slice_us;
    for (struct target_session *s = target->sessions; s; s = s->next)
        n_waiting += wants_encoder(s) != NULL;
    float share = (float)n_waiting * mean->passes * (float)pass_us;
    float wait = (float)n_decoding * mean->encode_us;
    uint64_t us = (uint64_t)((float)pass_us * share / wait);
    return MIN(MAX(us, (uint64_t)SLICE_MIN_US), target->options.slice_us);
}

/* Small windows share a slice; one that would need most of it begins with a slice of its own, and
 * those that are through have their pass before. */
static bool encode_some(struct target *target, uint64_t budget_us)
{
    uint64_t start = clock_us(&target->engine->clock), spent = 0;
    bool worked = false;
    while (spent <= budget_us / 4 && encode_slice(target, budget_us - spent)) {
        worked = true;
        spent = clock_us(&target->engine->clock) - start;
    }
    return worked;
}

/* ---- passes ---- */

static void run_pass(struct target *target, struct gathered *all)
{
    struct error err;
    uint64_t start = clock_us(&target->engine->clock);
    enum status rc =
        backend_forward(target->engine->backend, target->pass.row, target->pass.n, &err);
    uint64_t spent = clock_us(&target->engine->clock) - start;
    float us = (float)spent;
    target->counts.forward_us += spent;
    target->counts.passes++;
    target->counts.rows += target->pass.n;
    if (rc == STATUS_OK)
        spec_cost_observe(&target->cost, target->pass.n, us);
    for (uint32_t i = 0; i < all->n; i++) {
        struct target_session *session = all->session[i];
        struct utterance *u = session_current(session);
        if (rc != STATUS_OK) {
            session_fail_utterance(session, u->id, rc, err.text);
            continue;
        }
        uint32_t n_rows = all->first_row[i + 1] - all->first_row[i];
        float share = (float)n_rows / (float)target->pass.n;
        target->n_decided += utterance_absorb(session, u, us * share);
    }
    for (uint32_t i = 0; rc == STATUS_OK && i < all->n; i++)
        depth_pass(all->session[i], start, all->n);
}

/* ---- housekeeping ---- */

/* Alive while work is owed: a silent target is a dead one. Returns when the next one is due. */
static uint64_t keep_alive(struct target *target)
{
    uint64_t next = UINT64_MAX;
    uint64_t now = clock_us(&target->engine->clock);
    for (struct target_session *s = target->sessions; s; s = s->next) {
        session_remove_done(s);
        if (!s->open || s->dead || s->n_utterances == 0)
            continue;
        if (now >= s->alive_us + ALIVE_US) {
            struct wire_frame frame = {.kind = WIRE_ALIVE};
            frame.u.alive.utterance = session_current(s)->id;
            session_send(s, &frame);
        }
        next = MIN(next, s->alive_us + ALIVE_US);
    }
    return next;
}

/* Sessions stay open for hours between two utterances; keys and values need not. Returns when the
 * next one has rested for long enough. */
static uint64_t give_memory_back(struct target *target)
{
    uint64_t next = UINT64_MAX;
    uint64_t now = clock_us(&target->engine->clock);
    for (struct target_session *s = target->sessions; s; s = s->next) {
        if (s->n_utterances > 0)
            s->busy_us = now;
        else if (s->holds_memory && now >= s->busy_us + REST_US)
            session_reopen_sequence(s);
        else if (s->holds_memory)
            next = MIN(next, s->busy_us + REST_US);
    }
    return next;
}

uint64_t target_tick(struct target *target)
{
    struct gathered all = {.until_us = UINT64_MAX};
    if (target->n_sessions > 0)
        target_gather(target, &all);
    bool worked = all.n > 0;
    uint64_t start = clock_us(&target->engine->clock);
    if (worked)
        run_pass(target, &all);
    uint64_t pass_us = clock_us(&target->engine->clock) - start;
    worked |= encode_some(target, slice_us(target, all.n, pass_us));
    uint64_t next = MIN(keep_alive(target), all.until_us);
    uint64_t rest = give_memory_back(target);
    uint64_t now = clock_us(&target->engine->clock);
    if (worked)
        target->worked_us = now;
    if (worked || next != UINT64_MAX || !probe_wanted(target))
        return worked ? 0 : MIN(next, rest);
    if (now < target->worked_us + IDLE_US)  /* nobody waits for anything */
        return MIN(rest, target->worked_us + IDLE_US);
    probe_step(target);
    return 0;
}

struct target_counts target_counts(const struct target *target)
{
    struct target_counts counts = target->counts;
    for (const struct target_session *s = target->sessions; s; s = s->next)
        for (uint32_t i = 0; i < s->n_utterances; i++) {
            enum utterance_phase phase = s->utterances[i]->phase;
            counts.listening += phase == PHASE_LISTEN;
            counts.encoding += phase == PHASE_ENCODE;
            counts.decoding += phase == PHASE_DETECT || phase == PHASE_DECODE;
        }
    return counts;
}

void target_drain(struct target *target, uint32_t grace_ms)
{
    target->draining = true;
    struct wire_frame frame = {.kind = WIRE_DRAIN};
    frame.u.drain.grace_ms = grace_ms;
    for (struct target_session *s = target->sessions; s; s = s->next)
        session_send(s, &frame);
}
