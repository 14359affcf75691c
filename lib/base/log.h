/* log.h: lines to stderr, one level and one format for the process. stdout belongs to results.
 *
 *     text    target_node: warning: session 0123...: what happened
 *     json    {"time":"2026-01-02T03:04:05.678Z","level":"warning","program":"target_node",
 *             "session":"0123...","trace":"4567...","message":"what happened"}, on one line
 *
 * Never text or audio of clients: lines name sessions, addresses, counts and times.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/trace.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/* The names of both for option tables, each with a NULL at the end. */
extern const char *const log_level_names[];
extern const char *const log_format_names[];

/* The program name stands in each line; borrowed for the life of the process. Format: text. */
void log_init(const char *program, enum log_level level);
void log_set_format(enum log_format format);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/* Called before each line is written (a terminal progress display clears itself here). NULL:
 * none. */
void log_set_before(void (*before)(void *context), void *context);

/* What a line is about, as hexadecimal digits; empty: nothing. */
struct log_about {
    char session[33];
    char trace[TRACE_ID_MAX];
};
void log_about_session(struct log_about *about, const uint8_t session[16]);

/* In lines of log_line too, as JSON (a program with one session); NULL: none. Copied. */
void log_set_about(const struct log_about *about);

/* One line; the newline is added. Safe from any thread; a line is written whole. */
void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
void log_line_about(enum log_level level, const struct log_about *about, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

#endif
