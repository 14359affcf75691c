#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

enum { TEXT_MAX = 1024, LINE_MAX_BYTES = 6 * TEXT_MAX + 512 };  /* escapes take six */

const char *const log_level_names[] = {"error", "warn", "info", "debug", NULL};
const char *const log_format_names[] = {"text", "json", NULL};

static struct {
    pthread_mutex_t lock;
    const char *program;
    enum log_level level;
    enum log_format format;
    struct log_about about;
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

void log_set_format(enum log_format format)
{
    pthread_mutex_lock(&state.lock);
    state.format = format;
    pthread_mutex_unlock(&state.lock);
}

void log_set_level(enum log_level level)
{
    pthread_mutex_lock(&state.lock);
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

void log_about_session(struct log_about *about, const uint8_t session[16])
{
    for (int i = 0; i < 16; i++)
        snprintf(about->session + 2 * i, 3, "%02x", session[i]);
}

void log_set_about(const struct log_about *about)
{
    pthread_mutex_lock(&state.lock);
    state.about = about ? *about : (struct log_about){0};
    pthread_mutex_unlock(&state.lock);
}

/* ---- lines; under the lock. Each is one write: several processes may share a terminal. ---- */

static struct {
    char bytes[LINE_MAX_BYTES];
    size_t n;
} line;

PRINTF_LIKE(1, 2) static void put(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line.bytes + line.n, sizeof(line.bytes) - line.n, fmt, args);
    va_end(args);
    line.n = MIN(line.n + (size_t)MAX(n, 0), sizeof(line.bytes) - 1);
}

static void put_text(enum log_level level, const struct log_about *about, const char *text)
{
    static const char *const names[] = {"error: ", "warning: ", "", "debug: "};
    put("%s: %s", state.program, names[level]);
    if (about && about->session[0])
        put("session %s: ", about->session);
    put("%s", text);
    if (about && about->trace[0])
        put(" (trace %s)", about->trace);
}

/* The text with its bad bytes replaced, as a JSON string. */
static void put_string(char *text)
{
    utf8_repair(text, strlen(text));
    put("\"");
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            put("\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            put("\\u%04x", (unsigned)*c);
        else
            put("%c", *c);
    }
    put("\"");
}

static void put_json(enum log_level level, const struct log_about *about, char *text)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    const struct log_about *said = about ? about : &state.about;
    struct timespec now;
    struct tm parts;
    char time[32] = "";
    clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &parts))
        strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &parts);
    put("{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"program\":\"%s\"", time,
        (int)(now.tv_nsec / 1000000), names[level], state.program);
    if (said->session[0])
        put(",\"session\":\"%s\"", said->session);
    if (said->trace[0])
        put(",\"trace\":\"%s\"", said->trace);
    put(",\"message\":");
    put_string(text);
    put("}");
}

PRINTF_LIKE(3, 0) static void write_line(enum log_level level, const struct log_about *about,
                                         const char *fmt, va_list args)
{
    char text[TEXT_MAX];
    vsnprintf(text, sizeof(text), fmt, args);
    pthread_mutex_lock(&state.lock);
    if (level <= state.level) {
        if (state.before)
            state.before(state.before_context);
        line.n = 0;
        if (state.format == LOG_JSON)
            put_json(level, about, text);
        else
            put_text(level, about, text);
        put("\n");
        fwrite(line.bytes, 1, line.n, stderr);
    }
    pthread_mutex_unlock(&state.lock);
}

void log_line(enum log_level level, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    write_line(level, NULL, fmt, args);
    va_end(args);
}

void log_line_about(enum log_level level, const struct log_about *about, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    write_line(level, about, fmt, args);
    va_end(args);
}
