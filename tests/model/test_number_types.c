#include "../support/support.h"

#include <math.h>
#include <string.h>

#include "model/byte_unicode.h"
#include "model/number_types.h"

static void every_half_survives_the_way_up_and_down(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        float value = f16_to_f32((uint16_t)bits);
        if ((bits & 0x7C00) == 0x7C00 && (bits & 0x3FF)) {
            assert_true(isnan(value));
            assert_true(isnan(f16_to_f32(f32_to_f16(value))));
        } else {
            assert_int_equal(f32_to_f16(value), bits);
        }
    }
    assert_true(f16_to_f32(0x3C00) == 1.0f && f16_to_f32(0xC000) == -2.0f);
    assert_true(f16_to_f32(0x0001) == 0x1p-24f && f16_to_f32(0x7BFF) == 65504.0f);
}

/* The loop over many has no branches: the same numbers come out of it. */
static void halves_in_a_row_are_read_as_one_by_one(void **state)
{
    (void)state;
    static uint16_t halves[65536];
    static float floats[65536];
    for (uint32_t bits = 0; bits < 65536; bits++)
        halves[bits] = (uint16_t)bits;
    tensor_decode(TENSOR_F16, halves, floats, 65536);
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float one = f16_to_f32((uint16_t)bits);
        assert_true(isnan(one) ? isnan(floats[bits]) : memcmp(&one, &floats[bits], 4) == 0);
    }
}

/* Between two neighbouring halves the nearer one is taken, and of two equally near the even one. */
static void rounding_is_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x7BFF; bits++) {
        float low = f16_to_f32((uint16_t)bits), high = f16_to_f32((uint16_t)(bits + 1));
        float middle = low + (high - low) / 2;
        assert_int_equal(f32_to_f16(middle), bits + (bits & 1));
        assert_int_equal(f32_to_f16(nextafterf(middle, low)), bits);
        assert_int_equal(f32_to_f16(nextafterf(middle, high)), bits + 1);
        assert_int_equal(f32_to_f16(-nextafterf(middle, high)), 0x8000 | (bits + 1));
    }
    assert_int_equal(f32_to_f16(65519.99f), 0x7BFF);
    assert_int_equal(f32_to_f16(65520.0f), 0x7C00);
    assert_int_equal(f32_to_f16(-INFINITY), 0xFC00);
    assert_true(bf16_to_f32(0x3FC0) == 1.5f);
}

static void q8_0_is_within_half_a_step(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int round = 0; round < 2000; round++) {
        float values[64], back[64];
        uint8_t blocks[2 * Q8_BLOCK_BYTES];
        float size = support_uniform(&seed, 1e-3f, 10);
        for (int i = 0; i < 64; i++)
            values[i] = i < 32 ? support_uniform(&seed, -size, size) : 0;
        tensor_encode(TENSOR_Q8_0, values, blocks, 64);
        tensor_decode(TENSOR_Q8_0, blocks, back, 64);
        float absmax = 0;
        for (int i = 0; i < 32; i++)
            absmax = fmaxf(absmax, fabsf(values[i]));
        for (int i = 0; i < 32; i++)
            assert_true(fabsf(values[i] - back[i]) <= absmax / 127 * 0.5635f);
        for (int i = 32; i < 64; i++)
            assert_true(back[i] == 0);
    }
}

static void q8_0_keeps_what_it_can_hold(void **state)
{
    (void)state;
    float values[32], back[32];
    uint8_t block[Q8_BLOCK_BYTES];
    for (int i = 0; i < 32; i++)
        values[i] = 0.5f * (float)(i * 8 - 127);
    tensor_encode(TENSOR_Q8_0, values, block, 32);
    tensor_decode(TENSOR_Q8_0, block, back, 32);
    assert_memory_equal(values, back, sizeof(values));
    assert_int_equal((int8_t)block[2], -127);
}

/* Half a step of a scale of absmax / 8 at most, or the whole step on the side where +8 is missing;
 * the search over scales may trade the largest entry for the others, never for more error. */
