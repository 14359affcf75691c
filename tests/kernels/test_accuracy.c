/* How near the numbers are to the true ones, in double precision. All sets give the same bits
 * (test_sets), so one set is enough here: the fastest. */
#include "../support/kernel_checks.h"
#include "../support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Calls visit on about n floats spread over all bit patterns from low to high (same sign). */
static float at_pattern(float low, float high, uint32_t i, uint32_t n)
{
    uint32_t a, b;
    float x;
    memcpy(&a, &low, sizeof(a));
    memcpy(&b, &high, sizeof(b));
    uint32_t bits = a + (uint32_t)((uint64_t)(b - a) * i / n);
    memcpy(&x, &bits, sizeof(x));
    return x;
}

enum { N = 300000 };

static void worst_of(void (*f)(float *, const float *, size_t), double (*exact)(double), float low,
                     float high, double *absolute, double *relative)
{
    *absolute = *relative = 0;
    for (uint32_t i = 0; i <= N; i++) {
        float x = at_pattern(low, high, i, N), y;
        f(&y, &x, 1);
        double wanted = exact((double)x);
        double error = fabs((double)y - wanted);
        *absolute = fmax(*absolute, error);
        *relative = fmax(*relative, error / fabs(wanted));
    }
}

static double exact_gelu(double x)
{
    return 0.5 * x * (1 + erf(x / sqrt(2)));
}

static void exp_is_accurate(void **state)
{
    (void)state;
    const struct kernels *k = kernels_find(NULL);
    double absolute, below, above;
    worst_of(k->exp, exp, -1e-9f, -87.33f, &absolute, &below);
    worst_of(k->exp, exp, 1e-9f, 88.72f, &absolute, &above);
    print_message("exp: relative error %.3g below 0, %.3g above\n", below, above);
    assert_true(below < 1.2e-7 && above < 1.2e-7);
}

static void exp_has_clean_ends(void **state)
{
    (void)state;
    static const float in[] = {-INFINITY, -1e30f, -104.0f, -88.0f, -87.34f, 0.0f, -0.0f, 88.73f,
                               1e30f,     INFINITY};
    static const float out[] = {0, 0, 0, 0, 0, 1, 1, INFINITY, INFINITY, INFINITY};
    float y[ARRAY_LEN(in)];
    kernels_find(NULL)->exp(y, in, ARRAY_LEN(in));
    assert_memory_equal(y, out, sizeof(out));
    float lowest = -87.33f;
    kernels_find(NULL)->exp(y, &lowest, 1);
    assert_true(isnormal(y[0]));
}

static void erf_is_accurate(void **state)
{
    (void)state;
    const struct kernels *k = kernels_find(NULL);
    double negative, positive, relative;
    worst_of(k->erf, erf, -1e-20f, -1e30f, &negative, &relative);
    worst_of(k->erf, erf, 1e-20f, 1e30f, &positive, &relative);
    print_message("erf: absolute error %.3g, relative %.3g\n", fmax(negative, positive), relative);
    assert_true(negative < 1.2e-7 && positive < 1.2e-7 && relative < 2e-7);
}

static void gelu_is_accurate(void **state)
{
    (void)state;
    const struct kernels *k = kernels_find(NULL);
    double negative, small, large, relative;
    worst_of(k->gelu, exact_gelu, -1e-20f, -30.0f, &negative, &relative);
    worst_of(k->gelu, exact_gelu, 1e-20f, 1.0f, &small, &relative);
    worst_of(k->gelu, exact_gelu, 1.0f, 1e4f, &large, &relative);
    print_message("gelu: absolute error %.3g below 0, %.3g to 1, relative %.3g above\n", negative,
                  small, relative);
    assert_true(negative < 2e-7 && small < 2e-7 && relative < 2e-7);
}

static void softmax_is_accurate_and_masks(void **state)
{
    (void)state;
    enum { KEYS = 1500 };
    const struct kernels *k = kernels_find(NULL);
    uint64_t seed = 1;
    float x[KEYS], p[KEYS];
    check_fill(&seed, x, KEYS, 12.0f);
    x[3] = x[1499] = -INFINITY;
    memcpy(p, x, sizeof(p));
    k->softmax(p, KEYS);
    double sum = 0, worst = 0;
    for (int i = 0; i < KEYS; i++)
        sum += exp((double)x[i]);
    for (int i = 0; i < KEYS; i++)
        if (isfinite(x[i]))
            worst = fmax(worst, fabs((double)p[i] * sum / exp((double)x[i]) - 1));
    print_message("softmax: relative error %.3g\n", worst);
    assert_true(worst < 2e-6); /* x - max is rounded: up to 24 * 2^-24 in the exponent */
    static const float zero = 0;
    assert_memory_equal(&p[3], &zero, sizeof(zero));
    assert_memory_equal(&p[1499], &zero, sizeof(zero));
}

