/* The whole split on the toy backend: client and target joined by packed frames. */
#include "../support/loop.h"
#include "../support/support.h"
#include "../support/toy_engine.h"
#include "engine/target_int.h"

#include <stdlib.h>
#include <string.h>

enum { TURNS_MAX = 200000, SECOND = 16000 };

static struct toy_engine target, good, bad;

static int open_engines(void **state)
{
    (void)state;
    toy_engine_open(&target, 1, 0.02f);
    toy_engine_open(&good, 2, 0.05f);
    toy_engine_open(&bad, 3, 0.6f);
    return 0;
}

static int close_engines(void **state)
{
    (void)state;
    toy_engine_close(&target);
    toy_engine_close(&good);
    toy_engine_close(&bad);
    return 0;
}

static struct loop_result *alone(const struct client_options *options, const int16_t *samples,
                                 size_t n)
{
    struct loop_result *result = malloc(sizeof(*result));
    struct loop *loop = loop_new(&target.engine, NULL, options);
    assert_non_null(result);
    if (!loop_transcribe(loop, samples, n, TURNS_MAX))
        fail_msg("the target alone did not finish: %s", loop->error.text);
    *result = loop->result;
    loop_free(loop);
    return result;
}

struct policy {
    const char *name;
    bool wait_draft, lockstep;
    float row_price;
    uint32_t delay, target_turns;
    const char *bundle;                     /* NULL: the default one */
    uint32_t feed;
};

/* The last field: samples spoken in a turn, with early drafts; 0: all at once, without. */
static const struct policy policies[] = {
    {"as measured", false, false, -1.0f, 0, 1, NULL, 0},
    {"rows are free", false, false, 0.0f, 0, 1, NULL, 0},
    {"whole draft", true, false, 0.0f, 0, 1, NULL, 0},
    {"lockstep", false, true, 0.0f, 0, 1, NULL, 0},
    {"far away", false, false, 0.0f, 40, 1, NULL, 0},
    {"slow client", false, false, 0.0f, 3, 7, NULL, 0},
    {"whole draft, far", true, false, -1.0f, 25, 2, NULL, 0},
    {"plain speculation", false, true, 0.0f, 0, 1, "spec:4", 0},
    {"plain, overlapped", false, false, -1.0f, 3, 2, "spec:16", 0},
    {"adaptive", false, true, 0.0f, 0, 1, "asp", 0},
    {"adaptive, priced", false, true, -1.0f, 0, 1, "asp:auto", 0},
    {"recycled", false, true, 0.0f, 2, 1, "asp+recycle", 0},
    {"recycled, overlapped", false, false, 0.0f, 7, 1, "asp+recycle:0.6", 0},
    {"sparse", false, true, 0.0f, 0, 1, "sparse", 0},
    {"sparse, as measured", false, true, -1.0f, 4, 1, "sparse:auto", 0},
    {"sparse, overlapped", false, false, 0.0f, 1, 3, "sparse:0.7", 0},
    {"full in turns", false, true, -1.0f, 0, 1, "full", 0},
    {"full in turns, far", false, true, 0.0f, 20, 1, "full", 0},
    {"early", false, false, -1.0f, 2, 1, "full", 400},
    {"early, whole draft", true, false, 0.0f, 0, 1, "full", 1600},
    {"early, no recycling", false, false, 0.0f, 5, 3, "asp", 800},
};

static void compare(const struct policy *policy, struct toy_engine *draft, bool timestamps,
                    const int16_t *samples, size_t n, const struct loop_result *expected)
{
    struct client_options options = loop_options(timestamps);
    options.rules.wait_draft = policy->wait_draft;
    options.rules.lockstep = policy->lockstep;
    options.rules.row_price = policy->row_price;
    options.early_drafts = policy->feed > 0;
    if (policy->bundle)
        assert_true(spec_policy_parse(policy->bundle, &options.drafter.policy));
    struct spec_calibration calibration;
    spec_calibration_init(&calibration);
    options.drafter.calibration = &calibration;
    struct loop *loop = loop_new(&target.engine, &draft->engine, &options);
    loop->delay = policy->delay;
    loop->target_turns = policy->target_turns;
    loop->feed = policy->feed;
    if (!loop_transcribe(loop, samples, n, TURNS_MAX))
        fail_msg("%s did not finish: %s", policy->name, loop->error.text);
    loop_assert_same(expected, &loop->result);
    loop_free(loop);
}

