#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audio/audio_check.h"
#include "audio/audio_file.h"
#include "audio/wav_writer.h"

enum { SECOND = AUDIO_RATE };

static char *folder;

static int make_folder(void **state)
{
    (void)state;
    folder = support_temp_new();
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    support_temp_free(folder);
    return 0;
}

/* A file of n samples, all 0 but the last, which has the level given. */
static const char *write_level(const char *name, size_t n, int16_t level)
{
    const char *path = support_format("%s/%s", folder, name);
    int16_t *samples = calloc(n, sizeof(*samples));
    struct error err;
    assert_non_null(samples);
    samples[n - 1] = level;
    assert_ok(wav_write(path, samples, n, &err), &err);
    free(samples);
    return path;
}

static void check_refused(const char *path, enum status want, const char *words)
{
    struct error err;
    assert_int_equal(audio_check(path, &err), want);
    if (!strstr(err.text, words) || !strstr(err.text, path))
        fail_msg("no \"%s\" in: %s", words, err.text);
}

static void a_single_sample_at_the_end_makes_it_audible(void **state)
{
    struct error err;
    (void)state;
    const char *loud = write_level("loud.wav", 10 * SECOND, AUDIO_SILENT_PEAK);
    assert_ok(audio_check(loud, &err), &err);
    const char *negative = write_level("negative.wav", 10 * SECOND, -AUDIO_SILENT_PEAK);
    assert_ok(audio_check(negative, &err), &err);
}

static void below_the_level_it_is_silent(void **state)
{
    static const char words[] = "is silent: nothing to transcribe; check the recording";
    (void)state;
    check_refused(write_level("zero.wav", SECOND, 0), STATUS_INVALID, words);
    check_refused(write_level("faint.wav", 10 * SECOND, AUDIO_SILENT_PEAK - 1), STATUS_INVALID,
                  words);
    check_refused(write_level("down.wav", SECOND, 1 - AUDIO_SILENT_PEAK), STATUS_INVALID, words);
}

static void a_tenth_of_a_second_is_enough_and_less_is_too_short(void **state)
{
    struct error err;
    (void)state;
    check_refused(write_level("one.wav", 1, 1000), STATUS_INVALID,
                  "is too short to hold speech (0.000 s): give at least 0.1 s");
    check_refused(write_level("short.wav", AUDIO_SPEECH_MIN - 1, 1000), STATUS_INVALID,
                  "too short");
    const char *enough = write_level("enough.wav", AUDIO_SPEECH_MIN, 1000);
    assert_ok(audio_check(enough, &err), &err);
}

static void what_is_left_of_a_truncated_file_may_be_nothing(void **state)
{
    (void)state;
    const char *path = write_level("cut.wav", SECOND, 1000);
    assert_int_equal(truncate(path, 20000), 0);
    check_refused(path, STATUS_CORRUPT, "truncated");
    check_refused(path, STATUS_CORRUPT, "nothing to transcribe");
}

static void what_cannot_be_opened_is_refused_as_there(void **state)
{
    (void)state;
    check_refused(support_format("%s/absent.wav", folder), STATUS_NOT_FOUND,
                  "no such file: check the path");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_single_sample_at_the_end_makes_it_audible),
        cmocka_unit_test(below_the_level_it_is_silent),
        cmocka_unit_test(a_tenth_of_a_second_is_enough_and_less_is_too_short),
        cmocka_unit_test(what_is_left_of_a_truncated_file_may_be_nothing),
        cmocka_unit_test(what_cannot_be_opened_is_refused_as_there),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
