/* sets.h: the kernel sets that exist; dispatch.c chooses. Only those of this architecture are
 * linked. */
#ifndef KERNELS_SETS_H
#define KERNELS_SETS_H

#include <stdbool.h>

#include "kernels/kernels.h"

extern const struct kernels kernels_reference;
extern const struct kernels kernels_avx2;
extern const struct kernels kernels_avx512;
extern const struct kernels kernels_neon;

#endif