static void text_is_that_of_the_target_alone_under_every_policy(void **state)
{
    static const size_t lengths[] = {SECOND, 10 * SECOND, 30 * SECOND, 47 * SECOND + 331};
    (void)state;
    for (uint32_t i = 0; i < ARRAY_LEN(lengths); i++) {
        for (int timestamps = 0; timestamps <= 1; timestamps++) {
            int16_t *samples = loop_speech(100 + i, lengths[i]);
            struct client_options options = loop_options(timestamps);
            struct loop_result *expected = alone(&options, samples, lengths[i]);
            assert_true(expected->n_tokens > 0);
            for (uint32_t p = 0; p < ARRAY_LEN(policies); p++) {
                compare(&policies[p], &good, timestamps, samples, lengths[i], expected);
                compare(&policies[p], &bad, timestamps, samples, lengths[i], expected);
            }
            free(expected);
            free(samples);
        }
    }
}

static void good_drafts_save_passes(void **state)
{
    (void)state;
    int16_t *samples = loop_speech(5, 10 * SECOND);
    struct client_options options = loop_options(false);
    options.rules.wait_draft = true;
    options.rules.row_price = 0.0f;
    struct loop_result *plain = alone(&options, samples, 10 * SECOND);
    struct loop *loop = loop_new(&target.engine, &good.engine, &options);
    assert_true(loop_transcribe(loop, samples, 10 * SECOND, TURNS_MAX));
    assert_true(plain->stats.passes >= plain->n_tokens);
    assert_true(3 * loop->result.stats.passes < plain->stats.passes);
    assert_int_equal(loop->result.stats.rounds, 1);
    assert_int_equal(loop->result.stats.tokens, plain->stats.tokens);
    loop_free(loop);
    free(plain);
    free(samples);
}

static void broken_links_lose_nothing_and_repeat_nothing(void **state)
{
    (void)state;
    size_t n = 65 * SECOND;
    int16_t *samples = loop_speech(9, n);
    struct client_options options = loop_options(true);
    struct loop_result *expected = alone(&options, samples, n);
    for (uint32_t every = 5; every < 40; every += 7) {
        struct loop *loop = loop_new(&target.engine, &good.engine, &options);
        loop->delay = 2;
        (void)client_begin(loop->client);
        size_t fed = 0;
        uint32_t n_breaks = 0;
        for (uint32_t turn = 1; turn < 20000 && !loop->result.final; turn++) {
            size_t some = fed < n ? (size_t)MIN(client_room(loop->client), n - fed) : 0;
            if (some > 0)
                assert_ok(client_audio(loop->client, samples + fed, some, &loop->error),
                          &loop->error);
            fed += some;
            if (fed == n && some > 0)
                client_end(loop->client);
            (void)loop_turn(loop);
            assert_int_equal(loop->error.code, STATUS_OK);
            if (turn % every == 0 && n_breaks < 8 && !loop->result.final) {
                loop_break(loop);
                n_breaks++;
            }
        }
        assert_true(loop->result.final);
        assert_true(n_breaks > 0);
        assert_int_equal(loop->result.stats.claims_differing, 0);
        assert_int_equal(loop->result.n_tokens, expected->n_tokens);
        assert_memory_equal(loop->result.tokens, expected->tokens,
                            expected->n_tokens * sizeof(int32_t));
        loop_free(loop);
    }
    free(expected);
    free(samples);
}

static void silence_and_crumbs_end_well(void **state)
{
    static const size_t lengths[] = {0, 1, 159, 160, 161};
    (void)state;
    int16_t samples[161] = {0};
    for (uint32_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct client_options options = loop_options(false);
        struct loop *loop = loop_new(&target.engine, &good.engine, &options);
        assert_true(loop_transcribe(loop, samples, lengths[i], TURNS_MAX));
        assert_int_equal(loop->result.n_windows, lengths[i] >= 160);
        loop_free(loop);
    }
}

