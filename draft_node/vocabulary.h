/* vocabulary.h: the target's vocabulary on the client: from the draft model itself when it is the
 * same, from the cache when it was fetched before, else fetched once and kept under its hash. */
#ifndef DRAFT_NODE_VOCABULARY_H
#define DRAFT_NODE_VOCABULARY_H

#include "base/status.h"
#include "text/tokenizer.h"
#include "wire/vocabulary.h"

/* Looks in the cache folder. *out stays NULL when it is not there (or not whole). Caller frees. */
void vocabulary_from_cache(uint64_t hash, struct tokenizer **out);

/* Builds a tokenizer from a fetched message, which must have the hash asked for, and keeps the
 * message in the cache (failing to keep it is not an error). */
MUST_CHECK enum status vocabulary_from_message(const struct wire_bytes *message, uint64_t hash,
                                               struct tokenizer **out, struct error *err);

#endif
