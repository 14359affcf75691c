/* options_int.h: the parts of the option parser, shared by its files and by its fuzz entry. */
#ifndef CONFIG_OPTIONS_INT_H
#define CONFIG_OPTIONS_INT_H

#include "config/options.h"

enum option_origin { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_COMMAND_LINE };

/* What is known of one option of the table. */
struct option_entry {
    enum option_origin origin;
    uint32_t line;                      /* ORIGIN_FILE: in the configuration file */
    char *text;                         /* as given, owned; NULL while the default holds */
    char *expanded;                     /* a path with its home folder put in, owned, or NULL */
};

struct options {
    const struct option_program *program;
    const char *home;                   /* borrowed during the parse only */
    uint32_t columns;
    void *values;
    enum options_action action;
    struct option_entry *entries;       /* [program->n_options] */
    char *config_path;                  /* the file that was read, owned; NULL: none */
    bool config_off;                    /* --no-config */
    const char **positional;            /* [n_positional + 1], the array is owned */
    uint32_t n_positional;
};

/* The options that every program has; entries 0..OPTION_BUILTIN_N - 1. */
enum { BUILTIN_CONFIG, BUILTIN_PRINT_CONFIG, BUILTIN_HELP, BUILTIN_VERSION, OPTION_BUILTIN_N };
extern const struct option option_builtins[OPTION_BUILTIN_N];

/* Defaults into values; asserts on a table that contradicts itself. */
MUST_CHECK enum status options_set_defaults(struct options *options, struct error *err);

/* One value from the file or the command line. The text is copied. `where` is how errors name
 * it. */
struct option_given {
    uint32_t index;                     /* in the program's table */
    const char *text;
    enum option_origin origin;
    uint32_t line;
    const char *where;                  /* "--threads" or "FILE:12: threads" */
};
MUST_CHECK enum status options_set(struct options *options, const struct option_given *given,
                                   struct error *err);

/* Reads the text of a configuration file; `path` stands in errors. Any bytes are survived. */
MUST_CHECK enum status options_apply_text(struct options *options, const char *path,
                                          const char *text, size_t n, struct error *err);

/* Reads a configuration file that has to be there. */
MUST_CHECK enum status options_apply_path(struct options *options, const char *path,
                                          struct error *err);

/* Can this type of option be taken while the program runs? */
bool option_reload_possible(const struct option *option);

/* Converts text to the option's value at `value`. For STRING and PATH the pointer is stored. */
MUST_CHECK enum status option_value_parse(const struct option *option, const char *text,
                                          void *value, struct error *err);

/* Index in the program's table, or -1. */
int options_find(const struct option_program *program, const char *name, size_t n);

/* The name most like `name` among the table's and the built-in ones, or NULL if none is near. */
const char *options_nearest(const struct option_program *program, const char *name);

/* Likewise among `n` names. */
const char *nearest_name(const char *name, const char *const *names, size_t n);

#endif
