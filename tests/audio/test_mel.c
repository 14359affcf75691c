#include "../support/support.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/audio_file.h"
#include "audio/mel.h"
#include "audio/mel_int.h"
#include "mel_golden.h"

static const char speech_path[] =
    "/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0870.wav";

enum signal_kind { NOISE, QUIET_NOISE, TONE, CHIRP, CLICK, SILENCE, FULL_SCALE };

/* Integer arithmetic except for the tones, so that the golden inputs are the same everywhere. */
static int16_t *signal_new(enum signal_kind kind, size_t n)
{
    int16_t *samples = calloc(n + 1, sizeof(*samples));
    assert_non_null(samples);
    uint64_t random = 42;
    for (size_t i = 0; i < n; i++) {
        int64_t noise = (int64_t)(support_random(&random) >> 48) - 32768;
        switch (kind) {
        case NOISE: samples[i] = (int16_t)(noise / 2); break;
        case QUIET_NOISE: samples[i] = (int16_t)(noise / 8192); break;
        case TONE: samples[i] = (int16_t)lrint(32000.0 * sin(0.3926990817 * (double)i)); break;
        case CHIRP: samples[i] = (int16_t)lrint(9000.0 * sin(1e-6 * (double)i * (double)i)); break;
        case CLICK: samples[i] = i == n / 3 ? 32767 : 0; break;
        case SILENCE: samples[i] = 0; break;
        case FULL_SCALE: samples[i] = noise < 0 ? -32768 : 32767; break;
        }
    }
    return samples;
}

/* ---- the independent side: numpy in another process ---- */

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static float *read_floats(const char *path, size_t n)
{
    float *values = malloc((n + 1) * sizeof(*values));
    FILE *file = fopen(path, "rb");
    assert_non_null(values);
    assert_non_null(file);
    assert_int_equal(fread(values, sizeof(*values), n + 1, file), n);
    fclose(file);
    return values;
}

static void run_numpy(const char *arguments)
{
    const char *command =
        support_format("/usr/bin/python3 tests/reference/mel_numpy.py %s", arguments);
    if (system(command) != 0)
        fail_msg("%s: failed (python3-numpy is needed)", command);
}

static float *numpy_mel(const int16_t *samples, size_t n, uint32_t n_mels, uint32_t n_frames)
{
    char *folder = support_temp_new();
    write_file(support_format("%s/in", folder), samples, n * sizeof(*samples));
    run_numpy(support_format("%u %u %s/in %s/out", n_mels, n_frames, folder, folder));
    float *values = read_floats(support_format("%s/out", folder), (size_t)n_mels * n_frames);
    support_temp_free(folder);
    return values;
}

static float *own_mel(const int16_t *samples, size_t n, uint32_t n_mels, uint32_t n_frames)
{
    struct error err;
    struct mel *mel = NULL;
    assert_ok(mel_new(n_mels, &mel, &err), &err);
    float *values = malloc((size_t)n_mels * n_frames * sizeof(*values));
    assert_non_null(values);
    mel_compute(mel, samples, n, n_frames, values);
    mel_free(mel);
    return values;
}

static void check_against_numpy(const int16_t *samples, size_t n, uint32_t n_mels,
                                uint32_t n_frames)
{
    float *want = numpy_mel(samples, n, n_mels, n_frames);
    float *got = own_mel(samples, n, n_mels, n_frames);
    float worst = 0.0f;
    for (size_t i = 0; i < (size_t)n_mels * n_frames; i++)
        worst = fmaxf(worst, fabsf(want[i] - got[i]));
    if (!(worst <= 2e-6f)) /* the promise is 1e-4 */
        fail_msg("%u bands, %u frames, %zu samples: off by %g", n_mels, n_frames, n, (double)worst);
    free(want);
    free(got);
}

static void agrees_with_numpy_on_synthetic_signals(void **state)
{
    (void)state;
    for (int kind = NOISE; kind <= FULL_SCALE; kind++) {
        int16_t *samples = signal_new((enum signal_kind)kind, 40000);
        check_against_numpy(samples, 40000, kind % 2 ? 128 : 80, 300);
        free(samples);
    }
}

