/* pcm_reader.h: raw s16le 16 kHz mono samples from a file descriptor (a pipe, stdin). */
#ifndef AUDIO_PCM_READER_H
#define AUDIO_PCM_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Plain data; no release needed. The descriptor stays the caller's. */
struct pcm_reader {
    int fd;
    uint8_t half;                       /* first byte of a sample whose second has not come yet */
    bool has_half;
    bool ended;
};

void pcm_reader_init(struct pcm_reader *reader, int fd);

/* Blocks until at least one sample or the end has come, then gives what is there, up to n_max (at
 * least 1) samples; *n_read == 0: the end. Interrupted calls go on; a non-blocking descriptor is
 * waited for. STATUS_IO when the system refuses. */
MUST_CHECK enum status pcm_reader_read(struct pcm_reader *reader, int16_t *samples, size_t n_max,
                                       size_t *n_read, struct error *err);

/* True when the input ended in the middle of a sample: that byte was dropped. */
bool pcm_reader_odd_byte(const struct pcm_reader *reader);

#endif
