/* The vocabulary message: whole vocabularies come back exactly; damaged ones are refused or
 * valid. */
#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "wire/vocabulary.h"

/* Tokens of 0 to 12 random bytes, as many as Whisper has, with its hundred languages. */
static struct wire_vocabulary random_vocabulary(uint64_t seed, uint32_t n_tokens)
{
    struct wire_vocabulary v = {.hash = support_random(&seed), .n_tokens = n_tokens};
    v.offsets = calloc(n_tokens + 1, sizeof(*v.offsets));
    v.bytes = malloc(12 * (size_t)n_tokens);
    v.n_languages = 100;
    v.languages = calloc(v.n_languages, sizeof(*v.languages));
    assert_true(v.offsets && v.bytes && v.languages);
    for (uint32_t i = 0; i < n_tokens; i++)
        v.offsets[i + 1] = v.offsets[i] + (uint32_t)(support_random(&seed) % 13);
    for (uint32_t i = 0; i < v.offsets[n_tokens]; i++)
        v.bytes[i] = (uint8_t)support_random(&seed);
    for (int i = 0; i < WIRE_SPECIAL_N; i++)
        v.special[i] = (int32_t)(support_random(&seed) % (n_tokens + 1)) - 1;
    for (uint32_t i = 0; i < v.n_languages; i++)
        memcpy(v.languages[i], i % 7 ? "en" : "yue", i % 7 ? 3 : 4);
    return v;
}

static struct wire_bytes pack(const struct wire_vocabulary *v)
{
    struct wire_bytes bytes;
    struct error err;
    assert_ok(wire_vocabulary_pack(v, &bytes, &err), &err);
    return bytes;
}

static void a_whole_vocabulary_comes_back_exactly(void **state)
{
    (void)state;
    struct wire_vocabulary v = random_vocabulary(1, 51865), back;
    struct wire_bytes bytes = pack(&v);
    struct error err;
    print_message("%u tokens of %u bytes: message of %zu bytes\n", v.n_tokens,
                  v.offsets[v.n_tokens], bytes.size);
    assert_ok(wire_vocabulary_unpack(bytes.data, bytes.size, &back, &err), &err);
    assert_true(back.hash == v.hash && back.n_tokens == v.n_tokens);
    assert_memory_equal(back.offsets, v.offsets, (v.n_tokens + 1) * sizeof(*v.offsets));
    assert_memory_equal(back.bytes, v.bytes, v.offsets[v.n_tokens]);
    assert_memory_equal(back.special, v.special, sizeof(v.special));
    assert_int_equal(back.n_languages, v.n_languages);
    assert_memory_equal(back.languages, v.languages, v.n_languages * sizeof(*v.languages));
    wire_vocabulary_release(&back);
    wire_vocabulary_release(&v);
    wire_bytes_release(&bytes);
}

static void requests_come_back_exactly(void **state)
{
    (void)state;
    uint64_t hashes[] = {0, 1, UINT64_MAX, 0x0123456789ABCDEF};
    for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
        struct wire_bytes bytes;
        struct error err;
        uint64_t hash = 77;
        assert_ok(wire_vocabulary_request_pack(hashes[i], &bytes, &err), &err);
        assert_ok(wire_vocabulary_request_unpack(bytes.data, bytes.size, &hash, &err), &err);
        assert_true(hash == hashes[i]);
        wire_bytes_release(&bytes);
    }
    uint8_t bad[] = {0x09, 0x01};
    uint64_t hash;
    assert_int_equal(wire_vocabulary_request_unpack(bad, sizeof(bad), &hash, NULL), STATUS_CORRUPT);
}

static void damaged_vocabularies_are_refused_or_valid(void **state)
{
    (void)state;
    struct wire_vocabulary v = random_vocabulary(2, 40), back;
    struct wire_bytes bytes = pack(&v);
    int n_refused = 0;
    for (size_t i = 0; i < 8 * bytes.size; i++) {
        struct error err = {0};
        bytes.data[i / 8] ^= (uint8_t)(1u << (i % 8));
        if (wire_vocabulary_unpack(bytes.data, bytes.size, &back, &err) == STATUS_OK) {
            struct wire_bytes again = pack(&back);
            wire_bytes_release(&again);
            wire_vocabulary_release(&back);
        } else {
            assert_true(err.text[0] != '\0');
            n_refused++;
        }
        bytes.data[i / 8] ^= (uint8_t)(1u << (i % 8));
    }
    assert_true(n_refused > 100);
    for (size_t size = 0; size < bytes.size; size++) {
        uint8_t *cut = malloc(size + 1);
        assert_non_null(cut);
        memcpy(cut, bytes.data, size);
        if (wire_vocabulary_unpack(cut, size, &back, NULL) == STATUS_OK)
            wire_vocabulary_release(&back);
        free(cut);
    }
    wire_bytes_release(&bytes);
    wire_vocabulary_release(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_vocabulary_comes_back_exactly),
        cmocka_unit_test(requests_come_back_exactly),
        cmocka_unit_test(damaged_vocabularies_are_refused_or_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
