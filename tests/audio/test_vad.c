#include "../support/support.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/audio_file.h"
#include "audio/vad.h"

enum { UTTERANCES_MAX = 32, MS = AUDIO_RATE / 1000 };

/* ---- sounds ---- */

struct sound {
    int16_t *samples;
    size_t n, capacity;
    uint64_t random;
};

static struct sound sound_new(size_t seconds)
{
    struct sound sound = { .capacity = seconds * AUDIO_RATE, .random = 11 };
    sound.samples = calloc(sound.capacity, sizeof(*sound.samples));
    assert_non_null(sound.samples);
    return sound;
}

static void append(struct sound *sound, size_t ms, double tone, double noise)
{
    size_t n = ms * MS;
    assert_true(sound->n + n <= sound->capacity);
    for (size_t i = sound->n; i < sound->n + n; i++) {
        double x = 0.0, turn = 2.0 * M_PI * (double)i / AUDIO_RATE;
        for (int k = 1; k <= 8; k++) /* a voice of 150 Hz, at four syllables a second */
            x += tone / k * sin(150.0 * k * turn) * (0.7 + 0.3 * sin(4.0 * turn));
        x += (double)support_uniform(&sound->random, -1.0f, 1.0f) * noise;
        sound->samples[i] = (int16_t)lrint(32767.0 * fmin(fmax(x, -1.0), 1.0));
    }
    sound->n += n;
}

/* A recording of the pocketsphinx-testdata package over the noise that is there. */
static size_t append_speech(struct sound *sound, const char *number, double noise)
{
    struct error err;
    int16_t *samples = NULL;
    size_t n = 0;
    const char *path = support_format("/usr/share/pocketsphinx/test/data/librivox/"
                                      "sense_and_sensibility_01_austen_64kb-%s.wav", number);
    assert_ok(audio_file_load(path, 1 << 20, &samples, &n, NULL, &err), &err);
    assert_true(sound->n + n <= sound->capacity);
    for (size_t i = 0; i < n; i++) {
        double x = samples[i] + 32767.0 * noise * (double)support_uniform(&sound->random, -1, 1);
        sound->samples[sound->n + i] = (int16_t)lrint(fmin(fmax(x, -32768.0), 32767.0));
    }
    sound->n += n;
    free(samples);
    return n;
}

/* ---- running it ---- */

struct utterance {
    uint64_t start, end;
    bool forced;
};

struct result {
    struct utterance utterances[UTTERANCES_MAX];
    size_t n;
};

struct check {
    bool open;
    uint64_t settled;
};

/* Events alternate, and none contradicts what was called settled before. */
static void take_event(const struct vad_event *event, struct check *check, struct result *result)
{
    if (event->kind == VAD_NONE)
        return;
    assert_true(event->sample >= check->settled);
    assert_int_equal(event->kind, check->open ? VAD_END : VAD_START);
    assert_true(result->n < UTTERANCES_MAX);
    struct utterance *u = &result->utterances[result->n];
    if (check->open) {
        u->end = event->sample;
        u->forced = event->forced;
        assert_true(u->end > u->start && u->end - u->start <= 30000 * MS);
        result->n++;
    } else {
        assert_true(result->n == 0 || event->sample >= u[-1].end);
        u->start = event->sample;
    }
    check->open = !check->open;
}

static struct result run(const struct sound *sound, size_t chunk)
{
    struct error err;
    struct result result = { .n = 0 };
    struct check check = { .open = false };
    struct vad *vad = NULL;
    struct vad_event event;
    struct vad_options options = vad_options_default();
    assert_ok(vad_new(&options, &vad, &err), &err);
    for (size_t at = 0; at < sound->n;) {
        size_t end = MIN(at + chunk, sound->n);
        do {
            at += vad_feed(vad, sound->samples + at, end - at, &event);
            take_event(&event, &check, &result);
            assert_true(vad_settled(vad) >= check.settled && vad_settled(vad) <= at);
            check.settled = vad_settled(vad);
        } while (at < end || event.kind != VAD_NONE);
    }
    do {
        vad_finish(vad, &event);
        take_event(&event, &check, &result);
    } while (event.kind != VAD_NONE);
    assert_false(vad_in_utterance(vad));
    assert_false(check.open);
    vad_free(vad);
    return result;
}

