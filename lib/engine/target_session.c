/* target_session.c: a client's stream on the target: frames in, utterances in order, frames out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/flac_codec.h"
#include "base/log.h"
#include "engine/target_int.h"

/* ---- lists ---- */

struct target_session *target_next_working(const struct target *target,
                                           const struct target_session *session)
{
    struct list *link = session ? session->working.next : target->working.next;
    return link == &target->working ? NULL : list_item(link, struct target_session, working);
}

static void session_work(struct target_session *session)
{
    struct target *target = session->target;
    if (session != target->audit.session && list_is_alone(&session->working))
        list_append(&target->working, &session->working);
}

void session_rest(struct target_session *session)
{
    if (session->n_utterances == 0 && !session->holds_memory)
        list_remove(&session->working);
}

void session_die(struct target_session *session)
{
    if (session->dead)
        return;
    session->dead = true;
    if (session->sink.died)
        session->sink.died(session->sink.context);
}

static uint64_t place_number(const struct target *target, uint64_t key)
{
    return (key * 0x9E3779B97F4A7C15u >> 32) & (target->n_by_id - 1);
}

/* Clients choose their ids at random. */
static struct target_session **place_of(const struct target *target, const uint8_t id[16])
{
    uint64_t key;
    memcpy(&key, id, sizeof(key));
    return &target->by_id[place_number(target, key)];
}

static void leave_place(struct target_session *session)
{
    struct target_session **link = place_of(session->target, session->id);
    while (*link && *link != session)
        link = &(*link)->next_same;
    if (*link)
        *link = session->next_same;
}

/* ---- frames out ---- */

void session_send(struct target_session *session, const struct wire_frame *frame)
{
    if (session->dead)
        return;
    if (!session->sink.send(session->sink.context, frame))
        session_die(session);
    session->alive_us = clock_us(&session->target->engine->clock);
}

void session_fail_utterance(struct target_session *session, uint32_t utterance, enum status code,
                            const char *text)
{
    struct wire_frame frame = {.kind = WIRE_ERROR};
    frame.u.error = (struct wire_error){.code = code, .utterance = utterance};
    snprintf(frame.u.error.message, sizeof(frame.u.error.message), "%s", text);
    session_send(session, &frame);
    session_remove_utterance(session, utterance);
}

static void send_opened(struct target_session *session, uint32_t version,
                        const struct wire_open *open)
{
    const struct target *target = session->target;
    const struct engine *engine = target->engine;
    struct wire_frame frame = {.kind = WIRE_OPENED};
    struct wire_opened *opened = &frame.u.opened;
    opened->version = version;
    snprintf(opened->model, sizeof(opened->model), "%s", engine->description->name);
    opened->fingerprint = engine->fingerprint;
    opened->vocabulary_hash = tokenizer_hash(engine->tokenizer);
    opened->utterances_max = WIRE_UTTERANCES_MAX;
    opened->audio_credit = TARGET_AHEAD_SAMPLES * sizeof(int16_t);
    opened->n_next = open->n_resume;
    for (uint32_t i = 0; i < open->n_resume; i++) {
        opened->next[i].utterance = open->resume[i].utterance;
        opened->next[i].next_sample = open->resume[i].window_start;
    }
    session_send(session, &frame);
}

/* Step and row cost as measured, and how far the client should draft. */
void session_send_price(struct target_session *session, uint64_t echo_us)
{
    const struct spec_cost *cost = &session->target->cost;
    struct wire_frame frame = {.kind = WIRE_PRICE};
    frame.u.price = (struct wire_price){
        .step_us = (uint32_t)spec_cost_us(cost, 1),
        .row_us = (uint32_t)spec_cost_row_us(cost),
        .echo_us = echo_us,
    };
    depth_price(session, &frame.u.price);
    session_send(session, &frame);
}

/* ---- utterances ---- */

struct utterance *session_current(struct target_session *session)
{
    return session->n_utterances > 0 ? session->utterances[0] : NULL;
}

