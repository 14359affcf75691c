#include "serve.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "auth/wall_clock.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/trace.h"
#include "cluster/call.h"
#include "cluster/exchange.h"
#include "cluster/health.h"
#include "cluster/place.h"
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
    struct health *health;
    struct exchange *exchange;              /* NULL: no bus */
    struct method methods[N_METHODS];
    pthread_mutex_t lock;                   /* of all below */
    struct registry *registry;
    struct store *store;                    /* NULL: not yet */
    char leader[ELECTION_NAME_MAX];         /* as it was told last */
    float price;
    uint64_t begun_us, ticked_us;
};

static void count(const struct coordinator *coordinator, enum coordinator_metric what, uint64_t n)
{
    if (coordinator->options.metrics)
        metrics_add(coordinator->options.metrics, what, n);
}

/* ---- the calls; under the lock ---- */

static struct store_state state_of(const struct coordinator *coordinator)
{
    struct store_state state = {0};
    if (coordinator->store)
        store_state(coordinator->store, &state);
    return state;
}

static void saw_term(const struct coordinator *coordinator, uint64_t term)
{
    if (coordinator->store)
        store_seen(coordinator->store, term);
}

/* Only the leader has one to give; it lives until three periods later. */
static struct wire_policy policy_of(const struct coordinator *coordinator)
{
    const struct store_state state = state_of(coordinator);
    if (!state.leads)
        return (struct wire_policy){.shadow_price = 1.0f, .modes = WIRE_MODES_ALL};
    return (struct wire_policy){
        .term = state.term,
        .ttl_ms = coordinator->options.registry.heartbeat_ms * REGISTRY_MISSED_MAX,
        .shadow_price = coordinator->price,
        .latency_goal_ms = coordinator->options.latency_goal_ms,
        .modes = coordinator->options.modes,
    };
}

/* Those of the store, where there are several. */
static void add_coordinators(const struct coordinator *coordinator,
                             struct wire_coordinators *out)
{
    _Static_assert((int)ELECTION_NAME_MAX == (int)WIRE_ADDRESS_MAX, "a name is an address");
    const struct store_state state = state_of(coordinator);
    for (uint32_t i = 0; i < state.n_members && out->n < WIRE_COORDINATORS_MAX; i++)
        if (state.n_members > 1 && wire_address_ok(state.members[i]))
            memcpy(out->item[out->n++], state.members[i], WIRE_ADDRESS_MAX);
}

static void take_register(struct coordinator *coordinator, uint64_t now,
                          const struct wire_register *ask, struct wire_registered *answer)
{
    answer->verdict = registry_register(coordinator->registry, now, &ask->info, &ask->load);
    if (answer->verdict == WIRE_KNOWN)
        saw_term(coordinator, ask->term);
    answer->heartbeat_ms = coordinator->options.registry.heartbeat_ms;
    answer->policy = policy_of(coordinator);
    add_coordinators(coordinator, &answer->coordinators);
    if (answer->verdict == WIRE_KNOWN && coordinator->exchange && ask->info.bus_key[0] &&
        exchange_allow(coordinator->exchange, ask->info.bus_key, ask->info.address))
        answer->bus = exchange_address(coordinator->exchange);
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
    answer->verdict = registry_heartbeat(coordinator->registry, now, ask, &answer->drain);
    if (answer->verdict == WIRE_KNOWN)
        saw_term(coordinator, ask->term);
    answer->policy = policy_of(coordinator);
    add_coordinators(coordinator, &answer->coordinators);
    count(coordinator,
          answer->verdict == WIRE_KNOWN        ? COORDINATOR_METRIC_HEARTBEATS_KNOWN
          : answer->verdict == WIRE_SUPERSEDED ? COORDINATOR_METRIC_HEARTBEATS_OLD
                                               : COORDINATOR_METRIC_HEARTBEATS_UNKNOWN, 1);
}

