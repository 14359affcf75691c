/* The rest of a rejected draft is found again behind a correction, and only there. */
#include "../support/support.h"

#include <string.h>

#include "spec/recycle.h"

enum { LENGTH = 20, SAW = 7 };

static struct spec_draft old;
static struct spec_realign how;

static int start(void **state)
{
    (void)state;
    how = spec_realign_default(9999, -1);
    memset(&old, 0, sizeof(old));
    old.number = 1;
    old.tree.n = LENGTH;
    for (uint32_t i = 0; i < LENGTH; i++)
        old.tree.node[i] = (struct spec_node){(int32_t)(100 + i), (int16_t)((int32_t)i - 1), 0.9f};
    return 0;
}

/* tokens[0..SAW) follow the draft; the correction stands behind. */
static int32_t place_behind(const int32_t *behind, uint32_t n)
{
    int32_t tokens[LENGTH + 8];
    struct spec_recycle recycle;
    for (uint32_t i = 0; i < SAW; i++)
        tokens[i] = (int32_t)(100 + i);
    tokens[SAW] = behind[0];
    spec_recycle_start(&recycle, &how, &old, tokens, SAW + 1);
    for (uint32_t i = 1; i < n; i++) {
        assert_int_equal(spec_recycle_place(&recycle, &how), -1);
        spec_recycle_follow(&recycle, &how, behind[i]);
    }
    return spec_recycle_place(&recycle, &how);
}

static void one_agreeing_token_is_enough(void **state)
{
    static const int32_t replaced[] = {500, 100 + SAW + 1};
    static const int32_t inserted[] = {500, 100 + SAW};
    static const int32_t left_out[] = {500, 100 + SAW + 2};
    (void)state;
    assert_int_equal(place_behind(replaced, 2), SAW + 2);
    assert_int_equal(place_behind(inserted, 2), SAW + 1);
    assert_int_equal(place_behind(left_out, 2), SAW + 3);
}

static void a_word_of_several_tokens_is_waited_for(void **state)
{
    static const int32_t word[] = {500, 501, 502, 100 + SAW + 1};
    static const int32_t strange[] = {500, 501, 502};
    (void)state;
    assert_int_equal(place_behind(word, 4), SAW + 2);
    assert_int_equal(place_behind(strange, 3), -1);
}

static void a_token_that_was_left_out_leads_on_at_once(void **state)
{
    static const int32_t behind[] = {100 + SAW + 1};
    (void)state;
    assert_int_equal(place_behind(behind, 1), SAW + 2);
}

static void nothing_is_found_in_another_text(void **state)
{
    int32_t tokens[40];
    struct spec_recycle recycle;
    (void)state;
    for (uint32_t i = 0; i < ARRAY_LEN(tokens); i++)
        tokens[i] = (int32_t)(700 + i);
    spec_recycle_start(&recycle, &how, &old, tokens, 1);
    for (uint32_t i = 1; i < ARRAY_LEN(tokens); i++) {
        assert_int_equal(spec_recycle_place(&recycle, &how), -1);
        spec_recycle_follow(&recycle, &how, tokens[i]);
    }
    spec_recycle_stop(&recycle);
    assert_int_equal(spec_recycle_place(&recycle, &how), -1);
}

static void a_draft_that_is_used_up_gives_nothing(void **state)
{
    int32_t tokens[LENGTH + 1];
    struct spec_recycle recycle;
    (void)state;
    for (uint32_t i = 0; i <= LENGTH; i++)
        tokens[i] = (int32_t)(100 + i);
    spec_recycle_start(&recycle, &how, &old, tokens, LENGTH);
    assert_int_equal(spec_recycle_place(&recycle, &how), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_agreeing_token_is_enough),
        cmocka_unit_test(a_word_of_several_tokens_is_waited_for),
        cmocka_unit_test(a_token_that_was_left_out_leads_on_at_once),
        cmocka_unit_test(nothing_is_found_in_another_text),
        cmocka_unit_test(a_draft_that_is_used_up_gives_nothing),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
