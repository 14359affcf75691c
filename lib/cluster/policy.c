#include "cluster/policy.h"

#include <math.h>

#include "base/status.h"

static const float gain = 0.5f;             /* per second: 2.7-fold in two, at twice the goal */

struct wire_policy policy_own(void)
{
    return (struct wire_policy){.shadow_price = 1.0f, .modes = WIRE_MODES_ALL};
}

bool policy_take(struct policy_keeper *keeper, uint64_t now_us, const struct wire_policy *policy)
{
    if (policy->term < keeper->term)
        return false;
    keeper->term = policy->term;
    keeper->policy = *policy;
    keeper->until_us = now_us + (uint64_t)policy->ttl_ms * 1000u;
    return true;
}

struct wire_policy policy_now(const struct policy_keeper *keeper, uint64_t now_us)
{
    return now_us < keeper->until_us ? keeper->policy : policy_own();
}

float policy_price_next(float price, float lag_us, float goal_us, float dt_s)
{
    if (goal_us <= 0.0f)
        return 1.0f;
    float over = fminf(fmaxf(lag_us / goal_us - 1.0f, -1.0f), 1.0f);
    float next = price * expf(gain * dt_s * over);
    return fminf(fmaxf(next, 1.0f), (float)POLICY_PRICE_MAX);
}
