#include "metrics/read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BOUNDS_MAX = 64, LABEL_MAX = 64 };

/* Length of name{...} at the begin of a line, up to the blank before the value; 0: no series. */
static size_t series_length(const char *line, size_t *n_name)
{
    bool quoted = false, labels = false;
    size_t n = strcspn(line, "{ \n");
    *n_name = n;
    if (n == 0 || line[0] == '#')
        return 0;
    for (; line[n] && line[n] != '\n'; n++) {
        if (quoted && line[n] == '\\' && line[n + 1] && line[n + 1] != '\n')
            n++;
        else if (line[n] == '"')
            quoted = !quoted;
        else if (!quoted && line[n] == '{')
            labels = true;
        else if (!quoted && line[n] == '}')
            labels = false;
        else if (!quoted && !labels && line[n] == ' ')
            return n;
    }
    return 0;
}

bool metrics_read_line(const char **text, struct metrics_line *out)
{
    while (**text) {
        const char *line = *text;
        size_t length = strcspn(line, "\n");
        *text = line + length + (line[length] == '\n');
        *out = (struct metrics_line){.series = line};
        out->n_series = series_length(line, &out->n_name);
        char *end = NULL;
        if (out->n_series == 0)
            continue;
        out->value = strtod(line + out->n_series, &end);
        if (end > line + out->n_series + 1 && end <= line + length && !isnan(out->value))
            return true;
    }
    return false;
}

bool metrics_read_value(const char *text, const char *series, double *out)
{
    struct metrics_line line;
    while (metrics_read_line(&text, &line)) {
        if (line.n_series != strlen(series) || memcmp(line.series, series, line.n_series) != 0)
            continue;
        *out = line.value;
        return true;
    }
    return false;
}

static void unescape(const char *from, const char *end, char *out, size_t max)
{
    size_t n = 0;
    for (; from < end && n + 1 < max; from++) {
        if (*from == '\\' && from + 1 < end)
            from++;
        out[n++] = from[0] == 'n' && from[-1] == '\\' ? '\n' : *from;
    }
    out[n] = '\0';
}

/* The closing quote of the value that begins at `at`; NULL: none before `end`. */
static const char *quote_end(const char *at, const char *end)
{
    for (; at < end && *at != '"'; at++)
        at += *at == '\\';
    return at < end ? at : NULL;
}

bool metrics_read_label(const struct metrics_line *line, const char *label, char *out, size_t max)
{
    const char *at = line->series + line->n_name, *end = line->series + line->n_series;
    size_t n = strlen(label);
    while (at < end && (*at == '{' || *at == ',')) {
        const char *name = at + 1;
        const char *equals = memchr(name, '=', (size_t)(end - name));
        if (!equals || equals + 1 >= end || equals[1] != '"')
            return false;
        const char *value = equals + 2, *close = quote_end(value, end);
        if (!close)
            return false;
        if ((size_t)(equals - name) == n && memcmp(name, label, n) == 0) {
            unescape(value, close, out, max);
            return true;
        }
        at = close + 1;
    }
    return false;
}

/* ---- histograms ---- */

struct buckets {
    size_t n;
    double bounds[BOUNDS_MAX], counts[BOUNDS_MAX];
};

/* Adds the buckets of all series of one histogram, `sign` times. */
static void add(struct buckets *buckets, const char *text, const char *histogram, double sign)
{
    struct metrics_line line;
    char bound[LABEL_MAX];
    size_t n = strlen(histogram);
    while (metrics_read_line(&text, &line)) {
        bool mine = line.n_name == n + 7 && memcmp(line.series, histogram, n) == 0 &&
                    memcmp(line.series + n, "_bucket", 7) == 0;
        if (!mine || !metrics_read_label(&line, "le", bound, sizeof(bound)))
            continue;
        double upper = strtod(bound, NULL);
        size_t i = 0;
        while (i < buckets->n && buckets->bounds[i] < upper)
            i++;
        bool known = i < buckets->n && !(buckets->bounds[i] > upper);
        if (!known && buckets->n == BOUNDS_MAX)
            continue;
        for (size_t j = buckets->n; !known && j > i; j--) {
            buckets->bounds[j] = buckets->bounds[j - 1];
            buckets->counts[j] = buckets->counts[j - 1];
        }
        if (!known) {
            buckets->bounds[i] = upper;
            buckets->counts[i] = 0.0;
            buckets->n++;
        }
        buckets->counts[i] += sign * line.value;
    }
}

double metrics_read_quantile(const char *earlier, const char *text, const char *histogram,
                             double share)
{
    struct buckets buckets = {0};
    add(&buckets, text, histogram, 1.0);
    add(&buckets, earlier, histogram, -1.0);
    double total = buckets.n ? buckets.counts[buckets.n - 1] : 0.0;
    if (!(total > 0.0))
        return -1.0;
    for (size_t i = 0; i < buckets.n; i++)
        if (buckets.counts[i] >= share * total)
            return buckets.bounds[i];
    return INFINITY;
}
