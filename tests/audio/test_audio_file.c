#include "../support/support.h"

#include <dirent.h>
#include <math.h>
#include <sndfile.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/audio_file.h"

/* libsndfile 1.2.0 leaks libvorbis' tables when an Ogg file breaks within its headers. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libvorbis\n";
}

/* ---- files made by libsndfile ---- */

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

struct tone {
    int format;
    int rate, channels;
    double hz, level;
    size_t n_frames;
};

/* A tone whose channels are weighted 0.5, 1, 1.5, 0.5, ...; their mean has the level given. */
static void write_tone(const char *path, const struct tone *tone)
{
    SF_INFO info = { .samplerate = tone->rate, .channels = tone->channels, .format = tone->format };
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    if (!file)
        fail_msg("%s: %s", path, sf_strerror(NULL));
    float *frames = calloc(tone->n_frames * (size_t)tone->channels, sizeof(*frames));
    assert_non_null(frames);
    double weights[64], mean = 0.0;
    for (int c = 0; c < tone->channels; c++)
        mean += weights[c] = 0.5 * (c % 3 + 1);
    mean /= tone->channels;
    for (size_t i = 0; i < tone->n_frames; i++)
        for (int c = 0; c < tone->channels; c++)
            frames[i * (size_t)tone->channels + (size_t)c] =
                (float)(tone->level * weights[c] / mean *
                        sin(2.0 * M_PI * tone->hz * (double)i / tone->rate));
    assert_int_equal(sf_writef_float(file, frames, (sf_count_t)tone->n_frames), tone->n_frames);
    sf_close(file);
    free(frames);
}

static void write_s16(const char *path, int format, const int16_t *samples, size_t n)
{
    SF_INFO info = { .samplerate = AUDIO_RATE, .channels = 1, .format = format | SF_FORMAT_PCM_16 };
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    assert_non_null(file);
    assert_int_equal(sf_write_short(file, samples, (sf_count_t)n), n);
    sf_close(file);
}

static void write_bytes(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static uint8_t *read_bytes(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(*size + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *size, file), *size);
    fclose(file);
    return data;
}

static int16_t *noise_new(size_t n)
{
    int16_t *samples = malloc(n * sizeof(*samples));
    assert_non_null(samples);
    uint64_t random = 5;
    for (size_t i = 0; i < n; i++)
        samples[i] = (int16_t)(support_random(&random) >> 48);
    return samples;
}

static const char *in_folder(const char *name)
{
    return support_format("%s/%s", folder, name);
}

/* Level of the tone and of all the rest, in whole periods behind the first `margin` samples. */
static void measure(const int16_t *samples, size_t n, double hz, size_t margin, double *level,
                    double *rest)
{
    double s = 0.0, c = 0.0, power = 0.0;
    assert_true(n >= 2 * margin + 800);
    size_t span = (n - 2 * margin) / 800 * 800; /* whole periods of multiples of 20 Hz */
    for (size_t i = margin; i < margin + span; i++) {
        double x = samples[i] / 32768.0, turn = 2.0 * M_PI * hz * (double)i / AUDIO_RATE;
        s += x * sin(turn);
        c += x * cos(turn);
        power += x * x;
    }
    *level = 2.0 * hypot(s, c) / (double)span;
    *rest = sqrt(fmax(power / (double)span - *level * *level / 2.0, 0.0));
}

/* ---- what comes out ---- */

