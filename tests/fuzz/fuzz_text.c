/* fuzz_text.c: bytes as text (encode, decode, stream, mapping of a growing draft) and as a
 * vocabulary.
 *
 * First byte even: the rest is text. Odd: the rest is a vocabulary as it would come from a peer:
 * special ids (nine 32-bit integers), then tokens, each a length byte and its bytes, behind the 256
 * bytes or not.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "base/utf8.h"
#include "text/map.h"
#include "text/stream.h"
#include "text/tokenizer.h"

enum { TOKENS_MAX = 4096, TEXT_MAX = 512, BYTES_MAX = 1 << 16 };

struct vocabulary {
    uint32_t offsets[TOKENS_MAX + 1];
    uint8_t bytes[BYTES_MAX];
    struct tokenizer_source source;
};

static const char languages[2][4] = {"en", "de"};

static void add(struct vocabulary *v, const void *bytes, size_t n)
{
    uint32_t id = v->source.n_tokens;
    if (id == TOKENS_MAX || v->offsets[id] + n > BYTES_MAX)
        return;
    memcpy(v->bytes + v->offsets[id], bytes, n);
    v->offsets[id + 1] = v->offsets[id] + (uint32_t)n;
    v->source.n_tokens++;
}

static struct vocabulary *vocabulary_new(void)
{
    struct vocabulary *v = calloc(1, sizeof(*v));
    SA_ASSERT(v);
    v->source.offsets = v->offsets;
    v->source.bytes = v->bytes;
    for (int i = 0; i < 256; i++)
        add(v, &(uint8_t){(uint8_t)i}, 1);
    return v;
}

static struct tokenizer *known(const char *const *words, size_t n, uint64_t hash)
{
    struct vocabulary *v = vocabulary_new();
    for (size_t i = 0; i < n; i++)
        add(v, words[i], strlen(words[i]));
    int32_t end = (int32_t)v->source.n_tokens;
    for (int i = 0; i < 9 + 1 + TIMESTAMP_STEPS_MAX; i++)
        add(v, "<|x|>", 5);
    v->source.special = (struct special_tokens){end,     end + 1, end + 4, end + 5, end + 6,
                                                end + 7, end + 8, end + 9, end + 2};
    v->source.n_languages = 2;
    v->source.languages = languages;
    v->source.hash = hash;
    struct tokenizer *tokenizer = NULL;
    SA_ASSERT(tokenizer_new(&v->source, &tokenizer, NULL) == STATUS_OK);
    free(v);
    return tokenizer;
}

static void check_round_trip(const struct tokenizer *t, const uint8_t *text, size_t n)
{
    int32_t ids[TEXT_MAX];
    uint8_t back[TEXT_MAX], whole[3 * TEXT_MAX + 16];
    struct token_list list = {.ids = ids, .max = TEXT_MAX};
    struct text_buffer buffer = {.bytes = back, .max = TEXT_MAX};
    struct text_buffer out = {.bytes = whole, .max = sizeof(whole)};
    struct text_stream stream = {.n_tail = 0};
    SA_ASSERT(tokenizer_encode(t, text, n, &list, NULL) == STATUS_OK);
    SA_ASSERT(tokenizer_decode(t, ids, list.n, &buffer, NULL) == STATUS_OK);
    SA_ASSERT(buffer.n == n && (n == 0 || memcmp(back, text, n) == 0));
    for (uint32_t i = 0; i < list.n; i++) {
        size_t n_bytes = 0;
        const uint8_t *bytes = tokenizer_bytes(t, ids[i], &n_bytes);
        SA_ASSERT(text_stream_feed(&stream, bytes, n_bytes, &out, NULL) == STATUS_OK);
        SA_ASSERT(utf8_valid((const char *)whole, out.n));
    }
    SA_ASSERT(text_stream_flush(&stream, &out, NULL) == STATUS_OK);
}

/* A draft that is the text, with times where a byte is 0: what it gives while it grows is final. */
static void check_mapping(const struct tokenizer *draft, const struct tokenizer *target,
                          const uint8_t *text, size_t n)
{
    struct map_piece pieces[TEXT_MAX], all[2 * TEXT_MAX], some[2 * TEXT_MAX];
    int32_t decided[8];
    struct text_map *map = NULL;
    size_t n_decided = MIN(n, 3);
    for (size_t i = 0; i < n_decided; i++)
        decided[i] = text[i];
    for (size_t i = n_decided; i < n; i++)
        pieces[i - n_decided] = (struct map_piece){
            text[i] ? text[i] : tokenizer_timestamp_token(draft, (int32_t)i), (float)i};
    struct map_draft whole = {.decided = decided, .n_decided = (uint32_t)n_decided,
                              .pieces = pieces, .n_pieces = (uint32_t)(n - n_decided),
                              .complete = true};
    struct map_draft part = whole;
    struct map_pieces a = {.pieces = all, .max = ARRAY_LEN(all)};
    struct map_pieces b = {.pieces = some, .max = ARRAY_LEN(some)};
    SA_ASSERT(text_map_new(draft, target, TEXT_MAX, &map, NULL) == STATUS_OK);
    SA_ASSERT(text_map_to_target(map, &whole, &a, NULL) == STATUS_OK);
    part.n_pieces /= 2;
    part.complete = false;
    SA_ASSERT(text_map_to_target(map, &part, &b, NULL) == STATUS_OK);
    SA_ASSERT(b.n <= a.n && (b.n == 0 || memcmp(all, some, b.n * sizeof(*some)) == 0));
    text_map_free(&map);
}

static void as_text(const uint8_t *data, size_t n)
{
    static const char *const a[] = {"th", " th", "the", " the", "e", "re", "\xE3\x81", "'s"};
    static const char *const b[] = {"he", " t", "  ", "\xE3", "\xE3\x81\x82", "ll", "'ll"};
    static struct tokenizer *draft, *target;   /* made once: it takes longer than what is tested */
    if (!draft) {
        draft = known(a, ARRAY_LEN(a), 1);
        target = known(b, ARRAY_LEN(b), 2);
    }
    n = MIN(n, TEXT_MAX);
    check_round_trip(draft, data, n);
    check_round_trip(target, data, n);
    check_mapping(draft, target, data, n);
}

static void as_vocabulary(const uint8_t *data, size_t n)
{
    struct vocabulary *v = vocabulary_new();
    struct tokenizer *tokenizer = NULL;
    size_t head = MIN(n, sizeof(v->source.special));
    if (head > 0)
        memcpy(&v->source.special, data, head);
    for (size_t at = head; at < n;) {
        size_t length = MIN((size_t)data[at], n - at - 1);
        add(v, data + at + 1, length);
        at += 1 + length;
    }
    v->source.n_languages = n % 3;
    v->source.languages = languages;
    if (tokenizer_new(&v->source, &tokenizer, NULL) == STATUS_OK)
        check_round_trip(tokenizer, data, MIN(n, TEXT_MAX));
    tokenizer_free(&tokenizer);
    free(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] % 2 == 0)
        as_text(data + 1, size - 1);
    else if (size > 0)
        as_vocabulary(data + 1, size - 1);
    return 0;
}
