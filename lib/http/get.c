#include "http/get.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/http_int.h"

struct fetch {
    const char *address;
    uint64_t until_us;
    int fd;
    char *bytes;
    size_t n, capacity;
};

/* Until the socket is ready for `events`, or the time is over. */
static enum status await(const struct fetch *fetch, short events, struct error *err)
{
    struct clock clock = clock_monotonic();
    struct pollfd one = {.fd = fetch->fd, .events = events};
    uint64_t now = clock_us(&clock);
    int wait_ms = now < fetch->until_us ? (int)((fetch->until_us - now + 999) / 1000) : 0;
    int rc = poll(&one, 1, wait_ms);
    if (rc < 0 && errno == EINTR)
        return STATUS_OK;                   /* the call that follows says "again" */
    return rc > 0 ? STATUS_OK
                  : error_set(err, STATUS_TIMEOUT, "%s does not answer", fetch->address);
}

static enum status dial(struct fetch *fetch, const struct addrinfo *info, struct error *err)
{
    int why = 0;
    socklen_t n = sizeof(why);
    fetch->fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                       info->ai_protocol);
    if (fetch->fd < 0)
        return error_set(err, STATUS_UNAVAILABLE, "no socket: %s", strerror(errno));
    if (connect(fetch->fd, info->ai_addr, info->ai_addrlen) == 0)
        return STATUS_OK;
    if (errno != EINPROGRESS)
        return error_set(err, STATUS_UNAVAILABLE, "cannot reach %s: %s", fetch->address,
                         strerror(errno));
    enum status rc = await(fetch, POLLOUT, err);
    if (rc == STATUS_OK && getsockopt(fetch->fd, SOL_SOCKET, SO_ERROR, &why, &n) == 0 && why != 0)
        rc = error_set(err, STATUS_UNAVAILABLE, "cannot reach %s: %s", fetch->address,
                       strerror(why));
    return rc;
}

static enum status open_line(struct fetch *fetch, struct error *err)
{
    char host[HTTP_HOST_MAX], port[HTTP_PORT_MAX];
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    if (!http_split_address(fetch->address, host, port))
        return error_set(err, STATUS_INVALID, "\"%s\" is no address: use HOST:PORT or [IPV6]:PORT",
                         fetch->address);
    int rc = getaddrinfo(*host ? host : "127.0.0.1", port, &wanted, &found);
    if (rc != 0)
        return error_set(err, STATUS_UNAVAILABLE, "cannot reach %s: %s", fetch->address,
                         gai_strerror(rc));
    enum status status = STATUS_UNAVAILABLE;
    for (const struct addrinfo *info = found; info && status == STATUS_UNAVAILABLE;
         info = info->ai_next) {
        if (fetch->fd >= 0)
            close(fetch->fd);
        status = dial(fetch, info, err);
    }
    freeaddrinfo(found);
    return status;
}

static enum status ask(struct fetch *fetch, const char *path, struct error *err)
{
    char request[512];
    int n = snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", path,
                     fetch->address);
    SA_ASSERT(n > 0 && (size_t)n < sizeof(request));
    for (ssize_t sent = 0; sent < n;) {
        ssize_t rc = send(fetch->fd, request + sent, (size_t)(n - sent), MSG_NOSIGNAL);
        if (rc < 0 && errno != EAGAIN && errno != EINTR)
            return error_set(err, STATUS_UNAVAILABLE, "%s: %s", fetch->address, strerror(errno));
        sent += rc > 0 ? rc : 0;
        enum status status = rc < 0 ? await(fetch, POLLOUT, err) : STATUS_OK;
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* Room for more bytes and the zero behind them. */
static enum status grow(struct fetch *fetch, struct error *err)
{
    if (fetch->n + 1 < fetch->capacity)
        return STATUS_OK;
    if (fetch->capacity > HTTP_BODY_MAX)
        return error_set(err, STATUS_EXHAUSTED, "%s: more than %d bytes", fetch->address,
                         HTTP_BODY_MAX);
    size_t capacity = fetch->capacity ? 2 * fetch->capacity : 16384;
    char *grown = realloc(fetch->bytes, capacity);
    if (!grown)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the answer of %s", fetch->address);
    fetch->bytes = grown;
    fetch->capacity = capacity;
    return STATUS_OK;
}

static enum status read_all(struct fetch *fetch, struct error *err)
{
    for (;;) {
        enum status rc = grow(fetch, err);
        if (rc == STATUS_OK)
            rc = await(fetch, POLLIN, err);
        if (rc != STATUS_OK)
            return rc;
        ssize_t n = recv(fetch->fd, fetch->bytes + fetch->n, fetch->capacity - fetch->n - 1, 0);
        if (n == 0)
            return STATUS_OK;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return error_set(err, STATUS_UNAVAILABLE, "%s: %s", fetch->address, strerror(errno));
        fetch->n += n > 0 ? (size_t)n : 0;
    }
}

/* Leaves the body alone of what came. */
static enum status take_body(struct fetch *fetch, const char *path, struct error *err)
{
    int code = 0;
    fetch->bytes[fetch->n] = '\0';
    char *body = strstr(fetch->bytes, "\r\n\r\n");
    bool http = strlen(fetch->bytes) == fetch->n && body &&
                sscanf(fetch->bytes, "HTTP/1.%*1d %3d", &code) == 1;
    if (!http)
        return error_set(err, STATUS_CORRUPT, "%s does not speak HTTP", fetch->address);
    body += 4;
    if (code != 200)
        return error_set(err, STATUS_UNAVAILABLE, "%s%s: status %d, %.*s", fetch->address, path,
                         code, (int)MIN(strcspn(body, "\r\n"), 200), body);
    memmove(fetch->bytes, body, strlen(body) + 1);
    return STATUS_OK;
}

enum status http_get(const char *address, const char *path, uint32_t timeout_ms, char **body,
                     struct error *err)
{
    struct clock clock = clock_monotonic();
    struct fetch fetch = {.address = address, .fd = -1,
                          .until_us = clock_us(&clock) + timeout_ms * 1000ull};
    *body = NULL;
    enum status rc = open_line(&fetch, err);
    if (rc == STATUS_OK)
        rc = ask(&fetch, path, err);
    if (rc == STATUS_OK)
        rc = read_all(&fetch, err);
    if (rc == STATUS_OK)
        rc = take_body(&fetch, path, err);
    if (fetch.fd >= 0)
        close(fetch.fd);
    if (rc == STATUS_OK)
        *body = fetch.bytes;
    else
        free(fetch.bytes);
    return rc;
}
