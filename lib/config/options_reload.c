/* options_reload.c: the configuration file again, while the program runs. Only plain values can be
 * taken: a text or an address may be borrowed by any part of the program. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/options_int.h"

/* Bytes of the value; 0: it is not plain. */
static size_t plain_size(enum option_type type)
{
    switch (type) {
    case OPTION_BOOL:
        return sizeof(bool);
    case OPTION_INT:
        return sizeof(int64_t);
    case OPTION_FLOAT:
    case OPTION_DURATION:
        return sizeof(double);
    case OPTION_CHOICE:
        return sizeof(int);
    case OPTION_SIZE:
        return sizeof(uint64_t);
    default:
        return 0;
    }
}

bool option_reload_possible(const struct option *option)
{
    return plain_size(option->type) > 0;
}

static size_t values_size(const struct option_program *program)
{
    size_t size = 0;
    for (size_t i = 0; i < program->n_options; i++)
        size = MAX(size, program->options[i].offset + sizeof(struct option_addresses));
    return size;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void add_name(char list[OPTION_RELOAD_NAMES_MAX], const char *name)
{
    size_t n = strlen(list);
    snprintf(list + n, OPTION_RELOAD_NAMES_MAX - n, "%s--%s", n ? ", " : "", name);
}

static void take_changes(struct options *options, struct options *fresh,
                         struct option_reload *out)
{
    const struct option_program *program = options->program;
    for (size_t i = 0; i < program->n_options; i++) {
        const struct option *option = &program->options[i];
        struct option_entry *now = &options->entries[i], *then = &fresh->entries[i];
        if (now->origin == ORIGIN_COMMAND_LINE || same_text(now->text, then->text))
            continue;
        if (!option->reloads) {
            add_name(out->waiting, option->name);
            continue;
        }
        const struct option_entry old = *now;
        memcpy((char *)options->values + option->offset, (char *)fresh->values + option->offset,
               plain_size(option->type));
        *now = *then;
        *then = old;                        /* freed with the rest */
        add_name(out->taken, option->name);
    }
}

enum status options_reload(struct options *options, struct option_reload *out, struct error *err)
{
    struct options *fresh = calloc(1, sizeof(*fresh));
    void *values = calloc(1, values_size(options->program));
    enum status rc = STATUS_OK;
    *out = (struct option_reload){.path = options->config_path};
    if (fresh) {
        fresh->program = options->program;
        fresh->values = values;
        fresh->entries = calloc(options->program->n_options + 1, sizeof(*fresh->entries));
    }
    if (!fresh || !values || !fresh->entries)
        rc = error_set(err, STATUS_NO_MEMORY, "out of memory while reading options");
    if (rc == STATUS_OK && out->path)
        rc = options_set_defaults(fresh, err);
    if (rc == STATUS_OK && out->path)
        rc = options_apply_path(fresh, out->path, err);
    if (rc == STATUS_OK && out->path)
        take_changes(options, fresh, out);
    options_free(&fresh);
    free(values);
    return rc;
}
