/* One block of atomics behind an array of series. A counter or gauge has one place; a histogram has
 * its sum and n_buckets + 1 counts that are made cumulative only when rendered. Relaxed order is
 * enough: a series is a number by itself, nothing else is published by it. */
#include "metrics/metrics.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/metrics_int.h"

struct series {
    char *name, *help, *labels;
    enum metric_kind kind;
    uint8_t decimals;
    uint8_t n_buckets;
    bool first;                         /* of its family */
    const uint64_t *buckets;
    _Atomic uint64_t *values;           /* [1], or [sum, counts...] */
};

struct metrics {
    size_t n, n_collectors;
    struct {
        metrics_collector collect;
        void *context;
    } collectors[METRICS_COLLECTORS_MAX];
    _Atomic uint64_t *values;
    struct series series[];
};

/* ---- rules of a table ---- */

static bool name_valid(const char *name, bool colon)
{
    if (!name || !*name || (*name >= '0' && *name <= '9'))
        return false;
    for (const char *c = name; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
              *c == '_' || (colon && *c == ':')))
            return false;
    return true;
}

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), n_end = strlen(end);
    return n >= n_end && strcmp(text + n - n_end, end) == 0;
}

static size_t n_labels(const struct metric_def *def)
{
    size_t n = 0;
    while (n < METRICS_LABELS_MAX && def->labels[n].name)
        n++;
    return n;
}

static const char *labels_fault(const struct metric_def *def)
{
    for (size_t i = 0; i < n_labels(def); i++) {
        const struct metric_label *label = &def->labels[i];
        if (!name_valid(label->name, false) || strncmp(label->name, "__", 2) == 0 ||
            strcmp(label->name, "le") == 0)
            return "a label name may have letters, digits and _, and may not be \"le\" or begin "
                   "with a digit or __";
        if (!label->value)
            return "a label has no value";
        for (size_t k = 0; k < i; k++)
            if (strcmp(def->labels[k].name, label->name) == 0)
                return "a label stands twice";
    }
    return NULL;
}

static const char *buckets_fault(const struct metric_def *def)
{
    if (def->kind != METRIC_HISTOGRAM)
        return def->n_buckets ? "only histograms have buckets" : NULL;
    if (!def->buckets || def->n_buckets < 1 || def->n_buckets > METRICS_BUCKETS_MAX)
        return "a histogram has 1 to 32 buckets";
    for (size_t i = 1; i < def->n_buckets; i++)
        if (def->buckets[i] <= def->buckets[i - 1])
            return "buckets must ascend";
    return NULL;
}

/* Why this series breaks the rules; NULL when it does not. */
static const char *series_fault(const struct metric_def *def)
{
    if (!name_valid(def->name, true))
        return "a name may have letters, digits, _ and :, and no digit first";
    if (!def->help || !*def->help)
        return "the help text is missing";
    if ((unsigned)def->kind > METRIC_HISTOGRAM || def->decimals > METRICS_DECIMALS_MAX)
        return "the kind or the number of decimals does not exist";
    if (ends_in(def->name, "_total") != (def->kind == METRIC_COUNTER))
        return "counters, and only they, end in _total";
    const char *fault = labels_fault(def);
    return fault ? fault : buckets_fault(def);
}

static bool same_family(const struct metric_def *a, const struct metric_def *b)
{
    size_t n = n_labels(a);
    if (strcmp(a->help, b->help) != 0 || a->kind != b->kind || a->decimals != b->decimals ||
        a->n_buckets != b->n_buckets || n != n_labels(b))
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(a->labels[i].name, b->labels[i].name) != 0)
            return false;
    return a->n_buckets == 0 ||
           memcmp(a->buckets, b->buckets, a->n_buckets * sizeof(*a->buckets)) == 0;
}

static bool same_values(const struct metric_def *a, const struct metric_def *b)
{
    for (size_t i = 0; i < n_labels(a); i++)
        if (strcmp(a->labels[i].value, b->labels[i].value) != 0)
            return false;
    return true;
}

