#include "kernels/sets.h"
#include "kernels/simd_set.h"

const struct kernels kernels_avx512 = SIMD_SET("avx512");