static void language_is_detected_the_same_way_with_and_without_drafts(void **state)
{
    (void)state;
    int16_t *samples = loop_speech(21, 8 * SECOND);
    struct client_options options = loop_options(false);
    memcpy(options.rules.language, "auto", 5);
    memcpy(options.drafter.language, "auto", 5);
    struct loop_result *expected = alone(&options, samples, 8 * SECOND);
    assert_true(strlen(expected->language) == 2);
    struct loop *loop = loop_new(&target.engine, &good.engine, &options);
    assert_true(loop_transcribe(loop, samples, 8 * SECOND, TURNS_MAX));
    loop_assert_same(expected, &loop->result);
    assert_string_equal(expected->language, loop->result.language);
    loop_free(loop);
    free(expected);
    free(samples);
}

static void sampled_text_is_the_same_with_and_without_drafts(void **state)
{
    (void)state;
    int16_t *samples = loop_speech(33, 12 * SECOND);
    struct client_options options = loop_options(true);
    options.rules.temperature = 0.8f;
    options.rules.seed = 77;
    struct loop_result *expected = alone(&options, samples, 12 * SECOND);
    struct loop *loop = loop_new(&target.engine, &good.engine, &options);
    assert_true(loop_transcribe(loop, samples, 12 * SECOND, TURNS_MAX));
    loop_assert_same(expected, &loop->result);
    loop_free(loop);
    free(expected);
    free(samples);
}

static void what_breaks_the_protocol_ends_the_session(void **state)
{
    (void)state;
    int16_t pcm[1600] = {0};
    struct client_options options = loop_options(false);
    struct error err;
    struct wire_frame gap = {.kind = WIRE_AUDIO,
                             .u.audio = {.utterance = 0, .first_sample = 999, .codec = WIRE_PCM_S16,
                                         .n_bytes = sizeof(pcm), .bytes = (uint8_t *)pcm}};
    struct wire_frame end = {.kind = WIRE_END_OF_UTTERANCE,
                             .u.end_of_utterance = {.utterance = 0, .n_samples = 5}};
    struct wire_frame open = {.kind = WIRE_OPEN, .u.open = {.version_min = 1, .version_max = 1}};
    struct wire_frame *frames[] = {&gap, &end, &open};
    for (uint32_t i = 0; i < ARRAY_LEN(frames); i++) {
        struct loop *loop = loop_new(&target.engine, NULL, &options);
        (void)loop_turn(loop);
        assert_int_not_equal(target_session_receive(loop->session, frames[i], &err), STATUS_OK);
        assert_true(strlen(err.text) > 10);
        loop_free(loop);
    }
}

static void an_idle_session_gives_its_memory_back_and_goes_on(void **state)
{
    (void)state;
    uint64_t now_us = 1000000;
    struct clock machine = target.engine.clock;
    int16_t *samples = loop_speech(5, 3 * SECOND);
    struct client_options options = loop_options(false);
    struct loop_result *expected = alone(&options, samples, 3 * SECOND);
    target.engine.clock = clock_manual(&now_us);
    struct loop *loop = loop_new(&target.engine, NULL, &options);
    for (int i = 0; i < 3; i++) {
        assert_true(loop_transcribe(loop, samples, 3 * SECOND, TURNS_MAX));
        loop_assert_same(expected, &loop->result);
        assert_true(loop->session->holds_memory);
        now_us += 10000000;
        (void)loop_turn(loop);
        assert_false(loop->session->holds_memory);
    }
    loop_free(loop);
    target.engine.clock = machine;
    free(expected);
    free(samples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_that_of_the_target_alone_under_every_policy),
        cmocka_unit_test(good_drafts_save_passes),
        cmocka_unit_test(broken_links_lose_nothing_and_repeat_nothing),
        cmocka_unit_test(silence_and_crumbs_end_well),
        cmocka_unit_test(language_is_detected_the_same_way_with_and_without_drafts),
        cmocka_unit_test(sampled_text_is_the_same_with_and_without_drafts),
        cmocka_unit_test(what_breaks_the_protocol_ends_the_session),
        cmocka_unit_test(an_idle_session_gives_its_memory_back_and_goes_on),
    };
    return cmocka_run_group_tests(tests, open_engines, close_engines);
}
