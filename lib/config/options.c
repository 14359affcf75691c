/* options.c: the command line, and how values reach the program's struct.
 *
 *     table's initial  ->  configuration file  ->  command line          (the later one wins)
 *
 * The command line is scanned once into a list, because --config may stand anywhere in it; the
 * file is applied before the list is.
 */
#include "config/options.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/options_int.h"

enum { CONFIG_BYTES_MAX = 1 << 20 };

const struct option option_builtins[OPTION_BUILTIN_N] = {
    [BUILTIN_CONFIG] = {.name = "config", .type = OPTION_PATH, .value_name = "FILE",
                        .help = "Read options from FILE (lines `name = value`); --no-config reads "
                                "none."},
    [BUILTIN_PRINT_CONFIG] = {.name = "print-config", .type = OPTION_BOOL,
                              .help = "Print every option's value and where it came from, in the "
                                      "form of a configuration file."},
    [BUILTIN_HELP] = {.name = "help", .short_name = 'h', .type = OPTION_BOOL,
                      .help = "Print this page."},
    [BUILTIN_VERSION] = {.name = "version", .type = OPTION_BOOL,
                         .help = "Print name and version."},
};

/* What the scan of the command line collects. */
struct scan {
    struct options *options;
    const char *const *argv;
    uint32_t at;                        /* the argument in hand */
    struct option_given *given;         /* [number of arguments] */
    uint32_t n_given;
    const char *config;                 /* --config FILE */
};

int options_find(const struct option_program *program, const char *name, size_t n)
{
    for (size_t i = 0; i < program->n_options; i++)
        if (strncmp(program->options[i].name, name, n) == 0 && !program->options[i].name[n])
            return (int)i;
    return -1;
}

static int find_builtin(const char *name, size_t n)
{
    for (int i = 0; i < OPTION_BUILTIN_N; i++)
        if (strncmp(option_builtins[i].name, name, n) == 0 && !option_builtins[i].name[n])
            return i;
    return -1;
}

static int find_short(const struct option_program *program, char name)
{
    for (size_t i = 0; i < program->n_options; i++)
        if (program->options[i].short_name == name && name)
            return (int)i;
    return -1;
}

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "out of memory while reading options");
}

enum status options_set_defaults(struct options *options, struct error *err)
{
    const struct option_program *program = options->program;
    for (size_t i = 0; i < program->n_options; i++) {
        const struct option *option = &program->options[i];
        SA_ASSERT(option->name && option->help && option->group);
        SA_ASSERT(find_builtin(option->name, strlen(option->name)) < 0);
        SA_ASSERT(option->type != OPTION_CHOICE || option->choices);
        SA_ASSERT(options_find(program, option->name, strlen(option->name)) == (int)i);
        SA_ASSERT(option->short_name != 'h');
        SA_ASSERT(!option->reloads || option_reload_possible(option));
        if (!option->initial)
            continue;
        void *value = (char *)options->values + option->offset;
        enum status status = option_value_parse(option, option->initial, value, err);
        if (status != STATUS_OK)
            return error_prefix(err, "default of --%s", option->name);
    }
    return STATUS_OK;
}

/* "a:1" + "b:2" -> "a:1,b:2" for an option that was repeated in the same place; else a copy. */
static char *joined_text(const struct option *option, const struct option_entry *entry,
                         const struct option_given *given)
{
    bool joins = option->type == OPTION_ADDRESSES && entry->text && entry->origin == given->origin;
    if (!joins)
        return strdup(given->text);
    char *text = NULL;
    return asprintf(&text, "%s,%s", entry->text, given->text) < 0 ? NULL : text;
}

