/* map.c: spans of text between special tokens, decoded with one vocabulary and encoded with the
 * other.
 *
 * What of a growing draft is final: the pieces of the split before the last one do not change when
 * text is appended (tokenizer_unstable_start). That is asked of both texts that may be encoded,
 * decided + draft and draft alone, and the smaller answer counts; it then lies behind the seam, so
 * the choice between the two is final too.
 */
#include "text/map.h"

#include <stdlib.h>
#include <string.h>

#include "text/text_int.h"

struct text_map {
    const struct tokenizer *draft;
    const struct tokenizer *target;
    uint32_t tokens_max;
    struct text_buffer text;            /* one span: open decided text, then draft text */
    struct token_list ids;              /* its tokens */
    size_t *ends;                       /* [tokens_max] end in `text` of each draft piece */
};

/* One span of a draft: pieces [first, first + n), of which map->ends has the ends in map->text. */
struct span {
    const int32_t *open;                /* decided ids that the span continues */
    uint32_t n_open;
    size_t open_bytes;
    const struct map_piece *pieces;
    uint32_t n_pieces;
    bool closed;                        /* no more text follows in this span */
};

bool text_map_is_identity(const struct text_map *map)
{
    return map->draft->hash == map->target->hash;
}

static enum status reserve(struct text_map *map, size_t text_max, struct error *err)
{
    map->text.bytes = malloc(text_max);
    map->text.max = text_max;
    map->ids.ids = malloc(text_max * sizeof(*map->ids.ids));
    map->ids.max = (uint32_t)text_max;
    map->ends = malloc(map->tokens_max * sizeof(*map->ends));
    if (!map->text.bytes || !map->ids.ids || !map->ends)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for a vocabulary mapping");
    return STATUS_OK;
}

enum status text_map_new(const struct tokenizer *draft, const struct tokenizer *target,
                         uint32_t tokens_max, struct text_map **out, struct error *err)
{
    *out = NULL;
    size_t text_max = (size_t)tokens_max * MAX(draft->longest, target->longest);
    if (tokens_max == 0 || text_max > TOKENIZER_TEXT_MAX)
        return error_set(err, STATUS_INVALID, "vocabulary mapping: %u tokens of %u bytes: too many",
                         tokens_max, MAX(draft->longest, target->longest));
    struct text_map *map = calloc(1, sizeof(*map));
    if (!map)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for a vocabulary mapping");
    map->draft = draft;
    map->target = target;
    map->tokens_max = tokens_max;
    enum status status = reserve(map, text_max, err);
    if (status != STATUS_OK)
        text_map_free(&map);
    *out = map;
    return status;
}

void text_map_free(struct text_map **map)
{
    struct text_map *m = *map;
    if (m) {
        free(m->text.bytes);
        free(m->ids.ids);
        free(m->ends);
        free(m);
    }
    *map = NULL;
}

/* The special token of the same meaning in another vocabulary, or -1. */
static int32_t map_special(const struct tokenizer *from, const struct tokenizer *to, int32_t id)
{
    const struct special_tokens *a = &from->special, *b = &to->special;
    const int32_t roles[][2] = {{a->end, b->end},
                                {a->start, b->start},
                                {a->translate, b->translate},
                                {a->transcribe, b->transcribe},
                                {a->previous, b->previous},
                                {a->no_speech, b->no_speech},
                                {a->no_timestamps, b->no_timestamps}};
    int32_t steps = tokenizer_timestamp_steps(from, id);
    if (steps >= 0)
        return tokenizer_timestamp_token(to, steps);
    const char *code = tokenizer_language_code(from, id);
    if (code)
        return tokenizer_language_token(to, code);
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        if (roles[i][0] == id)
            return roles[i][1];
    }
    return -1;
}

static enum status too_many(uint32_t max, struct error *err)
{
    return error_set(err, STATUS_EXHAUSTED, "vocabulary mapping: more than %u tokens", max);
}

static enum status put(struct map_pieces *out, int32_t token, float confidence, struct error *err)
{
    if (out->n == out->max)
        return too_many(out->max, err);
    out->pieces[out->n++] = (struct map_piece){token, confidence};
    return STATUS_OK;
}