static void q4_0_is_as_near_as_plain_rounding(void **state)
{
    (void)state;
    uint64_t seed = 4;
    for (int round = 0; round < 2000; round++) {
        float values[64], back[64], absmax = 0;
        double error = 0, plain = 0;
        uint8_t blocks[2 * Q4_BLOCK_BYTES];
        float size = support_uniform(&seed, 1e-3f, 10);
        for (int i = 0; i < 64; i++)
            values[i] = i < 32 ? support_uniform(&seed, -size, size) : 0;
        tensor_encode(TENSOR_Q4_0, values, blocks, 64);
        tensor_decode(TENSOR_Q4_0, blocks, back, 64);
        for (int i = 0; i < 32; i++)
            absmax = fmaxf(absmax, fabsf(values[i]));
        for (int i = 0; i < 32; i++) {
            double step = (double)absmax / 7, rounded = step * rint((double)values[i] / step);
            plain += pow((double)values[i] - rounded, 2);
            error += pow((double)values[i] - (double)back[i], 2);
        }
        assert_true(error <= plain * 1.01);
        for (int i = 32; i < 64; i++)
            assert_true(back[i] == 0);
    }
}

/* All sixteen values, either sign of the scale, and where each element lies. */
static void q4_0_keeps_what_it_can_hold(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        float values[32], back[32];
        uint8_t block[Q4_BLOCK_BYTES];
        for (int i = 0; i < 32; i++)
            values[i] = 0.25f * (float)(sign * (i % 16 - 8));
        tensor_encode(TENSOR_Q4_0, values, block, 32);
        tensor_decode(TENSOR_Q4_0, block, back, 32);
        for (int i = 0; i < 32; i++)
            assert_true(values[i] == back[i]); /* either zero */
        assert_int_equal(block[2], 0x00);
        assert_int_equal(block[2 + 15], 0xFF);
    }
    static const uint8_t byte[Q4_BLOCK_BYTES] = {0x00, 0x3C, [2] = 0x2F}; /* scale 1 */
    float back[32];
    tensor_decode(TENSOR_Q4_0, byte, back, 32);
    assert_true(back[0] == 7 && back[16] == -6 && back[1] == -8);
}

static void every_byte_has_a_character_of_its_own(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        uint8_t in = (uint8_t)byte, out[2];
        char text[2];
        size_t n_back, n = byte_unicode_encode(&in, 1, text);
        assert_true(byte_unicode_decode(text, n, out, &n_back));
        assert_int_equal(n_back, 1);
        assert_int_equal(out[0], byte);
        assert_true(n == 2 || (text[0] > 0x20 && text[0] < 0x7F));
    }
    char text[4];
    assert_int_equal(byte_unicode_encode((const uint8_t *)" \n", 2, text), 4);
    assert_memory_equal(text, "\xC4\xA0\xC4\x8A", 4); /* U+0120, U+010A */
}

static void characters_outside_the_map_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {" ",        "\n",   "\x7F",         "\xC2\x80", "\xC2\xAD",
                                      "\xC5\x84", "\xC4", "\xE2\x99\xAA", "a\xC4",    "\xC4z"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint8_t out[8];
        size_t n;
        assert_false(byte_unicode_decode(bad[i], strlen(bad[i]), out, &n));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_survives_the_way_up_and_down),
        cmocka_unit_test(halves_in_a_row_are_read_as_one_by_one),
        cmocka_unit_test(rounding_is_to_nearest_even),
        cmocka_unit_test(q8_0_is_within_half_a_step),
        cmocka_unit_test(q8_0_keeps_what_it_can_hold),
        cmocka_unit_test(q4_0_is_as_near_as_plain_rounding),
        cmocka_unit_test(q4_0_keeps_what_it_can_hold),
        cmocka_unit_test(every_byte_has_a_character_of_its_own),
        cmocka_unit_test(characters_outside_the_map_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
