/* recycle.h: the rest of a rejected draft is spliced behind the correction, not drafted again.
 *
 *     old draft   the cat sat on the mat .
 *     decided     the dog                        mismatch
 *     drafted     the dog sat                    "sat" goes on in the old draft
 *     spliced     the dog sat on the mat .       three steps saved
 *
 * After the correction the draft model runs on, a token at a time. Each is held against the rest of
 * the old draft; as soon as one agrees with certainty the rest is spliced behind it and the model
 * stops. The paper (SpecASR) compares at offsets 0, +1 and -1: substituted, deleted, inserted
 * words; here the alignment model of realign.h says where the rest goes on, which covers those
 * offsets, several mismatches in a row, and text that the target has decided by itself meanwhile.
 *
 * All tokens are in the draft model's vocabulary. Pure arithmetic, no allocation.
 */
#ifndef SPEC_RECYCLE_H
#define SPEC_RECYCLE_H

#include <stdbool.h>
#include <stdint.h>

#include "spec/realign.h"

struct spec_recycle {
    struct spec_source rest;            /* the old draft, followed along the new one */
    bool active;
};

void spec_recycle_stop(struct spec_recycle *recycle);

/* `old` grew from a prefix of `tokens`, which are what stands now: decided and drafted anew. */
void spec_recycle_start(struct spec_recycle *recycle, const struct spec_realign *how,
                        const struct spec_draft *old, const int32_t *tokens, uint32_t n);

/* One more token is drafted. */
void spec_recycle_follow(struct spec_recycle *recycle, const struct spec_realign *how,
                         int32_t token);

/* Where the old draft goes on behind the last token: an index into its trunk below its length; -1:
 * not certain, or nothing is left of it. */
int32_t spec_recycle_place(const struct spec_recycle *recycle, const struct spec_realign *how);

#endif
