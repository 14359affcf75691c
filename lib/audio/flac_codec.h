/* flac_codec.h: lossless FLAC of short chunks of 16 kHz mono s16 audio, for the uplink.
 *
 * Every chunk is a self-contained FLAC stream, so that a lost connection costs at most one chunk.
 */
#ifndef AUDIO_FLAC_CODEC_H
#define AUDIO_FLAC_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
    FLAC_SAMPLES_MAX = 30720,           /* of one chunk: 1.92 s */
    FLAC_BYTES_MAX = 64 * 1024          /* no chunk gets larger, white noise included */
};

/* n_samples from 1 to FLAC_SAMPLES_MAX; out holds FLAC_BYTES_MAX bytes; *n_bytes is what was
 * written. */
MUST_CHECK enum status flac_encode(const int16_t *samples, size_t n_samples, uint8_t *out,
                                   size_t *n_bytes, struct error *err);

/* Bytes of a peer, so everything is checked: STATUS_CORRUPT for what is not one whole FLAC stream,
 * STATUS_UNSUPPORTED for another rate, channel count or sample width, STATUS_EXHAUSTED for more
 * than n_max samples. samples[n_max]. */
MUST_CHECK enum status flac_decode(const uint8_t *data, size_t n_bytes, int16_t *samples,
                                   size_t n_max, size_t *n_samples, struct error *err);

#endif
