#include "../support/support.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "output/results.h"

static const int32_t tokens[] = {1, 50256, 0};
static const struct result_segment segments[] = {
    {0.0, 2.5, " Hello, world."},
    {2.5, 2.5, "  "},
    {3600.0 + 61.0004, 3600.0 + 62.9996, " a --> b <i> & c"},
};

static struct result sample(void)
{
    struct result r = {.file = "a b.flac", .language = "en", .text = " Hello, world.",
                       .tokens = tokens, .n_tokens = ARRAY_LEN(tokens), .segments = segments,
                       .n_segments = ARRAY_LEN(segments)};
    r.stats.audio_s = 24.7;
    r.stats.tokens = 4;
    r.stats.target_encode_ms = 100.12345;
    r.stats.total_ms = 1234.5;
    result_stats_add_target(&r.stats, "127.0.0.1:7600");
    return r;
}

/* What the writer makes of `n` results; the caller frees it. */
static char *written(enum result_format format, const struct result *results, size_t n)
{
    char *text = NULL;
    size_t size = 0;
    struct error err = {0};
    struct result_writer writer = {.out = open_memstream(&text, &size), .format = format};
    for (size_t i = 0; i < n; i++)
        assert_ok(result_write(&writer, &results[i], &err), &err);
    fclose(writer.out);
    return text;
}

static void assert_written(enum result_format format, const struct result *result,
                           const char *expected)
{
    char *text = written(format, result, 1);
    assert_string_equal(text, expected);
    free(text);
}

static void text_is_one_line_per_file(void **state)
{
    (void)state;
    struct result both[2] = {sample(), sample()};
    both[1].text = "\tzwei\nZeilen \n";
    char *text = written(RESULT_TEXT, both, 2);
    assert_string_equal(text, "Hello, world.\nzwei Zeilen\n");
    free(text);
}

static void cue_formats_give_times_and_clean_text(void **state)
{
    (void)state;
    struct result r = sample();
    assert_written(RESULT_SRT, &r,
                   "1\n00:00:00,000 --> 00:00:02,500\nHello, world.\n\n"
                   "2\n01:01:01,000 --> 01:01:03,000\na -> b <i> & c\n\n");
    assert_written(RESULT_VTT, &r,
                   "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nHello, world.\n\n"
                   "01:01:01.000 --> 01:01:03.000\na --&gt; b &lt;i&gt; &amp; c\n\n");
    assert_written(RESULT_TSV, &r,
                   "start\tend\ttext\n0\t2500\tHello, world.\n"
                   "3661000\t3663000\ta --> b <i> & c\n");
}

static void without_timestamps_one_cue_covers_the_audio(void **state)
{
    (void)state;
    struct result r = sample();
    r.n_segments = 0;
    assert_written(RESULT_SRT, &r, "1\n00:00:00,000 --> 00:00:24,700\nHello, world.\n\n");
    assert_written(RESULT_VTT, &r, "WEBVTT\n\n00:00:00.000 --> 00:00:24.700\nHello, world.\n\n");
    assert_written(RESULT_TSV, &r, "start\tend\ttext\n0\t24700\tHello, world.\n");
    r.text = " ";
    assert_written(RESULT_SRT, &r, "");
    assert_written(RESULT_TSV, &r, "start\tend\ttext\n");
    assert_written(RESULT_TEXT, &r, "\n");
}

static void control_characters_are_neutralised_outside_json(void **state)
{
    (void)state;
    struct result r = sample();
    r.n_segments = 0;
    r.text = "a\x1b[31mb\tc\x7f" "d\xC2\x9B" "e\xE2\x80\xAE" "f\xFFg";
    assert_written(RESULT_TEXT, &r, "a [31mb c d e f\xEF\xBF\xBDg\n");
    assert_written(RESULT_TSV, &r,
                   "start\tend\ttext\n0\t24700\ta [31mb c d e f\xEF\xBF\xBDg\n");
}

