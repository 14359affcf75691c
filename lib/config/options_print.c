/* options_print.c: --help, --print-config, and the answers that main() gives by itself. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "config/exit_codes.h"
#include "config/options_int.h"

enum { HELP_INDENT = 28, HELP_COLUMNS_MIN = 50, HELP_COLUMNS_MAX = 100, HELP_COLUMNS = 80 };

/* Words that flow: the column in hand, the indent of the next lines, the right margin. */
struct flow {
    FILE *out;
    uint32_t column, indent, width;
};

static void flow_to(struct flow *flow, uint32_t column)
{
    for (; flow->column < column; flow->column++)
        fputc(' ', flow->out);
}

static void flow_line(struct flow *flow)
{
    fputc('\n', flow->out);
    flow->column = 0;
}

/* Paragraphs are separated by an empty line. */
static void flow_text(struct flow *flow, const char *text)
{
    while (*text) {
        if (strncmp(text, "\n\n", 2) == 0) {
            flow_line(flow);
            flow_line(flow);
            text += 2;
            continue;
        }
        text += strspn(text, " \n");
        uint32_t n = (uint32_t)strcspn(text, " \n");
        bool first = flow->column <= flow->indent;
        if (!first && flow->column + 1 + n > flow->width) {
            flow_line(flow);
            first = true;
        }
        flow_to(flow, first ? flow->indent : flow->column + 1);
        fwrite(text, 1, n, flow->out);
        flow->column += n;
        text += n;
    }
}

static const char *value_name(const struct option *option)
{
    static const char *const names[] = {
        [OPTION_BOOL] = "",         [OPTION_INT] = "N",          [OPTION_FLOAT] = "X",
        [OPTION_STRING] = "TEXT",   [OPTION_PATH] = "FILE",      [OPTION_CHOICE] = "NAME",
        [OPTION_ADDRESS] = "HOST:PORT", [OPTION_ADDRESSES] = "HOST:PORT",
        [OPTION_SIZE] = "BYTES",    [OPTION_DURATION] = "TIME"};
    return option->value_name ? option->value_name : names[option->type];
}

/* " [default: 4; 1 to 64]" or nothing. */
static void default_text(const struct option *option, char *text, size_t n)
{
    char range[96] = "";
    bool number = option->type == OPTION_INT || option->type == OPTION_FLOAT;
    if (number && (option->min != 0 || option->max != 0) && option->max < 1e9)
        snprintf(range, sizeof(range), "%.6g to %.6g", option->min, option->max);
    else if (option->type == OPTION_CHOICE) {
        size_t used = 0;
        for (size_t i = 0; option->choices[i] && used < sizeof(range); i++)
            used += (size_t)snprintf(range + used, sizeof(range) - used, "%s%s", i ? ", " : "",
                                     option->choices[i]);
    }
    text[0] = '\0';
    const char *initial = option->initial;
    if (initial && range[0])
        snprintf(text, n, " [%s; default: %s]", range, initial);
    else if (initial && *initial)
        snprintf(text, n, " [default: %s]", initial);
    else if (range[0])
        snprintf(text, n, " [%s]", range);
}

static void print_option(struct flow *flow, const struct option *option)
{
    char left[128], text[160];
    const char *name = value_name(option);
    bool is_switch = option->type == OPTION_BOOL;
    bool negatable = is_switch && option->group;
    char letter[8] = "    ";
    if (option->short_name)
        snprintf(letter, sizeof(letter), "-%c, ", option->short_name);
    snprintf(left, sizeof(left), "  %s--%s%s%s%s", letter, negatable ? "[no-]" : "", option->name,
             is_switch ? "" : " ", name);
    fputs(left, flow->out);
    flow->column = (uint32_t)strlen(left);
    if (flow->column + 2 > HELP_INDENT)
        flow_line(flow);
    flow->indent = HELP_INDENT;
    flow_to(flow, HELP_INDENT);
    flow_text(flow, option->help);
    if (option->reloads)
        flow_text(flow, "SIGHUP reads it again.");
    default_text(option, text, sizeof(text));
    flow_text(flow, text);
    flow_line(flow);
}

static void print_heading(struct flow *flow, const char *heading)
{
    fprintf(flow->out, "\n%s:\n", heading);
    flow->column = 0;
}

static void print_paragraph(struct flow *flow, const char *text)
{
    flow->indent = 0;
    flow->column = 0;
    flow_text(flow, text);
    flow_line(flow);
}

/* Groups come in the order in which the table names them first. */
static bool begins_group(const struct option_program *program, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(program->options[i].group, program->options[index].group) == 0)
            return false;
    return true;
}

static void print_examples(FILE *out, const char *lines)
{
    fputs("\nExamples:\n", out);
    while (*lines) {
        int n = (int)strcspn(lines, "\n");
        fprintf(out, "  %.*s\n", n, lines);
        lines += n + (lines[n] == '\n');
    }
}

