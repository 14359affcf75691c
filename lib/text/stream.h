/* stream.h: bytes of tokens in, whole UTF-8 characters out.
 *
 * Byte-level tokens may end within a character. A stream gives out what is whole, holds an
 * incomplete tail back (at most three bytes) and replaces what can never become a character by
 * U+FFFD, one for each maximal part of a well-formed sequence (Unicode 15, section 3.9, table 3-7
 * and "U+FFFD substitution of maximal subparts": the same as Python's decode(errors="replace")).
 */
#ifndef TEXT_STREAM_H
#define TEXT_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/tokenizer.h"

/* Plain data; copy it to save a place, clear it to begin. */
struct text_stream {
    uint8_t tail[4];
    uint32_t n_tail;                    /* 0..3 */
};

void text_stream_clear(struct text_stream *stream);

/* Appends the whole characters of tail + bytes. Needs room for 3 * (n + 3) bytes at worst;
 * STATUS_EXHAUSTED leaves stream and buffer as they were. */
MUST_CHECK enum status text_stream_feed(struct text_stream *stream, const uint8_t *bytes, size_t n,
                                        struct text_buffer *out, struct error *err);

/* The end of the text: an incomplete tail becomes U+FFFD. The stream is clear afterwards. */
MUST_CHECK enum status text_stream_flush(struct text_stream *stream, struct text_buffer *out,
                                         struct error *err);

/* Bytes at the end of the text that begin a character and do not complete it (0..3). */
size_t text_incomplete_tail(const uint8_t *bytes, size_t n);

#endif