static void sixteen_kilohertz_mono_is_passed_through_bit_for_bit(void **state)
{
    (void)state;
    static const int formats[] = { SF_FORMAT_WAV, SF_FORMAT_FLAC, SF_FORMAT_AIFF, SF_FORMAT_W64 };
    struct error err;
    size_t n = 50001;
    int16_t *want = noise_new(n), *got = malloc((n + 7000) * sizeof(*got));
    assert_non_null(got);
    for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
        const char *path = in_folder("exact");
        write_s16(path, formats[f], want, n);
        struct audio_file *file = NULL;
        assert_ok(audio_file_open(path, &file, &err), &err);
        assert_true(audio_file_info(file)->exact);
        assert_int_equal(audio_file_info(file)->n_samples, n);
        size_t have = 0, step = 1;
        for (size_t got_now = 1; got_now > 0; have += got_now, step = step * 3 % 7001)
            assert_ok(audio_file_read(file, got + have, step, &got_now, &err), &err);
        assert_int_equal(have, n);
        assert_memory_equal(want, got, n * sizeof(*got));
        assert_null(audio_file_warning(file));
        audio_file_free(file);
    }
    free(want);
    free(got);
}

static void check_tone(const struct tone *tone, double tolerance, size_t slack, double rest_max)
{
    struct error err, warning;
    const char *path = in_folder("tone");
    write_tone(path, tone);
    int16_t *samples = NULL;
    size_t n = 0;
    assert_ok(audio_file_load(path, 1 << 22, &samples, &n, &warning, &err), &err);
    size_t want = (size_t)llround((double)tone->n_frames * AUDIO_RATE / tone->rate);
    double level, rest;
    measure(samples, n, tone->hz, 800, &level, &rest);
    const char *what = support_format("format %x, %d Hz, %d channels: %zu samples (want %zu), "
                                      "level %.5f (want %.5f), rest %.7f, %s",
                                      (unsigned)tone->format, tone->rate, tone->channels, n, want,
                                      level, tone->level, rest, warning.text);
    if (n > want + slack || n + slack < want || fabs(level / tone->level - 1.0) > tolerance ||
        rest > rest_max || warning.text[0])
        fail_msg("%s", what);
    free(samples);
}

static void every_rate_and_channel_count_keeps_length_pitch_and_level(void **state)
{
    (void)state;
    static const int rates[] = { 4000,  8000,  11025, 12000, 16000,  22050,
                                 24000, 32000, 44100, 48000, 96000, 192000, 352800 };
    static const int channels[] = { 1, 2, 8 };
    static const int formats[] = { SF_FORMAT_WAV | SF_FORMAT_PCM_16,
                                   SF_FORMAT_WAV | SF_FORMAT_FLOAT,
                                   SF_FORMAT_WAV | SF_FORMAT_PCM_24 };
    for (size_t r = 0; r < ARRAY_LEN(rates); r++)
        for (size_t c = 0; c < ARRAY_LEN(channels); c++) {
            struct tone tone = { .format = formats[(r + c) % 3],
                                 .rate = rates[r],
                                 .channels = channels[c],
                                 .hz = 440.0,
                                 .level = 0.3,
                                 .n_frames = (size_t)rates[r] / 2 + 17 * r + c };
            check_tone(&tone, 1e-4, 0, 5e-5);
        }
}

static void lengths_are_exact_for_every_remainder(void **state)
{
    (void)state;
    static const int rates[] = { 4000, 11025, 44100, 48000 };
    struct error err;
    for (size_t r = 0; r < ARRAY_LEN(rates); r++)
        for (size_t extra = 0; extra < 12; extra++) {
            struct tone tone = { .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16, .rate = rates[r],
                                 .channels = 1, .hz = 300.0, .level = 0.3,
                                 .n_frames = 4090 + extra };
            const char *path = in_folder("length");
            write_tone(path, &tone);
            struct audio_file *file = NULL;
            assert_ok(audio_file_open(path, &file, &err), &err);
            size_t want = (size_t)floor((double)tone.n_frames * AUDIO_RATE / rates[r] + 0.5), n = 0;
            assert_int_equal(audio_file_info(file)->n_samples, want);
            int16_t block[333];
            for (size_t got = 1; got > 0; n += got)
                assert_ok(audio_file_read(file, block, ARRAY_LEN(block), &got, &err), &err);
            assert_int_equal(n, want);
            audio_file_free(file);
        }
}