enum status options_set(struct options *options, const struct option_given *given,
                        struct error *err)
{
    const struct option *option = &options->program->options[given->index];
    struct option_entry *entry = &options->entries[given->index];
    void *value = (char *)options->values + option->offset;
    char *expanded = NULL;
    char *text = joined_text(option, entry, given);
    if (!text)
        return no_memory(err);
    bool home = option->type == OPTION_PATH && options->home && strncmp(text, "~/", 2) == 0;
    if (home && asprintf(&expanded, "%s%s", options->home, text + 1) < 0) {
        free(text);
        return no_memory(err);
    }
    enum status status = option_value_parse(option, expanded ? expanded : text, value, err);
    if (status != STATUS_OK) {
        error_prefix(err, "%s", given->where);
        free(expanded);
        free(text);
        return status;
    }
    free(entry->text);
    free(entry->expanded);
    *entry = (struct option_entry){
        .origin = given->origin, .line = given->line, .text = text, .expanded = expanded};
    return STATUS_OK;
}

static enum status unknown(const struct options *options, const char *name, struct error *err)
{
    const char *bare = strncmp(name, "no-", 3) == 0 ? name + 3 : name;
    const char *nearest = options_nearest(options->program, bare);
    if (nearest)
        return error_set(err, STATUS_INVALID, "unknown option --%.60s (did you mean --%s%s?)", name,
                         bare == name ? "" : "no-", nearest);
    return error_set(err, STATUS_INVALID, "unknown option --%.60s", name);
}

/* The value after an option that needs one. "--model --threads 4" is a forgotten value, not a
 * name. */
static const char *next_value(struct scan *scan, const char *shown, struct error *err)
{
    const char *value = scan->argv[scan->at + 1];
    bool forgotten = !value;
    if (value && strncmp(value, "--", 2) == 0 && value[2]) {
        size_t n = strcspn(value + 2, "=");
        forgotten = options_find(scan->options->program, value + 2, n) >= 0 ||
                    find_builtin(value + 2, n) >= 0;
    }
    if (forgotten) {
        error_set(err, STATUS_INVALID, "%s needs a value", shown);
        return NULL;
    }
    scan->at++;
    return value;
}

static void take(struct scan *scan, int index, const char *text, const char *where)
{
    scan->given[scan->n_given++] = (struct option_given){
        .index = (uint32_t)index, .text = text, .origin = ORIGIN_COMMAND_LINE, .where = where};
}

static enum status take_builtin(struct scan *scan, int builtin, const char *value,
                                struct error *err)
{
    static const enum options_action actions[OPTION_BUILTIN_N] = {
        [BUILTIN_PRINT_CONFIG] = OPTIONS_PRINT_CONFIG,
        [BUILTIN_HELP] = OPTIONS_HELP,
        [BUILTIN_VERSION] = OPTIONS_VERSION};
    if (builtin == BUILTIN_CONFIG) {
        scan->config = value ? value : next_value(scan, "--config", err);
        return scan->config ? STATUS_OK : STATUS_INVALID;
    }
    if (value)
        return error_set(err, STATUS_INVALID, "--%s takes no value",
                         option_builtins[builtin].name);
    if (scan->options->action == OPTIONS_RUN || builtin == BUILTIN_HELP)
        scan->options->action = actions[builtin];
    return STATUS_OK;
}

/* "--name", "--name=value", "--no-name"; the text after the dashes is in `name`. */
static enum status scan_long(struct scan *scan, const char *name, struct error *err)
{
    const struct option_program *program = scan->options->program;
    size_t n = strcspn(name, "=");
    const char *value = name[n] ? name + n + 1 : NULL;
    int builtin = find_builtin(name, n);
    if (builtin >= 0)
        return take_builtin(scan, builtin, value, err);
    if (strcmp(name, "no-config") == 0) {
        scan->options->config_off = true;
        return STATUS_OK;
    }
    int index = options_find(program, name, n);
    if (index < 0 && strncmp(name, "no-", 3) == 0 && n > 3) {
        int positive = options_find(program, name + 3, n - 3);
        if (positive >= 0 && program->options[positive].type != OPTION_BOOL)
            return error_set(err, STATUS_INVALID, "--%s is not a switch: there is no --no-%s",
                             program->options[positive].name, program->options[positive].name);
        if (positive >= 0 && value)
            return error_set(err, STATUS_INVALID, "--no-%s takes no value",
                             program->options[positive].name);
        if (positive >= 0) {
            take(scan, positive, "no", program->options[positive].name);
            return STATUS_OK;
        }
    }
    if (index < 0)
        return unknown(scan->options, name, err);
    const struct option *option = &program->options[index];
    char shown[80];
    snprintf(shown, sizeof(shown), "--%.70s", option->name);
    if (!value)
        value = option->type == OPTION_BOOL ? "yes" : next_value(scan, shown, err);
    if (!value)
        return STATUS_INVALID;
    take(scan, index, value, option->name);
    return STATUS_OK;
}

