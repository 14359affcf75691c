#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "model/gguf.h"
#include "model/gguf_write.h"

/* A small file: a few entries, two tensors, and the data behind it as zeros. */
struct file {
    uint8_t *bytes;
    uint64_t n;
    uint64_t n_header;
};

static void put_tensors(struct gguf_builder *b)
{
    struct tensor_info matrix = {TENSOR_Q8_0, 2, {3, 64}, 3 * 68};
    struct tensor_info vector = {TENSOR_F32, 1, {5}, 20};
    gguf_put_tensor(b, "matrix", &matrix);
    gguf_put_tensor(b, "vector", &vector);
}

static struct file make_file(void (*more)(struct gguf_builder *))
{
    struct error err = {0};
    struct gguf_builder b;
    gguf_builder_init(&b);
    gguf_put_string(&b, "general.architecture", "test");
    gguf_put_u32(&b, "number", 42);
    gguf_put_u64(&b, "long", UINT64_C(1) << 40);
    gguf_put_f32(&b, "fraction", 0.25f);
    gguf_put_bool(&b, "yes", true);
    gguf_put_i32_array(&b, "ids", (const int32_t[]){1, -2, 3}, 3);
    gguf_begin_strings(&b, "words", 2);
    gguf_put_item(&b, "one", 3);
    gguf_put_item(&b, "", 0);
    more(&b);
    assert_ok(gguf_builder_finish(&b, &err), &err);
    struct file f = {.n = b.n + b.data_bytes, .n_header = b.n};
    f.bytes = calloc(1, f.n);
    assert_non_null(f.bytes);
    memcpy(f.bytes, b.bytes, b.n);
    gguf_builder_release(&b);
    return f;
}

static enum status parse(const uint8_t *bytes, uint64_t n, uint64_t file_size, bool *more)
{
    struct gguf g;
    struct error err = {0};
    uint8_t *exact = malloc(n + (n == 0)); /* so that a sanitizer sees a read past the end */
    memcpy(exact, bytes, n);
    enum status st = gguf_parse(exact, n, file_size, &g, more, &err);
    assert_true(st == STATUS_OK || err.text[0]);
    if (st == STATUS_OK)
        gguf_free(&g);
    free(exact);
    return st;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct file f = make_file(put_tensors);
    struct gguf g;
    bool more;
    struct error err = {0};
    assert_ok(gguf_parse(f.bytes, f.n, f.n, &g, &more, &err), &err);
    uint32_t u = 0;
    uint64_t l = 0;
    float x = 0;
    bool yes = false;
    struct gguf_text text;
    assert_true(gguf_u32(&g, "number", &u) && u == 42);
    assert_true(gguf_u64(&g, "long", &l) && l == UINT64_C(1) << 40);
    assert_false(gguf_u32(&g, "long", &u));
    assert_false(gguf_u32(&g, "fraction", &u));
    assert_false(gguf_u32(&g, "absent", &u));
    assert_true(gguf_f32(&g, "fraction", &x) && x == 0.25f);
    assert_true(gguf_bool(&g, "yes", &yes) && yes);
    assert_true(gguf_string(&g, "general.architecture", &text) && text.n == 4);
    const struct gguf_entry *ids = gguf_array(&g, "ids", GGUF_I32);
    assert_non_null(ids);
    assert_int_equal(ids->n_items, 3);
    assert_int_equal((int32_t)gguf_load_u32(ids->value + 4), -2);
    assert_null(gguf_array(&g, "ids", GGUF_U32));
    const struct gguf_entry *words = gguf_array(&g, "words", GGUF_STRING);
    const uint8_t *position = words->value;
    assert_int_equal(gguf_next_string(&position).n, 3);
    assert_int_equal(gguf_next_string(&position).n, 0);
    const struct gguf_tensor *t = gguf_tensor(&g, "vector");
    assert_non_null(t);
    assert_int_equal(t->offset, f.n_header + 224);
    assert_int_equal(gguf_tensor(&g, "matrix")->info.shape[1], 64);
    assert_null(gguf_tensor(&g, "matri"));
    gguf_free(&g);
    free(f.bytes);
}

static void version_2_is_read_too(void **state)
{
    (void)state;
    bool more;
    struct file f = make_file(put_tensors);
    f.bytes[4] = 2;
    assert_int_equal(parse(f.bytes, f.n, f.n, &more), STATUS_OK);
    static const uint8_t refused[] = {0, 1, 4, 200};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        f.bytes[4] = refused[i];
        assert_int_equal(parse(f.bytes, f.n, f.n, &more), STATUS_UNSUPPORTED);
    }
    memcpy(f.bytes + 4, "\0\0\0\3", 4); /* big endian */
    assert_int_equal(parse(f.bytes, f.n, f.n, &more), STATUS_UNSUPPORTED);
    f.bytes[0] = 'g';
    assert_int_equal(parse(f.bytes, f.n, f.n, &more), STATUS_CORRUPT);
    free(f.bytes);
}

