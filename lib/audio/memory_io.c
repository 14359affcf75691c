#include "audio/memory_io.h"

#include <string.h>

#include "base/status.h"

static sf_count_t io_length(void *user)
{
    const struct memory_io *io = user;
    return (sf_count_t)io->size;
}

static sf_count_t io_tell(void *user)
{
    const struct memory_io *io = user;
    return (sf_count_t)io->at;
}

/* Offsets come out of hostile headers: a place outside is refused, the position stays. */
static sf_count_t io_seek(sf_count_t offset, int whence, void *user)
{
    struct memory_io *io = user;
    sf_count_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? (sf_count_t)io->at
                                                                   : (sf_count_t)io->size;
    sf_count_t place;
    if (__builtin_add_overflow(from, offset, &place) || place < 0 || place > (sf_count_t)io->size)
        return -1;
    io->at = (size_t)place;
    return place;
}

static sf_count_t io_read(void *to, sf_count_t n, void *user)
{
    struct memory_io *io = user;
    if (n <= 0)
        return 0;
    size_t got = MIN((size_t)n, io->size - io->at);
    memcpy(to, io->data + io->at, got);
    io->at += got;
    return (sf_count_t)got;
}

static sf_count_t io_write(const void *from, sf_count_t n, void *user)
{
    struct memory_io *io = user;
    if (!io->room || n <= 0)
        return 0;
    size_t put = MIN((size_t)n, io->capacity - io->at);
    memcpy(io->room + io->at, from, put);
    io->at += put;
    io->size = MAX(io->size, io->at);
    return (sf_count_t)put;
}

SF_VIRTUAL_IO memory_io_callbacks(void)
{
    return (SF_VIRTUAL_IO){ .get_filelen = io_length,
                            .seek = io_seek,
                            .read = io_read,
                            .write = io_write,
                            .tell = io_tell };
}
