/* kernels.h: numeric kernels, one definition of each number.
 *
 * The plain-C set ("reference") fixes the order of operations; the SIMD sets (AVX2+FMA+F16C,
 * AVX-512 VNNI, NEON) give the same bits on ugly shapes, for any number of rows and threads.
 */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct kernels {
    const char *name;

    /* max over x[0..n); -INFINITY for n == 0. No NaN may be in x. */
    float (*max)(const float *x, size_t n);

    /* sum over i of exp(x[i] - shift), in 16 partial sums (index mod 16) that are added in a fixed tree;
     * -INFINITY entries give exactly 0. */
    float (*sum_exp)(const float *x, size_t n, float shift);
};

/* The set of that name, or the fastest that this processor runs for NULL; NULL when unknown or not
 * runnable here. */
const struct kernels *kernels_find(const char *name);

#endif
