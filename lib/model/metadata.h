/* metadata.h: the metadata keys of a model file, written and read in one place (see docs/MODEL.md).
 *
 * Private to lib/model.
 */
#ifndef MODEL_METADATA_H
#define MODEL_METADATA_H

#include <stdint.h>

#include "base/status.h"
#include "model/gguf.h"
#include "model/gguf_write.h"
#include "model/model_write.h"

/* Tensor bytes are hashed in pieces of this size, so that any part can be checked when it is read
 * and a stray byte is found without reading the rest. 272 KiB is a whole number of q8_0 blocks (34
 * bytes), of floats and of pages, but not of q4_0 blocks: one may lie in two pieces. A tensor's
 * last piece may be shorter. */
enum { HASH_PIECE = 34 * 8192, HASH_PIECE_ELEMENTS_MAX = 32 * 8192 };

#define KEY_HASH_HEADER "specasr.hash.header"   /* u64: XXH3 of the header, these 8 bytes zero */
#define KEY_HASH_PIECE "specasr.hash.piece"     /* u32: bytes */
#define KEY_HASH_TENSORS "specasr.hash.tensors" /* u64 array: XXH3 of every piece, in file order */
#define KEY_CONVERTER "specasr.converter_version"

static inline uint64_t hash_pieces(uint64_t n_bytes)
{
    return (n_bytes + HASH_PIECE - 1) / HASH_PIECE;
}

/* Everything about the model; the hash keys are the caller's. type is the matrices' type. */
void metadata_put(struct gguf_builder *builder, const struct model_source *source,
                  enum tensor_type type);

/* Reads and checks a description. STATUS_UNSUPPORTED for another architecture, STATUS_CORRUPT for
 * missing keys and contradictions. */
MUST_CHECK enum status metadata_read(const struct gguf *gguf, struct model_description *out,
                                     struct error *err);

#endif
