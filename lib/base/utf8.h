/* utf8.h: is it UTF-8, and what to do when it is not. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the well-formed sequence at text (RFC 3629: no overlong forms, no surrogates, nothing
 * above U+10FFFF), 1 to 4; 0 when there is none within n bytes. */
size_t utf8_sequence(const char *text, size_t n);

bool utf8_valid(const char *text, size_t n);

/* Overwrites each byte that is no part of a well-formed sequence with '?'. */
void utf8_repair(char *text, size_t n);

#endif
