/* kernel_checks.h: a kernel set against the reference, bit for bit, on ugly shapes.
 *
 * Without cmocka, so that the same checks run in the test programs and in the small static
 * program for other processors (tests/kernels/run_neon.sh).
 */
#ifndef TESTS_SUPPORT_KERNEL_CHECKS_H
#define TESTS_SUPPORT_KERNEL_CHECKS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

struct kernel_check {
    const char *name;
    int (*run)(const struct kernels *set); /* number of failures; each is told on stderr */
};

extern const struct kernel_check kernel_checks[];
extern const size_t n_kernel_checks;

/* Numbers in (-1, 1), the same on every machine. */
float check_random(uint64_t *state);
void check_fill(uint64_t *state, float *x, size_t n, float size);

/* Memory of exactly that size, so that a sanitizer sees a step beyond it; aborts when there is
 * none. */
void *check_alloc(size_t n_bytes);

/* A random packed matrix; free data with free(). */
struct matrix check_matrix(uint64_t *state, enum weight_type type, uint32_t n_out, uint32_t n_in);

/* Rows of activations, plain and quantised by the reference. Free with check_rows_free. */
struct check_rows {
    uint32_t n_rows;
    uint32_t n;
    float *x;
    void *memory;
    struct q8_rows q;
};
struct check_rows check_rows_new(uint64_t *state, uint32_t n_rows, uint32_t n);
void check_rows_free(struct check_rows *rows);

/* y = linear(w, rows [first, first + n_rows)) + bias, panels cut into three shares. */
void check_linear(const struct kernels *set, const struct matrix *w, const struct check_rows *rows,
                  uint32_t first, uint32_t n_rows, const float *bias, float *y, size_t y_stride);

#endif
