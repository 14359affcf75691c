#include "engine/target_colocated.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/drafter_int.h"
#include "engine/target_int.h"
#include "spec/colocated.h"

enum { SILENCE_MS = 2000 };                 /* behind the audio, as at a client */

/* Before a step was timed: of a plain one. */
static const float prior_step = 0.25f;

struct colocated {
    struct drafter *drafter;
    bool begun, skips;                      /* this window is not worth the encoder */
    uint32_t utterance, window;             /* that it is at */
    float seconds;                          /* that the encoder hears */
    uint64_t encode_us;                     /* what it took so far */
    uint32_t version;                       /* of the proposal that lies in the mailbox */
};

static uint64_t now_us(const struct target *target)
{
    return clock_us(&target->engine->clock);
}

/* ---- who gets one ---- */

static bool is_wanted(const struct target_session *session)
{
    const struct target *target = session->target;
    const struct wire_rules *ask = &session->ask;
    return session->open && !session->dead && target->policy.colocated && !ask->use_drafts &&
           !ask->verbatim && !ask->lockstep && ask->row_price < 0.0f &&
           !session->colocated_fails;
}

/* An English model would draft nonsense where the language is not known before. */
static bool may_speak(const struct target_session *session)
{
    const struct target *target = session->target;
    bool known = strcmp(session->ask.language, "auto") != 0;
    return target->options.draft_engine->description->multilingual ||
           !target->engine->description->multilingual || known;
}

static enum status open_drafter(struct target_session *session, struct drafter **drafter,
                                struct error *err)
{
    const struct target *target = session->target;
    struct drafter_options options = {.timestamps = session->ask.timestamps,
                                      .translate = session->ask.translate,
                                      .silence_ms = SILENCE_MS, .policy = spec_policy_default()};
    *drafter = NULL;
    if (!may_speak(session))
        return error_set(err, STATUS_MISMATCH, "the draft model is English only");
    memcpy(options.language, session->ask.language, sizeof(options.language));
    enum status rc = drafter_new(target->options.draft_engine, &options, drafter, err);
    if (rc == STATUS_OK)
        rc = drafter_set_target(*drafter, target->engine->tokenizer, err);
    if (rc != STATUS_OK)
        drafter_free(drafter);
    return rc;
}

static void fail(struct target_session *session, const struct error *why)
{
    log_line(LOG_DEBUG, "no co-located drafts for a session: %s", why->text);
    session->colocated_fails = true;
    session_colocated_close(session);
}

static bool open_colocated(struct target_session *session)
{
    struct target *target = session->target;
    struct drafter *drafter;
    struct error err;
    if (session->colocated)
        return true;
    if (target->colocated.n >= TARGET_COLOCATED_MAX)
        return false;
    struct colocated *colocated = calloc(1, sizeof(*colocated));
    if (!colocated)
        return false;
    enum status rc = open_drafter(session, &drafter, &err);
    if (rc != STATUS_OK) {
        free(colocated);
        fail(session, &err);
        return false;
    }
    colocated->drafter = drafter;
    session->colocated = colocated;
    session->mode = SPEC_MODE_FREE;
    target->colocated.n++;
    return true;
}

void session_colocated_close(struct target_session *session)
{
    if (!session->colocated)
        return;
    drafter_free(&session->colocated->drafter);
    free(session->colocated);
    session->colocated = NULL;
    session->mode = SPEC_MODE_ALONE;
    session->target->colocated.n--;
}

/* ---- drafts ---- */

/* Behind what is decided; the mailbox takes it as it takes those of clients. */
static void deliver(struct target_session *session, struct utterance *u)
{
    uint32_t version;
    const struct drafter_proposal *p = drafter_proposal(session->colocated->drafter, &version);
    if (version == session->colocated->version || p->n_prefix > u->attempt.n_decided)
        return;
    session->colocated->version = version;
    struct wire_draft draft = drafter_wire_draft(p, u->attempt.decided);
    draft.utterance = u->id;
    draft.window = u->window;
    draft.attempt = u->n_attempts;
    draft.number = u->draft.number + 1;
    utterance_draft(session, u, &draft);
}

/* An encoder slice or a step; its time is the target's. */
static bool step(struct target_session *session, uint64_t *spent_us)
{
    struct target *target = session->target;
    uint64_t start = now_us(target);
    struct error err;
    bool worked;
    enum status rc = drafter_step(session->colocated->drafter, &worked, &err);
    *spent_us = now_us(target) - start;
    target->counts.draft_us += *spent_us;
    if (rc != STATUS_OK)
        fail(session, &err);
    return rc == STATUS_OK && worked;
}

static bool draft_more(const struct target_session *session, const struct utterance *u,
                       uint32_t depth)
{
    uint32_t version;
    const struct drafter *drafter = session->colocated->drafter;
    const struct drafter_proposal *p = drafter_proposal(drafter, &version);
    const struct target *target = session->target;
    bool paid = target->options.colocated_fixed > 0 ||
                spec_balance_risk(&u->balance) > target->colocated.step_us;
    return drafter_busy(drafter) && paid && p->n_prefix + p->n_trunk < u->attempt.n_decided + depth;
}

