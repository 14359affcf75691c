/* simd_strip.h: the register block that all floating-point products are made of.
 *
 * A strip computes y[r][j] = sum over k upwards of fma(x[r][k], w[k][j], .) for a few rows r and
 * a few groups of 16 columns j, each sum in its own lane from beginning to end; so blocking never
 * changes a bit:
 *
 *            w[k] group 0   w[k] group 1          linear layer: k = input, a group = a panel,
 *   x[0][k]  sum[0][0]      sum[0][1]             scores:       k = dimension, a group = 16 keys,
 *   x[1][k]  sum[1][0]      sum[1][1]             values:       k = key, a group = 16 dimensions
 */
#ifndef KERNELS_SIMD_STRIP_H
#define KERNELS_SIMD_STRIP_H

#include "kernels/kernels.h"
#include "kernels/vec16.h"

#ifdef VEC16

enum { STRIP_ROWS_MAX = VEC16_SUMS >= 24 ? 12 : 6, STRIP_GROUPS_MAX = 4 };

/* Register blocks by what they serve: at most so many rows, groups, and sums (rows times groups).
 * One group is best where its rows fill the pipeline: each row's x is then an operand in memory. */
struct strip_shape {
    uint32_t rows, groups, sums;
};
static const struct strip_shape linear_shape = {STRIP_ROWS_MAX, 1, STRIP_ROWS_MAX};
static const struct strip_shape score_shape = {STRIP_ROWS_MAX, 4, VEC16_WIDE_SUMS * 2 / 3};
static const struct strip_shape value_shape = {6, 4, VEC16_WIDE_SUMS};

/* Weights stream from memory: this far ahead, to the second level, was best from 1 to 64 rows (1
 * row: 4.0 ms 4 KB ahead, 3.5 ms so; to the first level it pushes activations out). */
enum { PREFETCH_BYTES = 16384, LINE = 64 };

/* Where a linear layer's whole panels [panel, panel + n) go. */
struct panels_out {
    uint32_t panel, n;
    const float *bias;          /* of these panels; or NULL */
    float *y;                   /* likewise; rows are y_stride apart */
    size_t y_stride;
    float *largest;             /* [n_rows][16]: raised to the largest by lane; or NULL. Integers */
};

struct strip {
    const float *x; /* row r at x + r * x_stride */
    size_t x_stride;
    const void *w;      /* element (k, group, lane) at w + k * k_step + group * group_step + lane */
    size_t k_step;
    size_t group_step;
    uint32_t n_k;
    float *y;           /* row r, group g at y + r * y_stride + 16 * g */
    size_t y_stride;
    const float *bias;  /* 16 per group, or NULL */
    float *largest;     /* 16 per row: largest of the first n_largest groups and itself; or NULL */
    uint32_t n_largest;
};

INLINE vec16 strip_weights(const void *w, enum weight_type type, size_t at)
{
    return type == WEIGHT_F16 ? vec_load_f16((const uint16_t *)w + at)
                              : vec_load((const float *)w + at);
}

INLINE void strip_step(vec16 *sum, const struct strip *s, enum weight_type type, int rows,
                       int groups, size_t k)
{
    vec16 w[STRIP_GROUPS_MAX];
    for (int g = 0; g < groups; g++)
        w[g] = strip_weights(s->w, type, k * s->k_step + (size_t)g * s->group_step);
    for (int r = 0; r < rows; r++) {
        vec16 x = vec_set1(s->x[(size_t)r * s->x_stride + k]);
        for (int g = 0; g < groups; g++)
            sum[r * groups + g] = vec_fma(x, w[g], sum[r * groups + g]);
    }
}

INLINE void strip_largest(const vec16 *sum, int groups, float *largest, uint32_t n_largest)
{
    vec16 most = vec_load(largest);
    for (int g = 0; g < groups; g++)
        if ((uint32_t)g < n_largest)
            most = vec_max(most, sum[g]);
    vec_store(largest, most);
}

