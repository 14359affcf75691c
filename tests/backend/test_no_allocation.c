/* A step does not allocate: malloc and its relatives are counted while passes and encoder slices
 * run. */
#include "../support/support.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "backend/cpu/cpu.h"
#include "model/model_random.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTING 0              /* the sanitizers have malloc to themselves */
#else
#define COUNTING 1
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);
void *malloc(size_t n);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t n);
void *aligned_alloc(size_t align, size_t n);
int posix_memalign(void **out, size_t align, size_t n);

static atomic_uint n_allocations;

void *malloc(size_t n)
{
    atomic_fetch_add(&n_allocations, 1);
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    atomic_fetch_add(&n_allocations, 1);
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    atomic_fetch_add(&n_allocations, 1);
    return __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    atomic_fetch_add(&n_allocations, 1);
    return __libc_memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
    *out = aligned_alloc(align, n);
    return *out ? 0 : 12;
}
#endif

enum { ROWS = 20 };

static void tiny_model(const char *path, enum tensor_type type)
{
    struct error err = {.code = STATUS_OK};
    struct model_description shape;
    assert_ok(model_shape_like("tiny", &shape, &err), &err);
    shape.encoder.n_layers = shape.decoder.n_layers = 1;
    shape.encoder.n_state = shape.decoder.n_state = 64;
    shape.encoder.n_heads = shape.decoder.n_heads = 2;
    shape.encoder.n_kv_heads = shape.decoder.n_kv_heads = 2;
    shape.encoder.head_size = shape.decoder.head_size = 32;
    shape.encoder.n_ff = shape.decoder.n_ff = 256;
    shape.encoder.n_positions = 50;
    assert_ok(model_write_random(path, &shape, 1, type, &err), &err);
}

static unsigned count(void)
{
#if COUNTING
    return atomic_load(&n_allocations);
#else
    return 0;
#endif
}

/* Encodes once (memory is taken), then counts through a second window, passes, keeps and rewinds.
 */
static unsigned allocations_of_steps(struct backend *backend)
{
    static float mel[80 * 100];
    struct error err = {.code = STATUS_OK};
    struct rules_masks *masks;
    struct rules_choice choices[ROWS];
    struct backend_row rows[ROWS];
    const struct backend_features features = {.mel = mel, .n_mels = 80, .n_frames = 100};
    const uint8_t path[] = {0, 2};
    struct sequence *s;
    bool done;
    assert_ok(rules_masks_new(backend->model, &masks, &err), &err);
    struct rules rules = rules_default(backend->model, masks);
    assert_ok(backend_open(backend, &s, &err), &err);
    assert_ok(backend_encode(s, &features, UINT64_MAX, &done, &err), &err);
    unsigned before = count();
    for (done = false; !done;)
        assert_ok(backend_encode(s, &features, 0, &done, &err), &err);
    for (uint32_t n = 3; n <= ROWS; n++) {
        for (uint32_t i = 0; i < n; i++)
            rows[i] = (struct backend_row){.sequence = s, .token = 5, .parent = i == 2 ? 0 : -1,
                                           .rules = &rules, .state = rules_begin(),
                                           .choice = &choices[i]};
        assert_ok(backend_forward(backend, rows, n, &err), &err);
        backend_keep(s, sequence_kept(s), path, 2);
    }
    backend_keep(s, 1, NULL, 0);
    unsigned after = count();
    backend_close(&s);
    rules_masks_free(&masks);
    return after - before;
}

static void steps_do_not_allocate(void **state)
{
    (void)state;
    static const enum tensor_type types[] = {TENSOR_F16, TENSOR_Q8_0, TENSOR_Q4_0};
    char *folder = support_temp_new();
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct error err = {.code = STATUS_OK};
        const struct cpu_options options = {.n_threads = 2, .unpinned = true};
        struct model *model;
        struct backend *backend;
        const char *path = support_format("%s/model-%zu.gguf", folder, i);
        tiny_model(path, types[i]);
        assert_ok(model_open(path, &model, &err), &err);
        assert_ok(cpu_backend_new(model, &options, &backend, &err), &err);
        assert_int_equal(allocations_of_steps(backend), 0);
        backend_free(&backend);
        model_close(&model);
    }
    support_temp_free(folder);
}

static void the_counter_counts(void **state)
{
    (void)state;
    unsigned before = count();
    void *volatile p = malloc(10);
    free(p);
    if (COUNTING)
        assert_int_equal(count(), before + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_counter_counts),
        cmocka_unit_test(steps_do_not_allocate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
