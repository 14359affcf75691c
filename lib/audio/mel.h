/* mel.h: log-mel features as in OpenAI's whisper/audio.py.
 *
 *     s16 / 32768 -> frames of 400 samples every 160, centred, reflect padding at both ends
 *       -> periodic Hann window -> power spectrum, 201 bins of 40 Hz
 *       -> Slaney mel filters (librosa.filters.mel), 80 or 128 bands over 0 .. 8000 Hz
 *       -> log10, at least 1e-10 -> at least (maximum of the window) - 8 -> (x + 4) / 4
 *
 * A window is its samples, cut or zero-padded to n_frames * 160: the reflection at the right edge
 * is that of the cut window, and the last of the n_frames + 1 frames is dropped, as
 * log_mel_spectrogram(pad_or_trim(audio)) does.
 *
 * Only IEEE additions, products and quotients in a fixed order, tables included: the same bits on
 * every machine.
 */
#ifndef AUDIO_MEL_H
#define AUDIO_MEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
    MEL_HOP = 160,                      /* samples from frame to frame: 10 ms */
    MEL_FFT = 400,
    MEL_BINS = MEL_FFT / 2 + 1,
    MEL_BANDS_MAX = 128,
    MEL_WINDOW_FRAMES = 3000,           /* Whisper's window of 30 s */
    MEL_WINDOW_SAMPLES = MEL_WINDOW_FRAMES * MEL_HOP,
    MEL_FRAMES_MIN = 2,                 /* the reflection takes 200 samples */
    MEL_FRAMES_MAX = 1 << 20
};

/* Tables and scratch: one thread at a time. */
struct mel;

/* n_mels: 80 or 128 (STATUS_UNSUPPORTED otherwise). The caller ends with mel_free. */
MUST_CHECK enum status mel_new(uint32_t n_mels, struct mel **out, struct error *err);
void mel_free(struct mel *mel);

/* samples[n_samples] (may be NULL if 0) at 16 kHz, zeros assumed behind them; n_frames from
 * MEL_FRAMES_MIN to MEL_FRAMES_MAX; out: [n_mels][n_frames], row-major. Does not allocate. */
void mel_compute(struct mel *mel, const int16_t *samples, size_t n_samples, uint32_t n_frames,
                 float *out);

/* Row `band` of the filter bank: MEL_BINS weights (for tests). */
void mel_filter(const struct mel *mel, uint32_t band, float *weights);

#endif
