#include "spec/pick.h"

#include <stdbool.h>

#include "base/status.h"

static bool is_before(const struct spec_offer *a, const struct spec_offer *b)
{
    return a->turn != b->turn ? a->turn < b->turn : a->order < b->order;
}

/* Offers by turn and order; equals as they come. */
static void sort_by_turn(const struct spec_offer *offers, uint32_t n, uint32_t *order)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = i;
        for (; k > 0 && is_before(&offers[i], &offers[order[k - 1]]); k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
}

/* Roots and prompts, in turns. A prompt leaves a row for each session that comes behind it.
 * Returns how many rows are taken; *n_deciding: sessions that will decide a token. */
static uint32_t take_fixed(const struct spec_offer *offers, uint32_t n, uint32_t rows_max,
                           uint32_t *n_rows, uint32_t *n_deciding)
{
    uint32_t order[SPEC_PICK_MAX], used = 0;
    sort_by_turn(offers, n, order);
    *n_deciding = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct spec_offer *offer = &offers[order[i]];
        uint32_t left = rows_max - used, behind = n - 1 - i;
        uint32_t most = left > behind ? left - behind : MIN(left, 1u);
        uint32_t take = MIN(offer->n_fixed, most);
        SA_ASSERT(offer->n_fixed >= 1 && offer->n_asked <= offer->n_nodes);
        n_rows[order[i]] = take;
        used += take;
        *n_deciding += take == offer->n_fixed;
    }
    return used;
}

/* The offer whose next node is the likeliest; -1: none has one left. */
static int32_t likeliest(const struct spec_offer *offers, uint32_t n, const uint32_t *n_rows,
                         bool asked_only)
{
    int32_t best = -1;
    float best_survival = 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        const struct spec_offer *offer = &offers[i];
        uint32_t n_max = asked_only ? offer->n_asked : offer->n_nodes;
        if (n_rows[i] < offer->n_fixed || n_rows[i] - offer->n_fixed >= n_max)
            continue;
        float survival = offer->survival[n_rows[i] - offer->n_fixed];
        if (best < 0 || survival > best_survival) {
            best = (int32_t)i;
            best_survival = survival;
        }
    }
    return best;
}

static float next_survival(const struct spec_offer *offer, uint32_t n_rows)
{
    return offer->survival[n_rows - offer->n_fixed];
}

void spec_pick(const struct spec_offer *offers, uint32_t n, const struct spec_cost *cost,
               uint32_t rows_max, uint32_t *n_rows)
{
    SA_ASSERT(n >= 1 && n <= SPEC_PICK_MAX && rows_max >= 1);
    uint32_t n_deciding, best_rows[SPEC_PICK_MAX];
    uint32_t used = take_fixed(offers, n, rows_max, n_rows, &n_deciding);
    float expected = (float)n_deciding;
    int32_t i;
    while (used < rows_max && (i = likeliest(offers, n, n_rows, true)) >= 0) {
        expected += next_survival(&offers[i], n_rows[i]++);
        used++;
    }
    float best_rate = expected / spec_cost_us(cost, used);
    for (uint32_t k = 0; k < n; k++)
        best_rows[k] = n_rows[k];
    while (used < rows_max && (i = likeliest(offers, n, n_rows, false)) >= 0) {
        expected += next_survival(&offers[i], n_rows[i]++);
        used++;
        float rate = expected / spec_cost_us(cost, used);
        if (rate <= best_rate)
            continue;
        best_rate = rate;
        for (uint32_t k = 0; k < n; k++)
            best_rows[k] = n_rows[k];
    }
    for (uint32_t k = 0; k < n; k++)
        n_rows[k] = best_rows[k];
}

uint32_t spec_pick_cap(const struct spec_cost *cost, uint32_t n_fixed, float us_max,
                       float survival_min, const float *survival, uint32_t n_nodes)
{
    float most_us = spec_cost_us(cost, n_fixed) + us_max;
    uint32_t n = 0;
    while (n < n_nodes && survival[n] >= survival_min &&
           spec_cost_us(cost, n_fixed + n + 1) <= most_us)
        n++;
    return n;
}
