/* transcript.h: what has been committed of one utterance, gathered into a result. */
#ifndef DRAFT_NODE_TRANSCRIPT_H
#define DRAFT_NODE_TRANSCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/drafter.h"
#include "output/results.h"
#include "wire/wire.h"

struct transcript {
    char *text;                             /* UTF-8, terminated; owned, as all arrays here */
    size_t n_text, text_capacity;
    int32_t *tokens;
    uint32_t n_tokens, tokens_capacity;
    struct result_segment *segments;        /* texts owned */
    uint32_t n_segments, segments_capacity;
    char language[8];
    struct result_stats stats;
    double offset_s;                        /* of the utterance in live input */
    bool failed;
};

void transcript_init(struct transcript *transcript);
void transcript_release(struct transcript *transcript);

/* Adds a committed window. STATUS_NO_MEMORY. */
MUST_CHECK enum status transcript_add(struct transcript *transcript,
                                      const struct wire_window_final *window, struct error *err);

/* Adds the draft side's figures at the end. */
void transcript_add_draft(struct transcript *transcript, const struct drafter_stats *stats);

/* A view for the writers: borrows from the transcript. Leading blanks of the text are left out. */
struct result transcript_result(const struct transcript *transcript, const char *file,
                                bool with_segments);

/* Same committed tokens? */
bool transcript_same(const struct transcript *a, const struct transcript *b);

#endif
