#include "cluster/exchange.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "metrics/metrics.h"

enum { WAIT_MS = 100, AGE_MAX_US = 3 * BUS_PERIOD_US, ENDPOINT_MAX = WIRE_ADDRESS_MAX + 16 };

/* One end to connect to, as it is wanted and as it is. */
struct peer {
    char load[ENDPOINT_MAX], policy[ENDPOINT_MAX], key[WIRE_BUS_KEY_MAX];
};

struct exchange {
    struct exchange_options options;
    struct clock clock;
    struct bus *bus;
    struct bus_publisher *publisher;
    struct bus_subscriber *subscriber;
    struct wire_bus address;
    pthread_t thread;
    bool thread_runs;
    atomic_bool ending;
    struct peer peers[EXCHANGE_PEERS_MAX];  /* as they are; the thread's */
    pthread_mutex_t lock;                   /* of all below */
    bool changed;
    struct peer wanted[EXCHANGE_PEERS_MAX];
    struct bus_counts counts;
    uint64_t n_unsent;
};

/* ---- peers; on the thread ---- */

static void disconnect(struct exchange *exchange, const struct peer *peer)
{
    if (!peer->key[0])
        return;
    bus_publisher_disconnect(exchange->publisher, peer->load);
    bus_subscriber_disconnect(exchange->subscriber, peer->policy);
}

static void connect_peer(struct exchange *exchange, const struct peer *peer)
{
    struct bus_address load = {peer->load, peer->key}, policy = {peer->policy, peer->key};
    struct error err;
    enum status rc = bus_publisher_connect(exchange->publisher, &load, &err);
    if (rc == STATUS_OK)
        rc = bus_subscriber_connect(exchange->subscriber, &policy, &err);
    if (rc != STATUS_OK)
        log_line(LOG_WARN, "%s; going on without that bus", err.text);
    else
        log_line(LOG_INFO, "bus: load to %s, policy from %s", peer->load, peer->policy);
}

static void follow_peers(struct exchange *exchange)
{
    struct peer wanted[EXCHANGE_PEERS_MAX];
    pthread_mutex_lock(&exchange->lock);
    bool changed = exchange->changed;
    memcpy(wanted, exchange->wanted, sizeof(wanted));
    exchange->changed = false;
    pthread_mutex_unlock(&exchange->lock);
    for (uint32_t i = 0; changed && i < EXCHANGE_PEERS_MAX; i++) {
        if (memcmp(&wanted[i], &exchange->peers[i], sizeof(wanted[i])) == 0)
            continue;
        disconnect(exchange, &exchange->peers[i]);
        exchange->peers[i] = wanted[i];
        if (wanted[i].key[0])
            connect_peer(exchange, &wanted[i]);
    }
}

/* ---- the thread ---- */

/* What cannot be sent is counted, and said once. */
static void unsent(struct exchange *exchange, const struct error *why)
{
    pthread_mutex_lock(&exchange->lock);
    bool first = exchange->n_unsent++ == 0;
    pthread_mutex_unlock(&exchange->lock);
    if (first)
        log_line(LOG_WARN, "%s; heartbeats go on", why->text);
}

static void publish(struct exchange *exchange)
{
    struct wire_coordinator_message state = {.kind = WIRE_HEARTBEAT};
    struct wire_bytes bytes = {0};
    struct error err;
    if (!exchange->options.state(exchange->options.context, &state))
        return;
    enum status rc = wire_coordinator_pack(&state, &bytes, &err);
    if (rc == STATUS_OK)
        rc = bus_publish(exchange->publisher, bytes.data, bytes.size, &err);
    if (rc != STATUS_OK)
        unsent(exchange, &err);
    wire_bytes_release(&bytes);
    wire_coordinator_release(&state);
}

