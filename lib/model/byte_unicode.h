/* byte_unicode.h: GPT-2's way to write any byte as a printable character.
 *
 * Printable Latin-1 bytes (! to ~, 0xA1 to 0xAC, 0xAE to 0xFF) stand for themselves; the other 68,
 * in ascending order, are U+0100 to U+0143. Source: openai/gpt-2 encoder.py, bytes_to_unicode.
 */
#ifndef MODEL_BYTE_UNICODE_H
#define MODEL_BYTE_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes UTF-8 text to at most n bytes in dst (dst may be text itself). false when a character
 * stands for no byte. */
bool byte_unicode_decode(const char *text, size_t n, uint8_t *dst, size_t *n_dst);

/* Encodes n bytes; dst has room for 2 n. Returns the length. */
size_t byte_unicode_encode(const uint8_t *bytes, size_t n, char *dst);

#endif
