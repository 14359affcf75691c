#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const texts[STATUS_N] = {
#define X(name, text) [STATUS_##name] = text,
    STATUS_LIST(X)
#undef X
};

const char *status_text(enum status code)
{
    return (unsigned)code < STATUS_N ? texts[code] : "unknown status";
}

/* vsnprintf may stop inside a UTF-8 sequence: drop the incomplete tail. */
static void cut_at_character(char *text, size_t size, int wanted)
{
    if (wanted < 0 || (size_t)wanted < size)
        return;
    size_t n = size - 1;
    size_t start = n;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (start - 1 + length > n)
        text[start - 1] = '\0';
}

enum status error_set(struct error *err, enum status code, const char *fmt, ...)
{
    if (!err)
        return code;
    va_list args;
    va_start(args, fmt);
    err->code = code;
    int wanted = vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    cut_at_character(err->text, sizeof(err->text), wanted);
    return code;
}

enum status error_prefix(struct error *err, const char *fmt, ...)
{
    if (!err)
        return STATUS_INTERNAL;
    char context[ERROR_TEXT_MAX];
    char whole[2 * ERROR_TEXT_MAX + 2];
    va_list args;
    va_start(args, fmt);
    vsnprintf(context, sizeof(context), fmt, args);
    va_end(args);
    snprintf(whole, sizeof(whole), "%s: %s", context, err->text);
    size_t n = strlen(whole);
    size_t kept = MIN(n, sizeof(err->text) - 1);
    memcpy(err->text, whole, kept);
    err->text[kept] = '\0';
    cut_at_character(err->text, sizeof(err->text), (int)n);
    return err->code;
}

void error_clear(struct error *err)
{
    if (err) {
        err->code = STATUS_OK;
        err->text[0] = '\0';
    }
}

void assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
    abort();
}