static void listen(struct exchange *exchange)
{
    struct bus_message message;
    while (!atomic_load(&exchange->ending) && bus_receive(exchange->subscriber, &message))
        exchange->options.heard(exchange->options.context, &message);
    pthread_mutex_lock(&exchange->lock);
    exchange->counts = bus_subscriber_counts(exchange->subscriber);
    pthread_mutex_unlock(&exchange->lock);
}

static void *exchange_thread(void *argument)
{
    struct exchange *exchange = argument;
    uint64_t due_us = 0;
    while (!atomic_load(&exchange->ending)) {
        uint64_t now = clock_us(&exchange->clock);
        follow_peers(exchange);
        if (now >= due_us) {
            publish(exchange);
            due_us = now + BUS_PERIOD_US;
        }
        bus_wait(exchange->subscriber,
                 MIN((uint32_t)((due_us - now) / 1000u) + 1, (uint32_t)WAIT_MS));
        listen(exchange);
    }
    return NULL;
}

/* ---- life ---- */

static void endpoint_of(char text[ENDPOINT_MAX], const char *host, uint32_t port, bool bind)
{
    bool bare_six = strchr(host, ':') && host[0] != '[';
    if (port == 0 && bind)
        snprintf(text, ENDPOINT_MAX, bare_six ? "tcp://[%s]:*" : "tcp://%s:*", host);
    else
        snprintf(text, ENDPOINT_MAX, bare_six ? "tcp://[%s]:%u" : "tcp://%s:%u", host, port);
}

static uint32_t port_in(const char *endpoint)
{
    const char *colon = strrchr(endpoint, ':');
    return colon ? (uint32_t)strtoul(colon + 1, NULL, 10) : 0;
}

static enum status open_sockets(struct exchange *exchange, struct error *err)
{
    const struct exchange_options *options = &exchange->options;
    char load[ENDPOINT_MAX], policy[ENDPOINT_MAX];
    struct bus_subscriber_options subscriber = {.senders_max = options->senders_max,
                                                .age_max_us = AGE_MAX_US};
    struct bus_publisher_options publisher = {.name = options->name,
                                              .incarnation = options->incarnation};
    if (options->bind_host) {
        endpoint_of(load, options->bind_host, options->port, true);
        endpoint_of(policy, options->bind_host, options->port ? options->port + 1u : 0, true);
        subscriber.bind = load;
        publisher.bind = policy;
    }
    enum status rc = bus_subscriber_new(exchange->bus, &subscriber, &exchange->subscriber, err);
    if (rc == STATUS_OK)
        rc = bus_publisher_new(exchange->bus, &publisher, &exchange->publisher, err);
    if (rc != STATUS_OK)
        return rc;
    exchange->address.load_port = port_in(bus_subscriber_endpoint(exchange->subscriber));
    exchange->address.policy_port = port_in(bus_publisher_endpoint(exchange->publisher));
    return STATUS_OK;
}

static enum status open_bus(struct exchange *exchange, struct error *err)
{
    struct bus_keys keys;
    enum status rc = bus_keys_generate(&keys, err);
    if (rc == STATUS_OK)
        rc = bus_new(&keys, exchange->clock, &exchange->bus, err);
    if (rc == STATUS_OK)
        memcpy(exchange->address.key, keys.public_key, sizeof(exchange->address.key));
    explicit_bzero(&keys, sizeof(keys));
    return rc;
}

enum status exchange_start(const struct exchange_options *options, struct exchange **out,
                           struct error *err)
{
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    *out = NULL;
    if (!exchange)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the bus");
    _Static_assert((int)WIRE_BUS_KEY_MAX == (int)BUS_KEY_TEXT, "the same keys");
    exchange->options = *options;
    exchange->clock = clock_monotonic();
    pthread_mutex_init(&exchange->lock, NULL);
    enum status rc = open_bus(exchange, err);
    if (rc == STATUS_OK)
        rc = open_sockets(exchange, err);
    if (rc == STATUS_OK) {
        exchange->thread_runs =
            pthread_create(&exchange->thread, NULL, exchange_thread, exchange) == 0;
        if (!exchange->thread_runs)
            rc = error_set(err, STATUS_EXHAUSTED, "cannot start a thread");
    }
    if (rc != STATUS_OK)
        exchange_stop(&exchange);
    *out = exchange;
    return rc;
}

