/* encode.c: merging the bytes of a piece by rank.
 *
 * Parts are kept by the byte at which they start; neighbours are found through `end` and
 * `previous`. A heap holds every adjacent pair whose joined bytes are a token, lowest id first,
 * then leftmost: that is the order in which a scan for the minimum would take them. Entries of
 * parts that have changed since are recognised (their right neighbour ends elsewhere) and dropped.
 * A piece of n bytes makes fewer than 3 n entries: n - 1 at first, and at most two for each of n -
 * 1 merges.
 */
#include <stdlib.h>

#include "text/text_int.h"

enum { PIECE_ON_STACK = 256 };

struct part {
    uint32_t end;                       /* 0: merged into the part before it */
    uint32_t previous;                  /* start of the part before, own start if none */
};

struct pair {
    int32_t id;                         /* of the joined bytes */
    uint32_t start;
    uint32_t end;
};

struct merge {
    const struct tokenizer *tokenizer;
    const uint8_t *bytes;
    uint32_t n;
    struct part *parts;                 /* [n] */
    struct pair *heap;                  /* [3 n] */
    uint32_t n_heap;
};

static bool pair_before(const struct pair *a, const struct pair *b)
{
    return a->id != b->id ? a->id < b->id : a->start < b->start;
}

static void heap_push(struct merge *m, struct pair pair)
{
    SA_ASSERT(m->n_heap < 3 * m->n);
    uint32_t at = m->n_heap++;
    while (at > 0 && pair_before(&pair, &m->heap[(at - 1) / 2])) {
        m->heap[at] = m->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    m->heap[at] = pair;
}

static struct pair heap_pop(struct merge *m)
{
    struct pair top = m->heap[0];
    struct pair last = m->heap[--m->n_heap];
    uint32_t at = 0;
    for (uint32_t child = 1; child < m->n_heap; child = 2 * at + 1) {
        if (child + 1 < m->n_heap && pair_before(&m->heap[child + 1], &m->heap[child]))
            child++;
        if (!pair_before(&m->heap[child], &last))
            break;
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = last;
    return top;
}

/* Offers the part at `start` joined with its right neighbour. */
static void offer(struct merge *m, uint32_t start)
{
    uint32_t middle = m->parts[start].end;
    if (middle == m->n)
        return;
    uint32_t end = m->parts[middle].end;
    int32_t id = token_find(m->tokenizer, m->bytes + start, end - start);
    if (id >= 0)
        heap_push(m, (struct pair){id, start, end});
}

static void merge_all(struct merge *m)
{
    for (uint32_t i = 0; i < m->n; i++)
        m->parts[i] = (struct part){.end = i + 1, .previous = i > 0 ? i - 1 : 0};
    for (uint32_t i = 0; i < m->n; i++)
        offer(m, i);
    while (m->n_heap > 0) {
        struct pair pair = heap_pop(m);
        uint32_t middle = m->parts[pair.start].end;
        bool stale = middle == 0 || middle >= pair.end || m->parts[middle].end != pair.end;
        if (stale)
            continue;
        m->parts[middle].end = 0;
        m->parts[pair.start].end = pair.end;
        if (pair.end < m->n)
            m->parts[pair.end].previous = pair.start;
        offer(m, pair.start);
        if (pair.start > 0)
            offer(m, m->parts[pair.start].previous);
    }
}

static enum status append(struct token_list *out, int32_t id)
{
    if (out->n == out->max)
        return STATUS_EXHAUSTED;
    out->ids[out->n++] = id;
    return STATUS_OK;
}

static enum status merge_piece(struct merge *m, struct token_list *out)
{
    merge_all(m);
    enum status status = STATUS_OK;
    for (uint32_t at = 0; at < m->n && status == STATUS_OK; at = m->parts[at].end) {
        size_t n = m->parts[at].end - at;
        int32_t id = token_find(m->tokenizer, m->bytes + at, n);
        SA_ASSERT(id >= 0);
        status = append(out, id);
    }
    return status;
}

static enum status encode_long(struct merge *m, struct token_list *out)
{
    m->parts = malloc(m->n * sizeof(*m->parts));
    m->heap = malloc(3 * (size_t)m->n * sizeof(*m->heap));
    enum status status = m->parts && m->heap ? merge_piece(m, out) : STATUS_NO_MEMORY;
    free(m->parts);
    free(m->heap);
    return status;
}

static enum status encode_piece(const struct tokenizer *tokenizer, const uint8_t *bytes, uint32_t n,
                                struct token_list *out)
{
    int32_t whole = token_find(tokenizer, bytes, n);
    if (whole >= 0)
        return append(out, whole);
    struct merge m = {.tokenizer = tokenizer, .bytes = bytes, .n = n};
    if (n > PIECE_ON_STACK)
        return encode_long(&m, out);
    struct part parts[PIECE_ON_STACK];
    struct pair heap[3 * PIECE_ON_STACK];
    m.parts = parts;
    m.heap = heap;
    return merge_piece(&m, out);
}

enum status tokenizer_encode(const struct tokenizer *tokenizer, const uint8_t *text, size_t n_text,
                             struct token_list *out, struct error *err)
{
    if (n_text > TOKENIZER_TEXT_MAX)
        return error_set(err, STATUS_INVALID, "encode: a text of %zu bytes, at most %d are taken",
                         n_text, TOKENIZER_TEXT_MAX);
    uint32_t n_before = out->n;
    enum status status = STATUS_OK;
    for (size_t at = 0; at < n_text && status == STATUS_OK;) {
        size_t end = split_piece(text, n_text, at);
        status = encode_piece(tokenizer, text + at, (uint32_t)(end - at), out);
        at = end;
    }
    if (status == STATUS_OK)
        return STATUS_OK;
    out->n = n_before;
    if (status == STATUS_EXHAUSTED)
        return error_set(err, status, "encode: the text needs more than %u tokens", out->max);
    return error_set(err, status, "out of memory for a word of more than %d bytes", PIECE_ON_STACK);
}