static enum status check_ids(const struct tokenizer *t, const int32_t *ids, uint32_t n,
                             struct error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= t->n_tokens)
            return error_set(err, STATUS_INVALID, "vocabulary mapping: token %d is outside 0..%u",
                             ids[i], t->n_tokens - 1);
    }
    return STATUS_OK;
}

static enum status check_draft(const struct text_map *map, const struct map_draft *draft,
                               struct error *err)
{
    if ((uint64_t)draft->n_decided + draft->n_pieces > map->tokens_max)
        return error_set(err, STATUS_INVALID, "vocabulary mapping: %u + %u tokens, at most %u",
                         draft->n_decided, draft->n_pieces, map->tokens_max);
    enum status status = check_ids(map->target, draft->decided, draft->n_decided, err);
    for (uint32_t i = 0; i < draft->n_pieces && status == STATUS_OK; i++)
        status = check_ids(map->draft, &draft->pieces[i].token, 1, err);
    return status;
}

/* Puts the open decided text and the draft text of the span into map->text. */
static enum status gather_span(struct text_map *map, struct span *span, struct error *err)
{
    map->text.n = 0;
    enum status status =
        tokenizer_decode(map->target, span->open, span->n_open, &map->text, err);
    span->open_bytes = map->text.n;
    for (uint32_t i = 0; i < span->n_pieces && status == STATUS_OK; i++) {
        status = tokenizer_decode(map->draft, &span->pieces[i].token, 1, &map->text, err);
        map->ends[i] = map->text.n;
    }
    return status;
}

/* Encodes the span's text. *first gets the index in map->ids of the first token after the decided
 * ones, which starts at open_bytes. */
static enum status encode_span(struct text_map *map, const struct span *span, uint32_t *first,
                               struct error *err)
{
    const struct text_buffer *text = &map->text;
    *first = 0;
    if (span->open_bytes > 0) {
        map->ids.n = 0;
        enum status status = tokenizer_encode(map->target, text->bytes, text->n, &map->ids, err);
        if (status != STATUS_OK)
            return status;
        bool keeps = map->ids.n >= span->n_open &&
                     memcmp(map->ids.ids, span->open, span->n_open * sizeof(int32_t)) == 0;
        if (keeps) {
            *first = span->n_open;
            return STATUS_OK;
        }
    }
    map->ids.n = 0;
    return tokenizer_encode(map->target, text->bytes + span->open_bytes, text->n - span->open_bytes,
                            &map->ids, err);
}

/* Where the text that cannot change any more ends. */
static size_t stable_end(const struct text_map *map, const struct span *span)
{
    const uint8_t *text = map->text.bytes;
    size_t n = map->text.n, open = span->open_bytes;
    if (span->closed)
        return n;
    size_t whole = tokenizer_unstable_start(text, n);
    size_t alone = open + tokenizer_unstable_start(text + open, n - open);
    return MIN(whole, alone);
}

/* Least confidence of the pieces that have a byte in [from, to); *at is the first piece that ends
 * behind `from`, and moves on. */
static float least_confidence(const struct text_map *map, const struct span *span, size_t from,
                              size_t to, uint32_t *at)
{
    float least = 1.0f;
    while (*at < span->n_pieces && map->ends[*at] <= from)
        (*at)++;
    for (uint32_t i = *at; i < span->n_pieces; i++) {
        size_t start = i > 0 ? map->ends[i - 1] : span->open_bytes;
        if (start >= to)
            break;
        if (map->ends[i] > start)
            least = MIN(least, span->pieces[i].confidence);
    }
    return least;
}

static enum status map_span(struct text_map *map, struct span *span, struct map_pieces *out,
                            struct error *err)
{
    uint32_t first = 0, piece = 0;
    enum status status = gather_span(map, span, err);
    if (status != STATUS_OK)
        return status;
    size_t end = stable_end(map, span), at = span->open_bytes;
    if (end <= at)
        return STATUS_OK;
    status = encode_span(map, span, &first, err);
    for (uint32_t i = first; i < map->ids.n && status == STATUS_OK; i++) {
        size_t n = 0;
        tokenizer_bytes(map->target, map->ids.ids[i], &n);
        if (at + n > end)
            break;
        float confidence = least_confidence(map, span, at, at + n, &piece);
        status = put(out, map->ids.ids[i], confidence, err);
        at += n;
    }
    return status;
}

