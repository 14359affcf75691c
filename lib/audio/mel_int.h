/* mel_int.h: the parts of the log-mel features; for mel*.c, vad.c and their tests. */
#ifndef AUDIO_MEL_INT_H
#define AUDIO_MEL_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "audio/mel.h"

/* Two doubles in one register (SSE2, NEON). Lanes never mix, so the width changes no bit. */
typedef double mel_lanes __attribute__((vector_size(16)));
typedef uint64_t mel_lane_bits __attribute__((vector_size(16)));

enum { MEL_GROUP = 4 };                 /* frames that go through the transform together */

struct mel_complex {
    mel_lanes re, im;
};

/* Twiddle factors exp(-2 pi i k / 400); all passes take theirs from this one table. */
struct mel_fft {
    double cosines[MEL_FFT];            /* of 2 pi k / 400 */
    double sines[MEL_FFT];              /* of -2 pi k / 400 */
};

void mel_fft_init(struct mel_fft *fft);

/* Forward transform of 400 complex numbers per lane, in place; `other`: scratch of that size. */
void mel_fft_run(const struct mel_fft *fft, struct mel_complex *data, struct mel_complex *other);

/* Power spectra of four frames: windowed[i].re = frames 0 and 2, .im = frames 1 and 3 (two real
 * signals ride as one complex signal). even[k] and odd[k], k < MEL_BINS: frames 0, 2 and 1, 3. */
void mel_power(const struct mel_fft *fft, struct mel_complex *windowed, struct mel_complex *other,
               mel_lanes *even, mel_lanes *odd);

/* cos and sin of a full turn times k / n, n divisible by 8, to one unit in the last place. */
void mel_circle(uint32_t k, uint32_t n, double *cosine, double *sine);

/* e^x for 0 <= x < 4, relative error below 1e-14. */
double mel_exp(double x);

/* log10 per lane of positive normal numbers, absolute error below 1e-11. */
mel_lanes mel_log10(mel_lanes x);

#endif
