#include "bus/bus_local.h"

#include <stdlib.h>
#include <string.h>

#include "base/name.h"
#include "bus/bus_int.h"

enum { CONNECTIONS_MAX = 64, CUTS_MAX = 16 };

struct letter {
    struct letter *next;                /* by due_us, then by the order of sending */
    const struct bus_socket *from;
    uint64_t due_us;
    size_t size;
    uint8_t bytes[];
};

struct bus_socket {
    struct local_bus *bus;
    struct bus_socket *next;
    bool publisher;
    char endpoint[BUS_ENDPOINT_MAX];
    size_t n_connections;
    char connections[CONNECTIONS_MAX][BUS_ENDPOINT_MAX];
    struct letter *letters;
    struct letter *read;                /* the last one received, until the next */
};

struct local_bus {
    struct bus bus;
    uint64_t random;
    struct bus_faults faults;
    bool all_cut;
    size_t n_cuts;
    char cuts[CUTS_MAX][BUS_ENDPOINT_MAX];
    struct bus_socket *sockets;
};

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
}

static size_t find(char list[][BUS_ENDPOINT_MAX], size_t n, const char *endpoint)
{
    size_t i = 0;
    while (i < n && strcmp(list[i], endpoint) != 0)
        i++;
    return i;
}

static enum status check_endpoint(const char *endpoint, struct error *err)
{
    if (!*endpoint || strlen(endpoint) >= BUS_ENDPOINT_MAX)
        return error_set(err, STATUS_INVALID, "bus: the endpoint is empty or too long");
    return STATUS_OK;
}

/* ---- sockets ---- */

static enum status socket_open(struct bus *base, bool publisher, const char *bind,
                               struct bus_socket **out, struct error *err)
{
    struct local_bus *bus = (struct local_bus *)base;
    enum status status = bind ? check_endpoint(bind, err) : STATUS_OK;
    for (struct bus_socket *s = bus->sockets; s && bind && status == STATUS_OK; s = s->next)
        if (strcmp(s->endpoint, bind) == 0)
            status = error_set(err, STATUS_UNAVAILABLE, "bus: cannot listen on %s: in use", bind);
    if (status != STATUS_OK)
        return status;
    struct bus_socket *socket = calloc(1, sizeof(*socket));
    if (!socket)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a socket of the bus");
    socket->bus = bus;
    socket->publisher = publisher;
    if (bind)
        memcpy(socket->endpoint, bind, strlen(bind));
    socket->next = bus->sockets;
    bus->sockets = socket;
    *out = socket;
    return STATUS_OK;
}

static enum status socket_connect(struct bus_socket *socket, const struct bus_address *to,
                                  struct error *err)
{
    enum status status = check_endpoint(to->endpoint, err);
    size_t at = find(socket->connections, socket->n_connections, to->endpoint);
    if (status != STATUS_OK || at < socket->n_connections)
        return status;
    if (at == CONNECTIONS_MAX)
        return error_set(err, STATUS_EXHAUSTED, "bus: more than %d connections", CONNECTIONS_MAX);
    memcpy(socket->connections[at], to->endpoint, strlen(to->endpoint) + 1);
    socket->n_connections++;
    return STATUS_OK;
}

static void socket_disconnect(struct bus_socket *socket, const char *endpoint)
{
    size_t at = find(socket->connections, socket->n_connections, endpoint);
    if (at == socket->n_connections)
        return;
    size_t last = --socket->n_connections;
    if (at != last)
        memcpy(socket->connections[at], socket->connections[last], BUS_ENDPOINT_MAX);
}

static const char *socket_endpoint(const struct bus_socket *socket)
{
    return socket->endpoint;
}

static bool is_cut(struct local_bus *bus, const char *endpoint)
{
    return bus->all_cut || find(bus->cuts, bus->n_cuts, endpoint) < bus->n_cuts;
}

/* Is there a way from a to b that is not cut? */
static bool linked(struct bus_socket *a, struct bus_socket *b)
{
    struct bus_socket *ends[2][2] = {{a, b}, {b, a}};
    for (size_t i = 0; i < 2; i++) {
        struct bus_socket *bound = ends[i][0], *other = ends[i][1];
        if (*bound->endpoint && !is_cut(a->bus, bound->endpoint) &&
            find(other->connections, other->n_connections, bound->endpoint) < other->n_connections)
            return true;
    }
    return false;
}

static size_t n_waiting(const struct bus_socket *to, const struct bus_socket *from)
{
    size_t n = 0;
    for (const struct letter *letter = to->letters; letter; letter = letter->next)
        n += letter->from == from;
    return n;
}

