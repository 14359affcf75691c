/* audio_file.h: audio files in, 16 kHz mono s16 samples out, as a stream of bounded memory.
 *
 *     WAV, FLAC, Ogg Vorbis, Ogg Opus, MP3 and what else libsndfile reads
 *       -> frames of any rate and channel count
 *       -> mono: the arithmetic mean of the channels
 *       -> 16 kHz: libsamplerate, delay and tail kept: round(n * 16000 / rate) samples, +-1
 *       -> s16, rounded to nearest and clipped
 *
 * A 16 kHz mono file of at most 16 bits is passed through bit for bit. The samples are s16 because
 * the wire carries s16: the draft, the target and the target alone all see the same audio.
 *
 * A truncated file yields what is there, as other players do; audio_file_warning then says so.
 */
#ifndef AUDIO_AUDIO_FILE_H
#define AUDIO_AUDIO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
    AUDIO_RATE = 16000,                 /* samples per second of everything behind this header */
    AUDIO_FILE_RATE_MIN = 1000,         /* Hz; what a file may have */
    AUDIO_FILE_RATE_MAX = 768000,
    AUDIO_FILE_CHANNELS_MAX = 64
};

struct audio_file_info {
    uint32_t rate;                      /* of the file, Hz */
    uint32_t channels;
    uint64_t n_samples;                 /* expected at 16 kHz (progress bars); 0: not known */
    bool exact;                         /* passed through bit for bit */
    char format[64];                    /* "FLAC, 16 bit PCM" */
};

struct audio_file;

/* Opens a file. Failures: STATUS_NOT_FOUND, _DENIED, _IO; _INVALID for a directory, an empty file
 * or one without samples; _UNSUPPORTED for what is not audio that libsndfile reads (a text file, a
 * video) or is beyond the caps above; _CORRUPT for a broken header. The text names the path. The
 * caller ends with audio_file_free. */
MUST_CHECK enum status audio_file_open(const char *path, struct audio_file **out,
                                       struct error *err);

/* The same from memory; `data` is borrowed until audio_file_free. `name` stands for the path in
 * errors (copied). */
MUST_CHECK enum status audio_file_open_memory(const uint8_t *data, size_t size, const char *name,
                                              struct audio_file **out, struct error *err);

/* Reads up to n_max (at least 1) samples into samples[]; *n_read == 0 only at the end. Data that
 * breaks in the middle ends the stream with a warning if samples came before it, else it is
 * STATUS_CORRUPT. */
MUST_CHECK enum status audio_file_read(struct audio_file *file, int16_t *samples, size_t n_max,
                                       size_t *n_read, struct error *err);

const struct audio_file_info *audio_file_info(const struct audio_file *file);

/* One line about what was wrong but could be decoded (final once read has returned 0 samples);
 * NULL: nothing. Valid until audio_file_free. */
const char *audio_file_warning(const struct audio_file *file);

/* Accepts NULL. */
void audio_file_free(struct audio_file *file);

/* Opens, reads to the end and closes. At most n_max samples, else STATUS_EXHAUSTED. *samples is
 * malloc'ed (caller frees); warning (may be NULL) gets the text or "". */
MUST_CHECK enum status audio_file_load(const char *path, size_t n_max, int16_t **samples,
                                       size_t *n_samples, struct error *warning, struct error *err);

#endif
