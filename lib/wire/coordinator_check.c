#include <string.h>

#include "base/utf8.h"
#include "wire/coordinator_int.h"

/* The rules of coordinator messages, for both directions; each function is pure. */

static bool text_ok(const char *text, size_t capacity)
{
    size_t n = strnlen(text, capacity);
    return n < capacity && utf8_valid(text, n);
}

static bool name_ok(const char *text, size_t capacity)
{
    size_t n = strnlen(text, capacity);
    for (size_t i = 0; i < n; i++)
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
            return false;
    return n < capacity;
}

bool wire_address_ok(const char *address)
{
    const char *colon = strrchr(address, ':');
    uint32_t port = 0;
    if (!name_ok(address, WIRE_ADDRESS_MAX) || !colon || colon == address)
        return false;
    size_t n_digits = strlen(colon + 1);
    for (const char *c = colon + 1; *c; c++) {
        if (*c < '0' || *c > '9' || n_digits > 5)
            return false;
        port = port * 10 + (uint32_t)(*c - '0');
    }
    return port >= 1 && port <= 65535;
}

/* A CURVE public key as Z85 (rfc.zeromq.org/spec/32), or "". */
static bool bus_key_ok(const char *key)
{
    size_t n = strnlen(key, WIRE_BUS_KEY_MAX);
    return name_ok(key, WIRE_BUS_KEY_MAX) && (n == 0 || n == WIRE_BUS_KEY_MAX - 1);
}

static const char *problem_in_info(const struct wire_target_info *info)
{
    if (!wire_address_ok(info->address))
        return "the target's address is not HOST:PORT";
    if (!name_ok(info->tls_name, sizeof(info->tls_name)))
        return "tls_name is no host name";
    if (!text_ok(info->model, sizeof(info->model)))
        return "model is not UTF-8";
    if (info->incarnation == 0)
        return "incarnation 0";
    if (!bus_key_ok(info->bus_key))
        return "bus_key is no key";
    return info->sessions_max >= 1 ? NULL : "a target without sessions";
}

static const char *problem_in_load(const struct wire_target_load *load)
{
    return (unsigned)load->state < WIRE_STATE_N ? NULL : "an unknown state";
}

static const char *problem_in_policy(const struct wire_policy *policy)
{
    if (!(policy->shadow_price >= 0.0f && policy->shadow_price <= 1e6f))    /* nor NaN */
        return "shadow_price is out of range";
    return policy->modes <= WIRE_MODES_ALL ? NULL : "unknown modes";
}

static const char *problem_in_verdict(enum wire_verdict verdict, const struct wire_policy *policy)
{
    return (unsigned)verdict < WIRE_VERDICT_N ? problem_in_policy(policy) : "an unknown verdict";
}

static const char *problem_in_place(const struct wire_place *place)
{
    if (!text_ok(place->model, sizeof(place->model)))
        return "model is not UTF-8";
    if (place->n_distances > WIRE_DISTANCES_MAX || place->n_avoid > WIRE_AVOID_MAX)
        return "too many addresses";
    for (uint32_t i = 0; i < place->n_distances; i++)
        if (!wire_address_ok(place->distances[i].address))
            return "an address is not HOST:PORT";
    for (uint32_t i = 0; i < place->n_avoid; i++)
        if (!wire_address_ok(place->avoid[i]))
            return "an address is not HOST:PORT";
    return NULL;
}

static const char *problem_in_placed(const struct wire_placed *placed)
{
    if (!text_ok(placed->reason, sizeof(placed->reason)))
        return "reason is not UTF-8";
    if (placed->n_targets > WIRE_PLACED_MAX || placed->n_ticket > WIRE_TICKET_MAX)
        return "too many targets, or too large a ticket";
    if ((placed->retry_ms > 0) == (placed->n_targets > 0))
        return "neither targets nor a time to ask again, or both";
    for (uint32_t i = 0; i < placed->n_targets; i++) {
        const struct wire_placed_target *t = &placed->targets[i];
        if (!wire_address_ok(t->address) || !name_ok(t->tls_name, sizeof(t->tls_name)))
            return "an address is not HOST:PORT";
        if (!text_ok(t->model, sizeof(t->model)))
            return "model is not UTF-8";
    }
    return NULL;
}

static const char *problem_in_coordinators(const struct wire_coordinators *coordinators)
{
    if (coordinators->n > WIRE_COORDINATORS_MAX)
        return "too many coordinators";
    for (uint32_t i = 0; i < coordinators->n; i++)
        if (!wire_address_ok(coordinators->item[i]))
            return "a coordinator's address is not HOST:PORT";
    return NULL;
}

static const char *problem_in_listed(const struct wire_listed *listed)
{
    const char *problem = problem_in_policy(&listed->policy);
    if (!problem)
        problem = problem_in_coordinators(&listed->coordinators);
    if (listed->leader[0] && !wire_address_ok(listed->leader))
        return "the leader's address is not HOST:PORT";
    if (listed->n_targets > WIRE_CLUSTER_TARGETS_MAX)
        return "too many targets";
    for (uint32_t i = 0; i < listed->n_targets && !problem; i++) {
        problem = problem_in_info(&listed->targets[i].info);
        if (!problem)
            problem = problem_in_load(&listed->targets[i].load);
    }
    return problem;
}

static const char *problem_in_registered(const struct wire_registered *registered)
{
    if (registered->heartbeat_ms < 50 || registered->heartbeat_ms > 60000)
        return "heartbeat_ms is out of range";
    const struct wire_bus *bus = &registered->bus;
    if (bus->load_port > 65535 || bus->policy_port > 65535 || !bus_key_ok(bus->key) ||
        (bus->load_port > 0) != (bus->key[0] != '\0') ||
        (bus->policy_port > 0) != (bus->key[0] != '\0'))
        return "half a bus";
    const char *problem = problem_in_coordinators(&registered->coordinators);
    return problem ? problem : problem_in_verdict(registered->verdict, &registered->policy);
}

static const char *problem_in_heartbeat(const struct wire_heartbeat *heartbeat)
{
    if (!wire_address_ok(heartbeat->address))
        return "the target's address is not HOST:PORT";
    return heartbeat->incarnation ? problem_in_load(&heartbeat->load) : "incarnation 0";
}

const char *wire_coordinator_problem(const struct wire_coordinator_message *message)
{
    const char *problem;
    switch (message->kind) {
    case WIRE_REGISTER:
        problem = problem_in_info(&message->u.registration.info);
        return problem ? problem : problem_in_load(&message->u.registration.load);
    case WIRE_REGISTERED:
        return problem_in_registered(&message->u.registered);
    case WIRE_HEARTBEAT:
        return problem_in_heartbeat(&message->u.heartbeat);
    case WIRE_HEARD:
        problem = problem_in_coordinators(&message->u.heard.coordinators);
        return problem ? problem
                       : problem_in_verdict(message->u.heard.verdict, &message->u.heard.policy);
    case WIRE_PLACE:
        return problem_in_place(&message->u.place);
    case WIRE_PLACED:
        return problem_in_placed(&message->u.placed);
    case WIRE_LISTED:
        return problem_in_listed(&message->u.listed);
    case WIRE_DRAIN_TARGET:
        return wire_address_ok(message->u.drain_target.address)
                   ? NULL
                   : "the target's address is not HOST:PORT";
    case WIRE_LIST:
    case WIRE_DRAIN_NOTED:
    case WIRE_COORDINATOR_KIND_N:
        break;
    }
    return NULL;
}
