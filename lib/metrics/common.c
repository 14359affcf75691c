#include <time.h>

#include "metrics/metrics.h"

/* Series that more than one program has, for their collectors. */

void metrics_build_info(FILE *out, const char *program, const char *version)
{
    const struct metric_label labels[] = {{"program", program}, {"version", version}};
    const struct metric_sample sample = {.name = "specasr_build_info", .labels = labels,
                                         .n_labels = ARRAY_LEN(labels), .value = 1};
    metrics_text_family(out, sample.name, "The program.", METRIC_GAUGE);
    metrics_text_sample(out, &sample);
}

void metrics_certificate(FILE *out, int64_t expiry)
{
    const struct metric_sample sample = {.name = "specasr_certificate_expiry_seconds",
                                         .value = expiry - (int64_t)time(NULL)};
    if (expiry == 0)
        return;
    metrics_text_family(out, sample.name, "Until the own certificate expires.", METRIC_GAUGE);
    metrics_text_sample(out, &sample);
}
