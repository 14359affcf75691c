#include "distance.h"

#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/options.h"

/* The descriptor of a connection that has begun; -1: none. */
static int begin(const char *address)
{
    struct option_address parsed;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char port[8];
    if (option_address_parse(address, &parsed, NULL) != STATUS_OK)
        return -1;
    snprintf(port, sizeof(port), "%u", parsed.port);
    if (getaddrinfo(parsed.host, port, &hints, &found) != 0)
        return -1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)connect(fd, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return fd;
}

uint32_t distance_us(const char *address, uint32_t timeout_ms)
{
    struct clock clock = clock_monotonic();
    int fd = begin(address), failed = 1;    /* looked up before the clock begins to count */
    if (fd < 0)
        return 0;
    uint64_t start = clock_us(&clock);
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    socklen_t size = sizeof(failed);
    if (poll(&wait, 1, (int)timeout_ms) == 1)
        (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size);
    uint64_t took = clock_us(&clock) - start;
    close(fd);
    return failed ? 0 : (uint32_t)(took ? took : 1);
}
