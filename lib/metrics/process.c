#include "metrics/metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Fields of /proc/self/stat behind the command name (proc(5) counts from 1; state is 3). */
struct process_stat {
    uint64_t user_ticks, system_ticks, threads, start_ticks, virtual_bytes, resident_pages;
};

static bool read_stat(struct process_stat *stat)
{
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "r");
    size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file)
        fclose(file);
    text[n] = '\0';
    const char *after = strrchr(text, ')');     /* the name may hold blanks and parentheses */
    return after &&
           sscanf(after + 1,
                  " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
                  " %*d %*d %*d %*d %" SCNu64 " %*d %" SCNu64 " %" SCNu64 " %" SCNu64,
                  &stat->user_ticks, &stat->system_ticks, &stat->threads, &stat->start_ticks,
                  &stat->virtual_bytes, &stat->resident_pages) == 6;
}

/* Seconds since 1970 when the machine started; 0: unknown. */
static uint64_t boot_time_s(void)
{
    char line[256];
    uint64_t boot = 0;
    FILE *file = fopen("/proc/stat", "r");
    while (file && !boot && fgets(line, sizeof(line), file))
        if (sscanf(line, "btime %" SCNu64, &boot) != 1)
            boot = 0;
    if (file)
        fclose(file);
    return boot;
}

static int64_t open_files(void)
{
    int64_t n = 0;
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *e = folder ? readdir(folder) : NULL; e; e = readdir(folder))
        n += e->d_name[0] != '.';
    if (folder)
        closedir(folder);
    return n - 1;                       /* the folder itself was one */
}

static void single(FILE *out, const char *help, enum metric_kind kind,
                   const struct metric_sample *sample)
{
    metrics_text_family(out, sample->name, help, kind);
    metrics_text_sample(out, sample);
}

void metrics_process(void *context, FILE *out)
{
    (void)context;
    struct process_stat stat = {0};
    long ticks = sysconf(_SC_CLK_TCK), page = sysconf(_SC_PAGESIZE);
    int64_t files = open_files();
    uint64_t boot = boot_time_s();
    if (files >= 0)
        single(out, "Open file descriptors.", METRIC_GAUGE,
               &(struct metric_sample){.name = "process_open_fds", .value = files});
    if (ticks <= 0 || page <= 0 || !read_stat(&stat))
        return;
    uint64_t hz = (uint64_t)ticks;
    single(out, "User and system processor time.", METRIC_COUNTER,
           &(struct metric_sample){
               .name = "process_cpu_seconds_total", .decimals = 3,
               .value = (int64_t)((stat.user_ticks + stat.system_ticks) * 1000 / hz)});
    single(out, "Resident memory.", METRIC_GAUGE,
           &(struct metric_sample){.name = "process_resident_memory_bytes",
                                   .value = (int64_t)(stat.resident_pages * (uint64_t)page)});
    single(out, "Virtual memory.", METRIC_GAUGE,
           &(struct metric_sample){.name = "process_virtual_memory_bytes",
                                   .value = (int64_t)stat.virtual_bytes});
    single(out, "Threads.", METRIC_GAUGE,
           &(struct metric_sample){.name = "process_threads", .value = (int64_t)stat.threads});
    if (boot)
        single(out, "Start time since 1970.", METRIC_GAUGE,
               &(struct metric_sample){
                   .name = "process_start_time_seconds", .decimals = 2,
                   .value = (int64_t)(boot * 100 + stat.start_ticks * 100 / hz)});
}
