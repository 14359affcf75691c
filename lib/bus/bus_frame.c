#include <string.h>

#include "bus/bus_int.h"

static const uint8_t magic[4] = {'S', 'A', 'B', BUS_VERSION};

bool bus_name_valid(const char *name, size_t n)
{
    if (n < 1 || n > BUS_NAME_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
              (name[i] >= '0' && name[i] <= '9') || (name[i] && strchr("-_.:", name[i]))))
            return false;
    return true;
}

static uint8_t *put_u64(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (8 * i));
    return at + 8;
}

static uint64_t get_u64(const uint8_t *at)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

size_t bus_frame_encode(const struct bus_frame *frame, uint8_t bytes[BUS_FRAME_MAX])
{
    size_t n = strnlen(frame->sender, sizeof(frame->sender));
    SA_ASSERT(bus_name_valid(frame->sender, n) && frame->size <= BUS_PAYLOAD_MAX);
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
    if (size < head || size - head > BUS_PAYLOAD_MAX || !bus_name_valid((const char *)bytes + 5, n))
        return false;
    memcpy(out->sender, bytes + 5, n);
    out->incarnation = get_u64(bytes + 5 + n);
    out->sequence = get_u64(bytes + 13 + n);
    out->sent_us = get_u64(bytes + 21 + n);
    out->data = bytes + head;
    out->size = size - head;
    return true;
}
