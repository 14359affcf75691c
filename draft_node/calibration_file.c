#include "calibration_file.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/resolve.h"

enum { LINE_MAX_BYTES = 128 };

/* More than a bucket remembers (lib/spec/calibration.c) is no file of ours. */
static const float trials_max = 1e4f;

static bool cache_path(const char *model, const char *language, char *path, size_t n)
{
    char folder[MODEL_PATH_MAX], name[128];
    if (model_cache_folder(folder, sizeof(folder), NULL) != STATUS_OK)
        return false;
    (void)mkdir(folder, 0777);
    snprintf(name, sizeof(name), "calibration-%s-%s.tsv", model, language);
    for (char *c = name; *c; c++)           /* both come from outside */
        if (!isalnum((unsigned char)*c) && !strchr(".-_", *c))
            *c = '_';
    return (size_t)snprintf(path, n, "%s/%s", folder, name) < n;
}

/* Buckets are equally wide in 1 - sqrt(1 - confidence). */
static float centre_of(uint32_t bucket)
{
    float x = 1.0f - (float)bucket / (float)(SPEC_CALIBRATION_BUCKETS - 1);
    return 1.0f - x * x;
}

/* Asks the calibration itself, so that a file of other buckets is not taken for one of these. */
static bool is_bucket(float confidence, uint32_t bucket)
{
    struct spec_calibration probe;
    spec_calibration_init(&probe);
    spec_calibration_observe(&probe, confidence, true);
    return probe.trials[bucket] > 0.0f;
}

static bool read_line(FILE *file, char *line)
{
    do
        if (!fgets(line, LINE_MAX_BYTES, file))
            return false;
    while (line[0] == '#');
    return true;
}

static bool read_all(FILE *file, struct spec_calibration *calibration)
{
    char line[LINE_MAX_BYTES], rest;
    for (uint32_t b = 0; b < SPEC_CALIBRATION_BUCKETS; b++) {
        float confidence, trials, hits;
        if (!read_line(file, line) ||
            sscanf(line, "%f\t%f\t%f %c", &confidence, &trials, &hits, &rest) != 3)
            return false;
        /* Written so that NaN fails. */
        if (!(confidence >= 0.0f && confidence <= 1.0f && is_bucket(confidence, b)) ||
            !(hits >= 0.0f && hits <= trials && trials <= trials_max))
            return false;
        calibration->trials[b] = trials;
        calibration->hits[b] = hits;
    }
    return !read_line(file, line);
}

void calibration_load(const char *model, const char *language, struct spec_calibration *calibration)
{
    char path[MODEL_PATH_MAX + 160];
    struct spec_calibration found;
    spec_calibration_init(calibration);
    FILE *file = cache_path(model, language, path, sizeof(path)) ? fopen(path, "r") : NULL;
    if (!file)
        return;
    spec_calibration_init(&found);
    if (read_all(file, &found))
        *calibration = found;
    fclose(file);
}

void calibration_save(const char *model, const char *language,
                      const struct spec_calibration *calibration)
{
    char path[MODEL_PATH_MAX + 160], partial[MODEL_PATH_MAX + 192];
    if (!cache_path(model, language, path, sizeof(path)))
        return;
    snprintf(partial, sizeof(partial), "%s.%ld", path, (long)getpid());
    FILE *file = fopen(partial, "w");
    if (!file)
        return;
    fputs("# confidence\ttrials\thits\n", file);
    for (uint32_t b = 0; b < SPEC_CALIBRATION_BUCKETS; b++)
        fprintf(file, "%.4f\t%.3f\t%.3f\n", (double)centre_of(b), (double)calibration->trials[b],
                (double)calibration->hits[b]);
    bool whole = !ferror(file);
    whole = fclose(file) == 0 && whole;
    if (!whole || rename(partial, path) != 0)
        (void)unlink(partial);
}

double calibration_tokens(const struct spec_calibration *calibration)
{
    double sum = 0.0;
    for (uint32_t b = 0; b < SPEC_CALIBRATION_BUCKETS; b++)
        sum += (double)calibration->trials[b];
    return sum;
}
