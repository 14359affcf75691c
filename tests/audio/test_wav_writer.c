#include "../support/support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audio/audio_file.h"
#include "audio/wav_writer.h"

enum { N = 10000 };                         /* more than a block, and no multiple of one */

static void what_is_written_is_read_back_bit_for_bit(void **state)
{
    char *folder = support_temp_new();
    const char *path = support_format("%s/kept.wav", folder);
    int16_t samples[N], *got;
    size_t n;
    uint64_t seed = 7;
    struct error err, warning;
    (void)state;
    for (size_t i = 0; i < N; i++)
        samples[i] = (int16_t)support_random(&seed);
    samples[0] = INT16_MIN;
    samples[1] = INT16_MAX;
    assert_ok(wav_write(path, samples, N, &err), &err);
    assert_ok(audio_file_load(path, 2 * N, &got, &n, &warning, &err), &err);
    assert_string_equal(warning.text, "");
    assert_int_equal(n, N);
    assert_memory_equal(got, samples, sizeof(samples));
    free(got);
    support_temp_free(folder);
}

static void a_file_that_exists_is_left_alone(void **state)
{
    char *folder = support_temp_new();
    const char *path = support_format("%s/kept.wav", folder);
    static const int16_t first[] = {1, 2, 3}, second[] = {4, 5, 6, 7};
    int16_t *got;
    size_t n;
    struct error err;
    (void)state;
    assert_ok(wav_write(path, first, ARRAY_LEN(first), &err), &err);
    assert_int_equal(wav_write(path, second, ARRAY_LEN(second), &err), STATUS_IO);
    assert_non_null(strstr(err.text, path));
    assert_ok(audio_file_load(path, N, &got, &n, NULL, &err), &err);
    assert_int_equal(n, ARRAY_LEN(first));
    assert_memory_equal(got, first, sizeof(first));
    free(got);
    support_temp_free(folder);
}

static void what_cannot_be_written_is_named(void **state)
{
    struct error err;
    char *folder = support_temp_new();
    static const int16_t samples[N];
    (void)state;
    const char *path = support_format("%s/absent/kept.wav", folder);
    assert_int_equal(wav_write(path, samples, N, &err), STATUS_IO);
    assert_non_null(strstr(err.text, path));
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(wav_write(path, samples, (size_t)1 << 31, &err), STATUS_INVALID);
    support_temp_free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back_bit_for_bit),
        cmocka_unit_test(a_file_that_exists_is_left_alone),
        cmocka_unit_test(what_cannot_be_written_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
