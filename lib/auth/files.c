#include "auth/auth_int.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum status auth_ready(struct error *err)
{
    if (sodium_init() < 0)
        return error_set(err, STATUS_INTERNAL, "libsodium does not start: no random numbers");
    return STATUS_OK;
}

/* Splits lines->text in place; false: too many fields or a character that is no text. */
static bool split_fields(struct auth_lines *lines)
{
    lines->n_fields = 0;
    bool inside = false;
    for (char *c = lines->text; *c; c++) {
        if (*c == ' ' || *c == '\t') {
            *c = '\0';
            inside = false;
        } else if (*c < ' ' || *c > '~') {
            return false;
        } else if (!inside) {
            if (lines->n_fields == AUTH_FIELDS_MAX)
                return false;
            lines->fields[lines->n_fields++] = c;
            inside = true;
        }
    }
    return true;
}

enum status auth_lines_next(struct auth_lines *lines, bool *more, struct error *err)
{
    *more = false;
    while (lines->at < lines->end) {
        const char *start = lines->at;
        const char *stop = memchr(start, '\n', (size_t)(lines->end - start));
        size_t n = (size_t)((stop ? stop : lines->end) - start);
        lines->at = stop ? stop + 1 : lines->end;
        lines->number++;
        if (n && start[n - 1] == '\r')
            n--;
        if (n && *start == '#')
            continue;
        if (n >= sizeof(lines->text) || memchr(start, '\0', n))
            return error_set(err, STATUS_CORRUPT, "line %u is too long or has a zero byte",
                             lines->number);
        memcpy(lines->text, start, n);
        lines->text[n] = '\0';
        if (!split_fields(lines))
            return error_set(err, STATUS_CORRUPT, "line %u: too many fields, or no plain text",
                             lines->number);
        if (lines->n_fields == 0)
            continue;
        *more = true;
        return STATUS_OK;
    }
    return STATUS_OK;
}

bool auth_hex(const char *text, uint8_t *bytes, size_t n)
{
    size_t got = 0;
    return strlen(text) == 2 * n &&
           sodium_hex2bin(bytes, n, text, 2 * n, NULL, &got, NULL) == 0 && got == n;
}

static enum status read_open_file(FILE *file, const char *path, bool secret, char **text,
                                  size_t *size, struct error *err)
{
    struct stat info;
    if (fstat(fileno(file), &info) != 0 || !S_ISREG(info.st_mode))
        return error_set(err, STATUS_IO, "%s is no plain file", path);
    if (secret && (info.st_mode & (S_IROTH | S_IWOTH)))
        return error_set(err, STATUS_DENIED, "%s holds secrets and everyone may read or write it: "
                         "chmod o-rw", path);
    if (info.st_size > AUTH_FILE_MAX)
        return error_set(err, STATUS_EXHAUSTED, "%s is above %d bytes", path, AUTH_FILE_MAX);
    char *bytes = malloc((size_t)info.st_size + 1);
    if (!bytes)
        return error_set(err, STATUS_NO_MEMORY, "no memory to read %s", path);
    size_t n = fread(bytes, 1, (size_t)info.st_size, file);
    bytes[n] = '\0';
    if (n != (size_t)info.st_size || ferror(file)) {
        auth_file_free(&bytes, n);
        return error_set(err, STATUS_IO, "cannot read %s: it changes or breaks off", path);
    }
    *text = bytes;
    *size = n;
    return STATUS_OK;
}

enum status auth_file_read(const char *path, bool secret, char **text, size_t *size,
                           struct error *err)
{
    *text = NULL;
    *size = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(err, errno == ENOENT ? STATUS_NOT_FOUND
                              : errno == EACCES ? STATUS_DENIED : STATUS_IO,
                         "cannot open %s: %s", path, strerror(errno));
    setvbuf(file, NULL, _IONBF, 0);     /* no second copy of the secrets */
    enum status status = read_open_file(file, path, secret, text, size, err);
    fclose(file);
    return status;
}

void auth_file_free(char **text, size_t size)
{
    if (*text) {
        sodium_memzero(*text, size);
        free(*text);
    }
    *text = NULL;
}