static void lossy_formats_are_decoded(void **state)
{
    (void)state;
    struct tone tone = { .hz = 440.0, .level = 0.3, .channels = 1, .rate = 48000 };
    tone.n_frames = 96000;
    tone.format = SF_FORMAT_OGG | SF_FORMAT_OPUS;
    check_tone(&tone, 0.05, 0, 0.01);
    tone.format = SF_FORMAT_OGG | SF_FORMAT_VORBIS;
    check_tone(&tone, 0.05, 0, 0.01);
    tone.rate = 44100;
    tone.channels = 2;
    check_tone(&tone, 0.05, 0, 0.01);
    tone.format = SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III;
    check_tone(&tone, 0.05, 1700, 0.01); /* whole frames of 1,152, and the coder's delay */
    tone.rate = 16000;
    tone.channels = 1;
    check_tone(&tone, 0.05, 1700, 0.01);
}

static void the_mean_of_the_channels_is_taken(void **state)
{
    (void)state;
    struct error err;
    const char *path = in_folder("mean");
    SF_INFO info = { .samplerate = AUDIO_RATE, .channels = 8,
                     .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16 };
    SNDFILE *out = sf_open(path, SFM_WRITE, &info);
    assert_non_null(out);
    static const int16_t frames[2][8] = { { 800, -800, 1600, 0, 0, 0, 0, 8 },
                                          { -32768, -32768, -32768, -32768, -32768, -32768, -32768,
                                            -32768 } };
    assert_int_equal(sf_writef_short(out, frames[0], 2), 2);
    sf_close(out);
    int16_t *samples = NULL;
    size_t n = 0;
    assert_ok(audio_file_load(path, 100, &samples, &n, NULL, &err), &err);
    assert_int_equal(n, 2);
    assert_int_equal(samples[0], 201);
    assert_int_equal(samples[1], -32768);
    free(samples);
}

static void wild_floats_are_clipped(void **state)
{
    (void)state;
    struct error err;
    static const float wild[] = { 4.0f, -4.0f, NAN, INFINITY, -INFINITY, 0.5f, 1.0f };
    static const int16_t want[] = { 32767, -32768, 0, 32767, -32768, 16384, 32767 };
    const char *path = in_folder("wild");
    for (int rate = 16000; rate <= 48000; rate += 32000) {
        SF_INFO info = { .samplerate = rate, .channels = 1,
                         .format = SF_FORMAT_WAV | SF_FORMAT_FLOAT };
        SNDFILE *out = sf_open(path, SFM_WRITE, &info);
        assert_non_null(out);
        for (int i = 0; i < 300; i++)
            sf_writef_float(out, wild, ARRAY_LEN(wild));
        sf_close(out);
        int16_t *samples = NULL;
        size_t n = 0;
        assert_ok(audio_file_load(path, 3000, &samples, &n, NULL, &err), &err);
        assert_int_equal(n, (size_t)(2100 * 16000 / rate));
        if (rate == 16000)
            assert_memory_equal(samples + 7 * 299, want, sizeof(want));
        free(samples);
    }
}

static void resampling_does_not_shift_in_time(void **state)
{
    (void)state;
    struct error err;
    const char *path = in_folder("click");
    float *frames = calloc(48000, sizeof(*frames));
    assert_non_null(frames);
    for (int i = -30; i <= 30; i++) /* a smooth bump around frame 30,000 */
        frames[30000 + i] = (float)(0.8 * exp(-i * i / 60.0));
    SF_INFO info = { .samplerate = 48000, .channels = 1,
                     .format = SF_FORMAT_WAV | SF_FORMAT_FLOAT };
    SNDFILE *out = sf_open(path, SFM_WRITE, &info);
    assert_non_null(out);
    sf_writef_float(out, frames, 48000);
    sf_close(out);
    int16_t *samples = NULL;
    size_t n = 0, top = 0;
    assert_ok(audio_file_load(path, 16000, &samples, &n, NULL, &err), &err);
    for (size_t i = 0; i < n; i++)
        top = samples[i] > samples[top] ? i : top;
    assert_int_equal(top, 10000);
    assert_true(abs(samples[9999] - samples[10001]) < 30);
    free(samples);
    free(frames);
}

