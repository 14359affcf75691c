/* Many threads update while one renders: no count is lost, every text in between is well formed. */
#include "exposition.h"

#include <pthread.h>
#include <stdatomic.h>

#include "metrics/metrics.h"

enum { N_THREADS = 4, N_ROUNDS = 20000 };
enum { COUNT, LEVEL, SIZE, N_DEFS };

static const uint64_t bounds[] = {1, 10, 100, 1000};
static const struct metric_def defs[N_DEFS] = {
    [COUNT] = {.name = "c_total", .help = "C.", .kind = METRIC_COUNTER},
    [LEVEL] = {.name = "g", .help = "G.", .kind = METRIC_GAUGE},
    [SIZE] = {.name = "h", .help = "H.", .kind = METRIC_HISTOGRAM, .buckets = bounds,
              .n_buckets = 4},
};

struct shared {
    struct metrics *metrics;
    atomic_int running;
};

static void *work(void *context)
{
    struct shared *shared = context;
    for (uint64_t i = 0; i < N_ROUNDS; i++) {
        metrics_add(shared->metrics, COUNT, 2);
        metrics_move(shared->metrics, LEVEL, i % 2 ? -1 : 1);
        metrics_observe(shared->metrics, SIZE, i % 2000);
    }
    atomic_fetch_sub(&shared->running, 1);
    return NULL;
}

static void nothing_is_lost_between_threads(void **state)
{
    (void)state;
    struct shared shared = {.running = N_THREADS};
    struct error err;
    pthread_t threads[N_THREADS];
    assert_ok(metrics_new(defs, N_DEFS, &shared.metrics, &err), &err);
    for (int i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &shared), 0);
    double before = 0;
    do {
        char *text;
        size_t size;
        assert_ok(metrics_render(shared.metrics, &text, &size, &err), &err);
        struct exposition *x = exposition_read(text);
        assert_true(exposition_value(x, "h_count") >= before);
        before = exposition_value(x, "h_count");
        free(x);
        free(text);
    } while (atomic_load(&shared.running) > 0);
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(metrics_value(shared.metrics, COUNT), 2 * N_THREADS * N_ROUNDS);
    assert_int_equal(metrics_value(shared.metrics, LEVEL), 0);
    assert_int_equal(metrics_value(shared.metrics, SIZE), N_THREADS * N_ROUNDS);
    metrics_free(&shared.metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_lost_between_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