static void norms_are_accurate(void **state)
{
    (void)state;
    enum { STATE = 384 };
    const struct kernels *k = kernels_find(NULL);
    uint64_t seed = 2;
    float x[STATE], gain[STATE], bias[STATE], y[STATE], z[STATE];
    check_fill(&seed, x, STATE, 3.0f);
    check_fill(&seed, gain, STATE, 1.0f);
    check_fill(&seed, bias, STATE, 1.0f);
    double mean = 0, variance = 0, squares = 0, worst = 0;
    for (int i = 0; i < STATE; i++) {
        x[i] += 5.0f; /* a mean far from zero, as residual streams have */
        mean += (double)x[i] / STATE;
        squares += (double)x[i] * (double)x[i] / STATE;
    }
    for (int i = 0; i < STATE; i++)
        variance += ((double)x[i] - mean) * ((double)x[i] - mean) / STATE;
    k->layer_norm(y, x, gain, bias, STATE, 1e-5f);
    k->rms_norm(z, x, gain, STATE, 1e-6f);
    for (int i = 0; i < STATE; i++) {
        double layer = ((double)x[i] - mean) / sqrt(variance + 1e-5) * (double)gain[i] +
        (double)bias[i]; double rms = (double)x[i] / sqrt(squares + 1e-6) * (double)gain[i];
        worst = fmax(worst, fmax(fabs((double)y[i] - layer), fabs((double)z[i] - rms)));
    }
    print_message("norms: absolute error %.3g\n", worst);
    assert_true(worst < 1e-6);
}

/* Row 0 of a random matrix and its product with x in double, out of the unpacked weights. */
static double linear_error(enum weight_type type, uint32_t n_in)
{
    enum { N_OUT = 35, ROWS = 4 };
    uint64_t seed = 3;
    struct matrix w = check_matrix(&seed, type, N_OUT, n_in);
    struct check_rows rows = check_rows_new(&seed, ROWS, n_in);
    float y[ROWS][N_OUT];
    float *row = check_alloc(n_in * sizeof(float));
    double error = 0, size = 0;
    check_linear(kernels_find(NULL), &w, &rows, 0, ROWS, NULL, y[0], N_OUT);
    for (uint32_t o = 0; o < N_OUT; o++) {
        matrix_unpack_row(&w, o, row);
        for (uint32_t r = 0; r < ROWS; r++) {
            double exact = 0;
            for (uint32_t k = 0; k < n_in; k++)
                exact += (double)row[k] * (double)rows.x[r * n_in + k];
            error += ((double)y[r][o] - exact) * ((double)y[r][o] - exact);
            size += exact * exact;
        }
    }
    free(row);
    free(w.data);
    check_rows_free(&rows);
    return sqrt(error / size);
}

static void linear_layers_are_accurate(void **state)
{
    (void)state;
    double f32 = linear_error(WEIGHT_F32, 2048);
    double f16 = linear_error(WEIGHT_F16, 2048);
    double q8 = linear_error(WEIGHT_Q8_0, 2048);
    double q4 = linear_error(WEIGHT_Q4_0, 2048);
    print_message("linear, k = 2,048: relative error f32 %.3g, f16 %.3g, q8_0 %.3g, q4_0 %.3g\n",
                  f32, f16, q8, q4);
    assert_true(f32 < 3e-6 && f16 < 3e-6);
    assert_true(q8 < 9e-3 && q8 > 1e-4); /* activations of 8 bits: it cannot be better */
    assert_true(q4 < 9e-3 && q4 > 1e-4); /* against its own weights: no worse */
}

static void quantised_numbers_are_the_nearest(void **state)
{
    (void)state;
    enum { LENGTH = 3200 };
    uint64_t seed = 4;
    float x[LENGTH];
    int8_t q[LENGTH];
    float scale[LENGTH / Q8_BLOCK];
    int32_t offset[LENGTH / Q8_BLOCK];
    check_fill(&seed, x, LENGTH, 7.0f);
    kernels_find(NULL)->quantise((struct q8_rows){q, scale, offset}, x, LENGTH);
    for (int block = 0; block < LENGTH / Q8_BLOCK; block++) {
        double largest = 0;
        int sum = 0, most = 0;
        for (int i = block * Q8_BLOCK; i < (block + 1) * Q8_BLOCK; i++) {
            double error = fabs((double)x[i] - (double)scale[block] * q[i]);
            assert_true(error <= (double)scale[block] * 0.50001);
            largest = fmax(largest, fabs((double)x[i]));
            most = MAX(most, abs(q[i]));
            sum += q[i];
        }
        assert_int_equal(most, 127);
        assert_int_equal(offset[block], -128 * sum);
        assert_true(fabs((double)scale[block] - largest / 127) <= largest / 127 * 6e-8);
    }
}

