#include "engine/target_audit.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/target_int.h"

enum {
    SLICE_US = 10000,
    ROWS_MAX = 8                            /* of a pass: a long prompt comes in pieces */
};

/* ---- what clients say ---- */

static void clear_record(struct audit_record *record)
{
    free(record->samples);
    *record = (struct audit_record){.state = AUDIT_FREE};
}

void audit_drop(struct utterance *u)
{
    if (u->audit)
        clear_record(u->audit);
    u->audit = NULL;
}

void audit_begin(struct target_session *session, struct utterance *u)
{
    struct audit *audit = &session->target->audit;
    if (session == audit->session)
        return;
    audit->owed = MIN(audit->owed + (double)session->target->options.audit_share, 1.0);
    if (audit->owed < 1.0)
        return;
    for (uint32_t i = 0; i < AUDITS_MAX && !u->audit; i++)
        if (audit->records[i].state == AUDIT_FREE)
            u->audit = &audit->records[i];
    if (!u->audit)
        return;
    audit->owed -= 1.0;
    *u->audit = (struct audit_record){.state = AUDIT_HEARD, .rules = session->ask};
}

void audit_hear(struct utterance *u, const int16_t *samples, uint64_t n)
{
    struct audit_record *record = u->audit;
    if (!record || n == 0)
        return;
    if (record->n_samples + n > AUDIT_SAMPLES_MAX) {
        audit_drop(u);
        return;
    }
    if (record->n_samples + n > record->n_max) {
        uint64_t n_max = MIN(MAX(2 * record->n_max, record->n_samples + n),
                             (uint64_t)AUDIT_SAMPLES_MAX);
        int16_t *more = realloc(record->samples, n_max * sizeof(*more));
        if (!more) {
            audit_drop(u);
            return;
        }
        record->samples = more;
        record->n_max = n_max;
    }
    memcpy(record->samples + record->n_samples, samples, n * sizeof(*samples));
    record->n_samples += n;
}

void audit_window(struct utterance *u, const struct wire_window_final *final)
{
    struct audit_record *record = u->audit;
    if (!record)
        return;
    if (record->n_windows == AUDIT_WINDOWS_MAX) {
        audit_drop(u);
        return;
    }
    record->windows[record->n_windows++] =
        (struct audit_window){.digest = final->digest, .next_start = final->next_start};
}

void audit_end(struct utterance *u)
{
    if (u->audit)
        u->audit->state = AUDIT_WAITS;
    u->audit = NULL;
}

/* ---- again ---- */

static bool hear_again(void *context, const struct wire_frame *frame)
{
    struct audit *audit = &((struct target *)context)->audit;
    const struct audit_record *record = audit->record;
    if (frame->kind == WIRE_WINDOW_FINAL) {
        const struct wire_window_final *final = &frame->u.window_final;
        const struct audit_window *was = &record->windows[audit->n_windows];
        bool equal = audit->n_windows < record->n_windows && was->digest == final->digest &&
                     was->next_start == final->next_start;
        audit->differs |= !equal;
        audit->n_windows += equal;
    }
    audit->ended |= frame->kind == WIRE_UTTERANCE_FINAL;
    return true;
}

static void close_session(struct target *target)
{
    struct audit *audit = &target->audit;
    if (audit->session)
        session_close_alone(&audit->session);
    audit->record = NULL;
}

