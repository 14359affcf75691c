#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct place {
    char *folder;
    struct option_environment environment;
};

static int place_new(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    place->folder = support_temp_new();
    place->environment.home = place->folder;
    *state = place;
    return 0;
}

static int place_free(void **state)
{
    struct place *place = *state;
    support_temp_free(place->folder);
    free(place);
    return 0;
}

static const char *write_file(const struct place *place, const char *name, const char *text)
{
    const char *path = support_format("%s/%s", place->folder, name);
    support_write(path, text);
    return path;
}

static enum status parse(const struct place *place, const char *const *argv, struct values *values,
                         struct options **options, struct error *err)
{
    memset(values, 0, sizeof(*values));
    return options_parse(&program, &place->environment, argv, values, options, err);
}

#define ARGV(...) (const char *const[]){"probe", __VA_ARGS__, NULL}

static void file_overrides_defaults_and_command_line_the_file(void **state)
{
    const char *path = write_file(*state, "a.conf",
                                  "# a comment\r\n\n threads=4\r\n"
                                  "name = \"two # \\\"words\\\"\" # c\n"
                                  "timestamps = off\nrow-price = 0.5 # why\nmodel = ~/m.gguf");
    struct values v;
    struct options *options = NULL;
    struct error err = {0};
    assert_ok(parse(*state, ARGV("--row-price=2", "--config", path), &v, &options, &err), &err);
    assert_int_equal(v.threads, 4);
    assert_string_equal(v.name, "two # \"words\"");
    assert_false(v.timestamps);
    assert_true(v.price == 2);
    struct place *place = *state;
    assert_string_equal(v.model, support_format("%s/m.gguf", place->folder));
    options_free(&options);
}

static void a_list_from_the_command_line_replaces_that_of_the_file(void **state)
{
    const char *path = write_file(*state, "a.conf", "target = a:1,b:2\n");
    struct values v;
    struct options *options = NULL;
    struct error err = {0};
    assert_ok(parse(*state, ARGV("--config", path, "--target=c:3", "--target=d:4"), &v, &options,
                    &err),
              &err);
    assert_int_equal(v.targets.n, 2);
    assert_string_equal(v.targets.item[0].host, "c");
    options_free(&options);
}

static void the_default_file_is_read_where_it_exists(void **state)
{
    struct place *place = *state;
    struct values v;
    struct options *options = NULL;
    struct error err = {0};
    const char *const *argv = ARGV("a.wav");
    assert_ok(parse(place, argv, &v, &options, &err), &err);
    assert_int_equal(v.threads, 2);
    options_free(&options);
    mkdir(support_format("%s/.config", place->folder), 0700);
    mkdir(support_format("%s/.config/specasr", place->folder), 0700);
    write_file(place, ".config/specasr/probe.conf", "threads = 7\n");
    assert_ok(parse(place, argv, &v, &options, &err), &err);
    assert_int_equal(v.threads, 7);
    options_free(&options);
    assert_ok(parse(place, ARGV("--no-config"), &v, &options, &err), &err);
    assert_int_equal(v.threads, 2);
    options_free(&options);
    mkdir(support_format("%s/specasr", place->folder), 0700);
    write_file(place, "specasr/probe.conf", "threads = 9\n");
    place->environment.config_home = place->folder;
    assert_ok(parse(place, argv, &v, &options, &err), &err);
    assert_int_equal(v.threads, 9);
    options_free(&options);
}

static void a_named_file_must_exist(void **state)
{
    struct values v;
    struct options *options = NULL;
    struct error err = {0};
    assert_int_equal(parse(*state, ARGV("--config=/nonexistent/x"), &v, &options, &err),
                     STATUS_NOT_FOUND);
    assert_string_equal(err.text, "--config /nonexistent/x: No such file or directory");
}

static void mistakes_name_file_line_and_remedy(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"threads = 4\nthreads = 5\n", ":2: \"threads\" was set in line 1 already"},
        {"\n\nthraeds = 4\n", ":3: unknown option \"thraeds\" (did you mean \"threads\"?)"},
        {"threads 4\n", ":1: expected `name = value`"},
        {"= 4\n", ":1: expected `name = value`"},
        {"[section]\n", ":1: expected `name = value`"},
        {"name = \"open\n", ":1: the closing quote is missing"},
        {"name = \"a\" b\n", ":1: something follows the closing quote"},
        {"threads = 0\n", ":1: threads: expected a whole number from 1 to 256, not \"0\""},
        {"threads =\n", ":1: threads: expected a whole number from 1 to 256, not \"\""},
        {"help = yes\n", ":1: \"help\" belongs on the command line"},
        {"zzzz = 1\n", ":1: unknown option \"zzzz\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *path = write_file(*state, "bad.conf", cases[i].text);
        struct values v;
        struct options *options = NULL;
        struct error err = {0};
        assert_int_equal(parse(*state, ARGV("--config", path), &v, &options, &err),
                         STATUS_INVALID);
        assert_string_equal(err.text, support_format("%s%s", path, cases[i].error));
    }
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    struct values v = {0};
    struct options *options = NULL;
    struct error err = {0};
    assert_ok(parse(*state, ARGV("--no-config"), &v, &options, &err), &err);
    static const char zero[] = "name = a\0b\n";
    assert_int_equal(options_apply_text(options, "x", zero, sizeof(zero) - 1, &err),
                     STATUS_INVALID);
    assert_string_equal(err.text, "x:1: not a text file");
    char big[8192];
    memset(big, 'a', sizeof(big));
    assert_int_equal(options_apply_text(options, "x", big, sizeof(big), &err), STATUS_INVALID);
    assert_string_equal(err.text, "x:1: line too long");
    options_free(&options);
}

