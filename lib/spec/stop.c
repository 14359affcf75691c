#include "spec/stop.h"

/* How sure the next token will be, before it is known. */
static const float next_rate = 0.9f;

static bool priced(const struct spec_stop *stop, const float *confidence, uint32_t n)
{
    const struct spec_stop_costs *costs = &stop->costs;
    float survival = 1.0f, expected = 1.0f;
    for (uint32_t i = 0; i < n; i++) {
        survival *= stop->calibration ? spec_calibration_rate(stop->calibration, confidence[i])
                                      : confidence[i];
        expected += survival;
    }
    float token_us = costs->draft_us + costs->row_us;
    return survival * next_rate * (costs->pass_us + (float)n * token_us) <= expected * token_us;
}

bool spec_stop_here(const struct spec_stop *stop, const float *confidence, uint32_t n)
{
    if (n == 0)
        return false;
    if (stop->cap > 0 && n >= stop->cap)
        return true;
    if (stop->theta < 0.0f)
        return priced(stop, confidence, n);
    return confidence[n - 1] < stop->theta;
}
