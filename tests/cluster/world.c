#include "world.h"

#include <stdlib.h>
#include <string.h>

#include "../support/loop.h"
#include "../support/support.h"
#include "engine/window.h"

enum { KNOWN_MAX = 4096 };

/* Only what decides text is compared. */
struct key {
    struct speech speech;
    char language[8];
    bool timestamps, fallback, condition_on_previous;
    float temperature;
    uint64_t seed;
};

struct known {
    struct speech speech;
    int16_t *samples;                       /* NULL: this entry is a reference */
    struct key key;
    struct expected expected;
};

struct backend *world_backend(struct world *world, uint64_t seed, float mistakes,
                              const struct toy_time *time)
{
    struct error err;
    struct backend *backend;
    struct toy_options options = {.seed = seed, .mistakes = mistakes, .time = time,
                                  .prompted = true, .drafts = seed != 1,
                                  .recorded = world->options.recorded,
                                  .n_recorded = world->options.n_recorded,
                                  .script_min = world->options.script_min,
                                  .script_max = world->options.script_max};
    assert_ok(toy_backend_new(&world->toy.description, &options, &backend, &err), &err);
    return backend;
}

void world_open(struct world *world, const struct world_options *options)
{
    memset(world, 0, sizeof(*world));
    world->options = *options;
    toy_engine_open(&world->toy, 1, 0.0f);
    backend_free(&world->toy.engine.backend);
    world->toy.engine.backend = world_backend(world, 1, options->mistakes, NULL);
    world->known = calloc(KNOWN_MAX, sizeof(*world->known));
    assert_non_null(world->known);
}

void world_close(struct world *world)
{
    for (uint32_t i = 0; i < world->n_known; i++) {
        free(world->known[i].samples);
        free(world->known[i].expected.tokens);
    }
    free(world->known);
    toy_engine_close(&world->toy);
}

static struct known *add_known(struct world *world, struct speech speech)
{
    if (world->n_known == KNOWN_MAX)
        fail_msg("too many different speeches");
    struct known *known = &world->known[world->n_known++];
    known->speech = speech;
    return known;
}

static bool same_speech(struct speech a, struct speech b)
{
    return a.seed == b.seed && a.n_samples == b.n_samples;
}

const int16_t *world_speech(struct world *world, struct speech speech)
{
    for (uint32_t i = 0; i < world->n_known; i++)
        if (world->known[i].samples && same_speech(world->known[i].speech, speech))
            return world->known[i].samples;
    struct known *known = add_known(world, speech);
    known->samples = loop_speech(speech.seed, speech.n_samples);
    return known->samples;
}

size_t world_recorded_samples(struct world *world, uint64_t seed)
{
    const struct engine *engine = &world->toy.engine;
    const struct toy_options options = {.recorded = world->options.recorded,
                                        .n_recorded = world->options.n_recorded};
    uint32_t n_mels = engine->description->n_mels;
    float *mel = calloc((size_t)n_mels * WINDOW_FRAMES, sizeof(*mel));
    int16_t *samples = loop_speech(seed, WINDOW_RATE);  /* the beginning says which one it is */
    assert_non_null(mel);
    mel_compute(engine->mel, samples, WINDOW_RATE, WINDOW_FRAMES, mel);
    struct backend_features features = {.mel = mel, .n_mels = n_mels, .n_frames = WINDOW_FRAMES};
    const struct toy_recorded *recorded = &options.recorded[toy_recording(&options, &features)];
    free(mel);
    free(samples);
    return (size_t)(recorded->seconds * (float)WINDOW_RATE);
}

static struct key key_of(struct speech speech, const struct wire_rules *rules)
{
    struct key key;
    memset(&key, 0, sizeof(key));           /* compared as bytes */
    key.speech = speech;
    memcpy(key.language, rules->language, sizeof(key.language));
    key.timestamps = rules->timestamps;
    key.fallback = rules->fallback;
    key.condition_on_previous = rules->condition_on_previous;
    key.temperature = rules->temperature;
    key.seed = rules->seed;
    return key;
}

const struct expected *world_expected(struct world *world, struct speech speech,
                                      const struct client_options *options)
{
    const struct key key = key_of(speech, &options->rules);
    for (uint32_t i = 0; i < world->n_known; i++) {
        const struct known *known = &world->known[i];
        if (!known->samples && memcmp(&known->key, &key, sizeof(key)) == 0)
            return &known->expected;
    }
    const int16_t *samples = world_speech(world, speech);
    struct loop *loop = loop_new(&world->toy.engine, NULL, options);
    if (!loop_transcribe(loop, samples, speech.n_samples, UINT64_C(1) << 40))
        fail_msg("the target alone did not finish: %s", loop->error.text);
    struct known *known = add_known(world, speech);
    struct expected *expected = &known->expected;
    known->key = key;
    expected->n_tokens = loop->result.n_tokens;
    expected->n_windows = loop->result.n_windows;
    expected->tokens = malloc((expected->n_tokens + 1) * sizeof(int32_t));
    assert_non_null(expected->tokens);
    memcpy(expected->tokens, loop->result.tokens, expected->n_tokens * sizeof(int32_t));
    loop_free(loop);
    return expected;
}
