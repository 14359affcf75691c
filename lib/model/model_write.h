/* model_write.h: a model file from a description, a vocabulary and a source of float32 weights.
 *
 * One writer for all: importers, random models and tests differ only in `fill`. The file is written
 * under a temporary name and renamed when it is whole and on disk.
 */
#ifndef MODEL_MODEL_WRITE_H
#define MODEL_MODEL_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "model/model.h"

/* Written to each file (specasr.converter_version); raised when the same input gives another file.
 */
enum { MODEL_CONVERTER_VERSION = 1 };

/* One tensor as it must be there, shape slowest first. */
struct tensor_spec {
    char name[64];
    uint32_t n_dims;
    uint64_t shape[4];
    bool matrix; /* stored in the chosen type; others stay f32 */
    bool four_bits; /* may be q4_0: the decoder's, where they are multiplied with its rows */
};

/* Bytes of one token; special tokens in their "<|name|>" form. Borrowed. */
struct token_text {
    const uint8_t *bytes;
    size_t n_bytes;
};

struct model_source {
    struct model_description description;
    const struct token_text *tokens; /* n_vocab entries */
    uint32_t n_alignment_heads;
    const uint32_t *alignment_heads; /* pairs (decoder layer, head): n_alignment_heads * 2 */
    /* Writes elements [first, first + n) of a tensor, row-major. Called in file order. */
    enum status (*fill)(void *context, uint32_t index, const struct tensor_spec *tensor,
                        uint64_t first, float *dst, size_t n, struct error *err);
    void *context;
    /* Bytes done and in all, after each piece; NULL: not wanted. */
    void (*progress)(void *context, uint64_t done, uint64_t total);
    void *progress_context;
};

/* The tensors that a description asks for, in file order; the index is the one that fill gets.
 * Caller frees with free(). NULL when out of memory. */
struct tensor_spec *model_tensor_specs(const struct model_description *description,
                                       uint32_t *n_specs);

/* Checks the description (as model_open does) and writes the file. Matrices become `type`, but one
 * whose rows do not divide by 32 (the convolutions) stays f16 under TENSOR_Q8_0 and _Q4_0; under
 * _Q4_0 the encoder's, and those that make keys and values of its states, become q8_0. Overwrites
 * path. STATUS_INVALID for a description that contradicts itself, STATUS_IO, or what fill returned.
 */
MUST_CHECK enum status model_write(const char *path, const struct model_source *source,
                                   enum tensor_type type, struct error *err);

#endif
