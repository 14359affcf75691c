/* rules.h: which token may come next, and which one does: one pure function.
 *
 *     choice = f(what the path so far says, one row of logits)
 *
 * The plain path and the verify path call the same function with the same inputs, which is half of
 * the exactness promise (the other half is that logits do not depend on the other rows).
 * Sources: openai/whisper decoding.py (SuppressBlank, SuppressTokens, ApplyTimestampRules) for the
 * rules; E. J. Gumbel's max trick for sampling: argmax(logits / T + g), g = -log(-log(u)), with u
 * keyed by (seed, window, attempt, position, token), so that a token's noise is the same for every
 * pass.
 */
#ifndef RULES_RULES_H
#define RULES_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/kernels.h"
#include "model/model.h"

enum rules_task { TASK_TRANSCRIBE, TASK_TRANSLATE };

/* Suppressed tokens of a model, made once per process and model; read-only afterwards. */
struct rules_masks;

/* Everything that stays the same during one attempt at one window. Plain data. */
struct rules {
    const struct model_description *model;   /* borrowed */
    const struct rules_masks *masks;         /* borrowed */
    bool timestamps;
    bool detect_language;                    /* only language tokens are allowed */
    int32_t max_initial_timestamp;           /* in steps of 20 ms: 50 = 1.0 s; -1: no limit */
    float temperature;                       /* 0: greedy */
    uint64_t seed;
    uint32_t window;
    uint32_t attempt;
};

/* What the sampled tokens on a path say to the rules. Plain data of 16 bytes, one per row. */
struct rules_state {
    uint32_t n_sampled;         /* tokens after the prompt */
    int32_t last;               /* last sampled token or -1 */
    int32_t before_last;        /* the one before it or -1 */
    int32_t last_timestamp;     /* last timestamp token so far or -1 */
};

struct rules_choice {
    int32_t token;              /* the target's choice */
    float logprob;              /* natural log, softmax over the allowed tokens at temperature 1 */
    int32_t second;             /* runner-up among the allowed, or -1 */
    float second_logprob;
    float gap;                  /* difference of the two (noisy) scores: how near a tie it was */
};

/* The model's own suppress lists, and what OpenAI always suppresses: no-speech, the special tokens
 * that stand only in prompts, and the end token as first token. STATUS_CORRUPT for ids out of
 * range. */
MUST_CHECK enum status rules_masks_new(const struct model_description *model,
                                       struct rules_masks **out, struct error *err);
void rules_masks_free(struct rules_masks **masks);

/* Is the token suppressed: always, or as first token? */
bool rules_masks_suppressed(const struct rules_masks *masks, int32_t token, bool first);

/* Greedy, timestamps off, nothing detected: the caller changes what it wants. Borrows both. */
struct rules rules_default(const struct model_description *model, const struct rules_masks *masks);

/* The state before the first sampled token, and the state after one more. */
struct rules_state rules_begin(void);
struct rules_state rules_advance(const struct rules *rules, struct rules_state state,
                                 int32_t token);

/* Is `token` a timestamp, and which (in steps of 20 ms, 0..1500)? -1 if not. */
int32_t rules_timestamp_steps(const struct model_description *model, int32_t token);

/* The choice for one row. `logits` has n_vocab entries without NaN and is scratch: it may be
 * overwritten. Pure: no state, same bits for every kernel set; of equal scores the lowest id wins.
 * When nothing is allowed (every allowed logit is -INFINITY): the end token, logprob -INFINITY. */
void rules_choose(const struct rules *rules, const struct rules_state *state,
                  const struct kernels *kernels, float *logits, struct rules_choice *out);

/* A row of which is known where its large entries are: largest[g] is the largest of entries
 * [RULES_GROUP * g, RULES_GROUP * (g + 1)), as far as these are below n_indexed. Both are scratch.
 * Choosing takes less time with it, and has the same bits. */
enum { RULES_GROUP = 128 };
struct rules_row {
    float *logits;
    float *largest;
    uint32_t n_indexed;         /* 0: nothing is known */
};
void rules_choose_row(const struct rules *rules, const struct rules_state *state,
                      const struct kernels *kernels, const struct rules_row *row,
                      struct rules_choice *out);

/* Is the choice that of the two largest allowed entries? The other entries may then be a little
 * off (where sums are compared: those of text tokens), as long as they stay below these
 * (kernels/screen.h): all that they change is the sum that probabilities are divided by. Not so
 * with noise; languages are few. */
bool rules_screens(const struct rules *rules);

/* Are timestamps compared with text by their sum? */
bool rules_sums(const struct rules *rules);

/* Writes -INFINITY over those of the indexed tokens that the rules forbid whatever the row says.
 * False, and nothing is written: that is all of them. */
bool rules_forbid(const struct rules *rules, const struct rules_state *state,
                  const struct kernels *kernels, const struct rules_row *row);

/* Softmax probability of one token over the unfiltered row (no-speech probability, language
 * probabilities). Does not change logits. */
float rules_probability(const struct kernels *kernels, const float *logits, uint32_t n_vocab,
                        int32_t token);

#endif
