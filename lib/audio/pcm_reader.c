#include "audio/pcm_reader.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

void pcm_reader_init(struct pcm_reader *reader, int fd)
{
    *reader = (struct pcm_reader){ .fd = fd };
}

/* One read that gives at least one byte, or 0 at the end, or -1 with errno. */
static ssize_t read_some(int fd, uint8_t *bytes, size_t n)
{
    for (;;) {
        ssize_t got = read(fd, bytes, n);
        if (got >= 0)
            return got;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd wait = { .fd = fd, .events = POLLIN };
            if (poll(&wait, 1, -1) < 0 && errno != EINTR)
                return -1;
        } else if (errno != EINTR) {
            return -1;
        }
    }
}

enum status pcm_reader_read(struct pcm_reader *reader, int16_t *samples, size_t n_max,
                            size_t *n_read, struct error *err)
{
    SA_ASSERT(n_max >= 1);
    uint8_t *bytes = (uint8_t *)samples;
    size_t have = 0;
    *n_read = 0;
    if (reader->has_half)
        bytes[have++] = reader->half;
    while (have < 2 && !reader->ended) {
        ssize_t got = read_some(reader->fd, bytes + have, n_max * 2 - have);
        if (got < 0)
            return error_set(err, STATUS_IO, "cannot read the audio input: %s", strerror(errno));
        reader->ended = got == 0;
        have += (size_t)got;
    }
    reader->has_half = have % 2 == 1;
    if (reader->has_half)
        reader->half = bytes[have - 1];
    *n_read = have / 2;
    for (size_t i = 0; i < *n_read; i++) /* the bytes stand where the samples go: no overlap */
        samples[i] = (int16_t)(uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
    return STATUS_OK;
}

bool pcm_reader_odd_byte(const struct pcm_reader *reader)
{
    return reader->ended && reader->has_half;
}
