/* support.h: what every test program may use. Include this instead of cmocka.h. */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/status.h"

/* Fails the test with the error's text unless the status is STATUS_OK. */
#define assert_ok(call, err)                                                            \
    do {                                                                                \
        enum status assert_ok_status = (call);                                          \
        if (assert_ok_status != STATUS_OK)                                              \
            fail_msg("%s: %s: %s", #call, status_text(assert_ok_status), (err)->text);  \
    } while (0)

/* Path of a fetched model, e.g. "whisper-base.gguf", in the model cache; fails the test when it is
 * not there ("make models" fetches it). Static buffer, valid until the fourth next call. */
const char *support_model(const char *file);

/* Makes a private temporary folder; support_temp_free removes it with its files. */
char *support_temp_new(void);
void support_temp_free(char *folder);

/* Writes the text into a file that nobody else may read (mode 0600). */
void support_write(const char *path, const char *text);

/* snprintf into one of eight rotating static buffers: "%s/%s" and the like. */
const char *support_format(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Deterministic random numbers (splitmix64). */
uint64_t support_random(uint64_t *state);
float support_uniform(uint64_t *state, float low, float high);

#endif
