#include "../support/support.h"

#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/audio_file.h"
#include "audio/flac_codec.h"
#include "audio/memory_io.h"

static const char speech_path[] =
    "/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0870.wav";

static size_t check_round_trip(const int16_t *samples, size_t n)
{
    struct error err;
    uint8_t *bytes = malloc(FLAC_BYTES_MAX);
    int16_t *back = malloc(FLAC_SAMPLES_MAX * sizeof(*back));
    assert_true(bytes && back);
    size_t n_bytes = 0, n_back = 0;
    assert_ok(flac_encode(samples, n, bytes, &n_bytes, &err), &err);
    assert_in_range(n_bytes, 1, FLAC_BYTES_MAX);
    assert_ok(flac_decode(bytes, n_bytes, back, n, &n_back, &err), &err);
    assert_int_equal(n_back, n);
    assert_memory_equal(samples, back, n * sizeof(*back));
    free(bytes);
    free(back);
    return n_bytes;
}

static void chunks_of_any_length_come_back_bit_for_bit(void **state)
{
    (void)state;
    static const size_t lengths[] = { 1, 2, 15, 16, 17, 160, 4095, 4096, 4097, 16000,
                                      FLAC_SAMPLES_MAX };
    int16_t *noise = malloc(FLAC_SAMPLES_MAX * sizeof(*noise));
    int16_t *silence = calloc(FLAC_SAMPLES_MAX, sizeof(*silence));
    assert_true(noise && silence);
    uint64_t random = 1;
    for (size_t i = 0; i < FLAC_SAMPLES_MAX; i++)
        noise[i] = (int16_t)(support_random(&random) >> 48);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        check_round_trip(noise, lengths[i]);
        check_round_trip(silence, lengths[i]);
    }
    free(noise);
    free(silence);
}

static void speech_gets_smaller_at_useful_chunk_sizes(void **state)
{
    (void)state;
    static const size_t chunks[] = { 1600, 3200, 8000, 16000, FLAC_SAMPLES_MAX };
    struct error err;
    int16_t *samples = NULL;
    size_t n = 0;
    assert_ok(audio_file_load(speech_path, 1 << 20, &samples, &n, NULL, &err), &err);
    for (size_t c = 0; c < ARRAY_LEN(chunks); c++) {
        size_t n_bytes = 0;
        for (size_t at = 0; at < n; at += chunks[c])
            n_bytes += check_round_trip(samples + at, MIN(chunks[c], n - at));
        double ratio = (double)n_bytes / (double)(2 * n);
        printf("chunks of %zu samples: %.3f of the PCM bytes\n", chunks[c], ratio);
        assert_true(ratio < (chunks[c] < 8000 ? 0.75 : 0.6));
    }
    free(samples);
}

/* A stream of another kind, as a peer could send it. */
static size_t encode_other(int format, int rate, int channels, size_t n_frames, uint8_t *out,
                           size_t capacity)
{
    struct memory_io io = { .data = out, .room = out, .capacity = capacity };
    SF_VIRTUAL_IO callbacks = memory_io_callbacks();
    SF_INFO info = { .samplerate = rate, .channels = channels, .format = format };
    SNDFILE *file = sf_open_virtual(&callbacks, SFM_WRITE, &info, &io);
    assert_non_null(file);
    int16_t *frames = calloc(n_frames * (size_t)channels, sizeof(*frames));
    assert_non_null(frames);
    assert_int_equal(sf_writef_short(file, frames, (sf_count_t)n_frames), n_frames);
    sf_close(file);
    free(frames);
    return io.size;
}

static void other_streams_are_refused(void **state)
{
    (void)state;
    static const struct { int format, rate, channels; size_t n; enum status want; } cases[] = {
        { SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, 1000, STATUS_OK },
        { SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, 1001, STATUS_EXHAUSTED },
        { SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, 900000, STATUS_EXHAUSTED },
        { SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 8000, 1, 100, STATUS_UNSUPPORTED },
        { SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 2, 100, STATUS_UNSUPPORTED },
        { SF_FORMAT_FLAC | SF_FORMAT_PCM_24, 16000, 1, 100, STATUS_UNSUPPORTED },
        { SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, 100, STATUS_CORRUPT },
        { SF_FORMAT_OGG | SF_FORMAT_VORBIS, 16000, 1, 100, STATUS_CORRUPT },
    };
    uint8_t *bytes = malloc(FLAC_BYTES_MAX);
    int16_t samples[1000];
    assert_non_null(bytes);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err;
        size_t n = 7, n_bytes = encode_other(cases[i].format, cases[i].rate, cases[i].channels,
                                             cases[i].n, bytes, FLAC_BYTES_MAX);
        enum status status = flac_decode(bytes, n_bytes, samples, 1000, &n, &err);
        if (status != cases[i].want)
            fail_msg("case %zu: %s", i, status == STATUS_OK ? "taken" : err.text);
        assert_int_equal(n, status == STATUS_OK ? cases[i].n : 0);
    }
    free(bytes);
}

static void truncated_chunks_are_corrupt(void **state)
{
    (void)state;
    struct error err;
    int16_t samples[500], back[500];
    uint64_t random = 2;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++)
        samples[i] = (int16_t)(support_random(&random) >> 52);
    uint8_t *bytes = malloc(FLAC_BYTES_MAX);
    assert_non_null(bytes);
    size_t n_bytes = 0, n = 0;
    assert_ok(flac_encode(samples, 500, bytes, &n_bytes, &err), &err);
    for (size_t cut = 0; cut < n_bytes; cut++) {
        uint8_t *part = malloc(cut + 1); /* the sanitizer sees reads behind the end */
        assert_non_null(part);
        memcpy(part, bytes, cut);
        assert_int_equal(flac_decode(part, cut, back, 500, &n, &err), STATUS_CORRUPT);
        assert_int_equal(n, 0);
        free(part);
    }
    free(bytes);
}

/* A flipped bit is noticed, or it changes no sample (but perhaps how many there are). */
static void flipped_bits_never_change_samples_unnoticed(void **state)
{
    (void)state;
    struct error err;
    int16_t samples[500], back[500];
    uint64_t random = 2;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++)
        samples[i] = (int16_t)(support_random(&random) >> 52);
    uint8_t *bytes = malloc(FLAC_BYTES_MAX);
    assert_non_null(bytes);
    size_t n_bytes = 0, n = 0, refused = 0;
    assert_ok(flac_encode(samples, 500, bytes, &n_bytes, &err), &err);
    for (size_t bit = 0; bit < n_bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (flac_decode(bytes, n_bytes, back, 500, &n, &err) == STATUS_OK)
            assert_memory_equal(samples, back, n * sizeof(*back));
        else
            refused++;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(refused > n_bytes * 8 / 2);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_of_any_length_come_back_bit_for_bit),
        cmocka_unit_test(speech_gets_smaller_at_useful_chunk_sizes),
        cmocka_unit_test(other_streams_are_refused),
        cmocka_unit_test(truncated_chunks_are_corrupt),
        cmocka_unit_test(flipped_bits_never_change_samples_unnoticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
