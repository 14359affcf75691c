/* log.h: lines to stderr, one level for the process. stdout belongs to results. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#include "base/status.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* The program name stands before each line; borrowed for the life of the process. */
void log_init(const char *program, enum log_level level);
bool log_enabled(enum log_level level);

/* Called before each line is written (a terminal progress display clears itself here). NULL:
 * none. */
void log_set_before(void (*before)(void *context), void *context);

/* One line; the newline is added. Safe from any thread; a line is written whole. */
void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
