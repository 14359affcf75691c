/* results.h: what a transcription is, as plain data, and its written forms.
 *
 * Formats (--format):
 *   text   one line per file
 *   json   one object per file and line; names as in the structs below
 *   srt    SubRip cues; times HH:MM:SS,mmm
 *   vtt    WebVTT cues; times HH:MM:SS.mmm
 *   tsv    "start<TAB>end<TAB>text" with a header line; times in whole milliseconds (OpenAI's form)
 * Without timestamps srt, vtt and tsv have one cue from 0 to the end of the audio.
 *
 * Text from a model is data: bytes that are not UTF-8 become U+FFFD; in text, srt, vtt and tsv
 * control characters become blanks, so that nothing can drive a terminal or break a cue; JSON
 * keeps them escaped.
 */
#ifndef OUTPUT_RESULTS_H
#define OUTPUT_RESULTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

enum result_format {
    RESULT_TEXT, RESULT_JSON, RESULT_SRT, RESULT_VTT, RESULT_TSV, RESULT_FORMAT_N
};

/* "text", "json", ...; RESULT_FORMAT_N names and a NULL (fits an option table's choices). */
extern const char *const result_format_names[RESULT_FORMAT_N + 1];

struct result_segment {
    double start_s, end_s;
    const char *text;
};

enum { RESULT_TARGETS_MAX = 8, RESULT_ADDRESS_MAX = 272 };

/* Counts and times of one file. Names are those of the JSON object "stats". */
struct result_stats {
    double audio_s;
    uint64_t tokens;                    /* target tokens with end tokens, over all attempts */
    uint64_t passes;                    /* target passes that this file had rows in */
    uint64_t rounds;                    /* waits for a client frame, plus one per utterance */
    uint64_t rows;                      /* rows that the target evaluated */
    uint64_t draft_steps;               /* forwards of the draft model */
    uint64_t draft_rows;                /* rows of those forwards */
    uint64_t branch_steps;              /* forwards that ran side branches */
    uint64_t recycled;                  /* drafted tokens taken from rejected drafts, no step */
    double target_encode_ms, target_decode_ms;
    double draft_encode_ms, draft_decode_ms;
    double total_ms;                    /* from the first byte read to the last text committed */
    uint32_t resumes;                   /* reconnects during the file */
    uint32_t resumed_differently;       /* windows whose text had been shown otherwise before */
    uint32_t n_targets;
    char targets[RESULT_TARGETS_MAX][RESULT_ADDRESS_MAX];   /* addresses used, each once */
};

/* All pointers are borrowed. */
struct result {
    const char *file;                   /* as the user named it; "-" for stdin */
    const char *language;               /* "en"; "" when unknown */
    const char *text;
    const int32_t *tokens;              /* committed target ids, without end tokens */
    uint32_t n_tokens;
    const struct result_segment *segments;
    uint32_t n_segments;                /* 0: no timestamps */
    struct result_stats stats;
};

/* Writes results one after the other. With several files srt, vtt and tsv start each file anew
 * (numbers and header), after a blank line: redirect each file by itself if that matters. */
struct result_writer {
    FILE *out;                          /* borrowed */
    enum result_format format;
    uint32_t n_written;
};

/* Writes and flushes one result. STATUS_IO when the stream fails (disk full, reader gone). */
MUST_CHECK enum status result_write(struct result_writer *writer, const struct result *result,
                                    struct error *err);

/* Adds a target address to stats->targets unless it is there; beyond the cap the last is
 * replaced. */
void result_stats_add_target(struct result_stats *stats, const char *address);

#endif
