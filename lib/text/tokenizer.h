/* tokenizer.h: byte-level byte-pair encoding by vocabulary rank.
 *
 *     text bytes --split--> pieces (words, numbers, marks, spaces) --merge--> token ids
 *
 * Split: the pattern of GPT-2 (A. Radford et al. 2019, encoder.py), which Whisper kept:
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * Merge: a piece that is a token is that token; else its bytes are merged pairwise, each time the
 * pair whose joined bytes have the lowest id (the leftmost of equals), as tiktoken does. Never by
 * the merge list of a tokenizer.json: circulating Whisper files lack entries.
 *
 * Any bytes can be encoded: what is not UTF-8 counts as a mark and comes back as the same bytes.
 * Special tokens never come out of encode.
 *
 * A tokenizer is read-only after it is made and may be shared by threads.
 */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/model.h"

enum {
    TOKENIZER_TOKENS_MAX = 1 << 20,     /* tokens of a vocabulary */
    TOKENIZER_TOKEN_BYTES_MAX = 1024,   /* bytes of one token */
    TOKENIZER_TEXT_MAX = 1 << 20,       /* bytes of one encode call */
    TIMESTAMP_STEPS_MAX = 1500          /* <|30.00|>; a step is 20 ms */
};

/* A vocabulary as plain data, from a model file or from a peer. Token i is
 * bytes[offsets[i] .. offsets[i + 1]). Ids below special.end are ordinary tokens, the others
 * special. */
struct tokenizer_source {
    uint32_t n_tokens;
    const uint32_t *offsets;            /* [n_tokens + 1] */
    const uint8_t *bytes;
    struct special_tokens special;
    uint32_t n_languages;               /* at most MODEL_LANGUAGES_MAX */
    const char (*languages)[4];         /* code of token special.language_begin + i */
    uint64_t hash;                      /* vocabulary hash: equal hashes, equal ids */
};

struct tokenizer;

/* Copies what it needs from the source. STATUS_CORRUPT where the vocabulary breaks a promise
 * (offsets that fall, a byte without a token, special ids out of range), STATUS_NO_MEMORY. Caller
 * frees. */
MUST_CHECK enum status tokenizer_new(const struct tokenizer_source *source,
                                     struct tokenizer **out, struct error *err);
MUST_CHECK enum status tokenizer_new_from_model(const struct model *model, struct tokenizer **out,
                                                struct error *err);
void tokenizer_free(struct tokenizer **tokenizer);

/* The vocabulary as plain data, to be sent to a peer; all borrowed for the tokenizer's life. */
void tokenizer_describe(const struct tokenizer *tokenizer, struct tokenizer_source *out);

uint32_t tokenizer_n_tokens(const struct tokenizer *tokenizer);
uint64_t tokenizer_hash(const struct tokenizer *tokenizer);
const struct special_tokens *tokenizer_special(const struct tokenizer *tokenizer);

/* Bytes of the longest ordinary token. */
uint32_t tokenizer_longest(const struct tokenizer *tokenizer);

/* Bytes of a token, not terminated, borrowed; special tokens give "<|name|>". id in range. */
const uint8_t *tokenizer_bytes(const struct tokenizer *tokenizer, int32_t id, size_t *n_bytes);
bool tokenizer_is_special(const struct tokenizer *tokenizer, int32_t id);

/* Lists that the caller provides: `max` entries at `ids`/`bytes`, `n` of them used. Functions
 * append; when `max` would be passed they return STATUS_EXHAUSTED and leave `n` as it was. */
struct token_list {
    int32_t *ids;
    uint32_t n;
    uint32_t max;
};

struct text_buffer {
    uint8_t *bytes;                     /* not terminated */
    size_t n;
    size_t max;
};

/* Appends the ids of the text. A text of n bytes has at most n tokens. STATUS_EXHAUSTED, _NO_MEMORY
 * (a single piece of more than 256 bytes takes memory), STATUS_INVALID over TOKENIZER_TEXT_MAX. */
MUST_CHECK enum status tokenizer_encode(const struct tokenizer *tokenizer, const uint8_t *text,
                                        size_t n_text, struct token_list *out, struct error *err);

/* Appends the bytes of the ids: special tokens skipped, or shown as "<|name|>". May end within a
 * character (see stream.h). STATUS_INVALID for an id out of range, STATUS_EXHAUSTED. */
MUST_CHECK enum status tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids,
                                        uint32_t n, struct text_buffer *out, struct error *err);
MUST_CHECK enum status tokenizer_decode_shown(const struct tokenizer *tokenizer, const int32_t *ids,
                                              uint32_t n, struct text_buffer *out,
                                              struct error *err);

/* Token of a language code ("en"), or -1. Code of a language token, or NULL. */
int32_t tokenizer_language_token(const struct tokenizer *tokenizer, const char *code);
const char *tokenizer_language_code(const struct tokenizer *tokenizer, int32_t id);

/* Timestamp token <-> steps of 20 ms (0 .. TIMESTAMP_STEPS_MAX); -1 where there is none. */
int32_t tokenizer_timestamp_token(const struct tokenizer *tokenizer, int32_t steps);
int32_t tokenizer_timestamp_steps(const struct tokenizer *tokenizer, int32_t id);

/* First byte of the text whose tokens may still change when more text follows: the start of the
 * last piece, or of the last two where they may become a contraction ("'" + "l" + "l"), an
 * incomplete character counting as not there yet. n_text for an empty text. */
size_t tokenizer_unstable_start(const uint8_t *text, size_t n_text);

#endif
