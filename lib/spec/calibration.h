/* calibration.h: what a draft's confidence is worth: confidence -> measured acceptance rate.
 *
 * A model's probability of its token is not the probability that another model picks the same one:
 * noise, device and language change it. Per bucket of confidence two counts with exponential
 * forgetting: trials (the token was asked about: its parent was accepted) and hits. The prior of a
 * bucket is worth so many trials (calibration.c):
 *
 *     rate = (hits + PRIOR * (1 - (1 - confidence)^1.5)) / (trials + PRIOR)
 *
 * Errors come in bunches, an utterance is easy or hard as a whole: so what is missing to 1 is
 * multiplied by the errors of late over those that were to be expected (both with a few more that
 * came as expected).
 */
#ifndef SPEC_CALIBRATION_H
#define SPEC_CALIBRATION_H

#include <stdbool.h>
#include <stdint.h>

#include "spec/accept.h"
#include "spec/tree.h"

enum { SPEC_CALIBRATION_BUCKETS = 12 };

struct spec_calibration {
    float trials[SPEC_CALIBRATION_BUCKETS];
    float hits[SPEC_CALIBRATION_BUCKETS];
    float expected, seen;               /* errors of late */
};

void spec_calibration_init(struct spec_calibration *calibration);

/* Estimated probability that a token of this confidence is accepted; within [0, 1], continuous in
 * the confidence (interpolated between bucket centres). */
float spec_calibration_rate(const struct spec_calibration *calibration, float confidence);

void spec_calibration_observe(struct spec_calibration *calibration, float confidence,
                              bool accepted);

/* Learns from a pass: each child of an accepted node (or of the root) was asked about. */
void spec_calibration_pass(struct spec_calibration *calibration, const struct spec_tree *tree,
                           const struct spec_accepted *accepted);

/* Replaces every confidence of the tree by its rate. */
void spec_calibration_apply(const struct spec_calibration *calibration, struct spec_tree *tree);

#endif
