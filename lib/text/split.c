/* split.c: where a text is cut before bytes are merged.
 *
 * The pattern, alternatives in order, by hand:
 *     's|'t|'re|'ve|'m|'ll|'d          contraction
 *      ?\p{L}+                         word,   one space (U+0020) before it allowed
 *      ?\p{N}+                         number, likewise
 *      ?[^\s\p{L}\p{N}]+               marks,  likewise
 *     \s+(?!\S)                        white space, but its last character when something follows
 *     \s+                              white space
 * Bytes that are not UTF-8 count as marks. Letters and numbers are general categories L* and N*
 * (from utf8proc, Unicode 15), white space is the property White_Space.
 */
#include "text/text_int.h"

#include <utf8proc.h>

#include "text/stream.h"

enum char_class { CLASS_SPACE, CLASS_LETTER, CLASS_NUMBER, CLASS_MARK };

static enum char_class class_of_ascii(uint32_t c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return CLASS_LETTER;
    if (c >= '0' && c <= '9')
        return CLASS_NUMBER;
    return c == ' ' || (c >= '\t' && c <= '\r') ? CLASS_SPACE : CLASS_MARK;
}

static bool is_white_space(uint32_t c)
{
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

static enum char_class class_of(const struct utf8_char *c)
{
    if (c->kind != UTF8_VALID)
        return CLASS_MARK;
    if (c->code < 0x80)
        return class_of_ascii(c->code);
    if (is_white_space(c->code))
        return CLASS_SPACE;
    switch (utf8proc_category((utf8proc_int32_t)c->code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return CLASS_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return CLASS_NUMBER;
    default:
        return CLASS_MARK;
    }
}

/* Length of a contraction at text[0], or 0. */
static size_t contraction(const uint8_t *text, size_t n)
{
    if (n < 2 || text[0] != '\'')
        return 0;
    switch (text[1]) {
    case 's':
    case 't':
    case 'm':
    case 'd':
        return 2;
    case 'r':
    case 'v':
        return n > 2 && text[2] == 'e' ? 3 : 0;
    case 'l':
        return n > 2 && text[2] == 'l' ? 3 : 0;
    default:
        return 0;
    }
}

/* End of the run of one class from `start`; *last gets the start of its last character. */
static size_t run_end(const uint8_t *text, size_t n, size_t start, size_t *last)
{
    struct utf8_char c = utf8_read(text + start, n - start);
    enum char_class class = class_of(&c);
    size_t end = start;
    do {
        *last = end;
        end += c.length;
        if (end == n)
            break;
        c = utf8_read(text + end, n - end);
    } while (class_of(&c) == class);
    return end;
}

size_t split_piece(const uint8_t *text, size_t n, size_t start)
{
    SA_ASSERT(start < n);
    size_t short_form = contraction(text + start, n - start);
    if (short_form > 0)
        return start + short_form;

    size_t last = 0;
    struct utf8_char c = utf8_read(text + start, n - start);
    if (class_of(&c) != CLASS_SPACE)
        return run_end(text, n, start, &last);

    if (text[start] == ' ' && start + 1 < n) {
        struct utf8_char next = utf8_read(text + start + 1, n - start - 1);
        if (class_of(&next) != CLASS_SPACE)
            return run_end(text, n, start + 1, &last);
    }
    size_t end = run_end(text, n, start, &last);
    return end == n || last == start ? end : last;
}

size_t tokenizer_unstable_start(const uint8_t *text, size_t n_text)
{
    size_t n = n_text - text_incomplete_tail(text, n_text);
    size_t before = 0, last = 0;
    for (size_t at = 0; at < n; at = split_piece(text, n, at)) {
        before = last;
        last = at;
    }
    bool half_contraction = last == before + 1 && n == last + 1 && text[before] == '\'' &&
                            (text[last] == 'l' || text[last] == 'r' || text[last] == 'v');
    return half_contraction ? before : last;
}
