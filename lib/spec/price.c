#include "spec/price.h"

#include <math.h>

#include "base/status.h"

const uint32_t spec_cost_rows[SPEC_COST_KNOTS] = {1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64};

/* A knot's weight stops growing here, so that a machine that becomes slower is noticed. */
static const float memory = 16.0f;

/* A pass that was interrupted says little: it counts as at most so much more or less than thought,
 * once something is known. */
static const float outlier = 0.5f;

/* How fast row counts that no pass has of late go back to what the probe said. */
static const float relax = 1.0f / 32.0f;

void spec_cost_init(struct spec_cost *cost, float step_us, float row_us)
{
    SA_ASSERT(step_us > 0.0f && row_us > 0.0f);
    for (uint32_t k = 0; k < SPEC_COST_KNOTS; k++) {
        cost->us[k] = step_us + row_us * (float)(spec_cost_rows[k] - 1);
        cost->weight[k] = 0.0f;
        cost->shape_us[k] = 0.0f;
    }
    cost->scale = 1.0f;
}

/* The knot at or below n_rows; at most the last but one. */
static uint32_t knot_below(uint32_t n_rows)
{
    uint32_t k = 0;
    while (k + 2 < SPEC_COST_KNOTS && spec_cost_rows[k + 1] <= n_rows)
        k++;
    return k;
}

/* How far n_rows lies from knot k towards k + 1: 0 .. 1, beyond 1 behind the last knot. */
static float knot_share(uint32_t k, uint32_t n_rows)
{
    return (float)(n_rows - spec_cost_rows[k]) / (float)(spec_cost_rows[k + 1] - spec_cost_rows[k]);
}

/* Moves knot k by `error` microseconds, as far as its weight allows. */
static void knot_move(struct spec_cost *cost, uint32_t k, float share, float error)
{
    if (share <= 0.0f)
        return;
    cost->weight[k] = fminf(cost->weight[k] + share, memory);
    float step = share / fmaxf(cost->weight[k], 1.0f);
    cost->us[k] = fmaxf(cost->us[k] + step * error, 1e-3f);
}

/* A knot that was never measured moves in proportion with the measured knot nearest to it: on a
 * machine that is three times faster than the prior, all of the curve is. */
static void scale_unmeasured(struct spec_cost *cost, uint32_t moved, float ratio)
{
    for (uint32_t k = 0; k < SPEC_COST_KNOTS; k++) {
        if (cost->weight[k] > 0.0f)
            continue;
        uint32_t nearest = moved;
        uint32_t distance = k > moved ? k - moved : moved - k;
        for (uint32_t i = 0; i < SPEC_COST_KNOTS; i++) {
            uint32_t d = k > i ? k - i : i - k;
            if (cost->weight[i] > 0.0f && d < distance) {
                distance = d;
                nearest = i;
            }
        }
        if (nearest == moved)
            cost->us[k] *= ratio;
    }
}

/* More rows never cost less: knots in the wrong order are pooled to their weighted mean (isotonic
 * regression by pooling adjacent violators). */
static void make_monotone(struct spec_cost *cost)
{
    float level[SPEC_COST_KNOTS];
    float weight[SPEC_COST_KNOTS];
    uint32_t size[SPEC_COST_KNOTS];
    uint32_t n = 0;
    for (uint32_t k = 0; k < SPEC_COST_KNOTS; k++) {
        level[n] = cost->us[k];
        weight[n] = cost->weight[k] + 1e-3f;
        size[n++] = 1;
        for (; n > 1 && level[n - 1] < level[n - 2]; n--) {
            float both = weight[n - 1] + weight[n - 2];
            level[n - 2] = (level[n - 1] * weight[n - 1] + level[n - 2] * weight[n - 2]) / both;
            weight[n - 2] = both;
            size[n - 2] += size[n - 1];
        }
    }
    uint32_t k = 0;
    for (uint32_t block = 0; block < n; block++) {
        for (uint32_t i = 0; i < size[block]; i++)
            cost->us[k++] = level[block];
    }
}

static float slope(const float *us, uint32_t from, uint32_t to)
{
    return (us[to] - us[from]) / (float)(spec_cost_rows[to] - spec_cost_rows[from]);
}

static float curve_us(const float *us, uint32_t n_rows)
{
    uint32_t k = knot_below(n_rows);
    return us[k] + knot_share(k, n_rows) * (us[k + 1] - us[k]);
}

/* The least times as a convex curve below them (lower hull), since a further row costs no less than
 * the one before; 0 where no time is known. */
static void convex_shape(const struct spec_cost *cost, float *hull)
{
    uint32_t corner[SPEC_COST_KNOTS];
    uint32_t n = 0;
    for (uint32_t k = 0; k < SPEC_COST_KNOTS; k++) {
        hull[k] = 0.0f;
        if (cost->shape_us[k] <= 0.0f)
            continue;
        while (n > 1 && slope(cost->shape_us, corner[n - 2], corner[n - 1]) >=
                            slope(cost->shape_us, corner[n - 1], k))
            n--;
        corner[n++] = k;
    }
    for (uint32_t c = 0; c < n; c++) {
        hull[corner[c]] = cost->shape_us[corner[c]];
        for (uint32_t k = corner[c] + 1; c + 1 < n && k < corner[c + 1]; k++)
            if (cost->shape_us[k] > 0.0f)
                hull[k] = cost->shape_us[corner[c]] +
                          slope(cost->shape_us, corner[c], corner[c + 1]) *
                              (float)(spec_cost_rows[k] - spec_cost_rows[corner[c]]);
    }
}

