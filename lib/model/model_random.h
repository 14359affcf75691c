/* model_random.h: randomly initialised models of a true shape, for tests of sizes that are not at
 * hand.
 *
 * Deterministic in (shape, seed) on every machine: a weight is a function of the seed, its tensor's
 * name and its index, in exact arithmetic up to one rounding.
 */
#ifndef MODEL_MODEL_RANDOM_H
#define MODEL_MODEL_RANDOM_H

#include <stdint.h>

#include "base/status.h"
#include "model/model.h"

/* Fills a description with the shape of a published Whisper ("tiny", "tiny.en", "base", ...,
 * "large-v3", "large-v3-turbo", "distil-large-v3", ...) and its special tokens; empty suppress
 * lists. STATUS_NOT_FOUND lists the names. */
MUST_CHECK enum status model_shape_like(const char *like, struct model_description *out,
                                        struct error *err);

/* Writes a random model of that shape (layers, widths, contexts may have been changed by the
 * caller; n_ff, head_size and n_kv_heads must fit).
 *
 * Vocabulary: the 256 bytes in GPT-2's order, then words of two and more letters with and without a
 * space before them; each is a shorter word and a letter, so a byte-pair encoder reaches all of
 * them. Empty suppress lists are filled with Whisper's defaults.
 *
 * Weights: matrices have variance 1/n_in (half the deviation where they end a residual branch),
 * norms are near 1, biases and tables small; token embeddings have deviation 2/sqrt(n_state), so
 * that logits spread by about 2 and near-ties are as rare as in a trained model. */
MUST_CHECK enum status model_write_random(const char *path,
                                          const struct model_description *description,
                                          uint64_t seed, enum tensor_type type, struct error *err);

#endif
