/* audio_probe.h: truncation that libsndfile repairs without a word; for audio_file.c.
 *
 *     RIFF (WAV): the header promises more bytes than there are
 *     Ogg:        the last page does not carry the end-of-stream mark
 *
 * Sizes that a streaming writer leaves open (0, and 2 GiB or more) promise nothing. Other formats
 * are compared by their frame counts while they are read.
 */
#ifndef AUDIO_AUDIO_PROBE_H
#define AUDIO_AUDIO_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Fills *warning when the file is cut off, else leaves it. `name` stands in the text. */
void audio_probe_memory(const uint8_t *data, size_t size, const char *name, struct error *warning);

/* The same by pread: the descriptor's position stays. */
void audio_probe_fd(int fd, const char *name, struct error *warning);

#endif
