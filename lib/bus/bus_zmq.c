/* ZeroMQ behind bus.h: PUB and SUB over TCP with CURVE. The end that binds is the CURVE server; its
 * context has one thread that answers the question of ZAP (rfc.zeromq.org/spec/27): may this public
 * key in? What is not listed is answered 300, "try again later": after a 400 libzmq never connects
 * again, but a restarted coordinator learns its targets' keys only when they register. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "bus/bus_int.h"

enum {
    RECONNECT_MS = 100,
    RECONNECT_MAX_MS = 2000,
    HANDSHAKE_MS = 2000,                /* a client that was not let in tries again after that */
    HEARTBEAT_MS = 1000,
    HEARTBEAT_TIMEOUT_MS = 3000,
    KERNEL_BYTES = 32768,               /* more would keep old frames */
    ZAP_PARTS = 7,
    ZAP_PART_MAX = 256
};

struct zmq_bus {
    struct bus bus;
    void *context;
    bool secure;
    struct bus_keys keys;
    struct bus_allowed *allowed;
    _Atomic uint64_t refused;
    void *zap;                          /* owned by the thread */
    pthread_t thread;
    bool thread_runs;
};

struct bus_socket {
    struct zmq_bus *bus;
    void *socket;
    zmq_msg_t message;                  /* the last one received */
    char endpoint[BUS_ENDPOINT_MAX];
    char user[BUS_NAME_MAX + 1];
};

/* ---- who may in ---- */

struct zap_request {
    size_t n;
    size_t sizes[ZAP_PARTS];
    char parts[ZAP_PARTS][ZAP_PART_MAX];
};

/* One request; false: the context is shutting down. */
static bool zap_read(void *socket, struct zap_request *request)
{
    int more = 1;
    size_t n_more = sizeof(more);
    char excess[1];
    memset(request, 0, sizeof(*request));
    while (more) {
        bool kept = request->n < ZAP_PARTS;
        int n = zmq_recv(socket, kept ? request->parts[request->n] : excess,
                         kept ? ZAP_PART_MAX : 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        if (kept)
            request->sizes[request->n] = (size_t)n;
        request->n++;
        if (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &n_more) != 0)
            return false;
    }
    return true;
}

static bool zap_admits(struct zmq_bus *bus, const struct zap_request *request,
                       char key[BUS_KEY_TEXT])
{
    char name[BUS_NAME_MAX + 1];
    if (request->n != ZAP_PARTS || request->sizes[5] != 5 ||
        memcmp(request->parts[5], "CURVE", 5) != 0 || request->sizes[6] != 32)
        return false;
    return zmq_z85_encode(key, (const uint8_t *)request->parts[6], 32) &&
           bus_allowed_name(bus->allowed, key, name);
}

static void zap_answer(void *socket, const struct zap_request *request, bool admit, const char *key)
{
    size_t n_id = MIN(request->sizes[1], (size_t)ZAP_PART_MAX);
    const char *status = admit ? "200" : "300", *text = admit ? "OK" : "not listed";
    zmq_send(socket, "1.0", 3, ZMQ_SNDMORE);
    zmq_send(socket, request->parts[1], n_id, ZMQ_SNDMORE);
    zmq_send(socket, status, 3, ZMQ_SNDMORE);
    zmq_send(socket, text, strlen(text), ZMQ_SNDMORE);
    zmq_send(socket, key, admit ? strlen(key) : 0, ZMQ_SNDMORE);
    zmq_send(socket, "", 0, 0);
}

static void *zap_thread(void *context)
{
    struct zmq_bus *bus = context;
    struct zap_request request;
    while (zap_read(bus->zap, &request)) {
        char key[BUS_KEY_TEXT] = "";
        bool admit = zap_admits(bus, &request, key);
        if (!admit)
            atomic_fetch_add(&bus->refused, 1);
        zap_answer(bus->zap, &request, admit, key);
    }
    zmq_close(bus->zap);
    return NULL;
}

static enum status start_zap(struct zmq_bus *bus, struct error *err)
{
    int linger = 0;
    bus->zap = zmq_socket(bus->context, ZMQ_REP);
    if (!bus->zap || zmq_setsockopt(bus->zap, ZMQ_LINGER, &linger, sizeof(linger)) != 0 ||
        zmq_bind(bus->zap, "inproc://zeromq.zap.01") != 0 ||
        pthread_create(&bus->thread, NULL, zap_thread, bus) != 0) {
        if (bus->zap)
            zmq_close(bus->zap);
        return error_set(err, STATUS_EXHAUSTED, "bus: no thread or socket to check keys with");
    }
    bus->thread_runs = true;
    return STATUS_OK;
}

/* ---- sockets ---- */

