#include "output/characters.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { REPLACEMENT = 0xFFFD, VARIATION_EMOJI = 0xFE0F };

static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

struct character character_next_raw(const char *text, size_t n)
{
    utf8proc_int32_t code = 0;
    utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)text,
                                             (utf8proc_ssize_t)(n < 4 ? n : 4), &code);
    if (used <= 0)
        return (struct character){.code = REPLACEMENT, .n_bytes = 1, .width = 1};
    /* The emoji selector makes the character before it wide on some terminals: count one more. */
    int width = code == VARIATION_EMOJI ? 1 : utf8proc_charwidth(code);
    return (struct character){.code = (uint32_t)code,
                              .n_bytes = (uint32_t)used,
                              .width = width > 0 ? (uint32_t)width : 0};
}

struct character character_next(const char *text, size_t n)
{
    struct character c = character_next_raw(text, n);
    if (is_control(c.code)) {
        c.code = ' ';
        c.width = 1;
    }
    return c;
}

size_t character_encode(uint32_t code, char out[CHARACTER_BYTES_MAX])
{
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)code, (utf8proc_uint8_t *)out);
}

char *characters_clean(const char *text, bool raw)
{
    size_t n = strlen(text);
    char *out = malloc(3 * n + 1); /* a bad byte becomes the three bytes of U+FFFD */
    size_t used = 0;
    for (size_t at = 0; out && at < n;) {
        struct character c = raw ? character_next_raw(text + at, n - at)
                                 : character_next(text + at, n - at);
        at += c.n_bytes;
        used += character_encode(c.code, out + used);
    }
    if (out)
        out[used] = '\0';
    return out;
}