/* The same audio and rules; what decides only time is left out. */
static enum status say_again(struct target *target, struct error *err)
{
    const struct audit_record *record = target->audit.record;
    struct wire_frame open = {.kind = WIRE_OPEN}, end = {.kind = WIRE_END_OF_UTTERANCE};
    open.u.open = (struct wire_open){.version_min = WIRE_VERSION_MIN,
                                     .version_max = WIRE_VERSION_MAX, .rules = record->rules};
    open.u.open.rules.use_drafts = open.u.open.rules.lockstep = false;
    open.u.open.rules.wait_draft = open.u.open.rules.verbatim = false;
    enum status rc = target_session_receive(target->audit.session, &open, err);
    for (uint64_t at = 0; rc == STATUS_OK && at < record->n_samples;) {
        uint64_t n = MIN(record->n_samples - at, (uint64_t)WIRE_AUDIO_MAX / sizeof(int16_t));
        struct wire_frame audio = {.kind = WIRE_AUDIO};
        audio.u.audio = (struct wire_audio){.first_sample = at, .codec = WIRE_PCM_S16,
                                            .n_bytes = (uint32_t)(n * sizeof(int16_t)),
                                            .bytes = (uint8_t *)(record->samples + at)};
        rc = target_session_receive(target->audit.session, &audio, err);
        at += n;
    }
    end.u.end_of_utterance.n_samples = record->n_samples;
    return rc == STATUS_OK ? target_session_receive(target->audit.session, &end, err) : rc;
}

/* False: nothing waits, or it cannot be begun now. */
static bool begin_next(struct target *target)
{
    struct audit *audit = &target->audit;
    struct error err;
    for (uint32_t i = 0; i < AUDITS_MAX && !audit->record; i++)
        if (audit->records[i].state == AUDIT_WAITS)
            audit->record = &audit->records[i];
    if (!audit->record)
        return false;
    audit->n_windows = 0;
    audit->differs = audit->ended = false;
    struct target_sink sink = {.send = hear_again, .context = target};
    if (session_open_alone(target, sink, &audit->session, &err) == STATUS_OK &&
        say_again(target, &err) == STATUS_OK)
        return true;
    log_line(LOG_WARN, "an utterance could not be audited: %s", err.text);
    clear_record(audit->record);
    close_session(target);
    return false;
}

static void finish(struct target *target)
{
    struct audit *audit = &target->audit;
    bool whole = audit->ended && !target_session_dead(audit->session);
    if (whole) {
        bool equal = !audit->differs && audit->n_windows == audit->record->n_windows;
        target->counts.audits++;
        target->counts.audit_mismatches += !equal;
        if (!equal)
            log_line(LOG_ERROR, "audit: without drafts window %u of %u of an utterance of %.1f s "
                     "has another text than was committed", audit->n_windows + 1,
                     audit->record->n_windows, (double)audit->record->n_samples / WINDOW_RATE);
    }
    clear_record(audit->record);
    close_session(target);
}

/* One pass for it alone. */
static void decode(struct target *target, struct utterance *u)
{
    struct target_session *session = target->audit.session;
    struct gathered all = {.session = {session}, .n = 1};
    struct spec_offer offer;
    uint64_t until;
    target->pass.n = 0;
    if (!utterance_offer(session, u, &offer, &until))
        return;
    utterance_take(session, u, MIN(offer.n_fixed, (uint32_t)ROWS_MAX));
    all.first_row[1] = target->pass.n;
    target_run_pass(target, &all);
}

bool audit_step(struct target *target)
{
    struct audit *audit = &target->audit;
    if (!audit->session && !begin_next(target))
        return false;
    struct utterance *u = session_current(audit->session);
    bool begun = audit->session->holds_memory && target_place(target, audit->session);
    bool room = target_place(target, NULL) &&
                (audit->session->holds_memory || target_slots_left(target));
    if (u && u->phase == PHASE_ENCODE && !begun && !room)
        return false;
    if (u && u->phase == PHASE_ENCODE)
        target_encode_slice(target, audit->session, SLICE_US);
    else if (u && (u->phase == PHASE_DETECT || u->phase == PHASE_DECODE))
        decode(target, u);
    session_remove_done(audit->session);
    u = session_current(audit->session);
    if (!u || u->phase == PHASE_LISTEN)     /* over; or the windows are not what they were */
        finish(target);
    return true;
}

void audit_yield(struct target *target)
{
    if (target->audit.session && target->audit.session->holds_memory)
        close_session(target);
}

void audit_release(struct target *target)
{
    close_session(target);
    for (uint32_t i = 0; i < AUDITS_MAX; i++)
        clear_record(&target->audit.records[i]);
}
