#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

/* Parses the arguments (after the program name) without a configuration file. */
static enum status parse(const char *const *arguments, struct values *values,
                         struct options **options, struct error *err)
{
    const char *argv[16] = {"probe"};
    size_t n = 1;
    for (; *arguments; arguments++)
        argv[n++] = *arguments;
    memset(values, 0, sizeof(*values));
    struct option_environment none = {0};
    return options_parse(&program, &none, argv, values, options, err);
}

#define ARGS(...) (const char *const[]){__VA_ARGS__, NULL}

static struct values parse_good(const char *const *arguments, struct options **options)
{
    struct error err = {0};
    struct values values;
    assert_ok(parse(arguments, &values, options, &err), &err);
    return values;
}

static void assert_refused(const char *const *arguments, const char *text)
{
    struct values values;
    struct options *options = NULL;
    struct error err = {0};
    assert_int_equal(parse(arguments, &values, &options, &err), STATUS_INVALID);
    assert_string_equal(err.text, text);
    assert_null(options);
}

static void defaults_hold_when_nothing_is_given(void **state)
{
    (void)state;
    struct options *options = NULL;
    struct values v = parse_good((const char *const[]){NULL}, &options);
    assert_int_equal(v.threads, 2);
    assert_true(v.price == -1);
    assert_true(v.timestamps);
    assert_false(v.verbose);
    assert_null(v.name);
    assert_int_equal(v.format, 0);
    assert_string_equal(v.listen.host, "");
    assert_int_equal(v.targets.n, 0);
    assert_int_equal(v.cache, 64 << 20);
    assert_true(v.deadline == 5);
    assert_false(options_given(options, "threads"));
    options_free(&options);
    assert_null(options);
}

static void every_form_of_an_option_is_understood(void **state)
{
    (void)state;
    struct options *options = NULL;
    struct values v = parse_good(ARGS("--threads=4", "--row-price", "-0.5", "--no-timestamps", "-v",
                                      "-nAnna", "-m", "x.gguf", "--format=json"),
                                 &options);
    assert_int_equal(v.threads, 4);
    assert_true(v.price == -0.5);
    assert_false(v.timestamps);
    assert_true(v.verbose);
    assert_string_equal(v.name, "Anna");
    assert_string_equal(v.model, "x.gguf");
    assert_int_equal(v.format, 1);
    assert_true(options_given(options, "threads"));
    options_free(&options);
    v = parse_good(ARGS("-vt8", "--timestamps=no", "--name=", "--deadline", "250ms", "--cache=2K"),
                   &options);
    assert_int_equal(v.threads, 8);
    assert_true(v.verbose);
    assert_false(v.timestamps);
    assert_string_equal(v.name, "");
    assert_true(v.deadline == 0.25);
    assert_int_equal(v.cache, 2048);
    options_free(&options);
}

static void the_last_of_a_repeated_option_wins(void **state)
{
    (void)state;
    struct options *options = NULL;
    struct values v = parse_good(ARGS("-t1", "--threads=3", "-v", "--no-verbose"), &options);
    assert_int_equal(v.threads, 3);
    assert_false(v.verbose);
    options_free(&options);
}

static void free_arguments_keep_their_order(void **state)
{
    (void)state;
    struct options *options = NULL;
    parse_good(ARGS("a.wav", "-t1", "-", "--", "--verbose"), &options);
    uint32_t n = 0;
    const char *const *files = options_positional(options, &n);
    assert_int_equal(n, 3);
    assert_string_equal(files[0], "a.wav");
    assert_string_equal(files[1], "-");
    assert_string_equal(files[2], "--verbose");
    assert_null(files[3]);
    options_free(&options);
    assert_refused(ARGS("a", "b", "c", "d"), "unexpected argument \"d\": too many");
}