static void single_samples_and_silence_pass(void **state)
{
    (void)state;
    static const int rates[] = { 4000, 16000, 48000, 192000 };
    struct error err;
    for (size_t r = 0; r < ARRAY_LEN(rates); r++)
        for (size_t n_in = 1; n_in <= 40001; n_in += 40000) {
            struct tone tone = { .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16, .rate = rates[r],
                                 .channels = 2, .n_frames = n_in };
            write_tone(in_folder("silent"), &tone);
            int16_t *samples = NULL;
            size_t n = 0;
            const char *path = in_folder("silent");
            assert_ok(audio_file_load(path, 1 << 20, &samples, &n, NULL, &err), &err);
            double want = floor((double)n_in * AUDIO_RATE / rates[r] + 0.5);
            assert_int_equal(n, MAX((size_t)want, 1));
            for (size_t i = 0; i < n; i++)
                assert_int_equal(samples[i], 0);
            free(samples);
        }
}

static void memory_and_path_give_the_same(void **state)
{
    (void)state;
    struct error err;
    struct tone tone = { .format = SF_FORMAT_OGG | SF_FORMAT_VORBIS, .rate = 44100, .channels = 2,
                         .hz = 500.0, .level = 0.2, .n_frames = 60000 };
    const char *path = in_folder("both.ogg");
    write_tone(path, &tone);
    size_t size, n = 0, got = 0;
    uint8_t *data = read_bytes(path, &size);
    int16_t *a = NULL, *b = malloc(30000 * sizeof(*b));
    assert_non_null(b);
    assert_ok(audio_file_load(path, 30000, &a, &n, NULL, &err), &err);
    struct audio_file *file = NULL;
    assert_ok(audio_file_open_memory(data, size, "both", &file, &err), &err);
    assert_ok(audio_file_read(file, b, 30000, &got, &err), &err);
    assert_int_equal(got, n);
    assert_memory_equal(a, b, n * sizeof(*a));
    audio_file_free(file);
    free(data);
    free(a);
    free(b);
}

/* ---- what is refused, and how ---- */

static void check_refused(const char *path, enum status want, const char *word)
{
    struct error err;
    struct audio_file *file = (struct audio_file *)&err;
    enum status status = audio_file_open(path, &file, &err);
    if (status != want)
        fail_msg("%s: %s, not %s (%s)", path, status_text(status), status_text(want),
                 status == STATUS_OK ? "" : err.text);
    assert_null(file);
    if (!strstr(err.text, word) || !strstr(err.text, path) || strchr(err.text, '\n'))
        fail_msg("bad message: %s", err.text);
}

static void bad_files_are_refused_with_one_clear_line(void **state)
{
    (void)state;
    static const char text[] = "This is not audio, however long one listens to it. It is text.\n";
    check_refused(in_folder("absent.wav"), STATUS_NOT_FOUND, "no such file");
    check_refused(folder, STATUS_INVALID, "folder");
    write_bytes(in_folder("empty.wav"), "", 0);
    check_refused(in_folder("empty.wav"), STATUS_INVALID, "is empty");
    /* Names that libsndfile would take for headerless audio. */
    static const char *const names[] = { "text.wav", "text.raw", "text.vox", "text.gsm" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        write_bytes(in_folder(names[i]), text, sizeof(text) - 1);
        check_refused(in_folder(names[i]), STATUS_UNSUPPORTED, "convert it");
    }
    uint8_t wide[4000] = { 0xFF, 0xFE };    /* UTF-16: its mark looks like an MP3 frame */
    for (size_t i = 2; i < sizeof(wide); i += 2)
        wide[i] = (uint8_t)text[i / 2 % (sizeof(text) - 1)];
    write_bytes(in_folder("wide.txt"), wide, sizeof(wide));
    check_refused(in_folder("wide.txt"), STATUS_UNSUPPORTED, "convert it");
    write_bytes(in_folder("short"), "R", 1);
    check_refused(in_folder("short"), STATUS_UNSUPPORTED, "convert it");
    struct tone none = { .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16, .rate = 16000, .channels = 1 };
    write_tone(in_folder("none.wav"), &none);
    check_refused(in_folder("none.wav"), STATUS_INVALID, "0 samples");
    none.rate = 44100;
    write_tone(in_folder("none.wav"), &none);
    check_refused(in_folder("none.wav"), STATUS_INVALID, "0 samples");
    check_refused("/dev/null", STATUS_INVALID, "not a regular file");
}

