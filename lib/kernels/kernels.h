/* kernels.h: numeric kernels, one definition of each number.
 *
 * The plain-C set ("reference") fixes the order of operations; the SIMD sets (AVX2+FMA+F16C,
 * AVX-512 VNNI, NEON) give the same bits on every shape, for any number of rows and threads. So:
 *
 *   - a sum over k in linear layers and attention runs upwards with fused multiply-add from 0;
 *   - a sum over a row (norms, softmax) has 16 partial sums, by index mod 16, added in one
 *     fixed tree: s[i] += s[i + 8] for i < 8, then 4, 2, 1;
 *   - exp and erf are ours (approx.h), because libm differs from machine to machine.
 *
 * Pointers need no alignment beyond their type's unless said otherwise. Rows are contiguous;
 * strides count elements. Inputs hold no NaN. In place (y == x) is fine for all element-wise
 * functions and norms. Nothing here allocates, and everything may be called from several threads
 * on separate outputs.
 */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/matrix.h"

/* Activations in 8 bits, one scale per block of 32:
 *     a = max |x|, scale = a / 127, q = round half to even (x * (127 / a));
 *     q = scale = 0 where a < 1e-30.
 * offset = -128 * sum of q: lets VNNI multiply unsigned weights (w + 128) and land on the same
 * integers; a sixteenth of it does the same for the weights of q4_0, which are stored as w + 8. */
struct q8_rows {
    int8_t *q;       /* [n_rows][n] */
    float *scale;    /* [n_rows][n / 32] */
    int32_t *offset; /* [n_rows][n / 32] */
};

/* Bytes for n_rows rows of n (a multiple of 32), and the three arrays laid out in memory of that
 * size, which is borrowed and must be 64-byte aligned. Row r of the three is at r * n,
 * r * (n / 32), r * (n / 32). */
size_t q8_rows_bytes(size_t n_rows, size_t n);
struct q8_rows q8_rows_at(void *memory, size_t n_rows, size_t n);

/* y[r][o] = (sum over k of x[r][k] * w[o][k]) + bias[o], 1 or more rows.
 *   f32, f16: acc = 0; acc = fma(x[r][k], w[o][k], acc) for k upwards; y = acc + bias.
 *   q8_0, q4_0: acc = 0; per block of 32 the integer sum of q * w is exact;
 *         acc = fma(scale_w * scale_x, (float)sum, acc) for blocks upwards; y = acc + bias.
 * Without a bias (NULL) nothing is added. */
struct linear {
    const struct matrix *w;
    const float *bias; /* [n_out] or NULL */
    uint32_t n_rows;
    const float *x;     /* [n_rows][x_stride]; f32 and f16 weights */
    size_t x_stride;
    struct q8_rows xq;  /* integer weights: instead of x, its rows quantised, n_in apart */
    float *y;           /* [n_rows][y_stride] */
    size_t y_stride;
};

/* Where a row's keys behind the prefix lie: a node's ancestors by depth, itself last. Strictly
 * upwards, at or above n_prefix. */
struct attention_tail {
    uint32_t n;
    const uint32_t *slots;
};

/* One attention head: n_rows queries of one sequence, each over its keys in logical order
 *     0 .. n_prefix-1 at slots 0 .. n_prefix-1 (the same for all), then those of its tail.
 *   score[i] = sum over d upwards of fma(q[d], key[i][d], .); q comes scaled by head_size^-0.5
 *   e[i] = exp(score[i] - max score), by logical index, never by slot
 *   out[d] = (sum over i upwards of fma(e[i], value[i][d], .)) * (1 / sum e), the latter as in
 *       softmax below
 * Rows of a tree share the prefix and each has a tail; cross-attention has no tails and n_prefix =
 * n_keys. All rows of a sequence at once share each read of keys and values. */
struct attention {
    const uint16_t *keys;   /* f16 panels [slot/16][head_size][16]: see store_keys */
    const uint16_t *values; /* f16 rows [slot][head_size] */
    uint32_t head_size;     /* a multiple of 16, at most 256 */
    uint32_t n_prefix;
    const struct attention_tail *tails; /* [n_rows]; NULL: no row has one */
    uint32_t n_rows;
    const float *q; /* [n_rows][q_stride], head_size used */
    size_t q_stride;
    float *out; /* [n_rows][out_stride], head_size written */
    size_t out_stride;
    float *scratch; /* attention_scratch(highest slot + 1) floats, one per thread */
};

/* Rows of one attention call that are worked on together; more rows are taken in such groups. */
enum { ATTENTION_ROWS = 24 };

/* Outputs of a wide matrix are looked at by groups of so many panels: the largest of each group
 * tells where the large ones are. */
enum { PANEL_GROUP = 8, GROUP = PANEL_GROUP * PANEL, LINEAR_GROUPS_ROWS = 64 };

static inline uint32_t panel_groups(uint32_t n_panels)
{
    return (n_panels + PANEL_GROUP - 1) / PANEL_GROUP;
}

/* A linear layer of integer weights without bias, its first n_panels panels (whole ones), at most
 * LINEAR_GROUPS_ROWS rows. Where products are not numbers `largest` means nothing. */
struct linear_groups {
    struct linear linear;
    uint32_t n_panels;
    float *largest;             /* of row r, group g at r * largest_stride + g; +0 for 0 */
    size_t largest_stride;
};

/* A row of approximate products and how far each may be from the exact one: lane i of the panels
 * is within by_loss * loss[i] + by_size * size[i] of it (screen.h). */
