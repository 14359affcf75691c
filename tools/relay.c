/* relay: a TCP relay that makes a network worse, for tests with real processes.
 *
 *     client --near--> [ up: read, hold until due, write ] --far--> server
 *                      [ down: the same the other way    ]
 *
 * A direction is one line that all connections share: what is read gets a time at which it is due
 * (behind what is before it at the line's rate, then the delay, then a random part) and is written
 * then. Order within a connection is kept, an end of stream travels as late as the bytes before it,
 * and what does not fit into the buffer is not read, so that the sender feels a slow line. A frozen
 * line reads and writes nothing while the connections stay open: a partition as programs see it.
 *
 * One thread, one loop: commands, then what is due, then whatever poll reports.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file_limit.h"
#include "base/log.h"
#include "base/status.h"
#include "config/exit_codes.h"
#include "config/options.h"
#include "config/version.h"

enum {
    CONNECTIONS_MAX = 4096,
    READ_MAX = 64 * 1024,
    COMMAND_MAX = 256,
    RATE_SLICE_US = 5000        /* a slow line delivers in pieces of this length, not in lumps */
};

enum direction { UP, DOWN, N_DIRECTIONS };

/* Bytes under way; none: the end of the stream. */
struct chunk {
    struct chunk *next;
    uint64_t due_us;
    size_t n, written;
    uint8_t bytes[];
};

/* One direction of one connection. */
struct way {
    struct chunk *first, *last;
    size_t queued;
    uint64_t due_us;            /* of the newest chunk */
    bool ended;                 /* the end has been read */
    bool finished;              /* and passed on */
    bool blocked;               /* the receiver takes no more for now */
};

struct connection {
    int fd[N_DIRECTIONS];       /* where each direction reads: [UP] the client's socket */
    struct way way[N_DIRECTIONS];
    bool connecting, dead;
};

struct line {
    double delay_us, jitter_us;
    double rate;                /* bytes per second; 0: no limit */
    uint64_t free_us;           /* when all before is through */
    bool frozen;
};

struct relay {
    struct clock clock;
    struct sockaddr_storage server;
    socklen_t server_size;
    int listener, control;
    size_t buffer;
    uint64_t seed;
    bool closed;
    struct line line[N_DIRECTIONS];
    struct connection *connection[CONNECTIONS_MAX];
    struct pollfd poll[2 + 2 * CONNECTIONS_MAX];
    uint32_t n;
    uint64_t n_accepted, n_cut, n_bytes[N_DIRECTIONS];
    char command[COMMAND_MAX];  /* what has come of the next one */
    size_t n_command;
};

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
    (void)number;
    ended = 1;
}

