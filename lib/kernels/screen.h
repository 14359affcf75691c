/* screen.h: the best of many products without computing all of them: a two-stage argmax. With a
 * copy in 8 bits and a trust of 1 it is exact (a target's choices); with one in 4 bits and less
 * trust it is quicker and nearly so (a draft's).
 *
 * Wanted are the two largest of y[v] = h . W[v], as the f16 kernel computes them, for a wide matrix
 * (the output layer). A copy of W in 8 bits, half as large and multiplied as integers, gives a[v],
 * and norms bound how far y[v] can be from it:
 *
 *      |a[v] - y[v]| <= e[v]
 *      low = the second largest, of the panels of two groups, of a panel's largest a[v] - e[v]: two
 *            y[v] are not below it; their panels are computed
 *      least = the second largest y[v] of these panels, or low
 *      a[v] + e[v] < least: neither best nor second, not even tied. The others are computed.
 *
 * The product with the copy leaves the largest a[v] of each group of 8 panels. The two groups with
 * the largest are those above. Nearly all others are out by that number and the group's largest
 * e[v]; the rest is looked at lane by lane.
 *
 * What is not computed keeps a[v], below least as well: the two largest of the mixed row are those
 * of the exact one, and their values are exact. A sum over the row is nearly that. All of it is a
 * function of h and W alone. Whole panels are computed, which is how they lie in memory.
 *
 * The copy is of W[v][k] * f[k], the row of h[k] / f[k], with powers of two f[k]: exact, and the
 * error of 8 bits falls where less depends on it. f[k] is near g[k]^(3/4) for the norm's gain g.
 * Panels computed for a row of base on speech, of 3,141: 390 in the mean; with f 60; with the two
 * panels of `low` computed first 43; with both 7 (at most 37 in 160 rows). W and h below are these.
 *
 * The bound. Wq, hq: what the 8 bits stand for, exactly; n inputs, b = n / 32 blocks; u = 2^-24,
 * g(i) = i u / (1 - i u); |x| the Euclidean norm, D = |W[v] - Wq[v]|, N = |Wq[v]|, d = |h - hq|.
 *
 *   h . W - hq . Wq = h . (W - Wq) + (h - hq) . Wq          in absolute value <= |h| D + d N
 *   y: n fused multiply-adds in turn:                       |y - h . W| <= g(n) |h| |W|
 *   a: one rounding of the two scales' product, then b fused multiply-adds of exact integers (below
 *      2^24):                                               |a - hq . Wq| <= g(b + 1) |hq| N
 *   |W| <= N + D, |hq| <= |h| + d:
 *   |a - y| <= (1 + g(n)) |h| D + ((1 + g(b + 1)) d + (g(n) + g(b + 1)) |h|) N
 *
 * To that come the roundings of a - e and a + e themselves, u (|a| + e) with |a| <= (1 + g(b + 1))
 * (|h| + d) N; of e from its two factors, 3 u e; and of what is below 2^-126 (inputs divided by f,
 * scales times scales), less than 2^-110 in all. The factors by_loss (of D) and by_size (of N) are
 * computed in double, with 4 u (|h| + d) more in by_size, and 2^-18 of themselves more in both. D
 * and N are sums of squares in turn, rounded up by n u. Each of the four has 1e-15 more, so that e
 * is never below 2e-30. Where |a| or e may be too large for a float everything is computed.
 *
 * That bound supposes that all roundings of a row conspire. They do not: the sum of n independent
 * ones is about 1 / sqrt(n) of it. screen_trust() times e is SCREEN_SIGMAS deviations of that sum.
 * Then nothing is proved, and all else is as above: what is computed is a function of h and W
 * alone, the two largest of the mixed row are exact values, seldom of the wrong tokens. */
#ifndef KERNELS_SCREEN_H
#define KERNELS_SCREEN_H

#include "kernels/kernels.h"

/* Found on speech: docs/SPEED.md. */
#define SCREEN_SIGMAS 3.0f

struct screen {
    const struct matrix *full;  /* f16; borrowed */
    struct matrix copy;         /* q8_0 or q4_0 */
    float trust;                /* part of the bound that is believed; 1: exact */
    const float *factor;        /* [n_in] of a weight; of an input: its inverse */
    const float *inverse;
    float *loss, *size;         /* [panels][16]: D and N */
    float *loss_most, *size_most; /* of each group of panels the largest */
};

/* Can it be screened: f16, whole blocks, panels that fit 16 bits? */
bool screen_fits(const struct matrix *full);

/* Less than 1: the part of the bound that errors of n_in independent roundings seldom pass. */
float screen_trust(uint32_t n_in);

/* Bytes of memory, and a screen laid out over it: borrowed, 64-byte aligned, zeroed. `type`: of the
 * copy, q8_0 or q4_0. `gain`: of the norm before the matrix, [n_in]. */
size_t screen_bytes(const struct matrix *full, enum weight_type type);
struct screen screen_at(void *memory, const struct matrix *full, enum weight_type type, float trust,
                        const float *gain);

/* Makes groups [group_from, group_to) of panels of the copy; threads split them. */
void screen_fill(struct screen *screen, const struct kernels *kernels, uint32_t group_from,
                 uint32_t group_to);

/* A row of inputs for the copy: x[n_in] divided by the factors (to `scaled`), in 8 bits to row 0 of
 * `to`, and its part of the bounds. row, n_panels and largest of the result are the caller's. */
struct screened screen_row(const struct screen *screen, const struct kernels *kernels,
                           const float *x, float *scaled, struct q8_rows to);

/* Lists the panels of a row of approximate products that are still to be computed, after computing
 * (from x) up to two that decide it. `panels` has room for all. */
struct screen_todo {
    uint32_t n_done;            /* the first so many of `panels` are computed */
    uint32_t n;                 /* with these */
};
struct screen_todo screen_panels(const struct screen *screen, const struct kernels *kernels,
                                 const struct screened *job, const float *x, uint16_t *panels);

/* Sets the largest entries of the groups that hold these panels, which have changed. */
void screen_changed(const struct kernels *kernels, const struct screened *job,
                    const uint16_t *panels, uint32_t n);

#endif
