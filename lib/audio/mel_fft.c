/* mel_fft.c: the 400-point transform behind the features.
 *
 * Stockham's self-sorting form, decimation in frequency, radices 4 4 5 5. A pass of radix r turns
 * length n at stride s into r times length n / r at stride r s:
 *
 *     y[q + s (r p + j)] = (DFT_r of x[q + s (p + i n/r)], i < r)[j] * exp(-2 pi i p j / n)
 *
 * Doubles: in float a bin 80 dB below the loudest would be off by more than the features may be.
 * Every lane is a transform of its own, and each of them carries two real frames, one as the real
 * and one as the imaginary part.
 */
#include "audio/mel_int.h"

void mel_fft_init(struct mel_fft *fft)
{
    for (uint32_t k = 0; k < MEL_FFT; k++) {
        double sine;
        mel_circle(k, MEL_FFT, &fft->cosines[k], &sine);
        fft->sines[k] = -sine;
    }
}

static inline struct mel_complex add(struct mel_complex a, struct mel_complex b)
{
    return (struct mel_complex){ a.re + b.re, a.im + b.im };
}

static inline struct mel_complex sub(struct mel_complex a, struct mel_complex b)
{
    return (struct mel_complex){ a.re - b.re, a.im - b.im };
}

/* a - i b */
static inline struct mel_complex sub_i(struct mel_complex a, struct mel_complex b)
{
    return (struct mel_complex){ a.re + b.im, a.im - b.re };
}

/* a + i b */
static inline struct mel_complex add_i(struct mel_complex a, struct mel_complex b)
{
    return (struct mel_complex){ a.re - b.im, a.im + b.re };
}

/* a + c1 b1 + c2 b2 */
static inline struct mel_complex mix(struct mel_complex a, double c1, struct mel_complex b1,
                                     double c2, struct mel_complex b2)
{
    return (struct mel_complex){ a.re + c1 * b1.re + c2 * b2.re, a.im + c1 * b1.im + c2 * b2.im };
}

/* Multiplies by exp(-2 pi i k / 400). */
static inline struct mel_complex turn(const struct mel_fft *fft, uint32_t k, struct mel_complex a)
{
    double c = fft->cosines[k], s = fft->sines[k];
    return (struct mel_complex){ a.re * c - a.im * s, a.re * s + a.im * c };
}

static void pass4(const struct mel_fft *fft, uint32_t n, uint32_t s, const struct mel_complex *x,
                  struct mel_complex *y)
{
    uint32_t m = n / 4;
    for (uint32_t p = 0; p < m; p++) {
        for (uint32_t q = 0; q < s; q++) {
            const struct mel_complex *in = x + q + s * p;
            struct mel_complex *out = y + q + s * 4 * p;
            struct mel_complex even = add(in[0], in[2 * s * m]);
            struct mel_complex odd = add(in[s * m], in[3 * s * m]);
            struct mel_complex left = sub(in[0], in[2 * s * m]);
            struct mel_complex right = sub(in[s * m], in[3 * s * m]);
            out[0] = add(even, odd);
            out[s] = turn(fft, s * p, sub_i(left, right));
            out[2 * s] = turn(fft, 2 * s * p, sub(even, odd));
            out[3 * s] = turn(fft, 3 * s * p, add_i(left, right));
        }
    }
}

static void pass5(const struct mel_fft *fft, uint32_t n, uint32_t s, const struct mel_complex *x,
                  struct mel_complex *y)
{
    const double c1 = fft->cosines[MEL_FFT / 5], c2 = fft->cosines[2 * MEL_FFT / 5];
    const double s1 = -fft->sines[MEL_FFT / 5], s2 = -fft->sines[2 * MEL_FFT / 5];
    const struct mel_complex zero = { { 0.0, 0.0 }, { 0.0, 0.0 } };
    uint32_t m = n / 5;
    for (uint32_t p = 0; p < m; p++) {
        for (uint32_t q = 0; q < s; q++) {
            const struct mel_complex *in = x + q + s * p;
            struct mel_complex *out = y + q + s * 5 * p;
            struct mel_complex a = in[0];
            struct mel_complex plus1 = add(in[s * m], in[4 * s * m]);
            struct mel_complex minus1 = sub(in[s * m], in[4 * s * m]);
            struct mel_complex plus2 = add(in[2 * s * m], in[3 * s * m]);
            struct mel_complex minus2 = sub(in[2 * s * m], in[3 * s * m]);
            struct mel_complex near = mix(a, c1, plus1, c2, plus2);
            struct mel_complex far = mix(a, c2, plus1, c1, plus2);
            struct mel_complex near_i = mix(zero, s1, minus1, s2, minus2);
            struct mel_complex far_i = mix(zero, s2, minus1, -s1, minus2);
            out[0] = add(a, add(plus1, plus2));
            out[s] = turn(fft, s * p, sub_i(near, near_i));
            out[2 * s] = turn(fft, 2 * s * p, sub_i(far, far_i));
            out[3 * s] = turn(fft, 3 * s * p, add_i(far, far_i));
            out[4 * s] = turn(fft, 4 * s * p, add_i(near, near_i));
        }
    }
}

void mel_fft_run(const struct mel_fft *fft, struct mel_complex *data, struct mel_complex *other)
{
    pass4(fft, 400, 1, data, other);
    pass4(fft, 100, 4, other, data);
    pass5(fft, 25, 16, data, other);
    pass5(fft, 5, 80, other, data);
}

/* Of two real signals a and b, z = a + i b:
 * A[k] = (Z[k] + conj Z[-k]) / 2, B[k] = (Z[k] - conj Z[-k]) / 2i. */
void mel_power(const struct mel_fft *fft, struct mel_complex *windowed, struct mel_complex *other,
               mel_lanes *even, mel_lanes *odd)
{
    mel_fft_run(fft, windowed, other);
    for (uint32_t k = 0; k < MEL_BINS; k++) {
        struct mel_complex z = windowed[k], mirror = windowed[(MEL_FFT - k) % MEL_FFT];
        mel_lanes a_re = z.re + mirror.re, a_im = z.im - mirror.im;
        mel_lanes b_re = z.im + mirror.im, b_im = mirror.re - z.re;
        even[k] = (a_re * a_re + a_im * a_im) * 0.25;
        odd[k] = (b_re * b_re + b_im * b_im) * 0.25;
    }
}
