#include "../support/support.h"

#include <string.h>

#include "engine/audio_buffer.h"
#include "engine/window.h"

enum { TB = 1000, TEXT = 7, END = 900, S = WINDOW_TIMESTAMP_SAMPLES };

static struct model_description model(void)
{
    struct model_description m = {.n_vocab = 3000};
    m.special.end = END;
    m.special.timestamp_begin = TB;
    return m;
}

static void cut(const int32_t *tokens, uint32_t n, uint64_t start, uint64_t n_samples,
                struct window_cut *out)
{
    struct model_description m = model();
    struct window_decoded decoded = {.tokens = tokens, .n_tokens = n, .start = start,
                                     .n_samples = n_samples};
    window_cut(&m, &decoded, out);
}

static bool is_seven(const void *context, int32_t token)
{
    (void)context;
    return token == TEXT;
}

static void a_segment_of_blanks_is_dropped(void **state)
{
    (void)state;
    struct model_description m = model();
    struct window_cut out;
    const int32_t tokens[] = {TB, TEXT, TB + 50, TB + 50, 8, TB + 90};
    struct window_decoded decoded = {.tokens = tokens, .n_tokens = 6, .n_samples = WINDOW_SAMPLES,
                                     .blank = is_seven};
    window_cut(&m, &decoded, &out);
    assert_int_equal(out.n_segments, 1);
    assert_int_equal(out.segments[0].start, 50 * S);
    assert_int_equal(out.n_tokens, 3);
}

static void a_segment_never_ends_before_it_starts(void **state)
{
    (void)state;
    struct window_cut out;
    const int32_t tokens[] = {TB, TEXT, TB + 90, TB + 50, 8, TB + 20};
    cut(tokens, 6, 1000, WINDOW_SAMPLES, &out);
    assert_int_equal(out.n_segments, 2);
    assert_int_equal(out.segments[1].start, 1000 + 50 * S);
    assert_int_equal(out.segments[1].end, 1000 + 50 * S);
}

static void text_without_timestamps_is_one_segment(void **state)
{
    (void)state;
    struct window_cut out;
    cut((const int32_t[]){1, 2, 3}, 3, 1000, 50000, &out);
    assert_int_equal(out.n_segments, 1);
    assert_int_equal(out.segments[0].start, 1000);
    assert_int_equal(out.segments[0].end, 51000);
    assert_int_equal(out.next_start, 51000);
    assert_int_equal(out.n_tokens, 3);
}

static void a_closed_last_segment_ends_the_window(void **state)
{
    (void)state;
    struct window_cut out;
    cut((const int32_t[]){TB, 1, TB + 50, TB + 50, 2, TB + 90}, 6, 0, WINDOW_SAMPLES, &out);
    assert_int_equal(out.n_segments, 2);
    assert_int_equal(out.segments[0].end, 50 * S);
    assert_int_equal(out.segments[1].start, 50 * S);
    assert_int_equal(out.segments[1].end, 90 * S);
    assert_int_equal(out.n_tokens, 6);
    assert_int_equal(out.next_start, WINDOW_SAMPLES);
}

static void an_open_last_segment_is_decoded_again(void **state)
{
    (void)state;
    struct window_cut out;
    cut((const int32_t[]){TB, 1, TB + 50, TB + 60, 2, 3}, 6, 100, WINDOW_SAMPLES, &out);
    assert_int_equal(out.n_segments, 1);
    assert_int_equal(out.n_tokens, 3);
    assert_int_equal(out.next_start, 100 + 50 * S);
    cut((const int32_t[]){TB, 1, TB + 50, TB + 60}, 4, 100, WINDOW_SAMPLES, &out);
    assert_int_equal(out.n_segments, 1);
    assert_int_equal(out.next_start, 100 + 50 * S);
}

static void a_single_segment_ends_at_its_timestamp(void **state)
{
    (void)state;
    struct window_cut out;
    cut((const int32_t[]){TB, 1, 2, TB + 75}, 4, 0, 40000, &out);
    assert_int_equal(out.n_segments, 1);
    assert_int_equal(out.segments[0].end, 75 * S);
    assert_int_equal(out.next_start, 40000);
    assert_int_equal(out.n_tokens, 4);
}

static void segments_without_text_or_length_are_dropped(void **state)
{
    (void)state;
    struct window_cut out;
    cut((const int32_t[]){TB, TB + 50, TB + 50, 4, TB + 90}, 5, 0, WINDOW_SAMPLES, &out);
    assert_int_equal(out.n_segments, 1);
    assert_int_equal(out.n_tokens, 3);
    cut((const int32_t[]){TB + 3}, 1, 0, 5000, &out);
    assert_int_equal(out.n_segments, 0);
    cut(NULL, 0, 0, 5000, &out);
    assert_int_equal(out.n_segments, 0);
    assert_int_equal(out.next_start, 5000);
}

static void the_next_window_always_begins_later(void **state)
{
    uint64_t seed = 4;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        int32_t tokens[40];
        uint32_t n = (uint32_t)(support_random(&seed) % 40);
        for (uint32_t i = 0; i < n; i++)
            tokens[i] = support_random(&seed) % 2 ? TEXT
                                                  : TB + (int32_t)(support_random(&seed) % 1501);
        struct window_cut out;
        uint64_t start = support_random(&seed) % 1000000;
        uint64_t length = 160 + support_random(&seed) % (WINDOW_SAMPLES - 160);
        cut(tokens, n, start, length, &out);
        assert_true(out.next_start > start);
        assert_true(out.n_tokens <= n);
        uint32_t sum = 0;
        for (uint32_t i = 0; i < out.n_segments; i++) {
            assert_int_equal(out.segments[i].first_token, sum);
            sum += out.segments[i].n_tokens;
        }
        assert_int_equal(sum, out.n_tokens);
    }
}

