/* Is a frame news? Order is told by (incarnation, sequence). Age cannot be read off clocks that do
 * not agree; but (receiver's clock - sender's clock) has a least value, that of the quickest frame,
 * and what is above it is time spent in queues (as in LEDBAT, RFC 6817, "base delay"). */
#include <string.h>

#include "bus/bus_int.h"

#define MINUTE_US UINT64_C(60000000)

void bus_track_begin(struct bus_track *track, const struct bus_frame *frame, uint64_t now_us)
{
    memset(track, 0, sizeof(*track));
    memcpy(track->sender, frame->sender, sizeof(track->sender));
    track->incarnation = frame->incarnation;
    track->sequence = frame->sequence;
    track->heard_us = now_us;
    track->minute_us = now_us;
    track->quickest = now_us - frame->sent_us;
    track->quickest_before = track->quickest;
}

/* Offsets are differences of clocks that have nothing in common: only their order means something,
 * and they may wrap. */
static uint64_t quicker(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0 ? a : b;
}

/* How much longer than the quickest this one took. */
static uint64_t lateness(struct bus_track *track, uint64_t offset, uint64_t now_us)
{
    if (now_us - track->minute_us >= MINUTE_US) {
        track->quickest_before = track->quickest;
        track->quickest = offset;
        track->minute_us = now_us;
    }
    track->quickest = quicker(track->quickest, offset);
    return offset - quicker(track->quickest, track->quickest_before);
}

/* Have all been late for so long that the clock has to be believed? */
static bool late_too_long(struct bus_track *track, uint64_t offset, uint64_t now_us,
                          uint64_t age_max_us)
{
    track->late_quickest = track->late ? quicker(track->late_quickest, offset) : offset;
    if (!track->late)
        track->late_since_us = now_us;
    track->late = true;
    if (now_us - track->late_since_us < 2 * age_max_us)
        return false;
    track->quickest = track->quickest_before = track->late_quickest;
    return true;
}

enum bus_verdict bus_track_frame(struct bus_track *track, const struct bus_frame *frame,
                                 uint64_t now_us, uint64_t age_max_us)
{
    uint64_t offset = now_us - frame->sent_us;
    if (frame->incarnation > track->incarnation) {
        bus_track_begin(track, frame, now_us);
        return BUS_TAKEN;
    }
    if (frame->incarnation < track->incarnation || frame->sequence <= track->sequence)
        return BUS_STALE;
    track->sequence = frame->sequence;
    track->heard_us = now_us;
    if (lateness(track, offset, now_us) > age_max_us &&
        !late_too_long(track, offset, now_us, age_max_us))
        return BUS_LATE;
    track->late = false;
    return BUS_TAKEN;
}
