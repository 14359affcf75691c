/* What `target_node top` shows of the text that a target renders. */
#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "../../target_node/top.c"
#include "metrics/tables.h"

static struct metrics *metrics;

static void collect(void *context, FILE *out)
{
    const struct metric_label labels[2] = {{"model", "whisper-\x1b[31mbase"},
                                           {"fingerprint", "0123456789abcdef"}};
    const struct metric_sample sample = {.name = "specasr_target_info", .labels = labels,
                                         .n_labels = 2, .value = 1};
    (void)context;
    metrics_build_info(out, "target_node", "1.2.3");
    metrics_text_family(out, sample.name, "M.", METRIC_GAUGE);
    metrics_text_sample(out, &sample);
}

static int make(void **state)
{
    (void)state;
    struct error err;
    assert_ok(metrics_new(metrics_target, TARGET_METRICS_N, &metrics, &err), &err);
    assert_ok(metrics_collect(metrics, collect, NULL, &err), &err);
    assert_ok(metrics_collect(metrics, metrics_process, NULL, &err), &err);
    metrics_set(metrics, TARGET_METRIC_READY, 1);
    metrics_set(metrics, TARGET_METRIC_SESSIONS, 3);
    metrics_set(metrics, TARGET_METRIC_SESSIONS_MAX, 64);
    metrics_set(metrics, TARGET_METRIC_ROW_PRICE, 250);
    metrics_add(metrics, TARGET_METRIC_REFUSED_QUOTA, 2);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    metrics_free(&metrics);
    return 0;
}

static char *render(void)
{
    char *text;
    size_t size;
    struct error err;
    assert_ok(metrics_render(metrics, &text, &size, &err), &err);
    return text;
}

static char *shown(const struct top_texts *texts, bool json)
{
    char *out = NULL;
    size_t size;
    FILE *file = open_memstream(&out, &size);
    assert_non_null(file);
    if (json)
        assert_true(top_print_json(texts, file));
    else
        top_print(texts, file);
    assert_int_equal(fclose(file), 0);
    return out;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no \"%s\" in:\n%s", part, text);
}

static void rates_are_those_between_two_looks(void **state)
{
    (void)state;
    char *before = render();
    metrics_add(metrics, TARGET_METRIC_ROWS, 400);
    metrics_add(metrics, TARGET_METRIC_PASSES, 20);
    metrics_add(metrics, TARGET_METRIC_BUSY_FORWARD, 1000000);
    metrics_observe(metrics, TARGET_METRIC_LAG_SPLIT, 120000);
    char *now = render();
    struct top_texts texts = {"here:9101", now, before, 2.0, NULL, 0};
    char *out = shown(&texts, false);
    assert_has(out, "target_node 1.2.3, metrics at here:9101: ready, whisper-?[31mbase 0123456789");
    assert_has(out, "sessions    3 of 64 ");
    assert_has(out, "refused 2\n");
    assert_has(out, "rows        200 a second in 10.0 passes (20.0 each)");
    assert_has(out, "decode 50 %");
    assert_has(out, "price       0.250 ms a row");
    assert_has(out, "final lag   p50 <= 200 ms  p99 <= 200 ms");
    assert_has(out, "of the last 2.0 s");
    free(out);
    free(before);
    free(now);
}

static void json_names_everything_once(void **state)
{
    (void)state;
    char *now = render();
    struct top_texts texts = {"here:9101", now, "", 0.0, NULL, 0};
    char *out = shown(&texts, true);
    cJSON *object = cJSON_Parse(out);
    assert_non_null(object);
    assert_int_equal(cJSON_GetObjectItem(object, "sessions")->valueint, 3);
    assert_int_equal(cJSON_GetObjectItem(object, "refused_quota")->valueint, 2);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(object, "final_lag_p99_s")));
    assert_string_equal(cJSON_GetObjectItem(object, "version")->valuestring, "1.2.3");
    for (const cJSON *item = object->child; item; item = item->next)
        for (const cJSON *other = item->next; other; other = other->next)
            assert_string_not_equal(item->string, other->string);
    cJSON_Delete(object);
    free(out);
    free(now);
}

