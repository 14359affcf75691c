/* exposition.h: a strict reader of the Prometheus text format 0.0.4, written from its description
 * and not from our writer: fails the test at the first line that breaks a rule. */
#ifndef TESTS_METRICS_EXPOSITION_H
#define TESTS_METRICS_EXPOSITION_H

#include "../support/support.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct exposition {
    char family[128], kind[16];         /* of the TYPE line that holds now */
    char families[64][128];
    size_t n_families;
    char series[512][512];              /* what stood before each value */
    double values[512];
    size_t n_series;
    char bucket_labels[2048];           /* histogram that is being read: labels but le */
    double last_le, last_count;
};

static size_t name_length(const char *at, bool colon)
{
    size_t n = 0;
    while ((at[n] >= 'a' && at[n] <= 'z') || (at[n] >= 'A' && at[n] <= 'Z') || at[n] == '_' ||
           (colon && at[n] == ':') || (n && at[n] >= '0' && at[n] <= '9'))
        n++;
    return n;
}

static void read_comment(struct exposition *x, const char *line)
{
    bool help = strncmp(line, "# HELP ", 7) == 0, type = strncmp(line, "# TYPE ", 7) == 0;
    if (!help && !type)
        fail_msg("neither HELP nor TYPE: %s", line);
    size_t n = name_length(line + 7, true);
    if (n == 0 || n >= sizeof(x->family) || line[7 + n] != ' ')
        fail_msg("no name and text: %s", line);
    if (help) {
        memcpy(x->family, line + 7, n);
        x->family[n] = '\0';
        for (size_t i = 0; i < x->n_families; i++)
            if (strcmp(x->families[i], x->family) == 0)
                fail_msg("the family %s comes twice", x->family);
        assert_true(x->n_families < ARRAY_LEN(x->families));
        memcpy(x->families[x->n_families++], x->family, n + 1);
        x->kind[0] = '\0';
        return;
    }
    if (strlen(x->family) != n || memcmp(x->family, line + 7, n) != 0 || x->kind[0])
        fail_msg("TYPE does not follow its HELP: %s", line);
    const char *kind = line + 8 + n;
    if (strcmp(kind, "counter") != 0 && strcmp(kind, "gauge") != 0 &&
        strcmp(kind, "histogram") != 0)
        fail_msg("unknown type: %s", line);
    snprintf(x->kind, sizeof(x->kind), "%s", kind);
    x->bucket_labels[0] = '\0';
    x->last_le = -INFINITY;
    x->last_count = 0;
}

/* Behind '{': reads up to '}' and returns what follows; le's value apart, the others to `rest`. */
static const char *read_labels(const char *line, const char *at, char *le, char *rest)
{
    *rest = '\0';
    while (*at != '}') {
        size_t n = name_length(at, false), out = 0;
        char value[512], name[64];
        if (n == 0 || n >= sizeof(name) || at[n] != '=' || at[n + 1] != '"')
            fail_msg("a label without name=\": %s", line);
        snprintf(name, sizeof(name), "%.*s", (int)n, at);
        for (at += n + 2; *at != '"'; at++) {
            if (*at == '\0')
                fail_msg("a label value has no end: %s", line);
            if (*at == '\\' && at[1] != '\\' && at[1] != '"' && at[1] != 'n')
                fail_msg("an unknown escape: %s", line);
            if (*at == '\\')
                value[out++] = *at++;
            value[out++] = *at;
        }
        value[out] = '\0';
        if (strcmp(name, "le") == 0)
            snprintf(le, 64, "%.60s", value);
        else
            rest += snprintf(rest, 400, "%.60s=%.300s;", name, value);
        at++;
        if (*at == ',')
            at++;
        else if (*at != '}')
            fail_msg("neither , nor } behind a label: %s", line);
    }
    return at + 1;
}

static void read_histogram(struct exposition *x, const char *line, const char *le,
                           const char *labels, double value)
{
    const char *part = line + strlen(x->family);
    if (strncmp(part, "_bucket{", 8) == 0) {
        if (strcmp(labels, x->bucket_labels) != 0) {
            snprintf(x->bucket_labels, sizeof(x->bucket_labels), "%s", labels);
            x->last_le = -INFINITY;
            x->last_count = 0;
        }
        double bound = strcmp(le, "+Inf") == 0 ? INFINITY : strtod(le, NULL);
        if (!*le || bound <= x->last_le || value < x->last_count)
            fail_msg("buckets must ascend and add up: %s", line);
        x->last_le = bound;
        x->last_count = value;
    } else if (strncmp(part, "_count", 6) == 0) {
        if (x->last_le != INFINITY || value != x->last_count)
            fail_msg("the count is not that of the +Inf bucket: %s", line);
        x->last_le = -INFINITY;
        x->last_count = 0;
    } else if (strncmp(part, "_sum", 4) != 0) {
        fail_msg("a histogram has _bucket, _sum and _count: %s", line);
    }
}

static void read_sample(struct exposition *x, const char *line)
{
    char le[64] = "", labels[2048] = "";
    size_t n = name_length(line, true), n_family = strlen(x->family);
    if (!x->kind[0] || n < n_family || memcmp(line, x->family, n_family) != 0)
        fail_msg("a sample outside its family: %s", line);
    bool histogram = strcmp(x->kind, "histogram") == 0;
    if (!histogram && n != n_family)
        fail_msg("a sample of another name: %s", line);
    const char *at = line + n;
    if (*at == '{')
        at = read_labels(line, at + 1, le, labels);
    if (*at != ' ')
        fail_msg("no blank before the value: %s", line);
    size_t n_key = (size_t)(at - line);
    char *end;
    double value = strtod(at + 1, &end);
    if (end == at + 1 || *end)
        fail_msg("the value is no number: %s", line);
    for (size_t i = 0; i < x->n_series; i++)
        if (strlen(x->series[i]) == n_key && memcmp(x->series[i], line, n_key) == 0)
            fail_msg("the series comes twice: %s", line);
    if (strcmp(x->kind, "counter") == 0 && value < 0)
        fail_msg("a counter below zero: %s", line);
    if (histogram)
        read_histogram(x, line, le, labels, value);
    assert_true(x->n_series < ARRAY_LEN(x->series) && n_key < sizeof(x->series[0]));
    memcpy(x->series[x->n_series], line, n_key);
    x->series[x->n_series][n_key] = '\0';
    x->values[x->n_series++] = value;
}

/* Caller frees with free(). */
static struct exposition *exposition_read(const char *text)
{
    struct exposition *x = calloc(1, sizeof(*x));
    assert_non_null(x);
    while (*text) {
        const char *end = strchr(text, '\n');
        if (!end)
            fail_msg("the last line has no end: %s", text);
        char *line = strndup(text, (size_t)(end - text));
        assert_non_null(line);
        if (*line == '#')
            read_comment(x, line);
        else
            read_sample(x, line);
        free(line);
        text = end + 1;
    }
    return x;
}

/* The value of a series, written as in the text; fails the test when it is not there. */
static double exposition_value(const struct exposition *x, const char *series)
{
    for (size_t i = 0; i < x->n_series; i++)
        if (strcmp(x->series[i], series) == 0)
            return x->values[i];
    fail_msg("no series %s", series);
    return NAN;
}

#endif
