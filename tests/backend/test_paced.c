/* Choices of one backend in the time of another: same tokens, the table's time, hidden time. */
#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/paced/paced.h"
#include "backend/toy/toy.h"

enum { N_FRAMES = 3000, N_TOKENS = 24 };

static struct model_description model;
static struct rules_masks *masks;

static int start(void **state)
{
    struct error err;
    (void)state;
    toy_description(&model);
    assert_ok(rules_masks_new(&model, &masks, &err), &err);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    rules_masks_free(&masks);
    return 0;
}

static struct backend *toy(uint64_t seed)
{
    struct error err;
    struct backend *backend;
    struct toy_options options = {.seed = seed, .mistakes = 0.1f};
    assert_ok(toy_backend_new(&model, &options, &backend, &err), &err);
    return backend;
}

static void encode(struct sequence *sequence)
{
    struct error err;
    uint64_t seed = 3;
    bool done = false;
    float *mel = malloc((size_t)model.n_mels * N_FRAMES * sizeof(float));
    for (size_t i = 0; i < (size_t)model.n_mels * N_FRAMES; i++)
        mel[i] = support_uniform(&seed, -1.0f, 1.0f);
    struct backend_features features = {.mel = mel, .n_mels = model.n_mels, .n_frames = N_FRAMES};
    while (!done)
        assert_ok(backend_encode(sequence, &features, 1000, &done, &err), &err);
    free(mel);
}

/* Greedy tokens, each pass with two more rows that are refused. */
static void decode(struct backend *backend, int32_t tokens[N_TOKENS])
{
    struct error err;
    struct sequence *sequence;
    struct rules rules = rules_default(&model, masks);
    struct rules_state state = rules_begin();
    int32_t token = model.special.start;
    assert_ok(backend_open(backend, &sequence, &err), &err);
    encode(sequence);
    for (uint32_t i = 0; i < N_TOKENS; i++) {
        struct rules_choice choice[3];
        struct backend_row rows[3];
        const uint8_t keep = 0;
        for (int32_t r = 0; r < 3; r++)
            rows[r] = (struct backend_row){.sequence = sequence, .token = r == 0 ? token : 7 + r,
                                           .parent = r - 1, .rules = &rules, .state = state,
                                           .choice = &choice[r]};
        assert_ok(backend_forward(backend, rows, 3, &err), &err);
        assert_int_equal(sequence->n_kept, i);
        backend_keep(sequence, i, &keep, 1);
        assert_int_equal(sequence->n_kept, i + 1);
        token = tokens[i] = choice[0].token;
        state = rules_advance(&rules, state, token);
        if (token == model.special.end)
            token = model.special.start;
    }
    backend_close(&sequence);
}

static void a_table_takes_its_time_and_changes_no_token(void **state)
{
    struct error err;
    struct pace pace = {.encode_ms = 40.0f, .n = 2, .rows = {1, 64}, .ms = {2.0f, 2.0f}};
    struct paced_options options = {.pace = &pace};
    struct backend *plain = toy(1), *paced;
    int32_t expected[N_TOKENS], tokens[N_TOKENS];
    (void)state;
    assert_ok(paced_backend_new(toy(1), &options, &paced, &err), &err);
    decode(plain, expected);
    struct clock clock = paced_clock(paced);
    uint64_t begun = clock_us(&clock);
    decode(paced, tokens);
    uint64_t took = clock_us(&clock) - begun;
    assert_memory_equal(tokens, expected, sizeof(tokens));
    assert_true(took >= 40000 + N_TOKENS * 2000);
    assert_int_equal(paced_late(paced), 0);
    backend_free(&plain);
    backend_free(&paced);
}

static void a_load_works_beside_and_changes_no_token(void **state)
{
    struct error err;
    struct paced_options options = {.load = toy(2)};
    struct backend *plain = toy(1), *shape;
    int32_t expected[N_TOKENS], tokens[N_TOKENS];
    (void)state;
    assert_ok(paced_backend_new(toy(1), &options, &shape, &err), &err);
    assert_string_equal(shape->info.kind, "shape");
    decode(plain, expected);
    struct clock machine = clock_monotonic(), clock = paced_clock(shape);
    uint64_t machine_begun = clock_us(&machine), begun = clock_us(&clock);
    decode(shape, tokens);
    uint64_t took = clock_us(&clock) - begun, machine_took = clock_us(&machine) - machine_begun;
    assert_memory_equal(tokens, expected, sizeof(tokens));
    assert_true(took < machine_took);   /* the choosing model's time is not in it */
    backend_free(&plain);
    backend_free(&shape);
}

static enum status read_text(const char *text, struct pace *pace, struct error *err)
{
    char *folder = support_temp_new();
    const char *path = support_format("%s/pace.tsv", folder);
    support_write(path, text);
    enum status rc = pace_read(path, pace, err);
    support_temp_free(folder);
    return rc;
}

static void a_table_is_read_and_interpolated(void **state)
{
    struct error err;
    struct pace pace;
    (void)state;
    const char *text = "# of a card\nencode\t80\nrows\tms\n1\t10\n\n5\t14.0\n64\t20\n";
    assert_ok(read_text(text, &pace, &err), &err);
    assert_float_equal(pace.encode_ms, 80.0f, 0.0f);
    assert_float_equal(pace_ms(&pace, 1), 10.0f, 1e-4f);
    assert_float_equal(pace_ms(&pace, 3), 12.0f, 1e-4f);
    assert_float_equal(pace_ms(&pace, 200), 20.0f, 1e-4f);
}

static void wrong_tables_are_refused_with_their_line(void **state)
{
    static const char *const wrong[] = {"",           "encode 5\n",     "1 0\n",     "1 5\n1 6\n",
                                        "2 5\n1 6\n", "1 5 x\n",        "a b\n",     "1 nan\n",
                                        "-1 5\n",     "encode nan\n1 1", "0 3\n",
                                        "1 99999999\n"};
    struct error err;
    struct pace pace;
    (void)state;
    for (uint32_t i = 0; i < ARRAY_LEN(wrong); i++)
        if (read_text(wrong[i], &pace, &err) != STATUS_CORRUPT)
            fail_msg("taken: \"%s\"", wrong[i]);
    assert_int_equal(pace_read("no/such/table", &pace, &err), STATUS_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_takes_its_time_and_changes_no_token),
        cmocka_unit_test(a_load_works_beside_and_changes_no_token),
        cmocka_unit_test(a_table_is_read_and_interpolated),
        cmocka_unit_test(wrong_tables_are_refused_with_their_line),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