static struct utterance *find(struct target_session *session, uint32_t id)
{
    for (uint32_t i = 0; i < session->n_utterances; i++)
        if (session->utterances[i]->id == id)
            return session->utterances[i];
    return NULL;
}

void session_take_slot(struct target_session *session)
{
    session->target->n_slots += !session->holds_memory;
    session->holds_memory = true;
}

static void leave_slot(struct target_session *session)
{
    session->target->n_slots -= session->holds_memory;
    session->holds_memory = false;
}

void session_reopen_sequence(struct target_session *session)
{
    session_colocated_close(session);
    backend_close(&session->sequence);
    if (backend_open(session->target->engine->backend, &session->sequence, NULL) != STATUS_OK)
        session_die(session);
    leave_slot(session);
}

/* The backend goes on with a window that it has begun: given up halfway, it would be taken for the
 * session's next one. A new sequence knows nothing of it. */
static void abandon_window(struct target_session *session)
{
    struct encoder_place *place = target_place(session->target, session);
    if (!place)
        return;
    place->session = NULL;
    session_reopen_sequence(session);
}

void session_remove_utterance(struct target_session *session, uint32_t id)
{
    for (uint32_t i = 0; i < session->n_utterances; i++) {
        if (session->utterances[i]->id != id)
            continue;
        if (i == 0)
            abandon_window(session);
        utterance_free(&session->utterances[i]);
        session->n_utterances--;
        memmove(&session->utterances[i], &session->utterances[i + 1],
                (session->n_utterances - i) * sizeof(session->utterances[0]));
        if (i == 0 && session->n_utterances > 0)    /* an empty one behind it may end now */
            utterance_listen(session, session->utterances[0]);
        return;
    }
}

void session_remove_done(struct target_session *session)
{
    for (uint32_t i = 0; i < session->n_utterances;) {
        struct utterance *u = session->utterances[i];
        if (u->phase == PHASE_DONE)
            session_remove_utterance(session, u->id);
        else
            i++;
    }
}

/* The utterance of that id, begun if it is new. *out stays NULL for one that is finished. */
static enum status begin_utterance(struct target_session *session, uint32_t id,
                                   struct utterance **out, struct error *err)
{
    *out = find(session, id);
    if (*out || id < session->utterance_last)
        return STATUS_OK;
    if (session->n_utterances == WIRE_UTTERANCES_MAX)
        return error_set(err, STATUS_EXHAUSTED, "more than %d utterances open at once",
                         WIRE_UTTERANCES_MAX);
    enum status rc = utterance_new(session, id, NULL, out, err);
    if (rc != STATUS_OK)
        return rc;
    session->utterances[session->n_utterances++] = *out;
    session->utterance_last = id + 1;
    session_work(session);
    return STATUS_OK;
}

/* ---- frames in ---- */

static enum status check_rules(struct target_session *session, const struct wire_rules *ask,
                               struct error *err)
{
    const struct engine *engine = session->target->engine;
    const struct model_description *model = engine->description;
    session->language = -1;
    if (!model->multilingual) {
        bool english = strcmp(ask->language, "en") == 0 || strcmp(ask->language, "auto") == 0;
        if (!english)
            return error_set(err, STATUS_INVALID,
                             "the target's model %s is English only: use --language en",
                             model->name);
        if (ask->translate)
            return error_set(err, STATUS_INVALID,
                             "the target's model %s is English only and does not translate",
                             model->name);
        return STATUS_OK;
    }
    if (strcmp(ask->language, "auto") == 0)
        return STATUS_OK;
    session->language = tokenizer_language_token(engine->tokenizer, ask->language);
    if (session->language < 0)
        return error_set(err, STATUS_INVALID, "the target's model %s has no language \"%s\"",
                         model->name, ask->language);
    return STATUS_OK;
}

static enum spec_mode mode_of(const struct wire_rules *ask)
{
    if (!ask->use_drafts)
        return SPEC_MODE_ALONE;
    if (ask->lockstep)
        return ask->verbatim ? SPEC_MODE_LOCKSTEP : SPEC_MODE_TURNS;
    return ask->wait_draft ? SPEC_MODE_WAIT_DRAFT : SPEC_MODE_FREE;
}

