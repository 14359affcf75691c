/* audio_probe.h: truncation that libsndfile repairs without a word; for audio_file.c.
 *
 *     RIFF (WAV): the header promises more bytes than there are
 *     Ogg:        the last page does not carry the end-of-stream mark
 *     MP3:        the Xing header promises more bytes than there are, or, where there is none, the
 *                 last frame is not whole
 *
 * Sizes that a streaming writer leaves open (2 GiB and more) promise nothing. Other formats are
 * compared by their frame counts while they are read.
 */
#ifndef AUDIO_AUDIO_PROBE_H
#define AUDIO_AUDIO_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The file's bytes: data[size], or by pread when data is NULL (the descriptor's position stays). */
struct audio_probe {
    const uint8_t *data;
    int fd;
    uint64_t size;
};

/* True when it begins with the mark of a common audio container (an MP3 needs none). Two bytes of a
 * UTF-16 text already look like an MP3 to libsndfile. */
bool audio_probe_magic(const struct audio_probe *probe);

/* True when the file was cut off. */
bool audio_probe_truncated(const struct audio_probe *probe);

#endif