static void assert_near(uint64_t got, double want_ms, double below_ms, double above_ms)
{
    double ms = (double)got / MS;
    if (ms < want_ms - below_ms || ms > want_ms + above_ms)
        fail_msg("%.0f ms, not within -%.0f .. +%.0f of %.0f ms", ms, below_ms, above_ms, want_ms);
}

/* ---- behaviour ---- */

static void bursts_in_noise_are_found_with_their_rolls(void **state)
{
    (void)state;
    static const double noises[] = { 0.0, 0.001, 0.01, 0.05 };
    for (size_t i = 0; i < ARRAY_LEN(noises); i++) {
        struct sound sound = sound_new(20);
        append(&sound, 2000, 0.0, noises[i]);
        append(&sound, 1500, 0.2, noises[i]);
        append(&sound, 1500, 0.0, noises[i]);
        append(&sound, 700, 0.2, noises[i]);
        append(&sound, 400, 0.0, noises[i]); /* shorter than the hangover */
        append(&sound, 700, 0.2, noises[i]);
        append(&sound, 2000, 0.0, noises[i]);
        struct result result = run(&sound, 1600);
        assert_int_equal(result.n, 2);
        assert_near(result.utterances[0].start, 2000 - 300, 40, 60);
        assert_near(result.utterances[0].end, 3500 + 300, 40, 60);
        assert_near(result.utterances[1].start, 5000 - 300, 40, 60);
        assert_near(result.utterances[1].end, 6800 + 300, 40, 60);
        assert_false(result.utterances[0].forced || result.utterances[1].forced);
        free(sound.samples);
    }
}

static void the_cut_of_the_calls_does_not_matter(void **state)
{
    (void)state;
    static const size_t chunks[] = { 1, 7, 319, 320, 321, 4000, 1 << 20 };
    struct sound sound = sound_new(40);
    append(&sound, 500, 0.0, 0.01);
    append_speech(&sound, "0880", 0.01);
    append(&sound, 1200, 0.0, 0.01);
    append(&sound, 31000, 0.2, 0.01);
    struct result want = run(&sound, 160);
    assert_true(want.n >= 2);
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        struct result got = run(&sound, chunks[i]);
        assert_int_equal(got.n, want.n);
        for (size_t u = 0; u < got.n; u++) {
            assert_int_equal(got.utterances[u].start, want.utterances[u].start);
            assert_int_equal(got.utterances[u].end, want.utterances[u].end);
        }
    }
    free(sound.samples);
}

static void silence_noise_and_clicks_start_nothing(void **state)
{
    (void)state;
    struct sound sound = sound_new(60);
    append(&sound, 5000, 0.0, 0.0);
    append(&sound, 5000, 0.0, 0.003);   /* the microphone comes on */
    append(&sound, 12000, 0.0, 0.03);   /* a fan: 20 dB more */
    append(&sound, 3000, 0.0, 0.003);
    for (int i = 0; i < 10; i++) {
        append(&sound, 20, 0.5, 0.003);
        append(&sound, 800, 0.0, 0.003);
    }
    assert_int_equal(run(&sound, 1600).n, 0);
    free(sound.samples);
}

static void speech_is_found_at_once_after_noise_changed(void **state)
{
    (void)state;
    struct sound sound = sound_new(40);
    append(&sound, 3000, 0.0, 0.001);
    append(&sound, 15000, 0.0, 0.02);
    append(&sound, 1000, 0.2, 0.02);
    append(&sound, 10000, 0.0, 0.001);
    append(&sound, 1000, 0.01, 0.001);
    append(&sound, 2000, 0.0, 0.001);
    struct result result = run(&sound, 1600);
    assert_int_equal(result.n, 2);
    assert_near(result.utterances[0].start, 18000 - 300, 40, 60);
    assert_near(result.utterances[0].end, 19000 + 300, 40, 60);
    assert_near(result.utterances[1].start, 29000 - 300, 40, 60);
    assert_near(result.utterances[1].end, 30000 + 300, 40, 60);
    free(sound.samples);
}

