#include "model/resolve.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum status model_cache_folder(char *out, size_t out_size, struct error *err)
{
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int n;
    if (cache && cache[0] == '/')
        n = snprintf(out, out_size, "%s/specasr", cache);
    else if (home && home[0])
        n = snprintf(out, out_size, "%s/.cache/specasr", home);
    else
        return error_set(err, STATUS_NOT_FOUND,
                         "neither XDG_CACHE_HOME nor HOME is set: give the model's path");
    if (n < 0 || (size_t)n >= out_size)
        return error_set(err, STATUS_INVALID, "the cache folder's path is too long");
    return STATUS_OK;
}

static bool is_name(const char *text)
{
    return text[0] && text[0] != '.' && !strchr(text, '/');
}

/* whisper-NAME.gguf, whether or not the user wrote those ends. */
static enum status cached_path(const char *name, char *out, size_t out_size, struct error *err)
{
    char folder[MODEL_PATH_MAX];
    enum status st = model_cache_folder(folder, sizeof(folder), err);
    if (st != STATUS_OK)
        return st;
    size_t n_name = strlen(name);
    bool has_end = n_name > 5 && strcmp(name + n_name - 5, ".gguf") == 0;
    bool has_start = strncmp(name, "whisper-", 8) == 0 || strncmp(name, "distil-", 7) == 0;
    int n = snprintf(out, out_size, "%s/%s%s%s", folder, has_start ? "" : "whisper-", name,
                     has_end ? "" : ".gguf");
    if (n < 0 || (size_t)n >= out_size)
        return error_set(err, STATUS_INVALID, "the model's name is too long");
    return STATUS_OK;
}

enum status model_find(const char *name_or_path, char *out, size_t out_size, struct error *err)
{
    char cached[MODEL_PATH_MAX + 64];
    if (access(name_or_path, F_OK) == 0 || !is_name(name_or_path)) {
        int n = snprintf(out, out_size, "%s", name_or_path);
        if (n < 0 || (size_t)n >= out_size)
            return error_set(err, STATUS_INVALID, "the model's path is too long");
        if (name_or_path[0] && access(name_or_path, F_OK) == 0)
            return STATUS_OK;
        return error_set(err, STATUS_NOT_FOUND,
                         "there is no model file %s: give its path, or a name such as base after "
                         "`make models`",
                         name_or_path);
    }
    enum status st = cached_path(name_or_path, cached, sizeof(cached), err);
    if (st != STATUS_OK)
        return st;
    if (access(cached, F_OK) != 0)
        return error_set(
            err, STATUS_NOT_FOUND,
            "there is no model '%s', neither here nor as %s: `make models` fetches base and "
            "tiny.en, tools/fetch_models.py the others",
            name_or_path, cached);
    snprintf(out, out_size, "%s", cached);
    return STATUS_OK;
}
