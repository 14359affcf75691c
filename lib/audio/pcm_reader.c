#include "audio/pcm_reader.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

void pcm_reader_init(struct pcm_reader *reader, int fd)
{
    *reader = (struct pcm_reader){ .fd = fd, .stop_fd = -1 };
}

void pcm_reader_stop_by(struct pcm_reader *reader, int stop_fd)
{
    reader->stop_fd = stop_fd;
}

/* Waits until there is something to read, which may be the end or an error; 0: stopped; or -1 with
 * errno. */
static int wait_readable(struct pcm_reader *reader)
{
    struct pollfd waits[2] = { { .fd = reader->fd, .events = POLLIN },
                               { .fd = reader->stop_fd, .events = POLLIN } };
    if (reader->fd < 0)                 /* poll would skip it and wait for ever; read refuses it */
        return 1;
    while (poll(waits, 2, -1) < 0)
        if (errno != EINTR)
            return -1;
    reader->stopped = waits[1].revents != 0;
    return !reader->stopped || (waits[0].revents && reader->n_late < PCM_READER_LATE_MAX);
}

/* One read that gives at least one byte, or 0 at the end, or -1 with errno. */
static ssize_t read_some(struct pcm_reader *reader, uint8_t *bytes, size_t n)
{
    for (;;) {
        int ready = wait_readable(reader);
        if (ready <= 0)
            return ready;
        if (reader->stopped)
            n = MIN(n, PCM_READER_LATE_MAX - reader->n_late);
        ssize_t got = read(reader->fd, bytes, n);
        if (got > 0 && reader->stopped)
            reader->n_late += (size_t)got;
        if (got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
            return got;
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
        ssize_t got = read_some(reader, bytes + have, n_max * 2 - have);
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
    return reader->ended && reader->has_half && !reader->stopped;
}
