/* pcm_reader.h: raw s16le 16 kHz mono samples from a file descriptor (a pipe, stdin). */
#ifndef AUDIO_PCM_READER_H
#define AUDIO_PCM_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { PCM_READER_LATE_MAX = 64 * 1024 }; /* bytes: what a pipe holds */

/* Plain data; no release needed. The descriptors stay the caller's. */
struct pcm_reader {
    int fd;
    int stop_fd;                        /* -1: none */
    bool stopped;
    size_t n_late;                      /* bytes given since it was told to stop */
    uint8_t half;                       /* first byte of a sample whose second has not come yet */
    bool has_half;
    bool ended;
};

void pcm_reader_init(struct pcm_reader *reader, int fd);

/* From now on the input also ends when stop_fd (a pipe, an eventfd) can be read, even while a read
 * waits. What has come by then is still given, up to PCM_READER_LATE_MAX bytes. */
void pcm_reader_stop_by(struct pcm_reader *reader, int stop_fd);

/* Blocks until at least one sample or the end has come, then gives what is there, up to n_max (at
 * least 1) samples; *n_read == 0: the end. Interrupted calls go on; a non-blocking descriptor is
 * waited for. STATUS_IO when the system refuses. */
MUST_CHECK enum status pcm_reader_read(struct pcm_reader *reader, int16_t *samples, size_t n_max,
                                       size_t *n_read, struct error *err);

/* True when the input ended by itself in the middle of a sample: that byte was dropped. */
bool pcm_reader_odd_byte(const struct pcm_reader *reader);

#endif
