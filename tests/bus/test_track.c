/* Frames as bytes, and which of a sender's frames are news: pure functions. */
#include "../support/support.h"

#include <stdbool.h>
#include <string.h>

#include "bus/bus_int.h"

#define AGE UINT64_C(750000)
#define SECOND UINT64_C(1000000)

static struct bus_frame frame_of(uint64_t incarnation, uint64_t sequence, uint64_t sent_us)
{
    return (struct bus_frame){.sender = "t1", .incarnation = incarnation, .sequence = sequence,
                              .sent_us = sent_us, .data = (const uint8_t *)"ab", .size = 2};
}

static struct bus_track begin(uint64_t incarnation, uint64_t sequence, uint64_t sent_us,
                              uint64_t now_us)
{
    struct bus_track track;
    struct bus_frame frame = frame_of(incarnation, sequence, sent_us);
    bus_track_begin(&track, &frame, now_us);
    return track;
}

static enum bus_verdict next(struct bus_track *track, uint64_t incarnation, uint64_t sequence,
                             uint64_t sent_us, uint64_t now_us)
{
    struct bus_frame frame = frame_of(incarnation, sequence, sent_us);
    return bus_track_frame(track, &frame, now_us, AGE);
}

static void frames_come_back_as_they_were(void **state)
{
    (void)state;
    static uint8_t bytes[BUS_FRAME_MAX], again[BUS_FRAME_MAX], payload[BUS_PAYLOAD_MAX];
    const size_t sizes[] = {0, 1, BUS_PAYLOAD_MAX};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct bus_frame out, frame = frame_of(UINT64_MAX, 1, 0x0123456789ABCDEF);
        memset(frame.sender, 'n', i == 2 ? BUS_NAME_MAX : 1);
        frame.data = payload;
        frame.size = sizes[i];
        size_t n = bus_frame_encode(&frame, bytes);
        assert_true(bus_frame_decode(bytes, n, &out));
        assert_int_equal(out.size, frame.size);
        assert_true(out.incarnation == UINT64_MAX && out.sent_us == frame.sent_us);
        assert_int_equal(bus_frame_encode(&out, again), n);
        assert_memory_equal(again, bytes, n);
        for (size_t cut = 0; cut < MIN(n - sizes[i], (size_t)40); cut++)
            assert_false(bus_frame_decode(bytes, cut, &out));
    }
}

static void what_is_no_frame_is_refused(void **state)
{
    (void)state;
    static uint8_t bytes[BUS_FRAME_MAX];
    struct bus_frame out, frame = frame_of(1, 1, 1);
    size_t n = bus_frame_encode(&frame, bytes);
    for (size_t at = 0; at < 6; at++) {     /* magic, version, length of the name, name */
        uint8_t old = bytes[at];
        bytes[at] = at == 5 ? '/' : 0;
        assert_false(bus_frame_decode(bytes, n, &out));
        bytes[at] = at == 4 ? BUS_NAME_MAX + 1 : '\n';
        assert_false(bus_frame_decode(bytes, n, &out));
        bytes[at] = old;
    }
    assert_true(bus_frame_decode(bytes, n, &out));
    assert_false(bus_frame_decode(bytes, BUS_FRAME_MAX, &out));     /* payload above its cap */
}

static void only_what_is_newer_is_taken(void **state)
{
    (void)state;
    struct bus_track track = begin(5, 10, 0, 0);
    assert_int_equal(next(&track, 5, 11, 0, 0), BUS_TAKEN);
    assert_int_equal(next(&track, 5, 11, 0, 0), BUS_STALE);
    assert_int_equal(next(&track, 5, 3, 0, 0), BUS_STALE);
    assert_int_equal(next(&track, 4, 99, 0, 0), BUS_STALE);
    assert_int_equal(next(&track, 5, 15, 0, 0), BUS_TAKEN);     /* gaps do not matter */
    assert_int_equal(next(&track, 6, 1, 0, 0), BUS_TAKEN);
    assert_int_equal(next(&track, 5, 16, 0, 0), BUS_STALE);
}

static void age_is_told_whatever_the_two_clocks_say(void **state)
{
    (void)state;
    const uint64_t ours[] = {0, 5 * SECOND, UINT64_MAX / 2};
    const uint64_t theirs[] = {900 * SECOND, 0, 12345};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        uint64_t now = ours[i], sent = theirs[i];
        struct bus_track track = begin(1, 1, sent, now + 40000);        /* 40 ms on the way */
        assert_int_equal(next(&track, 1, 2, sent + SECOND, now + SECOND + 90000), BUS_TAKEN);
        assert_int_equal(next(&track, 1, 3, sent + SECOND, now + SECOND + 40000 + AGE), BUS_TAKEN);
        assert_int_equal(next(&track, 1, 4, sent + SECOND, now + SECOND + 40001 + AGE), BUS_LATE);
        assert_int_equal(next(&track, 1, 4, sent + SECOND, now + SECOND), BUS_STALE);
        assert_int_equal(next(&track, 1, 5, sent + 3 * SECOND, now + 3 * SECOND), BUS_TAKEN);
        /* That one was quicker: the measure is now it. */
        assert_int_equal(next(&track, 1, 6, sent + 4 * SECOND, now + 4 * SECOND + AGE + 1),
                         BUS_LATE);
    }
}

static void clocks_that_drift_apart_are_followed(void **state)
{
    (void)state;
    struct bus_track track = begin(1, 1, 0, 0);
    for (uint64_t i = 1; i <= 4 * 3600 * 2; i++) {      /* two hours, 200 ppm: 1.44 s apart */
        uint64_t now = i * 250000, sent = now - now / 5000;
        assert_int_equal(next(&track, 1, 1 + i, sent, now), BUS_TAKEN);
    }
}

static void a_sender_that_slept_is_believed_soon(void **state)
{
    (void)state;
    struct bus_track track = begin(1, 1, 0, 0);
    uint64_t slept = 3600 * SECOND;
    int n_late = 0;
    for (uint64_t i = 1; i <= 40; i++)
        n_late += next(&track, 1, 1 + i, i * 250000, slept + i * 250000) == BUS_LATE;
    assert_int_equal(n_late, 6);        /* 1.5 s */
    assert_int_equal(next(&track, 1, 100, 11 * SECOND, slept + 12 * SECOND), BUS_LATE);
}

static void a_burst_of_old_frames_does_not_move_the_measure(void **state)
{
    (void)state;
    struct bus_track track = begin(1, 1, 0, 0);
    uint64_t now = 100 * SECOND;                        /* all come at once, after a freeze */
    int n_taken = 0;
    for (uint64_t i = 1; i <= 30; i++)
        n_taken += next(&track, 1, 1 + i, i * 250000, now) == BUS_TAKEN;
    assert_int_equal(n_taken, 0);
    assert_int_equal(next(&track, 1, 50, now, now), BUS_TAKEN);
    assert_int_equal(next(&track, 1, 51, now, now + AGE + 1), BUS_LATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_back_as_they_were),
        cmocka_unit_test(what_is_no_frame_is_refused),
        cmocka_unit_test(only_what_is_newer_is_taken),
        cmocka_unit_test(age_is_told_whatever_the_two_clocks_say),
        cmocka_unit_test(clocks_that_drift_apart_are_followed),
        cmocka_unit_test(a_sender_that_slept_is_believed_soon),
        cmocka_unit_test(a_burst_of_old_frames_does_not_move_the_measure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
