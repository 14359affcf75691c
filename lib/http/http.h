/* http.h: the small HTTP side door of a program: /metrics, /healthz, /readyz.
 *
 * Off unless a program starts it. One thread of its own runs every handler, one at a time, so a
 * handler reads only what may be read from any thread, and is quick. Only GET and HEAD of the
 * listed paths are answered: another path is 404, another method 405; bodies of requests are never
 * read. There is no TLS and no login here: say nothing in a reply that the network may not know,
 * and bind to loopback or to a closed network.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdint.h>

#include "base/status.h"

struct http_server;
struct http_reply;

typedef void (*http_handler)(void *context, struct http_reply *reply);

struct http_route {
    const char *path;                   /* "/metrics", compared whole; a query is ignored */
    http_handler handle;
    void *context;                      /* borrowed until http_stop */
};

/* Zero members take the defaults in brackets. */
struct http_options {
    /* "host:port" or "[::1]:port"; port 0: any free one. No host (":9100"): loopback only; all
     * addresses must be asked for, as "0.0.0.0:9100" or "[::]:9100". */
    const char *listen;
    const struct http_route *routes;    /* [n_routes], copied; the paths too */
    size_t n_routes;
    uint32_t connections_max;           /* open at once; three quarters from one address [16] */
    uint32_t timeout_s;                 /* a connection that is silent for so long is closed [10] */
};

/* Serves when it returns. STATUS_INVALID (an address that is none), _UNAVAILABLE (in use, not of
 * this machine: the text says which), _DENIED, _NO_MEMORY. */
MUST_CHECK enum status http_start(const struct http_options *options, struct http_server **out,
                                  struct error *err);

uint16_t http_port(const struct http_server *server);

/* Closes every connection, joins the thread, frees. No handler runs any more when it returns; not
 * from a handler. Accepts NULL; nulls the pointer. */
void http_stop(struct http_server **server);

/* ---- in a handler; the last call counts, without any the reply is 500 ---- */

/* Plain text, copied. */
void http_reply_text(struct http_reply *reply, unsigned code, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* Takes a malloc'ed body. `type` is borrowed for the life of the server. */
void http_reply_take(struct http_reply *reply, unsigned code, const char *type, char *body,
                     size_t size);

/* The content type of metrics_render's text. */
#define HTTP_TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"

#endif
