#include "observe.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/version.h"
#include "http/probes.h"

enum observe_state { STATE_LOADING, STATE_SERVING, STATE_DRAINING };

struct observe {
    struct metrics *metrics;
    struct probes *probes;                  /* NULL: not asked for */
    pthread_mutex_t lock;                   /* of all below */
    enum observe_state state;
    struct registration *registration;      /* NULL: none (any more) */
    struct gate *gate;                      /* NULL: not yet */
    struct serve *serve;                    /* NULL: not yet, or not any more */
    char model[64], fingerprint[20];
};

/* ---- the thread of the probes ---- */

static void refresh(void *context)
{
    struct observe *observe = context;
    struct registration_state heard = {0};
    pthread_mutex_lock(&observe->lock);
    if (observe->registration)
        heard = registration_state(observe->registration);
    metrics_set(observe->metrics, TARGET_METRIC_READY, observe->state == STATE_SERVING);
    metrics_set(observe->metrics, TARGET_METRIC_DRAINING, observe->state == STATE_DRAINING);
    pthread_mutex_unlock(&observe->lock);
    metrics_set(observe->metrics, TARGET_METRIC_COORDINATOR_UP, heard.up);
    metrics_set(observe->metrics, TARGET_METRIC_POLICY_AGE, (int64_t)heard.age_us);
}

static bool ready(void *context, char reason[PROBES_REASON_MAX])
{
    struct observe *observe = context;
    pthread_mutex_lock(&observe->lock);
    enum observe_state state = observe->state;
    pthread_mutex_unlock(&observe->lock);
    if (state != STATE_SERVING)
        snprintf(reason, PROBES_REASON_MAX, "%s",
                 state == STATE_LOADING ? "the model is being loaded" : "shutting down");
    return state == STATE_SERVING;
}

static void write_model(const struct observe *observe, FILE *out)
{
    const struct metric_label labels[2] = {{"model", observe->model},
                                           {"fingerprint", observe->fingerprint}};
    const struct metric_sample sample = {.name = "specasr_target_info", .labels = labels,
                                         .n_labels = 2, .value = 1};
    metrics_text_family(out, sample.name, "The model that is served.", METRIC_GAUGE);
    metrics_text_sample(out, &sample);
}

static void write_guards(const struct observe *observe, FILE *out)
{
    const struct rpc_server_counts counts = serve_guard_counts(observe->serve);
    const struct {
        const char *reason;
        uint64_t n;
    } rows[] = {{"silent", counts.silent}, {"unread", counts.stalled},
                {"too_many", counts.refused}, {"cancels", counts.cut}};
    static const char name[] = "specasr_target_calls_guarded_total";
    metrics_text_family(out, name, "Calls ended for what their client holds.", METRIC_COUNTER);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct metric_label label = {"reason", rows[i].reason};
        const struct metric_sample sample = {.name = name, .labels = &label, .n_labels = 1,
                                             .value = (int64_t)rows[i].n};
        metrics_text_sample(out, &sample);
    }
}

static void collect(void *context, FILE *out)
{
    struct observe *observe = context;
    metrics_build_info(out, "target_node", SPECASR_VERSION);
    pthread_mutex_lock(&observe->lock);
    if (observe->model[0])
        write_model(observe, out);
    if (observe->gate)
        gate_collect(observe->gate, out);
    if (observe->serve) {
        metrics_certificate(out, serve_certificate_expiry(observe->serve));
        write_guards(observe, out);
    }
    if (observe->registration)
        registration_collect(observe->registration, out);
    pthread_mutex_unlock(&observe->lock);
}

static bool add_session(cJSON *array, const struct serve_session *s)
{
    cJSON *object = cJSON_CreateObject();
    bool good = object && cJSON_AddItemToArray(array, object);
    if (!good)
        cJSON_Delete(object);
    good = good && cJSON_AddStringToObject(object, "id", s->id) &&
           cJSON_AddStringToObject(object, "client", s->client) &&
           cJSON_AddStringToObject(object, "state", s->state) &&
           cJSON_AddNumberToObject(object, "epoch", s->epoch) &&
           cJSON_AddNumberToObject(object, "age_s", (double)s->age_us / 1e6) &&
           cJSON_AddNumberToObject(object, "windows", (double)s->windows) &&
           cJSON_AddNumberToObject(object, "rows", (double)s->rows);
    if (good && s->lag_us > 0)
        return cJSON_AddNumberToObject(object, "lag_s", (double)s->lag_us / 1e6) != NULL;
    return good && cJSON_AddNullToObject(object, "lag_s") != NULL;
}