static void take_place(struct coordinator *coordinator, uint64_t now, const struct wire_place *ask,
                       struct wire_placed *answer)
{
    registry_place(coordinator->registry, now, ask, coordinator->price, answer);
    count(coordinator, answer->retry_ms > 0 ? COORDINATOR_METRIC_PLACED_RETRY
                                            : COORDINATOR_METRIC_PLACED_PLACED, 1);
    if (coordinator->options.metrics)
        metrics_observe(coordinator->options.metrics, COORDINATOR_METRIC_PLACE,
                        clock_us(&coordinator->clock) - now);
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
    const struct store_state state = state_of(coordinator);
    answer->leads = state.leads;
    answer->store_up = state.connected;
    if (wire_address_ok(state.leader))
        memcpy(answer->leader, state.leader, sizeof(answer->leader));
    add_coordinators(coordinator, &answer->coordinators);
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
        take_place(coordinator, now, &ask->u.place, &answer->u.placed);
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

/* ---- the bus; on its thread ---- */

static bool tell_policy(void *context, struct wire_coordinator_message *state)
{
    struct coordinator *coordinator = context;
    *state = (struct wire_coordinator_message){.kind = WIRE_HEARD};
    pthread_mutex_lock(&coordinator->lock);
    state->u.heard.policy = policy_of(coordinator);
    pthread_mutex_unlock(&coordinator->lock);
    return state->u.heard.policy.ttl_ms > 0;
}

/* The bus vouches for the sender's name; a target speaks only for itself. */
static void hear_load(void *context, const struct bus_message *message)
{
    struct coordinator *coordinator = context;
    struct wire_coordinator_message heard;
    char name[BUS_NAME_MAX + 1];
    struct error err;
    if (wire_coordinator_unpack(message->data, message->size, WIRE_HEARTBEAT, &heard, &err) !=
        STATUS_OK) {
        log_line(LOG_DEBUG, "bus: %s: %s", message->sender, err.text);
        return;
    }
    if (!exchange_name(name, heard.u.heartbeat.address) || strcmp(name, message->sender) != 0)
        return;
    pthread_mutex_lock(&coordinator->lock);
    if (registry_load(coordinator->registry, clock_us(&coordinator->clock), &heard.u.heartbeat))
        saw_term(coordinator, heard.u.heartbeat.term);
    pthread_mutex_unlock(&coordinator->lock);
}

/* Its key may be used no more; who is lost is counted here, whichever call found out. Under the
 * lock. */
static void target_gone(void *context, const struct registry_gone *gone)
{
    struct coordinator *coordinator = context;
    const char *address = gone->info->address;
    if (coordinator->exchange && gone->info->bus_key[0])
        exchange_forbid(coordinator->exchange, gone->info->bus_key);
    if (gone->reason == REGISTRY_SILENT) {
        count(coordinator, COORDINATOR_METRIC_LOST_SILENT, 1);
        log_line(LOG_WARN, "target %s: lost, no heartbeat for %.1f s", address,
                 (double)gone->silent_us / 1e6);
    } else if (gone->reason == REGISTRY_REPLACED) {
        count(coordinator, COORDINATOR_METRIC_LOST_REPLACED, 1);
        log_line(LOG_WARN, "target %s: a later process has taken its place", address);
    } else if (gone->reason == REGISTRY_LEFT) {
        log_line(LOG_INFO, "target %s: has left", address);
    }
}

static enum status start_bus(struct coordinator *coordinator, struct error *err)
{
    const struct coordinator_options *options = &coordinator->options;
    struct exchange_options bus = {.incarnation = wall_clock_incarnation(),
                                   .bind_host = options->bus_host, .port = options->bus_port,
                                   .senders_max = REGISTRY_TARGETS_MAX, .state = tell_policy,
                                   .heard = hear_load, .context = coordinator};
    uint64_t random = options->registry.seed;
    if (!options->bus_host)
        return STATUS_OK;
    /* Coordinators of a cluster may listen at the same address of different machines. */
    snprintf(bus.name, sizeof(bus.name), "coordinator-%016" PRIx64, place_random(&random));
    enum status rc = exchange_start(&bus, &coordinator->exchange, err);
    if (rc != STATUS_OK)
        return error_prefix(err, "--bus");
    if (options->metrics)
        rc = metrics_collect(options->metrics, exchange_collect, coordinator->exchange, err);
    return rc;
}

struct wire_bus coordinator_bus(const struct coordinator *coordinator)
{
    return coordinator->exchange ? exchange_address(coordinator->exchange) : (struct wire_bus){0};
}

/* ---- rpc thread ---- */

/* Place is what logs name clients for; it has no text of theirs. */
static void say_placed(struct rpc_call *call, const struct wire_place *ask,
                       const struct wire_placed *placed)
{
    struct log_about about;
    log_about_session(&about, ask->session);
    (void)trace_read(rpc_metadata_value(call, TRACE_HEADER), about.trace);
    if (placed->retry_ms > 0)
        log_line_about(LOG_DEBUG, &about, "asked to come again in %u ms: %s", placed->retry_ms,
                       placed->reason);
    else
        log_line_about(LOG_INFO, &about, "placed at %s%s%s%s%s",
                       placed->n_targets > 0 ? placed->targets[0].address : "none",
                       placed->n_targets > 1 ? ", then " : "",
                       placed->n_targets > 1 ? placed->targets[1].address : "",
                       placed->n_targets > 2 ? ", " : "",
                       placed->n_targets > 2 ? placed->targets[2].address : "");
}

/* Who asks for a place shows a key before, and gets a ticket after. */
static enum status answer_place(struct coordinator *coordinator, struct rpc_call *call,
                                const struct wire_coordinator_message *ask,
                                struct wire_coordinator_message *answer, struct error *err)
{
    struct issuer *issuer = coordinator->options.issuer;
    char client[ISSUE_NAME_MAX + 1] = "";
    bool issued = false;
    enum status rc = STATUS_OK;
    if (issuer)
        rc = issuer_admit(issuer, rpc_metadata_value(call, CLUSTER_API_KEY), client, err);
    if (rc != STATUS_OK) {
        count(coordinator, COORDINATOR_METRIC_PLACED_REFUSED, 1);
        return rc;
    }
    rc = answer_request(coordinator, ask, answer, err);
    if (rc == STATUS_OK && issuer)
        rc = issuer_sign(issuer, client, ask->u.place.session, &answer->u.placed, &issued, err);
    count(coordinator, COORDINATOR_METRIC_TICKETS, issued);
    if (rc == STATUS_OK)
        say_placed(call, &ask->u.place, &answer->u.placed);
    return rc;
}

/* Who registers, reports, drains or lists shows a key of its own kind. */
static enum status answer_member(struct coordinator *coordinator, struct rpc_call *call,
                                 const struct wire_coordinator_message *ask,
                                 struct wire_coordinator_message *answer, struct error *err)
{
    struct issuer *issuer = coordinator->options.issuer;
    char member[ISSUE_NAME_MAX + 1] = "";
    enum status rc = STATUS_OK;
    if (issuer)
        rc = issuer_admit_member(issuer, rpc_metadata_value(call, CLUSTER_API_KEY), member, err);
    count(coordinator, COORDINATOR_METRIC_DENIED, rc != STATUS_OK);
    if (rc == STATUS_OK && ask->kind == WIRE_DRAIN_TARGET && member[0])
        log_line(LOG_INFO, "target %s: %s asked for with the key %s", ask->u.drain_target.address,
                 ask->u.drain_target.undo ? "undrain" : "drain", member);
    return rc == STATUS_OK ? answer_request(coordinator, ask, answer, err) : rc;
}

static void on_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    const struct method *method = rpc_user(call);
    struct wire_coordinator_message ask;
    struct wire_coordinator_message answer = {.kind = method->kind + 1};
    struct wire_bytes bytes = {0};
    struct error err;
    enum status rc = wire_coordinator_unpack(data, size, method->kind, &ask, &err);
    if (rc == STATUS_OK) {
        rc = ask.kind == WIRE_PLACE
                 ? answer_place(method->coordinator, call, &ask, &answer, &err)
                 : answer_member(method->coordinator, call, &ask, &answer, &err);
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
    struct rpc_method methods[N_METHODS + HEALTH_METHODS_N];
    for (uint32_t i = 0; i < N_METHODS; i++) {
        coordinator->methods[i] = (struct method){coordinator, (enum wire_coordinator_kind)(2 * i)};
        methods[i] = (struct rpc_method){
            .name = wire_coordinator_method(coordinator->methods[i].kind), .handler = &handler,
            .context = &coordinator->methods[i]};
    }
    health_methods(coordinator->health, methods + N_METHODS);
    struct rpc_server_options server = {
        .listen = coordinator->options.listen,
        .tls = coordinator->options.tls,
        .methods = methods,
        .n_methods = ARRAY_LEN(methods),
        .network = coordinator->options.network,
    };
    return rpc_server_new(&server, &coordinator->server, err);
}

/* Behind the server: it is told to others as something that answers. */
static enum status start_store(struct coordinator *coordinator, struct error *err)
{
    struct store_options options = coordinator->options.store;
    struct store *store;
    const char *listen = coordinator->options.listen, *colon = strrchr(listen, ':');
    if (options.incarnation == 0)
        options.incarnation = wall_clock_incarnation();
    if (!options.self[0] && colon)
        snprintf(options.self, sizeof(options.self), "%.*s:%u", (int)(colon - listen), listen,
                 rpc_server_port(coordinator->server));
    enum status rc = store_start(&options, &store, err);
    pthread_mutex_lock(&coordinator->lock);
    coordinator->store = store;
    pthread_mutex_unlock(&coordinator->lock);
    return rc;
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
    coordinator->price = 1.0f;
    pthread_mutex_init(&coordinator->lock, NULL);
    struct registry_options registry = options->registry;
    registry.gone = target_gone;
    registry.context = coordinator;
    enum status rc = registry_new(&registry, coordinator->begun_us, &coordinator->registry, err);
    if (rc == STATUS_OK)
        rc = start_bus(coordinator, err);
    if (rc == STATUS_OK)
        rc = health_new("specasr.v1.Coordinator", &coordinator->health, err);
    if (rc == STATUS_OK)
        rc = start_server(coordinator, err);
    if (rc == STATUS_OK)
        rc = start_store(coordinator, err);
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

void coordinator_tune(struct coordinator *coordinator, const struct coordinator_tuning *tuning)
{
    pthread_mutex_lock(&coordinator->lock);
    coordinator->options.latency_goal_ms = tuning->latency_goal_ms;
    coordinator->options.modes = tuning->modes;
    registry_set_canary_share(coordinator->registry, tuning->canary_share);
    pthread_mutex_unlock(&coordinator->lock);
}

enum status coordinator_reload_certificate(struct coordinator *coordinator, struct error *err)
{
    return rpc_server_reload(coordinator->server, err);
}

int64_t coordinator_certificate_expiry(const struct coordinator *coordinator)
{
    return rpc_server_certificate_expiry(coordinator->server);
}

/* Says when another leads than before. Under the lock. */
static void tell_leader(struct coordinator *coordinator)
{
    const struct store_state state = state_of(coordinator);
    if (strcmp(state.leader, coordinator->leader) == 0)
        return;
    memcpy(coordinator->leader, state.leader, sizeof(coordinator->leader));
    if (coordinator->options.store.etcd.n_endpoints == 0)
        return;
    log_line(state.leader[0] ? LOG_INFO : LOG_WARN, "%s%s leads, term %" PRIu64,
             state.leader[0] ? "the coordinator " : "no coordinator",
             state.leader, state.term);
}

void coordinator_tick(struct coordinator *coordinator)
{
    pthread_mutex_lock(&coordinator->lock);
    uint64_t now = clock_us(&coordinator->clock);
    (void)registry_expire(coordinator->registry, now);
    coordinator->price = policy_price_next(
        coordinator->price, registry_lag_us(coordinator->registry, now),
        (float)coordinator->options.latency_goal_ms * 1000.0f,
        (float)(now - coordinator->ticked_us) / 1e6f);
    coordinator->ticked_us = now;
    tell_leader(coordinator);
    pthread_mutex_unlock(&coordinator->lock);
}

static void set_gauges(const struct coordinator *coordinator, const struct wire_listed *listed)
{
    struct metrics *metrics = coordinator->options.metrics;
    int64_t n_of[WIRE_STATE_N] = {0}, places = 0;
    for (uint32_t i = 0; i < listed->n_targets; i++) {
        const struct wire_target_row *row = &listed->targets[i];
        bool serves = row->load.state == WIRE_SERVING && !row->drain;
        n_of[row->drain ? WIRE_DRAINING : row->load.state]++;
        if (serves && row->info.sessions_max > row->load.sessions)
            places += row->info.sessions_max - row->load.sessions;
    }
    metrics_set(metrics, COORDINATOR_METRIC_TARGETS_SERVING, n_of[WIRE_SERVING]);
    metrics_set(metrics, COORDINATOR_METRIC_TARGETS_WARMING, n_of[WIRE_WARMING]);
    metrics_set(metrics, COORDINATOR_METRIC_TARGETS_DRAINING, n_of[WIRE_DRAINING]);
    metrics_set(metrics, COORDINATOR_METRIC_PLACES, places);
    const struct store_state state = state_of(coordinator);
    metrics_set(metrics, COORDINATOR_METRIC_LEADER, state.leads);
    metrics_set(metrics, COORDINATOR_METRIC_TERM, (int64_t)state.term);
    metrics_set(metrics, COORDINATOR_METRIC_STORE_UP, state.connected);
    metrics_set(metrics, COORDINATOR_METRIC_MEMBERS, state.n_members);
    metrics_set(metrics, COORDINATOR_METRIC_SHADOW_PRICE, (int64_t)(coordinator->price * 1e6f));
}

void coordinator_refresh(struct coordinator *coordinator)
{
    struct wire_coordinator_message list = {.kind = WIRE_LISTED};
    struct error err;
    pthread_mutex_lock(&coordinator->lock);
    enum status rc = registry_list(coordinator->registry, clock_us(&coordinator->clock),
                                   &list.u.listed, &err);
    if (rc == STATUS_OK)
        set_gauges(coordinator, &list.u.listed);
    pthread_mutex_unlock(&coordinator->lock);
    wire_coordinator_release(&list);
}

void coordinator_stop(struct coordinator **coordinator_ptr)
{
    struct coordinator *coordinator = *coordinator_ptr;
    if (!coordinator)
        return;
    if (coordinator->health)
        health_set(coordinator->health, false);
    if (coordinator->server)
        rpc_server_stop(coordinator->server, STOP_GRACE_MS);
    rpc_server_free(&coordinator->server);
    health_free(&coordinator->health);
    exchange_stop(&coordinator->exchange);
    store_stop(&coordinator->store);
    registry_free(&coordinator->registry);
    pthread_mutex_destroy(&coordinator->lock);
    free(coordinator);
    *coordinator_ptr = NULL;
}
