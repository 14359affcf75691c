#include "base/trace.h"

#include <string.h>

static bool is_hex(const char *text, int n)
{
    for (int i = 0; i < n; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}

static bool all_zero(const char *text, size_t n)
{
    return strspn(text, "0") >= n;
}

/* version-trace-parent-flags: 2, 32, 16 and 2 digits. */
bool trace_read(const char *traceparent, char id[TRACE_ID_MAX])
{
    enum { LENGTH = 55, TRACE = 3, PARENT = 36, FLAGS = 53 };
    size_t n = traceparent ? strnlen(traceparent, TRACE_PARENT_MAX) : 0;
    id[0] = '\0';
    if (n < LENGTH || n >= TRACE_PARENT_MAX || !is_hex(traceparent, 2) ||
        memcmp(traceparent, "ff", 2) == 0)
        return false;
    bool first_version = memcmp(traceparent, "00", 2) == 0;
    if (n > LENGTH && (first_version || traceparent[LENGTH] != '-'))
        return false;
    const char *trace = traceparent + TRACE, *parent = traceparent + PARENT;
    if (trace[-1] != '-' || !is_hex(trace, 32) || parent[-1] != '-' || !is_hex(parent, 16) ||
        traceparent[FLAGS - 1] != '-' || !is_hex(traceparent + FLAGS, 2) ||
        all_zero(trace, 32) || all_zero(parent, 16))
        return false;
    memcpy(id, trace, 32);
    id[32] = '\0';
    return true;
}
