/* Tables that are refused, values, and the text that a scrape sees. */
#include "exposition.h"

#include <locale.h>
#include <unistd.h>

#include "metrics/metrics.h"

static const uint64_t lag_us[] = {100000, 250000, 1000000};

enum { SESSIONS, AUDIO, OK, FAILED, LAG_SPLIT, LAG_ALONE, N_DEFS };
static const struct metric_def defs[N_DEFS] = {
    [SESSIONS] = {.name = "t_sessions", .help = "Open sessions.", .kind = METRIC_GAUGE},
    [AUDIO] = {.name = "t_audio_seconds_total", .help = "Audio.", .kind = METRIC_COUNTER,
               .decimals = 6},
    [OK] = {.name = "t_calls_total", .help = "Calls.", .kind = METRIC_COUNTER,
            .labels = {{"outcome", "ok"}}},
    [FAILED] = {.name = "t_calls_total", .help = "Calls.", .kind = METRIC_COUNTER,
                .labels = {{"outcome", "a \"bad\"\\\n one"}}},
    [LAG_SPLIT] = {.name = "t_lag_seconds", .help = "Lag\nand \\.", .kind = METRIC_HISTOGRAM,
                   .decimals = 6, .buckets = lag_us, .n_buckets = 3, .labels = {{"mode", "split"}}},
    [LAG_ALONE] = {.name = "t_lag_seconds", .help = "Lag\nand \\.", .kind = METRIC_HISTOGRAM,
                   .decimals = 6, .buckets = lag_us, .n_buckets = 3, .labels = {{"mode", "alone"}}},
};

static struct metrics *new_metrics(const struct metric_def *table, size_t n)
{
    struct metrics *metrics;
    struct error err;
    assert_ok(metrics_new(table, n, &metrics, &err), &err);
    return metrics;
}

static char *render(const struct metrics *metrics)
{
    char *text;
    size_t size;
    struct error err;
    assert_ok(metrics_render(metrics, &text, &size, &err), &err);
    assert_int_equal(strlen(text), size);
    return text;
}

static void fill(struct metrics *metrics)
{
    metrics_move(metrics, SESSIONS, 2);
    metrics_move(metrics, SESSIONS, -5);
    metrics_add(metrics, AUDIO, 1500000);
    metrics_add(metrics, AUDIO, 25);
    metrics_add(metrics, FAILED, 3);
    const uint64_t lags[] = {0, 100000, 100001, 250000, 999999, 1000001, 7000000};
    for (size_t i = 0; i < ARRAY_LEN(lags); i++)
        metrics_observe(metrics, LAG_SPLIT, lags[i]);
}

static void text_is_what_the_format_says(void **state)
{
    (void)state;
    struct metrics *metrics = new_metrics(defs, N_DEFS);
    fill(metrics);
    char *text = render(metrics);
    assert_string_equal(text,
                        "# HELP t_sessions Open sessions.\n# TYPE t_sessions gauge\nt_sessions -3\n"
                        "# HELP t_audio_seconds_total Audio.\n"
                        "# TYPE t_audio_seconds_total counter\n"
                        "t_audio_seconds_total 1.500025\n"
                        "# HELP t_calls_total Calls.\n# TYPE t_calls_total counter\n"
                        "t_calls_total{outcome=\"ok\"} 0\n"
                        "t_calls_total{outcome=\"a \\\"bad\\\"\\\\\\n one\"} 3\n"
                        "# HELP t_lag_seconds Lag\\nand \\\\.\n# TYPE t_lag_seconds histogram\n"
                        "t_lag_seconds_bucket{mode=\"split\",le=\"0.1\"} 2\n"
                        "t_lag_seconds_bucket{mode=\"split\",le=\"0.25\"} 4\n"
                        "t_lag_seconds_bucket{mode=\"split\",le=\"1\"} 5\n"
                        "t_lag_seconds_bucket{mode=\"split\",le=\"+Inf\"} 7\n"
                        "t_lag_seconds_sum{mode=\"split\"} 9.450001\n"
                        "t_lag_seconds_count{mode=\"split\"} 7\n"
                        "t_lag_seconds_bucket{mode=\"alone\",le=\"0.1\"} 0\n"
                        "t_lag_seconds_bucket{mode=\"alone\",le=\"0.25\"} 0\n"
                        "t_lag_seconds_bucket{mode=\"alone\",le=\"1\"} 0\n"
                        "t_lag_seconds_bucket{mode=\"alone\",le=\"+Inf\"} 0\n"
                        "t_lag_seconds_sum{mode=\"alone\"} 0\n"
                        "t_lag_seconds_count{mode=\"alone\"} 0\n");
    free(exposition_read(text));
    assert_int_equal(metrics_value(metrics, SESSIONS), -3);
    assert_int_equal(metrics_value(metrics, LAG_SPLIT), 7);
    free(text);
    metrics_free(&metrics);
    assert_null(metrics);
}

static void text_does_not_depend_on_the_locale(void **state)
{
    (void)state;
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8"))
        setlocale(LC_NUMERIC, "");
    text_is_what_the_format_says(state);
    setlocale(LC_NUMERIC, "C");
}

