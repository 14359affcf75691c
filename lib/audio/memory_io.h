/* memory_io.h: a block of memory as a file for libsndfile; for audio_file.c and flac_codec.c. */
#ifndef AUDIO_MEMORY_IO_H
#define AUDIO_MEMORY_IO_H

#include <sndfile.h>
#include <stddef.h>
#include <stdint.h>

/* Reading: data[size]. Writing: room[capacity], size grows up to it; more is refused. */
struct memory_io {
    const uint8_t *data;
    uint8_t *room;                      /* NULL: read only */
    size_t capacity;
    size_t size;
    size_t at;
};

/* Callbacks for sf_open_virtual; the user data is a struct memory_io. */
SF_VIRTUAL_IO memory_io_callbacks(void);

#endif
