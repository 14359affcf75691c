/* metrics_int.h: how numbers and labels become text. */
#ifndef METRICS_METRICS_INT_H
#define METRICS_METRICS_INT_H

#include <stdbool.h>

#include "metrics/metrics.h"

enum { METRICS_NUMBER_MAX = 32 };

/* value / 10^decimals, without trailing zeros; from integers, so no locale has a say. */
void metrics_number(char text[METRICS_NUMBER_MAX], uint64_t value, bool negative, uint8_t decimals);

/* name="value",name="value" with \, " and newline escaped. false: it does not fit. */
bool metrics_labels(char *text, size_t size, const struct metric_label *labels, size_t n);

const char *metrics_kind_name(enum metric_kind kind);

#endif
