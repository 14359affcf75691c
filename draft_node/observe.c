#include "observe.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "config/version.h"
#include "http/probes.h"

struct observe {
    struct metrics *metrics;
    struct probes *probes;
    atomic_bool open;
    _Atomic int64_t certificate_expiry;
};

static bool ready(void *context, char reason[PROBES_REASON_MAX])
{
    struct observe *observe = context;
    bool open = atomic_load(&observe->open);
    if (!open)
        snprintf(reason, PROBES_REASON_MAX, "no session with a target");
    return open;
}

static void collect(void *context, FILE *out)
{
    struct observe *observe = context;
    metrics_build_info(out, "draft_node", SPECASR_VERSION);
    metrics_certificate(out, atomic_load(&observe->certificate_expiry));
}

enum status observe_start(const char *listen, struct observe **out, struct error *err)
{
    struct observe *observe = listen ? calloc(1, sizeof(*observe)) : NULL;
    *out = NULL;
    if (!listen)
        return STATUS_OK;
    if (!observe)
        return error_set(err, STATUS_NO_MEMORY, "no memory for metrics");
    enum status rc = metrics_new(metrics_client, CLIENT_METRICS_N, &observe->metrics, err);
    if (rc == STATUS_OK)
        rc = metrics_collect(observe->metrics, collect, observe, err);
    if (rc == STATUS_OK)
        rc = metrics_collect(observe->metrics, metrics_process, NULL, err);
    struct probes_options options = {.listen = listen, .metrics = observe->metrics, .ready = ready,
                                     .context = observe};
    if (rc == STATUS_OK)
        rc = probes_start(&options, &observe->probes, err);
    if (rc == STATUS_OK)
        log_line(LOG_INFO, "metrics on port %u (--metrics %s)", probes_port(observe->probes),
                 listen);
    else
        observe_stop(&observe);
    *out = observe;
    return rc;
}

void observe_stop(struct observe **observe)
{
    if (!*observe)
        return;
    probes_stop(&(*observe)->probes);
    metrics_free(&(*observe)->metrics);
    free(*observe);
    *observe = NULL;
}

void observe_session(struct observe *observe, bool open)
{
    if (!observe)
        return;
    atomic_store(&observe->open, open);
    metrics_set(observe->metrics, CLIENT_METRIC_SESSIONS, open);
}

void observe_lost(struct observe *observe, enum client_metric reason)
{
    if (observe)
        metrics_add(observe->metrics, reason, 1);
}

void observe_final(struct observe *observe, uint64_t lag_us, uint64_t n_drafted)
{
    if (!observe)
        return;
    metrics_observe(observe->metrics, CLIENT_METRIC_LAG, lag_us);
    metrics_add(observe->metrics, CLIENT_METRIC_DRAFTED, n_drafted);
}

void observe_state(struct observe *observe, const struct observe_state *state)
{
    if (!observe)
        return;
    metrics_set(observe->metrics, CLIENT_METRIC_ROUND_TRIP, (int64_t)state->round_trip_us);
    metrics_set(observe->metrics, CLIENT_METRIC_UNSENT, (int64_t)state->unsent_us);
    atomic_store(&observe->certificate_expiry, state->certificate_expiry);
}
