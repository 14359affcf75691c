/* The recorded transcripts, and drafts on the target's machine, are what load.h says they are. */
#include <stdio.h>
#include <string.h>

#include "../support/support.h"
#include "load.h"
#include "recorded.h"

static uint32_t target_tokens(const struct toy_recorded *r)
{
    uint32_t n = 0;
    for (const char *edit = r->edits; *edit; edit++)
        n += *edit != 'i';
    return n;
}

static void each_recording_is_whole(void **state)
{
    uint32_t n_edits = 0, n_tokens = 0;
    (void)state;
    assert_true(n_recorded > 100);
    for (uint32_t i = 0; i < n_recorded; i++) {
        const struct toy_recorded *r = &recorded[i];
        size_t n = strlen(r->edits), n_left_out = 0;
        assert_true(r->seconds > 0.5f && r->seconds < 30.0f);
        assert_true(strspn(r->edits, "=sdi") == n);
        for (size_t k = 0; k < n; k++) {
            n_left_out += r->edits[k] == 'd';
            n_edits += r->edits[k] != '=';
        }
        assert_int_equal(strlen(r->confidence), n - n_left_out + 1);
        assert_true(strspn(r->confidence, "abcdefghijklmnop") == strlen(r->confidence));
        n_tokens += target_tokens(r);
    }
    assert_true(n_edits > n_tokens / 10 && n_edits < n_tokens / 4);
}

/* Of each speech: the target alone decides as many tokens as the recording of that length has. */
static void the_target_says_what_was_recorded(void **state)
{
    struct client_options options = client_options_default();
    (void)state;
    options.codec = WIRE_PCM_S16;
    for (uint64_t seed = 1000; seed < 1012; seed++) {
        size_t n_samples = world_recorded_samples(&scenario_world, seed);
        const struct expected *expected =
            world_expected(&scenario_world, (struct speech){seed, n_samples}, &options);
        bool found = false;
        for (uint32_t i = 0; i < n_recorded; i++)
            found |= (size_t)(recorded[i].seconds * 16000.0f) == n_samples &&
                     target_tokens(&recorded[i]) == expected->n_tokens;
        assert_true(found);
    }
}

static void drafts_on_the_target_take_its_time(void **state)
{
    static const struct pace nothing = {.encode_ms = 0, .n = 1, .rows = {1}, .ms = {0.0f}};
    static const struct pace slow = {.encode_ms = 300, .n = 1, .rows = {1}, .ms = {50.0f}};
    struct load load = {.pace = &pace_gpu, .rtt_us = 20000, .n_streams = 2, .seconds = 30,
                        .seed = 7, .depth = 8};
    (void)state;
    struct load_result alone = load_run(&load);
    load.mode = LOAD_COLOCATED;
    load.colocated = &nothing;
    struct load_result cheap = load_run(&load);
    load.colocated = &slow;
    struct load_result dear = load_run(&load);
    assert_null(alone.wrong);
    assert_null(cheap.wrong);
    assert_null(dear.wrong);
    assert_true(2.0 * cheap.decode_us.mean < alone.decode_us.mean);
    assert_true(cheap.tokens_per_turn > 2.0);
    assert_true(dear.lag_us.mean > cheap.lag_us.mean + 300000.0);
    assert_true(dear.decode_us.mean > alone.decode_us.mean);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_recording_is_whole),
        cmocka_unit_test(the_target_says_what_was_recorded),
        cmocka_unit_test(drafts_on_the_target_take_its_time),
    };
    return cmocka_run_group_tests(tests, load_open, scenario_close);
}
