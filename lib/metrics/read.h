/* read.h: reads the text that metrics_render writes, of another process. Any bytes may come: what
 * is no sample is passed over. */
#ifndef METRICS_READ_H
#define METRICS_READ_H

#include <stdbool.h>
#include <stddef.h>

/* One sample, borrowed from the text. */
struct metrics_line {
    const char *series;                     /* name{label="value",...} */
    size_t n_series, n_name;
    double value;
};

/* The next sample; *text moves behind it. false: the end. */
bool metrics_read_line(const char **text, struct metrics_line *out);

/* The value of a series, written as the text has it: its name, or name{label="value"}. */
bool metrics_read_value(const char *text, const char *series, double *out);

/* The value of a label, without escapes, cut at max - 1 bytes; false: it has none of that name. */
bool metrics_read_label(const struct metrics_line *line, const char *label, char *out, size_t max);

/* The value below which `share` of a histogram lies, between two texts of one process (an empty
 * earlier one: since its start): the upper bound of the bucket, summed over all its series.
 * INFINITY: above the last bound; -1: nothing was counted. */
double metrics_read_quantile(const char *earlier, const char *text, const char *histogram,
                             double share);

#endif