struct screened {
    float *row;                 /* [n_panels][16]; -INFINITY: not wanted */
    const float *loss, *size;   /* likewise; of the weights */
    float by_loss, by_size;     /* of the row */
    float reach;                /* of the row: no product passes reach * size[i] */
    uint32_t n_panels;
    float *largest;             /* of each group of panels of the row */
};

/* Floats of scratch for attention over n_slots slots. */
size_t attention_scratch(uint32_t n_slots);

struct kernels {
    const char *name; /* "reference", "avx2", "avx512", "neon" */

    /* Linear layer, outputs of panels [panel_from, panel_to) only: threads split a layer by panels
     * (share_of(matrix_panels(n_out), ...)). */
    void (*linear)(const struct linear *job, uint32_t panel_from, uint32_t panel_to);

    /* The same for groups [group_from, group_to) of panels, with the largest of each. */
    void (*linear_groups)(const struct linear_groups *job, uint32_t group_from, uint32_t group_to);

    /* The same for f16 weights, one row and no bias: outputs of the listed panels only, whole
     * panels to y + 16 * panel. The same bits. */
    void (*linear_some)(const struct matrix *w, const float *x, const uint16_t *panels,
                        uint32_t n_panels, float *y);

    /* Screening (screen.h). screen_pack: a panel of f16 weights, input k times factor[k] (a power
     * of two), into the zeroed or used panel of a copy in q8_0 or q4_0; per lane norms[0] = sum of
     * squares of what that changed, [1] = of what it became, both fma(d, d, .) for k upwards. */
    void (*screen_pack)(const struct matrix *copy, const struct matrix *full, uint32_t panel,
                        const float *factor, float norms[2][PANEL]);

    /* Of one panel of a row the largest row - bound; *high: the largest row + bound. No NaN. */
    float (*screen_panel)(const struct screened *job, uint32_t panel, float *high);

    /* One row of n (a multiple of 32) to q[n], scale[n / 32], offset[n / 32]: row 0 of `to`. */
    void (*quantise)(struct q8_rows to, const float *x, size_t n);

    void (*attention)(const struct attention *job);

    /* Stores keys slot .. slot + n - 1 into f16 panels: key i is x[i * x_stride .. + head_size). */
    void (*store_keys)(uint16_t *panels, uint32_t head_size, uint32_t slot, uint32_t n,
                       const float *x, size_t x_stride);

    /* y = (x - mean) * (1 / sqrt(variance + eps)) * gain + bias; two passes, biased variance:
     * d = x - mean; variance = sum of fma(d, d, .) / n; y = fma(d * r, gain, bias). */
    void (*layer_norm)(float *y, const float *x, const float *gain, const float *bias, size_t n,
                       float eps);

    /* y = (x * (1 / sqrt(mean of squares + eps))) * gain */
    void (*rms_norm)(float *y, const float *x, const float *gain, size_t n, float eps);

    /* x[i] = e[i] * (1 / sum e), e[i] = exp(x[i] - max x). Masked entries are -INFINITY and give 0;
     * at least one entry is finite. */
    void (*softmax)(float *x, size_t n);

    /* max over x[0..n); -INFINITY for n == 0. No NaN may be in x. A zero is +0. */
    float (*max)(const float *x, size_t n);

    /* Lowest index of the largest entry; n > 0. -INFINITY entries may occur. */
    size_t (*argmax)(const float *x, size_t n);

    /* sum over i of exp(x[i] - shift), in 16 partial sums (index mod 16) that are added in a
     * fixed tree; -INFINITY entries give exactly 0. */
    float (*sum_exp)(const float *x, size_t n, float shift);

    /* Element-wise. exp: relative error below 1.2e-7, 0 below -87.33 (never a denormal),
     * +INFINITY above 88.72. erf: absolute error below 1.2e-7.
     * gelu: 0.5 * x * (1 + erf(x / sqrt 2)). silu_mul: y = gate / (1 + exp(-gate)) * up. */
    void (*exp)(float *y, const float *x, size_t n);
    void (*erf)(float *y, const float *x, size_t n);
    void (*gelu)(float *y, const float *x, size_t n);
    void (*silu_mul)(float *y, const float *gate, const float *up, size_t n);

    void (*add)(float *y, const float *x, size_t n);    /* y += x */
    void (*scale)(float *y, float factor, size_t n);    /* y *= factor */

    /* Half precision: narrowing rounds to nearest even, as IEEE 754 and every processor do. */
    void (*f16_from_f32)(uint16_t *y, const float *x, size_t n);
    void (*f32_from_f16)(float *y, const uint16_t *x, size_t n);

    /* Rotary positions of one head in place, half-split pairs (i, i + head_size / 2), as Llama
     * and Qwen do: cos and sin are row `position` of rope_table, head_size / 2 long.
     * a' = fma(a, cos, -(b * sin)); b' = fma(b, cos, a * sin). head_size is even. */
    void (*rope)(float *x, const float *cos, const float *sin, size_t head_size);
};

/* Tables [n_positions][head_size / 2]: cos and sin of position * theta^(-2 i / head_size),
 * computed in double. */
void rope_table(float *cos, float *sin, uint32_t n_positions, uint32_t head_size, float theta);

/* The set of that name, or the fastest that this processor runs for NULL; NULL when unknown or not
 * runnable here. The result is static. */
const struct kernels *kernels_find(const char *name);

/* Name of set i, runnable here or not; NULL beyond the last. For help texts and for tests. */
const char *kernels_name(size_t i);

#endif
