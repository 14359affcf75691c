#include "http/http_int.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool http_split_address(const char *address, char host[HTTP_HOST_MAX], char port[HTTP_PORT_MAX])
{
    const char *colon = strrchr(address, ':');
    if (!colon || !colon[1] || strlen(colon + 1) >= HTTP_PORT_MAX)
        return false;
    const char *from = address, *to = colon;
    if (*from == '[') {
        if (to - from < 2 || to[-1] != ']')
            return false;
        from++;
        to--;
    } else if (memchr(from, ':', (size_t)(to - from))) {
        return false;                   /* a bare ::1:80 could mean two things */
    }
    size_t n = (size_t)(to - from);
    if (n >= HTTP_HOST_MAX)
        return false;
    memcpy(host, from, n);
    host[n] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    for (const char *c = port; *c; c++)
        if (*c < '0' || *c > '9')
            return false;
    return true;
}

static enum status bind_one(const struct addrinfo *info, const char *listen_at, int *out,
                            struct error *err)
{
    int one = 1;
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    info->ai_protocol);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
        bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, 64) == 0) {
        *out = fd;
        return STATUS_OK;
    }
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (why == EACCES || why == EPERM)
        return error_set(err, STATUS_DENIED, "not allowed to listen on %s: %s", listen_at,
                         strerror(why));
    return error_set(err, STATUS_UNAVAILABLE, "cannot listen on %s: %s", listen_at, strerror(why));
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage address;
    char port[8] = "";
    socklen_t n = sizeof(address);
    unsigned number = 0;
    if (getsockname(fd, (struct sockaddr *)&address, &n) == 0 &&
        getnameinfo((struct sockaddr *)&address, n, NULL, 0, port, sizeof(port),
                    NI_NUMERICSERV) == 0)
        for (const char *c = port; *c >= '0' && *c <= '9'; c++)
            number = number * 10 + (unsigned)(*c - '0');
    return (uint16_t)number;
}

enum status http_listen(const char *address, int *fd, uint16_t *port, struct error *err)
{
    char host[HTTP_HOST_MAX], service[HTTP_PORT_MAX];
    if (!address || !http_split_address(address, host, service))
        return error_set(err, STATUS_INVALID, "\"%s\" is no address: use HOST:PORT or [IPV6]:PORT",
                         address ? address : "");
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(*host ? host : "127.0.0.1", service, &wanted, &found);
    if (rc != 0)
        return error_set(err, rc == EAI_MEMORY ? STATUS_NO_MEMORY : STATUS_UNAVAILABLE,
                         "cannot listen on %s: %s", address, gai_strerror(rc));
    enum status status = STATUS_UNAVAILABLE;
    for (const struct addrinfo *info = found; info && status != STATUS_OK; info = info->ai_next)
        status = bind_one(info, address, fd, err);
    freeaddrinfo(found);
    if (status == STATUS_OK) {
        *port = bound_port(*fd);
        error_clear(err);
    }
    return status;
}
