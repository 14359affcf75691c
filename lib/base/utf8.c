#include "base/utf8.h"

#include <stdint.h>

/* The second byte carries the limits (RFC 3629, section 4); the others are 80..BF. */
static void second_byte_range(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    *high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
}

size_t utf8_sequence(const char *text, size_t n)
{
    const uint8_t *s = (const uint8_t *)text;
    if (n == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xC2 || s[0] > 0xF4)
        return 0;
    size_t length = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    uint8_t low, high;
    second_byte_range(s[0], &low, &high);
    if (length > n || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (s[i] < 0x80 || s[i] > 0xBF)
            return 0;
    return length;
}

bool utf8_valid(const char *text, size_t n)
{
    for (size_t i = 0, length; i < n; i += length) {
        length = utf8_sequence(text + i, n - i);
        if (length == 0)
            return false;
    }
    return true;
}

void utf8_repair(char *text, size_t n)
{
    for (size_t i = 0, length; i < n; i += length) {
        length = utf8_sequence(text + i, n - i);
        if (length == 0) {
            text[i] = '?';
            length = 1;
        }
    }
}
