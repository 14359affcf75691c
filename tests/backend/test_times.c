/* Where the time of a pass goes: each part of a step is charged once, to the right account. The
 * clock moves by a microsecond with every look, so a look is a microsecond. */
#include "../support/model_fixture.h"
#include "../support/support.h"

#include <stdlib.h>

#include "backend/cpu/cpu.h"

static uint64_t one_more(void *context)
{
    uint64_t *now = context;
    return (*now)++;
}

/* Passes of 3 rows with a choice, or without (prompt rows: no output layer). */
static struct cpu_times times_of(bool timed, bool choices, uint32_t n_passes)
{
    enum { ROWS = 3 };
    char *folder = support_temp_new();
    struct error err = {.code = STATUS_OK};
    uint64_t now = 5;
    const struct clock clock = {.now = one_more, .context = &now};
    const struct cpu_options options = {.n_threads = 2, .unpinned = true, .clock = &clock,
                                        .timed = timed};
    struct model *model;
    struct backend *backend;
    struct sequence *s;
    struct rules_masks *masks;
    struct rules_choice choice[ROWS];
    bool done;
    assert_ok(model_open(fixture_write(folder, "m.gguf", TENSOR_F16), &model, &err), &err);
    assert_ok(cpu_backend_new(model, &options, &backend, &err), &err);
    assert_ok(rules_masks_new(backend->model, &masks, &err), &err);
    struct rules rules = rules_default(backend->model, masks);
    float *mel = calloc((size_t)80 * 24, sizeof(float));
    const struct backend_features features = {.mel = mel, .n_mels = 80, .n_frames = 24};
    assert_ok(backend_open(backend, &s, &err), &err);
    assert_ok(backend_encode(s, &features, UINT64_MAX, &done, &err), &err);
    for (uint32_t pass = 0; pass < n_passes; pass++) {
        struct backend_row rows[ROWS];
        for (int i = 0; i < ROWS; i++)
            rows[i] = (struct backend_row){.sequence = s, .token = i, .parent = i - 1,
                                           .rules = choices ? &rules : NULL,
                                           .state = rules_begin(), .choice = &choice[i]};
        assert_ok(backend_forward(backend, rows, ROWS, &err), &err);
    }
    struct cpu_times times = cpu_backend_times(backend);
    assert_int_equal(cpu_backend_times(backend).n_passes, 0); /* taken */
    backend_close(&s);
    free(mel);
    rules_masks_free(&masks);
    backend_free(&backend);
    model_close(&model);
    support_temp_free(folder);
    return times;
}

static void every_part_of_a_pass_is_charged_once(void **state)
{
    (void)state;
    enum { PASSES = 4, LAYERS = 1 };
    struct cpu_times t = times_of(true, true, PASSES);
    assert_int_equal(t.n_passes, PASSES);
    assert_int_equal(t.self_us, PASSES * LAYERS);
    assert_int_equal(t.cross_us, PASSES * LAYERS);
    assert_int_equal(t.matrices_us, PASSES * (6 * LAYERS + 2)); /* scanned, picked out */
    /* norms, GELU; of the output layer: norm, screen, choices */
    assert_int_equal(t.rest_us, PASSES * (4 * LAYERS + 3));
    assert_true(t.n_screened >= PASSES && t.n_screened % PASSES == 0);
    assert_true(t.n_panels >= t.n_screened);
    struct cpu_times prompt = times_of(true, false, PASSES);
    assert_int_equal(prompt.matrices_us, PASSES * 6 * LAYERS);
}

static void nothing_is_kept_unless_asked_for(void **state)
{
    (void)state;
    struct cpu_times t = times_of(false, true, 2);
    assert_int_equal(t.n_passes + t.matrices_us + t.self_us + t.cross_us + t.rest_us, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_of_a_pass_is_charged_once),
        cmocka_unit_test(nothing_is_kept_unless_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
