/* utf8.c: one character at a time, strict: no overlong forms, no surrogates, nothing over U+10FFFF.
 *
 * The second byte's range depends on the first (Unicode 15, table 3-7); the further ones are
 * 80..BF:
 *     C2..DF 80..BF | E0 A0..BF | E1..EC 80..BF | ED 80..9F | EE..EF 80..BF
 *     F0 90..BF | F1..F3 80..BF | F4 80..8F
 */
#include "text/text_int.h"

#include "text/stream.h"

static uint32_t sequence_length(uint8_t lead)
{
    if (lead < 0x80)
        return 1;
    if (lead < 0xC2)
        return 0;
    if (lead < 0xE0)
        return 2;
    if (lead < 0xF0)
        return 3;
    return lead < 0xF5 ? 4 : 0;
}

static bool second_ok(uint8_t lead, uint8_t second)
{
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    return second >= low && second <= high;
}

struct utf8_char utf8_read(const uint8_t *text, size_t n)
{
    static const uint8_t lead_bits[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    SA_ASSERT(n > 0);
    uint32_t length = sequence_length(text[0]);
    if (length == 0)
        return (struct utf8_char){UTF8_INVALID, 1, 0};
    uint32_t code = text[0] & lead_bits[length];
    for (uint32_t i = 1; i < length; i++) {
        if (i == n)
            return (struct utf8_char){UTF8_INCOMPLETE, i, 0};
        bool ok = i == 1 ? second_ok(text[0], text[1]) : (text[i] & 0xC0) == 0x80;
        if (!ok)
            return (struct utf8_char){UTF8_INVALID, i, 0};
        code = code << 6 | (text[i] & 0x3F);
    }
    return (struct utf8_char){UTF8_VALID, length, code};
}

size_t text_incomplete_tail(const uint8_t *bytes, size_t n)
{
    for (size_t tail = 1; tail <= 3 && tail <= n; tail++) {
        if ((bytes[n - tail] & 0xC0) == 0x80)
            continue;
        struct utf8_char c = utf8_read(bytes + n - tail, tail);
        return c.kind == UTF8_INCOMPLETE ? tail : 0;
    }
    return 0;
}
