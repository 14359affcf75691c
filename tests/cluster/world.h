/* world.h: what all simulated machines have in common: one vocabulary, the speech that clients say,
 * and what the target alone makes of it (the reference of every check).
 */
#ifndef TESTS_CLUSTER_WORLD_H
#define TESTS_CLUSTER_WORLD_H

#include "../support/toy_engine.h"
#include "engine/client.h"

/* Noise of n samples: each seed is another "speech" to the toy backend. */
struct speech {
    uint64_t seed;
    size_t n_samples;
};

/* What the target alone decides, without link, drafts, faults or other sessions. */
struct expected {
    uint32_t n_tokens, n_windows;
    int32_t *tokens;
};

struct world_options {
    uint32_t script_min, script_max;        /* text tokens in a window (toy.h) */
    float mistakes;                         /* of the target's own model */
    const struct toy_recorded *recorded;    /* scripts and the drafts' mistakes (toy.h), or NULL */
    uint32_t n_recorded;
};

struct known;

struct world {
    struct world_options options;
    struct toy_engine toy;                  /* the target's; its machine has no load and no clock */
    struct known *known;                    /* references and speech that were made already */
    uint32_t n_known;
};

void world_open(struct world *world, const struct world_options *options);
void world_close(struct world *world);

/* Borrowed until world_close. */
const int16_t *world_speech(struct world *world, struct speech speech);
const struct expected *world_expected(struct world *world, struct speech speech,
                                      const struct client_options *options);

/* How long the recording is that speech of this seed holds, in samples. */
size_t world_recorded_samples(struct world *world, uint64_t seed);

/* A backend of the same vocabulary. seed 1 and the world's mistakes: the target's model. */
struct backend *world_backend(struct world *world, uint64_t seed, float mistakes,
                              const struct toy_time *time);

#endif