void options_print_help(const struct options *options, FILE *out)
{
    const struct option_program *program = options->program;
    uint32_t columns = options->columns ? options->columns : HELP_COLUMNS;
    columns = MAX(HELP_COLUMNS_MIN, MIN(columns, HELP_COLUMNS_MAX));
    struct flow flow = {.out = out, .width = columns - 1};
    fprintf(out, "Usage: %s %s\n\n", program->name, program->usage);
    print_paragraph(&flow, program->about);
    for (size_t i = 0; i < program->n_options; i++) {
        if (!begins_group(program, i))
            continue;
        print_heading(&flow, program->options[i].group);
        for (size_t j = i; j < program->n_options; j++)
            if (strcmp(program->options[j].group, program->options[i].group) == 0)
                print_option(&flow, &program->options[j]);
    }
    print_heading(&flow, "General");
    for (size_t i = 0; i < OPTION_BUILTIN_N; i++)
        print_option(&flow, &option_builtins[i]);
    if (program->examples)
        print_examples(out, program->examples);
    char text[512];
    snprintf(text, sizeof(text),
             "Options can also stand in ${XDG_CONFIG_HOME:-~/.config}/specasr/%s.conf, one "
             "`name = value` a line without the dashes, # before a comment; the command line wins. "
             "--print-config shows what is in force.",
             program->name);
    fputc('\n', out);
    print_paragraph(&flow, text);
    fputc('\n', out);
    print_paragraph(&flow, "Exit codes: " EXIT_CODES_TEXT ".");
}

/* Bare where the file's grammar would read the same text back. */
static void print_value(const char *text, FILE *out)
{
    size_t n = strlen(text);
    bool plain = n > 0 && !strpbrk(text, "\"#\\") && text[0] != ' ' && text[n - 1] != ' ' &&
                 !strchr(text, '\t');
    if (plain) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++)
        fprintf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    fputc('"', out);
}

static void print_origin(const struct options *options, const struct option_entry *entry, FILE *out)
{
    if (entry->origin == ORIGIN_FILE)
        fprintf(out, "  # %s:%u\n", options->config_path ? options->config_path : "file",
                entry->line);
    else
        fputs(entry->origin == ORIGIN_COMMAND_LINE ? "  # command line\n" : "  # default\n", out);
}

static void print_setting(const struct options *options, size_t index, FILE *out)
{
    const struct option *option = &options->program->options[index];
    const struct option_entry *entry = &options->entries[index];
    const char *text = entry->text ? entry->text : option->initial;
    if (!text && option->type == OPTION_BOOL)
        text = "no";
    if (!text) {
        fprintf(out, "# %s =  (not given)\n", option->name);
        return;
    }
    fprintf(out, "%s = ", option->name);
    print_value(text, out);
    print_origin(options, entry, out);
}

void options_print_config(const struct options *options, FILE *out)
{
    const struct option_program *program = options->program;
    fprintf(out, "# %s %s\n", program->name, program->version);
    for (size_t i = 0; i < program->n_options; i++) {
        if (!begins_group(program, i))
            continue;
        fprintf(out, "\n# %s\n", program->options[i].group);
        for (size_t j = i; j < program->n_options; j++)
            if (strcmp(program->options[j].group, program->options[i].group) == 0)
                print_setting(options, j, out);
    }
}

struct option_environment option_environment_get(void)
{
    struct winsize size = {0};
    uint32_t columns = 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        columns = size.ws_col;
    return (struct option_environment){
        .home = getenv("HOME"), .config_home = getenv("XDG_CONFIG_HOME"), .columns = columns};
}

bool options_start(const struct option_program *program, int argc, char **argv, void *values,
                   struct options **out, int *exit_code)
{
    SA_ASSERT(argc >= 0 && !argv[argc]);
    struct option_environment environment = option_environment_get();
    struct error err = {0};
    enum status status = options_parse(program, &environment, (const char *const *)argv, values,
                                       out, &err);
    if (status != STATUS_OK) {
        options_usage_error(program, "%s", err.text);
        *exit_code = status == STATUS_NO_MEMORY ? EXIT_CODE_FAILED : EXIT_CODE_USAGE;
        return false;
    }
    *exit_code = EXIT_CODE_OK;
    switch ((*out)->action) {
    case OPTIONS_RUN:
        return true;
    case OPTIONS_HELP:
        options_print_help(*out, stdout);
        break;
    case OPTIONS_VERSION:
        printf("%s %s\n", program->name, program->version);
        break;
    case OPTIONS_PRINT_CONFIG:
        options_print_config(*out, stdout);
        break;
    }
    if (fflush(stdout) != 0)
        *exit_code = EXIT_CODE_FAILED;
    options_free(out);
    return false;
}

void options_reload_logged(struct options *options)
{
    struct option_reload found;
    struct error err;
    if (options_reload(options, &found, &err) != STATUS_OK) {
        log_line(LOG_ERROR, "%s; going on with the options from before", err.text);
        return;
    }
    if (found.path)
        log_line(LOG_INFO, "%s was read again: %s%s", found.path,
                 found.taken[0] ? "taken: " : "nothing changed that is taken without a restart",
                 found.taken);
    if (found.waiting[0])
        log_line(LOG_WARN, "%s: changed, but needs a restart: %s", found.path, found.waiting);
}

int options_usage_error(const struct option_program *program, const char *fmt, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    fprintf(stderr, "%s: %s. Try `%s --help`.\n", program->name, text, program->name);
    return EXIT_CODE_USAGE;
}
