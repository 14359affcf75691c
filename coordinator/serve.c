#include "serve.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cluster/policy.h"

enum { STOP_GRACE_MS = 300 };

struct method {
    struct coordinator *coordinator;
    enum wire_coordinator_kind kind;        /* of the request */
};

enum { N_METHODS = WIRE_COORDINATOR_KIND_N / 2 };

struct coordinator {
    struct coordinator_options options;
    struct clock clock;
    struct rpc_server *server;
    struct method methods[N_METHODS];
    pthread_mutex_t lock;                   /* of all below */
    struct registry *registry;
    uint64_t term;
    float price;
    uint64_t begun_us, ticked_us;
};

/* ---- the calls; under the lock ---- */

static struct wire_policy policy_of(const struct coordinator *coordinator)
{
    return (struct wire_policy){
        .term = coordinator->term,
        .ttl_ms = coordinator->options.registry.heartbeat_ms * REGISTRY_MISSED_MAX,
        .shadow_price = coordinator->price,
        .latency_goal_ms = coordinator->options.latency_goal_ms,
        .modes = coordinator->options.modes,
    };
}

static void take_register(struct coordinator *coordinator, uint64_t now,
                          const struct wire_register *ask, struct wire_registered *answer)
{
    policy_raise_term(&coordinator->term, ask->term);
    answer->verdict = registry_register(coordinator->registry, now, &ask->info, &ask->load);
    answer->heartbeat_ms = coordinator->options.registry.heartbeat_ms;
    answer->policy = policy_of(coordinator);
    if (answer->verdict == WIRE_KNOWN && ask->load.state == WIRE_WARMING)
        log_line(LOG_INFO, "target %s: warming up", ask->info.address);
    else if (answer->verdict == WIRE_KNOWN)
        log_line(LOG_INFO, "target %s: %s, %u sessions", ask->info.address, ask->info.model,
                 ask->info.sessions_max);
    else
        log_line(LOG_WARN, "target %s: refused, %s", ask->info.address,
                 answer->verdict == WIRE_SUPERSEDED
                     ? "a later process is alive at this address: give each its own --advertise"
                     : "the registry is full");
}

static void take_heartbeat(struct coordinator *coordinator, uint64_t now,
                           const struct wire_heartbeat *ask, struct wire_heard *answer)
{
    policy_raise_term(&coordinator->term, ask->term);
    answer->verdict = registry_heartbeat(coordinator->registry, now, ask, &answer->drain);
    answer->policy = policy_of(coordinator);
}

static void take_drain(struct coordinator *coordinator, const struct wire_drain_target *ask,
                       struct wire_drain_noted *answer)
{
    answer->known = registry_drain(coordinator->registry, ask);
    if (answer->known)
        log_line(LOG_INFO, "target %s: %s", ask->address,
                 ask->undo ? "gets sessions again" : "gets no more sessions");
}

static enum status take_list(struct coordinator *coordinator, uint64_t now,
                             struct wire_listed *answer, struct error *err)
{
    answer->uptime_ms = (now - coordinator->begun_us) / 1000u;
    answer->policy = policy_of(coordinator);
    return registry_list(coordinator->registry, now, answer, err);
}

static enum status answer_request(struct coordinator *coordinator,
                                  const struct wire_coordinator_message *ask,
                                  struct wire_coordinator_message *answer, struct error *err)
{
    enum status rc = STATUS_OK;
    pthread_mutex_lock(&coordinator->lock);
    uint64_t now = clock_us(&coordinator->clock);
    switch (ask->kind) {
    case WIRE_REGISTER:
        take_register(coordinator, now, &ask->u.registration, &answer->u.registered);
        break;
    case WIRE_HEARTBEAT:
        take_heartbeat(coordinator, now, &ask->u.heartbeat, &answer->u.heard);
        break;
    case WIRE_PLACE:
        registry_place(coordinator->registry, now, &ask->u.place, coordinator->price,
                       &answer->u.placed);
        break;
    case WIRE_LIST:
        rc = take_list(coordinator, now, &answer->u.listed, err);
        break;
    default:
        take_drain(coordinator, &ask->u.drain_target, &answer->u.drain_noted);
        break;
    }
    pthread_mutex_unlock(&coordinator->lock);
    return rc;
}