static void quantising_ties_goes_to_even(void **state)
{
    (void)state;
    float x[Q8_BLOCK] = {127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 3.49999f, -127.0f};
    static const int8_t wanted[] = {127, 0, 2, 2, 0, -2, -2, 3, -127, 0};
    int8_t q[Q8_BLOCK];
    float scale;
    int32_t offset;
    kernels_find(NULL)->quantise((struct q8_rows){q, &scale, &offset}, x, Q8_BLOCK);
    assert_memory_equal(q, wanted, sizeof(wanted));
    assert_true(scale == 1.0f);
}

/* The compiler's own _Float16 is the independent implementation. */
static void half_precision_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4000000; i++) {
        uint32_t bits = i * 1073u + (i % 7 == 0 ? 0 : i >> 3);
        if (i % 2)
            bits = 0x33000000 + (bits % 0x15000000); /* the range of half precision, ties among it
            */
        if (i % 5 == 0)
            bits = (bits & ~0x1FFFu) | 0x1000;
        float x;
        memcpy(&x, &bits, sizeof(x));
        if (isnan(x))
            continue;
        _Float16 half = (_Float16)x;
        uint16_t wanted;
        memcpy(&wanted, &half, sizeof(wanted));
        if (f16_from_f32(x) != wanted)
            fail_msg("%a: %04x instead of %04x", (double)x, f16_from_f32(x), wanted);
    }
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t bits = (uint16_t)i;
        _Float16 half;
        memcpy(&half, &bits, sizeof(half));
        float x = f32_from_f16(bits);
        assert_true(isnan(x) ? isnan((float)half) : x == (float)half);
        assert_true(isnan(x) || f16_from_f32(x) == bits);
    }
}

static void rotation_keeps_lengths_and_relative_positions(void **state)
{
    (void)state;
    enum { SIZE = 64, POSITIONS = 50 };
    const struct kernels *k = kernels_find(NULL);
    static float cosine[POSITIONS * SIZE / 2], sine[POSITIONS * SIZE / 2];
    rope_table(cosine, sine, POSITIONS, SIZE, 10000.0f);
    uint64_t seed = 5;
    float q[SIZE], key[SIZE];
    check_fill(&seed, q, SIZE, 1.0f);
    check_fill(&seed, key, SIZE, 1.0f);
    double dots[2] = {0, 0};
    for (int shift = 0; shift < 2; shift++) {
        float a[SIZE], b[SIZE];
        memcpy(a, q, sizeof(a));
        memcpy(b, key, sizeof(b));
        size_t row_a = (size_t)(17 + 20 * shift) * SIZE / 2, row_b = (size_t)(5 + 20 * shift) *
        SIZE / 2; k->rope(a, cosine + row_a, sine + row_a, SIZE);
        k->rope(b, cosine + row_b, sine + row_b, SIZE);
        for (int i = 0; i < SIZE; i++)
            dots[shift] += (double)a[i] * (double)b[i];
    }
    assert_true(fabs(dots[0] - dots[1]) < 1e-5);
    float unit[SIZE] = {[1] = 1.0f};
    k->rope(unit, cosine + 3 * SIZE / 2, sine + 3 * SIZE / 2, SIZE);
    double angle = 3 * pow(10000, -2.0 / SIZE);
    assert_true(fabs((double)unit[1] - cos(angle)) < 1e-6);
    assert_true(fabs((double)unit[1 + SIZE / 2] - sin(angle)) < 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_accurate),
        cmocka_unit_test(exp_has_clean_ends),
        cmocka_unit_test(erf_is_accurate),
        cmocka_unit_test(gelu_is_accurate),
        cmocka_unit_test(softmax_is_accurate_and_masks),
        cmocka_unit_test(norms_are_accurate),
        cmocka_unit_test(linear_layers_are_accurate),
        cmocka_unit_test(quantised_numbers_are_the_nearest),
        cmocka_unit_test(quantising_ties_goes_to_even),
        cmocka_unit_test(half_precision_rounds_to_nearest_even),
        cmocka_unit_test(rotation_keeps_lengths_and_relative_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
