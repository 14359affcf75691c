/* Toys by name: the same name decides the same, and a wrong name is refused. */
#include "../support/loop.h"
#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "engine/toy.h"

enum { SAMPLES = 5 * 16000 };

static struct loop_result *transcribe(const char *target_name, const char *draft_name)
{
    struct engine target, draft;
    struct error err;
    struct client_options options = loop_options(false);
    struct loop_result *result = malloc(sizeof(*result));
    assert_non_null(result);
    assert_ok(toy_open(&target, target_name, &err), &err);
    if (draft_name)
        assert_ok(toy_open(&draft, draft_name, &err), &err);
    struct loop *loop = loop_new(&target, draft_name ? &draft : NULL, &options);
    int16_t *speech = loop_speech(7, SAMPLES);
    assert_true(loop_transcribe(loop, speech, SAMPLES, 100000));
    *result = loop->result;
    free(speech);
    loop_free(loop);
    if (draft_name)
        engine_close(&draft);
    engine_close(&target);
    return result;
}

static void drafts_of_another_toy_change_nothing_but_the_passes(void **state)
{
    (void)state;
    struct loop_result *alone = transcribe("toy:1", NULL);
    struct loop_result *split = transcribe("toy:1", "toy:2:0.1");
    assert_true(alone->n_tokens > 0);
    assert_int_equal(alone->n_tokens, split->n_tokens);
    assert_memory_equal(alone->tokens, split->tokens, alone->n_tokens * sizeof(alone->tokens[0]));
    assert_true(split->stats.rows > split->stats.passes);
    free(alone);
    free(split);
}

static void fingerprints_tell_toys_apart(void **state)
{
    (void)state;
    static const char *const names[] = {"toy:1", "toy:1:0.0", "toy:2", "toy:1:0.5",
                                        "toy:4294967297"};
    uint64_t fingerprint[ARRAY_LEN(names)];
    struct error err;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct engine engine;
        assert_true(toy_named(names[i]));
        assert_ok(toy_open(&engine, names[i], &err), &err);
        fingerprint[i] = engine.fingerprint;
        engine_close(&engine);
    }
    assert_true(fingerprint[0] == fingerprint[1]);
    for (size_t i = 2; i < ARRAY_LEN(names); i++)
        for (size_t j = 0; j < i; j++)
            assert_true(fingerprint[i] != fingerprint[j]);
}

static void wrong_names_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"toy:", "toy:x", "toy:-1", "toy:1:", "toy:1:2",
                                        "toy:1:0.1x", "toy:1x", "base"};
    struct engine engine;
    struct error err;
    assert_false(toy_named("base"));
    assert_false(toy_named("toy"));
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(toy_open(&engine, names[i], &err), STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drafts_of_another_toy_change_nothing_but_the_passes),
        cmocka_unit_test(fingerprints_tell_toys_apart),
        cmocka_unit_test(wrong_names_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