/* Steps until the draft is as long as pays, or the turn's time is over. */
static bool draft_window(struct target_session *session, struct utterance *u, uint32_t depth,
                         uint64_t end_us)
{
    struct target *target = session->target;
    uint64_t spent_us;
    bool worked = false;
    struct error err;
    if (depth == 0)
        return false;
    if (drafter_follow(session->colocated->drafter, u->attempt.decided, u->attempt.n_decided,
                       &err) != STATUS_OK) {
        fail(session, &err);
        return false;
    }
    while (now_us(target) < end_us && draft_more(session, u, depth)) {
        if (!step(session, &spent_us))
            break;
        worked = true;
        target_learn(&target->colocated.step_us, (float)spent_us);
        if (target->options.colocated_fixed == 0)
            spec_balance_wait(&u->balance, (float)spent_us);
    }
    if (session->colocated)
        deliver(session, u);
    return worked;
}

/* ---- the turn ---- */

static uint32_t count_decoding(const struct target *target)
{
    uint32_t n = 0;
    struct target_session *s = NULL;
    while ((s = target_next_working(target, s)))
        n += !s->dead && s->n_utterances > 0 && session_current(s)->phase == PHASE_DECODE;
    return n;
}

/* `survival` is what it borrows. */
static struct spec_colocated_ask ask_of(const struct target_session *session, uint32_t n_decoding,
                                        float survival[DEPTH_MAX])
{
    const struct target *target = session->target;
    float step_us = target->colocated.step_us;
    depth_survival_table(&session->depth.survival, survival);
    return (struct spec_colocated_ask){
        .cost = &target->cost, .survival = survival, .n_survival = DEPTH_MAX,
        .draft_us = step_us > 0.0f ? step_us : prior_step * spec_cost_us(&target->cost, 1),
        .n_windows = MAX(n_decoding, 1u), .price = target->policy.price};
}

static uint32_t depth_of(const struct target_session *session, uint32_t n_decoding)
{
    float survival[DEPTH_MAX];
    const struct spec_colocated_ask ask = ask_of(session, n_decoding, survival);
    const uint32_t fixed = session->target->options.colocated_fixed;
    return fixed > 0 ? fixed : spec_colocated_depth(&ask, NULL);
}

/* A new utterance may have other words: what was seen counts for half. */
static void forget_half(struct depth_survival *survival)
{
    for (uint32_t i = 0; i < DEPTH_MAX; i++) {
        survival->trials[i] *= 0.5f;
        survival->hits[i] *= 0.5f;
    }
}

static void begin_window(struct target_session *session, const struct utterance *u,
                         uint32_t n_decoding)
{
    struct colocated *c = session->colocated;
    const struct target *target = session->target;
    float survival[DEPTH_MAX];
    if (c->begun && c->utterance == u->id && c->window == u->window)
        return;
    if (!c->begun || c->utterance != u->id)
        forget_half(&session->depth.survival);
    uint64_t n = MIN(u->audio.end - u->start, (uint64_t)WINDOW_SAMPLES);
    float speech = (float)n / (float)WINDOW_RATE, silence = (float)SILENCE_MS / 1000.0f;
    const struct spec_colocated_ask ask = ask_of(session, n_decoding, survival);
    *c = (struct colocated){.drafter = c->drafter, .begun = true, .utterance = u->id,
                            .window = u->window, .seconds = speech + silence};
    c->skips = target->options.colocated_fixed == 0 &&
               !spec_colocated_pays(&ask, speech, target->colocated.encode_us * c->seconds);
    struct drafter_window window = {.samples = audio_buffer_at(&u->audio, u->start), .n = n};
    if (c->skips)
        drafter_stop(c->drafter);
    else
        drafter_begin(c->drafter, &window);
}

/* A slice of the draft model's encoder, or the language that it hears. */
static bool encode_some(struct target_session *session, uint64_t end_us)
{
    struct target *target = session->target;
    struct colocated *c = session->colocated;
    uint64_t spent_us;
    if (now_us(target) >= end_us || !step(session, &spent_us))
        return false;
    c->encode_us += spent_us;
    if (c->drafter->phase == DRAFTER_DRAFT)
        target_learn(&target->colocated.encode_us, (float)c->encode_us / c->seconds);
    return true;
}

static bool serve_session(struct target_session *session, uint32_t n_decoding, uint64_t end_us)
{
    struct utterance *u = session_current(session);
    if (!u || (u->phase != PHASE_ENCODE && u->phase != PHASE_DECODE) || !open_colocated(session))
        return false;
    begin_window(session, u, n_decoding);
    enum drafter_phase phase = session->colocated->drafter->phase;
    if (phase == DRAFTER_ENCODE || phase == DRAFTER_DETECT)
        return encode_some(session, end_us);
    return !session->colocated->skips && u->phase == PHASE_DECODE &&
           draft_window(session, u, depth_of(session, n_decoding), end_us);
}

bool target_colocated_turn(struct target *target)
{
    bool worked = false;
    struct target_session *s = NULL;
    if (!target->options.draft_engine)
        return false;
    uint64_t end_us = now_us(target) + target->options.slice_us;
    uint32_t n_decoding = count_decoding(target);
    while ((s = target_next_working(target, s))) {
        if (is_wanted(s))
            worked |= serve_session(s, n_decoding, end_us);
        else
            session_colocated_close(s);
    }
    return worked;
}
