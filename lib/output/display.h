/* display.h: the live area at the bottom of a terminal while files are transcribed.
 *
 *     ...what the target committed or decided in the normal face, the client's own draft dim
 *     talk.flac  [=========>          ]  4:10 / 9:58  12.4x  0:28 left
 *
 * Committed text is final; decided text may still be taken back by a new attempt; provisional
 * text is the client's own draft. The bar stands under long and live audio, a short file has its
 * name there. The area is redrawn in place and clears itself before a log line and before results
 * are written. Text is laid out here, by display width (wide CJK, combining marks, emoji), so
 * that the terminal never wraps a line; control characters are shown as blanks.
 *
 * Nothing at all is written when the descriptor is not a terminal.
 */
#ifndef OUTPUT_DISPLAY_H
#define OUTPUT_DISPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/status.h"

/* What there is to show. Strings are borrowed for the call; NULL is an empty text. */
struct display_state {
    const char *label;                  /* file name */
    double audio_done_s;                /* committed so far */
    double audio_total_s;               /* 0: unknown (live input) */
    double elapsed_s;                   /* since the file was begun */
    const char *committed;
    const char *decided;
    const char *provisional;
};

enum { DISPLAY_LINES_MAX = 8, DISPLAY_BYTES_MAX = 16 * 1024 };

/* What stands on the terminal now: lines, and their widths in columns. Zero: nothing. */
struct display_screen {
    uint32_t n_lines;
    uint32_t widths[DISPLAY_LINES_MAX];
};

struct display_size {
    uint32_t columns, rows;
};

/* Pure: the bytes that replace what *screen says by `state` (NULL: by nothing) on a terminal of
 * that size, and the new *screen. Writes at most `max` (at least DISPLAY_BYTES_MAX) bytes, not
 * terminated; returns their number. */
size_t display_render(struct display_screen *screen, struct display_size size,
                      const struct display_state *state, char *out, size_t max);

struct display;

/* A display on `fd` (2: stderr), quiet if that is no terminal, if TERM is dumb (`term`, may be
 * NULL) or if `enabled` is false. It hooks itself before log lines (base/log.h) until it is
 * freed: one at a time. Any thread may call; redraws happen at most every 50 ms of `clock`. */
MUST_CHECK enum status display_new(int fd, bool enabled, const char *term, struct clock clock,
                                   struct display **out, struct error *err);
void display_free(struct display **display);

/* Is anything shown at all? Callers can spare themselves the text. */
bool display_active(const struct display *display);

/* Shows a state, if a redraw is due; the last one before a pause should come with `now` true. */
void display_show(struct display *display, const struct display_state *state, bool now);

/* Takes the area off the terminal: before results are written to stdout, and at the end. */
void display_clear(struct display *display);

/* Columns that UTF-8 text takes on a terminal; control characters count as one blank. */
uint32_t display_width(const char *text);

#endif
