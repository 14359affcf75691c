#include "engine/toy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/toy/toy.h"
#include "wire/wire.h"

static const char prefix[] = "toy:";

bool toy_named(const char *name)
{
    return strncmp(name, prefix, sizeof(prefix) - 1) == 0;
}

enum status toy_tokenizer_new(const struct model_description *description, uint64_t hash,
                              struct tokenizer **out, struct error *err)
{
    enum { BYTES = 256, WORDS = 456, LENGTH_MAX = 16 };
    uint32_t n = description->n_vocab;
    uint32_t *offsets = calloc(n + 1, sizeof(*offsets));
    uint8_t *bytes = malloc((size_t)n * LENGTH_MAX);
    enum status rc = STATUS_NO_MEMORY;
    *out = NULL;
    for (uint32_t i = 0; i < n && offsets && bytes; i++) {
        char *place = (char *)bytes + offsets[i];
        int length = 1;
        if (i < BYTES)
            *place = (char)i;
        else
            length = snprintf(place, LENGTH_MAX, i < WORDS ? " w%u" : "<|s%u|>", i);
        offsets[i + 1] = offsets[i] + (uint32_t)length;
    }
    struct tokenizer_source source = {.n_tokens = n, .offsets = offsets, .bytes = bytes,
                                      .special = description->special,
                                      .n_languages = description->n_languages,
                                      .languages = (const char(*)[4])description->languages,
                                      .hash = hash};
    if (offsets && bytes)
        rc = tokenizer_new(&source, out, err);
    else
        error_set(err, rc, "no memory for the toy's vocabulary");
    free(offsets);
    free(bytes);
    return rc;
}

static enum status parse(const char *name, struct toy_options *out, struct error *err)
{
    const char *number = name + sizeof(prefix) - 1;
    char *end = NULL;
    unsigned long long seed = strtoull(number, &end, 10);
    bool valid = number[0] >= '0' && number[0] <= '9';
    double share = 0.0;
    if (valid && *end == ':') {
        number = end + 1;
        share = strtod(number, &end);
        valid = number[0] >= '0' && number[0] <= '9' && share <= 1.0;
    }
    if (!toy_named(name) || !valid || *end)
        return error_set(err, STATUS_INVALID,
                         "%s is no toy: toy:SEED or toy:SEED:SHARE of words to mishear, as toy:1 "
                         "or toy:2:0.1",
                         name);
    *out = (struct toy_options){.seed = seed, .mistakes = (float)share};
    return STATUS_OK;
}

/* What it decides depends on these and on nothing else. */
static uint64_t fingerprint(const struct toy_options *options)
{
    const int32_t parts[] = {(int32_t)(uint32_t)options->seed,
                             (int32_t)(uint32_t)(options->seed >> 32),
                             (int32_t)(options->mistakes * 1e6f)};
    return wire_hash(parts, ARRAY_LEN(parts));
}

enum status toy_open(struct engine *engine, const char *name, struct error *err)
{
    struct toy_options options = {0};
    memset(engine, 0, sizeof(*engine));
    enum status rc = parse(name, &options, err);
    if (rc != STATUS_OK)
        return rc;
    engine->clock = clock_monotonic();
    engine->fingerprint = fingerprint(&options);
    engine->toy = calloc(1, sizeof(*engine->toy));
    if (!engine->toy)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a toy");
    toy_description(engine->toy);
    engine->description = engine->toy;
    rc = toy_backend_new(engine->toy, &options, &engine->backend, err);
    if (rc == STATUS_OK)
        rc = rules_masks_new(engine->toy, &engine->masks, err);
    if (rc == STATUS_OK)
        rc = mel_new(engine->toy->n_mels, &engine->mel, err);
    if (rc == STATUS_OK)
        rc = toy_tokenizer_new(engine->toy, 1, &engine->tokenizer, err);
    if (rc != STATUS_OK)
        engine_close(engine);
    return rc;
}