/* rows, groups and type are constants at each call, so that the sums live in registers. */
INLINE void strip_block(const struct strip *job, enum weight_type type, int rows, int groups)
{
    const struct strip s = *job;
    vec16 sum[STRIP_ROWS_MAX * STRIP_GROUPS_MAX];
    for (int i = 0; i < rows * groups; i++)
        sum[i] = vec_zero();
    size_t width = type == WEIGHT_F16 ? sizeof(uint16_t) : sizeof(float);
    size_t step = MAX(s.k_step, (size_t)PANEL * (size_t)groups) * width; /* bytes for each k */
    const char *ahead = (const char *)s.w + PREFETCH_BYTES;
    for (size_t k = 0; k < s.n_k; k++) {
        for (size_t at = 0; at < (size_t)PANEL * (size_t)groups * width; at += LINE)
            __builtin_prefetch(ahead + k * step + at, 0, 2);
        strip_step(sum, &s, type, rows, groups, k);
    }
    for (int r = 0; r < rows; r++)
        for (int g = 0; g < groups; g++) {
            vec16 y = sum[r * groups + g];
            if (s.bias)
                y = vec_add(y, vec_load(s.bias + 16 * g));
            vec_store(s.y + (size_t)r * s.y_stride + 16 * g, y);
        }
    for (int r = 0; s.largest && r < rows; r++)
        strip_largest(sum + r * groups, groups, s.largest + 16 * r, s.n_largest);
}

/* Blocks of up to VEC16_SUMS sums, as constants. */
INLINE void strip_run(const struct strip *s, enum weight_type type, uint32_t rows, uint32_t groups)
{
#define STRIP_CASE(r, g)           \
    case (r) * 8 + (g):            \
        strip_block(s, type, r, g); \
        break;
    switch (rows * 8 + groups) {
        STRIP_CASE(1, 1) STRIP_CASE(2, 1) STRIP_CASE(3, 1)
        STRIP_CASE(4, 1) STRIP_CASE(5, 1) STRIP_CASE(6, 1)
        STRIP_CASE(1, 2) STRIP_CASE(2, 2)
        STRIP_CASE(1, 4)
#if VEC16_SUMS >= 24
        STRIP_CASE(7, 1) STRIP_CASE(8, 1) STRIP_CASE(9, 1)
        STRIP_CASE(10, 1) STRIP_CASE(11, 1) STRIP_CASE(12, 1)
        STRIP_CASE(3, 2) STRIP_CASE(4, 2) STRIP_CASE(5, 2) STRIP_CASE(6, 2)
        STRIP_CASE(7, 2) STRIP_CASE(8, 2) STRIP_CASE(9, 2)
        STRIP_CASE(10, 2) STRIP_CASE(11, 2) STRIP_CASE(12, 2)
        STRIP_CASE(2, 4) STRIP_CASE(3, 4) STRIP_CASE(4, 4)
        STRIP_CASE(5, 4) STRIP_CASE(6, 4)
#endif
    default:
        SA_ASSERT(!"no such register block");
    }
#undef STRIP_CASE
}

/* The largest of 4, 2, 1 groups that the shape allows beside `rows` rows. */
INLINE uint32_t strip_groups(uint32_t rows, uint32_t wanted, const struct strip_shape *shape)
{
    uint32_t most = MIN(wanted, shape->groups);
    uint32_t groups = most >= 4 ? 4 : most >= 2 ? 2 : 1;
    while (groups > 1 && rows * groups > shape->sums)
        groups /= 2;
    return groups;
}

/* n_rows rows by n_groups groups: rows are cut evenly into blocks (8 = 4 + 4 rather than 6 + 2),
 * and all blocks pass over the same few groups of weights before the next, which stay in the
 * cache. */
INLINE void strip_sheet(const struct strip *job, enum weight_type type, uint32_t n_rows,
                        uint32_t n_groups, const struct strip_shape *shape)
{
    uint32_t n_blocks = (n_rows + shape->rows - 1) / shape->rows;
    size_t width = type == WEIGHT_F16 ? sizeof(uint16_t) : sizeof(float);
    for (uint32_t group = 0, groups; group < n_groups; group += groups) {
        uint32_t tallest = (n_rows + n_blocks - 1) / n_blocks;
        groups = strip_groups(tallest, n_groups - group, shape);
        for (uint32_t block = 0; block < n_blocks; block++) {
            uint32_t from, to;
            share_of(n_rows, block, n_blocks, &from, &to);
            struct strip s = *job;
            s.x += from * s.x_stride;
            s.w = (const char *)s.w + group * s.group_step * width;
            s.y += from * s.y_stride + (size_t)group * 16;
            if (s.bias)
                s.bias += (size_t)group * 16;
            if (s.largest)
                s.largest += (size_t)from * 16;
            s.n_largest -= MIN(s.n_largest, group);
            strip_run(&s, type, to - from, groups);
        }
    }
}

#endif
#endif
