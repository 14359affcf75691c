/* Every kernel set that runs here, against the reference, bit for bit. */
#include "../support/kernel_checks.h"
#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/sets.h"

/* Runs the check of that name on all sets; a set that this processor lacks is said, not hidden. */
static void check_all_sets(const char *name)
{
    size_t n_checked = 0;
    for (size_t i = 0; kernels_name(i); i++) {
        const struct kernels *set = kernels_find(kernels_name(i));
        if (!set) {
            print_message("%s does not run on this processor\n", kernels_name(i));
            continue;
        }
        for (size_t c = 0; c < n_kernel_checks; c++)
            if (strcmp(kernel_checks[c].name, name) == 0) {
                int failures = kernel_checks[c].run(set);
                if (failures)
                    fail_msg("%s: %d differences in %s", set->name, failures, name);
                n_checked++;
            }
    }
    assert_true(n_checked >= 1);
}

static void linear_layers_agree(void **state)
{
    (void)state;
    check_all_sets("linear");
}

static void a_row_does_not_depend_on_its_company(void **state)
{
    (void)state;
    check_all_sets("rows in company");
}

static void the_largest_integers_do_not_overflow(void **state)
{
    (void)state;
    check_all_sets("largest integers");
}

static void quantised_activations_agree(void **state)
{
    (void)state;
    check_all_sets("quantise");
}

static void groups_of_panels_agree(void **state)
{
    (void)state;
    check_all_sets("linear groups");
}

static void attention_agrees(void **state)
{
    (void)state;
    check_all_sets("attention");
}

static void attention_does_not_depend_on_slots(void **state)
{
    (void)state;
    check_all_sets("attention slots");
}

static void norms_and_softmax_agree_at_every_length(void **state)
{
    (void)state;
    check_all_sets("rows");
}

static void functions_agree_on_every_kind_of_number(void **state)
{
    (void)state;
    check_all_sets("functions");
}

static void half_precision_agrees(void **state)
{
    (void)state;
    check_all_sets("half precision");
}

static void screening_agrees(void **state)
{
    (void)state;
    check_all_sets("screening");
}

static void rotary_positions_agree(void **state)
{
    (void)state;
    check_all_sets("rope");
}

/* The checks can fail: a set with one wrong bit in one weight is seen, in that output alone. */
static void one_corrupt_weight_is_seen(void **state)
{
    (void)state;
    enum { N_OUT = 37, N_IN = 64, ROWS = 5, OUTPUT = 36, K = 50 };
    for (int type = WEIGHT_F32; type <= WEIGHT_Q4_0; type++)
        for (size_t i = 0; kernels_name(i); i++) {
            const struct kernels *set = kernels_find(kernels_name(i));
            if (!set)
                continue;
            uint64_t seed = 8;
            struct matrix w = check_matrix(&seed, type, N_OUT, N_IN);
            struct check_rows rows = check_rows_new(&seed, ROWS, N_IN);
            float good[ROWS][N_OUT], bad[ROWS][N_OUT];
            check_linear(&kernels_reference, &w, &rows, 0, ROWS, NULL, good[0], N_OUT);
            size_t panel = OUTPUT / PANEL * matrix_panel_bytes(w.type, N_IN);
            size_t lane = OUTPUT % PANEL;
            size_t width = type == WEIGHT_F32 ? 4 : 2, group = type == WEIGHT_Q4_0 ? 8 : 4;
            size_t at = weight_is_integer(type) ? (K / group * PANEL + lane) * 4 + K % 4
                                                : (K * PANEL + lane) * width + width - 1;
            ((uint8_t *)w.data)[panel + at] ^= weight_is_integer(type) ? 0x08 : 0x80; /* or sign */
            check_linear(set, &w, &rows, 0, ROWS, NULL, bad[0], N_OUT);
            for (size_t r = 0; r < ROWS; r++) {
                assert_memory_equal(good[r], bad[r], OUTPUT * sizeof(float));
                assert_memory_not_equal(&good[r][OUTPUT], &bad[r][OUTPUT], sizeof(float));
            }
            check_rows_free(&rows);
            free(w.data);
        }
}

static void sets_are_found_by_name(void **state)
{
    (void)state;
    assert_ptr_equal(kernels_find("reference"), &kernels_reference);
    assert_null(kernels_find("mmx"));
    assert_non_null(kernels_find(NULL));
    assert_string_equal(kernels_find(kernels_find(NULL)->name)->name, kernels_find(NULL)->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_layers_agree),
        cmocka_unit_test(a_row_does_not_depend_on_its_company),
        cmocka_unit_test(the_largest_integers_do_not_overflow),
        cmocka_unit_test(quantised_activations_agree),
        cmocka_unit_test(groups_of_panels_agree),
        cmocka_unit_test(attention_agrees),
        cmocka_unit_test(attention_does_not_depend_on_slots),
        cmocka_unit_test(norms_and_softmax_agree_at_every_length),
        cmocka_unit_test(functions_agree_on_every_kind_of_number),
        cmocka_unit_test(half_precision_agrees),
        cmocka_unit_test(screening_agrees),
        cmocka_unit_test(rotary_positions_agree),
        cmocka_unit_test(one_corrupt_weight_is_seen),
        cmocka_unit_test(sets_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