/* A client that comes back may find its former stream still open here: it ends first. A stream that
 * is older than the one at work is a straggler. */
static enum status end_former_streams(struct target_session *session, const struct wire_open *open,
                                      struct error *err)
{
    memcpy(session->id, open->session, sizeof(session->id));
    session->epoch = open->epoch;
    struct target_session **place = place_of(session->target, session->id);
    for (struct target_session *s = *place; s; s = s->next_same) {
        if (!s->open || s->dead || memcmp(s->id, session->id, sizeof(s->id)) != 0)
            continue;
        if (s->epoch >= open->epoch)
            return error_set(err, STATUS_CANCELLED, "epoch %u of this session is open already",
                             s->epoch);
        session_die(s);
    }
    session->next_same = *place;
    *place = session;
    return STATUS_OK;
}

/* What a client claims is never taken for granted: its tokens go into the model as they are. */
static enum status check_resume(const struct target_session *session,
                                const struct wire_resume *resume, struct error *err)
{
    uint32_t n_vocab = session->target->engine->description->n_vocab;
    if (resume->utterance < session->utterance_last)
        return error_set(err, STATUS_INVALID, "resumed utterances are not in rising order");
    for (uint32_t i = 0; i < resume->n_prompt; i++)
        if ((uint32_t)resume->prompt[i] >= n_vocab)
            return error_set(err, STATUS_INVALID,
                             "resumed prompt token %d is not in the target's vocabulary",
                             resume->prompt[i]);
    return STATUS_OK;
}

static enum status resume_utterances(struct target_session *session, const struct wire_open *open,
                                     struct error *err)
{
    for (uint32_t i = 0; i < open->n_resume; i++) {
        const struct wire_resume *resume = &open->resume[i];
        struct utterance **place = &session->utterances[session->n_utterances];
        enum status rc = check_resume(session, resume, err);
        if (rc == STATUS_OK)
            rc = utterance_new(session, resume->utterance, resume, place, err);
        if (rc != STATUS_OK)
            return rc;
        session->n_utterances++;
        session->utterance_last = resume->utterance + 1;
        session_work(session);
    }
    return STATUS_OK;
}

static enum status receive_open(struct target_session *session, const struct wire_open *open,
                                struct error *err)
{
    if (session->open)
        return error_set(err, STATUS_INVALID, "a second Open in one session");
    uint32_t version = wire_version(open->version_min, open->version_max);
    if (version == 0)
        return error_set(err, STATUS_UNSUPPORTED,
                         "protocol versions %u to %u offered, this target speaks %d to %d",
                         open->version_min, open->version_max, WIRE_VERSION_MIN, WIRE_VERSION_MAX);
    const struct engine *engine = session->target->engine;
    if (open->vocabulary_hash && open->vocabulary_hash != tokenizer_hash(engine->tokenizer))
        return error_set(err, STATUS_MISMATCH,
                         "the client's drafts are in another vocabulary than that of %s: "
                         "fetch it anew",
                         engine->description->name);
    enum status rc = check_rules(session, &open->rules, err);
    if (rc != STATUS_OK)
        return rc;
    if (session != session->target->audit.session)
        rc = end_former_streams(session, open, err);
    if (rc != STATUS_OK)
        return rc;
    session->ask = open->rules;
    session->mode = mode_of(&open->rules);
    session->limits = window_limits_default();
    session->limits.fallback = open->rules.fallback;
    session->limits.condition_on_previous = open->rules.condition_on_previous;
    rc = resume_utterances(session, open, err);
    if (rc != STATUS_OK)
        return rc;
    session->open = true;
    send_opened(session, version, open);
    session_send_price(session, 0);
    return STATUS_OK;
}

