/* stop.h: how far a draft grows before it is verified (adaptive single-sequence drafting).
 *
 * Threshold (SpecASR, arXiv 2507.18181, section on ASP): stop behind the first token whose
 * confidence is below theta, or at the cap.
 *
 * Priced: after n tokens the expected decided tokens of a pass are E = 1 + sum of survivals S_i
 * (the product of calibrated confidences up to i). The pass costs a pass or round C, and for each
 * token a row r and a draft step d, of which a share is not lost: a rejected token is recycled with
 * probability q, and then need not be drafted again.
 *
 *     cost of token i      c_i = r + d (1 - q (1 - S_i))
 *     one more pays while  S_next / c_next  >  E / (C + sum of c_i)
 *
 * With S_next constant that is a threshold on the survival; theta is its crude form.
 */
#ifndef SPEC_STOP_H
#define SPEC_STOP_H

#include <stdbool.h>
#include <stdint.h>

#include "spec/calibration.h"

struct spec_stop_costs {
    float pass_us;                      /* a pass with its share of a network round */
    float draft_us;                     /* a step of the draft model */
    float row_us;                       /* a further row of a pass; 0: free */
    float reuse;                        /* q: the share of rejected tokens that is recycled */
};

struct spec_stop {
    float theta;                        /* < 0: priced; 0: only the cap */
    uint32_t cap;                       /* 0: none */
    struct spec_stop_costs costs;       /* priced only */
    const struct spec_calibration *calibration; /* borrowed; NULL: as they are */
};

/* A draft of n tokens with these confidences, in order: is it long enough? An empty one never
 * is. */
bool spec_stop_here(const struct spec_stop *stop, const float *confidence, uint32_t n);

#endif
