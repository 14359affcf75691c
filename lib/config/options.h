/* options.h: one table of options per program is its command line, its configuration file, its
 * --help and its --print-config.
 *
 *     struct values { int64_t threads; const char *model; };
 *     static const struct option table[] = {
 *         {.name = "threads", .short_name = 't', .type = OPTION_INT, .min = 0, .max = 256,
 *          .initial = "0", .offset = offsetof(struct values, threads), .value_name = "N",
 *          .group = "Speed", .help = "Threads of the decoder; 0: one per core."},
 *         ...
 *
 * Where a value comes from, the later one wins: the table's `initial`, the configuration file
 * (--config FILE, else ${XDG_CONFIG_HOME:-~/.config}/specasr/PROGRAM.conf if it exists), the
 * command line. The file has lines `name = value`, `#` starts a comment line, quotes "..." keep
 * blanks. Command line: --name=value, --name value, -n value, -nvalue, --flag, --no-flag, `--`
 * ends options.
 *
 * No global state: values land in the caller's struct by offset; an object of struct options
 * owns the strings and remembers each value's origin.
 */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

/* What the text is and what lands at `offset`. */
enum option_type {
    OPTION_BOOL,        /* bool; command line: --name, --no-name; file: yes/no/true/false */
    OPTION_INT,         /* int64_t in [min, max] */
    OPTION_FLOAT,       /* double in [min, max] */
    OPTION_STRING,      /* const char *, borrowed until options_free; NULL when not given */
    OPTION_PATH,        /* const char *, likewise; a leading ~/ becomes the home folder */
    OPTION_CHOICE,      /* int: index into `choices` */
    OPTION_ADDRESS,     /* struct option_address; port 0 means "any free port" where min is 0 */
    OPTION_ADDRESSES,   /* struct option_addresses: "a:1,b:2", or the option repeated */
    OPTION_SIZE,        /* uint64_t bytes in [min, max]: 64K, 10M, 2G (powers of 1,024) */
    OPTION_DURATION     /* double seconds in [min, max]: 250ms, 5s, 2m, 1h; bare: seconds */
};

enum { OPTION_HOST_MAX = 256, OPTION_ADDRESSES_MAX = 8 };

struct option_address {
    char host[OPTION_HOST_MAX];         /* "" when not given; IPv6 without its brackets */
    uint16_t port;
};

struct option_addresses {
    uint32_t n;
    struct option_address item[OPTION_ADDRESSES_MAX];
};

struct option {
    const char *name;                   /* long name and key in the file, lower case with dashes */
    char short_name;                    /* 0: none; 'h' is taken */
    enum option_type type;
    size_t offset;                      /* of the value in the program's struct */
    double min, max;                    /* both 0: no limit (ADDRESS: ports from min) */
    const char *initial;                /* default as text; NULL: zero, NULL or not given */
    const char *const *choices;         /* OPTION_CHOICE: names, ended by NULL */
    const char *value_name;             /* "N", "FILE"; NULL: from the type */
    bool reloads;                       /* options_reload takes it; neither texts nor addresses */
    const char *group;                  /* heading in --help; its options are shown together */
    const char *help;                   /* one or more sentences; wrapped at the terminal's width */
};

/* A program, all of it borrowed for the life of the options made from it. */
struct option_program {
    const char *name;                   /* "draft_node": also names the configuration file */
    const char *version;
    const char *usage;                  /* after the name: "[options] FILE..." */
    const char *about;                  /* paragraphs separated by "\n\n"; teaches what it is for */
    const char *examples;               /* lines, printed with an indent; NULL: none */
    const struct option *options;
    size_t n_options;
    uint32_t positional_max;            /* 0: no free arguments */
};

/* What the parser may know of its surroundings; NULL or 0 where there is none. */
struct option_environment {
    const char *home;
    const char *config_home;            /* XDG_CONFIG_HOME */
    uint32_t columns;                   /* width for --help; 0: 80 */
};

struct option_environment option_environment_get(void);

enum options_action { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_PRINT_CONFIG };

struct options;

/* Fills `values` (the program's struct, laid out by the table) and *out; the caller frees *out with
 * options_free and not before it is done with strings in `values`. STATUS_INVALID: one line that
 * names the option, what was given, what is allowed and, for a typing slip, the nearest name.
 * STATUS_NOT_FOUND or _IO: the configuration file. A table that contradicts itself is a bug:
 * SA_ASSERT. */
MUST_CHECK enum status options_parse(const struct option_program *program,
                                     const struct option_environment *environment,
                                     const char *const *argv, void *values,
                                     struct options **out, struct error *err);
void options_free(struct options **options);

/* What the command line asks for; free arguments in order, borrowed, argv-style NULL at the end. */
enum options_action options_action(const struct options *options);
const char *const *options_positional(const struct options *options, uint32_t *n);

/* Was the option given in the file or on the command line? `name` must be in the table. */
bool options_given(const struct options *options, const char *name);

enum { OPTION_RELOAD_NAMES_MAX = 256 };

/* What a reload found: "--a, --b", cut when they are many; "": none. */
struct option_reload {
    const char *path;                   /* the file, borrowed; NULL: the program has none */
    char taken[OPTION_RELOAD_NAMES_MAX];
    char waiting[OPTION_RELOAD_NAMES_MAX];  /* changed too, but they need a restart */
};

/* Reads the configuration file again (on SIGHUP). What changed there of the options that are marked
 * lands in the program's struct, unless the command line said otherwise. A file with a fault
 * changes nothing: statuses as options_parse. */
MUST_CHECK enum status options_reload(struct options *options, struct option_reload *out,
                                      struct error *err);

/* The same, and says in the log how it went. */
void options_reload_logged(struct options *options);

/* The pages; --print-config can be used as a configuration file. */
void options_print_help(const struct options *options, FILE *out);
void options_print_config(const struct options *options, FILE *out);

/* For main(): parses with the process's environment, answers --help, --version and
 * --print-config on stdout, errors on stderr. True: go on; false: leave main with *exit_code. */
bool options_start(const struct option_program *program, int argc, char **argv, void *values,
                   struct options **out, int *exit_code);

/* Prints "PROGRAM: text. Try `PROGRAM --help`." to stderr; returns EXIT_CODE_USAGE. For checks
 * that span options. */
int options_usage_error(const struct option_program *program, const char *fmt, ...)
    PRINTF_LIKE(2, 3);

/* "host:port", "[v6]:port" -> *out. STATUS_INVALID with what is allowed. */
MUST_CHECK enum status option_address_parse(const char *text, struct option_address *out,
                                            struct error *err);

/* Does the host name this machine only: 127.x, ::1 or localhost? */
bool option_host_is_loopback(const char *host);

/* The text form, with brackets for IPv6; n at least OPTION_HOST_MAX + 9. */
void option_address_format(const struct option_address *address, char *text, size_t n);

#endif