static enum status receive_audio(struct target_session *session, const struct wire_audio *audio,
                                 struct error *err)
{
    struct utterance *u;
    enum status rc = begin_utterance(session, audio->utterance, &u, err);
    if (rc != STATUS_OK || !u)
        return rc;
    if (u->ended)
        return error_set(err, STATUS_INVALID, "audio behind the end of utterance %u", u->id);
    int16_t samples[FLAC_SAMPLES_MAX];
    const int16_t *pcm = samples;
    size_t n = audio->n_bytes / sizeof(int16_t);
    if (audio->codec == WIRE_FLAC)
        rc = flac_decode(audio->bytes, audio->n_bytes, samples, FLAC_SAMPLES_MAX, &n, err);
    else if (audio->n_bytes % sizeof(int16_t) != 0)
        rc = error_set(err, STATUS_CORRUPT, "an odd number of audio bytes");
    else
        pcm = (const int16_t *)(const void *)audio->bytes;
    if (rc != STATUS_OK)
        return rc;
    uint64_t ahead = u->start > u->audio.first ? u->start - u->audio.first : 0;
    uint64_t held = u->audio.end;
    rc = audio_buffer_append(&u->audio, audio->first_sample, pcm, n, ahead + TARGET_AHEAD_SAMPLES,
                             err);
    uint64_t n_new = u->audio.end - held;
    if (session != session->target->audit.session)
        session->target->counts.samples += n_new;
    audit_hear(u, pcm + (n - n_new), n_new);
    if (rc == STATUS_OK)
        utterance_listen(session, u);
    return rc;
}

static enum status receive_end(struct target_session *session,
                               const struct wire_end_of_utterance *end, struct error *err)
{
    struct utterance *u;
    enum status rc = begin_utterance(session, end->utterance, &u, err);
    if (rc != STATUS_OK || !u)
        return rc;
    if (end->n_samples != u->audio.end)
        return error_set(err, STATUS_INVALID,
                         "utterance %u ends at sample %llu, but %llu samples came", u->id,
                         (unsigned long long)end->n_samples, (unsigned long long)u->audio.end);
    u->ended = true;
    utterance_listen(session, u);
    return STATUS_OK;
}

/* Drafts may come before the first audio of their utterance, and after its last window. */
static enum status receive_draft(struct target_session *session, const struct wire_draft *draft,
                                 struct error *err)
{
    struct utterance *u;
    enum status rc = begin_utterance(session, draft->utterance, &u, err);
    if (rc == STATUS_OK && u)
        utterance_draft(session, u, draft);
    return rc;
}

static void receive_cancel(struct target_session *session, const struct wire_cancel *cancel)
{
    if (cancel->utterance >= session->utterance_last)
        session->utterance_last = cancel->utterance + 1;
    session_remove_utterance(session, cancel->utterance);
    struct wire_frame frame = {.kind = WIRE_CANCELLED};
    frame.u.cancelled.utterance = cancel->utterance;
    session_send(session, &frame);
}

static void receive_stats(struct target_session *session, const struct wire_stats *stats)
{
    depth_stats(session, stats);
    if (stats->stamp_us)                    /* the client times the way there and back */
        session_send_price(session, stats->stamp_us);
    log_line(LOG_DEBUG, "utterance %u: client took %u draft steps, %u rows, %llu + %llu us",
             stats->utterance, stats->draft_steps, stats->draft_rows,
             (unsigned long long)stats->draft_encode_us,
             (unsigned long long)stats->draft_decode_us);
}

static enum status receive(struct target_session *session, const struct wire_frame *frame,
                           struct error *err)
{
    if (!session->open && frame->kind != WIRE_OPEN)
        return error_set(err, STATUS_INVALID, "the first frame of a session must be Open, not %s",
                         wire_kind_name(frame->kind));
    switch (frame->kind) {
    case WIRE_OPEN:
        return receive_open(session, &frame->u.open, err);
    case WIRE_AUDIO:
        return receive_audio(session, &frame->u.audio, err);
    case WIRE_END_OF_UTTERANCE:
        return receive_end(session, &frame->u.end_of_utterance, err);
    case WIRE_DRAFT:
        return receive_draft(session, &frame->u.draft, err);
    case WIRE_CANCEL:
        receive_cancel(session, &frame->u.cancel);
        return STATUS_OK;
    case WIRE_STATS:
        receive_stats(session, &frame->u.stats);
        return STATUS_OK;
    default:
        return error_set(err, STATUS_INVALID, "a %s frame from a client",
                         wire_kind_name(frame->kind));
    }
}