/* "-t 4", "-t4", "-ab" for switches. */
static enum status scan_short(struct scan *scan, const char *letters, struct error *err)
{
    const struct option_program *program = scan->options->program;
    for (const char *at = letters; *at; at++) {
        if (*at == 'h') {
            scan->options->action = OPTIONS_HELP;
            continue;
        }
        int index = find_short(program, *at);
        if (index < 0)
            return error_set(err, STATUS_INVALID, "unknown option -%c in -%.40s", *at, letters);
        const struct option *option = &program->options[index];
        if (option->type == OPTION_BOOL) {
            take(scan, index, "yes", option->name);
            continue;
        }
        char shown[96];
        snprintf(shown, sizeof(shown), "-%c (--%.70s)", *at, option->name);
        const char *value = at[1] ? at + 1 : next_value(scan, shown, err);
        if (!value)
            return STATUS_INVALID;
        take(scan, index, value, option->name);
        break;
    }
    return STATUS_OK;
}

static enum status scan_arguments(struct scan *scan, struct error *err)
{
    struct options *options = scan->options;
    bool only_positional = false;
    for (scan->at = 1; scan->argv[0] && scan->argv[scan->at]; scan->at++) {
        const char *argument = scan->argv[scan->at];
        enum status status = STATUS_OK;
        if (!only_positional && strcmp(argument, "--") == 0)
            only_positional = true;
        else if (!only_positional && strncmp(argument, "--", 2) == 0)
            status = scan_long(scan, argument + 2, err);
        else if (!only_positional && argument[0] == '-' && argument[1])
            status = scan_short(scan, argument + 1, err);
        else if (options->n_positional == options->program->positional_max)
            status = error_set(err, STATUS_INVALID, "unexpected argument \"%.60s\"%s", argument,
                               options->program->positional_max ? ": too many" : "");
        else
            options->positional[options->n_positional++] = argument;
        if (status != STATUS_OK)
            return status;
        if (options->action == OPTIONS_HELP)
            return STATUS_OK; /* whoever asks for help gets it, whatever follows */
    }
    return STATUS_OK;
}

/* Reads a whole file; *out is malloc'ed. */
static enum status read_file(FILE *file, const char *path, char **out, size_t *n,
                             struct error *err)
{
    char *text = malloc(CONFIG_BYTES_MAX);
    if (!text)
        return no_memory(err);
    *n = fread(text, 1, CONFIG_BYTES_MAX, file);
    enum status status = STATUS_OK;
    if (ferror(file))
        status = error_set(err, STATUS_IO, "%s: %m", path);
    else if (*n == CONFIG_BYTES_MAX)
        status = error_set(err, STATUS_INVALID, "%s: over 1 MiB: not a configuration file", path);
    if (status != STATUS_OK)
        free(text);
    else
        *out = text;
    return status;
}

enum status options_apply_path(struct options *options, const char *path, struct error *err)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return error_set(err, STATUS_NOT_FOUND, "--config %s: %m", path);
    char *text = NULL;
    size_t n = 0;
    enum status status = read_file(file, path, &text, &n, err);
    fclose(file);
    if (status == STATUS_OK)
        status = options_apply_text(options, path, text, n, err);
    free(text);
    return status;
}

