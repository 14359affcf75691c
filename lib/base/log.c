#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

static struct {
    pthread_mutex_t lock;
    const char *program;
    enum log_level level;
    void (*before)(void *context);
    void *before_context;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .program = "specasr", .level = LOG_INFO};

void log_init(const char *program, enum log_level level)
{
    pthread_mutex_lock(&state.lock);
    state.program = program;
    state.level = level;
    pthread_mutex_unlock(&state.lock);
}

bool log_enabled(enum log_level level)
{
    pthread_mutex_lock(&state.lock);
    bool enabled = level <= state.level;
    pthread_mutex_unlock(&state.lock);
    return enabled;
}

void log_set_before(void (*before)(void *context), void *context)
{
    pthread_mutex_lock(&state.lock);
    state.before = before;
    state.before_context = context;
    pthread_mutex_unlock(&state.lock);
}

void log_line(enum log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"error: ", "warning: ", "", "debug: "};
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    pthread_mutex_lock(&state.lock);
    if (level <= state.level) {
        if (state.before)
            state.before(state.before_context);
        fprintf(stderr, "%s: %s%s\n", state.program, names[level], text);
    }
    pthread_mutex_unlock(&state.lock);
}
