/* Drafts that a target makes for clients that have none, on the toy backend: the text is the same,
 * passes are fewer, and who is to be left alone is left alone. */
#include "../support/loop.h"
#include "../support/support.h"
#include "../support/toy_engine.h"
#include "engine/target_int.h"

#include <stdlib.h>
#include <string.h>

enum { TURNS_MAX = 200000, SECOND = 16000, DEPTH = 8 };

static struct toy_engine target, good, bad;
static uint64_t now_us;                     /* virtual: passes and encoders move it */

/* base and tiny.en on two cores: steps of 2.9 and 0.55 ms. */
static const struct pace base = {.encode_ms = 450, .n = 5, .rows = {1, 4, 8, 16, 64},
                                 .ms = {2.9f, 3.1f, 4.7f, 9.6f, 37.3f}};
static const struct pace tiny = {.encode_ms = 55, .n = 4, .rows = {1, 8, 16, 64},
                                 .ms = {0.55f, 0.9f, 1.6f, 6.4f}};

/* A large model beside the same draft model. */
static const struct pace large = {.encode_ms = 2000, .n = 3, .rows = {1, 16, 64},
                                  .ms = {40.0f, 44.0f, 120.0f}};

static void spend(void *context, uint64_t us)
{
    *(uint64_t *)context += us;
}

static void open_engine(struct toy_engine *toy, uint64_t seed, float mistakes,
                        const struct pace *pace)
{
    const struct toy_time time = {.pace = pace, .spend = spend, .context = &now_us};
    const struct toy_options options = {.seed = seed, .mistakes = mistakes, .time = &time};
    struct error err;
    toy_engine_open(toy, seed, mistakes);
    backend_free(&toy->engine.backend);
    toy->engine.clock = clock_manual(&now_us);
    assert_ok(toy_backend_new(&toy->description, &options, &toy->engine.backend, &err), &err);
}