static void a_file_cut_anywhere_is_truncated(void **state)
{
    (void)state;
    bool more;
    struct file f = make_file(put_tensors);
    for (uint64_t n = 0; n + 12 < f.n; n++) /* the last 12 bytes are padding */
        assert_int_equal(parse(f.bytes, n, n, &more), STATUS_CORRUPT);
    free(f.bytes);
}

static void a_part_of_the_header_asks_for_more(void **state)
{
    (void)state;
    bool more;
    struct file f = make_file(put_tensors);
    for (uint64_t n = 0; n < f.n_header; n++) {
        assert_int_equal(parse(f.bytes, n, f.n, &more), STATUS_CORRUPT);
        assert_true(more);
    }
    assert_int_equal(parse(f.bytes, f.n_header, f.n, &more), STATUS_OK);
    free(f.bytes);
}

/* Any byte may be anything: the parser says no or reads something, and touches nothing outside. */
static void no_flipped_byte_leads_astray(void **state)
{
    (void)state;
    bool more;
    int refused = 0;
    struct file f = make_file(put_tensors);
    for (uint64_t i = 0; i < f.n_header; i++)
        for (int k = 0; k < 3; k++) {
            uint8_t before = f.bytes[i];
            f.bytes[i] = (uint8_t)(k == 0 ? 0xFF : k == 1 ? before ^ 0x80 : before + 1);
            refused += parse(f.bytes, f.n, f.n, &more) != STATUS_OK;
            f.bytes[i] = before;
        }
    assert_true(refused > 500);
    free(f.bytes);
}

static void absurd_counts_cost_nothing(void **state)
{
    (void)state;
    bool more;
    struct file f = make_file(put_tensors);
    static const size_t counts[] = {8, 16}; /* tensors, entries */
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        for (int bit = 8; bit < 64; bit++) {
            uint64_t before, huge = UINT64_C(1) << bit;
            memcpy(&before, f.bytes + counts[i], 8);
            memcpy(f.bytes + counts[i], &huge, 8);
            assert_int_equal(parse(f.bytes, f.n, f.n, &more), STATUS_CORRUPT);
            memcpy(f.bytes + counts[i], &before, 8);
        }
    free(f.bytes);
}

static void put_twice(struct gguf_builder *b)
{
    gguf_put_u32(b, "number", 43);
}

static void put_tensor_twice(struct gguf_builder *b)
{
    put_tensors(b);
    put_tensors(b);
}

static void put_bad_alignment(struct gguf_builder *b)
{
    gguf_put_u32(b, "general.alignment", 24);
}

static void put_odd_rows(struct gguf_builder *b)
{
    struct tensor_info odd = {TENSOR_Q8_0, 2, {32, 63}, 32 * 68};
    gguf_put_tensor(b, "odd", &odd);
}

static void put_overflowing_shape(struct gguf_builder *b)
{
    struct tensor_info huge = {
        TENSOR_F32, 4, {UINT64_C(1) << 32, UINT64_C(1) << 32, UINT64_C(1) << 32, 4}, 0};
    gguf_put_tensor(b, "huge", &huge);
}

static void put_too_many_dims(struct gguf_builder *b)
{
    struct tensor_info none = {TENSOR_F32, 0, {0}, 0};
    gguf_put_tensor(b, "none", &none);
}

/* Two tensors, the first longer than the place it is given. */
static void put_overlap(struct gguf_builder *b)
{
    struct tensor_info info = {TENSOR_F32, 1, {100}, 32};
    gguf_put_tensor(b, "first", &info);
    gguf_put_tensor(b, "second", &info);
    b->data_bytes += 1024;
}

static void contradictions_are_corrupt(void **state)
{
    (void)state;
    static void (*const bad[])(struct gguf_builder *) = {
        put_twice,   put_tensor_twice,      put_bad_alignment, put_odd_rows,
        put_overlap, put_overflowing_shape, put_too_many_dims,
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        bool more;
        struct file f = make_file(bad[i]);
        assert_int_equal(parse(f.bytes, f.n, f.n, &more), STATUS_CORRUPT);
        free(f.bytes);
    }
}

static void bytes_behind_the_last_tensor_are_refused(void **state)
{
    (void)state;
    bool more;
    struct file f = make_file(put_tensors);
    f.bytes = realloc(f.bytes, f.n + 1);
    f.bytes[f.n] = 0;
    assert_int_equal(parse(f.bytes, f.n + 1, f.n + 1, &more), STATUS_CORRUPT);
    free(f.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(version_2_is_read_too),
        cmocka_unit_test(a_file_cut_anywhere_is_truncated),
        cmocka_unit_test(a_part_of_the_header_asks_for_more),
        cmocka_unit_test(no_flipped_byte_leads_astray),
        cmocka_unit_test(absurd_counts_cost_nothing),
        cmocka_unit_test(contradictions_are_corrupt),
        cmocka_unit_test(bytes_behind_the_last_tensor_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
