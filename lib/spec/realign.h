/* realign.h: what is left of a draft goes on behind the target's corrections, without the network.
 *
 * The trunk of a draft is a line of tokens O. The decided text follows it, differs, follows it
 * again. Where it goes on is asked of a pair hidden Markov model (realign_int.h) whose forward
 * probabilities are kept from token to token:
 *
 *     decided   the cat sat down on            (the draft had no "down")
 *     O         the cat sat on the mat .
 *                              ^ 0.97          the next decided token is this one
 *
 * So one mechanism covers a substituted, an inserted and a deleted word, drift, one mismatch after
 * another, and text that grew several tokens while nothing fitted. A timestamp token in place of
 * another one nearby costs little: the time alone was wrong.
 *
 * spec_propose turns the cheap places into probabilities and grows one tree best first: the next
 * row goes to the token most likely to be accepted, whether it continues the likeliest place, opens
 * the second likeliest, or leaves the trunk at a doubtful token. Rows are thus spent by one rule.
 *
 * Use, per (window, attempt):
 *     spec_source_load     when a draft arrives (walks along what is decided already)
 *     spec_source_follow   after each pass, with the newly decided tokens
 *     spec_propose         before each pass
 * All of it is pure arithmetic over the struct: no allocation, no clock, no vocabulary.
 */
#ifndef SPEC_REALIGN_H
#define SPEC_REALIGN_H

#include <stdbool.h>
#include <stdint.h>

#include "spec/calibration.h"
#include "spec/draft.h"
#include "spec/tree.h"

/* Tokens that stand for each other up to format, given by the owner of the vocabulary. `variant`
 * returns the k-th other form of a token (other letter case, with or without leading space, . for
 * ,), or -1 when there are no more. `marks` are tokens that may be missing or superfluous anywhere
 * (", " and "."). */
struct spec_forms {
    int32_t (*variant)(const void *context, int32_t token, uint32_t k);
    const void *context;
    const int32_t *mark;
    uint32_t n_marks;
};

struct spec_realign {
    int32_t end;                        /* end token, -1: none */
    int32_t timestamp_begin;            /* tokens from here on are times (20 ms); -1: none */
    const struct spec_forms *forms;     /* borrowed; NULL: tokens are only numbers */
    struct spec_calibration *calibration; /* borrowed, learns in follow; NULL: as they are */
    bool side_branches;                 /* false: only continuation places */
};

/* A draft's trunk with the alignment of the decided text to it. Plain data. */
struct spec_source {
    uint32_t number;                    /* of the draft, 0: empty */
    bool complete;
    uint32_t n;                         /* trunk tokens */
    uint32_t n_followed;                /* decided tokens behind the draft's prefix */
    uint32_t n_agreed;                  /* the last so many of them followed the draft */
    int32_t last;                       /* last decided token, -1: none */
    int32_t token[SPEC_NODES_MAX];
    float confidence[SPEC_NODES_MAX];
    int32_t second[SPEC_NODES_MAX];     /* second choice in place of the token, -1: none */
    float second_confidence[SPEC_NODES_MAX];
    float agree[SPEC_NODES_MAX + 1];    /* probability: goes on at j, the last token agreed */
    float apart[SPEC_NODES_MAX + 1];    /* probability: is at j, the last token differed */
};

struct spec_realign spec_realign_default(int32_t end, int32_t timestamp_begin);

void spec_source_clear(struct spec_source *source);

/* Takes the trunk of `draft` and follows decided[n_prefix..]. False (source cleared) when the draft
 * grew from a longer prefix than what is decided. */
bool spec_source_load(struct spec_source *source, const struct spec_realign *how,
                      const struct spec_draft *draft, const int32_t *decided, uint32_t n_decided);

/* Tells of n more decided tokens. */
void spec_source_follow(struct spec_source *source, const struct spec_realign *how,
                        const int32_t *tokens, uint32_t n);

/* A place where the draft may go on. */
struct spec_place {
    uint32_t at;                        /* index into the trunk, n: behind its last token */
    float probability;                  /* that the next decided token is trunk token `at` */
    bool agrees;                        /* the last decided token agreed with the one before */
};

/* The likeliest places, best first, at most n_max; returns how many. One place of probability near
 * 1 while the decided text follows the draft. */
uint32_t spec_source_places(const struct spec_source *source, const struct spec_realign *how,
                            uint32_t n_max, struct spec_place *places);

struct spec_caps {
    uint32_t n_nodes;                   /* below SPEC_ROWS_MAX */
    uint32_t n_depth;                   /* tokens or positions left */
};

/* Fills `tree` best first; empties it when the draft is used up. Confidences are estimates of
 * acceptance given that the parent is accepted. */
void spec_propose(const struct spec_source *source, const struct spec_realign *how,
                  struct spec_caps caps, struct spec_tree *tree);

/* The same from several drafts, the newest first: it is believed most (two thirds, then two thirds
 * of the rest). Where they agree their probabilities add up; where the newest has not grown as far
 * as an older one, that one goes on. Sources that are not useful should be left out. */
void spec_propose_from(const struct spec_source *const *sources, uint32_t n_sources,
                       const struct spec_realign *how, struct spec_caps caps,
                       struct spec_tree *tree);

/* Is there anything left to propose? False: used up, or lost beyond hope; draft anew or step
 * plainly. */
bool spec_source_useful(const struct spec_source *source);

#endif
