#include <string.h>

#include "base/little_endian.h"
#include "base/name.h"
#include "bus/bus_int.h"

static const uint8_t magic[4] = {'S', 'A', 'B', BUS_VERSION};

size_t bus_frame_encode(const struct bus_frame *frame, uint8_t bytes[BUS_FRAME_MAX])
{
    size_t n = strnlen(frame->sender, sizeof(frame->sender));
    SA_ASSERT(name_valid(frame->sender, n, BUS_NAME_MAX) && frame->size <= BUS_PAYLOAD_MAX);
    memcpy(bytes, magic, sizeof(magic));
    bytes[4] = (uint8_t)n;
    memcpy(bytes + 5, frame->sender, n);
    uint8_t *at = put_u64(bytes + 5 + n, frame->incarnation);
    at = put_u64(at, frame->sequence);
    at = put_u64(at, frame->sent_us);
    if (frame->size)
        memcpy(at, frame->data, frame->size);
    return (size_t)(at - bytes) + frame->size;
}

bool bus_frame_decode(const uint8_t *bytes, size_t size, struct bus_frame *out)
{
    memset(out, 0, sizeof(*out));
    if (size < 5 || size > BUS_FRAME_MAX || memcmp(bytes, magic, sizeof(magic)) != 0)
        return false;
    size_t n = bytes[4], head = 5 + n + 24;
    const char *name = (const char *)bytes + 5;
    if (size < head || size - head > BUS_PAYLOAD_MAX || !name_valid(name, n, BUS_NAME_MAX))
        return false;
    memcpy(out->sender, name, n);
    out->incarnation = get_u64(bytes + 5 + n);
    out->sequence = get_u64(bytes + 13 + n);
    out->sent_us = get_u64(bytes + 21 + n);
    out->data = bytes + head;
    out->size = size - head;
    return true;
}
