#include "backend/paced/pace.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool time_is_sane(float ms)
{
    return ms > 0.0f && ms <= 60000.0f;
}

/* False: the line does not fit. */
static bool take_line(struct pace *pace, const char *line)
{
    char word[8];
    uint32_t rows;
    float ms;
    int end = 0;
    if (line[strspn(line, " \t\r\n")] == '\0' || line[0] == '#')
        return true;
    if (sscanf(line, "encode %f %n", &ms, &end) == 1 && line[end] == '\0') {
        pace->encode_ms = ms;
        return ms >= 0.0f && ms <= 60000.0f;
    }
    if (sscanf(line, "rows %7s %n", word, &end) == 1 && strcmp(word, "ms") == 0)
        return line[end] == '\0';
    if (sscanf(line, "%u %f %n", &rows, &ms, &end) != 2 || line[end] != '\0')
        return false;
    bool rises = pace->n == 0 || rows > pace->rows[pace->n - 1];
    if (pace->n == PACE_POINTS_MAX || rows == 0 || rows > 4096 || !rises || !time_is_sane(ms))
        return false;
    pace->rows[pace->n] = rows;
    pace->ms[pace->n++] = ms;
    return true;
}

enum status pace_read(const char *path, struct pace *pace, struct error *err)
{
    char line[512];
    uint32_t number = 0;
    enum status rc = STATUS_OK;
    *pace = (struct pace){.n = 0};
    FILE *file = fopen(path, "r");
    if (!file)
        return error_set(err, STATUS_NOT_FOUND, "%s: cannot be opened: give a table of times",
                         path);
    while (rc == STATUS_OK && fgets(line, sizeof(line), file)) {
        number++;
        if (!take_line(pace, line))
            rc = error_set(err, STATUS_CORRUPT, "%s: line %u is no \"encode MS\" or \"ROWS MS\"",
                           path, number);
    }
    if (rc == STATUS_OK && (ferror(file) || pace->n == 0))
        rc = error_set(err, STATUS_CORRUPT, "%s: no line \"ROWS MS\"", path);
    fclose(file);
    return rc;
}

float pace_ms(const struct pace *pace, uint32_t rows)
{
    uint32_t k = 0;
    while (k < pace->n && pace->rows[k] < rows)
        k++;
    if (k == 0 || k == pace->n)
        return pace->ms[k == 0 ? 0 : pace->n - 1];
    float share = (float)(rows - pace->rows[k - 1]) / (float)(pace->rows[k] - pace->rows[k - 1]);
    return pace->ms[k - 1] + share * (pace->ms[k] - pace->ms[k - 1]);
}