/* Row counts away from the knots first to last, which were just seen. */
static void relax_others(struct spec_cost *cost, const float *hull, uint32_t first, uint32_t last)
{
    for (uint32_t k = 0; k < SPEC_COST_KNOTS; k++)
        if ((k < first || k > last) && hull[k] > 0.0f)
            cost->us[k] += relax * (hull[k] * cost->scale - cost->us[k]);
}

/* A pass between knot k and k + 1 says as well what rows can cost. */
static void follow_shape(struct spec_cost *cost, uint32_t k, uint32_t n_rows, float us)
{
    float hull[SPEC_COST_KNOTS];
    float share = knot_share(k, n_rows);
    if (cost->shape_us[k] <= 0.0f || cost->shape_us[k + 1] <= 0.0f)
        return;
    float lower = fminf(us / curve_us(cost->shape_us, n_rows), 1.0f);
    if (share < 1.0f)
        cost->shape_us[k] *= lower;
    if (share > 0.0f)
        cost->shape_us[k + 1] *= lower;
    convex_shape(cost, hull);
    cost->scale += (us / curve_us(hull, n_rows) - cost->scale) / memory;
    relax_others(cost, hull, share < 1.0f ? k : k + 1, share > 0.0f ? k + 1 : k);
}

void spec_cost_observe(struct spec_cost *cost, uint32_t n_rows, float us)
{
    SA_ASSERT(n_rows >= 1);
    n_rows = MIN(n_rows, spec_cost_rows[SPEC_COST_KNOTS - 1]);
    uint32_t k = knot_below(n_rows);
    float share = knot_share(k, n_rows);
    float before_us = spec_cost_us(cost, n_rows);
    if (cost->weight[share < 0.5f ? k : k + 1] >= 1.0f)
        us = fminf(fmaxf(us, before_us * (1.0f - outlier)), before_us * (1.0f + outlier));
    knot_move(cost, k, 1.0f - share, us - before_us);
    knot_move(cost, k + 1, share, us - before_us);
    float ratio = spec_cost_us(cost, n_rows) / before_us;
    scale_unmeasured(cost, share < 0.5f ? k : k + 1, ratio);
    follow_shape(cost, k, n_rows, us);
    make_monotone(cost);
}

void spec_cost_probe(struct spec_cost *cost, uint32_t n_rows, float us)
{
    uint32_t k = 0;
    while (k + 1 < SPEC_COST_KNOTS && spec_cost_rows[k] < n_rows)
        k++;
    SA_ASSERT(spec_cost_rows[k] == n_rows && us > 0.0f);
    float hull[SPEC_COST_KNOTS];
    float *shape = &cost->shape_us[k];
    float before_us = cost->us[k];
    *shape = *shape > 0.0f ? fminf(*shape, us) : us;
    cost->scale = 1.0f;
    convex_shape(cost, hull);
    for (uint32_t i = 0; i < SPEC_COST_KNOTS; i++)
        if (hull[i] > 0.0f)
            cost->us[i] = hull[i];
    cost->weight[k] = 1.0f;
    scale_unmeasured(cost, k, cost->us[k] / before_us);
    make_monotone(cost);
}

float spec_cost_us(const struct spec_cost *cost, uint32_t n_rows)
{
    SA_ASSERT(n_rows >= 1);
    return curve_us(cost->us, n_rows);
}

float spec_cost_row_us(const struct spec_cost *cost)
{
    return (spec_cost_us(cost, 12) - spec_cost_us(cost, 4)) / 8.0f;
}

/* E - R C; E / C where R is not known. */
static float worth(const struct spec_rows_ask *ask, float expected, float us)
{
    return ask->rate > 0.0f ? expected - ask->rate * us : expected / us;
}

struct spec_rows spec_rows_worth(const struct spec_rows_ask *ask)
{
    float price = ask->price < 0.0f ? 1.0f : ask->price;
    float survival[SPEC_NODES_MAX];
    spec_tree_survival(ask->tree, survival);
    float base_us = spec_cost_us(ask->cost, ask->n_fixed);
    struct spec_rows best = {0, 1.0f, base_us};
    float best_worth = worth(ask, 1.0f, base_us);
    float expected = 1.0f, spared_us = 0.0f;
    uint32_t n_max = MIN(ask->tree->n, ask->n_nodes_max);
    for (uint32_t n = 1; n <= n_max; n++) {
        float us = spec_cost_us(ask->cost, ask->n_fixed + n);
        expected += survival[n - 1];
        if (us > ask->us_max || survival[n - 1] < ask->survival_min)
            break;
        if (ask->tree->node[n - 1].token == ask->end)
            spared_us += survival[n - 1] * spec_cost_us(ask->cost, 1);
        float paid_us = fmaxf(base_us + price * (us - base_us) - spared_us, 1.0f);
        float now = worth(ask, expected, paid_us);
        if (now > best_worth || price == 0.0f) {
            best_worth = now;
            best = (struct spec_rows){n, expected, us};
        }
    }
    return best;
}
