/* auth_int.h: what tickets and API keys share: text files of keys, names, the library's start. */
#ifndef AUTH_AUTH_INT_H
#define AUTH_AUTH_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum {
    AUTH_FIELDS_MAX = 6,
    AUTH_LINE_MAX = 512,
    AUTH_FILE_MAX = 1 << 20
};

/* Starts libsodium, once; any thread. STATUS_INTERNAL. */
MUST_CHECK enum status auth_ready(struct error *err);

/* Lines of fields between blanks; empty lines and those that begin with # are skipped. */
struct auth_lines {
    const char *at, *end;
    unsigned number;                    /* of the line that was read last, from 1 */
    char text[AUTH_LINE_MAX];
    size_t n_fields;
    const char *fields[AUTH_FIELDS_MAX];        /* into text */
};

/* The next line with fields. *more is false at the end. STATUS_CORRUPT names the line, never its
 * contents: they may be secret. */
MUST_CHECK enum status auth_lines_next(struct auth_lines *lines, bool *more, struct error *err);

/* lower or upper case hex of exactly n bytes. */
bool auth_hex(const char *text, uint8_t *bytes, size_t n);

/* A whole file; *text is malloc'ed, freed with auth_file_free, which wipes it. A file that everyone
 * may read or write is refused when `secret`. STATUS_NOT_FOUND, _DENIED, _IO, _EXHAUSTED (above
 * AUTH_FILE_MAX), _NO_MEMORY. */
MUST_CHECK enum status auth_file_read(const char *path, bool secret, char **text, size_t *size,
                                      struct error *err);
void auth_file_free(char **text, size_t size);

#endif
