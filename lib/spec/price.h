/* price.h: what rows cost and how many are worth it.
 *
 * The cost curve us(rows) of this machine is measured as passes go by, kept at a few row counts and
 * read by linear interpolation, made monotone: more rows never cost less. The prior is a straight
 * line; row counts that were never seen move in proportion with the nearest that was.
 *
 * What looks too dear to try is not tried, so that a wrong guess would stay. Therefore a target
 * probes these row counts while it is idle. Other programs only add to a time, and a further row
 * costs no less than the one before: so the curve's shape is the lower convex hull of the least
 * times, of probes and passes. Later passes move the row counts that they have, an outlier by no
 * more than half of what was thought; the others slowly go back to the shape, times how slow the
 * machine is at present.
 *
 * How many: a tree whose nodes stand best first gives, cut at n nodes,
 *     expected decided tokens  E(n) = 1 + sum of the survivals of its first n nodes
 *     cost                     C(n) = us(rows before) + price * (us(rows with n) - us(rows before))
 * and the n with the largest E(n) / C(n) is taken (the smallest such n). Where the tokens a
 * microsecond of late are known, R, it is the largest E(n) - R C(n): what a pass decides beyond
 * what its time would have brought otherwise (renewal-reward; E / C would cut a sure draft short
 * because it is sure). Price 1 is the measured curve; 0 says that rows are free, and all are taken.
 */
#ifndef SPEC_PRICE_H
#define SPEC_PRICE_H

#include <stdint.h>

#include "spec/tree.h"

enum { SPEC_COST_KNOTS = 11 };          /* at 1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64 rows */

extern const uint32_t spec_cost_rows[SPEC_COST_KNOTS];

struct spec_cost {
    float us[SPEC_COST_KNOTS];
    float weight[SPEC_COST_KNOTS];      /* observations behind it, with forgetting; 0: prior only */
    float shape_us[SPEC_COST_KNOTS];    /* the least that a probe took; 0: not probed */
    float scale;                        /* passes of late, as a multiple of the shape */
};

/* Prior: step_us for one row, row_us for each further row; both positive. */
void spec_cost_init(struct spec_cost *cost, float step_us, float row_us);

/* A pass of n_rows (1..64) took `us` of model time. */
void spec_cost_observe(struct spec_cost *cost, uint32_t n_rows, float us);

/* A probe of so many rows took `us`, on an otherwise idle target. */
void spec_cost_probe(struct spec_cost *cost, uint32_t n_rows, float us);

/* Estimated microseconds of a pass; n_rows beyond 64 are extrapolated. Monotone in n_rows. */
float spec_cost_us(const struct spec_cost *cost, uint32_t n_rows);

/* Marginal cost of a row around 8 rows, for publishing in a Price frame. */
float spec_cost_row_us(const struct spec_cost *cost);

struct spec_rows {
    uint32_t n_nodes;                   /* nodes of the tree to take */
    float expected;                     /* decided tokens */
    float us;                           /* cost of the pass (unscaled) */
};

struct spec_rows_ask {
    const struct spec_tree *tree;
    const struct spec_cost *cost;
    uint32_t n_fixed;                   /* rows that come anyway: root and prompt; >= 1 */
    uint32_t n_nodes_max;               /* cap */
    float us_max;                       /* no pass beyond this cost; INFINITY: no cap */
    float rate;                         /* R, tokens per us; 0: not known */
    float price;                        /* factor on the extra cost; negative: 1; 0: free */
    float survival_min;                 /* rarer nodes are not taken, were they free */
    int32_t end;                        /* end token, -1: none: left over, it costs a pass */
};

struct spec_rows spec_rows_worth(const struct spec_rows_ask *ask);

#endif
