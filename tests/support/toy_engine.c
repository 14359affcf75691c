#include "toy_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

void toy_tokenizer(const struct model_description *description, uint64_t hash,
                   struct tokenizer **out)
{
    struct error err;
    uint32_t n = description->n_vocab;
    uint32_t *offsets = calloc(n + 1, sizeof(*offsets));
    uint8_t *bytes = malloc((size_t)n * 16);
    assert_non_null(offsets);
    assert_non_null(bytes);
    for (uint32_t i = 0; i < n; i++) {
        char *place = (char *)bytes + offsets[i];
        int length = 1;
        if (i < 256)
            *place = (char)i;
        else
            length = snprintf(place, 16, i < 456 ? " w%u" : "<|s%u|>", i);
        offsets[i + 1] = offsets[i] + (uint32_t)length;
    }
    struct tokenizer_source source = {.n_tokens = n, .offsets = offsets, .bytes = bytes,
                                      .special = description->special,
                                      .n_languages = description->n_languages,
                                      .languages = (const char(*)[4])description->languages,
                                      .hash = hash};
    assert_ok(tokenizer_new(&source, out, &err), &err);
    free(offsets);
    free(bytes);
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