/* Speech without a pause is cut within 30 s where it is quietest; nothing is lost in between. */
static void long_speech_is_cut_at_its_quietest_place(void **state)
{
    (void)state;
    struct sound sound = sound_new(80);
    append(&sound, 1000, 0.0, 0.001);
    for (int i = 0; i < 14; i++) {      /* a dip of 160 ms every 5 s: too short for the hangover */
        append(&sound, 4840, 0.2, 0.001);
        append(&sound, 160, 0.0, 0.001);
    }
    append(&sound, 1500, 0.0, 0.001);
    struct result result = run(&sound, 800);
    assert_int_equal(result.n, 3);
    for (size_t i = 0; i < 2; i++) {
        const struct utterance *u = &result.utterances[i];
        assert_true(u->forced);
        assert_int_equal(u->end, u[1].start);
        double in_period = fmod((double)u->end / MS - 1000.0, 5000.0);
        assert_true(in_period > 4840.0 && in_period < 5000.0);
    }
    assert_false(result.utterances[2].forced);
    free(sound.samples);
}

/* The maximum is reached within the hangover: only silence would begin the next utterance. */
static void silence_behind_the_cut_begins_nothing(void **state)
{
    (void)state;
    struct sound sound = sound_new(40);
    append(&sound, 1000, 0.0, 0.001);
    append(&sound, 29400, 0.2, 0.001);  /* starts at 0.7 s, so the maximum is at 30.7 s */
    append(&sound, 3000, 0.0, 0.001);
    struct result result = run(&sound, 800);
    assert_int_equal(result.n, 1);
    assert_false(result.utterances[0].forced);
    assert_near(result.utterances[0].end, 30400 + 150, 150, 150);
    free(sound.samples);
}

static void real_speech_between_pauses_is_found(void **state)
{
    (void)state;
    static const char *const numbers[] = { "0870", "0880", "0890", "0920", "0930" };
    static const double noises[] = { 0.0, 0.0005, 0.005, 0.02 };
    for (size_t k = 0; k < ARRAY_LEN(noises); k++) {
        struct sound sound = sound_new(40);
        double starts[5], ends[5];
        append(&sound, 1500, 0.0, noises[k]);
        for (size_t i = 0; i < 5; i++) {
            starts[i] = (double)sound.n / MS;
            append_speech(&sound, numbers[i], noises[k]);
            ends[i] = (double)sound.n / MS;
            append(&sound, 1500, 0.0, noises[k]);
        }
        struct result result = run(&sound, 480);
        assert_int_equal(result.n, 5);
        for (size_t i = 0; i < 5; i++) { /* the recordings begin and end with up to 0.5 s of room */
            assert_near(result.utterances[i].start, starts[i], 320, 200);
            assert_near(result.utterances[i].end, ends[i], 400, 320);
        }
        free(sound.samples);
    }
}

static void the_end_of_the_input_ends_the_utterance(void **state)
{
    (void)state;
    struct sound sound = sound_new(10);
    append(&sound, 1000, 0.0, 0.001);
    append(&sound, 1007, 0.2, 0.001);
    struct result result = run(&sound, 100);
    assert_int_equal(result.n, 1);
    assert_int_equal(result.utterances[0].end, sound.n);
    sound.n = 0;
    assert_int_equal(run(&sound, 100).n, 0);
    free(sound.samples);
}

static void contradicting_options_are_refused(void **state)
{
    (void)state;
    struct error err;
    struct vad *vad = NULL;
    struct vad_options bad[8];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        bad[i] = vad_options_default();
    bad[0].post_roll_ms = bad[0].hangover_ms + 1;
    bad[1].utterance_max_ms = 30001;
    bad[2].cut_search_ms = 20000;
    bad[3].attack_ms = 0;
    bad[4].on_db = 3.0f;
    bad[5].off_db = NAN;
    bad[6].utterance_max_ms = 1000;
    bad[7].pre_roll_ms = UINT32_MAX;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(vad_new(&bad[i], &vad, &err), STATUS_INVALID);
        assert_null(vad);
    }
    vad_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bursts_in_noise_are_found_with_their_rolls),
        cmocka_unit_test(the_cut_of_the_calls_does_not_matter),
        cmocka_unit_test(silence_noise_and_clicks_start_nothing),
        cmocka_unit_test(speech_is_found_at_once_after_noise_changed),
        cmocka_unit_test(long_speech_is_cut_at_its_quietest_place),
        cmocka_unit_test(silence_behind_the_cut_begins_nothing),
        cmocka_unit_test(real_speech_between_pauses_is_found),
        cmocka_unit_test(the_end_of_the_input_ends_the_utterance),
        cmocka_unit_test(contradicting_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
