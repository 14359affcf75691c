/* target_probe.c: what do rows cost on this machine? Measured while there is nothing else to do.
 *
 * The promise "never slower than plain decoding by more than one step" rests on the measured curve,
 * and rows that a guess makes look dear would never be tried. So a target that has been idle for a
 * while encodes silence and times passes of 1, 2, 4, ... 64 rows. Real work comes first: it takes
 * the memory back at once and waits for no more than one slice or pass of the probe, which later
 * encodes again and goes on with the passes that are left.
 */
#include "engine/target_int.h"

enum { SLICE_US = 4000 };                  /* how long an utterance that comes now may wait */

/* The first only warms up; three of each, at three times: one is likely to be undisturbed. */
static const uint32_t probe_rows[] = {1,  1,  2,  4,  6,  8,  12, 16, 24, 32, 48, 64,
                                      64, 48, 32, 24, 16, 12, 8,  6,  4,  2,  1,
                                      1,  2,  4,  6,  8,  12, 16, 24, 32, 48, 64};

void probe_abort(struct target *target)
{
    target->probe.encoded = false;
    backend_close(&target->probe.sequence);
}

static enum status probe_encode(struct target *target, struct error *err)
{
    size_t n = (size_t)target->engine->description->n_mels * WINDOW_FRAMES;
    struct backend_features features = {.mel = target->features,
                                        .n_mels = target->engine->description->n_mels,
                                        .n_frames = WINDOW_FRAMES};
    for (size_t i = 0; i < n; i++)
        target->features[i] = -1.5f;        /* log-mel of digital silence */
    return backend_encode(target->probe.sequence, &features, SLICE_US, &target->probe.encoded, err);
}

static enum status probe_pass(struct target *target, struct error *err)
{
    struct engine *engine = target->engine;
    struct rules rules = rules_default(engine->description, engine->masks);
    struct pass *pass = &target->pass;
    uint32_t n = probe_rows[target->probe.step++];
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
    return target->probe.step < ARRAY_LEN(probe_rows);
}

void probe_step(struct target *target)
{
    struct error err;
    enum status rc = STATUS_OK;
    if (!target->probe.sequence)
        rc = backend_open(target->engine->backend, &target->probe.sequence, &err);
    else if (!target->probe.encoded)
        rc = probe_encode(target, &err);
    else
        rc = probe_pass(target, &err);
    if (rc != STATUS_OK)
        target->probe.step = ARRAY_LEN(probe_rows); /* the prior must do */
    if (target->probe.step == ARRAY_LEN(probe_rows))
        backend_close(&target->probe.sequence);
}
