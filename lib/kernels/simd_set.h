/* simd_set.h: the table of a SIMD set; kernels_X.c names it and nothing else. */
#ifndef KERNELS_SIMD_SET_H
#define KERNELS_SIMD_SET_H

#include "kernels/simd_attention.h"
#include "kernels/simd_linear.h"
#include "kernels/simd_rows.h"
#include "kernels/simd_screen.h"

#define SIMD_SET(set_name)                   \
    {                                        \
        .name = set_name,                    \
        .linear = simd_linear,               \
        .linear_groups = simd_linear_groups, \
        .linear_some = simd_linear_some,     \
        .screen_pack = simd_screen_pack,     \
        .screen_panel = simd_screen_panel,   \
        .quantise = simd_quantise,           \
        .attention = simd_attention,         \
        .store_keys = simd_store_keys,       \
        .layer_norm = simd_layer_norm,       \
        .rms_norm = simd_rms_norm,           \
        .softmax = simd_softmax,             \
        .max = simd_max,                     \
        .argmax = simd_argmax,               \
        .sum_exp = simd_sum_exp,             \
        .exp = simd_exp,                     \
        .erf = simd_erf,                     \
        .gelu = simd_gelu,                   \
        .silu_mul = simd_silu_mul,           \
        .add = simd_add,                     \
        .scale = simd_scale,                 \
        .f16_from_f32 = simd_f16_from_f32,   \
        .f32_from_f16 = simd_f32_from_f16,   \
        .rope = simd_rope,                   \
    }

#endif