static char *print_config(const struct options *options)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    options_print_config(options, out);
    fclose(out);
    return text;
}

static void printed_configuration_reads_back_the_same(void **state)
{
    const char *path = write_file(*state, "a.conf", "threads = 4\n");
    struct values v, again;
    struct options *options = NULL;
    struct error err = {0};
    assert_ok(parse(*state,
                    ARGV("--config", path, "-n", " # \"q\\", "--no-timestamps", "--target=a:1",
                         "--target=[::1]:2", "--listen=h:0", "--model=~/x y"),
                    &v, &options, &err),
              &err);
    char *text = print_config(options);
    assert_non_null(strstr(text, support_format("\nthreads = 4  # %s:1\n", path)));
    assert_non_null(strstr(text, "\ntimestamps = no  # command line\n"));
    assert_non_null(strstr(text, "\ncache = 64M  # default\n"));
    assert_non_null(strstr(text, "\nmodel = ~/x y  # command line\n"));
    const char *second = write_file(*state, "b.conf", text);
    struct options *options_again = NULL;
    assert_ok(parse(*state, ARGV("--config", second), &again, &options_again, &err), &err);
    assert_string_equal(v.name, again.name);
    assert_string_equal(v.model, again.model);
    v.name = again.name = v.model = again.model = NULL;
    assert_memory_equal(&v, &again, sizeof(v));
    free(text);
    options_free(&options);
    options_free(&options_again);
}

static void a_reload_takes_what_is_marked(void **state)
{
    const char *path = write_file(*state, "a.conf", "row-price = 4\nname = before\ncache = 8M\n");
    struct values v;
    struct options *options = NULL;
    struct option_reload found;
    struct error err = {0};
    assert_ok(parse(*state, ARGV("--deadline=7s", "--config", path), &v, &options, &err), &err);
    assert_ok(options_reload(options, &found, &err), &err);
    assert_string_equal(found.taken, "");
    assert_string_equal(found.waiting, "");
    write_file(*state, "a.conf", "row-price = 5\nname = after\ndeadline = 1s\nverbose = yes\n");
    assert_ok(options_reload(options, &found, &err), &err);
    assert_string_equal(found.taken, "--row-price, --verbose, --cache");
    assert_string_equal(found.waiting, "--name");
    assert_true(v.price > 4.9 && v.price < 5.1);
    assert_true(v.verbose);
    assert_int_equal(v.cache, 64 << 20);            /* gone from the file: the default again */
    assert_true(v.deadline > 6.9 && v.deadline < 7.1);  /* the command line wins */
    assert_string_equal(v.name, "before");
    assert_ok(options_reload(options, &found, &err), &err);
    assert_string_equal(found.taken, "");
    assert_string_equal(found.waiting, "--name");
    options_free(&options);
}

static void a_reload_of_a_bad_file_changes_nothing(void **state)
{
    const char *path = write_file(*state, "a.conf", "row-price = 4\n");
    struct values v;
    struct options *options = NULL;
    struct option_reload found;
    struct error err = {0};
    assert_ok(parse(*state, ARGV("--config", path), &v, &options, &err), &err);
    write_file(*state, "a.conf", "row-price = 5\nformat = wrong\n");
    assert_int_equal(options_reload(options, &found, &err), STATUS_INVALID);
    assert_non_null(strstr(err.text, "a.conf:2"));
    assert_true(v.price > 3.9 && v.price < 4.1);
    assert_int_equal(remove(path), 0);
    assert_int_equal(options_reload(options, &found, &err), STATUS_NOT_FOUND);
    assert_true(v.price > 3.9 && v.price < 4.1);
    options_free(&options);
    assert_ok(parse(*state, ARGV("--no-config"), &v, &options, &err), &err);
    assert_ok(options_reload(options, &found, &err), &err);
    assert_null(found.path);
    options_free(&options);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, place_new, place_free)
    const struct CMUnitTest tests[] = {
        TEST(file_overrides_defaults_and_command_line_the_file),
        TEST(a_list_from_the_command_line_replaces_that_of_the_file),
        TEST(the_default_file_is_read_where_it_exists),
        TEST(a_named_file_must_exist),
        TEST(mistakes_name_file_line_and_remedy),
        TEST(bytes_that_are_no_text_are_refused),
        TEST(printed_configuration_reads_back_the_same),
        TEST(a_reload_takes_what_is_marked),
        TEST(a_reload_of_a_bad_file_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
