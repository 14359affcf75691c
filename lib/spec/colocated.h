/* colocated.h: how far to draft on the thread that verifies. Pure.
 *
 * A draft model on the target's own machine keeps everybody waiting for its steps, one after the
 * other. With n windows that decode, t for a draft step, and S_i the chance that the first i
 * drafted tokens are what the target decides, a turn with k steps for each brings and takes
 *
 *     E(k) = n (1 + S_1 + ... + S_k)     tokens
 *     T(k) = plain + price x (n k t + pass(n (1 + k)) - plain),   plain = pass(n)
 *
 * and the k with the most tokens per time is best (the same for all: what a window gains, all pay).
 * 0 is one of them: when many windows share passes rows are dear, and steps are the dearer ones.
 */
#ifndef SPEC_COLOCATED_H
#define SPEC_COLOCATED_H

#include <stdbool.h>

#include "spec/price.h"

struct spec_colocated_ask {
    const struct spec_cost *cost;
    float draft_us;                     /* t */
    const float *survival;              /* [n_survival]: S_1 ..., falling */
    uint32_t n_survival;                /* as far as it may go */
    uint32_t n_windows;                 /* n, at least 1 */
    float price;                        /* shadow price: 1: what things cost */
};

/* Tokens, at most n_survival; 0: plain steps are as good, within 2 %. *gain_us (may be NULL): how
 * much less time a token of a window then takes. */
uint32_t spec_colocated_depth(const struct spec_colocated_ask *ask, float *gain_us);

/* Is the draft model's encoder worth its time, for so many seconds of audio? All windows wait for
 * the encoders of all. encode_us: of this window; 0: not known, try. */
bool spec_colocated_pays(const struct spec_colocated_ask *ask, float seconds, float encode_us);

#endif
