#include "kernels/sets.h"
#include "kernels/simd_set.h"

const struct kernels kernels_neon = SIMD_SET("neon");
