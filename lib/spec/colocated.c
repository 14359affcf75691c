#include "spec/colocated.h"

/* What drafts have to bring: less than that is noise of the measured costs. */
static const float margin = 1.02f;

/* Of speech: 2,405 tokens in 13 minutes of read English. */
static const float tokens_per_second = 3.1f;

/* What is beyond the rows of a pass pays for its share of another one. */
static float pass_us(const struct spec_cost *cost, uint32_t n_rows)
{
    if (n_rows <= SPEC_ROWS_MAX)
        return spec_cost_us(cost, n_rows);
    return spec_cost_us(cost, SPEC_ROWS_MAX) * (float)n_rows / (float)SPEC_ROWS_MAX;
}

uint32_t spec_colocated_depth(const struct spec_colocated_ask *ask, float *gain_us)
{
    const float n = (float)ask->n_windows, plain = pass_us(ask->cost, ask->n_windows);
    float tokens = 1.0f, best = plain / margin;     /* time of a token */
    uint32_t depth = 0;
    for (uint32_t k = 1; k <= ask->n_survival; k++) {
        tokens += ask->survival[k - 1];
        float extra = n * (float)k * ask->draft_us +
                      pass_us(ask->cost, ask->n_windows * (1 + k)) - plain;
        float us = (plain + ask->price * extra) / tokens;
        if (us >= best)
            continue;
        best = us;
        depth = k;
    }
    if (gain_us)
        *gain_us = depth > 0 ? plain - best : 0.0f;
    return depth;
}

bool spec_colocated_pays(const struct spec_colocated_ask *ask, float seconds, float encode_us)
{
    float gain_us;
    (void)spec_colocated_depth(ask, &gain_us);
    float cost_us = ask->price * (float)ask->n_windows * encode_us;
    return gain_us > 0.0f && gain_us * seconds * tokens_per_second > cost_us;
}
