#include "kernels/sets.h"
#include "kernels/simd_set.h"

const struct kernels kernels_avx2 = SIMD_SET("avx2");