static void rates_and_channels_beyond_the_caps_are_refused(void **state)
{
    (void)state;
    struct tone tone = { .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16, .rate = 999, .channels = 1,
                         .n_frames = 10 };
    write_tone(in_folder("cap"), &tone);
    check_refused(in_folder("cap"), STATUS_UNSUPPORTED, "999 Hz");
    tone.rate = 768001;
    write_tone(in_folder("cap"), &tone);
    check_refused(in_folder("cap"), STATUS_UNSUPPORTED, "768001 Hz");
    tone.rate = 768000;
    write_tone(in_folder("cap"), &tone);
    struct error err;
    int16_t *samples = NULL;
    size_t n = 0;
    assert_ok(audio_file_load(in_folder("cap"), 10, &samples, &n, NULL, &err), &err);
    free(samples);
    SF_INFO info = { .samplerate = 16000, .channels = 65,
                     .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16 };
    SNDFILE *file = sf_open(in_folder("cap"), SFM_WRITE, &info);
    int16_t frames[65 * 4] = { 0 };
    assert_non_null(file);
    sf_writef_short(file, frames, 4);
    sf_close(file);
    check_refused(in_folder("cap"), STATUS_UNSUPPORTED, "65 channels");
}

static void too_long_for_the_cap_is_said(void **state)
{
    (void)state;
    struct error err;
    int16_t *noise = noise_new(1000), *samples = NULL;
    size_t n = 0;
    write_s16(in_folder("cap"), SF_FORMAT_WAV, noise, 1000);
    assert_int_equal(audio_file_load(in_folder("cap"), 999, &samples, &n, NULL, &err),
                     STATUS_EXHAUSTED);
    assert_null(samples);
    assert_ok(audio_file_load(in_folder("cap"), 1000, &samples, &n, NULL, &err), &err);
    assert_int_equal(n, 1000);
    free(samples);
    free(noise);
}

/* Cuts a good file at many places: it is decoded as far as it goes with a warning, or refused. */
static void check_cuts(const char *path, const int16_t *want, size_t n_want, bool exact)
{
    size_t size, n_ok = 0;
    uint8_t *data = read_bytes(path, &size);
    int16_t *got = malloc((n_want + 4000) * sizeof(*got));
    assert_non_null(got);
    for (size_t cut = 1; cut < size; cut += cut < 300 ? 1 : size / 60 + 1) {
        struct error err;
        struct audio_file *file = NULL;
        size_t n = 0;
        enum status status = audio_file_open_memory(data, cut, "cut", &file, &err);
        if (status != STATUS_OK) {
            assert_true(strstr(err.text, "cut") && !strchr(err.text, '\n'));
            continue;
        }
        status = audio_file_read(file, got, n_want + 4000, &n, &err);
        assert_int_equal(status, STATUS_OK);
        assert_true(n <= n_want + (exact ? 0 : 2000));
        if (exact)
            assert_memory_equal(got, want, n * sizeof(*got));
        if (!audio_file_warning(file) && n < n_want)
            fail_msg("cut at %zu of %zu: %zu of %zu samples and no warning", cut, size, n, n_want);
        n_ok++;
        audio_file_free(file);
    }
    assert_true(n_ok > 10);
    free(data);
    free(got);
}

