/* target.c: how a target spends its time: one slice of an encoder, one pass, again. */
#include "engine/target.h"

#include <stdlib.h>
#include <string.h>

#include "engine/target_int.h"

enum {
    ALIVE_US = 500000,
    IDLE_US = 250000,                       /* before idle time is used to measure */
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
    return (struct target_policy){.price = 1.0f, .drafts = true, .colocated = true};
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
    size_t n_features = (size_t)engine->description->n_mels * WINDOW_FRAMES;
    float *features = calloc(BACKEND_WINDOWS * n_features, sizeof(float));
    for (uint32_t i = 0; features && i < BACKEND_WINDOWS; i++)
        target->places[i].features = features + i * n_features;
    target->ready = calloc(MAX(options->sessions_max, 1u), sizeof(struct target_session *));
    list_init(&target->working);
    target->n_by_id = 1;
    while (target->n_by_id < options->sessions_max)
        target->n_by_id *= 2;
    target->by_id = calloc(target->n_by_id, sizeof(struct target_session *));
    target->owners = calloc(target->n_by_id, sizeof(struct target_owner *));
    spec_cost_init(&target->cost, prior_step_us, prior_row_us);
    if (!features || !target->ready || !target->by_id || !target->owners) {
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
    audit_release(*target);
    backend_close(&(*target)->probe.sequence);
    free((*target)->places[0].features);
    free((*target)->ready);
    free((*target)->by_id);
    free((*target)->owners);
    free(*target);
    *target = NULL;
}

void target_learn(float *mean, float value)
{
    *mean += *mean == 0.0f ? value : 0.125f * (value - *mean);
}

/* ---- passes ---- */

void target_run_pass(struct target *target, struct gathered *all)
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
    struct target_session *s = NULL;
    while ((s = target_next_working(target, s))) {
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
    struct target_session *s = target_next_working(target, NULL);
    while (s) {
        struct target_session *behind = target_next_working(target, s);
        if (s->n_utterances > 0)
            s->busy_us = now;
        else if (s->holds_memory && now >= s->busy_us + REST_US)
            session_reopen_sequence(s);
        else if (s->holds_memory)
            next = MIN(next, s->busy_us + REST_US);
        session_rest(s);
        s = behind;
    }
    return next;
}

uint64_t target_tick(struct target *target)
{
    struct gathered all = {.until_us = UINT64_MAX};
    struct work_seen seen = target_see(target);
    target->encoder_wanted = seen.encode > 0;
    target->lacks_slots = seen.lacks_slots;
    bool drafted = target_colocated_turn(target);
    if (target->n_sessions > 0)
        target_gather(target, &seen, &all);
    bool worked = all.n > 0 || drafted;
    uint64_t start = clock_us(&target->engine->clock);
    if (all.n > 0)
        target_run_pass(target, &all);
    uint64_t pass_us = clock_us(&target->engine->clock) - start;
    worked |= target_encode(target, &seen, all.n_urgent, pass_us);
    if (!seen.their_turn)
        target->urgent_us += clock_us(&target->engine->clock) - start;
    uint64_t next = MIN(keep_alive(target), all.until_us);
    uint64_t rest = give_memory_back(target);
    uint64_t now = clock_us(&target->engine->clock);
    if (worked)
        target->worked_us = now;
    else if (audit_step(target))            /* nobody wants the model just now */
        return 0;
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
    struct target_session *s = NULL;
    counts.sessions = target->n_sessions;
    counts.slots = target->n_slots;
    while ((s = target_next_working(target, s))) {
        counts.busy += s->n_utterances > 0;
        for (uint32_t i = 0; i < s->n_utterances; i++) {
            enum utterance_phase phase = s->utterances[i]->phase;
            counts.listening += phase == PHASE_LISTEN;
            counts.encoding += phase == PHASE_ENCODE;
            counts.decoding += phase == PHASE_DETECT || phase == PHASE_DECODE;
        }
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