static enum status copy_draft(const struct map_draft *draft, struct map_pieces *out,
                              struct error *err)
{
    if (draft->n_pieces > out->max - out->n)
        return too_many(out->max, err);
    if (draft->n_pieces > 0)
        memcpy(out->pieces + out->n, draft->pieces, draft->n_pieces * sizeof(*out->pieces));
    out->n += draft->n_pieces;
    return STATUS_OK;
}

static uint32_t ordinary_run(const struct tokenizer *t, const struct map_piece *pieces, uint32_t n)
{
    uint32_t i = 0;
    while (i < n && !tokenizer_is_special(t, pieces[i].token))
        i++;
    return i;
}

/* Maps span after span, and the special tokens between them. */
static enum status map_pieces(struct text_map *map, const struct map_draft *draft,
                              struct map_pieces *out, struct error *err)
{
    uint32_t open = draft->n_decided;
    while (open > 0 && !tokenizer_is_special(map->target, draft->decided[open - 1]))
        open--;
    struct span span = {.open = draft->decided + open, .n_open = draft->n_decided - open};
    for (uint32_t i = 0; i <= draft->n_pieces; i++) {
        span.pieces = draft->pieces + i;
        span.n_pieces = ordinary_run(map->draft, span.pieces, draft->n_pieces - i);
        i += span.n_pieces;
        span.closed = i < draft->n_pieces || draft->complete;
        enum status status = map_span(map, &span, out, err);
        if (status != STATUS_OK || i == draft->n_pieces)
            return status;
        const struct map_piece *special = &draft->pieces[i];
        int32_t token = map_special(map->draft, map->target, special->token);
        if (token < 0)
            return STATUS_OK;
        status = put(out, token, special->confidence, err);
        if (status != STATUS_OK || token == map->target->special.end)
            return status;
        span.n_open = 0;
    }
    return STATUS_OK;
}

enum status text_map_to_target(struct text_map *map, const struct map_draft *draft,
                               struct map_pieces *out, struct error *err)
{
    uint32_t n_before = out->n;
    enum status status = check_draft(map, draft, err);
    if (status != STATUS_OK)
        return status;
    if (text_map_is_identity(map))
        return copy_draft(draft, out, err);
    status = map_pieces(map, draft, out, err);
    if (status != STATUS_OK)
        out->n = n_before;
    return status;
}

/* Re-encodes ids [0, n), text span by text span. */
static enum status reencode(struct text_map *map, const int32_t *ids, uint32_t n,
                            struct token_list *out, struct error *err)
{
    for (uint32_t i = 0; i < n;) {
        uint32_t first = i;
        while (i < n && !tokenizer_is_special(map->target, ids[i]))
            i++;
        map->text.n = 0;
        enum status status = tokenizer_decode(map->target, ids + first, i - first, &map->text, err);
        if (status == STATUS_OK)
            status = tokenizer_encode(map->draft, map->text.bytes, map->text.n, out, err);
        if (status != STATUS_OK || i == n)
            return status;
        int32_t special = map_special(map->target, map->draft, ids[i++]);
        if (special < 0)
            continue;
        if (out->n == out->max)
            return too_many(out->max, err);
        out->ids[out->n++] = special;
    }
    return STATUS_OK;
}

enum status text_map_to_draft(struct text_map *map, const int32_t *decided, uint32_t n_decided,
                              struct token_list *out, struct error *err)
{
    uint32_t n_before = out->n;
    if (n_decided > map->tokens_max)
        return error_set(err, STATUS_INVALID, "vocabulary mapping: %u tokens, at most %u",
                         n_decided, map->tokens_max);
    enum status status = check_ids(map->target, decided, n_decided, err);
    if (status != STATUS_OK)
        return status;
    if (text_map_is_identity(map)) {
        if (n_decided > out->max - out->n)
            return too_many(out->max, err);
        if (n_decided > 0)
            memcpy(out->ids + out->n, decided, n_decided * sizeof(*decided));
        out->n += n_decided;
        return STATUS_OK;
    }
    status = reencode(map, decided, n_decided, out, err);
    if (status != STATUS_OK)
        out->n = n_before;
    return status;
}
