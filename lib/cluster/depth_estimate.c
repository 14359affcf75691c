#include "cluster/depth_estimate.h"

#include <math.h>

#include "base/status.h"

static const float prior_trials = 8.0f, keep_per_token = 1.0f - 1.0f / 192.0f;

void depth_mean_observe(struct depth_mean *mean, uint64_t now_us, float sample,
                        uint32_t memory_us)
{
    if (mean->at_us == 0) {
        *mean = (struct depth_mean){.mean = sample, .at_us = MAX(now_us, 1u)};
        return;
    }
    float dt = now_us > mean->at_us ? (float)(now_us - mean->at_us) : 0.0f;
    float share = 1.0f - expf(-dt / (float)memory_us);
    float error = sample - mean->mean;
    mean->mean += share * error;
    mean->variance = (1.0f - share) * (mean->variance + share * error * error);
    mean->at_us = MAX(mean->at_us, now_us);
}

void depth_survival_observe(struct depth_survival *survival, uint32_t position, bool accepted)
{
    SA_ASSERT(position >= 1);
    if (position > DEPTH_MAX)
        return;
    float *trials = &survival->trials[position - 1], *hits = &survival->hits[position - 1];
    *trials = *trials * keep_per_token + 1.0f;
    *hits = *hits * keep_per_token + (accepted ? 1.0f : 0.0f);
}

void depth_survival_table(const struct depth_survival *survival, float table[DEPTH_MAX])
{
    float rate = DEPTH_PRIOR_RATE, product = 1.0f;
    for (uint32_t i = 0; i < DEPTH_MAX; i++) {
        rate = (survival->hits[i] + prior_trials * rate) / (survival->trials[i] + prior_trials);
        product *= rate;
        table[i] = product;
    }
}
