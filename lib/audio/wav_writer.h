/* wav_writer.h: 16 kHz mono s16 samples into a WAV file: what live input keeps when its text cannot
 * be had. */
#ifndef AUDIO_WAV_WRITER_H
#define AUDIO_WAV_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Writes a new file; one that exists already is left alone. STATUS_INVALID for more samples than
 * the format holds (4 GiB), STATUS_IO when it cannot be written (nothing stays); the text names the
 * path. */
MUST_CHECK enum status wav_write(const char *path, const int16_t *samples, size_t n,
                                 struct error *err);

#endif
