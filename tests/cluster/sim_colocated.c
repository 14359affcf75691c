/* sim_colocated.c: speculation without a split, to compare with: a draft model on the target's own
 * machine, which takes its time. The target's mailbox, proposals and passes are those of the split.
 *
 * At the beginning of a turn: windows that came are encoded for the draft model; then so many times
 * as the depth says, one step of the draft model for all windows that decode, as one batch; then
 * their drafts lie in the mailboxes. Nothing travels, nobody waits for another one's step.
 */
#include <stdlib.h>

#include "../support/support.h"
#include "engine/drafter_int.h"
#include "engine/target_int.h"
#include "sim_int.h"

struct sim_colocated {
    struct engine engine;
    struct drafter *drafter;
    bool begun;
    uint32_t utterance, window, version, number;
};

struct sim_colocated *colocated_new(struct sim_target *target, const struct sim_client *client)
{
    struct error err;
    struct sim *sim = target->node.sim;
    struct sim_colocated *colocated = calloc(1, sizeof(*colocated));
    struct drafter_options options = client->plan.options.drafter;
    assert_non_null(colocated);
    options.calibration = NULL;
    colocated->engine = sim->world->toy.engine;
    colocated->engine.clock = target->engine.clock;
    colocated->engine.backend =
        world_backend(sim->world, 100 + client->number, client->plan.mistakes, NULL);
    assert_ok(drafter_new(&colocated->engine, &options, &colocated->drafter, &err), &err);
    assert_ok(drafter_set_target(colocated->drafter, target->engine.tokenizer, &err), &err);
    return colocated;
}

void colocated_free(struct sim_colocated **colocated)
{
    if (!*colocated)
        return;
    drafter_free(&(*colocated)->drafter);
    backend_free(&(*colocated)->engine.backend);
    free(*colocated);
    *colocated = NULL;
}

static void spend(struct sim_target *target, float ms)
{
    struct toy_time time = node_time(&target->node, NULL);
    time.spend(time.context, (uint64_t)(1000.0f * ms));
}

static void step(struct sim_colocated *colocated)
{
    struct error err;
    bool worked;
    assert_ok(drafter_step(colocated->drafter, &worked, &err), &err);
}

/* The draft model's encoder, if the window is a new one. */
static void begin(struct sim_target *target, struct sim_colocated *colocated,
                  const struct utterance *u)
{
    if (colocated->begun && colocated->utterance == u->id && colocated->window == u->window)
        return;
    uint64_t n = MIN(u->audio.end - u->start, (uint64_t)WINDOW_SAMPLES);
    struct drafter_window window = {.samples = audio_buffer_at(&u->audio, u->start), .n = n};
    drafter_begin(colocated->drafter, &window);
    while (colocated->drafter->phase == DRAFTER_ENCODE)
        step(colocated);
    spend(target, target->node.sim->options.colocated_pace->encode_ms);
    colocated->begun = true;
    colocated->utterance = u->id;
    colocated->window = u->window;
    colocated->version = 0;
}

static bool wants_step(const struct sim_colocated *colocated, const struct utterance *u,
                       uint32_t depth)
{
    uint32_t version;
    const struct drafter_proposal *proposal = drafter_proposal(colocated->drafter, &version);
    return drafter_busy(colocated->drafter) &&
           proposal->n_prefix + proposal->n_trunk < u->attempt.n_decided + depth;
}

static void deliver(struct target_session *session, struct utterance *u,
                    struct sim_colocated *colocated)
{
    uint32_t version;
    const struct drafter_proposal *proposal = drafter_proposal(colocated->drafter, &version);
    if (version == colocated->version)
        return;
    colocated->version = version;
    struct wire_draft draft = drafter_wire_draft(proposal, u->attempt.decided);
    draft.utterance = u->id;
    draft.window = u->window;
    draft.attempt = u->n_attempts;
    draft.number = ++colocated->number;
    utterance_draft(session, u, &draft);
}

/* The windows of this moment; 0 when they fill a pass by themselves: no draft would be taken. */
struct at_work {
    struct target_session *session;
    struct utterance *u;
    struct sim_colocated *colocated;
};

static uint32_t list(struct sim_target *target, struct at_work *all)
{
    uint32_t n = 0, n_decoding = 0;
    for (uint32_t i = 0; i < target->n_connections; i++) {
        struct connection *c = &target->connections[i];
        struct utterance *u = c->line && c->session ? session_current(c->session) : NULL;
        n_decoding += u && u->phase == PHASE_DECODE;
        if (u && (u->phase == PHASE_ENCODE || u->phase == PHASE_DECODE))
            begin(target, c->colocated, u);
        if (u && u->phase == PHASE_DECODE && n < SPEC_PICK_MAX)
            all[n++] = (struct at_work){c->session, u, c->colocated};
    }
    return n_decoding < SPEC_PICK_MAX ? n : 0;
}

void colocated_turn(struct sim_target *target)
{
    struct error err;
    struct at_work all[SPEC_PICK_MAX];
    const struct sim_options *options = &target->node.sim->options;
    uint32_t n = list(target, all), n_steps = 1;
    for (uint32_t i = 0; i < n; i++)
        assert_ok(drafter_follow(all[i].colocated->drafter, all[i].u->attempt.decided,
                                 all[i].u->attempt.n_decided, &err),
                  &err);
    for (uint32_t round = 0; round < options->colocated_depth && n_steps > 0; round++) {
        n_steps = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (!wants_step(all[i].colocated, all[i].u, options->colocated_depth))
                continue;
            step(all[i].colocated);
            n_steps++;
        }
        if (n_steps > 0)
            spend(target, pace_ms(options->colocated_pace, n_steps));
    }
    for (uint32_t i = 0; i < n; i++)
        deliver(all[i].session, all[i].u, all[i].colocated);
}
