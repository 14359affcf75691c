/* target_encode.c: whose window is in the encoder, and for how long at a time.
 *
 * Two kinds of windows: those of utterances that have ended (somebody waits for the text: urgent)
 * and those behind which the speaker or the file goes on (they have time). One of each may be in
 * the encoder, slice by slice:
 *
 *     half an hour of speech   ----|    |----------      put aside at a slice's end, taken up again
 *     three seconds                |----|                waits for one slice, then goes first
 *
 * A window needs a slot: memory for keys and values. When all are taken, that of a session which
 * only listens is given to it; else it waits until a window is done.
 *
 * While somebody waits, those with time get only what is left over: a place in passes that run
 * anyway, slices in which nobody urgent has rows. Once one of them has waited for LONG_US, a fifth
 * of the time is theirs, a slice at a time, so that no load starves them.
 */
#include "engine/target_encode.h"

#include "engine/target_int.h"

enum {
    SLICE_MIN_US = 2000,                    /* less is mostly overhead */
    LONG_US = 5000000,
    URGENT_SLICES = 4                       /* then one of those that have waited for long */
};

bool utterance_is_urgent(const struct utterance *u)
{
    return u->ended;
}

static struct utterance *at_work(struct target_session *session)
{
    return session->dead ? NULL : session_current(session);
}

/* A session that holds a slot and has no window at work; NULL: none. */
static struct target_session *at_rest(const struct target *target)
{
    struct target_session *s = NULL;
    while ((s = target_next_working(target, s))) {
        const struct utterance *u = session_current(s);
        if (s->holds_memory && (!u || u->phase == PHASE_LISTEN || u->phase == PHASE_DONE))
            return s;
    }
    return NULL;
}

bool target_slots_left(const struct target *target)
{
    uint32_t n = target->options.slots_max;
    return n == 0 || target->n_slots < n || at_rest(target) != NULL;
}

struct work_seen target_see(struct target *target)
{
    struct work_seen seen = {0};
    bool slots = target_slots_left(target);
    struct target_session *s = NULL;
    uint64_t now = clock_us(&target->engine->clock);
    while ((s = target_next_working(target, s))) {
        const struct utterance *u = at_work(s);
        if (!u || u->phase == PHASE_LISTEN || u->phase == PHASE_DONE)
            continue;
        bool urgent = utterance_is_urgent(u), encode = u->phase == PHASE_ENCODE;
        if (encode && target->audit.session &&
            (!slots || target_place(target, target->audit.session))) {
            audit_yield(target);
            slots = target_slots_left(target);
        }
        if (encode && !slots && !s->holds_memory) {
            seen.lacks_slots = true;
            continue;
        }
        seen.encode += encode;
        seen.urgent_encode += urgent && encode;
        seen.urgent_decode += urgent && !encode;
        seen.long_wait |= !urgent && now >= u->times.ready_us + LONG_US;
    }
    bool others_wait = seen.urgent_encode + seen.urgent_decode > 0 && seen.long_wait;
    uint64_t urgent_us = URGENT_SLICES * (uint64_t)target->options.slice_us;
    seen.their_turn = others_wait && target->urgent_us >= urgent_us;
    if (seen.their_turn || !others_wait)
        target->urgent_us = 0;
    return seen;
}

struct encoder_place *target_place(struct target *target, const struct target_session *session)
{
    for (uint32_t i = 0; i < BACKEND_WINDOWS; i++)
        if (target->places[i].session == session)
            return &target->places[i];
    return NULL;
}

/* How long its owner has waited for the encoder. */
static uint64_t since_us(const struct target_session *session)
{
    return MAX(session->utterances[0]->times.ready_us, session->owner->encoded_us);
}

/* Does it come before the other one, of the same kind? What has begun is done first, so of each
 * kind only one is under way; then the one whose owner has waited longest. */
static bool is_before(struct target *target, const struct target_session *a,
                      const struct target_session *b)
{
    bool begun = target_place(target, a) != NULL;
    if (begun != (target_place(target, b) != NULL))
        return begun;
    if (since_us(a) != since_us(b))
        return since_us(a) < since_us(b);
    return a->utterances[0]->times.ready_us < b->utterances[0]->times.ready_us;
}

