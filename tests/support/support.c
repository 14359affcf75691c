#include "support.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *support_model(const char *file)
{
    static char paths[4][1024];
    static unsigned next;
    char *path = paths[next++ % 4];
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    if (cache && *cache)
        snprintf(path, sizeof(paths[0]), "%s/specasr/%s", cache, file);
    else
        snprintf(path, sizeof(paths[0]), "%s/.cache/specasr/%s", home ? home : "", file);
    if (access(path, R_OK) != 0)
        fail_msg("%s is not there: run `make models`", path);
    return path;
}

char *support_temp_new(void)
{
    const char *base = getenv("TMPDIR");
    char *folder = NULL;
    if (asprintf(&folder, "%s/specasr-test-XXXXXX", base ? base : "/tmp") < 0 || !mkdtemp(folder))
        fail_msg("cannot make a temporary folder");
    return folder;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void support_temp_free(char *folder)
{
    if (folder)
        nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

void support_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

const char *support_format(const char *fmt, ...)
{
    static char texts[8][2048];
    static unsigned next;
    char *text = texts[next++ % 8];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(texts[0]), fmt, args);
    va_end(args);
    return text;
}

uint64_t support_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

float support_uniform(uint64_t *state, float low, float high)
{
    return low + (high - low) * (float)((double)(support_random(state) >> 11) / 9007199254740992.0);
}
