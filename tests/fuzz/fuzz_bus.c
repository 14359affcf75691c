/* Frames of the bus: what is accepted is written in the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "bus/bus_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[BUS_FRAME_MAX];
    struct bus_frame frame;
    if (!bus_frame_decode(data, size, &frame))
        return 0;
    if (bus_frame_encode(&frame, again) != size || memcmp(again, data, size) != 0)
        abort();
    return 0;
}
