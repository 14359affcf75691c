/* pick.h: which rows of which sessions go into the next pass. Pure.
 *
 *     in turns       root or prompt, root or prompt, ...      every session decides something
 *     then nodes     by survival, over all sessions           as long as they are worth their time
 *
 * A pass that decides E tokens in expectation and takes C microseconds is the better the larger
 * E / C is, for all sessions together. C depends only on the number of rows (the measured curve),
 * so for each number of rows the likeliest nodes are the best ones, and the number with the largest
 *
 *     E(k) = sessions that decide + sum of the k largest survivals
 *     C(k) = us(rows without nodes + k)
 *
 * is taken (the smallest such k). Alone this is spec_rows_worth. When not all sessions fit, they
 * take turns: first one session of each owner, then a second one, and so on; of one turn those that
 * have waited longest, by the order in which they were served (by the time, ties would always fall
 * to the same ones). So n owners with a session each have a row in every n / rows_max passes, and
 * more sessions do not get an owner more rows.
 */
#ifndef SPEC_PICK_H
#define SPEC_PICK_H

#include <stdint.h>

#include "spec/price.h"

enum { SPEC_PICK_MAX = SPEC_ROWS_MAX };     /* sessions in one pass */

/* What one session could use. */
struct spec_offer {
    uint32_t turn;                          /* sessions of its owner that come before it */
    uint64_t order;                         /* rises with each row taken and window begun */
    uint32_t n_fixed;                       /* root row, or rows of a prompt; at least 1 */
    uint32_t n_asked;                       /* nodes taken whatever they cost, if they fit */
    uint32_t n_nodes;                       /* nodes in all, those asked for first */
    const float *survival;                  /* [n_nodes], never rising; borrowed */
};

/* Fills n_rows[i] for each of n offers (1 .. SPEC_PICK_MAX): 0 for one that must wait; below
 * n_fixed for a piece of a prompt; else n_fixed + nodes. Their sum is at most rows_max. */
void spec_pick(const struct spec_offer *offers, uint32_t n, const struct spec_cost *cost,
               uint32_t rows_max, uint32_t *n_rows);

/* How many nodes a session may take at all: the balance pays for them if all are refused (us_max
 * beyond n_fixed rows; INFINITY: no cap), and none is rarer than survival_min. */
uint32_t spec_pick_cap(const struct spec_cost *cost, uint32_t n_fixed, float us_max,
                       float survival_min, const float *survival, uint32_t n_nodes);

#endif