static void addresses_are_read_in_all_forms(void **state)
{
    (void)state;
    struct options *options = NULL;
    struct values v = parse_good(ARGS("--listen=127.0.0.1:0", "--target", "a.example:7600",
                                      "--target=[::1]:7601,10.0.0.2:65535"),
                                 &options);
    assert_string_equal(v.listen.host, "127.0.0.1");
    assert_int_equal(v.listen.port, 0);
    assert_int_equal(v.targets.n, 3);
    assert_string_equal(v.targets.item[0].host, "a.example");
    assert_string_equal(v.targets.item[1].host, "::1");
    assert_int_equal(v.targets.item[2].port, 65535);
    char text[OPTION_HOST_MAX + 9];
    option_address_format(&v.targets.item[1], text, sizeof(text));
    assert_string_equal(text, "[::1]:7601");
    option_address_format(&v.targets.item[0], text, sizeof(text));
    assert_string_equal(text, "a.example:7600");
    options_free(&options);
}

static void broken_addresses_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",        "host",   ":1",      "host:",    "host:65536",
                                      "host:-1", "host: 1", "host:1x", "::1:7600", "[::1]7600",
                                      "[::1",    "a b:1",  "a/b:1",   "[]:1",     "u@h:1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct option_address address;
        struct error err = {0};
        if (option_address_parse(bad[i], &address, &err) != STATUS_INVALID)
            fail_msg("accepted \"%s\"", bad[i]);
        assert_non_null(strstr(err.text, "127.0.0.1:7600"));
    }
    assert_refused(ARGS("--target", "h:0"),
                   "--target: expected a port from 1 to 65535 in \"h:0\"");
    assert_refused(ARGS("--target=a:1,b:2,c:3,d:4,e:5,f:6,g:7,h:8,i:9"),
                   "--target: expected at most 8 addresses");
}

static void numbers_outside_their_range_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"0", "257", "x", "", "4x", " 4", "1.5",
                                      "99999999999999999999"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_refused(ARGS("--threads", bad[i]),
                       support_format("--threads: expected a whole number from 1 to 256, "
                                      "not \"%s\"",
                                      bad[i]));
    static const char *const bad_price[] = {"nan", "inf", "0x1", "-1.01", "", "1e999", "-"};
    for (size_t i = 0; i < ARRAY_LEN(bad_price); i++)
        assert_refused(ARGS("--row-price", bad_price[i]),
                       support_format("--row-price: expected a number from -1 to 100, not \"%s\"",
                                      bad_price[i]));
    assert_refused(ARGS("--deadline=5x"),
                   "--deadline: expected a time such as 250ms, 5s or 2m, from 0.001 s to 3600 s, "
                   "not \"5x\"");
    assert_refused(ARGS("--cache=12"),
                   "--cache: expected bytes such as 4096, 64K, 10M or 2G from 1024 to "
                   "1000000000000, not \"12\"");
}

static void a_slip_is_answered_with_the_nearest_name(void **state)
{
    (void)state;
    assert_refused(ARGS("--thraeds=4"), "unknown option --thraeds=4 (did you mean --threads?)");
    assert_refused(ARGS("--no-timestamp"),
                   "unknown option --no-timestamp (did you mean --no-timestamps?)");
    assert_refused(ARGS("--hlep"), "unknown option --hlep (did you mean --help?)");
    assert_refused(ARGS("--dead"), "unknown option --dead (did you mean --deadline?)");
    assert_refused(ARGS("--zzz"), "unknown option --zzz");
    assert_refused(ARGS("-x"), "unknown option -x in -x");
    assert_refused(ARGS("--format=jsn"),
                   "--format: expected one of text, json, srt, not \"jsn\" (did you mean "
                   "\"json\"?)");
}

static void misuse_is_refused_in_one_line(void **state)
{
    (void)state;
    assert_refused(ARGS("--threads"), "--threads needs a value");
    assert_refused(ARGS("-m"), "-m (--model) needs a value");
    assert_refused(ARGS("--model", "--threads", "4"), "--model needs a value");
    assert_refused(ARGS("--model="), "--model: expected a file name, not \"\"");
    assert_refused(ARGS("--no-threads"), "--threads is not a switch: there is no --no-threads");
    assert_refused(ARGS("--no-verbose=yes"), "--no-verbose takes no value");
    assert_refused(ARGS("--verbose=maybe"), "--verbose: expected yes or no, not \"maybe\"");
    assert_refused(ARGS("--help=1"), "--help takes no value");
    assert_refused(ARGS("--config"), "--config needs a value");
    assert_refused(ARGS("--name=a\nb"), "--name: expected a single line");
}