/* Without keys only this machine may listen or be spoken to. */
static enum status check_endpoint(const struct zmq_bus *bus, const char *endpoint,
                                  struct error *err)
{
    static const char *const loopback[] = {"tcp://127.", "tcp://localhost:", "tcp://[::1]:"};
    if (strncmp(endpoint, "tcp://", 6) != 0 || strlen(endpoint) >= BUS_ENDPOINT_MAX)
        return error_set(err, STATUS_INVALID, "bus: \"%.100s\" is no endpoint: use tcp://HOST:PORT",
                         endpoint);
    for (size_t i = 0; i < ARRAY_LEN(loopback); i++)
        if (bus->secure || strncmp(endpoint, loopback[i], strlen(loopback[i])) == 0)
            return STATUS_OK;
    return error_set(err, STATUS_DENIED, "bus: %.100s is not loopback, and there are no keys: the "
                     "bus is never in plain text on a network", endpoint);
}

static bool set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof(value)) == 0;
}

static bool set_common(void *socket, bool publisher)
{
    int64_t size_max = BUS_FRAME_MAX;
    return set_int(socket, publisher ? ZMQ_SNDHWM : ZMQ_RCVHWM, BUS_QUEUE) &&
           set_int(socket, ZMQ_LINGER, 0) && set_int(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS) &&
           set_int(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS) &&
           set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) &&
           set_int(socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) &&
           set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS) &&
           set_int(socket, ZMQ_SNDBUF, KERNEL_BYTES) && set_int(socket, ZMQ_RCVBUF, KERNEL_BYTES) &&
           zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &size_max, sizeof(size_max)) == 0 &&
           (publisher || zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0) == 0);
}

static bool set_server(const struct zmq_bus *bus, void *socket)
{
    return !bus->secure ||
           (set_int(socket, ZMQ_CURVE_SERVER, 1) &&
            zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, bus->keys.secret_key, BUS_KEY_TEXT) == 0);
}

static bool set_client(const struct zmq_bus *bus, void *socket, const char *server_key)
{
    return !bus->secure ||
           (zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server_key, BUS_KEY_TEXT) == 0 &&
            zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, bus->keys.public_key, BUS_KEY_TEXT) == 0 &&
            zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, bus->keys.secret_key, BUS_KEY_TEXT) == 0);
}

static enum status bind_socket(struct bus_socket *socket, const char *endpoint, struct error *err)
{
    size_t n = sizeof(socket->endpoint);
    enum status status = check_endpoint(socket->bus, endpoint, err);
    if (status != STATUS_OK)
        return status;
    if (strchr(endpoint, '['))
        set_int(socket->socket, ZMQ_IPV6, 1);
    if (!set_server(socket->bus, socket->socket) || zmq_bind(socket->socket, endpoint) != 0 ||
        zmq_getsockopt(socket->socket, ZMQ_LAST_ENDPOINT, socket->endpoint, &n) != 0)
        return error_set(err, STATUS_UNAVAILABLE, "bus: cannot listen on %.100s: %s", endpoint,
                         zmq_strerror(errno));
    return STATUS_OK;
}

static void socket_close(struct bus_socket *socket)
{
    zmq_msg_close(&socket->message);
    if (socket->socket)
        zmq_close(socket->socket);
    free(socket);
}

static enum status socket_open(struct bus *base, bool publisher, const char *bind,
                               struct bus_socket **out, struct error *err)
{
    struct zmq_bus *bus = (struct zmq_bus *)base;
    enum status status = STATUS_OK;
    struct bus_socket *socket = calloc(1, sizeof(*socket));
    if (!socket)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a socket of the bus");
    socket->bus = bus;
    zmq_msg_init(&socket->message);
    socket->socket = zmq_socket(bus->context, publisher ? ZMQ_PUB : ZMQ_SUB);
    if (!socket->socket || !set_common(socket->socket, publisher))
        status = error_set(err, STATUS_EXHAUSTED, "bus: no more sockets: %s", zmq_strerror(errno));
    else if (bind)
        status = bind_socket(socket, bind, err);
    if (status != STATUS_OK)
        socket_close(socket);
    else
        *out = socket;
    return status;
}

static enum status socket_connect(struct bus_socket *socket, const struct bus_address *to,
                                  struct error *err)
{
    enum status status = check_endpoint(socket->bus, to->endpoint, err);
    if (status != STATUS_OK)
        return status;
    if (socket->bus->secure && (!to->key || strlen(to->key) != BUS_KEY_TEXT - 1))
        return error_set(err, STATUS_INVALID, "bus: %.100s: its public key has 40 characters",
                         to->endpoint);
    if (strchr(to->endpoint, '['))
        set_int(socket->socket, ZMQ_IPV6, 1);
    if (!set_client(socket->bus, socket->socket, to->key) ||
        zmq_connect(socket->socket, to->endpoint) != 0)
        return error_set(err, STATUS_INVALID, "bus: cannot use %.100s: %s", to->endpoint,
                         zmq_strerror(errno));
    return STATUS_OK;
}

static void socket_disconnect(struct bus_socket *socket, const char *endpoint)
{
    zmq_disconnect(socket->socket, endpoint);   /* not connected: nothing to do */
}

