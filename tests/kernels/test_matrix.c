/* Packing: the panels hold the file's numbers, whatever pieces they come in. */
#include "../support/kernel_checks.h"
#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

enum { N_OUT = 53, N_IN = 96 };

/* Packs rows in pieces of `piece`, from an odd address, as a file buffer may be. */
static struct matrix pack_in_pieces(enum weight_type to, enum weight_type from, const uint8_t *rows,
                                    uint32_t piece)
{
    struct matrix m = {.type = to, .n_out = N_OUT, .n_in = N_IN};
    size_t row_bytes = weight_row_bytes(from, N_IN);
    m.data = check_alloc(matrix_bytes(to, N_OUT, N_IN));
    uint8_t *buffer = check_alloc(piece * row_bytes + 1);
    for (uint32_t first = 0; first < N_OUT; first += piece) {
        uint32_t n = MIN(piece, N_OUT - first);
        memcpy(buffer + 1, rows + first * row_bytes, n * row_bytes);
        matrix_pack(&m, first, n, from, buffer + 1);
    }
    free(buffer);
    return m;
}

static uint8_t *random_rows(uint64_t *seed, enum weight_type type)
{
    uint8_t *rows = check_alloc(N_OUT * weight_row_bytes(type, N_IN));
    for (size_t i = 0; i < (size_t)N_OUT * N_IN; i++) {
        float x = check_random(seed);
        uint16_t half = f16_from_f32(x);
        struct q8_0_block *block = (struct q8_0_block *)(void *)rows + i / Q8_BLOCK;
        if (type == WEIGHT_F32) {
            memcpy(rows + i * 4, &x, 4);
        } else if (type == WEIGHT_F16) {
            memcpy(rows + i * 2, &half, 2);
        } else if (type == WEIGHT_Q8_0) {
            block->q[i % Q8_BLOCK] = (int8_t)(x * 128.0f);
            block->scale = i % Q8_BLOCK ? block->scale : half;
        } else {
            struct q4_0_block *four = (struct q4_0_block *)(void *)rows + i / Q8_BLOCK;
            four->q[i % Q8_BLOCK / 2] = (uint8_t)(x * 128.0f + 128.0f);
            four->scale = half;
        }
    }
    return rows;
}

static float number_at(const uint8_t *rows, enum weight_type type, uint32_t o, uint32_t k)
{
    size_t i = (size_t)o * N_IN + k;
    const struct q8_0_block *block = (const struct q8_0_block *)(const void *)rows + i / Q8_BLOCK;
    if (type == WEIGHT_F32)
        return ((const float *)(const void *)rows)[i];
    if (type == WEIGHT_F16)
        return f32_from_f16(((const uint16_t *)(const void *)rows)[i]);
    if (type == WEIGHT_Q8_0)
        return f32_from_f16(block->scale) * (float)block->q[i % Q8_BLOCK];
    const struct q4_0_block *four = (const struct q4_0_block *)(const void *)rows + i / Q8_BLOCK;
    int both = four->q[i % (Q8_BLOCK / 2)];
    return f32_from_f16(four->scale) * (float)((i % Q8_BLOCK < 16 ? both & 15 : both >> 4) - 8);
}

static void rows_come_back_as_they_went_in(void **state)
{
    (void)state;
    static const enum weight_type pairs[][2] = {{WEIGHT_F32, WEIGHT_F32}, {WEIGHT_F32, WEIGHT_F16},
                                                {WEIGHT_F16, WEIGHT_F16}, {WEIGHT_F16, WEIGHT_F32},
                                                {WEIGHT_Q8_0, WEIGHT_Q8_0},
                                                {WEIGHT_Q4_0, WEIGHT_Q4_0}};
    uint64_t seed = 1;
    for (size_t p = 0; p < ARRAY_LEN(pairs); p++) {
        uint8_t *rows = random_rows(&seed, pairs[p][1]);
        struct matrix whole = pack_in_pieces(pairs[p][0], pairs[p][1], rows, N_OUT);
        for (uint32_t piece = 1; piece < 20; piece += 6) {
            struct matrix m = pack_in_pieces(pairs[p][0], pairs[p][1], rows, piece);
            assert_memory_equal(m.data, whole.data, matrix_bytes(m.type, N_OUT, N_IN));
            free(m.data);
        }
        for (uint32_t o = 0; o < N_OUT; o++) {
            float row[N_IN];
            matrix_unpack_row(&whole, o, row);
            for (uint32_t k = 0; k < N_IN; k++) {
                float wanted = number_at(rows, pairs[p][1], o, k);
                if (pairs[p][0] == WEIGHT_F16)
                    wanted = f32_from_f16(f16_from_f32(wanted));
                assert_true(row[k] == wanted);
            }
        }
        free(rows);
        free(whole.data);
    }
}

static void memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 63, 4096, (2u << 20) - 1, 2u << 20, (5u << 20) + 7};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        unsigned char *memory = kernels_alloc(sizes[i]);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % 64, 0);
        for (size_t j = 0; j < sizes[i]; j++)
            if (memory[j] != 0)
                fail_msg("byte %zu of %zu is not zero", j, sizes[i]);
        memset(memory, 1, sizes[i]);
        kernels_free(memory, sizes[i]);
    }
    assert_null(kernels_alloc(0));
    assert_null(kernels_alloc(SIZE_MAX));
    kernels_free(NULL, 0);
}

static void shares_cover_everything_once(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 40; n++)
        for (uint32_t n_threads = 1; n_threads < 9; n_threads++) {
            uint32_t next = 0;
            for (uint32_t thread = 0; thread < n_threads; thread++) {
                uint32_t from, to;
                share_of(n, thread, n_threads, &from, &to);
                assert_int_equal(from, next);
                assert_true(to - from <= n / n_threads + 1);
                next = to;
            }
            assert_int_equal(next, n);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back_as_they_went_in),
        cmocka_unit_test(memory_is_zeroed_and_aligned),
        cmocka_unit_test(shares_cover_everything_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
