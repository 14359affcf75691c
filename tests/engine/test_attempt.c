/* One attempt on the toy backend: what limits it, whatever is proposed. */
#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "backend/toy/toy.h"
#include "engine/attempt.h"

enum { FRAMES = 100, PROMPT_MAX = WINDOW_PROMPT_MAX };

static struct model_description description;
static struct backend *backend;
static struct rules_masks *masks;
static struct sequence *sequence;
static float features[80 * FRAMES];

/* A window in which there is more to say than any attempt may decide. */
static int encode_long_speech(void **state)
{
    struct toy_options options = {.seed = 1, .script_max = 400};
    struct backend_features input = {.mel = features, .n_mels = 80, .n_frames = FRAMES};
    int32_t script[400];
    struct error err;
    bool done;
    uint64_t seed = 1;
    (void)state;
    toy_description(&description);
    assert_ok(toy_backend_new(&description, &options, &backend, &err), &err);
    assert_ok(rules_masks_new(&description, &masks, &err), &err);
    assert_ok(backend_open(backend, &sequence, &err), &err);
    do {
        for (uint32_t i = 0; i < ARRAY_LEN(features); i++)
            features[i] = (float)(support_random(&seed) >> 40) / 16777216.0f;
    } while (toy_script(&description, &options, &input, script, 400) < 300);
    assert_ok(backend_encode(sequence, &input, UINT64_MAX, &done, &err), &err);
    assert_true(done);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    backend_close(&sequence);
    rules_masks_free(&masks);
    backend_free(&backend);
    return 0;
}

/* Decodes to the end, each pass with what `proposed` has next (NULL: plainly). */
static void decode(struct attempt *attempt, const struct window_prompt *previous,
                   const struct attempt *proposed)
{
    struct rules rules = rules_default(&description, masks);
    struct attempt_prompt prompt = {.previous = previous,
                                    .language = description.special.language_begin};
    struct error err;
    attempt_begin(attempt, sequence, &rules, &prompt);
    while (!attempt->ended) {
        struct pass pass = {0};
        struct spec_tree tree = {0};
        uint32_t n = attempt->n_decided;
        if (proposed && n < proposed->n_decided) {
            struct spec_chain rest = {.token = proposed->decided + n,
                                      .n = proposed->n_decided - n};
            (void)spec_tree_from_chain(&tree, SPEC_ROWS_MAX - 1, rest);
        }
        assert_true(attempt_offer(attempt, proposed ? &tree : NULL, &pass) > 0);
        assert_ok(backend_forward(backend, pass.row, pass.n, &err), &err);
        (void)attempt_absorb(attempt, &pass);
    }
}

static void the_context_ends_at_the_same_token_with_and_without_drafts(void **state)
{
    (void)state;
    struct attempt *plain = malloc(sizeof(*plain)), *verified = malloc(sizeof(*verified));
    struct attempt *longer = malloc(sizeof(*longer));
    assert_true(plain && verified && longer);
    for (uint32_t n = PROMPT_MAX; n > PROMPT_MAX - 8; n--) {
        struct window_prompt previous = {.n = n};
        for (uint32_t i = 0; i < n; i++)
            previous.tokens[i] = (int32_t)i;
        decode(plain, &previous, NULL);
        /* Every token of the context is used; the last one needs no position. */
        uint32_t left = description.decoder.n_positions + 1 - plain->n_prompt;
        assert_int_equal(plain->n_decided, MIN(left, description.decoder.n_positions / 2));
        *longer = *plain;                   /* a draft may know more than the context holds */
        longer->decided[longer->n_decided++] = 7;
        longer->decided[longer->n_decided++] = 8;
        decode(verified, &previous, longer);
        assert_int_equal(verified->n_decided, plain->n_decided);
        assert_memory_equal(verified->decided, plain->decided,
                            plain->n_decided * sizeof(int32_t));
    }
    free(plain);
    free(verified);
    free(longer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_context_ends_at_the_same_token_with_and_without_drafts),
    };
    return cmocka_run_group_tests(tests, encode_long_speech, close_all);
}