/* ---- rpc thread ---- */

static void on_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    const struct method *method = rpc_user(call);
    struct wire_coordinator_message ask;
    struct wire_coordinator_message answer = {.kind = method->kind + 1};
    struct wire_bytes bytes = {0};
    struct error err;
    enum status rc = wire_coordinator_unpack(data, size, method->kind, &ask, &err);
    if (rc == STATUS_OK) {
        rc = answer_request(method->coordinator, &ask, &answer, &err);
        wire_coordinator_release(&ask);
    }
    if (rc == STATUS_OK)
        rc = wire_coordinator_pack(&answer, &bytes, &err);
    wire_coordinator_release(&answer);
    if (rc == STATUS_OK)
        (void)rpc_send(call, bytes.data, bytes.size);
    wire_bytes_release(&bytes);
    rpc_finish(call, rc, rc == STATUS_OK ? "" : err.text);
}

static const struct rpc_handler handler = {.on_message = on_message};

/* ---- life ---- */

static enum status start_server(struct coordinator *coordinator, struct error *err)
{
    struct rpc_method methods[N_METHODS];
    for (uint32_t i = 0; i < N_METHODS; i++) {
        coordinator->methods[i] = (struct method){coordinator, (enum wire_coordinator_kind)(2 * i)};
        methods[i] = (struct rpc_method){
            .name = wire_coordinator_method(coordinator->methods[i].kind), .handler = &handler,
            .context = &coordinator->methods[i]};
    }
    struct rpc_server_options server = {
        .listen = coordinator->options.listen,
        .tls = coordinator->options.tls,
        .methods = methods,
        .n_methods = N_METHODS,
        .network = coordinator->options.network,
    };
    return rpc_server_new(&server, &coordinator->server, err);
}

enum status coordinator_start(const struct coordinator_options *options, struct coordinator **out,
                              struct error *err)
{
    struct coordinator *coordinator = calloc(1, sizeof(*coordinator));
    *out = NULL;
    if (!coordinator)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the coordinator");
    coordinator->options = *options;
    coordinator->clock = clock_monotonic();
    coordinator->begun_us = coordinator->ticked_us = clock_us(&coordinator->clock);
    coordinator->term = 1;
    coordinator->price = 1.0f;
    pthread_mutex_init(&coordinator->lock, NULL);
    enum status rc = registry_new(&options->registry, coordinator->begun_us,
                                  &coordinator->registry, err);
    if (rc == STATUS_OK)
        rc = start_server(coordinator, err);
    if (rc != STATUS_OK) {
        coordinator_stop(&coordinator);
        return rc;
    }
    *out = coordinator;
    return STATUS_OK;
}

uint16_t coordinator_port(const struct coordinator *coordinator)
{
    return rpc_server_port(coordinator->server);
}

void coordinator_tick(struct coordinator *coordinator)
{
    const char *gone = NULL;
    pthread_mutex_lock(&coordinator->lock);
    uint64_t now = clock_us(&coordinator->clock);
    uint32_t n_gone = registry_expire(coordinator->registry, now, &gone);
    if (n_gone > 0)
        log_line(LOG_WARN, "target %s: no heartbeat any more%s", gone,
                 n_gone > 1 ? ", nor from others" : "");
    coordinator->price = policy_price_next(
        coordinator->price, registry_lag_us(coordinator->registry, now),
        (float)coordinator->options.latency_goal_ms * 1000.0f,
        (float)(now - coordinator->ticked_us) / 1e6f);
    coordinator->ticked_us = now;
    pthread_mutex_unlock(&coordinator->lock);
}

void coordinator_stop(struct coordinator **coordinator_ptr)
{
    struct coordinator *coordinator = *coordinator_ptr;
    if (!coordinator)
        return;
    if (coordinator->server)
        rpc_server_stop(coordinator->server, STOP_GRACE_MS);
    rpc_server_free(&coordinator->server);
    registry_free(&coordinator->registry);
    pthread_mutex_destroy(&coordinator->lock);
    free(coordinator);
    *coordinator_ptr = NULL;
}