/* Against the series before it. */
static const char *place_fault(const struct metric_def *defs, size_t at)
{
    for (size_t i = at; i-- > 0;) {
        if (strcmp(defs[i].name, defs[at].name) != 0)
            continue;
        if (strcmp(defs[at - 1].name, defs[at].name) != 0)
            return "series of one name must stand together";
        if (!same_family(&defs[i], &defs[at]))
            return "series of one name must agree in help, kind, decimals, buckets, label names";
        if (same_values(&defs[i], &defs[at]))
            return "the same name and labels stand twice";
    }
    return NULL;
}

static enum status check_table(const struct metric_def *defs, size_t n, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        const char *fault = series_fault(&defs[i]);
        if (!fault)
            fault = place_fault(defs, i);
        if (fault)
            return error_set(err, STATUS_INVALID, "metric %zu (%s): %s", i,
                             defs[i].name ? defs[i].name : "no name", fault);
    }
    return STATUS_OK;
}

/* ---- making and freeing ---- */

static size_t n_values(const struct metric_def *def)
{
    return def->kind == METRIC_HISTOGRAM ? (size_t)def->n_buckets + 2 : 1;
}

static enum status series_init(struct series *series, const struct metric_def *def,
                               struct error *err)
{
    char labels[METRICS_LABEL_TEXT_MAX];
    if (!metrics_labels(labels, sizeof(labels), def->labels, n_labels(def)))
        return error_set(err, STATUS_INVALID, "metric %s: its labels have more than %d bytes",
                         def->name, METRICS_LABEL_TEXT_MAX - 1);
    series->name = strdup(def->name);
    series->help = strdup(def->help);
    series->labels = strdup(labels);
    series->kind = def->kind;
    series->decimals = def->decimals;
    series->n_buckets = def->n_buckets;
    series->buckets = def->buckets;
    if (!series->name || !series->help || !series->labels)
        return error_set(err, STATUS_NO_MEMORY, "no memory for metrics");
    return STATUS_OK;
}

enum status metrics_new(const struct metric_def *defs, size_t n, struct metrics **out,
                        struct error *err)
{
    *out = NULL;
    enum status status = check_table(defs, n, err);
    if (status != STATUS_OK)
        return status;
    size_t total = 1;
    for (size_t i = 0; i < n; i++)
        total += n_values(&defs[i]);
    struct metrics *metrics = calloc(1, sizeof(*metrics) + n * sizeof(metrics->series[0]));
    if (metrics)
        metrics->values = calloc(total, sizeof(*metrics->values));
    if (!metrics || !metrics->values) {
        metrics_free(&metrics);
        return error_set(err, STATUS_NO_MEMORY, "no memory for %zu metrics", n);
    }
    metrics->n = n;
    size_t at = 0;
    for (size_t i = 0; i < n && status == STATUS_OK; i++) {
        struct series *series = &metrics->series[i];
        series->values = metrics->values + at;
        series->first = i == 0 || strcmp(defs[i - 1].name, defs[i].name) != 0;
        at += n_values(&defs[i]);
        status = series_init(series, &defs[i], err);
    }
    if (status != STATUS_OK) {
        metrics_free(&metrics);
        return status;
    }
    *out = metrics;
    return STATUS_OK;
}

void metrics_free(struct metrics **metrics)
{
    struct metrics *old = *metrics;
    *metrics = NULL;
    if (!old)
        return;
    for (size_t i = 0; i < old->n; i++) {
        free(old->series[i].name);
        free(old->series[i].help);
        free(old->series[i].labels);
    }
    free(old->values);
    free(old);
}

/* ---- updates ---- */

static const struct series *series_at(const struct metrics *metrics, size_t id,
                                      enum metric_kind kind)
{
    SA_ASSERT(id < metrics->n && metrics->series[id].kind == kind);
    return &metrics->series[id];
}

void metrics_add(struct metrics *metrics, size_t id, uint64_t n)
{
    const struct series *series = series_at(metrics, id, METRIC_COUNTER);
    atomic_fetch_add_explicit(series->values, n, memory_order_relaxed);
}

void metrics_set(struct metrics *metrics, size_t id, int64_t value)
{
    const struct series *series = series_at(metrics, id, METRIC_GAUGE);
    atomic_store_explicit(series->values, (uint64_t)value, memory_order_relaxed);
}