enum status target_session_receive(struct target_session *session, const struct wire_frame *frame,
                                   struct error *err)
{
    enum status rc = receive(session, frame, err);
    session_remove_done(session);           /* an empty utterance is over at once */
    return rc;
}

/* ---- life ---- */

enum status session_open_alone(struct target *target, struct target_sink sink,
                               struct target_session **out, struct error *err)
{
    struct target_session *session = calloc(1, sizeof(*session));
    *out = NULL;
    if (!session)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a session");
    session->target = target;
    session->sink = sink;
    session->owner = &session->alone;
    session->habits.tokens = 6.0f;
    spec_calibration_init(&session->calibration);
    list_init(&session->working);
    enum status rc = backend_open(target->engine->backend, &session->sequence, err);
    if (rc == STATUS_OK)
        *out = session;
    else
        free(session);
    return rc;
}

enum status target_session_open(struct target *target, struct target_sink sink,
                                struct target_session **out, struct error *err)
{
    *out = NULL;
    if (target->draining)
        return error_set(err, STATUS_UNAVAILABLE, "this target is shutting down: use another one");
    if (target->n_sessions >= target->options.sessions_max)
        return error_set(err, STATUS_EXHAUSTED,
                         "all %u sessions of this target are taken: try later",
                         target->options.sessions_max);
    enum status rc = session_open_alone(target, sink, out, err);
    if (rc != STATUS_OK)
        return rc;
    struct target_session *session = *out;
    session->next = target->sessions;
    if (session->next)
        session->next->previous = session;
    target->sessions = session;
    target->n_sessions++;
    return STATUS_OK;
}

enum status target_session_owner(struct target_session *session, uint64_t owner,
                                 struct error *err)
{
    struct target *target = session->target;
    struct target_owner **place = &target->owners[place_number(target, owner)], *o = *place;
    SA_ASSERT(owner != 0 && session->owner == &session->alone);
    while (o && o->id != owner)
        o = o->next;
    if (!o) {
        o = calloc(1, sizeof(*o));
        if (!o)
            return error_set(err, STATUS_NO_MEMORY, "no memory for a session's owner");
        *o = (struct target_owner){.next = *place, .id = owner};
        *place = o;
    }
    o->n_sessions++;
    session->owner = o;
    return STATUS_OK;
}

static void leave_owner(struct target_session *session)
{
    struct target_owner *owner = session->owner;
    if (owner == &session->alone || --owner->n_sessions > 0)
        return;
    struct target *target = session->target;
    struct target_owner **link = &target->owners[place_number(target, owner->id)];
    while (*link != owner)
        link = &(*link)->next;
    *link = owner->next;
    free(owner);
}

void session_close_alone(struct target_session **session_ptr)
{
    struct target_session *session = *session_ptr;
    struct encoder_place *place = target_place(session->target, session);
    if (place)
        place->session = NULL;
    session_colocated_close(session);
    leave_place(session);
    leave_owner(session);
    leave_slot(session);
    list_remove(&session->working);
    for (uint32_t i = 0; i < session->n_utterances; i++)
        utterance_free(&session->utterances[i]);
    backend_close(&session->sequence);
    free(session);
    *session_ptr = NULL;
}

void target_session_close(struct target_session **session_ptr)
{
    struct target_session *session = *session_ptr;
    if (!session)
        return;
    struct target *target = session->target;
    if (session->next)
        session->next->previous = session->previous;
    *(session->previous ? &session->previous->next : &target->sessions) = session->next;
    target->n_sessions--;
    session_close_alone(session_ptr);
}

bool target_session_dead(const struct target_session *session)
{
    return session->dead;
}

bool target_session_ready(const struct target_session *session)
{
    return session->open;
}

bool target_session_colocated(const struct target_session *session)
{
    return session->colocated != NULL;
}

bool target_session_busy(const struct target_session *session)
{
    return session->n_utterances > 0;
}
