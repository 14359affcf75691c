/* target.h: a target's work: sessions of many clients on one model.
 *
 *     frames in --> session --> utterance --> window --> attempt     one timeline per session
 *                                 |
 *     tick:   one slice of one encoder, then one pass with the rows of every session that has some
 *
 * The target is work-conserving: in each pass a session takes the best proposal at hand (a client's
 * draft, what is left of it re-aligned, else one plain step) and waits for a frame only where
 * spec_turn says that this pays. Only choices of this model decide tokens.
 *
 * One thread owns a target: it feeds frames and calls target_tick. Frames out go through a sink.
 */
#ifndef ENGINE_TARGET_H
#define ENGINE_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "wire/wire.h"

struct target;
struct target_session;

struct target_options {
    uint32_t sessions_max;                  /* open at once; more are refused with a retry time */
    uint32_t slots_max;                     /* with keys and values at once; 0: all sessions */
    uint32_t slice_us;                      /* encoder work between two passes */
    float audit_share;                      /* of utterances, decoded again in idle time: 0 .. 1 */
    uint32_t depth_fixed;                   /* draft tokens of a session in a pass, at most, always;
                                             * 0: as depth_control says */
    struct engine *draft_engine;            /* for clients that cannot draft (target_colocated.h);
                                             * borrowed, NULL: they are decoded by plain steps */
    uint32_t colocated_fixed;               /* its steps before each pass, always; 0: as pays */
    bool depth_control;                     /* false: clients may always draft as far as they can */
};

/* Sessions for which drafts are made here at once. */
enum { TARGET_COLOCATED_MAX = 4 };

struct target_options target_options_default(void);

/* What a coordinator may change while the target runs (cluster/policy.h). */
struct target_policy {
    float price;                            /* shadow price of rows: 1: their own cost */
    float latency_goal_us;                  /* no draft may make a pass longer; 0: no goal */
    bool drafts;                            /* false: sessions are advised not to draft */
    bool colocated;                         /* false: nor are drafts made here */
};

struct target_policy target_policy_default(void);

/* Where a session's frames go. False: the client is gone or does not read; the session is then dead
 * and its owner closes it. The frame is borrowed for the call. `died` (may be NULL): the session
 * died just now, perhaps within a call for another one: to be closed, but not from here. */
struct target_sink {
    bool (*send)(void *context, const struct wire_frame *frame);
    void (*died)(void *context);
    void *context;
};

/* Borrows the engine for its life. */
MUST_CHECK enum status target_new(struct engine *engine, const struct target_options *options,
                                  struct target **out, struct error *err);

/* All sessions must be closed. */
void target_free(struct target **target);

void target_set_policy(struct target *target, struct target_policy policy);

/* Times passes for about budget_us, so that the first session finds measured costs. What is left to
 * measure is done when the target is idle. */
void target_measure(struct target *target, uint64_t budget_us);

/* A stream was opened; its first frame must be Open. STATUS_EXHAUSTED when sessions_max are
 * open. */
MUST_CHECK enum status target_session_open(struct target *target, struct target_sink sink,
                                           struct target_session **out, struct error *err);
void target_session_close(struct target_session **session);

/* Whose session it is (an address, a key; any number but 0): where not all can be served at once,
 * each owner has the same share, whatever the number of its sessions. Without this a session is its
 * own owner. Before its first frame. */
MUST_CHECK enum status target_session_owner(struct target_session *session, uint64_t owner,
                                            struct error *err);

/* Takes one frame. A failure ends the session: the caller sends the text as the stream's status and
 * closes it. (What only spoils one utterance is answered with an Error frame and STATUS_OK.) */
MUST_CHECK enum status target_session_receive(struct target_session *session,
                                              const struct wire_frame *frame, struct error *err);

/* True once the sink refused a frame or the model failed for this session. */
bool target_session_dead(const struct target_session *session);

/* Has its Open come? */
bool target_session_ready(const struct target_session *session);

/* Are drafts made here for it? */
bool target_session_colocated(const struct target_session *session);

/* Has the session unfinished utterances? */
bool target_session_busy(const struct target_session *session);

/* Does some work and returns the time (engine clock) at which it wants to be called again: 0 at
 * once, UINT64_MAX when only a frame can bring new work. */
uint64_t target_tick(struct target *target);

/* What was done since target_new, and how many open utterances are in which stage. For metrics. The
 * work of this and of a tick is that of the sessions at work, however many are idle. */
struct target_counts {
    uint64_t encode_us, forward_us;         /* time of the model, */
    uint64_t draft_us;                      /* and of the draft model here */
    uint64_t passes, rows;
    uint64_t audits, audit_mismatches;      /* utterances decoded again; those that differed */
    uint64_t samples;                       /* of audio, each once per session that sent it */
    uint32_t listening, encoding, decoding; /* encoding: or waiting for the encoder */
    uint32_t sessions, busy;                /* open; of those with unfinished utterances */
    uint32_t slots;                         /* sessions that hold keys and values */
};
struct target_counts target_counts(const struct target *target);

/* Tells all clients that this target ends in grace_ms: no new utterances, open ones go on. */
void target_drain(struct target *target, uint32_t grace_ms);

#endif
