/* trace.h: the header "traceparent" of W3C Trace Context (www.w3.org/TR/trace-context): which trace
 * of the caller's a call belongs to. Passed on as it came, and shown in logs; nothing records spans
 * here. */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <stdbool.h>

#define TRACE_HEADER "traceparent"

enum { TRACE_ID_MAX = 33, TRACE_PARENT_MAX = 256 };     /* with the zero byte */

/* The trace id (32 hexadecimal digits) of "00-TRACE-PARENT-FLAGS"; of later versions the part that
 * they share. false, and an empty id: it is none (also NULL), and the caller goes on without. */
bool trace_read(const char *traceparent, char id[TRACE_ID_MAX]);

#endif
