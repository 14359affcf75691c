#include "toy_engine.h"

#include <string.h>

#include "engine/toy.h"
#include "support.h"

void toy_tokenizer(const struct model_description *description, uint64_t hash,
                   struct tokenizer **out)
{
    struct error err;
    assert_ok(toy_tokenizer_new(description, hash, out, &err), &err);
}

void toy_engine_open(struct toy_engine *toy, uint64_t seed, float mistakes)
{
    struct error err;
    struct toy_options options = {.seed = seed, .mistakes = mistakes};
    memset(toy, 0, sizeof(*toy));
    toy_description(&toy->description);
    toy->engine.description = &toy->description;
    toy->engine.clock = clock_monotonic();
    assert_ok(toy_backend_new(&toy->description, &options, &toy->engine.backend, &err), &err);
    assert_ok(rules_masks_new(&toy->description, &toy->engine.masks, &err), &err);
    assert_ok(mel_new(toy->description.n_mels, &toy->engine.mel, &err), &err);
    toy_tokenizer(&toy->description, 1, &toy->engine.tokenizer);
}

void toy_engine_close(struct toy_engine *toy)
{
    engine_close(&toy->engine);
}
