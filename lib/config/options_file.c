/* options_file.c: the text of a configuration file.
 *
 *     # a comment line
 *     threads = 2          # a comment after a blank
 *     model = "my model #1.gguf"
 *
 * Inside quotes \" and \\ stand for themselves. A name may come once; an error names file and line.
 */
#include <string.h>

#include "config/options_int.h"

enum { LINE_MAX_BYTES = 4096 };

struct line {
    char name[LINE_MAX_BYTES];
    char value[LINE_MAX_BYTES];
    bool empty;
};

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t");
}

/* Copies what stands in quotes; returns what follows, or NULL when the closing quote is missing. */
static const char *unquote(const char *at, char *out)
{
    for (at++; *at && *at != '"'; at++) {
        if (*at == '\\' && (at[1] == '"' || at[1] == '\\'))
            at++;
        *out++ = *at;
    }
    *out = '\0';
    return *at ? at + 1 : NULL;
}

/* A bare value ends at the end of the line or before a blank that a '#' follows. */
static const char *bare(const char *at, char *out)
{
    size_t n = 0;
    for (; at[n]; n++)
        if ((at[n] == ' ' || at[n] == '\t') && *skip_blanks(at + n) == '#')
            break;
    size_t kept = n;
    while (kept > 0 && (at[kept - 1] == ' ' || at[kept - 1] == '\t'))
        kept--;
    memcpy(out, at, kept);
    out[kept] = '\0';
    return at + n;
}

/* NULL, or what is wrong. `text` is one line without its end, shorter than LINE_MAX_BYTES. */
static const char *split(const char *text, struct line *line)
{
    const char *at = skip_blanks(text);
    line->empty = !*at || *at == '#';
    if (line->empty)
        return NULL;
    size_t n = strcspn(at, " \t=#");
    memcpy(line->name, at, n);
    line->name[n] = '\0';
    at = skip_blanks(at + n);
    if (*at != '=' || n == 0)
        return "expected `name = value`";
    at = skip_blanks(at + 1);
    line->value[0] = '\0';
    if (*at == '"')
        at = unquote(at, line->value);
    else if (*at != '#')
        at = bare(at, line->value);
    if (!at)
        return "the closing quote is missing";
    at = skip_blanks(at);
    return *at && *at != '#' ? "something follows the closing quote" : NULL;
}

static enum status unknown_name(const struct options *options, const char *where, const char *name,
                                struct error *err)
{
    for (int i = 0; i < OPTION_BUILTIN_N; i++)
        if (strcmp(name, option_builtins[i].name) == 0)
            return error_set(err, STATUS_INVALID, "%s: \"%s\" belongs on the command line", where,
                             name);
    const char *nearest = options_nearest(options->program, name);
    if (nearest && options_find(options->program, nearest, strlen(nearest)) >= 0)
        return error_set(err, STATUS_INVALID, "%s: unknown option \"%.60s\" (did you mean \"%s\"?)",
                         where, name, nearest);
    return error_set(err, STATUS_INVALID, "%s: unknown option \"%.60s\"", where, name);
}

static enum status apply_line(struct options *options, const char *path, uint32_t number,
                              const char *text, struct error *err)
{
    struct line line;
    char where[ERROR_TEXT_MAX / 2];
    snprintf(where, sizeof(where), "%.100s:%u", path, number);
    const char *wrong = split(text, &line);
    if (wrong)
        return error_set(err, STATUS_INVALID, "%s: %s", where, wrong);
    if (line.empty)
        return STATUS_OK;
    int index = options_find(options->program, line.name, strlen(line.name));
    if (index < 0)
        return unknown_name(options, where, line.name, err);
    const struct option_entry *entry = &options->entries[index];
    if (entry->origin == ORIGIN_FILE)
        return error_set(err, STATUS_INVALID, "%s: \"%s\" was set in line %u already", where,
                         line.name, entry->line);
    size_t used = strlen(where);
    snprintf(where + used, sizeof(where) - used, ": %s", options->program->options[index].name);
    struct option_given given = {.index = (uint32_t)index,
                                 .text = line.value,
                                 .origin = ORIGIN_FILE,
                                 .line = number,
                                 .where = where};
    return options_set(options, &given, err);
}

enum status options_apply_text(struct options *options, const char *path, const char *text,
                               size_t n, struct error *err)
{
    uint32_t number = 1;
    for (size_t at = 0; at < n; number++) {
        char line[LINE_MAX_BYTES];
        const char *end = memchr(text + at, '\n', n - at);
        size_t length = end ? (size_t)(end - text) - at : n - at;
        if (length >= sizeof(line))
            return error_set(err, STATUS_INVALID, "%.100s:%u: line too long", path, number);
        if (memchr(text + at, '\0', length))
            return error_set(err, STATUS_INVALID, "%.100s:%u: not a text file", path, number);
        memcpy(line, text + at, length);
        line[length] = '\0';
        if (length && line[length - 1] == '\r')
            line[length - 1] = '\0';
        enum status status = apply_line(options, path, number, line, err);
        if (status != STATUS_OK)
            return status;
        at += length + 1;
    }
    return STATUS_OK;
}
