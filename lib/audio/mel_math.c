#include "audio/mel_int.h"

/* Own functions instead of libm's: those differ between versions and processors in the last bit.
 * */

static const double quarter_turn = 1.57079632679489661923;

/* Taylor series, |x| <= pi / 4: the first term left out is below 1e-19. */
static double sine_series(double x)
{
    double z = x * x, sum = 1.0;
    for (int k = 18; k >= 2; k -= 2)
        sum = 1.0 - sum * z / (double)(k * (k + 1));
    return sum * x;
}

static double cosine_series(double x)
{
    double z = x * x, sum = 1.0;
    for (int k = 17; k >= 1; k -= 2)
        sum = 1.0 - sum * z / (double)(k * (k + 1));
    return sum;
}

void mel_circle(uint32_t k, uint32_t n, double *cosine, double *sine)
{
    SA_ASSERT(n % 8 == 0);
    uint32_t quarter = n / 4;
    uint32_t turns = k % n / quarter, rest = k % quarter;
    /* Beyond 45 degrees the other function of the complement is more exact. */
    bool swap = rest > quarter / 2;
    double x = quarter_turn * (double)(swap ? quarter - rest : rest) / (double)quarter;
    double c = swap ? sine_series(x) : cosine_series(x);
    double s = swap ? cosine_series(x) : sine_series(x);
    switch (turns) {
    case 0: *cosine = c; *sine = s; break;
    case 1: *cosine = -s; *sine = c; break;
    case 2: *cosine = -c; *sine = -s; break;
    default: *cosine = s; *sine = -c; break;
    }
}

double mel_exp(double x)
{
    SA_ASSERT(x >= 0.0 && x < 4.0);
    double z = x / 16.0, sum = 1.0;
    for (int k = 14; k >= 1; k--)
        sum = 1.0 + sum * z / (double)k;
    for (int k = 0; k < 4; k++)
        sum *= sum;
    return sum;
}

/* x = 2^k m with sqrt(1/2) <= m < sqrt(2); ln m = 2 atanh((m - 1) / (m + 1)),
 * whose argument is below 0.172. */
mel_lanes mel_log10(mel_lanes x)
{
    const uint64_t half_root = 0x3FE6A09E667F3BCDu, one = 0x3FF0000000000000u;
    const uint64_t mantissa = 0x000FFFFFFFFFFFFFu, two52 = 0x4330000000000000u;
    mel_lane_bits u = (mel_lane_bits)x + (one - half_root);
    mel_lanes m = (mel_lanes)((u & mantissa) + half_root);
    mel_lanes k = (mel_lanes)((u >> 52) | two52) - (4503599627370496.0 + 1023.0);
    mel_lanes s = (m - 1.0) / (m + 1.0);
    mel_lanes z = s * s;
    mel_lanes sum = z * (1.0 / 15.0) + 1.0 / 13.0;
    sum = sum * z + 1.0 / 11.0;
    sum = sum * z + 1.0 / 9.0;
    sum = sum * z + 1.0 / 7.0;
    sum = sum * z + 1.0 / 5.0;
    sum = sum * z + 1.0 / 3.0;
    sum = sum * z + 1.0;
    return k * 0.30102999566398119521 + s * sum * (2.0 * 0.43429448190325182765);
}
