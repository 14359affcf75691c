/* gemm.h: float32 matrix products for the encoder, with a fixed order of operations.
 *
 *     c[i][j] = sum over k of a[i][k] * b[j][k]       (+ bias[j])
 *
 * One accumulator per output, k ascending, fused multiply-add, then the bias: every kernel set
 * gives the same bits, for any split of rows, panels or k. So an encoder's output does not depend
 * on the processor, on the number of threads or on slicing.
 *
 * b lies in panels of 16 outputs: [n/16][k][16], the layout of the decoder's weights as float32.
 */
#ifndef KERNELS_GEMM_H
#define KERNELS_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GEMM_PANEL = 16 };

/* Strides count floats. Rows of c must not overlap with a or b. */
struct gemm_block {
    uint32_t n_rows;
    uint32_t n_panels;
    uint32_t n_k;
    const float *a;             /* row i at a + i * a_stride, n_k floats */
    size_t a_stride;
    const float *b;             /* panel j at b + j * b_stride: [n_k][16] */
    size_t b_stride;
    float *c;                   /* 16 outputs of row i, panel j at c + i * c_row + j * c_panel */
    size_t c_row;
    size_t c_panel;
    const float *bias;          /* n_panels * 16 floats, added after the sum; NULL: none */
    bool resume;                /* the sums go on from what c holds (k cut into ranges) */
};

struct gemm {
    const char *name;           /* "reference", "avx2", "avx512", "neon" */
    uint32_t n_rows;            /* rows are taken in groups of this many */
    uint32_t n_panels;          /* panels likewise */
    void (*run)(const struct gemm_block *block);
};

/* The set of that name (NULL: the fastest here); NULL when it is unknown or cannot run here. */
const struct gemm *gemm_find(const char *name);

/* The sets themselves; one that was not compiled for this machine is absent at link time. */
extern const struct gemm gemm_reference;
#if defined(__x86_64__)
extern const struct gemm gemm_avx2;
extern const struct gemm gemm_avx512;
#elif defined(__aarch64__)
extern const struct gemm gemm_neon;
#endif

#endif
