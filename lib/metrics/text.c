#include "metrics/metrics_int.h"

#include <inttypes.h>
#include <string.h>

const char *metrics_kind_name(enum metric_kind kind)
{
    static const char *const names[] = {"counter", "gauge", "histogram"};
    SA_ASSERT((unsigned)kind < ARRAY_LEN(names));
    return names[kind];
}

void metrics_number(char text[METRICS_NUMBER_MAX], uint64_t value, bool negative, uint8_t decimals)
{
    SA_ASSERT(decimals <= METRICS_DECIMALS_MAX);
    uint64_t unit = 1;
    for (int i = 0; i < decimals; i++)
        unit *= 10;
    const char *sign = negative ? "-" : "";
    uint64_t part = value % unit;
    if (part == 0) {
        snprintf(text, METRICS_NUMBER_MAX, "%s%" PRIu64, sign, value / unit);
        return;
    }
    int n = snprintf(text, METRICS_NUMBER_MAX, "%s%" PRIu64 ".%0*" PRIu64, sign, value / unit,
                     decimals, part);
    while (text[n - 1] == '0')
        text[--n] = '\0';
}

/* Appends one character, escaped where the format asks for it. */
static bool put_escaped(char *text, size_t size, size_t *at, char c)
{
    const char *whole = c == '\\' ? "\\\\" : c == '"' ? "\\\"" : c == '\n' ? "\\n" : NULL;
    size_t n = whole ? 2 : 1;
    if (*at + n >= size)
        return false;
    memcpy(text + *at, whole ? whole : &c, n);
    *at += n;
    return true;
}

bool metrics_labels(char *text, size_t size, const struct metric_label *labels, size_t n)
{
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        int wrote = snprintf(text + at, size - at, "%s%s=\"", i ? "," : "", labels[i].name);
        if (wrote < 0 || (size_t)wrote >= size - at)
            return false;
        at += (size_t)wrote;
        for (const char *c = labels[i].value; *c; c++)
            if (!put_escaped(text, size, &at, *c))
                return false;
        if (at + 1 >= size)
            return false;
        text[at++] = '"';
        text[at] = '\0';
    }
    return true;
}

void metrics_text_family(FILE *out, const char *name, const char *help, enum metric_kind kind)
{
    fprintf(out, "# HELP %s ", name);
    for (const char *c = help; *c; c++) {
        if (*c == '\n')
            fputs("\\n", out);
        else if (*c == '\\')
            fputs("\\\\", out);
        else
            fputc(*c, out);
    }
    fprintf(out, "\n# TYPE %s %s\n", name, metrics_kind_name(kind));
}

void metrics_text_sample(FILE *out, const struct metric_sample *sample)
{
    char labels[METRICS_LABEL_TEXT_MAX], number[METRICS_NUMBER_MAX];
    bool negative = sample->value < 0;
    uint64_t size = negative ? 0 - (uint64_t)sample->value : (uint64_t)sample->value;
    if (!metrics_labels(labels, sizeof(labels), sample->labels, sample->n_labels))
        return;                         /* half a label would be another series */
    metrics_number(number, size, negative, sample->decimals);
    if (sample->n_labels)
        fprintf(out, "%s{%s} %s\n", sample->name, labels, number);
    else
        fprintf(out, "%s %s\n", sample->name, number);
}
