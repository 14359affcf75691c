/* Frames of clients as the model thread gets them. */
#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "../../target_node/uplink.c"
#include "../../target_node/vocabulary.c"

enum { N = 4000 };

/* Packs and reads again. */
static enum status pass(const struct wire_frame *frame, struct wire_frame *out, size_t *n_bytes,
                        struct error *err)
{
    struct wire_bytes bytes;
    assert_ok(wire_pack(frame, &bytes, err), err);
    enum status rc = uplink_read(bytes.data, bytes.size, out, n_bytes, err);
    wire_bytes_release(&bytes);
    return rc;
}

static struct wire_frame audio_frame(uint8_t *bytes, size_t n, enum wire_codec codec)
{
    struct wire_frame frame = {.kind = WIRE_AUDIO};
    frame.u.audio = (struct wire_audio){.utterance = 3, .first_sample = 8000, .codec = codec,
                                        .n_bytes = (uint32_t)n, .bytes = bytes};
    return frame;
}

static void flac_becomes_the_samples_that_were_sent(void **state)
{
    (void)state;
    int16_t samples[N];
    uint8_t flac[FLAC_BYTES_MAX];
    uint64_t seed = 1;
    size_t n;
    struct error err;
    for (size_t i = 0; i < N; i++)
        samples[i] = (int16_t)((int64_t)support_random(&seed) >> 56);
    assert_ok(flac_encode(samples, N, flac, &n, &err), &err);
    assert_true(n < sizeof(samples));
    struct wire_frame sent = audio_frame(flac, n, WIRE_FLAC), frame;
    assert_ok(pass(&sent, &frame, &n, &err), &err);
    assert_int_equal(frame.u.audio.codec, WIRE_PCM_S16);
    assert_int_equal(frame.u.audio.n_bytes, sizeof(samples));
    assert_memory_equal(frame.u.audio.bytes, samples, sizeof(samples));
    assert_int_equal(frame.u.audio.utterance, 3);
    assert_int_equal(frame.u.audio.first_sample, 8000);
    assert_int_equal(n, sizeof(samples));   /* what waits is counted as it is, not as it came */
    wire_frame_release(&frame);
}

static void what_is_no_flac_is_refused(void **state)
{
    (void)state;
    uint8_t noise[] = "fLaC and then nothing of the kind";
    size_t n;
    struct error err;
    struct wire_frame sent = audio_frame(noise, sizeof(noise), WIRE_FLAC), frame;
    assert_int_equal(pass(&sent, &frame, &n, &err), STATUS_CORRUPT);
    assert_int_equal(uplink_read(noise, sizeof(noise), &frame, &n, &err), STATUS_CORRUPT);
}

static void other_frames_pass(void **state)
{
    (void)state;
    uint8_t pcm[] = {1, 2, 3, 4};
    size_t n;
    struct error err;
    struct wire_frame sent = audio_frame(pcm, sizeof(pcm), WIRE_PCM_S16), frame;
    assert_ok(pass(&sent, &frame, &n, &err), &err);
    assert_int_equal(frame.u.audio.n_bytes, sizeof(pcm));
    assert_memory_equal(frame.u.audio.bytes, pcm, sizeof(pcm));
    wire_frame_release(&frame);
    sent = (struct wire_frame){.kind = WIRE_CANCEL, .u.cancel.utterance = 9};
    assert_ok(pass(&sent, &frame, &n, &err), &err);
    assert_int_equal(frame.kind, WIRE_CANCEL);
    assert_int_equal(frame.u.cancel.utterance, 9);
    wire_frame_release(&frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flac_becomes_the_samples_that_were_sent),
        cmocka_unit_test(what_is_no_flac_is_refused),
        cmocka_unit_test(other_frames_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
