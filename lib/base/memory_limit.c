#include "base/memory_limit.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"

enum { PATH_BYTES = 1024, LINE_BYTES = 768 };

/* The number in a file; UINT64_MAX: none ("max", or no such file). */
static uint64_t read_number(const char *path)
{
    uint64_t number = UINT64_MAX;
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%" SCNu64, &number) != 1)
        number = UINT64_MAX;
    if (file)
        fclose(file);
    return number;
}

/* The least number in `name` of the group and of those above it. In a container the path may be
 * that of the host: what is not there is passed over, up to the container's own root. */
static uint64_t least_above(const char *mount, const char *group, const char *name)
{
    char path[PATH_BYTES], at[LINE_BYTES];
    uint64_t least = UINT64_MAX;
    snprintf(at, sizeof(at), "%s", strcmp(group, "/") == 0 ? "" : group);
    for (;;) {
        int n = snprintf(path, sizeof(path), "%s%s/%s", mount, at, name);
        uint64_t number = n > 0 && n < (int)sizeof(path) ? read_number(path) : UINT64_MAX;
        least = MIN(least, number);
        char *last = strrchr(at, '/');
        if (!last)
            return least;
        *last = '\0';
    }
}

/* One line of /proc/self/cgroup: "0::/path", or "7:cpu,memory:/path". */
static uint64_t limit_of_line(const char *root, char *line)
{
    char mount[PATH_BYTES];
    char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : 0;
    if (!group)
        return UINT64_MAX;
    *controllers++ = '\0';
    *group++ = '\0';
    group[strcspn(group, "\n")] = '\0';
    bool second = controllers[0] == '\0';
    if (!second && !strstr(controllers, "memory"))
        return UINT64_MAX;
    snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup%s", root, second ? "" : "/memory");
    return least_above(mount, group, second ? "memory.max" : "memory.limit_in_bytes");
}

uint64_t memory_limit_of_groups(const char *root)
{
    char path[PATH_BYTES], line[LINE_BYTES];
    uint64_t least = UINT64_MAX;
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        uint64_t limit = limit_of_line(root, line);
        least = MIN(least, limit);
    }
    if (file)
        fclose(file);
    return least;
}

uint64_t memory_limit(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    uint64_t machine = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : UINT64_MAX;
    uint64_t groups = memory_limit_of_groups(""), least = MIN(machine, groups);
    return least == UINT64_MAX ? 0 : least;
}

uint64_t memory_used(void)
{
    char line[LINE_BYTES];
    uint64_t kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && kib == 0 && fgets(line, sizeof(line), file))
        if (sscanf(line, "RssAnon: %" SCNu64, &kib) != 1)
            kib = 0;
    if (file)
        fclose(file);
    return kib * 1024u;
}
