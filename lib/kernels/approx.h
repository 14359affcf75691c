/* approx.h: the polynomials behind exp and erf, and the one order in which they are evaluated.
 *
 * Fitted here (Lawson's weighted minimax iteration in double, then rounded to float):
 *
 *   exp(x) = 2^n * e(r), n = round(x / ln 2), r = x - n ln 2 in two steps, |r| <= 0.347
 *       e(r) = 1 + (r + r^2 * EXP(r))                     approximation error 3e-9 relative
 *   erf(x) = x * ERF_SMALL(x^2) for |x| < 1               1.2e-9 relative
 *          = sign(x) * (1 - exp(-ERF_LARGE(|x|))) above   1.1e-9 absolute, |x| <= 4; 1 from there
 *          on
 *
 * Polynomials run by Horner's rule with fused multiply-add from the highest power. n comes from
 * adding 1.5 * 2^23, which leaves it in the low bits of the sum, to be shifted into an exponent.
 */
#ifndef KERNELS_APPROX_H
#define KERNELS_APPROX_H

#define EXP_LOWEST -87.33f  /* below: exactly 0, so that no result is denormal */
#define EXP_HIGHEST 88.72f  /* above: infinity */
#define EXP_MAGIC 12582912.0f
#define LOG2_E 1.442695041f
#define LN2_HIGH 0.693359375f /* nine bits, so that n * LN2_HIGH is exact */
#define LN2_LOW -2.12194440e-4f
#define SQRT_HALF 0.707106781f
#define ERF_SPLIT 1.0f
#define ERF_ONE 4.0f /* erf rounds to 1 from here on */

#define EXP_TERMS 5
#define ERF_TERMS 7

/* Lowest power first. */
static const float exp_poly[EXP_TERMS] = {0.49999994f, 0.1666652f, 0.041668393f, 0.008368781f,
                                          0.0013814467f};
static const float erf_small_poly[ERF_TERMS] = {1.1283791f,     -0.37612626f,   0.112835854f,
                                                -0.026853813f,  0.0051883277f,  -0.00080101937f,
                                                7.8538615e-05f};
static const float erf_large_poly[ERF_TERMS] = {0.0003537195f, 1.12704f,      0.6382257f,
                                                0.10303737f,   -0.021805318f, 0.0029396072f,
                                                -0.00018557401f};

/* Blocks whose largest magnitude is below this quantise to zero (127 / a would overflow). */
#define Q8_TINY 1e-30f

/* Scale of a block of weights that screening rounds to 8 bits: largest magnitude times the first,
 * plus the second, then to the nearest half. So it is never below a 127th of the largest: half
 * precision rounds by at most 2^-11 of a number, or by 2^-25. */
#define SCREEN_SCALE 7.88171e-3f        /* above (1 + 2^-10) / 127 */
#define SCREEN_SCALE_LEAST 0x1p-25f

/* To 4 bits, -8 .. 7: the entry of largest magnitude times one of these is tried as scale, to the
 * nearest half, and the first with the least sum of squares of errors kept. */
#define SCREEN_TRIES {-1.0f / 8.0f, -1.0f / 7.0f, -1.0f / 7.5f, 1.0f / 7.0f}
enum { SCREEN_N_TRIES = 4 };

#endif
