#include "audio/audio_probe.h"

#include <string.h>
#include <unistd.h>

#include "base/status.h"

enum {
    RIFF_OPEN = 0x7FFF0000,             /* sizes from here on are place holders */
    TAIL_BYTES = 66 * 1024,             /* an Ogg page has at most 27 + 255 + 255 * 255 bytes */
    OGG_HEADER_BYTES = 27,
    OGG_END_OF_STREAM = 4,
    XING_SEARCH_BYTES = 64,             /* frame header and side information lie before the mark */
    XING_HAS_FRAMES = 1,
    XING_HAS_BYTES = 2
};

/* Reads up to n bytes at a place; returns how many there were. */
static size_t read_at(const struct audio_probe *probe, uint64_t at, uint8_t *to, size_t n)
{
    if (at >= probe->size)
        return 0;
    n = MIN(n, probe->size - at);
    if (!probe->data) {
        ssize_t got = pread(probe->fd, to, n, (off_t)at);
        return got > 0 ? (size_t)got : 0;
    }
    memcpy(to, probe->data + at, n);
    return n;
}

static uint32_t little32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t big32(const uint8_t *p)
{
    return (uint32_t)p[3] | (uint32_t)p[2] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[0] << 24;
}

bool audio_probe_magic(const struct audio_probe *probe)
{
    static const char marks[][5] = { "RIFF", "RIFX", "RF64", "riff",
                                     "fLaC", "OggS", "FORM", "caff" };
    uint8_t head[4];
    bool known = false;
    if (read_at(probe, 0, head, sizeof(head)) < sizeof(head))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        known = known || memcmp(head, marks[i], sizeof(head)) == 0;
    return known;
}

static bool riff_cut(const uint8_t *head, uint64_t size)
{
    uint32_t promised = little32(head + 4);
    return promised < RIFF_OPEN && (uint64_t)promised + 8 > size + 1; /* +1: a pad byte */
}

/* Bytes of the page at `page`, or 0 when it does not fit in n bytes. */
static size_t ogg_page_size(const uint8_t *page, size_t n)
{
    if (n < OGG_HEADER_BYTES)
        return 0;
    size_t n_segments = page[26], size = OGG_HEADER_BYTES + n_segments;
    if (n < size)
        return 0;
    for (size_t i = 0; i < n_segments; i++)
        size += page[OGG_HEADER_BYTES + i];
    return size <= n ? size : 0;
}

static bool ogg_cut(const struct audio_probe *probe)
{
    uint8_t tail[TAIL_BYTES];
    uint64_t from = probe->size > TAIL_BYTES ? probe->size - TAIL_BYTES : 0;
    size_t n = read_at(probe, from, tail, sizeof(tail));
    for (size_t i = n; i-- > 0;)
        if (n - i >= 4 && memcmp(tail + i, "OggS", 4) == 0)
            return ogg_page_size(tail + i, n - i) == 0 || !(tail[i + 5] & OGG_END_OF_STREAM);
    return true;
}

/* Bytes of the layer III frame that begins with `head`, by ISO 11172-3 and 13818-3; 0: that is no
 * such header (or one of free format, which does not tell). */
static uint64_t mp3_frame_size(const uint8_t *head)
{
    static const uint16_t kbits[2][16] = {
        { 0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0 },
        { 0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0 } };
    static const uint16_t rates[4] = { 44100, 48000, 32000, 0 };
    uint32_t version = head[1] >> 3 & 3; /* 0: 2.5, 2: 2, 3: 1 */
    uint32_t rate = rates[head[2] >> 2 & 3] >> (version == 3 ? 0 : version == 2 ? 1 : 2);
    uint32_t bits = kbits[version == 3][head[2] >> 4] * 1000u;
    bool good = head[0] == 0xFF && (head[1] & 0xE0) == 0xE0 && version != 1 &&
                (head[1] >> 1 & 3) == 1 && rate > 0 && bits > 0;
    return good ? (version == 3 ? 144 : 72) * bits / rate + (head[2] >> 1 & 1) : 0;
}

/* From frame to frame: is the last one whole? What is no frame (a tag, a hole) ends the walk. */
static bool mp3_frame_cut(const struct audio_probe *probe, uint64_t at)
{
    uint8_t head[4];
    uint64_t size = 1;
    while (size > 0 && at < probe->size) {
        size_t n = read_at(probe, at, head, sizeof(head));
        if (n < sizeof(head))
            return n > 0 && head[0] == 0xFF;
        size = mp3_frame_size(head);
        at += size;
    }
    return at > probe->size;
}

/* `start`: the first frame, behind the ID3 tag. */
static bool mp3_cut(const struct audio_probe *probe, uint64_t start)
{
    uint8_t frame[XING_SEARCH_BYTES];
    size_t n = read_at(probe, start, frame, sizeof(frame));
    for (size_t i = 4; i + 16 <= n; i++) {
        if (memcmp(frame + i, "Xing", 4) != 0 && memcmp(frame + i, "Info", 4) != 0)
            continue;
        uint32_t flags = big32(frame + i + 4);
        const uint8_t *bytes = frame + i + (flags & XING_HAS_FRAMES ? 12 : 8);
        if (flags & XING_HAS_BYTES)
            return start + big32(bytes) > probe->size;
    }
    return mp3_frame_cut(probe, start);
}

/* Bytes of an ID3v2 tag: a header of 10 and four times seven bits. */
static uint64_t id3_size(const uint8_t *head)
{
    return 10 + ((uint64_t)(head[6] & 0x7F) << 21 | (uint64_t)(head[7] & 0x7F) << 14 |
                 (uint64_t)(head[8] & 0x7F) << 7 | (uint64_t)(head[9] & 0x7F));
}

bool audio_probe_truncated(const struct audio_probe *probe)
{
    uint8_t head[12];
    if (read_at(probe, 0, head, sizeof(head)) < sizeof(head))
        return false;
    if (memcmp(head, "RIFF", 4) == 0)
        return riff_cut(head, probe->size);
    if (memcmp(head, "OggS", 4) == 0)
        return ogg_cut(probe);
    if (memcmp(head, "ID3", 3) == 0)
        return mp3_cut(probe, id3_size(head));
    return head[0] == 0xFF && (head[1] & 0xE0) == 0xE0 && mp3_cut(probe, 0);
}
