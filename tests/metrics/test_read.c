/* Reading back what was rendered, and what is no metrics at all. */
#include "../support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/metrics.h"
#include "metrics/read.h"

enum { TAKEN, HIGH, LOW, LAG_A, LAG_B, N };

static const uint64_t bounds[] = {1000, 2000, 5000};
static const struct metric_def defs[N] = {
    [TAKEN] = {.name = "t_taken_total", .help = "Taken.", .kind = METRIC_COUNTER},
    [HIGH] = {.name = "t_level", .help = "L.", .kind = METRIC_GAUGE, .decimals = 3,
              .labels = {{"where", "a \"b\" \\ } c"}}},
    [LOW] = {.name = "t_level", .help = "L.", .kind = METRIC_GAUGE, .decimals = 3,
             .labels = {{"where", "two\nlines"}}},
    [LAG_A] = {.name = "t_lag", .help = "Lag.", .kind = METRIC_HISTOGRAM, .decimals = 3,
               .buckets = bounds, .n_buckets = 3, .labels = {{"mode", "a"}}},
    [LAG_B] = {.name = "t_lag", .help = "Lag.", .kind = METRIC_HISTOGRAM, .decimals = 3,
               .buckets = bounds, .n_buckets = 3, .labels = {{"mode", "b"}}},
};

static struct metrics *metrics;

static char *render(void)
{
    char *text;
    size_t size;
    struct error err;
    assert_ok(metrics_render(metrics, &text, &size, &err), &err);
    return text;
}

static int make(void **state)
{
    (void)state;
    struct metric_def own[N];
    struct error err;
    memcpy(own, defs, sizeof(own));
    own[HIGH].labels[1] = own[LOW].labels[1] = (struct metric_label){"side", "s"};
    assert_ok(metrics_new(own, N, &metrics, &err), &err);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    metrics_free(&metrics);
    return 0;
}

static void values_and_labels_come_back(void **state)
{
    (void)state;
    struct metrics_line line;
    char label[64];
    double value;
    metrics_add(metrics, TAKEN, 12345);
    metrics_set(metrics, HIGH, -1500);
    metrics_set(metrics, LOW, 250);
    char *text = render();
    assert_true(metrics_read_value(text, "t_taken_total", &value));
    assert_true(value > 12344.5 && value < 12345.5);
    assert_false(metrics_read_value(text, "t_taken", &value));
    assert_false(metrics_read_value(text, "t_level", &value));
    const char *at = text;
    int n = 0;
    while (metrics_read_line(&at, &line))
        if (line.n_name == 7 && memcmp(line.series, "t_level", 7) == 0) {
            assert_true(metrics_read_label(&line, "where", label, sizeof(label)));
            assert_string_equal(label, n == 0 ? "a \"b\" \\ } c" : "two\nlines");
            assert_true(metrics_read_label(&line, "side", label, sizeof(label)));
            assert_string_equal(label, "s");
            assert_false(metrics_read_label(&line, "sid", label, sizeof(label)));
            assert_true(fabs(line.value - (n == 0 ? -1.5 : 0.25)) < 1e-9);
            n++;
        }
    assert_int_equal(n, 2);
    free(text);
}

static void quantiles_are_those_between_two_texts(void **state)
{
    (void)state;
    for (int i = 0; i < 99; i++)
        metrics_observe(metrics, i % 2 ? LAG_A : LAG_B, 500);
    metrics_observe(metrics, LAG_A, 4000);
    char *first = render();
    assert_true(fabs(metrics_read_quantile("", first, "t_lag", 0.5) - 1.0) < 1e-9);
    assert_true(fabs(metrics_read_quantile("", first, "t_lag", 0.999) - 5.0) < 1e-9);
    assert_true(metrics_read_quantile(first, first, "t_lag", 0.5) < 0.0);
    assert_true(metrics_read_quantile("", first, "t_other", 0.5) < 0.0);
    metrics_observe(metrics, LAG_B, 1500);
    metrics_observe(metrics, LAG_B, 9000);
    char *second = render();
    assert_true(fabs(metrics_read_quantile(first, second, "t_lag", 0.5) - 2.0) < 1e-9);
    assert_true(isinf(metrics_read_quantile(first, second, "t_lag", 0.99)));
    free(first);
    free(second);
}

static void what_is_no_sample_is_passed_over(void **state)
{
    (void)state;
    const char *text = "\n\n# HELP a b\nno value\nx{y=\"z 1\nx{y=\"z\"}\nx{y=\"z\"} NaN\n} 3\n"
                       "good 7\nlast{a=\"b";
    struct metrics_line line;
    char label[8];
    const char *at = text;
    assert_true(metrics_read_line(&at, &line));
    assert_memory_equal(line.series, "} 3", 3);
    assert_false(metrics_read_label(&line, "a", label, sizeof(label)));
    assert_true(metrics_read_line(&at, &line));
    assert_memory_equal(line.series, "good 7", 6);
    assert_false(metrics_read_line(&at, &line));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_and_labels_come_back, make, drop),
        cmocka_unit_test_setup_teardown(quantiles_are_those_between_two_texts, make, drop),
        cmocka_unit_test(what_is_no_sample_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
