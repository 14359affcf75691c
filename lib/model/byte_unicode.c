#include "model/byte_unicode.h"

static bool stands_for_itself(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) ||
           (byte >= 0xAE && byte <= 0xFF);
}

static unsigned character_of(unsigned byte)
{
    if (stands_for_itself(byte))
        return byte;
    if (byte <= 0x20)
        return 0x100 + byte; /* 33 control characters and the space */
    if (byte <= 0xA0)
        return 0x121 + byte - 0x7F; /* 0x7F to 0xA0 */
    return 0x143;                   /* 0xAD */
}

static int byte_of(unsigned character)
{
    if (character < 0x100)
        return stands_for_itself(character) ? (int)character : -1;
    if (character <= 0x120)
        return (int)(character - 0x100);
    if (character <= 0x142)
        return (int)(character - 0x121 + 0x7F);
    return character == 0x143 ? 0xAD : -1;
}

/* All characters of the map have one or two bytes in UTF-8. */
bool byte_unicode_decode(const char *text, size_t n, uint8_t *dst, size_t *n_dst)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned character = p[i];
        if (character >= 0x80) {
            if (character < 0xC2 || character > 0xC5 || i + 1 >= n || (p[i + 1] & 0xC0) != 0x80)
                return false;
            character = (character & 0x1F) << 6 | (p[++i] & 0x3F);
        }
        int byte = byte_of(character);
        if (byte < 0)
            return false;
        dst[out++] = (uint8_t)byte;
    }
    *n_dst = out;
    return true;
}

size_t byte_unicode_encode(const uint8_t *bytes, size_t n, char *dst)
{
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned character = character_of(bytes[i]);
        if (character < 0x80) {
            dst[out++] = (char)character;
        } else {
            dst[out++] = (char)(0xC0 | character >> 6);
            dst[out++] = (char)(0x80 | (character & 0x3F));
        }
    }
    return out;
}