static void agrees_with_numpy_at_every_kind_of_right_edge(void **state)
{
    (void)state;
    static const struct { size_t n; uint32_t frames; } cases[] = {
        { 1, 2 },       { 320, 2 },     { 1000, 2 },    { 1119, 7 },  { 1120, 7 },  { 1121, 7 },
        { 920, 7 },     { 919, 7 },     { 20000, 7 },   { 480, 5 },   { 300, 9 },   { 16000, 101 },
        { 480000, 3000 }, { 600000, 3000 }, { 479999, 3000 },
    };
    int16_t *samples = signal_new(NOISE, 600000);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_against_numpy(samples, cases[i].n, 80, cases[i].frames);
    free(samples);
}

static void agrees_with_numpy_on_real_speech(void **state)
{
    (void)state;
    struct error err;
    int16_t *samples = NULL;
    size_t n = 0;
    assert_ok(audio_file_load(speech_path, 1 << 20, &samples, &n, NULL, &err), &err);
    check_against_numpy(samples, n, 80, MEL_WINDOW_FRAMES);
    check_against_numpy(samples, n, 128, MEL_WINDOW_FRAMES);
    check_against_numpy(samples, n, 80, 250);
    free(samples);
}

static void filter_bank_agrees_with_numpy(void **state)
{
    (void)state;
    struct error err;
    for (uint32_t n_mels = 80; n_mels <= 128; n_mels += 48) {
        char *folder = support_temp_new();
        run_numpy(support_format("filters %u %s/out", n_mels, folder));
        float *want = read_floats(support_format("%s/out", folder), n_mels * MEL_BINS);
        struct mel *mel = NULL;
        assert_ok(mel_new(n_mels, &mel, &err), &err);
        float row[MEL_BINS];
        for (uint32_t b = 0; b < n_mels; b++) {
            mel_filter(mel, b, row);
            for (uint32_t k = 0; k < MEL_BINS; k++)
                assert_true(fabsf(row[k] - want[b * MEL_BINS + k]) <= 4e-9f);
        }
        mel_free(mel);
        free(want);
        support_temp_free(folder);
    }
}

/* ---- fixed values ---- */

static uint64_t bits_hash(const float *values, size_t n)
{
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a over the float bits */
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        hash = (hash ^ bits) * 0x100000001B3u;
    }
    return hash;
}

static void golden_frame_from_numpy(void **state)
{
    (void)state;
    int16_t *samples = signal_new(NOISE, 4000);
    float *got = own_mel(samples, 4000, 80, 20);
    for (size_t b = 0; b < 80; b++)
        assert_true(fabsf(got[b * 20 + 3] - golden_noise_frame_3[b]) <= 2e-6f);
    free(got);
    free(samples);
}

static void bits_are_the_same_on_every_machine(void **state)
{
    (void)state;
    int16_t *noise = signal_new(NOISE, 40000);
    float *a = own_mel(noise, 40000, 80, 300), *b = own_mel(noise, 40000, 128, 200);
    if (bits_hash(a, 80 * 300) != golden_bits_80 || bits_hash(b, 128 * 200) != golden_bits_128)
        fail_msg("bits differ: 0x%016llX 0x%016llX", (unsigned long long)bits_hash(a, 80 * 300),
                 (unsigned long long)bits_hash(b, 128 * 200));
    free(a);
    free(b);
    free(noise);
}

static void silence_is_flat(void **state)
{
    (void)state;
    float *got = own_mel(NULL, 0, 80, 50);
    for (size_t i = 0; i < 80 * 50; i++)
        assert_true(got[i] == -1.5f);
    free(got);
}

static void padding_frames_are_the_floor(void **state)
{
    (void)state;
    int16_t *samples = signal_new(NOISE, 16000);
    float *got = own_mel(samples, 16000, 80, 3000);
    for (size_t b = 0; b < 80; b++) {
        assert_true(got[b * 3000 + 101] > got[2999]); /* sees the last 40 samples */
        for (size_t f = 102; f < 3000; f++)
            assert_true(got[b * 3000 + f] == got[2999]);
    }
    free(got);
    free(samples);
}

