/* vocabulary.h: GetVocabulary: the target's tokens, so that clients can draft in them. */
#ifndef TARGET_NODE_VOCABULARY_H
#define TARGET_NODE_VOCABULARY_H

#include "rpc/rpc.h"
#include "text/tokenizer.h"
#include "wire/wire.h"

struct vocabulary {
    struct wire_bytes packed;               /* the answer */
    uint64_t hash;
};

MUST_CHECK enum status vocabulary_pack(const struct tokenizer *tokenizer, struct vocabulary *out,
                                       struct error *err);
void vocabulary_release(struct vocabulary *vocabulary);

/* Its user is a struct vocabulary. */
extern const struct rpc_handler vocabulary_handler;

#endif
