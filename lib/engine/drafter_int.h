/* drafter_int.h: parts of the drafter that its files share. */
#ifndef ENGINE_DRAFTER_INT_H
#define ENGINE_DRAFTER_INT_H

#include "engine/attempt.h"
#include "engine/drafter.h"
#include "engine/window.h"
#include "spec/branch.h"
#include "spec/recycle.h"

/* IDLE --begin--> ENCODE --> [DETECT -->] DRAFT --end token, cap--> COMPLETE
 *                                           ^-----follow (mismatch)----'      */
enum drafter_phase {
    DRAFTER_IDLE,
    DRAFTER_ENCODE,
    DRAFTER_DETECT,
    DRAFTER_DRAFT,
    DRAFTER_COMPLETE
};

struct drafter {
    struct engine *engine;
    const struct tokenizer *target;         /* borrowed; NULL: not known yet */
    struct text_map *map;
    struct drafter_options options;
    struct sequence *sequence;
    enum drafter_phase phase;
    float *features;                        /* [n_mels][n_frames] */
    uint32_t n_frames;
    uint32_t n_tokens_max;                  /* of a draft of this audio */
    struct attempt attempt;
    uint32_t n_forced;                      /* draft ids that stand for decided tokens */
    int32_t language;
    int32_t decided[WIRE_TOKENS_MAX];       /* target ids that the proposal grew from */
    uint32_t n_decided;
    struct drafter_proposal proposal;
    uint32_t version;
    bool early;                             /* the audio is not whole yet */
    bool old_is_early;                      /* `old` heard less: it is verified, not spliced */
    struct spec_tree guess;                 /* what of it the next forward takes along */
    struct spec_recycle recycle;
    struct spec_draft old;                  /* draft ids: what is left of a rejected draft, */
    float old_logprob[SPEC_NODES_MAX];      /* with all that is known of its tokens */
    int32_t old_second[SPEC_NODES_MAX];
    float old_second_logprob[SPEC_NODES_MAX];
    uint32_t n_branches;
    struct spec_branch branch[SPEC_BRANCHES_MAX];
    uint32_t n_learned;                     /* nodes of the proposal that calibration has seen */
    struct drafter_price price;
    struct drafter_stats stats;
    struct pass pass;
};

/* ---- drafter_proposal.c ---- */

/* Draft ids behind the forced ones -> target ids behind the decided ones. */
MUST_CHECK enum status drafter_map_proposal(struct drafter *drafter, bool complete,
                                            struct error *err);

/* Tokens that the model drafted behind the forced ones. Where the audio is not whole an end token
 * says nothing, and is none of them. */
uint32_t drafter_n_drafted(const struct drafter *drafter);

/* Nothing follows what the proposal has, were it nothing at all: the target need not wait. */
void drafter_complete_proposal(struct drafter *drafter);

/* ---- drafter_branch.c ---- */

/* The second pass of a sparse tree: side branches at the doubtful places of the drafted trunk, run
 * until they meet it again, all of them in each forward. */
MUST_CHECK enum status drafter_grow_branches(struct drafter *drafter, struct error *err);

#endif
