#include "spec/wait.h"

#include <math.h>

#include "base/status.h"

void spec_balance_start(struct spec_balance *balance, const struct spec_cost *cost)
{
    balance->us = spec_cost_us(cost, 1);
}

void spec_balance_pass(struct spec_balance *balance, const struct spec_cost *cost,
                       uint32_t n_fixed, uint32_t n_tokens, float us)
{
    SA_ASSERT(n_fixed >= 1 && n_tokens >= 1);
    float plain_us = spec_cost_us(cost, n_fixed) + (float)(n_tokens - 1) * spec_cost_us(cost, 1);
    balance->us += plain_us - us;
}

void spec_balance_wait(struct spec_balance *balance, float us)
{
    balance->us -= us;
}

float spec_balance_risk(const struct spec_balance *balance)
{
    return 0.75f * balance->us;
}

static struct spec_turn wait_until(uint64_t until_us)
{
    return (struct spec_turn){SPEC_WAIT, 0, until_us, 0.0f};
}

/* The best pass that may be run now: nothing but the root row is always possible. A refused pass
 * still decides one token, so it costs the balance only what it takes beyond a plain one. */
static struct spec_rows best_pass(const struct spec_turn_ask *ask, bool on_credit)
{
    bool unlimited = on_credit || ask->row_price == 0.0f;
    float risk_us = spec_balance_risk(ask->balance);
    struct spec_rows_ask rows = {
        .tree = ask->tree,
        .cost = ask->cost,
        .n_fixed = ask->n_fixed,
        .n_nodes_max = ask->n_nodes_max,
        .us_max = unlimited ? INFINITY : spec_cost_us(ask->cost, ask->n_fixed) + risk_us,
        .price = ask->row_price,
        .rate = ask->rate,
        .survival_min = ask->survival_min,
        .end = ask->end,
    };
    return spec_rows_worth(&rows);
}

/* A pass with the tree of a draft that is still to come: E1 and C1 of wait.h. */
static struct spec_rows later_pass(const struct spec_turn_ask *ask)
{
    float expected = fmaxf(ask->draft_tokens, 1.0f);
    uint32_t n_nodes = MIN((uint32_t)ceilf(fminf(expected, SPEC_ROWS_MAX)), ask->n_nodes_max);
    return (struct spec_rows){n_nodes, expected, spec_cost_us(ask->cost, ask->n_fixed + n_nodes)};
}

/* The comparison of wait.h; and the balance must carry the wait and the pass behind it. */
static bool wait_pays(const struct spec_turn_ask *ask, const struct spec_rows *now)
{
    if (!ask->draft_due || ask->draft_at_us <= ask->now_us)
        return false;
    float wait_us = (float)(ask->draft_at_us - ask->now_us);
    struct spec_rows later = later_pass(ask);
    float extra_us = later.us - spec_cost_us(ask->cost, ask->n_fixed);
    if (wait_us + extra_us > spec_balance_risk(ask->balance))
        return false;
    float waiting = later.expected / (wait_us + later.us);
    float working =
        fmaxf(later.expected, now->expected + 1.0f) / (fmaxf(now->us, wait_us) + later.us);
    return waiting > working;
}

/* A pass by the price of rows that was asked for. */
static float priced_us(const struct spec_turn_ask *ask, float us)
{
    float base_us = spec_cost_us(ask->cost, ask->n_fixed);
    return base_us + (ask->row_price < 0.0f ? 1.0f : ask->row_price) * (us - base_us);
}

static bool asking_pays(const struct spec_turn_ask *ask, const struct spec_rows *now)
{
    struct spec_rows later = later_pass(ask);
    return later.expected * priced_us(ask, now->us) >
           now->expected * (ask->asking_us + priced_us(ask, later.us));
}

static struct spec_turn pass(const struct spec_rows *rows)
{
    enum spec_action action = rows->n_nodes > 0 ? SPEC_VERIFY : SPEC_PLAIN;
    return (struct spec_turn){action, rows->n_nodes, 0, rows->expected};
}

struct spec_turn spec_turn(const struct spec_turn_ask *ask)
{
    SA_ASSERT(ask->n_fixed >= 1 && ask->n_fixed + ask->n_nodes_max <= SPEC_ROWS_MAX);
    static const struct spec_rows plain = {0, 1.0f, 0.0f};
    bool patient = ask->now_us < ask->patience_us;
    struct spec_rows now;
    switch (ask->mode) {
    case SPEC_MODE_LOCKSTEP:
        if (!ask->draft_fresh && patient)
            return wait_until(ask->patience_us);
        now = ask->draft_fresh ? best_pass(ask, true) : plain;
        return pass(&now);
    case SPEC_MODE_TURNS:
        if (!ask->window_begun && !ask->draft_complete && patient)
            return wait_until(ask->patience_us);
        now = best_pass(ask, false);
        if (!ask->draft_fresh && ask->draft_due && patient && asking_pays(ask, &now))
            return wait_until(ask->patience_us);
        return pass(&now);
    case SPEC_MODE_WAIT_DRAFT:
        if (!ask->window_begun && !ask->draft_complete && patient)
            return wait_until(ask->patience_us);
        now = best_pass(ask, false);
        return pass(&now);
    case SPEC_MODE_FREE:
        now = best_pass(ask, false);
        return wait_pays(ask, &now) ? wait_until(ask->draft_at_us) : pass(&now);
    case SPEC_MODE_ALONE:
    default:
        return pass(&plain);
    }
}
