/* status.h: how operations fail.
 *
 * Three kinds of trouble, three answers:
 *   a bug in our code          SA_ASSERT, always on, aborts;
 *   an operating error         an enum status, with one line of text in a struct error;
 *   an expected outcome        a value (a full mailbox, "no more audio"), never a status.
 *
 * A function that can fail returns enum status, takes `struct error *err` last (may be NULL) and
 * leaves its outputs untouched or empty on failure. The text says what was wrong and what to do.
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <stddef.h>

#define STATUS_LIST(X)                                                                   \
    X(OK, "ok")                                                                          \
    X(INVALID, "invalid argument")       /* the caller or the user asked for nonsense */ \
    X(NOT_FOUND, "not found")            /* a file, a model, a session that is not there */ \
    X(IO, "input/output error")          /* the operating system said no */              \
    X(CORRUPT, "corrupt data")           /* bytes that break their own format */         \
    X(UNSUPPORTED, "not supported")      /* well formed, but not for this version */     \
    X(NO_MEMORY, "out of memory")                                                        \
    X(EXHAUSTED, "resource exhausted")   /* a cap was reached: try later */              \
    X(CLOSED, "closed")                  /* the other side is gone */                    \
    X(TIMEOUT, "timed out")                                                              \
    X(UNAVAILABLE, "unavailable")        /* nobody answers at that address */            \
    X(MISMATCH, "mismatch")              /* model, vocabulary or protocol differ */      \
    X(CANCELLED, "cancelled")                                                            \
    X(DENIED, "permission denied")                                                       \
    X(INTERNAL, "internal error")

enum status {
#define X(name, text) STATUS_##name,
    STATUS_LIST(X)
#undef X
    STATUS_N
};

enum { ERROR_TEXT_MAX = 320 };

/* A failure in words. Plain data: copy it, keep it on the stack, no release needed. */
struct error {
    enum status code;
    char text[ERROR_TEXT_MAX];
};

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* "not found" for STATUS_NOT_FOUND, and so on; never NULL. */
const char *status_text(enum status code);

/* Fills *err (when not NULL) and returns code, so that `return error_set(err, STATUS_IO, ...)`
 * works. Text beyond ERROR_TEXT_MAX is cut at a whole UTF-8 character. */
enum status error_set(struct error *err, enum status code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "context: " before the text that is there; returns err's code (STATUS_INTERNAL for NULL). */
enum status error_prefix(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Resets to STATUS_OK and empty text. */
void error_clear(struct error *err);

/* Prints the condition and place to stderr and aborts. On in every build. */
_Noreturn void assert_failed(const char *condition, const char *file, int line);
#define SA_ASSERT(cond) ((cond) ? (void)0 : assert_failed(#cond, __FILE__, __LINE__))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