/* NULL: no memory. */
static char *sessions_text(const struct serve_session *sessions, size_t n)
{
    cJSON *object = cJSON_CreateObject();
    bool good = object && cJSON_AddNumberToObject(object, "n", (double)n);
    cJSON *array = good ? cJSON_AddArrayToObject(object, "sessions") : NULL;
    for (size_t i = 0; array && i < n; i++)
        if (!add_session(array, &sessions[i]))
            array = NULL;
    char *text = array ? cJSON_PrintUnformatted(object) : NULL;
    cJSON_Delete(object);
    return text;
}

static void reply_sessions(void *context, struct http_reply *reply)
{
    enum { SHOWN_MAX = 1000 };
    struct observe *observe = context;
    struct serve_session *sessions = calloc(SHOWN_MAX, sizeof(*sessions));
    struct error err = {0};
    size_t n = 0;
    enum status rc = error_set(&err, STATUS_UNAVAILABLE, "not serving");
    pthread_mutex_lock(&observe->lock);
    if (observe->serve && sessions)
        rc = serve_sessions(observe->serve, sessions, SHOWN_MAX, &n, &err);
    pthread_mutex_unlock(&observe->lock);
    char *text = rc == STATUS_OK ? sessions_text(sessions, n) : NULL;
    if (text)
        http_reply_take(reply, 200, "application/json", text, strlen(text));
    else
        http_reply_text(reply, 503, "%s\n", rc == STATUS_OK ? "no memory" : err.text);
    free(sessions);
}

/* ---- life ---- */

static enum status start_probes(struct observe *observe, const char *listen, struct error *err)
{
    const struct http_route sessions = {"/sessions", reply_sessions, observe};
    struct probes_options options = {.listen = listen, .metrics = observe->metrics,
                                     .refresh = refresh, .ready = ready, .context = observe,
                                     .routes = &sessions, .n_routes = 1};
    enum status rc = probes_start(&options, &observe->probes, err);
    if (rc == STATUS_OK)
        log_line(LOG_INFO, "metrics on port %u (--metrics %s)", probes_port(observe->probes),
                 listen);
    return rc;
}

enum status observe_start(const char *listen, struct registration *registration,
                          struct observe **out, struct error *err)
{
    struct observe *observe = calloc(1, sizeof(*observe));
    *out = NULL;
    if (!observe)
        return error_set(err, STATUS_NO_MEMORY, "no memory for metrics");
    pthread_mutex_init(&observe->lock, NULL);
    observe->registration = registration;
    enum status rc = metrics_new(metrics_target, TARGET_METRICS_N, &observe->metrics, err);
    if (rc == STATUS_OK)
        rc = metrics_collect(observe->metrics, collect, observe, err);
    if (rc == STATUS_OK)
        rc = metrics_collect(observe->metrics, metrics_process, NULL, err);
    if (rc == STATUS_OK && listen)
        rc = start_probes(observe, listen, err);
    if (rc != STATUS_OK)
        observe_stop(&observe);
    *out = observe;
    return rc;
}

struct metrics *observe_metrics(struct observe *observe)
{
    return observe ? observe->metrics : NULL;
}

void observe_gate(struct observe *observe, struct gate *gate)
{
    pthread_mutex_lock(&observe->lock);
    observe->gate = gate;
    pthread_mutex_unlock(&observe->lock);
}

void observe_serving(struct observe *observe, struct serve *serve,
                     const struct wire_target_info *info)
{
    pthread_mutex_lock(&observe->lock);
    observe->state = STATE_SERVING;
    observe->serve = serve;
    snprintf(observe->model, sizeof(observe->model), "%s", info->model);
    snprintf(observe->fingerprint, sizeof(observe->fingerprint), "%016" PRIx64, info->fingerprint);
    pthread_mutex_unlock(&observe->lock);
}

void observe_draining(struct observe *observe)
{
    if (!observe)
        return;
    pthread_mutex_lock(&observe->lock);
    observe->state = STATE_DRAINING;
    observe->registration = NULL;
    observe->serve = NULL;
    pthread_mutex_unlock(&observe->lock);
}

void observe_stop(struct observe **observe)
{
    if (!*observe)
        return;
    probes_stop(&(*observe)->probes);
    metrics_free(&(*observe)->metrics);
    pthread_mutex_destroy(&(*observe)->lock);
    free(*observe);
    *observe = NULL;
}
