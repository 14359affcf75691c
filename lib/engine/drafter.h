/* drafter.h: a small model's draft of one window, in the target's tokens.
 *
 *     decided by the target  d0 d1 d2 | t0 t1 t2 t3 ... end       the proposal, in target ids
 *     draft model's timeline   D0 D1  |  T0  T1  T2 ...           the same text in its own ids
 *
 * The draft is greedy over the whole window, timestamps and end token included, and grows a token
 * per step. While the target follows it nothing happens; when the target decides something else,
 * the draft model is set behind the correction and drafts on from there, until it meets what it
 * had said before: the rest of that is spliced (spec/recycle.h). The policy may stop a draft early
 * (spec/stop.h) and grow side branches (spec/branch.h): then it goes on when the target has
 * decided. A draft is never trusted, so its encoder runs only over the real audio and some
 * silence instead of 30 s.
 *
 * It may begin early, while the window is still spoken, and again with more audio: what it said
 * before is then verified by the draft model itself, in one forward, and what is left of it behind
 * each correction in one more. So little is left to draft when the speaker stops.
 */
#ifndef ENGINE_DRAFTER_H
#define ENGINE_DRAFTER_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "spec/calibration.h"
#include "spec/policy.h"
#include "text/map.h"
#include "wire/wire.h"

struct drafter_options {
    bool timestamps;
    bool translate;
    char language[8];                       /* "en"; "auto": the draft model detects it */
    uint32_t silence_ms;                    /* behind the audio: the draft stops by itself */
    struct spec_policy policy;
    bool turns;                             /* nothing overlaps: whole drafts stop early too */
    struct spec_calibration *calibration;   /* borrowed, learns; NULL: confidences as they are */
};

struct drafter_stats {
    uint32_t steps, rows;                   /* forwards of the draft model and their rows */
    uint32_t branch_steps;                  /* those of them that ran side branches */
    uint32_t recycled;                      /* tokens spliced from rejected drafts */
    uint64_t encode_us, decode_us;
};

/* What verification costs, as the target says. */
struct drafter_price {
    float step_us;                          /* a plain step with its share of a round; 0: unknown */
    float row_us;                           /* a further row */
};

struct drafter_proposal {
    uint32_t n_prefix;                      /* decided tokens that it grew from */
    uint32_t n_trunk;                       /* nodes[0 .. n_trunk) are a chain: the greedy draft */
    uint32_t n_nodes;                       /* behind it: leaves beside the trunk, second choices */
    struct wire_node nodes[WIRE_DRAFT_NODES_MAX];
    bool complete;
    bool early;                             /* more audio may follow: no end is proposed */
};

struct drafter_window {
    const int16_t *samples;                 /* borrowed for the call */
    uint64_t n;                             /* at most 30 s */
    bool early;                             /* not all of its audio */
    bool again;                             /* the window of before, with more audio */
};

struct drafter;

/* Borrows the engine. STATUS_MISMATCH when the draft model lacks the language or the task. */
MUST_CHECK enum status drafter_new(struct engine *engine, const struct drafter_options *options,
                                   struct drafter **out, struct error *err);

/* The vocabulary of the proposals, borrowed; NULL: none any more. While it is not known the model
 * drafts, but there is no proposal. */
MUST_CHECK enum status drafter_set_target(struct drafter *drafter, const struct tokenizer *target,
                                          struct error *err);
void drafter_free(struct drafter **drafter);

/* A new window, or the one of before with more audio: its proposal stands until there is a new
 * one. */
void drafter_begin(struct drafter *drafter, const struct drafter_window *window);

/* For the priced stop rule. */
void drafter_set_price(struct drafter *drafter, struct drafter_price price);

/* No window: nothing to do. */
void drafter_stop(struct drafter *drafter);

/* All tokens that the target has decided in this window's present attempt. */
MUST_CHECK enum status drafter_follow(struct drafter *drafter, const int32_t *decided,
                                      uint32_t n_decided, struct error *err);

/* The same tokens only teach the calibration: the window is over. */
void drafter_learn(struct drafter *drafter, const int32_t *decided, uint32_t n_decided);

/* One piece of work: an encoder slice or a decoder step. *worked: there was something to do. */
MUST_CHECK enum status drafter_step(struct drafter *drafter, bool *worked, struct error *err);

/* Is there a window with something left to draft? */
bool drafter_busy(const struct drafter *drafter);

/* The proposal as it stands; `version` rises with each change. Borrowed until the next call. */
const struct drafter_proposal *drafter_proposal(const struct drafter *drafter, uint32_t *version);

/* What a target is told of it; the caller names utterance, window, attempt and number. `decided`:
 * the tokens of the attempt that it grew from, or more. Nodes are borrowed from the proposal. */
struct wire_draft drafter_wire_draft(const struct drafter_proposal *proposal,
                                     const int32_t *decided);

const struct drafter_stats *drafter_stats(const struct drafter *drafter);

#endif
