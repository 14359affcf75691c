/* Any bytes as the metrics of another process: read to the end, and nothing beyond it. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "metrics/read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char label[16];
    struct metrics_line line;
    char *text = malloc(size + 1);
    SA_ASSERT(text);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    const char *at = text;
    while (metrics_read_line(&at, &line)) {
        SA_ASSERT(line.n_series >= line.n_name && !isnan(line.value));
        SA_ASSERT(line.series + line.n_series < at);
        if (metrics_read_label(&line, "le", label, sizeof(label)))
            SA_ASSERT(strlen(label) < sizeof(label));
    }
    SA_ASSERT(*at == '\0');
    (void)metrics_read_quantile(text, text, "specasr_target_final_lag_seconds", 0.5);
    (void)metrics_read_quantile("", text, "h", 0.99);
    free(text);
    return 0;
}
