/* engine.h: all that one model brings along, read-only once it is open: weights in a backend,
 * vocabulary, decoding rules, features. Both programs have one; sessions and drafters borrow it.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "audio/mel.h"
#include "backend/backend.h"
#include "backend/cpu/cpu.h"
#include "base/clock.h"
#include "model/model.h"
#include "rules/rules.h"
#include "text/tokenizer.h"

struct engine {
    struct model *model;                    /* NULL for the toy backend */
    struct model *shape;                    /* NULL: none */
    struct model_description *toy;          /* the toy's (engine/toy.h); else NULL */
    const struct model_description *description;
    struct backend *backend;
    struct rules_masks *masks;
    struct tokenizer *tokenizer;
    struct mel *mel;
    struct clock clock;
    uint64_t fingerprint;                   /* of the model file */
};

/* `path`: a GGUF file. On failure *engine is closed. */
MUST_CHECK enum status engine_open(struct engine *engine, const char *path,
                                   const struct cpu_options *options, struct error *err);

/* For studies (backend/paced/paced.h): takes the time that the table `pace` says, or does the work
 * of the model in file `shape` beside its own; the tokens stay the same. NULL: not. Before any
 * session. On failure the engine is closed. */
MUST_CHECK enum status engine_slow(struct engine *engine, const char *pace, const char *shape,
                                   const struct cpu_options *options, struct error *err);

/* Accepts a half-open engine; the sessions that borrow it must be gone. */
void engine_close(struct engine *engine);

/* Text of the tokens (special tokens skipped) into text[max], terminated, cut at a whole character.
 * Returns its length. */
size_t engine_text(const struct engine *engine, const int32_t *tokens, uint32_t n, char *text,
                   size_t max);

#endif
