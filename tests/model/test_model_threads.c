/* Several threads read one model at once, as a loader with a thread pool does. */
#include "../support/model_fixture.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, READS = 60 };

struct reader {
    pthread_t thread;
    const struct model *model;
    const uint8_t *expected;
    size_t n;
    uint64_t seed;
    int wrong;
};

static void *read_parts(void *context)
{
    struct reader *r = context;
    uint8_t *bytes = malloc(r->n);
    for (int i = 0; i < READS; i++) {
        struct error err = {0};
        size_t from = support_random(&r->seed) % r->n;
        size_t length = support_random(&r->seed) % (r->n - from);
        if (model_read(r->model, "decoder.token_embd.weight", from, bytes, length, &err) !=
                STATUS_OK ||
            memcmp(bytes, r->expected + from, length) != 0)
            r->wrong++;
    }
    free(bytes);
    return NULL;
}

static void threads_read_the_same_bytes(void **state)
{
    (void)state;
    char *folder = support_temp_new();
    const char *path = fixture_write(folder, "m.gguf", TENSOR_F32);
    size_t n = 1908 * 64 * 4;
    struct model *first = NULL, *shared = NULL;
    struct error err = {0};
    struct reader readers[THREADS];
    uint8_t *expected = malloc(n);
    assert_ok(model_open(path, &first, &err), &err);
    assert_ok(model_read(first, "decoder.token_embd.weight", 0, expected, n, &err), &err);
    assert_ok(model_open(path, &shared, &err), &err);
    for (int i = 0; i < THREADS; i++) {
        readers[i] =
            (struct reader){.model = shared, .expected = expected, .n = n, .seed = (uint64_t)i};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_parts, &readers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(readers[i].wrong, 0);
    }
    free(expected);
    model_close(&first);
    model_close(&shared);
    support_temp_free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads_read_the_same_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