/* Uniform in [0, 1). */
static double random_part(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* ---- what is under way ---- */

static bool way_push(struct relay *relay, struct connection *c, enum direction d,
                     const uint8_t *bytes, size_t n)
{
    struct way *way = &c->way[d];
    struct line *line = &relay->line[d];
    struct chunk *chunk = malloc(sizeof(*chunk) + n);
    if (!chunk)
        return false;
    uint64_t now = clock_us(&relay->clock), out = now;
    if (line->rate > 0) {
        out = MAX(now, line->free_us) + (uint64_t)((double)n * 1e6 / line->rate);
        line->free_us = out;
    }
    out += (uint64_t)(line->delay_us + line->jitter_us * random_part(&relay->seed));
    way->due_us = MAX(way->due_us, out);
    *chunk = (struct chunk){.due_us = way->due_us, .n = n};
    if (n > 0)
        memcpy(chunk->bytes, bytes, n);
    if (way->last)
        way->last->next = chunk;
    else
        way->first = chunk;
    way->last = chunk;
    way->queued += n;
    return true;
}

static void way_pop(struct way *way)
{
    struct chunk *chunk = way->first;
    way->first = chunk->next;
    if (!way->first)
        way->last = NULL;
    way->queued -= chunk->n;
    free(chunk);
}

/* Writes one chunk as far as it goes; true when it is through. */
static bool write_chunk(struct relay *relay, struct connection *c, enum direction d)
{
    struct way *way = &c->way[d];
    struct chunk *chunk = way->first;
    int fd = c->fd[!d];
    if (chunk->n == 0) {
        shutdown(fd, SHUT_WR);
        way->finished = true;
        return true;
    }
    ssize_t n = send(fd, chunk->bytes + chunk->written, chunk->n - chunk->written, MSG_NOSIGNAL);
    if (n < 0) {
        way->blocked = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        c->dead |= !way->blocked;
        return false;
    }
    relay->n_bytes[d] += (uint64_t)n;
    chunk->written += (size_t)n;
    way->blocked = chunk->written < chunk->n;
    return !way->blocked;
}

static void deliver(struct relay *relay, struct connection *c, enum direction d, uint64_t now)
{
    struct way *way = &c->way[d];
    if (relay->line[d].frozen || way->blocked || c->connecting)
        return;
    while (way->first && way->first->due_us <= now && !c->dead) {
        if (!write_chunk(relay, c, d))
            return;
        way_pop(way);
    }
}

static bool may_read(const struct relay *relay, const struct connection *c, enum direction d)
{
    const struct way *way = &c->way[d];
    return !way->ended && !relay->line[d].frozen && way->queued < relay->buffer && !c->dead &&
           !(d == DOWN && c->connecting);
}

static void take_in(struct relay *relay, struct connection *c, enum direction d)
{
    static uint8_t bytes[READ_MAX];
    const struct line *line = &relay->line[d];
    size_t max = MIN(READ_MAX, relay->buffer - c->way[d].queued);
    if (line->rate > 0)
        max = MIN(max, 1 + (size_t)(line->rate * RATE_SLICE_US / 1e6));
    ssize_t n = recv(c->fd[d], bytes, max, 0);
    if (n < 0) {
        c->dead |= errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
        return;
    }
    c->way[d].ended = n == 0;
    if (!way_push(relay, c, d, bytes, (size_t)n))
        c->dead = true;
}

/* ---- connections ---- */

/* A connection that broke, or is cut, ends in a reset on both sides. */
static void connection_free(struct connection *c, bool reset)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    for (int d = 0; d < N_DIRECTIONS; d++) {
        while (c->way[d].first)
            way_pop(&c->way[d]);
        if (c->fd[d] < 0)
            continue;
        if (reset)
            setsockopt(c->fd[d], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        close(c->fd[d]);
    }
    free(c);
}

static void connection_start(struct relay *relay, int near)
{
    struct connection *c = calloc(1, sizeof(*c));
    if (!c) {
        close(near);
        return;
    }
    int far = socket(relay->server.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    c->fd[UP] = near;
    c->fd[DOWN] = far;
    c->connecting = true;
    setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (far >= 0)
        setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (relay->closed || relay->n == CONNECTIONS_MAX || far < 0 ||
        (connect(far, (struct sockaddr *)&relay->server, relay->server_size) != 0 &&
         errno != EINPROGRESS)) {
        connection_free(c, true);
        return;
    }
    relay->connection[relay->n++] = c;
    relay->n_accepted++;
}

static void accept_all(struct relay *relay)
{
    for (;;) {
        int near = accept4(relay->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (near < 0)
            return;
        connection_start(relay, near);
    }
}

static void end_connecting(struct connection *c)
{
    int problem = 0;
    socklen_t size = sizeof(problem);
    getsockopt(c->fd[DOWN], SOL_SOCKET, SO_ERROR, &problem, &size);
    c->dead |= problem != 0;
    c->connecting = false;
}

/* Removes what broke and what is through. */
static void sweep(struct relay *relay)
{
    for (uint32_t i = 0; i < relay->n;) {
        struct connection *c = relay->connection[i];
        if (!c->dead && !(c->way[UP].finished && c->way[DOWN].finished)) {
            i++;
            continue;
        }
        connection_free(c, c->dead);
        relay->connection[i] = relay->connection[--relay->n];
    }
}

static uint32_t cut(struct relay *relay, uint32_t n)
{
    uint32_t done = 0;
    while (relay->n > 0 && done < n) {
        uint32_t i = (uint32_t)(random_part(&relay->seed) * relay->n);
        connection_free(relay->connection[i], true);
        relay->connection[i] = relay->connection[--relay->n];
        done++;
    }
    relay->n_cut += done;
    return done;
}

/* ---- commands ---- */

static const char *const verbs[] = {"delay", "jitter", "rate", "freeze", "thaw",
                                    "cut",   "close",  "open", "status"};
enum verb { DELAY, JITTER, RATE, FREEZE, THAW, CUT, CLOSE, OPEN, STATUS, N_VERBS };

struct command {
    enum verb verb;
    bool of[N_DIRECTIONS];
    double number;              /* negative: none was given */
};

static bool parse_number(const char *text, double *out)
{
    char *end = NULL;
    *out = strtod(text, &end);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *out <= 1e12;
}

static bool fits(const struct command *c, bool directed)
{
    switch (c->verb) {
    case DELAY:
    case JITTER:
        return c->number >= 0 && c->number <= 3.6e6;
    case RATE:
        return c->number >= 0;
    case FREEZE:
    case THAW:
        return c->number < 0;
    case CUT:
        return !directed;
    default:
        return !directed && c->number < 0;
    }
}

static enum status command_parse(const char *text, struct command *out, struct error *err)
{
    char copy[COMMAND_MAX], *rest = NULL;
    struct command c = {.verb = N_VERBS, .of = {true, true}, .number = -1};
    bool directed = false, known = true;
    snprintf(copy, sizeof(copy), "%s", text);
    char *word = strtok_r(copy, " \t", &rest);
    for (int i = 0; word && i < N_VERBS; i++)
        if (strcmp(word, verbs[i]) == 0)
            c.verb = (enum verb)i;
    while (word && (word = strtok_r(NULL, " \t", &rest)) != NULL) {
        bool up = strcmp(word, "up") == 0;
        if (up || strcmp(word, "down") == 0) {
            c.of[up ? DOWN : UP] = false;
            known &= !directed;
            directed = true;
        } else {
            known &= c.number < 0 && parse_number(word, &c.number);
        }
    }
    if (c.verb == N_VERBS || !known || !fits(&c, directed))
        return error_set(err, STATUS_INVALID,
                         "\"%.80s\" is no command: relay --help lists them", text);
    *out = c;
    return STATUS_OK;
}

static void print_status(const struct relay *relay)
{
    static const char *const names[] = {"up", "down"};
    printf("%u connections, %llu accepted, %llu cut%s\n", relay->n,
           (unsigned long long)relay->n_accepted, (unsigned long long)relay->n_cut,
           relay->closed ? ", closed" : "");
    for (int d = 0; d < N_DIRECTIONS; d++) {
        const struct line *line = &relay->line[d];
        printf("%s: delay %g ms, jitter %g ms, rate %g, %llu bytes%s\n", names[d],
               line->delay_us / 1e3, line->jitter_us / 1e3, line->rate,
               (unsigned long long)relay->n_bytes[d], line->frozen ? ", frozen" : "");
    }
}

static void line_apply(struct line *line, const struct command *c)
{
    if (c->verb == DELAY)
        line->delay_us = c->number * 1e3;
    else if (c->verb == JITTER)
        line->jitter_us = c->number * 1e3;
    else if (c->verb == RATE)
        line->rate = c->number;
    else if (c->verb == FREEZE || c->verb == THAW)
        line->frozen = c->verb == FREEZE;
}

static void command_apply(struct relay *relay, const struct command *c)
{
    for (int d = 0; d < N_DIRECTIONS; d++)
        if (c->of[d])
            line_apply(&relay->line[d], c);
    if (c->verb == OPEN || c->verb == CLOSE)
        relay->closed = c->verb == CLOSE;
    if (c->verb == CUT && c->number >= 0)
        printf("cut %u\n", cut(relay, (uint32_t)MIN(c->number, CONNECTIONS_MAX)));
    else if (c->verb == CUT || c->verb == CLOSE)
        printf("cut %u\n", cut(relay, CONNECTIONS_MAX));
    else if (c->verb == STATUS)
        print_status(relay);
    else
        printf("%s\n", verbs[c->verb]);
}

static void command_line(struct relay *relay, const char *text)
{
    struct command command;
    struct error err;
    if (text[strspn(text, " \t")] == '\0')
        return;
    if (command_parse(text, &command, &err) == STATUS_OK)
        command_apply(relay, &command);
    else
        log_line(LOG_WARN, "%s", err.text);
}

/* A line that is too long is dropped as a whole command that nobody knows. */
static void read_commands(struct relay *relay)
{
    char bytes[512];
    ssize_t n;
    while ((n = read(relay->control, bytes, sizeof(bytes))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            relay->command[relay->n_command] = bytes[i] == '\n' ? '\0' : bytes[i];
            if (bytes[i] == '\n') {
                command_line(relay, relay->command);
                relay->n_command = 0;
            } else if (relay->n_command + 2 < COMMAND_MAX) {
                relay->n_command++;
                relay->command[relay->n_command] = '\0';
            }
        }
    }
}

/* ---- the loop ---- */

/* Delivers what is due; returns when the next chunk is, UINT64_MAX for none. */
static uint64_t deliver_due(struct relay *relay)
{
    uint64_t now = clock_us(&relay->clock), next = UINT64_MAX;
    for (uint32_t i = 0; i < relay->n; i++) {
        struct connection *c = relay->connection[i];
        for (int d = 0; d < N_DIRECTIONS; d++) {
            deliver(relay, c, (enum direction)d, now);
            const struct way *way = &c->way[d];
            if (way->first && !relay->line[d].frozen && !way->blocked && !c->connecting)
                next = MIN(next, way->first->due_us);
        }
    }
    return next;
}

/* A socket of which nothing is wanted is left out: poll would report its end again and again. */
static void want(struct pollfd *slot, int fd, bool in, bool out)
{
    slot->events = (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0));
    slot->fd = slot->events ? fd : -1;
    slot->revents = 0;
}

static uint32_t prepare_poll(struct relay *relay)
{
    want(&relay->poll[0], relay->listener, true, false);
    want(&relay->poll[1], relay->control, true, false);
    for (uint32_t i = 0; i < relay->n; i++) {
        struct connection *c = relay->connection[i];
        struct pollfd *slot = &relay->poll[2 + 2 * i];
        bool up_blocked = c->way[UP].blocked && !relay->line[UP].frozen;
        bool down_blocked = c->way[DOWN].blocked && !relay->line[DOWN].frozen;
        want(&slot[UP], c->fd[UP], may_read(relay, c, UP), down_blocked);
        want(&slot[DOWN], c->fd[DOWN], may_read(relay, c, DOWN), up_blocked || c->connecting);
    }
    return 2 + 2 * relay->n;
}

static void serve(struct relay *relay, struct connection *c, const struct pollfd *slot)
{
    enum { READABLE = POLLIN | POLLHUP | POLLERR, WRITABLE = POLLOUT | POLLHUP | POLLERR };
    if (slot[DOWN].revents & WRITABLE) {
        if (c->connecting)
            end_connecting(c);
        c->way[UP].blocked = false;
    }
    if (slot[UP].revents & WRITABLE)
        c->way[DOWN].blocked = false;
    for (int d = 0; d < N_DIRECTIONS; d++)
        if ((slot[d].revents & READABLE) && may_read(relay, c, (enum direction)d))
            take_in(relay, c, (enum direction)d);
}

static void run(struct relay *relay, const sigset_t *while_waiting)
{
    while (!ended) {
        uint64_t next = deliver_due(relay), now = clock_us(&relay->clock);
        sweep(relay);
        uint32_t n_polled = prepare_poll(relay), n = relay->n;
        uint64_t wait_us = next > now ? next - now : 0;
        struct timespec timeout = {.tv_sec = (time_t)(wait_us / 1000000),
                                   .tv_nsec = (long)(wait_us % 1000000) * 1000};
        if (ppoll(relay->poll, n_polled, next == UINT64_MAX ? NULL : &timeout, while_waiting) < 0)
            continue;
        for (uint32_t i = 0; i < n; i++)
            serve(relay, relay->connection[i], &relay->poll[2 + 2 * i]);
        if (relay->poll[0].revents)
            accept_all(relay);
        if (relay->poll[1].revents)
            read_commands(relay);
    }
}

/* ---- the program ---- */

struct values {
    struct option_address listen;
    const char *control;
    int64_t seed;
    uint64_t buffer;
};

static const struct option table[] = {
    {.name = "listen", .short_name = 'l', .type = OPTION_ADDRESS,
     .offset = offsetof(struct values, listen), .max = 65535, .initial = "127.0.0.1:0",
     .value_name = "HOST:PORT", .group = "Relay",
     .help = "Where clients connect. Port 0 takes a free one; stdout says which."},
    {.name = "control", .short_name = 'c', .type = OPTION_PATH,
     .offset = offsetof(struct values, control), .group = "Relay",
     .help = "Make a named pipe there that takes commands, one a line, and remove it at the end: "
             "echo freeze >PIPE. Each is answered by a line on stdout, a wrong one on stderr."},
    {.name = "buffer", .type = OPTION_SIZE, .offset = offsetof(struct values, buffer), .min = 1,
     .max = 1 << 30, .initial = "1M", .group = "Relay",
     .help = "Bytes under way that a connection may have each way; beyond it the sender waits."},
    {.name = "seed", .type = OPTION_INT, .offset = offsetof(struct values, seed),
     .max = 9e15, .initial = "1", .group = "Relay",
     .help = "Of jitter and of which connections are cut."},
};

static const struct option_program program = {
    .name = "relay",
    .version = SPECASR_VERSION,
    .usage = "[options] HOST:PORT [COMMAND...]",
    .about =
        "Passes TCP connections on to HOST:PORT and makes the network between worse, to see what "
        "programs do then. Prints \"listening on HOST:PORT\"; ends with SIGTERM.\n\n"
        "Commands; \"up\" is from client to server, without a direction both are meant: "
        "\"delay [up|down] MS\" delivers every byte later; "
        "\"jitter [up|down] MS\" by up to so much more at random, in order; "
        "\"rate [up|down] BYTES\" a second, for all connections together, 0: no limit; "
        "\"freeze [up|down]\" passes nothing on, connections stay open; "
        "\"thaw [up|down]\"; "
        "\"cut [N]\" resets N connections, without a number all; "
        "\"close\" cuts all and resets new ones until \"open\"; "
        "\"status\".",
    .examples = "relay 127.0.0.1:7600 'delay 50'                    # a round trip of 100 ms\n"
                "relay -c pipe 127.0.0.1:7600 'delay 20' 'jitter 10' 'rate up 100000'\n"
                "echo freeze >pipe; sleep 3; echo thaw >pipe; echo 'cut 1' >pipe",
    .options = table,
    .n_options = ARRAY_LEN(table),
    .positional_max = 64,
};

static enum status resolve(const struct option_address *address, struct sockaddr_storage *out,
                           socklen_t *size, struct error *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    char port[8];
    snprintf(port, sizeof(port), "%u", address->port);
    int rc = getaddrinfo(address->host, port, &hints, &found);
    if (rc != 0)
        return error_set(err, STATUS_NOT_FOUND, "%s: %s", address->host, gai_strerror(rc));
    memcpy(out, found->ai_addr, found->ai_addrlen);
    *size = found->ai_addrlen;
    freeaddrinfo(found);
    return STATUS_OK;
}

static enum status open_listener(struct relay *relay, struct option_address address,
                                 struct error *err)
{
    struct sockaddr_storage own;
    socklen_t size = 0;
    int on = 1;
    char text[OPTION_HOST_MAX + 16];
    enum status rc = resolve(&address, &own, &size, err);
    if (rc != STATUS_OK)
        return rc;
    option_address_format(&address, text, sizeof(text));
    relay->listener = socket(own.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (relay->listener < 0)
        return error_set(err, STATUS_IO, "no socket: %s", strerror(errno));
    setsockopt(relay->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(relay->listener, (struct sockaddr *)&own, size) != 0 ||
        listen(relay->listener, SOMAXCONN) != 0)
        return error_set(err, STATUS_UNAVAILABLE, "cannot listen on %s: %s", text, strerror(errno));
    size = sizeof(own);
    getsockname(relay->listener, (struct sockaddr *)&own, &size);
    address.port = ntohs(own.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&own)->sin6_port
                                                   : ((struct sockaddr_in *)&own)->sin_port);
    option_address_format(&address, text, sizeof(text));
    printf("listening on %s\n", text);
    return STATUS_OK;
}

/* Opened for both, so that it never ends when a writer closes it. */
static enum status open_control(struct relay *relay, const char *path, struct error *err)
{
    if (mkfifo(path, 0600) != 0)
        return error_set(err, STATUS_IO, "%s: cannot make a named pipe: %s", path, strerror(errno));
    relay->control = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (relay->control >= 0)
        return STATUS_OK;
    unlink(path);
    return error_set(err, STATUS_IO, "%s: %s", path, strerror(errno));
}

/* Commands of the command line, all of them checked before the port opens. */
static enum status apply_all(struct relay *relay, const char *const *commands, bool check_only,
                             struct error *err)
{
    struct command command;
    for (; *commands; commands++) {
        enum status rc = command_parse(*commands, &command, err);
        if (rc != STATUS_OK)
            return rc;
        if (!check_only)
            command_apply(relay, &command);
    }
    return STATUS_OK;
}

static enum status start(struct relay *relay, const struct values *values,
                         const char *const *arguments, struct error *err)
{
    struct option_address server;
    *relay = (struct relay){.clock = clock_monotonic(), .listener = -1, .control = -1,
                            .buffer = values->buffer, .seed = (uint64_t)values->seed};
    enum status rc = option_address_parse(arguments[0], &server, err);
    if (rc == STATUS_OK)
        rc = apply_all(relay, arguments + 1, true, err);
    if (rc == STATUS_OK)
        rc = resolve(&server, &relay->server, &relay->server_size, err);
    if (rc == STATUS_OK && values->control)
        rc = open_control(relay, values->control, err);
    if (rc == STATUS_OK)
        rc = open_listener(relay, values->listen, err);
    if (rc == STATUS_OK)
        rc = apply_all(relay, arguments + 1, false, err);
    return rc;
}

static void stop(struct relay *relay, const char *control)
{
    cut(relay, CONNECTIONS_MAX);
    if (relay->listener >= 0)
        close(relay->listener);
    if (relay->control >= 0) {
        close(relay->control);
        unlink(control);
    }
}

/* The signals come while the loop waits, and only then. */
static sigset_t take_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    return before;
}

int main(int argc, char **argv)
{
    static struct relay relay;
    struct values values = {0};
    struct options *options = NULL;
    struct error err = {0};
    int exit_code = EXIT_CODE_OK;
    uint32_t n = 0;
    if (!options_start(&program, argc, argv, &values, &options, &exit_code))
        return exit_code;
    log_init("relay", LOG_INFO);
    setvbuf(stdout, NULL, _IOLBF, 0);
    (void)file_limit_raise();
    sigset_t while_waiting = take_signals();
    const char *const *arguments = options_positional(options, &n);
    if (n == 0) {
        exit_code = options_usage_error(&program, "HOST:PORT of the server is missing");
    } else if (start(&relay, &values, arguments, &err) != STATUS_OK) {
        log_line(LOG_ERROR, "%s", err.text);
        exit_code = err.code == STATUS_INVALID ? EXIT_CODE_USAGE : EXIT_CODE_FAILED;
        stop(&relay, values.control);
    } else {
        run(&relay, &while_waiting);
        stop(&relay, values.control);
    }
    options_free(&options);
    return exit_code;
}