static void verdicts_follow_the_thresholds(void **state)
{
    (void)state;
    struct window_limits limits = window_limits_default();
    struct window_attempt good = {.temperature = 0, .mean_logprob = -0.3f,
                                  .compression_ratio = 1.5f};
    struct window_attempt loops = good, guess = good, silence = good;
    loops.compression_ratio = 2.5f;
    guess.mean_logprob = -1.2f;
    silence.mean_logprob = -1.2f;
    silence.no_speech = 0.7f;
    assert_int_equal(window_judge(&limits, &good), WINDOW_ACCEPT);
    assert_int_equal(window_judge(&limits, &loops), WINDOW_RETRY);
    assert_int_equal(window_judge(&limits, &guess), WINDOW_RETRY);
    assert_int_equal(window_judge(&limits, &silence), WINDOW_SKIP);
    loops.temperature = 0.2f * 5;
    assert_int_equal(window_judge(&limits, &loops), WINDOW_ACCEPT);
    loops.temperature = 0.8f;
    assert_int_equal(window_judge(&limits, &loops), WINDOW_RETRY);
    good.no_speech = 0.99f; /* sure of its words: not silence */
    assert_int_equal(window_judge(&limits, &good), WINDOW_ACCEPT);
    limits.fallback = false;
    assert_int_equal(window_judge(&limits, &silence), WINDOW_ACCEPT);
    assert_int_equal(window_judge(&limits, &guess), WINDOW_ACCEPT);
}

static void repetition_compresses(void **state)
{
    (void)state;
    char loop[600] = "";
    for (int i = 0; i < 40; i++)
        memcpy(loop + strlen(loop), " you know what", 15);
    assert_true(window_compression_ratio(loop, strlen(loop)) > 10.0f);
    const char *plain = " The quick brown fox jumps over the lazy dog.";
    assert_true(window_compression_ratio(plain, strlen(plain)) < 1.1f);
    assert_true(window_compression_ratio("", 0) == 0.0f);
}

static void prompt_slides_and_forgets(void **state)
{
    (void)state;
    struct window_limits limits = window_limits_default();
    struct window_prompt prompt = {0};
    int32_t tokens[150];
    for (int i = 0; i < 150; i++)
        tokens[i] = i;
    window_prompt_update(&prompt, &limits, 0.0f, tokens, 150);
    assert_int_equal(prompt.n, 150);
    window_prompt_update(&prompt, &limits, 0.4f, tokens, 150);
    assert_int_equal(prompt.n, WINDOW_PROMPT_MAX);
    assert_int_equal(prompt.tokens[0], 150 - (WINDOW_PROMPT_MAX - 150));
    assert_int_equal(prompt.tokens[WINDOW_PROMPT_MAX - 1], 149);
    window_prompt_update(&prompt, &limits, 0.6f, tokens, 150);
    assert_int_equal(prompt.n, 0);
    limits.condition_on_previous = false;
    window_prompt_update(&prompt, &limits, 0.0f, tokens, 10);
    assert_int_equal(prompt.n, 0);
}

static void less_than_a_frame_is_no_window(void **state)
{
    (void)state;
    assert_int_equal(window_samples(0, 0), 0);
    assert_int_equal(window_samples(0, 159), 0);
    assert_int_equal(window_samples(0, 160), 160);
    assert_int_equal(window_samples(0, 400), 400);
    assert_int_equal(window_samples(320, 400), 0);
    assert_int_equal(window_samples(500, 400), 0);
    assert_int_equal(window_samples(0, 10 * WINDOW_SAMPLES), WINDOW_SAMPLES);
}

static void buffer_slides_skips_what_it_has_and_refuses_gaps(void **state)
{
    (void)state;
    struct audio_buffer buffer;
    struct error err;
    int16_t samples[100];
    for (int i = 0; i < 100; i++)
        samples[i] = (int16_t)i;
    audio_buffer_init(&buffer, 10);
    assert_ok(audio_buffer_append(&buffer, 10, samples, 50, 80, &err), &err);
    assert_ok(audio_buffer_append(&buffer, 40, samples + 30, 40, 80, &err), &err);
    assert_int_equal(buffer.end, 80);
    for (uint64_t p = 10; p < 80; p++)
        assert_int_equal(*audio_buffer_at(&buffer, p), (int)p - 10);
    assert_int_equal(audio_buffer_append(&buffer, 81, samples, 1, 80, &err), STATUS_INVALID);
    assert_int_equal(audio_buffer_append(&buffer, 80, samples, 11, 80, &err), STATUS_EXHAUSTED);
    audio_buffer_drop(&buffer, 60);
    assert_int_equal(*audio_buffer_at(&buffer, 60), 50);
    audio_buffer_drop(&buffer, 200);
    assert_int_equal(buffer.first, 200);
    assert_int_equal(buffer.end, 200);
    audio_buffer_release(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_never_ends_before_it_starts),
        cmocka_unit_test(text_without_timestamps_is_one_segment),
        cmocka_unit_test(a_closed_last_segment_ends_the_window),
        cmocka_unit_test(an_open_last_segment_is_decoded_again),
        cmocka_unit_test(a_single_segment_ends_at_its_timestamp),
        cmocka_unit_test(segments_without_text_or_length_are_dropped),
        cmocka_unit_test(a_segment_of_blanks_is_dropped),
        cmocka_unit_test(the_next_window_always_begins_later),
        cmocka_unit_test(verdicts_follow_the_thresholds),
        cmocka_unit_test(repetition_compresses),
        cmocka_unit_test(prompt_slides_and_forgets),
        cmocka_unit_test(less_than_a_frame_is_no_window),
        cmocka_unit_test(buffer_slides_skips_what_it_has_and_refuses_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
