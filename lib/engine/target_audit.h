/* target_audit.h: utterances decoded a second time, without drafts, when nobody wants the model:
 * the text must be the same. Part of target_int.h.
 *
 *     free --sampled--> heard --UtteranceFinal--> waits --idle--> decoded again: equal or not
 *       ^-----------------'-- cancelled, too long, lost ------------------'
 *
 * Audio and the digests of what was committed are kept until then, never longer, and nothing of
 * them is logged.
 */
#ifndef ENGINE_TARGET_AUDIT_H
#define ENGINE_TARGET_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "engine/window.h"
#include "wire/wire.h"

struct target;
struct target_session;
struct utterance;

enum { AUDITS_MAX = 4, AUDIT_WINDOWS_MAX = 16, AUDIT_SAMPLES_MAX = 2 * WINDOW_SAMPLES };

enum audit_state { AUDIT_FREE, AUDIT_HEARD, AUDIT_WAITS };

struct audit_record {
    enum audit_state state;
    struct wire_rules rules;
    int16_t *samples;
    uint64_t n_samples, n_max;
    uint32_t n_windows;
    struct audit_window {
        uint64_t digest, next_start;        /* of the committed tokens (wire_hash) */
    } windows[AUDIT_WINDOWS_MAX];
};

struct audit {
    double owed;                            /* utterances that the share asks for */
    struct audit_record records[AUDITS_MAX];
    struct audit_record *record;            /* that is decoded again; NULL: none */
    struct target_session *session;         /* which does so; it is in no list */
    uint32_t n_windows;                     /* seen again, and equal so far */
    bool differs, ended;
};

/* What happens to an utterance of a client: it begins; is heard; a window is committed; it ends; it
 * is freed, at whatever moment. */
void audit_begin(struct target_session *session, struct utterance *u);
void audit_hear(struct utterance *u, const int16_t *samples, uint64_t n);
void audit_window(struct utterance *u, const struct wire_window_final *final);
void audit_end(struct utterance *u);
void audit_drop(struct utterance *u);

/* Nothing else is to be done: works for a slice or a short pass. False: nothing to audit. */
bool audit_step(struct target *target);

/* Gives the encoder and the slot back to those who want them; the audit begins again later. */
void audit_yield(struct target *target);

void audit_release(struct target *target);

#endif
