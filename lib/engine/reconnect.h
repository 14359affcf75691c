/* reconnect.h: when a client calls which target, and when it gives one up. Pure: no clock, no link.
 *
 *     DOWN --pause over--> CALLING --accepted--> ACCEPTED --Opened came--> OPEN
 *      ^                      |                     |                       |
 *      '----------------------'-- failed, silent, drained, broken ----------'
 *
 * Targets are called in turn; one that refuses what is asked of it (protocol, model, language) is
 * never called again. A lost target is left at once, within SPREAD; further failures wait longer
 * each time; one that is full says when to come back, and until then the others are called. All
 * pauses are drawn at random, so that the clients of one lost target do not fall upon the next one
 * together. One that does not take a call while another could be called is left after the same time
 * (doubled with each round) as one that owes work and is silent: lost too; a large model may be
 * silent for a whole step, so each loss without a committed window in between doubles the time.
 *
 * The owner tells what happened and looks every few milliseconds.
 */
#ifndef ENGINE_RECONNECT_H
#define ENGINE_RECONNECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { RECONNECT_TARGETS_MAX = 32 };

enum reconnect_state {
    RECONNECT_DOWN,
    RECONNECT_CALLING,
    RECONNECT_ACCEPTED,
    RECONNECT_OPEN
};

struct reconnect {
    uint32_t n_targets;
    uint64_t patience_us;                   /* without an open session, between two commits */
    uint64_t random;
    enum reconnect_state state;
    uint32_t target;                        /* called last */
    uint32_t refused;                       /* bit i: target i is never called again */
    bool draining;                          /* it shuts down: nothing new is begun there */
    uint64_t retry_us;                      /* DOWN: when the pause is over */
    uint64_t not_before_us[RECONNECT_TARGETS_MAX];  /* as it said itself; 0: it did not */
    uint64_t called_us;
    uint64_t heard_us;                      /* last frame, or since when one is owed */
    uint64_t down_since_us;                 /* no open session since; 0: there is one */
    uint64_t down_us;                       /* the same before that; since a commit */
    uint32_t n_failures;                    /* since a commit */
};

struct reconnect_options {
    uint32_t n_targets;                     /* 1 .. RECONNECT_TARGETS_MAX */
    uint64_t patience_us;
    uint64_t seed;                          /* another one for each client */
};

/* DOWN; the first look calls target 0. now_us is above 0. */
void reconnect_init(struct reconnect *r, const struct reconnect_options *options, uint64_t now_us);

/* ---- what happened ---- */

void reconnect_accepted(struct reconnect *r, uint64_t now_us);

/* A frame came, or from now on one is owed. */
void reconnect_heard(struct reconnect *r, uint64_t now_us);

/* Opened came. idle: the client has no unfinished utterance. */
void reconnect_opened(struct reconnect *r, uint64_t now_us, bool idle);

/* A window was committed: the next failure begins a new account. To answer is not enough: a target
 * may break down at this very utterance, again and again. */
void reconnect_committed(struct reconnect *r);

void reconnect_draining(struct reconnect *r);

/* The call ended or was ended. retry_ms: not before, says the target; 0: it does not say. False: it
 * was a refusal, and there is no other target. */
MUST_CHECK bool reconnect_failed(struct reconnect *r, uint64_t now_us, enum status code,
                                 uint32_t retry_ms);

/* What no other try of the same target would mend. */
bool reconnect_is_refusal(enum status code);

/* ---- what to do ---- */

enum reconnect_action {
    RECONNECT_NOTHING,
    RECONNECT_CALL,                         /* r->target; the state is CALLING from now on */
    RECONNECT_HANG_UP,                      /* `why` says why; then reconnect_failed is due */
    RECONNECT_GIVE_UP                       /* no session for patience_us */
};

struct reconnect_seen {
    uint64_t now_us;
    bool expects;                           /* client_expects: the target owes signs of life */
    bool idle;                              /* no unfinished utterance */
};

enum reconnect_action reconnect_look(struct reconnect *r, const struct reconnect_seen *seen,
                                     struct error *why);

/* Without an open session since the last commit; what is left of the patience. */
uint64_t reconnect_down_us(const struct reconnect *r, uint64_t now_us);
uint64_t reconnect_left_us(const struct reconnect *r, uint64_t now_us);

#endif