static void json_has_the_promised_names(void **state)
{
    (void)state;
    struct result r = sample();
    assert_written(
        RESULT_JSON, &r,
        "{\"file\":\"a b.flac\",\"language\":\"en\",\"text\":\" Hello, world.\","
        "\"tokens\":[1,50256,0],\"segments\":["
        "{\"start_s\":0,\"end_s\":2.5,\"text\":\" Hello, world.\"},"
        "{\"start_s\":2.5,\"end_s\":2.5,\"text\":\"  \"},"
        "{\"start_s\":3661,\"end_s\":3663,\"text\":\" a --> b <i> & c\"}],"
        "\"stats\":{\"audio_s\":24.7,\"tokens\":4,\"passes\":0,\"rounds\":0,\"rows\":0,"
        "\"draft_steps\":0,\"draft_rows\":0,"
        "\"branch_steps\":0,\"recycled\":0,\"target_encode_ms\":100.123,"
        "\"target_decode_ms\":0,\"draft_encode_ms\":0,\"draft_decode_ms\":0,"
        "\"total_ms\":1234.5,\"resumes\":0,"
        "\"resumed_differently\":0,\"targets\":[\"127.0.0.1:7600\"]}}\n");
}

/* Any bytes as text: one line comes out, it parses, and good characters come back as they were. */
static void json_survives_any_text(void **state)
{
    (void)state;
    static const char *const good[] = {"\"\\\b\f\n\r\t\x01\x1f\x7f", "äöü €", "日本語", "👩‍👩‍👧 🇩🇪",
                                       "\xF4\x8F\xBF\xBF", "\xE2\x80\xA8\xE2\x80\xA9", "</script>"};
    struct result r = sample();
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        r.text = r.file = good[i];
        char *line = written(RESULT_JSON, &r, 1);
        assert_int_equal(strcspn(line, "\n"), strlen(line) - 1);
        cJSON *json = cJSON_Parse(line);
        assert_non_null(json);
        assert_string_equal(cJSON_GetObjectItem(json, "text")->valuestring, good[i]);
        cJSON_Delete(json);
        free(line);
    }
    uint64_t random = 7;
    for (int round = 0; round < 2000; round++) {
        char bytes[24];
        for (size_t i = 0; i + 1 < sizeof(bytes); i++)
            bytes[i] = (char)(1 + support_random(&random) % 255);
        bytes[sizeof(bytes) - 1] = '\0';
        r.text = bytes;
        char *line = written(RESULT_JSON, &r, 1);
        cJSON *json = cJSON_Parse(line);
        assert_non_null(json);
        const char *text = cJSON_GetObjectItem(json, "text")->valuestring;
        assert_true(mbstowcs(NULL, text, 0) != (size_t)-1);
        cJSON_Delete(json);
        free(line);
    }
}

static void numbers_are_never_invalid_json(void **state)
{
    (void)state;
    struct result r = sample();
    r.stats.total_ms = 0.0 / 0.0 * (double)r.n_tokens;
    r.stats.tokens = 5000000000u;
    char *line = written(RESULT_JSON, &r, 1);
    assert_non_null(strstr(line, "\"total_ms\":0,"));
    assert_non_null(strstr(line, "\"tokens\":5000000000,"));
    free(line);
}

static void a_full_disk_is_reported(void **state)
{
    (void)state;
    struct result r = sample();
    struct error err = {0};
    struct result_writer writer = {.out = fopen("/dev/full", "w"), .format = RESULT_TEXT};
    assert_non_null(writer.out);
    assert_int_equal(result_write(&writer, &r, &err), STATUS_IO);
    assert_string_equal(err.text, "cannot write the result: No space left on device");
    assert_int_equal(writer.n_written, 0);
    fclose(writer.out);
}

static void targets_are_listed_once_and_capped(void **state)
{
    (void)state;
    struct result_stats stats = {0};
    result_stats_add_target(&stats, "a:1");
    result_stats_add_target(&stats, "a:1");
    assert_int_equal(stats.n_targets, 1);
    for (int i = 0; i < 2 * RESULT_TARGETS_MAX; i++)
        result_stats_add_target(&stats, support_format("b:%d", i));
    assert_int_equal(stats.n_targets, RESULT_TARGETS_MAX);
    assert_string_equal(stats.targets[RESULT_TARGETS_MAX - 1],
                        support_format("b:%d", 2 * RESULT_TARGETS_MAX - 1));
}

int main(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_one_line_per_file),
        cmocka_unit_test(cue_formats_give_times_and_clean_text),
        cmocka_unit_test(without_timestamps_one_cue_covers_the_audio),
        cmocka_unit_test(control_characters_are_neutralised_outside_json),
        cmocka_unit_test(json_has_the_promised_names),
        cmocka_unit_test(json_survives_any_text),
        cmocka_unit_test(numbers_are_never_invalid_json),
        cmocka_unit_test(a_full_disk_is_reported),
        cmocka_unit_test(targets_are_listed_once_and_capped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