static void deliver(struct bus_socket *from, struct bus_socket *to, const uint8_t *bytes,
                    size_t size)
{
    struct local_bus *bus = from->bus;
    bool lost = next_random(&bus->random) % 1000 < bus->faults.loss_permille;
    uint64_t extra = next_random(&bus->random) % (bus->faults.jitter_us + 1);
    if (lost || n_waiting(to, from) >= 2 * BUS_QUEUE)
        return;
    struct letter *letter = malloc(sizeof(*letter) + size);
    if (!letter)
        return;                         /* as good as lost */
    letter->from = from;
    letter->due_us = clock_us(&bus->bus.clock) + bus->faults.delay_us + extra;
    letter->size = size;
    memcpy(letter->bytes, bytes, size);
    struct letter **at = &to->letters;
    while (*at && (*at)->due_us <= letter->due_us)
        at = &(*at)->next;
    letter->next = *at;
    *at = letter;
}

static void socket_send(struct bus_socket *socket, const uint8_t *bytes, size_t size)
{
    for (struct bus_socket *to = socket->bus->sockets; to; to = to->next)
        if (!to->publisher && linked(socket, to))
            deliver(socket, to, bytes, size);
}

static bool socket_receive(struct bus_socket *socket, const uint8_t **bytes, size_t *size,
                           const char **user)
{
    struct letter *letter = socket->letters;
    free(socket->read);
    socket->read = NULL;
    if (!letter || letter->due_us > clock_us(&socket->bus->bus.clock))
        return false;
    socket->letters = letter->next;
    socket->read = letter;
    *bytes = letter->bytes;
    *size = letter->size;
    *user = NULL;
    return true;
}

static void socket_wait(struct bus_socket *socket, uint32_t timeout_ms)
{
    (void)socket, (void)timeout_ms;     /* time passes elsewhere */
}

/* What a dead process had sent is still under way: letters stay, but must not name it. */
static void forget_sender(struct local_bus *bus, const struct bus_socket *gone)
{
    for (struct bus_socket *socket = bus->sockets; socket; socket = socket->next)
        for (struct letter *letter = socket->letters; letter; letter = letter->next)
            if (letter->from == gone)
                letter->from = NULL;
}

static void socket_close(struct bus_socket *socket)
{
    struct local_bus *bus = socket->bus;
    struct bus_socket **at = &bus->sockets;
    while (*at != socket)
        at = &(*at)->next;
    *at = socket->next;
    forget_sender(bus, socket);
    while (socket->letters) {
        struct letter *letter = socket->letters;
        socket->letters = letter->next;
        free(letter);
    }
    free(socket->read);
    free(socket);
}

/* ---- the bus ---- */

static enum status allow(struct bus *bus, const char *key, const char *name, struct error *err)
{
    (void)bus, (void)key;
    if (!name_valid(name, strlen(name), BUS_NAME_MAX))
        return error_set(err, STATUS_INVALID, "bus: a name has 1 to %d letters, digits, - _ . :",
                         BUS_NAME_MAX);
    return STATUS_OK;
}

static void forbid(struct bus *bus, const char *key)
{
    (void)bus, (void)key;
}

static uint64_t refused(struct bus *bus)
{
    (void)bus;
    return 0;
}

static void free_bus(struct bus *bus)
{
    free(bus);
}

static const struct bus_ops ops = {
    .open = socket_open, .connect = socket_connect, .disconnect = socket_disconnect,
    .endpoint = socket_endpoint, .send = socket_send, .receive = socket_receive,
    .wait = socket_wait, .close = socket_close, .allow = allow, .forbid = forbid,
    .refused = refused, .free = free_bus,
};

enum status bus_local_new(struct clock clock, uint64_t seed, struct bus **out, struct error *err)
{
    struct local_bus *bus = calloc(1, sizeof(*bus));
    *out = NULL;
    if (!bus)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the bus");
    bus->bus = (struct bus){.ops = &ops, .clock = clock};
    bus->random = seed;
    *out = &bus->bus;
    return STATUS_OK;
}

static struct local_bus *local(struct bus *bus)
{
    SA_ASSERT(bus->ops == &ops);
    return (struct local_bus *)bus;
}

void bus_local_faults(struct bus *bus, const struct bus_faults *faults)
{
    local(bus)->faults = *faults;
}

void bus_local_cut(struct bus *base, const char *endpoint, bool cut)
{
    struct local_bus *bus = local(base);
    if (!endpoint) {
        bus->all_cut = cut;
        return;
    }
    size_t at = find(bus->cuts, bus->n_cuts, endpoint);
    if (cut && at == bus->n_cuts) {
        SA_ASSERT(at < CUTS_MAX && strlen(endpoint) < BUS_ENDPOINT_MAX);
        memcpy(bus->cuts[bus->n_cuts++], endpoint, strlen(endpoint) + 1);
    } else if (!cut && at < bus->n_cuts && at != --bus->n_cuts) {
        memcpy(bus->cuts[at], bus->cuts[bus->n_cuts], BUS_ENDPOINT_MAX);
    }
}