static void help_is_given_even_among_mistakes(void **state)
{
    (void)state;
    struct options *options = NULL;
    parse_good(ARGS("--version", "--help", "--nonsense"), &options);
    assert_int_equal(options_action(options), OPTIONS_HELP);
    options_free(&options);
    parse_good(ARGS("--version"), &options);
    assert_int_equal(options_action(options), OPTIONS_VERSION);
    options_free(&options);
    parse_good(ARGS("--print-config", "a.wav"), &options);
    assert_int_equal(options_action(options), OPTIONS_PRINT_CONFIG);
    options_free(&options);
}

static char *help_page(uint32_t columns)
{
    const char *argv[] = {"probe", "-h", NULL};
    struct option_environment environment = {.columns = columns};
    struct values values;
    struct options *options = NULL;
    struct error err = {0};
    memset(&values, 0, sizeof(values));
    assert_ok(options_parse(&program, &environment, argv, &values, &options, &err), &err);
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    options_print_help(options, out);
    fclose(out);
    options_free(&options);
    return text;
}

static void help_teaches_within_the_width(void **state)
{
    (void)state;
    static const uint32_t widths[] = {20, 50, 72, 80, 0, 400};
    for (size_t w = 0; w < ARRAY_LEN(widths); w++) {
        char *text = help_page(widths[w]);
        size_t limit = widths[w] == 0 ? 80 : MAX(50, MIN(widths[w], 100));
        for (const char *line = text; *line;) {
            size_t n = strcspn(line, "\n");
            if (n >= limit)
                fail_msg("%zu columns in a width of %u: %.*s", n, widths[w], (int)n, line);
            line += n + (line[n] == '\n');
        }
        for (size_t i = 0; i < program.n_options; i++)
            assert_non_null(strstr(text, table[i].name));
        assert_non_null(strstr(text, "Usage: probe [options] FILE...\n"));
        assert_non_null(strstr(text, "\nSpeed:\n"));
        assert_null(strstr(strstr(text, "\nSpeed:\n") + 1, "\nSpeed:\n"));
        assert_true(strstr(text, "--deadline") < strstr(text, "\nText:\n"));
        assert_non_null(strstr(text, "\n  -t, --threads N"));
        assert_non_null(strstr(text, "--[no-]timestamps"));
        assert_non_null(strstr(text, "Examples:\n  probe --threads 4 a.flac\n  probe -\n"));
        assert_non_null(strstr(text, "Exit codes: 0 done"));
        free(text);
    }
    char *text = help_page(100);
    assert_non_null(strstr(text, "[1 to 256; default: 2]"));
    assert_non_null(strstr(text, "[text, json, srt; default: text]"));
    free(text);
}

/* Where clients need not be known, and keys may go in plain text: no name of elsewhere. */
static void loopback_is_this_machine_alone(void **state)
{
    static const char *const here[] = {"127.0.0.1", "127.1.2.3", "::1", "localhost"};
    static const char *const elsewhere[] = {"127.example.com", "127.0.0.1.example.com", "10.0.0.1",
                                            "0.0.0.0", "::", "localhost.example.com", ""};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(here); i++)
        assert_true(option_host_is_loopback(here[i]));
    for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
        assert_false(option_host_is_loopback(elsewhere[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_hold_when_nothing_is_given),
        cmocka_unit_test(every_form_of_an_option_is_understood),
        cmocka_unit_test(the_last_of_a_repeated_option_wins),
        cmocka_unit_test(free_arguments_keep_their_order),
        cmocka_unit_test(addresses_are_read_in_all_forms),
        cmocka_unit_test(broken_addresses_are_refused),
        cmocka_unit_test(numbers_outside_their_range_are_refused),
        cmocka_unit_test(a_slip_is_answered_with_the_nearest_name),
        cmocka_unit_test(misuse_is_refused_in_one_line),
        cmocka_unit_test(help_is_given_even_among_mistakes),
        cmocka_unit_test(help_teaches_within_the_width),
        cmocka_unit_test(loopback_is_this_machine_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