static const char *socket_endpoint(const struct bus_socket *socket)
{
    return socket->endpoint;
}

static void socket_send(struct bus_socket *socket, const uint8_t *bytes, size_t size)
{
    zmq_send(socket->socket, bytes, size, ZMQ_DONTWAIT);        /* PUB drops what does not fit */
}

/* Whose frame it is, when the peer had to show a key. */
static const char *user_of(struct bus_socket *socket)
{
    const char *key = zmq_msg_gets(&socket->message, "User-Id");
    if (!key)
        return NULL;
    if (!bus_allowed_name(socket->bus->allowed, key, socket->user))
        socket->user[0] = '\0';
    return socket->user;
}

static bool socket_receive(struct bus_socket *socket, const uint8_t **bytes, size_t *size,
                           const char **user)
{
    if (zmq_msg_recv(&socket->message, socket->socket, ZMQ_DONTWAIT) < 0)
        return false;
    *bytes = zmq_msg_data(&socket->message);
    *size = zmq_msg_size(&socket->message);
    *user = user_of(socket);
    return true;
}

static void socket_wait(struct bus_socket *socket, uint32_t timeout_ms)
{
    zmq_pollitem_t item = {.socket = socket->socket, .events = ZMQ_POLLIN};
    zmq_poll(&item, 1, (long)timeout_ms);
}

/* ---- the bus ---- */

static enum status allow(struct bus *base, const char *key, const char *name, struct error *err)
{
    uint8_t bytes[32];
    if (strlen(key) != BUS_KEY_TEXT - 1 || !zmq_z85_decode(bytes, key))
        return error_set(err, STATUS_INVALID, "bus: a public key is 40 characters of Z85");
    return bus_allowed_add(((struct zmq_bus *)base)->allowed, key, name, err);
}

static void forbid(struct bus *base, const char *key)
{
    bus_allowed_remove(((struct zmq_bus *)base)->allowed, key);
}

static uint64_t refused(struct bus *base)
{
    return atomic_load(&((struct zmq_bus *)base)->refused);
}

static void free_bus(struct bus *base)
{
    struct zmq_bus *bus = (struct zmq_bus *)base;
    if (bus->context)
        zmq_ctx_shutdown(bus->context);
    if (bus->thread_runs)
        pthread_join(bus->thread, NULL);
    if (bus->context)
        zmq_ctx_term(bus->context);
    bus_allowed_free(&bus->allowed);
    volatile char *secret = bus->keys.secret_key;
    for (size_t i = 0; i < BUS_KEY_TEXT; i++)
        secret[i] = '\0';
    free(bus);
}

static const struct bus_ops ops = {
    .open = socket_open, .connect = socket_connect, .disconnect = socket_disconnect,
    .endpoint = socket_endpoint, .send = socket_send, .receive = socket_receive,
    .wait = socket_wait, .close = socket_close, .allow = allow, .forbid = forbid,
    .refused = refused, .free = free_bus,
};

/* The public key must be that of the secret one, or every handshake would fail without a word. */
static enum status check_keys(const struct bus_keys *keys, struct error *err)
{
    char derived[BUS_KEY_TEXT];
    if (strnlen(keys->secret_key, BUS_KEY_TEXT) != BUS_KEY_TEXT - 1 ||
        strnlen(keys->public_key, BUS_KEY_TEXT) != BUS_KEY_TEXT - 1 ||
        zmq_curve_public(derived, keys->secret_key) != 0 || strcmp(derived, keys->public_key) != 0)
        return error_set(err, STATUS_INVALID, "bus: these are no keys, or no pair");
    return STATUS_OK;
}

enum status bus_keys_generate(struct bus_keys *keys, struct error *err)
{
    if (zmq_curve_keypair(keys->public_key, keys->secret_key) != 0)
        return error_set(err, STATUS_INTERNAL, "bus: this libzmq has no CURVE: %s",
                         zmq_strerror(errno));
    return STATUS_OK;
}

enum status bus_new(const struct bus_keys *keys, struct clock clock, struct bus **out,
                    struct error *err)
{
    *out = NULL;
    enum status status = keys ? check_keys(keys, err) : STATUS_OK;
    if (status != STATUS_OK)
        return status;
    struct zmq_bus *bus = calloc(1, sizeof(*bus));
    if (!bus)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the bus");
    bus->bus = (struct bus){.ops = &ops, .clock = clock};
    bus->secure = keys != NULL;
    if (keys)
        bus->keys = *keys;
    bus->context = zmq_ctx_new();
    status = bus->context ? bus_allowed_new(&bus->allowed, err)
                          : error_set(err, STATUS_EXHAUSTED, "bus: ZeroMQ does not start");
    if (status == STATUS_OK && keys)
        status = start_zap(bus, err);   /* before any socket that binds */
    if (status != STATUS_OK) {
        free_bus(&bus->bus);
        return status;
    }
    *out = &bus->bus;
    return STATUS_OK;
}
