/* toy.h: an engine without a model: what a model decides, in microseconds and without files, so
 * that load tests find the limits of everything around it (backend/toy/toy.h).
 *
 * It has a name where others have a file: "toy:SEED" hears what it should, "toy:SEED:SHARE"
 * mishears that share of the words. All hear the same words in the same audio: a draft "toy:2:0.1"
 * agrees with a target "toy:1" for most of them.
 */
#ifndef ENGINE_TOY_H
#define ENGINE_TOY_H

#include <stdbool.h>

#include "engine/engine.h"

/* Is this the name of a toy? */
bool toy_named(const char *name);

/* As engine_open; STATUS_INVALID when the name is not as above. Closed with engine_close. */
MUST_CHECK enum status toy_open(struct engine *engine, const char *name, struct error *err);

/* Its vocabulary, freed by the caller: 256 bytes, 200 words that encode does not find (their bytes
 * come back), special tokens. A toy's own has the hash 1; others map text by its bytes. */
MUST_CHECK enum status toy_tokenizer_new(const struct model_description *description, uint64_t hash,
                                         struct tokenizer **out, struct error *err);

#endif