static void large_and_odd_numbers_are_exact(void **state)
{
    (void)state;
    static const struct metric_def table[] = {
        {.name = "a_total", .help = "A.", .kind = METRIC_COUNTER, .decimals = 9},
        {.name = "b", .help = "B.", .kind = METRIC_GAUGE, .decimals = 3},
    };
    struct metrics *metrics = new_metrics(table, ARRAY_LEN(table));
    metrics_add(metrics, 0, UINT64_MAX);
    metrics_set(metrics, 1, INT64_MIN);
    char *text = render(metrics);
    assert_non_null(strstr(text, "\na_total 18446744073.709551615\n"));
    assert_non_null(strstr(text, "\nb -9223372036854775.808\n"));
    free(text);
    metrics_free(&metrics);
}

static void refused(const struct metric_def *table, size_t n, const char *why)
{
    struct metrics *metrics;
    struct error err;
    assert_int_equal(metrics_new(table, n, &metrics, &err), STATUS_INVALID);
    assert_null(metrics);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void tables_that_break_the_rules_are_refused(void **state)
{
    (void)state;
    static const uint64_t falling[] = {5, 5};
    const struct metric_def good = {.name = "a", .help = "A.", .kind = METRIC_GAUGE};
    struct metric_def bad = good;
    bad.name = "1a";
    refused(&bad, 1, "no digit first");
    bad.name = "a_total";
    refused(&bad, 1, "end in _total");
    bad = good;
    bad.help = "";
    refused(&bad, 1, "help");
    bad = good;
    bad.labels[0] = (struct metric_label){"le", "x"};
    refused(&bad, 1, "le");
    bad.labels[0] = (struct metric_label){"x", NULL};
    refused(&bad, 1, "no value");
    bad = good;
    bad.kind = METRIC_HISTOGRAM;
    refused(&bad, 1, "1 to 32 buckets");
    bad.buckets = falling;
    bad.n_buckets = 2;
    refused(&bad, 1, "ascend");
    const struct metric_def twice[] = {good, good};
    refused(twice, 2, "twice");
    struct metric_def apart[] = {good, good, good};
    apart[1].name = "b";
    apart[2].labels[0] = (struct metric_label){"x", "y"};
    refused(apart, 3, "together");
    refused((struct metric_def[]){apart[0], apart[2]}, 2, "agree");
    char value[METRICS_LABEL_TEXT_MAX + 1];
    memset(value, '"', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    bad = good;
    bad.labels[0] = (struct metric_label){"x", value};
    refused(&bad, 1, "bytes");
}

static void clients(void *context, FILE *out)
{
    int64_t *ms = context;
    struct metric_label label = {"key", "team \"a\""};
    struct metric_sample sample = {.name = "t_client_audio_seconds_total", .labels = &label,
                                   .n_labels = 1, .value = *ms, .decimals = 3};
    metrics_text_family(out, sample.name, "Audio of a client.", METRIC_COUNTER);
    metrics_text_sample(out, &sample);
}

static void collectors_add_their_own_series(void **state)
{
    (void)state;
    struct metrics *metrics = new_metrics(defs, N_DEFS);
    struct error err;
    int64_t ms = 12340;
    assert_ok(metrics_collect(metrics, clients, &ms, &err), &err);
    assert_ok(metrics_collect(metrics, metrics_process, NULL, &err), &err);
    char *text = render(metrics);
    struct exposition *x = exposition_read(text);
    assert_float_equal(exposition_value(x, "t_client_audio_seconds_total{key=\"team \\\"a\\\"\"}"),
                       12.34, 1e-9);
    assert_true(exposition_value(x, "process_resident_memory_bytes") > 100000);
    assert_true(exposition_value(x, "process_open_fds") >= 3);
    assert_true(exposition_value(x, "process_threads") >= 1);
    assert_true(exposition_value(x, "process_start_time_seconds") > 1e9);
    assert_true(exposition_value(x, "process_cpu_seconds_total") >= 0);
    for (int i = 2; i < METRICS_COLLECTORS_MAX; i++)
        assert_ok(metrics_collect(metrics, metrics_process, NULL, &err), &err);
    assert_int_equal(metrics_collect(metrics, clients, &ms, &err), STATUS_EXHAUSTED);
    free(x);
    free(text);
    metrics_free(&metrics);
}

/* A second opinion, where Prometheus's own checker is installed. */
static void promtool_finds_no_fault(void **state)
{
    (void)state;
    if (system("command -v promtool >/dev/null 2>&1") != 0) {
        print_message("no promtool here: only the test's own reader has checked the text\n");
        return;
    }
    struct metrics *metrics = new_metrics(defs, N_DEFS);
    struct error err;
    assert_ok(metrics_collect(metrics, metrics_process, NULL, &err), &err);
    fill(metrics);
    char *text = render(metrics);
    FILE *pipe = popen("promtool check metrics 2>&1", "w");
    assert_non_null(pipe);
    assert_true(fputs(text, pipe) >= 0);
    assert_int_equal(pclose(pipe), 0);
    free(text);
    metrics_free(&metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_what_the_format_says),
        cmocka_unit_test(text_does_not_depend_on_the_locale),
        cmocka_unit_test(large_and_odd_numbers_are_exact),
        cmocka_unit_test(tables_that_break_the_rules_are_refused),
        cmocka_unit_test(collectors_add_their_own_series),
        cmocka_unit_test(promtool_finds_no_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
