#include "audio/audio_probe.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* An Ogg page has at most 27 + 255 + 255 * 255 bytes, so the last one begins within the tail. */
enum { HEAD_BYTES = 12, TAIL_BYTES = 66 * 1024, OGG_HEADER_BYTES = 27, OGG_END_OF_STREAM = 4 };

static void warn(const char *name, const char *what, struct error *warning)
{
    error_set(warning, STATUS_CORRUPT, "%s is truncated (%s): what is there is used", name, what);
}

static bool riff_cut(const uint8_t *head, uint64_t size)
{
    uint32_t promised = (uint32_t)head[4] | (uint32_t)head[5] << 8 | (uint32_t)head[6] << 16 |
                        (uint32_t)head[7] << 24;
    return promised < 0x7FFF0000u && (uint64_t)promised + 8 > size + 1; /* +1: a pad byte */
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

static bool ogg_cut(const uint8_t *tail, size_t n)
{
    for (size_t i = n; i-- > 0;)
        if (n - i >= 4 && memcmp(tail + i, "OggS", 4) == 0)
            return ogg_page_size(tail + i, n - i) == 0 || !(tail[i + 5] & OGG_END_OF_STREAM);
    return true;
}

void audio_probe_memory(const uint8_t *data, size_t size, const char *name, struct error *warning)
{
    if (size < HEAD_BYTES)
        return;
    size_t n_tail = MIN(size, (size_t)TAIL_BYTES);
    if (memcmp(data, "RIFF", 4) == 0 && riff_cut(data, size))
        warn(name, "its header promises more", warning);
    if (memcmp(data, "OggS", 4) == 0 && ogg_cut(data + size - n_tail, n_tail))
        warn(name, "its last page is missing", warning);
}

void audio_probe_fd(int fd, const char *name, struct error *warning)
{
    uint8_t head[HEAD_BYTES], tail[TAIL_BYTES];
    struct stat st;
    if (fstat(fd, &st) != 0 || pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
        return;
    if (memcmp(head, "RIFF", 4) == 0 && riff_cut(head, (uint64_t)st.st_size))
        warn(name, "its header promises more", warning);
    if (memcmp(head, "OggS", 4) != 0)
        return;
    off_t from = MAX((off_t)0, st.st_size - TAIL_BYTES);
    ssize_t n = pread(fd, tail, sizeof(tail), from);
    if (n > 0 && ogg_cut(tail, (size_t)n))
        warn(name, "its last page is missing", warning);
}
