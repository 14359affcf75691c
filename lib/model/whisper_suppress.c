/* The default list of tokens that are never sampled, for sources that bring none.
 *
 * Source: openai/whisper, Tokenizer.non_speech_tokens and DecodingTask._get_suppress_tokens:
 * symbols that annotate speech ("[", "((", "♪") with and without a space before them, where one
 * token says them; of the music symbols the first token in any case; and the special tokens that
 * are no text.
 */
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "model/whisper.h"

static const char *const symbols[] = {
    "\"",  "#",  "(",  ")",   "*",   "+",   "/",   ":",  ";",   "<",  "=",   ">",
    "@",   "[",  "\\", "]",   "^",   "_",   "`",   "{",  "|",   "}",  "~",   "「",
    "」",  "『", "』", "<<",  ">>",  "<<<", ">>>", "--", "---", "-(", "-[",  "('",
    "(\"", "((", "))", "(((", ")))", "[[",  "]]",  "{{", "}}",  "♪♪", "♪♪♪",
};

static const char *const music[] = {"♩", "♪", "♫", "♬", "♭", "♮", "♯"};

enum { SYMBOL_MAX = 16 };

/* Ordinary tokens by bytes: open addressing, -1 where empty. */
struct lookup {
    const struct token_text *tokens;
    int32_t *slots;
    uint32_t mask;
};

static bool lookup_init(struct lookup *l, const struct token_text *tokens, int32_t n)
{
    uint32_t size = 16;
    while (size < 2 * (uint32_t)n)
        size *= 2;
    l->tokens = tokens;
    l->mask = size - 1;
    l->slots = malloc(size * sizeof(*l->slots));
    if (!l->slots)
        return false;
    memset(l->slots, 0xFF, size * sizeof(*l->slots));
    for (int32_t id = 0; id < n; id++) {
        uint32_t at = (uint32_t)XXH3_64bits(tokens[id].bytes, tokens[id].n_bytes) & l->mask;
        while (l->slots[at] >= 0)
            at = (at + 1) & l->mask;
        l->slots[at] = id;
    }
    return true;
}

/* The lowest id with these bytes, or -1. */
static int32_t find(const struct lookup *l, const void *bytes, size_t n)
{
    uint32_t at = (uint32_t)XXH3_64bits(bytes, n) & l->mask;
    for (; l->slots[at] >= 0; at = (at + 1) & l->mask) {
        const struct token_text *t = &l->tokens[l->slots[at]];
        if (t->n_bytes == n && memcmp(t->bytes, bytes, n) == 0)
            return l->slots[at];
    }
    return -1;
}

/* First token of the byte-level encoding of a few bytes: merge the pair of lowest id until none is
 * left. */
static int32_t first_token(const struct lookup *l, const uint8_t *bytes, size_t n)
{
    size_t ends[SYMBOL_MAX + 1]; /* piece i is bytes [ends[i], ends[i + 1]) */
    size_t n_pieces = n;
    SA_ASSERT(n <= SYMBOL_MAX);
    for (size_t i = 0; i <= n; i++)
        ends[i] = i;
    for (;;) {
        int32_t best = INT32_MAX;
        size_t best_at = 0;
        for (size_t i = 0; i + 2 <= n_pieces; i++) {
            int32_t id = find(l, bytes + ends[i], ends[i + 2] - ends[i]);
            if (id >= 0 && id < best) {
                best = id;
                best_at = i;
            }
        }
        if (best == INT32_MAX)
            return find(l, bytes, ends[1]);
        memmove(&ends[best_at + 1], &ends[best_at + 2], (n_pieces - best_at - 1) * sizeof(*ends));
        n_pieces--;
    }
}

static void add(struct model_description *d, int32_t id)
{
    if (id >= 0 && d->n_suppress < MODEL_SUPPRESS_MAX)
        d->suppress[d->n_suppress++] = id;
}

/* The symbol as it is and with a space before it. */
static void add_symbol(struct model_description *d, const struct lookup *l, const char *symbol,
                       bool in_any_case)
{
    uint8_t text[SYMBOL_MAX] = {' '};
    size_t n = strlen(symbol);
    memcpy(text + 1, symbol, n);
    for (int space = 0; space < 2; space++) {
        const uint8_t *from = text + 1 - space;
        size_t length = n + (size_t)space;
        add(d, in_any_case ? first_token(l, from, length) : find(l, from, length));
    }
}

static int id_compare(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static void sort_unique(struct model_description *d)
{
    uint32_t n = 0;
    qsort(d->suppress, d->n_suppress, sizeof(*d->suppress), id_compare);
    for (uint32_t i = 0; i < d->n_suppress; i++)
        if (n == 0 || d->suppress[i] != d->suppress[n - 1])
            d->suppress[n++] = d->suppress[i];
    d->n_suppress = n;
}

void whisper_default_suppress(struct model_description *d, const struct token_text *tokens)
{
    struct lookup l = {0};
    const struct special_tokens *s = &d->special;
    d->n_suppress = d->n_suppress_first = 0;
    if (!lookup_init(&l, tokens, s->end))
        return;
    add(d, find(&l, " -", 2));
    add(d, find(&l, " '", 2));
    for (size_t i = 0; i < ARRAY_LEN(symbols); i++)
        add_symbol(d, &l, symbols[i], false);
    for (size_t i = 0; i < ARRAY_LEN(music); i++)
        add_symbol(d, &l, music[i], true);
    const int32_t special[] = {s->start,          s->translate, s->transcribe,
                               s->transcribe + 1, s->previous,  s->no_speech};
    for (size_t i = 0; i < ARRAY_LEN(special); i++)
        add(d, special[i]);
    sort_unique(d);
    int32_t blank = find(&l, " ", 1);
    if (blank >= 0)
        d->suppress_first[d->n_suppress_first++] = blank;
    d->suppress_first[d->n_suppress_first++] = s->end;
    free(l.slots);
}
