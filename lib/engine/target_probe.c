/* target_probe.c: what do rows cost on this machine? Measured when there is nothing else to do.
 *
 * The promise "never slower than plain decoding by more than one step" rests on the measured curve,
 * and rows that a guess makes look dear would never be tried. So a target times passes of 1, 2, 4,
 * ... 64 rows over a window that says nothing: what it can before it serves, the rest when it has
 * been idle for a while. Real work waits for no more than one pass of the probe.
 */
#include "engine/target_int.h"

/* The first pass only warms up. Then rounds: all row counts up, and some times more those that one
 * session has, which cost little: of each the one or the other time is likely to be undisturbed. */
enum {
    ROUNDS = 3,
    FEW = 7,                                /* knots up to 16 rows */
    FEW_AGAIN = 3,
    ROUND = SPEC_COST_KNOTS + FEW_AGAIN * FEW,
    STEPS = 1 + ROUNDS * ROUND
};

static uint32_t rows_of(uint32_t step)
{
    if (step == 0)
        return spec_cost_rows[0];
    uint32_t at = (step - 1) % ROUND;
    return spec_cost_rows[at < SPEC_COST_KNOTS ? at : (at - SPEC_COST_KNOTS) % FEW];
}

static enum status probe_open(struct target *target, struct error *err)
{
    const struct backend_features nothing = {.n_mels = target->engine->description->n_mels,
                                             .n_frames = WINDOW_FRAMES};
    bool done;
    enum status rc = backend_open(target->engine->backend, &target->probe.sequence, err);
    if (rc == STATUS_OK)
        rc = backend_encode(target->probe.sequence, &nothing, UINT64_MAX, &done, err);
    return rc;
}

static enum status probe_pass(struct target *target, struct error *err)
{
    struct engine *engine = target->engine;
    struct rules rules = rules_default(engine->description, engine->masks);
    struct pass *pass = &target->pass;
    uint32_t n = rows_of(target->probe.step++);
    for (uint32_t i = 0; i < n; i++)
        pass->row[i] = (struct backend_row){.sequence = target->probe.sequence,
                                            .token = engine->description->special.start,
                                            .parent = (int32_t)i - 1,
                                            .rules = &rules,
                                            .state = rules_begin(),
                                            .choice = &pass->choice[i]};
    uint64_t start = clock_us(&engine->clock);
    enum status rc = backend_forward(engine->backend, pass->row, n, err);
    float us = (float)(clock_us(&engine->clock) - start);
    if (rc == STATUS_OK && target->probe.step > 1 && us > 0.0f)
        spec_cost_probe(&target->cost, n, us);
    backend_keep(target->probe.sequence, 0, NULL, 0);
    return rc;
}

bool probe_wanted(const struct target *target)
{
    return target->probe.step < STEPS;
}

void probe_step(struct target *target)
{
    struct error err;
    enum status rc = target->probe.sequence ? STATUS_OK : probe_open(target, &err);
    if (rc == STATUS_OK)
        rc = probe_pass(target, &err);
    if (rc != STATUS_OK)
        target->probe.step = STEPS; /* the prior must do */
    if (!probe_wanted(target))
        backend_close(&target->probe.sequence);
}

void target_measure(struct target *target, uint64_t budget_us)
{
    uint64_t end = clock_us(&target->engine->clock) + budget_us;
    while (probe_wanted(target) && clock_us(&target->engine->clock) < end)
        probe_step(target);
}
