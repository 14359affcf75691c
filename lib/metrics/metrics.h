/* metrics.h: what a program counts, for Prometheus (text format 0.0.4).
 *
 * A program has one table of definitions; an index into it names a series. The table is copied and
 * checked once; from then on any thread updates with one atomic operation, without a lock and
 * without memory:
 *
 *     enum { PASSES, LAG, N };
 *     static const struct metric_def defs[N] = {
 *         [PASSES] = {"specasr_target_passes_total", "Forward passes.", METRIC_COUNTER},
 *         [LAG] = {"specasr_target_final_lag_seconds", "End of speech to final text.",
 *                  METRIC_HISTOGRAM, .decimals = 6, .buckets = lag_us, .n_buckets = 9},
 *     };
 *     metrics_new(defs, N, &metrics, &err);
 *     metrics_add(metrics, PASSES, 1);
 *     metrics_observe(metrics, LAG, 231000);              microseconds; shown as 0.231
 *
 * Values are integers with a fixed number of decimals, so that sums are exact and text is the same
 * in every locale. Series whose labels are not known at start (per client, per target) are written
 * by a collector (metrics_collect) at the time of the scrape.
 */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

enum {
    METRICS_LABELS_MAX = 4,
    METRICS_BUCKETS_MAX = 32,
    METRICS_COLLECTORS_MAX = 8,
    METRICS_DECIMALS_MAX = 9,
    METRICS_LABEL_TEXT_MAX = 512        /* all labels of a series, escaped */
};

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_label {
    const char *name;                   /* [a-zA-Z_][a-zA-Z0-9_]*, not "le", no leading "__" */
    const char *value;                  /* any UTF-8; escaped on output */
};

/* One series. Series of one name stand next to each other and have the same help, kind, decimals,
 * buckets and label names. Zero members: none. */
struct metric_def {
    const char *name;                   /* [a-zA-Z_:][a-zA-Z0-9_:]*; a counter ends in _total */
    const char *help;
    enum metric_kind kind;
    uint8_t decimals;                   /* value / 10^decimals is shown */
    uint8_t n_buckets;
    const uint64_t *buckets;            /* histogram: upper bounds, inclusive, ascending; +Inf is
                                         * added. Borrowed for the life of the metrics. */
    struct metric_label labels[METRICS_LABELS_MAX];     /* up to the first without a name */
};

struct metrics;

/* Copies names, help and labels. STATUS_INVALID (the text names the series and the rule),
 * _NO_MEMORY. */
MUST_CHECK enum status metrics_new(const struct metric_def *defs, size_t n, struct metrics **out,
                                   struct error *err);

/* Nobody may be inside a call. Accepts NULL; nulls the pointer. */
void metrics_free(struct metrics **metrics);

/* ---- updates: any thread, no lock, no allocation. A wrong id or kind is a bug (asserted). ---- */

void metrics_add(struct metrics *metrics, size_t id, uint64_t n);           /* counter */
void metrics_set(struct metrics *metrics, size_t id, int64_t value);        /* gauge */
void metrics_move(struct metrics *metrics, size_t id, int64_t by);          /* gauge, relative */
void metrics_observe(struct metrics *metrics, size_t id, uint64_t value);   /* histogram */

/* The counter's or gauge's value, or how much a histogram has seen. */
int64_t metrics_value(const struct metrics *metrics, size_t id);

/* ---- text ---- */

/* Writes families that the table has not (metrics_text_*); runs on the thread that renders. */
typedef void (*metrics_collector)(void *context, FILE *out);

/* Before the first render. STATUS_EXHAUSTED beyond METRICS_COLLECTORS_MAX. */
MUST_CHECK enum status metrics_collect(struct metrics *metrics, metrics_collector collect,
                                       void *context, struct error *err);

/* The whole exposition; *text is malloc'ed, ends in a zero byte beyond *size, and is the caller's.
 * Any thread; collectors must bear it. Each series is read once: a histogram's +Inf bucket always
 * equals its count, while its sum may miss, or have more, what is under way. STATUS_NO_MEMORY. */
MUST_CHECK enum status metrics_render(const struct metrics *metrics, char **text, size_t *size,
                                      struct error *err);

/* For collectors: the head of a family, then its samples. Labels are escaped; a value is shown with
 * `decimals` as above. Write errors show in metrics_render. */
void metrics_text_family(FILE *out, const char *name, const char *help, enum metric_kind kind);

struct metric_sample {
    const char *name;
    const struct metric_label *labels;
    size_t n_labels;
    int64_t value;
    uint8_t decimals;
};
void metrics_text_sample(FILE *out, const struct metric_sample *sample);

/* For collectors: specasr_build_info; specasr_certificate_expiry_seconds of a certificate that is
 * good until `expiry` (seconds since 1970), nothing for 0. */
void metrics_build_info(FILE *out, const char *program, const char *version);
void metrics_certificate(FILE *out, int64_t expiry);

/* A collector with the usual process_* series (memory, processor time, open files, start time),
 * from /proc; what cannot be read is left out. The context is not used. */
void metrics_process(void *context, FILE *out);

#endif
