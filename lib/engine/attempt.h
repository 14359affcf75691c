/* attempt.h: one attempt at decoding one window: the timeline of its tokens on a backend sequence.
 *
 *     prompt p0 p1 p2 p3 | decided d0 d1 d2 d3      tokens, in positions 0, 1, 2, ...
 *     ------ kept ------------------ | root          keys and values: all but the last (at least)
 *                                      |- tree ...   proposed tokens, rows of the next pass
 *
 * A pass evaluates what is pending (everything behind the kept rows: the whole prompt at first,
 * then the last decided token), and a tree of proposed tokens below the last pending one, the root.
 * The target's choices decide at least one token (spec/accept.h). Without a tree this is plain
 * decoding; a client's draft model uses the same code without trees.
 */
#ifndef ENGINE_ATTEMPT_H
#define ENGINE_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "engine/window.h"
#include "spec/accept.h"
#include "spec/tree.h"

/* Rows of one forward, of one or more attempts. Plain data, no release needed. */
struct pass {
    uint32_t n;
    struct backend_row row[BACKEND_ROWS_MAX];
    struct rules_choice choice[BACKEND_ROWS_MAX];
};

struct attempt {
    struct sequence *sequence;              /* borrowed */
    struct rules rules;
    uint32_t n_tokens_max;                  /* sampled: half of the positions, or what is left */
    uint32_t n_prompt;
    int32_t prompt[WINDOW_TOKENS_MAX];
    uint32_t n_decided;                     /* the end token among them */
    int32_t decided[WINDOW_TOKENS_MAX];
    float logprob[WINDOW_TOKENS_MAX];
    int32_t second[WINDOW_TOKENS_MAX];      /* runner-up of each, -1: none or forced */
    float second_logprob[WINDOW_TOKENS_MAX];
    struct rules_state state;               /* after all decided tokens */
    bool is_draft;
    float no_speech;                        /* probability at the start token; drafts: 0 */
    bool ended;
    /* the rows of the pass under way */
    struct spec_tree tree;
    struct spec_accepted accepted;          /* of the last pass */
    uint32_t first_row, n_pending;
    bool choosing;                          /* false: a piece of a long prompt, no choice yet */
};

/* Starts over on a sequence that has been encoded. The prompt is [<|startofprev|> previous...]
 * start [language task] [notimestamps]; `previous` may be NULL. language: a token, or -1 for models
 * without. Nobody asks a draft how likely no speech is, which takes the logits of all tokens. */
struct attempt_prompt {
    const struct window_prompt *previous;
    int32_t language;
    bool translate;
    bool is_draft;
};

void attempt_begin(struct attempt *attempt, struct sequence *sequence, const struct rules *rules,
                   const struct attempt_prompt *prompt);

/* Only the start token as prompt, only a language token as answer. */
void attempt_begin_detection(struct attempt *attempt, struct sequence *sequence,
                             const struct rules *rules);

/* Rows of the next pass that come in any case (root and prompt), and how many nodes may come beside
 * them in a pass with `room` rows left (positions and tokens that are left count too). */
uint32_t attempt_pending(const struct attempt *attempt);
uint32_t attempt_nodes_max(const struct attempt *attempt, uint32_t room);

/* Appends rows to the pass: the pending ones and those of `tree` (NULL: none; cut to what fits, end
 * tokens need no row). Returns the number of rows, 0 when there is no room for any. */
uint32_t attempt_offer(struct attempt *attempt, const struct spec_tree *tree, struct pass *pass);

/* The same with at most n_rows rows: of a long prompt a piece. */
uint32_t attempt_offer_rows(struct attempt *attempt, const struct spec_tree *tree, uint32_t n_rows,
                            struct pass *pass);

/* After backend_forward: decides tokens and keeps their rows. Returns how many tokens were decided
 * (0 for a piece of a prompt); they are the last ones of attempt->decided. */
uint32_t attempt_absorb(struct attempt *attempt, const struct pass *pass);

/* Forces the decided tokens (a draft model that follows a target); the common prefix keeps its
 * rows. */
void attempt_follow(struct attempt *attempt, const int32_t *decided, uint32_t n_decided);

/* Tokens that are decided without a row of their own (the rest of an old draft): they stay pending
 * until the next offer. Runner-ups and log-probabilities come with them. */
struct attempt_tokens {
    const int32_t *token;
    const float *logprob;
    const int32_t *second;
    const float *second_logprob;
    uint32_t n;
};
void attempt_splice(struct attempt *attempt, const struct attempt_tokens *tokens);

/* Prompt and decided tokens as one sequence: how many, and token i of them. */
uint32_t attempt_n_total(const struct attempt *attempt);
int32_t attempt_token(const struct attempt *attempt, uint32_t i);

/* Decided tokens without the end token. */
uint32_t attempt_n_text(const struct attempt *attempt);

/* Sum of log-probabilities over the number of text tokens + 1 (decoding.py). */
float attempt_mean_logprob(const struct attempt *attempt);

#endif