/* The named file, else the default one if it exists. */
static enum status apply_file(struct options *options, const char *named,
                              const struct option_environment *environment, struct error *err)
{
    const char *base = environment->config_home;
    int rc = 0;
    if (named)
        rc = asprintf(&options->config_path, "%s", named);
    else if (options->config_off || (!(base && *base) && !environment->home))
        return STATUS_OK;
    else if (base && *base)
        rc = asprintf(&options->config_path, "%s/specasr/%s.conf", base, options->program->name);
    else
        rc = asprintf(&options->config_path, "%s/.config/specasr/%s.conf", environment->home,
                      options->program->name);
    if (rc < 0) {
        options->config_path = NULL;
        return no_memory(err);
    }
    if (named || access(options->config_path, F_OK) == 0)
        return options_apply_path(options, options->config_path, err);
    free(options->config_path);
    options->config_path = NULL;
    return STATUS_OK;
}

static enum status apply_command_line(struct scan *scan, struct error *err)
{
    for (uint32_t i = 0; i < scan->n_given; i++) {
        char where[80];
        snprintf(where, sizeof(where), "--%.70s", scan->given[i].where);
        scan->given[i].where = where;
        enum status status = options_set(scan->options, &scan->given[i], err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status parse_all(struct scan *scan, const struct option_environment *environment,
                             struct error *err)
{
    struct options *options = scan->options;
    enum status status = options_set_defaults(options, err);
    if (status == STATUS_OK)
        status = scan_arguments(scan, err);
    if (status != STATUS_OK || options->action == OPTIONS_HELP ||
        options->action == OPTIONS_VERSION)
        return status;
    status = apply_file(options, scan->config, environment, err);
    return status == STATUS_OK ? apply_command_line(scan, err) : status;
}

enum status options_parse(const struct option_program *program,
                          const struct option_environment *environment, const char *const *argv,
                          void *values, struct options **out, struct error *err)
{
    size_t n = 0;
    while (argv[n])
        n++;
    struct options *options = calloc(1, sizeof(*options));
    size_t n_letters = 0; /* "-abc" gives one value per letter */
    for (size_t i = 0; i < n; i++)
        n_letters += strlen(argv[i]);
    struct scan scan = {.options = options, .argv = argv};
    scan.given = calloc(n + n_letters + 1, sizeof(*scan.given));
    enum status status = STATUS_NO_MEMORY;
    if (options) {
        options->entries = calloc(program->n_options + 1, sizeof(*options->entries));
        options->positional = calloc(n + 1, sizeof(*options->positional));
    }
    if (!options || !scan.given || !options->entries || !options->positional) {
        status = no_memory(err);
    } else {
        options->program = program;
        options->home = environment->home;
        options->columns = environment->columns;
        options->values = values;
        status = parse_all(&scan, environment, err);
        options->home = NULL;
    }
    free(scan.given);
    if (status == STATUS_OK)
        *out = options;
    else
        options_free(&options);
    return status;
}

void options_free(struct options **options)
{
    struct options *o = options ? *options : NULL;
    if (!o)
        return;
    for (size_t i = 0; o->entries && i < o->program->n_options; i++) {
        free(o->entries[i].text);
        free(o->entries[i].expanded);
    }
    free(o->entries);
    free(o->positional);
    free(o->config_path);
    free(o);
    *options = NULL;
}

enum options_action options_action(const struct options *options)
{
    return options->action;
}

const char *const *options_positional(const struct options *options, uint32_t *n)
{
    *n = options->n_positional;
    return options->positional;
}

bool options_given(const struct options *options, const char *name)
{
    int index = options_find(options->program, name, strlen(name));
    SA_ASSERT(index >= 0);
    return options->entries[index].origin != ORIGIN_DEFAULT;
}
