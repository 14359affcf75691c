/* probes.h: what every program serves on --metrics HOST:PORT:
 *
 *     /metrics     Prometheus text
 *     /healthz     200: the process answers
 *     /readyz      200: it would take work now; else 503 and the reason in words
 */
#ifndef HTTP_PROBES_H
#define HTTP_PROBES_H

#include <stdbool.h>
#include <stdint.h>

#include "http/http.h"
#include "metrics/metrics.h"

enum { PROBES_REASON_MAX = 128 };

/* All callbacks run on the door's thread, one at a time, and are quick. */
struct probes_options {
    const char *listen;                     /* as http_options.listen */
    const struct metrics *metrics;          /* borrowed until probes_stop */
    /* Brings gauges up to date before they are shown; may be NULL. */
    void (*refresh)(void *context);
    /* Would it take work now? If not, writes why. */
    bool (*ready)(void *context, char reason[PROBES_REASON_MAX]);
    void *context;
    const struct http_route *routes;        /* [n_routes], more pages of this program; copied */
    size_t n_routes;
};

enum { PROBES_ROUTES_MAX = 4 };

struct probes;

/* Serves when it returns. Statuses as http_start; the text names the option. */
MUST_CHECK enum status probes_start(const struct probes_options *options, struct probes **out,
                                    struct error *err);

uint16_t probes_port(const struct probes *probes);

/* No callback runs any more when it returns. Accepts NULL; nulls the pointer. */
void probes_stop(struct probes **probes);

#endif
