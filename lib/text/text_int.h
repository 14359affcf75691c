/* text_int.h: what the files of lib/text share: characters, pieces, the token table. */
#ifndef TEXT_TEXT_INT_H
#define TEXT_TEXT_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/tokenizer.h"

/* What the next bytes of a text are. */
enum utf8_kind {
    UTF8_VALID,                         /* a character */
    UTF8_INVALID,                       /* can never become one */
    UTF8_INCOMPLETE                     /* the text ends within a well-formed beginning */
};

struct utf8_char {
    enum utf8_kind kind;
    uint32_t length;                    /* bytes taken, at least 1 */
    uint32_t code;                      /* code point of UTF8_VALID */
};

/* Reads at text[0]; n at least 1. */
struct utf8_char utf8_read(const uint8_t *text, size_t n);

/* End of the piece that starts at `start` (below n). */
size_t split_piece(const uint8_t *text, size_t n, size_t start);

struct token_slot {
    uint32_t tag;                       /* high half of the hash of its bytes */
    int32_t id;                         /* -1: free */
};

struct tokenizer {
    uint32_t n_tokens;
    uint32_t *offsets;                  /* [n_tokens + 1] */
    uint8_t *bytes;
    struct special_tokens special;
    uint32_t n_languages;
    char languages[MODEL_LANGUAGES_MAX][4];
    uint64_t hash;
    uint32_t longest;                   /* bytes of the longest ordinary token */
    uint32_t slot_mask;                 /* open addressing, at most half full */
    struct token_slot *slots;
    int32_t byte_tokens[256];
};

/* Lowest id of an ordinary token with these bytes, or -1. */
int32_t token_find(const struct tokenizer *tokenizer, const uint8_t *bytes, size_t n);

#endif
