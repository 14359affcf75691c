#include "spec/stop.h"

/* How sure the next token will be, before it is known. */
static const float next_rate = 0.9f;

static float token_us(const struct spec_stop_costs *costs, float survival)
{
    return costs->row_us + costs->draft_us * (1.0f - costs->reuse * (1.0f - survival));
}

static bool priced(const struct spec_stop *stop, const float *confidence, uint32_t n)
{
    float survival = 1.0f, expected = 1.0f, us = stop->costs.pass_us;
    for (uint32_t i = 0; i < n; i++) {
        survival *= stop->calibration ? spec_calibration_rate(stop->calibration, confidence[i])
                                      : confidence[i];
        expected += survival;
        us += token_us(&stop->costs, survival);
    }
    float next = survival * next_rate;
    return next * us <= expected * token_us(&stop->costs, next);
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