static int open_engines(void **state)
{
    (void)state;
    open_engine(&target, 1, 0.02f, &base);
    open_engine(&good, 2, 0.05f, &tiny);
    open_engine(&bad, 3, 0.6f, &tiny);
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

static struct client_options plain(bool timestamps)
{
    struct client_options options = loop_options(timestamps);
    options.rules.use_drafts = false;
    return options;
}

/* The draft model here: NULL: none. */
static struct loop *begin(const struct client_options *options, struct toy_engine *draft,
                          uint32_t fixed)
{
    struct loop *loop = loop_new(&target.engine, NULL, options);
    loop->target->options.draft_engine = draft ? &draft->engine : NULL;
    loop->target->options.colocated_fixed = fixed;
    target_measure(loop->target, 500000);
    return loop;
}

static void transcribe(struct loop *loop, const int16_t *samples, size_t n)
{
    if (!loop_transcribe(loop, samples, n, TURNS_MAX))
        fail_msg("did not finish: %s", loop->error.text);
}

static void text_is_that_of_the_target_alone(void **state)
{
    static const size_t lengths[] = {0, SECOND, 10 * SECOND, 47 * SECOND + 331};
    (void)state;
    for (uint32_t i = 0; i < ARRAY_LEN(lengths); i++)
        for (int timestamps = 0; timestamps <= 1; timestamps++) {
            int16_t *samples = loop_speech(300 + i, lengths[i]);
            struct client_options options = plain(timestamps);
            options.rules.fallback = true;
            struct loop *alone = begin(&options, NULL, 0);
            transcribe(alone, samples, lengths[i]);
            for (uint32_t fixed = 0; fixed <= DEPTH; fixed += DEPTH / 2) {
                struct loop *near = begin(&options, &good, fixed);
                struct loop *nonsense = begin(&options, &bad, fixed);
                transcribe(near, samples, lengths[i]);
                transcribe(nonsense, samples, lengths[i]);
                loop_assert_same(&alone->result, &near->result);
                loop_assert_same(&alone->result, &nonsense->result);
                assert_int_equal(near->result.stats.drafts_dropped, 0);
                loop_free(near);
                loop_free(nonsense);
            }
            loop_free(alone);
            free(samples);
        }
}

static uint32_t passes(struct loop *loop, const int16_t *samples, size_t n)
{
    transcribe(loop, samples, n);
    return loop->result.stats.passes;
}

/* Every utterance of a session, behind breaks too: the drafter goes and comes. */
static void good_drafts_save_passes_in_every_utterance(void **state)
{
    (void)state;
    int16_t *samples = loop_speech(7, 10 * SECOND);
    struct client_options options = plain(false);
    struct loop *alone = begin(&options, NULL, 0), *near = begin(&options, &good, DEPTH);
    uint32_t n_alone = passes(alone, samples, 10 * SECOND);
    for (int i = 0; i < 3; i++) {
        assert_true(2 * passes(near, samples, 10 * SECOND) < n_alone);
        assert_true(target_session_colocated(near->session));
        assert_int_equal(near->target->colocated.n, 1);
        if (i == 1)
            loop_break(near);
    }
    assert_true(target_counts(near->target).draft_us > 0);
    loop_free(alone);
    loop_free(near);
    free(samples);
}

/* Decode time of one utterance in virtual microseconds, drafts included. */
static uint64_t decode_us(struct loop *loop, const int16_t *samples, size_t n)
{
    uint64_t before = target_counts(loop->target).encode_us, start = now_us;
    transcribe(loop, samples, n);
    return now_us - start - (target_counts(loop->target).encode_us - before);
}

/* Sums over some utterances behind a first one, in which costs are learned. */
static uint64_t decode_some(struct loop *loop)
{
    uint64_t us = 0;
    for (uint64_t seed = 20; seed < 30; seed++) {
        int16_t *samples = loop_speech(seed, 10 * SECOND);
        us += seed > 20 ? decode_us(loop, samples, 10 * SECOND) : 0;
        if (seed == 20)
            transcribe(loop, samples, 10 * SECOND);
        free(samples);
    }
    return us;
}

/* Bad drafts cost a window its balance, a plain step, and now and then an encoder. */
static void assert_drafts(const struct pace *curve, struct toy_engine *draft, float least,
                          float most)
{
    struct client_options options = plain(false);
    struct toy_engine *const usual = &target;
    const struct toy_engine kept = *usual;
    open_engine(usual, 1, 0.02f, curve);
    struct loop *alone = begin(&options, NULL, 0), *near = begin(&options, draft, 0);
    float share = (float)decode_some(near) / (float)decode_some(alone);
    if (share < least || share > most)
        fail_msg("%.3f of the time without drafts", (double)share);
    loop_free(alone);
    loop_free(near);
    toy_engine_close(usual);
    *usual = kept;
}

static void drafts_here_are_made_where_they_pay(void **state)
{
    (void)state;
    assert_drafts(&large, &good, 0.2f, 0.75f);
    assert_drafts(&large, &bad, 0.2f, 1.1f);
    assert_drafts(&base, &good, 0.5f, 1.02f);   /* too little speech for that encoder */
    assert_drafts(&base, &bad, 0.5f, 1.02f);
}

/* Expects plain decoding with this set-up. */
static void assert_left_alone(struct loop *loop, const int16_t *samples, uint32_t n_alone)
{
    assert_int_equal(passes(loop, samples, 5 * SECOND), n_alone);
    assert_false(target_session_colocated(loop->session));
    assert_int_equal(loop->target->colocated.n, 0);
    loop_free(loop);
}

static void who_is_to_be_left_alone_is(void **state)
{
    (void)state;
    int16_t *samples = loop_speech(9, 5 * SECOND);
    struct client_options options = plain(false);
    struct loop *loop = begin(&options, NULL, 0);
    uint32_t n_alone = passes(loop, samples, 5 * SECOND);
    assert_left_alone(loop, samples, n_alone);

    loop = begin(&options, &good, DEPTH);               /* the policy forbids it, */
    struct target_policy policy = target_policy_default();
    policy.colocated = false;
    target_set_policy(loop->target, policy);
    assert_left_alone(loop, samples, n_alone);

    loop = begin(&options, &good, DEPTH);               /* from now on, */
    assert_true(passes(loop, samples, 5 * SECOND) < n_alone);
    target_set_policy(loop->target, policy);
    assert_left_alone(loop, samples, n_alone);

    loop = begin(&options, &good, DEPTH);               /* there is no place, */
    loop->target->colocated.n = TARGET_COLOCATED_MAX;
    assert_int_equal(passes(loop, samples, 5 * SECOND), n_alone);
    loop->target->colocated.n = 0;
    loop_free(loop);

    options.rules.row_price = 0.0f;                     /* the client sets a price of its own */
    loop = begin(&options, &good, DEPTH);
    assert_left_alone(loop, samples, n_alone);
    free(samples);
}

/* Its own drafts are better placed: none are made here. */
static void a_client_that_drafts_is_not_drafted_for(void **state)
{
    (void)state;
    int16_t *samples = loop_speech(11, 5 * SECOND);
    struct client_options options = loop_options(false);
    struct loop *loop = loop_new(&target.engine, &good.engine, &options);
    loop->target->options.draft_engine = &bad.engine;
    transcribe(loop, samples, 5 * SECOND);
    assert_false(target_session_colocated(loop->session));
    assert_int_equal(target_counts(loop->target).draft_us, 0);
    loop_free(loop);
    free(samples);
}

/* Audits are the proof that drafts change nothing: they have none of any kind. */
static void audits_are_made_without_drafts(void **state)
{
    (void)state;
    int16_t *samples = loop_speech(13, 5 * SECOND);
    struct client_options options = plain(false);
    struct loop *loop = begin(&options, &good, DEPTH);
    loop->target->options.audit_share = 1.0f;
    transcribe(loop, samples, 5 * SECOND);
    uint64_t drafted = target_counts(loop->target).draft_us;
    for (int i = 0; i < TURNS_MAX && target_counts(loop->target).audits == 0; i++)
        (void)loop_turn(loop);
    assert_int_equal(target_counts(loop->target).audits, 1);
    assert_int_equal(target_counts(loop->target).audit_mismatches, 0);
    assert_int_equal(target_counts(loop->target).draft_us, drafted);
    loop_free(loop);
    free(samples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_that_of_the_target_alone),
        cmocka_unit_test(good_drafts_save_passes_in_every_utterance),
        cmocka_unit_test(drafts_here_are_made_where_they_pay),
        cmocka_unit_test(who_is_to_be_left_alone_is),
        cmocka_unit_test(a_client_that_drafts_is_not_drafted_for),
        cmocka_unit_test(audits_are_made_without_drafts),
    };
    return cmocka_run_group_tests(tests, open_engines, close_engines);
}
