/* noise.c: sampling without a random generator: noise that is a function of what it belongs to.
 *
 * argmax(logits / T + g) with g = -log(-log(u)), u uniform, is a sample of softmax(logits / T)
 * (E. J. Gumbel 1954). u is a hash of (seed, window, attempt, position, token), so that a token has
 * the same noise in every pass, alone or in a tree: then speculation is exact for samples too.
 *
 *     key    chained SplitMix64 finalisers over the four row values (G. L. Steele et al. 2014)
 *     hash   finaliser of key + (token + 1) * golden ratio: 64 bits
 *     u      (top 52 bits of hash + 1/2) / 2^52: exact in a double, never 0 or 1
 *
 * Two logarithms for each of 50,000 tokens would cost milliseconds. A token is skipped where it
 * surely stays below the runner-up: with c leading one bits in the hash 1 - u > 2^-(c+1), and
 * -log(u) > 1 - u, so g < (c + 1) log 2. The margin below covers the rounding. Skipping changes no
 * result.
 */
#include <math.h>

#include "rules/rules_int.h"

#define GOLDEN 0x9E3779B97F4A7C15u
#define LOG_2 0.69314718055994530942

static uint64_t finalise(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

double rules_log(double x)
{
    /* x = 2^e m with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m - 1) / (m + 1), as the
     * series 2 (s + s^3/3 + s^5/5 ...): |s| < 0.1716, what follows s^21 is below 2^-53 of the sum.
     * */
    int exponent = 0;
    double m = frexp(x, &exponent);
    if (m < 0.70710678118654752440) {
        m *= 2.0;
        exponent--;
    }
    double s = (m - 1.0) / (m + 1.0);
    double z = s * s;
    double sum = 0.0;
    for (int k = 21; k >= 3; k -= 2)
        sum = (sum + 1.0 / k) * z;
    /* log 2 in two parts: the first has 21 trailing zero bits, so its product with e is exact. */
    double high = exponent * 0x1.62e42feep-1;
    double low = exponent * 0x1.a39ef35793c76p-33;
    return high + (2.0 * s + (2.0 * s * sum + low));
}

uint64_t noise_key(const struct rules *rules, uint32_t position)
{
    uint64_t key = finalise(rules->seed + GOLDEN);
    key = finalise(key + rules->window + GOLDEN);
    key = finalise(key + rules->attempt + GOLDEN);
    return finalise(key + position + GOLDEN);
}

static uint64_t token_hash(uint64_t key, uint32_t token)
{
    return finalise(key + (token + (uint64_t)1) * GOLDEN);
}

static double gumbel(uint64_t hash)
{
    double u = ((double)(hash >> 12) + 0.5) * 0x1p-52;
    return -rules_log(-rules_log(u));
}

double noise_gumbel(uint64_t key, uint32_t token)
{
    return gumbel(token_hash(key, token));
}

/* More than gumbel(hash) can be. */
static double gumbel_bound(uint64_t hash)
{
    int ones = ~hash == 0 ? 64 : __builtin_clzll(~hash);
    return (ones + 1) * LOG_2 + 1e-6;
}

void noise_top(struct rules_top *top, const struct rules *rules, uint64_t key, const float *logits,
               struct rules_range range)
{
    double temperature = rules->temperature;
    for (uint32_t i = range.from; i < range.to; i++) {
        if (logits[i] == -INFINITY)
            continue;
        double scaled = logits[i] / temperature;
        uint64_t hash = token_hash(key, i);
        if (top->second >= 0 && scaled + gumbel_bound(hash) < top->second_score)
            continue;
        rules_top_add(top, (int32_t)i, scaled + gumbel(hash));
    }
}
