/* libmicrohttpd with one polling thread behind the routes. A request is answered at its first
 * callback, before any body could come, so nothing of it is ever kept. */
#include "http/http.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "http/http_int.h"

enum {
    CONNECTIONS_DEFAULT = 16,
    TIMEOUT_DEFAULT_S = 10,
    CONNECTION_BYTES = 16384            /* request line and headers; more is answered with 431 */
};

struct http_reply {
    unsigned code;
    const char *type;
    char *body;
    size_t size;
};

struct http_server {
    struct MHD_Daemon *daemon;
    uint16_t port;
    size_t n_routes;
    struct http_route routes[];         /* with own copies of the paths */
};

void http_reply_take(struct http_reply *reply, unsigned code, const char *type, char *body,
                     size_t size)
{
    free(reply->body);
    reply->code = code;
    reply->type = type;
    reply->body = body;
    reply->size = size;
}

void http_reply_text(struct http_reply *reply, unsigned code, const char *fmt, ...)
{
    va_list args;
    char *body = NULL;
    va_start(args, fmt);
    int n = vasprintf(&body, fmt, args);
    va_end(args);
    if (n < 0)
        http_reply_take(reply, MHD_HTTP_INTERNAL_SERVER_ERROR, "text/plain", NULL, 0);
    else
        http_reply_take(reply, code, "text/plain; charset=utf-8", body, (size_t)n);
}

/* Hands the body over to libmicrohttpd. */
static enum MHD_Result send_reply(struct MHD_Connection *connection, struct http_reply *reply)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(reply->size, reply->body, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(reply->body);
        return MHD_NO;                  /* no memory: the connection closes */
    }
    enum MHD_Result sent = MHD_YES;
    if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->type) == MHD_NO ||
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") == MHD_NO ||
        (reply->code == MHD_HTTP_METHOD_NOT_ALLOWED &&
         MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") == MHD_NO))
        sent = MHD_NO;
    if (sent == MHD_YES)
        sent = MHD_queue_response(connection, reply->code, response);
    MHD_destroy_response(response);
    return sent;
}

static const struct http_route *find_route(const struct http_server *server, const char *path)
{
    for (size_t i = 0; i < server->n_routes; i++)
        if (strcmp(server->routes[i].path, path) == 0)
            return &server->routes[i];
    return NULL;
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *body,
                              size_t *n_body, void **request)
{
    (void)version, (void)body, (void)n_body, (void)request;
    const struct http_server *server = context;
    const struct http_route *route = find_route(server, path);
    struct http_reply reply = {.code = MHD_HTTP_INTERNAL_SERVER_ERROR, .type = "text/plain"};
    if (!route)
        http_reply_text(&reply, MHD_HTTP_NOT_FOUND, "not found\n");
    else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        http_reply_text(&reply, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    else
        route->handle(route->context, &reply);
    return send_reply(connection, &reply);
}

/* What peers do wrong is no trouble of ours: it shows only when someone debugs. */
static void log_library(void *context, const char *fmt, va_list args) PRINTF_LIKE(2, 0);
static void log_library(void *context, const char *fmt, va_list args)
{
    (void)context;
    char text[256];
    if (!log_enabled(LOG_DEBUG))
        return;
    vsnprintf(text, sizeof(text), fmt, args);
    text[strcspn(text, "\n")] = '\0';
    log_line(LOG_DEBUG, "http: %s", text);
}

static enum status start_daemon(struct http_server *server, const struct http_options *options,
                                int fd, struct error *err)
{
    unsigned connections =
        options->connections_max ? options->connections_max : CONNECTIONS_DEFAULT;
    unsigned timeout = options->timeout_s ? options->timeout_s : TIMEOUT_DEFAULT_S;
    server->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO | MHD_USE_ERROR_LOG, 0, NULL, NULL, answer,
        server, MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        MAX(1U, connections * 3 / 4), MHD_OPTION_CONNECTION_TIMEOUT, timeout,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_END);
    if (!server->daemon)
        return error_set(err, STATUS_UNAVAILABLE, "cannot serve HTTP on %s: no memory or threads",
                         options->listen);
    return STATUS_OK;
}

static void server_free(struct http_server *server)
{
    for (size_t i = 0; i < server->n_routes; i++)
        free((char *)server->routes[i].path);
    free(server);
}

static enum status server_new(const struct http_options *options, struct http_server **out,
                              struct error *err)
{
    size_t n = options->n_routes;
    struct http_server *server = calloc(1, sizeof(*server) + n * sizeof(server->routes[0]));
    for (size_t i = 0; server && i < n; i++) {
        server->routes[i] = options->routes[i];
        server->routes[i].path = strdup(options->routes[i].path);
        server->n_routes = i + 1;
        if (!server->routes[i].path) {
            server_free(server);
            server = NULL;
        }
    }
    if (!server)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the HTTP server");
    *out = server;
    return STATUS_OK;
}

enum status http_start(const struct http_options *options, struct http_server **out,
                       struct error *err)
{
    struct http_server *server = NULL;
    int fd = -1;
    *out = NULL;
    enum status status = server_new(options, &server, err);
    if (status != STATUS_OK)
        return status;
    status = http_listen(options->listen, &fd, &server->port, err);
    if (status == STATUS_OK)
        status = start_daemon(server, options, fd, err); /* closes fd in the end */
    if (status != STATUS_OK) {
        server_free(server);
        return status;
    }
    *out = server;
    return STATUS_OK;
}

uint16_t http_port(const struct http_server *server)
{
    return server->port;
}

void http_stop(struct http_server **server)
{
    struct http_server *old = *server;
    *server = NULL;
    if (!old)
        return;
    MHD_stop_daemon(old->daemon);
    server_free(old);
}