static const char four_sessions[] =
    "{\"n\":4,\"sessions\":["
    "{\"id\":\"aaaaaaaa\",\"client\":\"ipv4:192.0.2.1:1\",\"state\":\"idle\",\"epoch\":0,"
    "\"age_s\":900.5,\"windows\":7,\"rows\":70,\"lag_s\":0.9},"
    "{\"id\":\"bbbbbbbb\",\"client\":\"key te\\u001bam\",\"state\":\"working\",\"epoch\":1,"
    "\"age_s\":2,\"windows\":0,\"rows\":0,\"lag_s\":null},"
    "{\"id\":\"cccccccc\",\"client\":\"ipv4:192.0.2.2:2\",\"state\":\"working\",\"epoch\":0,"
    "\"age_s\":1,\"windows\":3,\"rows\":31,\"lag_s\":0.25},"
    "{\"id\":\"dddddddd\",\"client\":\"ipv4:192.0.2.3:3\",\"state\":\"idle\",\"epoch\":0,"
    "\"age_s\":5,\"windows\":0,\"rows\":0,\"lag_s\":null}]}";

static uint32_t count_lines(const char *text)
{
    uint32_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* At work first, then by lag, then by age; as many as the terminal has lines for. */
static void sessions_are_sorted_and_cut_to_the_terminal(void **state)
{
    (void)state;
    char *now = render();
    struct top_texts texts = {"here:9101", now, "", 0.0, four_sessions, 0};
    char *out = shown(&texts, false);
    const char *c = strstr(out, "cccccccc"), *b = strstr(out, "bbbbbbbb");
    const char *a = strstr(out, "aaaaaaaa"), *d = strstr(out, "dddddddd");
    assert_true(c && b && a && d && c < b && b < a && a < d);
    assert_has(out, "key te?am");
    assert_has(out, "     250\n");
    uint32_t all = count_lines(out);
    free(out);
    texts.lines_max = all - 1;
    out = shown(&texts, false);
    assert_in_range(count_lines(out), 1, texts.lines_max);
    assert_has(out, "bbbbbbbb");
    assert_null(strstr(out, "dddddddd"));
    assert_has(out, " more)\n");
    free(out);
    texts.sessions = NULL;                  /* of a target that has no such page */
    out = shown(&texts, false);
    assert_int_equal(count_lines(out), VIEW_LINES);
    free(out);
    free(now);
}

static void json_has_the_sessions(void **state)
{
    (void)state;
    char *now = render();
    struct top_texts texts = {"here:9101", now, "", 0.0, four_sessions, 0};
    char *out = shown(&texts, true);
    cJSON *object = cJSON_Parse(out);
    const cJSON *list = cJSON_GetObjectItem(object, "session_list");
    assert_int_equal(cJSON_GetArraySize(list), 4);
    const cJSON *first = cJSON_GetArrayItem(list, 0), *second = cJSON_GetArrayItem(list, 1);
    assert_string_equal(cJSON_GetObjectItem(first, "id")->valuestring, "cccccccc");
    assert_int_equal(cJSON_GetObjectItem(first, "rows")->valueint, 31);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(second, "lag_s")));
    cJSON_Delete(object);
    free(out);
    static const char *const bad[] = {"", "[]", "{\"sessions\":7}", "{\"sessions\":[7,{}]}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        texts.sessions = bad[i];
        free(shown(&texts, true));
        free(shown(&texts, false));
    }
    free(now);
}

/* A renamed metric would show as zero for ever. */
static void every_series_is_one_that_targets_have(void **state)
{
    (void)state;
    double value;
    char *now = render();
    for (int i = 0; i < VALUES_N; i++)
        if (!metrics_read_value(now, values[i].series, &value))
            fail_msg("targets have no %s", values[i].series);
    assert_non_null(strstr(now, lag_name));
    assert_non_null(strstr(now, pass_name));
    free(now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rates_are_those_between_two_looks, make, drop),
        cmocka_unit_test_setup_teardown(json_names_everything_once, make, drop),
        cmocka_unit_test_setup_teardown(sessions_are_sorted_and_cut_to_the_terminal, make, drop),
        cmocka_unit_test_setup_teardown(json_has_the_sessions, make, drop),
        cmocka_unit_test_setup_teardown(every_series_is_one_that_targets_have, make, drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
