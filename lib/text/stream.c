#include "text/stream.h"

#include <string.h>

#include "text/text_int.h"

static const uint8_t replacement[3] = {0xEF, 0xBF, 0xBD};   /* U+FFFD */

void text_stream_clear(struct text_stream *stream)
{
    stream->n_tail = 0;
}

static bool put(struct text_buffer *out, const uint8_t *bytes, size_t n)
{
    if (n > out->max - out->n)
        return false;
    memcpy(out->bytes + out->n, bytes, n);
    out->n += n;
    return true;
}

/* Gives out what is whole; *taken gets how many bytes that were. False when out is full. */
static bool give(const uint8_t *text, size_t n, struct text_buffer *out, size_t *taken)
{
    size_t at = 0;
    while (at < n) {
        struct utf8_char c = utf8_read(text + at, n - at);
        if (c.kind == UTF8_INCOMPLETE)
            break;
        bool fits = c.kind == UTF8_VALID ? put(out, text + at, c.length)
                                         : put(out, replacement, sizeof(replacement));
        if (!fits)
            return false;
        at += c.length;
    }
    *taken = at;
    return true;
}

static enum status full(struct text_buffer *out, size_t n_before, struct error *err)
{
    out->n = n_before;
    return error_set(err, STATUS_EXHAUSTED, "text stream: the text needs more than %zu bytes",
                     out->max);
}

enum status text_stream_feed(struct text_stream *stream, const uint8_t *bytes, size_t n,
                             struct text_buffer *out, struct error *err)
{
    /* The tail and enough new bytes to decide about it: a character has at most four. */
    uint8_t seam[8] = {0};
    if (n == 0)
        return STATUS_OK;
    size_t n_before = out->n, n_tail = stream->n_tail, taken = 0;
    SA_ASSERT(n_tail <= 3);
    size_t borrowed = n_tail > 0 ? MIN(n, 3) : 0;
    memcpy(seam, stream->tail, n_tail);
    if (borrowed > 0)
        memcpy(seam + n_tail, bytes, borrowed);
    if (!give(seam, n_tail + borrowed, out, &taken))
        return full(out, n_before, err);

    size_t next = taken - MIN(taken, n_tail);
    if (n_tail > 0 && taken < n_tail) {
        /* Nothing was decided: all of the new bytes went into the tail. */
        SA_ASSERT(taken == 0 && borrowed == n);
        memcpy(stream->tail, seam, n_tail + n);
        stream->n_tail = (uint32_t)(n_tail + n);
        return STATUS_OK;
    }
    if (!give(bytes + next, n - next, out, &taken))
        return full(out, n_before, err);
    stream->n_tail = (uint32_t)(n - next - taken);
    memcpy(stream->tail, bytes + next + taken, stream->n_tail);
    return STATUS_OK;
}

enum status text_stream_flush(struct text_stream *stream, struct text_buffer *out,
                              struct error *err)
{
    if (stream->n_tail > 0 && !put(out, replacement, sizeof(replacement)))
        return full(out, out->n, err);
    stream->n_tail = 0;
    return STATUS_OK;
}