static void an_object_can_be_used_again(void **state)
{
    (void)state;
    struct error err;
    struct mel *mel = NULL;
    assert_ok(mel_new(80, &mel, &err), &err);
    int16_t *noise = signal_new(NOISE, 16000), *tone = signal_new(TONE, 16000);
    float *first = malloc(80 * 100 * sizeof(*first)), *again = malloc(80 * 100 * sizeof(*again));
    assert_true(first && again);
    mel_compute(mel, noise, 16000, 100, first);
    mel_compute(mel, tone, 9000, 100, again);
    assert_true(memcmp(first, again, 80 * 100 * sizeof(*first)) != 0);
    mel_compute(mel, noise, 16000, 100, again);
    assert_memory_equal(first, again, 80 * 100 * sizeof(*first));
    free(first);
    free(again);
    free(noise);
    free(tone);
    mel_free(mel);
}

static void other_band_counts_are_refused(void **state)
{
    (void)state;
    struct error err;
    struct mel *mel = NULL;
    static const uint32_t counts[] = { 0, 1, 79, 81, 127, 129, UINT32_MAX };
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        assert_int_equal(mel_new(counts[i], &mel, &err), STATUS_UNSUPPORTED);
        assert_null(mel);
    }
    mel_free(NULL);
}

/* ---- the parts ---- */

static void transform_is_the_definition_of_the_dft(void **state)
{
    (void)state;
    struct mel_fft fft;
    struct mel_complex data[MEL_FFT], kept[MEL_FFT], other[MEL_FFT];
    uint64_t random = 7;
    mel_fft_init(&fft);
    for (size_t i = 0; i < MEL_FFT; i++) {
        data[i].re = (mel_lanes){ (double)support_uniform(&random, -1.0f, 1.0f), 0.0 };
        data[i].im = (mel_lanes){ (double)support_uniform(&random, -1.0f, 1.0f), i == 3 };
    }
    memcpy(kept, data, sizeof(kept));
    mel_fft_run(&fft, data, other);
    for (size_t k = 0; k < MEL_FFT; k++) {
        double re[2] = { 0.0, 0.0 }, im[2] = { 0.0, 0.0 };
        for (size_t i = 0; i < MEL_FFT; i++) {
            double turn = -2.0 * M_PI * (double)(i * k % MEL_FFT) / MEL_FFT;
            for (size_t lane = 0; lane < 2; lane++) {
                re[lane] += kept[i].re[lane] * cos(turn) - kept[i].im[lane] * sin(turn);
                im[lane] += kept[i].re[lane] * sin(turn) + kept[i].im[lane] * cos(turn);
            }
        }
        for (size_t lane = 0; lane < 2; lane++) {
            assert_true(fabs(re[lane] - data[k].re[lane]) < 1e-12);
            assert_true(fabs(im[lane] - data[k].im[lane]) < 1e-12);
        }
    }
}

static void own_functions_agree_with_libm(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 1600; k++) {
        double cosine, sine;
        mel_circle(k, 800, &cosine, &sine);
        assert_true(fabs(cosine - cos(2.0 * M_PI * k / 800)) < 1e-14);
        assert_true(fabs(sine - sin(2.0 * M_PI * k / 800)) < 1e-14);
    }
    for (double x = 0.0; x < 4.0; x += 0.01)
        assert_true(fabs(mel_exp(x) / exp(x) - 1.0) < 1e-14);
    uint64_t random = 3;
    for (int i = 0; i < 20000; i++) {
        double x = exp((double)support_uniform(&random, -40.0f, 20.0f));
        mel_lanes logs = mel_log10((mel_lanes){ x, 1.0 });
        assert_true(fabs(logs[0] - log10(x)) < 1e-11);
        assert_true(logs[1] == 0.0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_numpy_on_synthetic_signals),
        cmocka_unit_test(agrees_with_numpy_at_every_kind_of_right_edge),
        cmocka_unit_test(agrees_with_numpy_on_real_speech),
        cmocka_unit_test(filter_bank_agrees_with_numpy),
        cmocka_unit_test(golden_frame_from_numpy),
        cmocka_unit_test(bits_are_the_same_on_every_machine),
        cmocka_unit_test(silence_is_flat),
        cmocka_unit_test(padding_frames_are_the_floor),
        cmocka_unit_test(an_object_can_be_used_again),
        cmocka_unit_test(other_band_counts_are_refused),
        cmocka_unit_test(transform_is_the_definition_of_the_dft),
        cmocka_unit_test(own_functions_agree_with_libm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
