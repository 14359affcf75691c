/* depth_estimate.h: the inputs of depth.h from what is observed. Pure; time comes in.
 *
 * Means forget with time, not with samples: over a long way there are few samples, and a step still
 * has to be followed within two seconds.
 */
#ifndef CLUSTER_DEPTH_ESTIMATE_H
#define CLUSTER_DEPTH_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/depth.h"

/* Mean and variance with exponential forgetting. Time constants: round trips and draft steps are
 * measured one by one; what the other sessions do in a pass jumps from pass to pass. */
struct depth_mean {
    float mean, variance;
    uint64_t at_us;                     /* of the last sample; 0: none yet */
};

enum { DEPTH_CLIENT_MEMORY_US = 500000, DEPTH_OTHERS_MEMORY_US = 1000000 };

void depth_mean_observe(struct depth_mean *mean, uint64_t now_us, float sample,
                        uint32_t memory_us);

/* Conditional acceptance per position, with forgetting over about 192 tokens of each:
 *     a_i = (hits_i + PRIOR x a_(i-1)) / (trials_i + PRIOR),  a_0: DEPTH_PRIOR_RATE
 * so positions that were never reached take the rate of those before them. S_i = a_1 .. a_i. */
struct depth_survival {
    float trials[DEPTH_MAX], hits[DEPTH_MAX];
};

#define DEPTH_PRIOR_RATE 0.8f

/* The draft's token at `position` (1: the first behind a surprise), all before it accepted, was
 * what the target decided, or not. Also for tokens that were decided before they came. */
void depth_survival_observe(struct depth_survival *survival, uint32_t position, bool accepted);
void depth_survival_table(const struct depth_survival *survival, float table[DEPTH_MAX]);

#endif