/* The next one of those that are urgent, or of the others; NULL: none. */
static struct target_session *next_of(struct target *target, bool urgent)
{
    struct target_session *best = NULL, *s = NULL;
    bool room = target_place(target, NULL) != NULL, slots = target_slots_left(target);
    while ((s = target_next_working(target, s))) {
        const struct utterance *u = at_work(s);
        if (!u || u->phase != PHASE_ENCODE || utterance_is_urgent(u) != urgent)
            continue;
        if (!slots && !s->holds_memory)
            continue;
        if ((room || target_place(target, s)) && (!best || is_before(target, s, best)))
            best = s;
    }
    return best;
}

void target_encode_slice(struct target *target, struct target_session *session,
                         uint64_t budget_us)
{
    struct utterance *u = session_current(session);
    struct encoder_place *place = target_place(target, session);
    struct error err;
    bool done;
    uint64_t start = clock_us(&target->engine->clock);
    if (!place) {
        place = target_place(target, NULL);
        place->session = session;
        if (!session->holds_memory && target->options.slots_max > 0 &&
            target->n_slots >= target->options.slots_max)
            session_reopen_sequence(at_rest(target));
        session_take_slot(session);
        utterance_features(session, u, place->features);
        budget_us -= MIN(budget_us, clock_us(&target->engine->clock) - start);
    }
    struct backend_features features = {.mel = place->features,
                                        .n_mels = target->engine->description->n_mels,
                                        .n_frames = WINDOW_FRAMES};
    enum status rc = backend_encode(session->sequence, &features, budget_us, &done, &err);
    uint64_t spent = clock_us(&target->engine->clock) - start;
    u->stats.encode_us += spent;
    target->counts.encode_us += spent;
    if (rc != STATUS_OK) {
        session_fail_utterance(session, u->id, rc, err.text);
    } else if (done) {
        place->session = NULL;
        session->owner->encoded_us = start + spent;
        target_learn(&target->mean.encode_us, (float)u->stats.encode_us);
        utterance_encoded(session, u);
    }
}

/* How long the encoder may work behind a pass. To encode first is right where sessions gain more by
 * decoding together than those that decode now lose by waiting:
 *
 *     sessions that wait for the encoder x time of a window's passes      (what they could share)
 *     sessions that decode               x time of a window's encoder     (what they would wait)
 *
 * Slice and pass stand in that ratio. So on a CPU short passes are not stretched by an encoder of
 * half a second, and on a GPU, where rows are free, sessions meet in a pass as soon as they can. */
static uint64_t slice_us(const struct target *target, uint32_t n_waiting, uint32_t n_decoding,
                         uint64_t pass_us)
{
    const float encode_us = target->mean.encode_us, passes = target->mean.passes;
    if (n_decoding == 0 || encode_us <= 0.0f || passes <= 0.0f)
        return target->options.slice_us;
    float share = (float)n_waiting * passes * (float)pass_us;
    float wait = (float)n_decoding * encode_us;
    uint64_t us = (uint64_t)((float)pass_us * share / wait);
    return MIN(MAX(us, (uint64_t)SLICE_MIN_US), target->options.slice_us);
}

/* Small windows share a slice; one that would need most of it begins with a slice of its own, and
 * those that are through have their pass before. */
static bool encode_some(struct target *target, bool urgent, uint64_t budget_us)
{
    uint64_t start = clock_us(&target->engine->clock), spent = 0;
    struct target_session *session;
    bool worked = false;
    while (spent <= budget_us / 4 && (session = next_of(target, urgent))) {
        target_encode_slice(target, session, budget_us - spent);
        worked = true;
        spent = clock_us(&target->engine->clock) - start;
    }
    return worked;
}

bool target_encode(struct target *target, const struct work_seen *seen, uint32_t n_urgent,
                   uint64_t pass_us)
{
    uint32_t n_others = seen->encode - seen->urgent_encode;
    if (seen->their_turn && n_others > 0)
        return encode_some(target, false, target->options.slice_us);
    if (seen->urgent_encode > 0)
        return encode_some(target, true,
                           slice_us(target, seen->urgent_encode, n_urgent, pass_us));
    if (n_others == 0 || n_urgent > 0)
        return false;
    /* An urgent one that waits for a draft may go on at any moment. */
    return encode_some(target, false, seen->urgent_decode > 0 ? (uint64_t)SLICE_MIN_US
                                                               : target->options.slice_us);
}