void metrics_move(struct metrics *metrics, size_t id, int64_t by)
{
    const struct series *series = series_at(metrics, id, METRIC_GAUGE);
    atomic_fetch_add_explicit(series->values, (uint64_t)by, memory_order_relaxed);
}

void metrics_observe(struct metrics *metrics, size_t id, uint64_t value)
{
    const struct series *series = series_at(metrics, id, METRIC_HISTOGRAM);
    size_t bucket = 0;
    while (bucket < series->n_buckets && value > series->buckets[bucket])
        bucket++;
    atomic_fetch_add_explicit(series->values, value, memory_order_relaxed);
    atomic_fetch_add_explicit(series->values + 1 + bucket, 1, memory_order_relaxed);
}

static uint64_t value_at(const struct series *series, size_t at)
{
    return atomic_load_explicit(series->values + at, memory_order_relaxed);
}

int64_t metrics_value(const struct metrics *metrics, size_t id)
{
    SA_ASSERT(id < metrics->n);
    const struct series *series = &metrics->series[id];
    if (series->kind != METRIC_HISTOGRAM)
        return (int64_t)value_at(series, 0);
    uint64_t count = 0;
    for (size_t i = 0; i <= series->n_buckets; i++)
        count += value_at(series, 1 + i);
    return (int64_t)count;
}

/* ---- text ---- */

enum status metrics_collect(struct metrics *metrics, metrics_collector collect, void *context,
                            struct error *err)
{
    if (metrics->n_collectors == METRICS_COLLECTORS_MAX)
        return error_set(err, STATUS_EXHAUSTED, "more than %d collectors", METRICS_COLLECTORS_MAX);
    metrics->collectors[metrics->n_collectors].collect = collect;
    metrics->collectors[metrics->n_collectors].context = context;
    metrics->n_collectors++;
    return STATUS_OK;
}

static void write_histogram(FILE *out, const struct series *series)
{
    char number[METRICS_NUMBER_MAX];
    const char *labels = series->labels, *comma = *labels ? "," : "";
    uint64_t sum = value_at(series, 0), count = 0;
    for (size_t i = 0; i <= series->n_buckets; i++) {
        count += value_at(series, 1 + i);
        if (i < series->n_buckets)
            metrics_number(number, series->buckets[i], false, series->decimals);
        else
            snprintf(number, sizeof(number), "+Inf");
        fprintf(out, "%s_bucket{%s%sle=\"%s\"} %llu\n", series->name, labels, comma, number,
                (unsigned long long)count);
    }
    const char *open = *labels ? "{" : "", *close = *labels ? "}" : "";
    metrics_number(number, sum, false, series->decimals);
    fprintf(out, "%s_sum%s%s%s %s\n", series->name, open, labels, close, number);
    fprintf(out, "%s_count%s%s%s %llu\n", series->name, open, labels, close,
            (unsigned long long)count);
}

static void write_series(FILE *out, const struct series *series)
{
    if (series->first)
        metrics_text_family(out, series->name, series->help, series->kind);
    if (series->kind == METRIC_HISTOGRAM) {
        write_histogram(out, series);
        return;
    }
    char number[METRICS_NUMBER_MAX];
    uint64_t value = value_at(series, 0);
    bool negative = series->kind == METRIC_GAUGE && (int64_t)value < 0;
    metrics_number(number, negative ? 0 - value : value, negative, series->decimals);
    const char *open = *series->labels ? "{" : "", *close = *series->labels ? "}" : "";
    fprintf(out, "%s%s%s%s %s\n", series->name, open, series->labels, close, number);
}

enum status metrics_render(const struct metrics *metrics, char **text, size_t *size,
                           struct error *err)
{
    char *whole = NULL;
    size_t n = 0;
    *text = NULL;
    *size = 0;
    FILE *out = open_memstream(&whole, &n);
    if (!out)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the text of the metrics");
    for (size_t i = 0; i < metrics->n; i++)
        write_series(out, &metrics->series[i]);
    for (size_t i = 0; i < metrics->n_collectors; i++)
        metrics->collectors[i].collect(metrics->collectors[i].context, out);
    int failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        free(whole);
        return error_set(err, STATUS_NO_MEMORY, "no memory for the text of the metrics");
    }
    *text = whole;
    *size = n;
    return STATUS_OK;
}
