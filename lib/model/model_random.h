/* model_random.h: randomly initialised models of a true shape, for tests of sizes that are not at hand.
 *
 * Deterministic in (shape, seed): weights are keyed by tensor name and element, not by order.
 */
#ifndef MODEL_MODEL_RANDOM_H
#define MODEL_MODEL_RANDOM_H

#include <stdint.h>

#include "base/status.h"
#include "model/model.h"

/* Fills a description with the shape of a published Whisper ("tiny", "tiny.en", "base", ..., "large-v3",
 * "large-v3-turbo", "distil-large-v3", ...), no suppressed tokens. STATUS_NOT_FOUND lists the names. */
MUST_CHECK enum status model_shape_like(const char *like, struct model_description *out,
                                        struct error *err);

/* Writes a random model of that shape (layers, widths, contexts may have been changed by the caller).
 * Vocabulary: the 256 bytes, then invented words; special tokens at their true ids. Scales: matrices
 * N(0, 1/n_in), norm weights near 1, biases and tables small, so that logits spread like real ones. */
MUST_CHECK enum status model_write_random(const char *path,
                                          const struct model_description *description,
                                          uint64_t seed, enum tensor_type type, struct error *err);

#endif
