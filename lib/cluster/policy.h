/* policy.h: the shadow price, latency goal and allowed modes that a coordinator publishes, and how
 * a target obeys them. Pure; time comes in.
 *
 * A policy has a term and a time to live. A target obeys the highest term that it has seen and
 * refuses lower ones, for ever: a coordinator that was replaced and does not know it yet has no
 * say. When the time is over without a new one (three periods), the target goes on by its own
 * price: factor 1 on what its rows cost, no goal, every mode.
 *
 * Terms come from the store of the coordinators (lib/store): above all that targets have seen, and
 * above those of every earlier process.
 */
#ifndef CLUSTER_POLICY_H
#define CLUSTER_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/coordinator_frames.h"

/* ---- target ---- */

struct policy_keeper {
    struct wire_policy policy;
    uint64_t until_us;
    uint64_t term;                      /* highest seen; 0: none */
};

/* What a target does without one. */
struct wire_policy policy_own(void);

/* A policy came. False: of a lower term, refused. ttl_ms 0 says that there is none. */
bool policy_take(struct policy_keeper *keeper, uint64_t now_us, const struct wire_policy *policy);

/* The one that holds now. */
struct wire_policy policy_now(const struct policy_keeper *keeper, uint64_t now_us);

/* ---- coordinator ---- */

/* The shadow price after dt_s seconds: the multiplier of the latency goal, by gradient steps in its
 * logarithm. It rises while windows take longer than the goal and falls to 1 else:
 *
 *     ln price += dt x gain x clamp(lag / goal - 1, -1, 1),   price in [1, POLICY_PRICE_MAX]
 *
 * lag_us: queue + window, mean of the targets; 0: not known. goal_us 0: price 1. NaN-free. */
float policy_price_next(float price, float lag_us, float goal_us, float dt_s);

enum { POLICY_PRICE_MAX = 64 };

#endif
