/* characters.h: text of unknown origin, one character after the other, made harmless. */
#ifndef OUTPUT_CHARACTERS_H
#define OUTPUT_CHARACTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CHARACTER_BYTES_MAX = 4 };

struct character {
    uint32_t code;                      /* U+FFFD for a byte that is not UTF-8 */
    uint32_t n_bytes;                   /* bytes taken from the text */
    uint32_t width;                     /* columns on a terminal, 0 to 2; never too small */
};

/* The character at `text` (n bytes left, at least 1). Controls (C0, C1, DEL), line separators
 * and the codes that change the writing direction become U+0020: they could drive a terminal,
 * break a cue or show text in another order than it is stored. */
struct character character_next(const char *text, size_t n);

/* The same, but controls stay as they are: for JSON, which escapes them. */
struct character character_next_raw(const char *text, size_t n);

/* Encodes as UTF-8; returns the number of bytes, not terminated. */
size_t character_encode(uint32_t code, char out[CHARACTER_BYTES_MAX]);

/* A malloc'ed copy of valid UTF-8, or NULL when memory is short: bytes that are not UTF-8
 * replaced, and controls too unless `raw`. The caller frees it. */
char *characters_clean(const char *text, bool raw);

#endif
