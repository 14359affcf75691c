/* run.h: transcribes inputs through a session: the main loop of the client.
 *
 *     input (files, live PCM) --> client (engine/client.h) <--frames--> link (link.h)
 *                                    |
 *                                    `--> transcripts, display, results
 *
 * One thread: take events, feed audio, let the client send and draft, look after the link.
 */
#ifndef DRAFT_NODE_RUN_H
#define DRAFT_NODE_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/client.h"
#include "link.h"
#include "observe.h"
#include "output/display.h"
#include "transcript.h"

struct run_options {
    struct client_options client;
    struct link_options link;
    double deadline_s;                      /* without an answer from any target */
    struct observe *observe;                /* borrowed; NULL: none */
};

/* Where finished utterances go; false ends the run (the output is broken). `name`: the file.
 * `damaged`: the result covers only what could be decoded of the file; `what` says so in a line. */
struct run_sink {
    bool (*result)(void *context, const char *name, struct transcript *transcript);
    void (*failed)(void *context, const char *name, const struct error *err);
    void (*damaged)(void *context, const char *name, const char *what);
    void *context;
};

struct run;

/* `engine` is the draft model's or NULL; it and the display are borrowed. Begins to connect. */
MUST_CHECK enum status run_new(struct engine *engine, const struct run_options *options,
                               struct display *display, const struct run_sink *sink,
                               struct run **out, struct error *err);
void run_free(struct run **run);

/* What the draft's confidence is worth, as learned until now (and kept by run_free for the next
 * run); NULL without drafts. Valid until run_free. */
const struct spec_calibration *run_calibration(const struct run *run);

/* Transcribes one audio file. STATUS_OK also when the file itself failed (sink.failed was told): a
 * failure here ends the run (no target within the deadline, output broken, wrong options). */
MUST_CHECK enum status run_file(struct run *run, const char *path, struct error *err);

/* Transcribes raw s16le 16 kHz mono PCM from a descriptor until its end, an utterance at a time.
 * SIGINT and SIGTERM (unless ignored) end the input: what was said so far is still transcribed, for
 * at most 10 s, and *signal_number tells which it was (0: none); a second one ends the process.
 * When it fails, the audio without a final text is kept in a WAV file and the error names it. The
 * last input of a run. */
MUST_CHECK enum status run_live(struct run *run, int fd, int *signal_number, struct error *err);

#endif