void exchange_stop(struct exchange **exchange_ptr)
{
    struct exchange *exchange = *exchange_ptr;
    *exchange_ptr = NULL;
    if (!exchange)
        return;
    atomic_store(&exchange->ending, true);
    if (exchange->thread_runs)
        pthread_join(exchange->thread, NULL);
    bus_publisher_free(&exchange->publisher);
    bus_subscriber_free(&exchange->subscriber);
    bus_free(&exchange->bus);
    pthread_mutex_destroy(&exchange->lock);
    free(exchange);
}

/* ---- any thread ---- */

struct wire_bus exchange_address(const struct exchange *exchange)
{
    return exchange->address;
}

bool exchange_name(char name[BUS_NAME_MAX + 1], const char *address)
{
    size_t n = 0;
    for (const char *c = address; *c && n <= BUS_NAME_MAX; c++)
        if (*c != '[' && *c != ']')
            name[n++] = *c;
    bool fits = n > 0 && n <= BUS_NAME_MAX;
    name[fits ? n : 0] = '\0';
    return fits;
}

bool exchange_allow(struct exchange *exchange, const char *key, const char *address)
{
    char name[BUS_NAME_MAX + 1];
    struct error err;
    if (!exchange_name(name, address))
        return false;
    if (bus_allow(exchange->bus, key, name, &err) == STATUS_OK)
        return true;
    log_line(LOG_WARN, "target %s: %s; it is heard by its heartbeats", address, err.text);
    return false;
}

void exchange_forbid(struct exchange *exchange, const char *key)
{
    bus_forbid(exchange->bus, key);
}

void exchange_peer(struct exchange *exchange, uint32_t number, const char *host,
                   const struct wire_bus *bus)
{
    struct peer peer = {0};
    SA_ASSERT(number < EXCHANGE_PEERS_MAX);
    if (bus->key[0]) {
        endpoint_of(peer.load, host, bus->load_port, false);
        endpoint_of(peer.policy, host, bus->policy_port, false);
        memcpy(peer.key, bus->key, sizeof(peer.key));
    }
    pthread_mutex_lock(&exchange->lock);
    exchange->wanted[number] = peer;
    exchange->changed = true;
    pthread_mutex_unlock(&exchange->lock);
}

static void collect_one(FILE *out, const char *name, const char *help, uint64_t value)
{
    const struct metric_sample sample = {.name = name, .value = (int64_t)value};
    metrics_text_family(out, name, help, METRIC_COUNTER);
    metrics_text_sample(out, &sample);
}

void exchange_collect(void *context, FILE *out)
{
    struct exchange *exchange = context;
    static const char *const results[] = {"taken",   "stale",     "late",
                                          "foreign", "malformed", "crowded"};
    struct metric_label label = {.name = "result"};
    struct metric_sample sample = {.name = "specasr_bus_frames_total", .labels = &label,
                                   .n_labels = 1};
    pthread_mutex_lock(&exchange->lock);
    const struct bus_counts c = exchange->counts;
    const uint64_t n_unsent = exchange->n_unsent;
    pthread_mutex_unlock(&exchange->lock);
    const uint64_t counts[] = {c.taken, c.stale, c.late, c.foreign, c.malformed, c.crowded};
    metrics_text_family(out, sample.name, "Frames of the bus.", METRIC_COUNTER);
    for (size_t i = 0; i < ARRAY_LEN(results); i++) {
        label.value = results[i];
        sample.value = (int64_t)counts[i];
        metrics_text_sample(out, &sample);
    }
    collect_one(out, "specasr_bus_unsent_total", "States that are too long for a frame.", n_unsent);
    collect_one(out, "specasr_bus_refused_total", "Connections with a key that is not listed.",
                bus_refused(exchange->bus));
}