static void truncated_files_yield_what_is_there_and_a_warning(void **state)
{
    (void)state;
    int16_t *noise = noise_new(20000);
    write_s16(in_folder("cut"), SF_FORMAT_WAV, noise, 20000);
    check_cuts(in_folder("cut"), noise, 20000, true);
    write_s16(in_folder("cut"), SF_FORMAT_FLAC, noise, 20000);
    check_cuts(in_folder("cut"), noise, 20000, true);
    struct tone tone = { .format = SF_FORMAT_OGG | SF_FORMAT_VORBIS, .rate = 16000, .channels = 1,
                         .hz = 300.0, .level = 0.3, .n_frames = 160000 };
    write_tone(in_folder("cut"), &tone);
    check_cuts(in_folder("cut"), NULL, 160000, false);
    tone.format = SF_FORMAT_OGG | SF_FORMAT_OPUS;
    write_tone(in_folder("cut"), &tone);
    check_cuts(in_folder("cut"), NULL, 160000, false);
    free(noise);
}

static void damage_in_the_middle_is_said(void **state)
{
    (void)state;
    int16_t *noise = noise_new(60000), *samples = NULL;
    struct error err, warning;
    size_t size, n = 0;
    write_s16(in_folder("damaged.flac"), SF_FORMAT_FLAC, noise, 60000);
    uint8_t *data = read_bytes(in_folder("damaged.flac"), &size);
    memset(data + size / 2, 0x55, 40);
    write_bytes(in_folder("damaged.flac"), data, size);
    assert_ok(audio_file_load(in_folder("damaged.flac"), 1 << 20, &samples, &n, &warning, &err),
              &err);
    assert_non_null(strstr(warning.text, "damaged"));
    assert_in_range(n, 20000, 60000);
    assert_memory_equal(samples, noise, 20000 * sizeof(*samples));
    free(samples);
    free(noise);
    free(data);
}

/* Four seconds of a tone as MP3: the bytes, caller frees. */
static uint8_t *mp3_new(size_t *size)
{
    struct tone tone = { .format = SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, .rate = 16000,
                         .channels = 1, .hz = 300.0, .level = 0.3, .n_frames = 64000 };
    write_tone(in_folder("whole.mp3"), &tone);
    return read_bytes(in_folder("whole.mp3"), size);
}

static void truncated_mp3_yields_what_is_there(void **state)
{
    (void)state;
    struct error err, warning;
    size_t size;
    uint8_t *data = mp3_new(&size);
    write_bytes(in_folder("cut.mp3"), data, size / 2);
    int16_t *samples = NULL;
    size_t n = 0;
    assert_ok(audio_file_load(in_folder("cut.mp3"), 1 << 20, &samples, &n, &warning, &err), &err);
    assert_in_range(n, 25000, 36000);
    assert_non_null(strstr(warning.text, "truncated"));
    free(samples);
    free(data);
}

/* The warning of an MP3 file that is in memory. */
static struct error mp3_warning(const uint8_t *data, size_t size)
{
    struct error err, warning = { .code = STATUS_OK };
    struct audio_file *file;
    int16_t samples[4096];
    size_t n;
    assert_ok(audio_file_open_memory(data, size, "x.mp3", &file, &err), &err);
    do
        assert_ok(audio_file_read(file, samples, ARRAY_LEN(samples), &n, &err), &err);
    while (n > 0);
    if (audio_file_warning(file))
        error_set(&warning, STATUS_CORRUPT, "%s", audio_file_warning(file));
    audio_file_free(file);
    return warning;
}

