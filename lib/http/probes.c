#include "http/probes.h"

#include <stdlib.h>

struct probes {
    struct probes_options options;
    struct http_server *server;
};

static void reply_metrics(void *context, struct http_reply *reply)
{
    const struct probes_options *options = &((struct probes *)context)->options;
    char *text;
    size_t size;
    struct error err;
    if (options->refresh)
        options->refresh(options->context);
    if (metrics_render(options->metrics, &text, &size, &err) == STATUS_OK)
        http_reply_take(reply, 200, HTTP_TYPE_METRICS, text, size);
    else
        http_reply_text(reply, 500, "%s\n", err.text);
}

static void reply_health(void *context, struct http_reply *reply)
{
    (void)context;
    http_reply_text(reply, 200, "ok\n");
}

static void reply_ready(void *context, struct http_reply *reply)
{
    const struct probes_options *options = &((struct probes *)context)->options;
    char reason[PROBES_REASON_MAX] = "";
    if (options->ready(options->context, reason))
        http_reply_text(reply, 200, "ready\n");
    else
        http_reply_text(reply, 503, "%s\n", reason);
}

enum status probes_start(const struct probes_options *options, struct probes **out,
                         struct error *err)
{
    struct probes *probes = calloc(1, sizeof(*probes));
    *out = NULL;
    if (!probes)
        return error_set(err, STATUS_NO_MEMORY, "no memory for --metrics");
    probes->options = *options;
    struct http_route routes[3 + PROBES_ROUTES_MAX] = {
        {"/metrics", reply_metrics, probes},
        {"/healthz", reply_health, probes},
        {"/readyz", reply_ready, probes},
    };
    SA_ASSERT(options->n_routes <= PROBES_ROUTES_MAX);
    for (size_t i = 0; i < options->n_routes; i++)
        routes[3 + i] = options->routes[i];
    struct http_options http = {.listen = options->listen, .routes = routes,
                                .n_routes = 3 + options->n_routes};
    enum status rc = http_start(&http, &probes->server, err);
    if (rc != STATUS_OK) {
        error_prefix(err, "--metrics");
        free(probes);
        return rc;
    }
    *out = probes;
    return STATUS_OK;
}

uint16_t probes_port(const struct probes *probes)
{
    return http_port(probes->server);
}

void probes_stop(struct probes **probes)
{
    if (!*probes)
        return;
    http_stop(&(*probes)->server);
    free(*probes);
    *probes = NULL;
}
