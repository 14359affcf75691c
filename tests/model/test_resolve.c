#include "../support/model_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/resolve.h"

static char *cache;

/* A cache of our own with one model in it, and a folder without models to stand in. */
static int setup(void **state)
{
    *state = cache = support_temp_new();
    mkdir(support_format("%s/specasr", cache), 0700);
    fixture_write_file(support_format("%s/specasr/whisper-base.gguf", cache), "x", 1);
    fixture_write_file(support_format("%s/specasr/whisper-base-q8_0.gguf", cache), "x", 1);
    assert_int_equal(chdir(cache), 0);
    setenv("XDG_CACHE_HOME", cache, 1);
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(chdir("/"), 0);
    support_temp_free(*state);
    return 0;
}

static void expect_found(const char *what, const char *file)
{
    char path[MODEL_PATH_MAX];
    struct error err = {0};
    assert_ok(model_find(what, path, sizeof(path), &err), &err);
    assert_string_equal(path, support_format("%s/specasr/%s", cache, file));
}

static void names_lead_into_the_cache(void **state)
{
    (void)state;
    expect_found("base", "whisper-base.gguf");
    expect_found("whisper-base", "whisper-base.gguf");
    expect_found("whisper-base.gguf", "whisper-base.gguf");
    expect_found("base-q8_0", "whisper-base-q8_0.gguf");
}

static void a_file_goes_before_a_name(void **state)
{
    (void)state;
    char path[MODEL_PATH_MAX];
    struct error err = {0};
    fixture_write_file("base", "x", 1);
    assert_ok(model_find("base", path, sizeof(path), &err), &err);
    assert_string_equal(path, "base");
    assert_ok(model_find("./base", path, sizeof(path), &err), &err);
    assert_string_equal(path, "./base");
}

static void what_is_not_there_says_what_to_do(void **state)
{
    (void)state;
    char path[MODEL_PATH_MAX];
    struct error err = {0};
    static const char *const absent[] = {"tiny.en", "./tiny.en", "/no/such/model.gguf", ""};
    for (size_t i = 0; i < ARRAY_LEN(absent); i++) {
        assert_int_equal(model_find(absent[i], path, sizeof(path), &err), STATUS_NOT_FOUND);
        assert_non_null(strstr(err.text, "make models"));
    }
}

static void the_cache_follows_the_environment(void **state)
{
    (void)state;
    char path[MODEL_PATH_MAX];
    struct error err = {0};
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    setenv("XDG_CACHE_HOME", "relative", 1); /* to be ignored, says the specification */
    setenv("HOME", "/h", 1);
    assert_ok(model_cache_folder(path, sizeof(path), &err), &err);
    assert_string_equal(path, "/h/.cache/specasr");
    unsetenv("HOME");
    assert_int_equal(model_cache_folder(path, sizeof(path), &err), STATUS_NOT_FOUND);
    setenv("XDG_CACHE_HOME", cache, 1);
    assert_int_equal(model_cache_folder(path, 5, &err), STATUS_INVALID);
    if (home)
        setenv("HOME", home, 1);
    free(home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_lead_into_the_cache, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_goes_before_a_name, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_there_says_what_to_do, setup, teardown),
        cmocka_unit_test_setup_teardown(the_cache_follows_the_environment, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