/* Without the encoder's header frame only the last frame tells. */
static void truncated_mp3_without_a_size_is_noticed(void **state)
{
    (void)state;
    size_t size, frame = 0;
    uint8_t *data = mp3_new(&size);
    for (size_t i = 50; i + 4 < size && frame == 0; i++)
        if (memcmp(data + i, data, 2) == 0 && (data[i + 2] & 0x0C) == (data[2] & 0x0C))
            frame = i;
    assert_in_range(frame, 50, 2000);
    uint8_t *frames = data + frame;         /* the first frame is the header of the encoder */
    size -= frame;
    assert_int_equal(mp3_warning(frames, size).code, STATUS_OK);
    struct error warning = mp3_warning(frames, size - 20);
    assert_non_null(strstr(warning.text, "truncated"));
    uint8_t *tagged = calloc(1, size + 128);
    assert_non_null(tagged);
    memcpy(tagged, frames, size);
    memcpy(tagged + size, "TAGtitle", 8);
    assert_int_equal(mp3_warning(tagged, size + 128).code, STATUS_OK);
    free(tagged);
    free(data);
}

/* libmpg123 would. */
static void damaged_mp3_says_nothing_on_stderr(void **state)
{
    (void)state;
    struct error err, warning;
    size_t size, n_said;
    uint8_t *data = mp3_new(&size);
    int16_t *samples = NULL;
    size_t n = 0;
    memset(data + size / 2, 0x5A, size / 4);
    write_bytes(in_folder("damaged.mp3"), data, size);
    int kept = dup(STDERR_FILENO);
    FILE *said = fopen(in_folder("said"), "w+b");
    assert_true(kept >= 0 && said != NULL);
    assert_true(dup2(fileno(said), STDERR_FILENO) >= 0);
    enum status status =
        audio_file_load(in_folder("damaged.mp3"), 1 << 20, &samples, &n, &warning, &err);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    fclose(said);
    assert_ok(status, &err);
    assert_non_null(strstr(warning.text, "damaged"));
    free(read_bytes(in_folder("said"), &n_said));
    assert_int_equal(n_said, 0);
    free(samples);
    free(data);
}

static size_t n_descriptors(void)
{
    size_t n = 0;
    DIR *listing = opendir("/proc/self/fd");
    assert_non_null(listing);
    while (readdir(listing))
        n++;
    closedir(listing);
    return n;
}

static void descriptors_are_closed_on_every_path(void **state)
{
    (void)state;
    struct error err;
    size_t before = n_descriptors(), n = 0;
    int16_t *noise = noise_new(100), *samples = NULL;
    write_s16(in_folder("good"), SF_FORMAT_WAV, noise, 100);
    write_bytes(in_folder("bad"), "nothing like audio", 18);
    struct audio_file *file = NULL;
    assert_int_equal(audio_file_open(in_folder("bad"), &file, &err), STATUS_UNSUPPORTED);
    assert_int_equal(audio_file_open(folder, &file, &err), STATUS_INVALID);
    assert_ok(audio_file_load(in_folder("good"), 100, &samples, &n, NULL, &err), &err);
    free(samples);
    free(noise);
    audio_file_free(NULL);
    assert_int_equal(n_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sixteen_kilohertz_mono_is_passed_through_bit_for_bit),
        cmocka_unit_test(every_rate_and_channel_count_keeps_length_pitch_and_level),
        cmocka_unit_test(lengths_are_exact_for_every_remainder),
        cmocka_unit_test(lossy_formats_are_decoded),
        cmocka_unit_test(the_mean_of_the_channels_is_taken),
        cmocka_unit_test(wild_floats_are_clipped),
        cmocka_unit_test(resampling_does_not_shift_in_time),
        cmocka_unit_test(single_samples_and_silence_pass),
        cmocka_unit_test(memory_and_path_give_the_same),
        cmocka_unit_test(bad_files_are_refused_with_one_clear_line),
        cmocka_unit_test(rates_and_channels_beyond_the_caps_are_refused),
        cmocka_unit_test(too_long_for_the_cap_is_said),
        cmocka_unit_test(truncated_files_yield_what_is_there_and_a_warning),
        cmocka_unit_test(damage_in_the_middle_is_said),
        cmocka_unit_test(truncated_mp3_yields_what_is_there),
        cmocka_unit_test(truncated_mp3_without_a_size_is_noticed),
        cmocka_unit_test(damaged_mp3_says_nothing_on_stderr),
        cmocka_unit_test(descriptors_are_closed_on_every_path),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
