/* vocabulary.h: the message of GetVocabulary(hash): a client whose draft model has another
 * vocabulary fetches the target's once and proposes in target ids.
 */
#ifndef WIRE_VOCABULARY_H
#define WIRE_VOCABULARY_H

#include <stdint.h>

#include "base/status.h"

enum {
    WIRE_VOCABULARY_MAX = 4 << 20,      /* bytes of the message */
    WIRE_VOCABULARY_TOKENS_MAX = 1 << 19,   /* = WIRE_TOKEN_MAX */
    WIRE_TOKEN_BYTES_MAX = 1024,        /* of one token */
    WIRE_LANGUAGES_MAX = 128,
    WIRE_SPECIAL_N = 9
};

struct wire_bytes {
    uint8_t *data;                      /* malloc'ed; caller frees with wire_bytes_release */
    size_t size;
};

void wire_bytes_release(struct wire_bytes *bytes);

/* Token i is bytes[offsets[i] .. offsets[i + 1]), possibly empty (Whisper has one). Special ids are
 * in the order of model.h's struct special_tokens; -1: none. */
struct wire_vocabulary {
    uint64_t hash;
    uint32_t n_tokens;
    uint32_t *offsets;                  /* [n_tokens + 1]; owned */
    uint8_t *bytes;                     /* owned */
    int32_t special[WIRE_SPECIAL_N];
    uint32_t n_languages;
    char (*languages)[4];               /* owned */
};

MUST_CHECK enum status wire_vocabulary_request_pack(uint64_t hash, struct wire_bytes *out,
                                                    struct error *err);
MUST_CHECK enum status wire_vocabulary_request_unpack(const uint8_t *data, size_t size,
                                                      uint64_t *hash, struct error *err);
MUST_CHECK enum status wire_vocabulary_pack(const struct wire_vocabulary *vocabulary,
                                            struct wire_bytes *out, struct error *err);
MUST_CHECK enum status wire_vocabulary_unpack(const uint8_t *data, size_t size,
                                              struct wire_vocabulary *out, struct error *err);
void wire_vocabulary_release(struct wire_vocabulary *vocabulary);

#endif
