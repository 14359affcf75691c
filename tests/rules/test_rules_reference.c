/* Equality with an independent numpy implementation of the rules, and of all kernel sets bit for
 * bit. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"
#include "rules/rules.h"

/* As tests/reference/rules_numpy.py writes it. */
struct expected_case {
    int32_t timestamps, detect, max_initial;
    float temperature;
    int32_t seed, window, attempt, n_prefix;
    int32_t prefix[16];
    int32_t token, second;
    float logprob, second_logprob, gap, margin;
};

struct fixture {
    FILE *file;
    struct model_description model;
    struct rules_masks *masks;
    float *row, *scratch;
    uint32_t n_cases, n_near;
};

static int32_t take(FILE *file)
{
    int32_t value = 0;
    assert_int_equal(fread(&value, sizeof(value), 1, file), 1);
    return value;
}

static void read_header(struct fixture *f)
{
    struct special_tokens *s = &f->model.special;
    f->model.n_vocab = (uint32_t)take(f->file);
    int32_t *const ids[] = {&s->end,       &s->start,         &s->translate,       &s->transcribe,
                            &s->previous,  &s->no_speech,     &s->no_timestamps,
                            &s->timestamp_begin, &s->language_begin};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        *ids[i] = take(f->file);
    f->model.n_languages = (uint32_t)take(f->file);
    f->model.n_suppress = (uint32_t)take(f->file);
    assert_true(f->model.n_suppress <= MODEL_SUPPRESS_MAX);
    for (uint32_t i = 0; i < f->model.n_suppress; i++)
        f->model.suppress[i] = take(f->file);
    f->model.n_suppress_first = (uint32_t)take(f->file);
    for (uint32_t i = 0; i < f->model.n_suppress_first; i++)
        f->model.suppress_first[i] = take(f->file);
}

static struct rules rules_of(const struct fixture *f, const struct expected_case *c)
{
    struct rules rules = rules_default(&f->model, f->masks);
    rules.timestamps = c->timestamps;
    rules.detect_language = c->detect;
    rules.max_initial_timestamp = c->max_initial;
    rules.temperature = c->temperature;
    rules.seed = (uint64_t)c->seed;
    rules.window = (uint32_t)c->window;
    rules.attempt = (uint32_t)c->attempt;
    return rules;
}

/* Logarithms of 52,000 exponentials summed in float32: five digits. */
static void check_logprob(float got, float expected)
{
    if (expected == -INFINITY || expected < -87.0f)
        assert_true(got < -80.0f);
    else
        assert_true(fabsf(got - expected) <= 3e-5f * (1.0f + fabsf(expected)));
}

static void check_choice(struct fixture *f, const struct expected_case *c,
                         const struct rules_choice *got)
{
    /* Where the timestamp rule or two noisy scores are nearer than float32 resolves, either is
     * right; exact ties of a greedy choice are decided: the lowest id. */
    bool near = c->margin < 1e-4f || (c->temperature > 0.0f && c->gap < 1e-9f);
    if (near) {
        f->n_near++;
        return;
    }
    if (got->token != c->token || got->second != c->second)
        fail_msg("case %u: token %d second %d, expected %d and %d (margin %g)", f->n_cases,
                 got->token, got->second, c->token, c->second, (double)c->margin);
    check_logprob(got->logprob, c->logprob);
    check_logprob(got->second_logprob, c->second_logprob);
    if (isfinite(c->gap))
        assert_true(fabsf(got->gap - c->gap) <= 1e-5f * (1.0f + c->gap));
    else
        assert_true(got->gap == INFINITY);
}

static void run_case(struct fixture *f, const struct expected_case *c)
{
    struct rules rules = rules_of(f, c);
    struct rules_state state = rules_begin();
    size_t n_bytes = f->model.n_vocab * sizeof(float);
    struct rules_choice first = {0};
    for (int32_t i = 0; i < c->n_prefix; i++)
        state = rules_advance(&rules, state, c->prefix[i]);
    assert_int_equal(fread(f->row, 1, n_bytes, f->file), n_bytes);
    for (size_t i = 0; kernels_name(i); i++) {
        const struct kernels *kernels = kernels_find(kernels_name(i));
        struct rules_choice choice = {0};
        if (!kernels)
            continue;
        memcpy(f->scratch, f->row, n_bytes);
        rules_choose(&rules, &state, kernels, f->scratch, &choice);
        if (i == 0)
            first = choice;
        assert_memory_equal(&choice, &first, sizeof(choice));
    }
    check_choice(f, c, &first);
    f->n_cases++;
}

static void compare(uint32_t n_cases, int seed, int n_text)
{
    char *folder = support_temp_new();
    const char *path = support_format("%s/cases", folder);
    const char *command =
        support_format("/usr/bin/python3 tests/reference/rules_numpy.py %s %u %d %d", path,
                       n_cases, seed, n_text);
    if (system(command) != 0)
        fail_msg("failed: %s", command);
    struct fixture f = {.file = fopen(path, "rb")};
    struct error err = {0};
    assert_non_null(f.file);
    read_header(&f);
    assert_ok(rules_masks_new(&f.model, &f.masks, &err), &err);
    f.row = malloc(f.model.n_vocab * sizeof(float));
    f.scratch = malloc(f.model.n_vocab * sizeof(float));
    struct expected_case c;
    while (fread(&c, sizeof(c), 1, f.file) == 1)
        run_case(&f, &c);
    assert_int_equal(f.n_cases, n_cases);
    assert_true(f.n_near < n_cases / 100 + 1);
    fclose(f.file);
    free(f.row);
    free(f.scratch);
    rules_masks_free(&f.masks);
    support_temp_free(folder);
}

static void choices_equal_numpy_on_random_rows_and_prefixes(void **state)
{
    (void)state;
    compare(4000, 1, 300);
}

static void choices_equal_numpy_at_the_size_of_whisper(void **state)
{
    (void)state;
    compare(150, 2, 50257);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choices_equal_numpy_on_random_rows_and_prefixes),
        cmocka_unit_test(choices_equal_numpy_at_the_size_of_whisper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
