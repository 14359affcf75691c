/* The encoder's product: every set gives the reference's bits, however the work is cut. */
#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/gemm.h"

enum { ROWS_MAX = 40, PANELS_MAX = 5, K_MAX = 150, MARGIN = 3 };

struct problem {
    float a[ROWS_MAX * (K_MAX + MARGIN)];
    float b[PANELS_MAX * GEMM_PANEL * K_MAX];
    float bias[PANELS_MAX * GEMM_PANEL];
    float c[ROWS_MAX * (PANELS_MAX * GEMM_PANEL + MARGIN)];
    struct gemm_block block;
};

static void fill(float *x, size_t n, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = support_uniform(seed, -1.0f, 1.0f);
}

static struct problem *problem_new(uint32_t rows, uint32_t panels, uint32_t k, uint64_t seed)
{
    struct problem *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    fill(p->a, ARRAY_LEN(p->a), &seed);
    fill(p->b, ARRAY_LEN(p->b), &seed);
    fill(p->bias, ARRAY_LEN(p->bias), &seed);
    fill(p->c, ARRAY_LEN(p->c), &seed);
    p->block = (struct gemm_block){
        .n_rows = rows, .n_panels = panels, .n_k = k, .a = p->a, .a_stride = k + MARGIN,
        .b = p->b, .b_stride = (size_t)k * GEMM_PANEL, .c = p->c,
        .c_row = panels * GEMM_PANEL + MARGIN, .c_panel = GEMM_PANEL, .bias = p->bias,
    };
    return p;
}

static const char *const set_names[] = {"reference", "avx2", "avx512", "neon"};
static const uint32_t shapes[][3] = {{1, 1, 1}, {2, 1, 7}, {3, 2, 64}, {4, 3, 33}, {5, 1, 150},
                                     {6, 2, 16}, {7, 5, 80}, {11, 2, 5}, {12, 3, 64}, {13, 4, 31},
                                     {18, 1, 100}, {29, 5, 12}, {40, 2, 149}};

static void every_set_gives_the_bits_of_the_reference(void **state)
{
    (void)state;
    unsigned n_sets = 0;
    for (size_t s = 0; s < ARRAY_LEN(set_names); s++) {
        const struct gemm *gemm = gemm_find(set_names[s]);
        if (!gemm)
            continue;
        n_sets++;
        for (size_t i = 0; i < ARRAY_LEN(shapes) * 4; i++) {
            const uint32_t *shape = shapes[i / 4];
            struct problem *want = problem_new(shape[0], shape[1], shape[2], i);
            struct problem *got = problem_new(shape[0], shape[1], shape[2], i);
            want->block.resume = got->block.resume = i & 1;
            if (i & 2)
                want->block.bias = got->block.bias = NULL;
            gemm_reference.run(&want->block);
            gemm->run(&got->block);
            assert_memory_equal(want->c, got->c, sizeof(want->c));
            free(want);
            free(got);
        }
    }
    assert_true(n_sets >= 1);
    assert_non_null(gemm_find("reference"));
    assert_null(gemm_find("abacus"));
    assert_non_null(gemm_find(NULL));
}

static void the_reference_agrees_with_double_precision(void **state)
{
    (void)state;
    struct problem *p = problem_new(9, 3, 150, 5);
    gemm_reference.run(&p->block);
    for (uint32_t i = 0; i < 9; i++)
        for (uint32_t j = 0; j < 48; j++) {
            double sum = p->bias[j];
            for (uint32_t k = 0; k < 150; k++)
                sum += (double)p->a[i * (150 + MARGIN) + k] *
                       (double)p->b[(j / 16 * 150 + k) * 16 + j % 16];
            double got = (double)p->c[i * p->block.c_row + j];
            assert_true(got - sum < 2e-5 && sum - got < 2e-5);
        }
    free(p);
}

static void any_cut_of_rows_panels_and_k_gives_the_same_bits(void **state)
{
    (void)state;
    const struct gemm *gemm = gemm_find(NULL);
    for (uint64_t seed = 0; seed < 60; seed++) {
        uint64_t random = seed;
        struct problem *want = problem_new(31, 4, 120, seed);
        struct problem *got = problem_new(31, 4, 120, seed);
        gemm->run(&want->block);
        uint32_t row_cut = (uint32_t)(support_random(&random) % 32);
        uint32_t k_cut = (uint32_t)(support_random(&random) % 121);
        for (uint32_t part = 0; part < 4; part++) {
            struct gemm_block b = got->block;
            uint32_t row = part & 1 ? row_cut : 0, k = part & 2 ? k_cut : 0;
            b.n_rows = part & 1 ? 31 - row_cut : row_cut;
            b.n_k = part & 2 ? 120 - k_cut : k_cut;
            b.a += row * b.a_stride + k;
            b.b += k * GEMM_PANEL;
            b.c += row * b.c_row;
            b.resume = part & 2;
            b.bias = part & 2 ? b.bias : NULL;
            gemm->run(&b);
        }
        assert_memory_equal(want->c, got->c, sizeof(want->c));
        free(want);
        free(got);
    }
}

static void one_corrupt_weight_changes_one_column(void **state)
{
    (void)state;
    const struct gemm *gemm = gemm_find(NULL);
    struct problem *want = problem_new(13, 3, 40, 1);
    struct problem *got = problem_new(13, 3, 40, 1);
    got->b[(40 + 39) * GEMM_PANEL + 5] += 0.5f;     /* panel 1, k 39, output 5 */
    gemm->run(&want->block);
    gemm->run(&got->block);
    for (uint32_t i = 0; i < 13; i++)
        for (uint32_t j = 0; j < 48; j++) {
            bool same = want->c[i * want->block.c_row + j] == got->c[i * got->block.c_row + j];
            assert_int_equal(same, j != 16 + 5);
        }
    free(want);
    free(got);
}

static void outputs_may_lie_in_panels(void **state)
{
    (void)state;
    const struct gemm *gemm = gemm_find(NULL);
    struct problem *rows = problem_new(17, 5, 33, 2);
    struct problem *panels = problem_new(17, 5, 33, 2);
    panels->block.c_row = GEMM_PANEL;
    panels->block.c_panel = 17 * GEMM_PANEL;
    gemm->run(&rows->block);
    gemm->run(&panels->block);
    for (uint32_t i = 0; i < 17; i++)
        for (uint32_t j = 0; j < 5; j++)
            assert_memory_equal(rows->c + i * rows->block.c_row + j * GEMM_PANEL,
                                panels->c + (j * 17 + i) * GEMM_PANEL, GEMM_PANEL * sizeof(float));
    free(rows);
    free(panels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_gives_the_bits_of_the_reference),
        cmocka_unit_test(the_reference_agrees_with_double_precision),
        cmocka_unit_test(any_cut_of_rows_panels_and_k_gives_the_same_bits),
        cmocka_unit_test(one_corrupt_weight_changes_one_column),
        cmocka_unit_test(outputs_may_lie_in_panels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
