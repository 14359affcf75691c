#include "wire/coordinator_frames.h"

#include <stdlib.h>
#include <string.h>

#include "coordinator.pb-c.h"
#include "wire/coordinator_int.h"
#include "wire/wire_int.h"

/* Bytes in and out of the structs. Unpacking checks what its copies need (lengths, counts); the
 * rules are in coordinator_check.c, for both directions. */

enum { UNPACK_MEMORY_MAX = 8 << 20 };

/* ---- the parts that several messages have ---- */

static void fill_info(const struct wire_target_info *info, Specasr__V1__TargetInfo *m)
{
    specasr__v1__target_info__init(m);
    m->address = (char *)info->address;
    m->tls_name = (char *)info->tls_name;
    m->model = (char *)info->model;
    m->fingerprint = info->fingerprint;
    m->vocabulary_hash = info->vocabulary_hash;
    m->incarnation = info->incarnation;
    m->sessions_max = info->sessions_max;
    m->tls = info->tls;
    m->bus_key = (char *)info->bus_key;
}

static enum status read_info(const Specasr__V1__TargetInfo *m, struct wire_target_info *info,
                             struct error *err)
{
    if (!m)
        return error_set(err, STATUS_CORRUPT, "no description of the target");
    enum status rc = wire_copy_text(info->address, sizeof(info->address), m->address, "address",
                                    err);
    if (rc == STATUS_OK)
        rc = wire_copy_text(info->tls_name, sizeof(info->tls_name), m->tls_name, "tls_name", err);
    if (rc == STATUS_OK)
        rc = wire_copy_text(info->model, sizeof(info->model), m->model, "model", err);
    if (rc == STATUS_OK)
        rc = wire_copy_text(info->bus_key, sizeof(info->bus_key), m->bus_key, "bus_key", err);
    info->fingerprint = m->fingerprint;
    info->vocabulary_hash = m->vocabulary_hash;
    info->incarnation = m->incarnation;
    info->sessions_max = m->sessions_max;
    info->tls = m->tls;
    return rc;
}

static void fill_load(const struct wire_target_load *load, Specasr__V1__TargetLoad *m)
{
    specasr__v1__target_load__init(m);
    m->sequence = load->sequence;
    m->state = (uint32_t)load->state;
    m->sessions = load->sessions;
    m->busy = load->busy;
    m->queue_us = load->queue_us;
    m->window_us = load->window_us;
    m->step_us = load->step_us;
    m->row_us = load->row_us;
}

/* A message without one says that nothing is known: all zero. */
static void read_load(const Specasr__V1__TargetLoad *m, struct wire_target_load *load)
{
    if (!m)
        return;
    load->sequence = m->sequence;
    load->state = (enum wire_target_state)MIN(m->state, (uint32_t)WIRE_STATE_N);
    load->sessions = m->sessions;
    load->busy = m->busy;
    load->queue_us = m->queue_us;
    load->window_us = m->window_us;
    load->step_us = m->step_us;
    load->row_us = m->row_us;
}

static void fill_policy(const struct wire_policy *policy, Specasr__V1__Policy *m)
{
    specasr__v1__policy__init(m);
    m->term = policy->term;
    m->ttl_ms = policy->ttl_ms;
    m->shadow_price = policy->shadow_price;
    m->latency_goal_ms = policy->latency_goal_ms;
    m->modes = policy->modes;
}

static void read_policy(const Specasr__V1__Policy *m, struct wire_policy *policy)
{
    if (!m)
        return;
    policy->term = m->term;
    policy->ttl_ms = m->ttl_ms;
    policy->shadow_price = m->shadow_price;
    policy->latency_goal_ms = m->latency_goal_ms;
    policy->modes = m->modes;
}

static enum wire_verdict read_verdict(uint32_t verdict)
{
    return (enum wire_verdict)MIN(verdict, (uint32_t)WIRE_VERDICT_N);
}

static enum status too_many(const char *what, size_t n, size_t limit, struct error *err)
{
    return error_set(err, STATUS_CORRUPT, "%zu %s, the limit is %zu", n, what, limit);
}

/* A repeated string, as protobuf-c has it. */
struct texts {
    size_t n;
    char **item;
};

static struct texts texts_of(const struct wire_coordinators *coordinators,
                             char *item[WIRE_COORDINATORS_MAX])
{
    for (uint32_t i = 0; i < coordinators->n; i++)
        item[i] = (char *)coordinators->item[i];
    return (struct texts){coordinators->n, item};
}

static enum status read_coordinators(struct texts from, struct wire_coordinators *out,
                                     struct error *err)
{
    enum status rc = STATUS_OK;
    if (from.n > WIRE_COORDINATORS_MAX)
        return too_many("coordinators", from.n, WIRE_COORDINATORS_MAX, err);
    out->n = (uint32_t)from.n;
    for (uint32_t i = 0; i < out->n && rc == STATUS_OK; i++)
        rc = wire_copy_text(out->item[i], WIRE_ADDRESS_MAX, from.item[i],
                            "a coordinator's address", err);
    return rc;
}

/* ---- Register, Heartbeat ---- */

static enum status pack_register(const struct wire_coordinator_message *message,
                                 struct wire_bytes *out, struct error *err)
{
    const struct wire_register *r = &message->u.registration;
    Specasr__V1__RegisterRequest m = SPECASR__V1__REGISTER_REQUEST__INIT;
    Specasr__V1__TargetInfo info;
    Specasr__V1__TargetLoad load;
    fill_info(&r->info, &info);
    fill_load(&r->load, &load);
    m.info = &info;
    m.load = &load;
    m.term = r->term;
    return wire_emit(&m.base, out, err);
}

static enum status unpack_register(const void *from, struct wire_coordinator_message *out,
                                   struct error *err)
{
    const Specasr__V1__RegisterRequest *m = from;
    read_load(m->load, &out->u.registration.load);
    out->u.registration.term = m->term;
    return read_info(m->info, &out->u.registration.info, err);
}

static enum status pack_registered(const struct wire_coordinator_message *message,
                                   struct wire_bytes *out, struct error *err)
{
    const struct wire_registered *r = &message->u.registered;
    Specasr__V1__RegisterAnswer m = SPECASR__V1__REGISTER_ANSWER__INIT;
    Specasr__V1__Policy policy;
    Specasr__V1__Bus bus = SPECASR__V1__BUS__INIT;
    char *coordinators[WIRE_COORDINATORS_MAX];
    fill_policy(&r->policy, &policy);
    bus.load_port = r->bus.load_port;
    bus.policy_port = r->bus.policy_port;
    bus.key = (char *)r->bus.key;
    const struct texts texts = texts_of(&r->coordinators, coordinators);
    m.verdict = (uint32_t)r->verdict;
    m.heartbeat_ms = r->heartbeat_ms;
    m.policy = &policy;
    if (r->bus.key[0])
        m.bus = &bus;
    m.n_coordinators = texts.n;
    m.coordinators = texts.item;
    return wire_emit(&m.base, out, err);
}

static enum status unpack_registered(const void *from, struct wire_coordinator_message *out,
                                     struct error *err)
{
    const Specasr__V1__RegisterAnswer *m = from;
    struct wire_registered *r = &out->u.registered;
    r->verdict = read_verdict(m->verdict);
    r->heartbeat_ms = m->heartbeat_ms;
    read_policy(m->policy, &r->policy);
    const struct texts texts = {m->n_coordinators, m->coordinators};
    enum status rc = read_coordinators(texts, &r->coordinators, err);
    if (rc != STATUS_OK || !m->bus)
        return rc;
    r->bus.load_port = m->bus->load_port;
    r->bus.policy_port = m->bus->policy_port;
    return wire_copy_text(r->bus.key, sizeof(r->bus.key), m->bus->key, "a key of the bus", err);
}

static enum status pack_heartbeat(const struct wire_coordinator_message *message,
                                  struct wire_bytes *out, struct error *err)
{
    const struct wire_heartbeat *h = &message->u.heartbeat;
    Specasr__V1__HeartbeatRequest m = SPECASR__V1__HEARTBEAT_REQUEST__INIT;
    Specasr__V1__TargetLoad load;
    fill_load(&h->load, &load);
    m.address = (char *)h->address;
    m.incarnation = h->incarnation;
    m.load = &load;
    m.term = h->term;
    return wire_emit(&m.base, out, err);
}

static enum status unpack_heartbeat(const void *from, struct wire_coordinator_message *out,
                                    struct error *err)
{
    const Specasr__V1__HeartbeatRequest *m = from;
    struct wire_heartbeat *h = &out->u.heartbeat;
    h->incarnation = m->incarnation;
    h->term = m->term;
    read_load(m->load, &h->load);
    return wire_copy_text(h->address, sizeof(h->address), m->address, "address", err);
}

static enum status pack_heard(const struct wire_coordinator_message *message,
                              struct wire_bytes *out, struct error *err)
{
    const struct wire_heard *h = &message->u.heard;
    Specasr__V1__HeartbeatAnswer m = SPECASR__V1__HEARTBEAT_ANSWER__INIT;
    Specasr__V1__Policy policy;
    fill_policy(&h->policy, &policy);
    m.verdict = (uint32_t)h->verdict;
    char *coordinators[WIRE_COORDINATORS_MAX];
    const struct texts texts = texts_of(&h->coordinators, coordinators);
    m.drain = h->drain;
    m.policy = &policy;
    m.n_coordinators = texts.n;
    m.coordinators = texts.item;
    return wire_emit(&m.base, out, err);
}

static enum status unpack_heard(const void *from, struct wire_coordinator_message *out,
                                struct error *err)
{
    const Specasr__V1__HeartbeatAnswer *m = from;
    const struct texts texts = {m->n_coordinators, m->coordinators};
    out->u.heard.verdict = read_verdict(m->verdict);
    out->u.heard.drain = m->drain;
    read_policy(m->policy, &out->u.heard.policy);
    return read_coordinators(texts, &out->u.heard.coordinators, err);
}

/* ---- Place ---- */

static enum status pack_place(const struct wire_coordinator_message *message,
                              struct wire_bytes *out, struct error *err)
{
    const struct wire_place *p = &message->u.place;
    Specasr__V1__PlaceRequest m = SPECASR__V1__PLACE_REQUEST__INIT;
    Specasr__V1__Distance distance[WIRE_DISTANCES_MAX], *distances[WIRE_DISTANCES_MAX];
    char *avoid[WIRE_AVOID_MAX];
    for (uint32_t i = 0; i < p->n_distances; i++) {
        specasr__v1__distance__init(&distance[i]);
        distance[i].address = (char *)p->distances[i].address;
        distance[i].rtt_us = p->distances[i].rtt_us;
        distances[i] = &distance[i];
    }
    for (uint32_t i = 0; i < p->n_avoid; i++)
        avoid[i] = (char *)p->avoid[i];
    m.session = (ProtobufCBinaryData){sizeof(p->session), (uint8_t *)p->session};
    m.model = (char *)p->model;
    m.fingerprint = p->fingerprint;
    m.rounds = p->rounds;
    m.n_distances = p->n_distances;
    m.distances = distances;
    m.n_avoid = p->n_avoid;
    m.avoid = avoid;
    return wire_emit(&m.base, out, err);
}

static enum status read_distances(const Specasr__V1__PlaceRequest *m, struct wire_place *p,
                                  struct error *err)
{
    enum status rc = STATUS_OK;
    if (m->n_distances > WIRE_DISTANCES_MAX)
        return too_many("distances", m->n_distances, WIRE_DISTANCES_MAX, err);
    if (m->n_avoid > WIRE_AVOID_MAX)
        return too_many("addresses to avoid", m->n_avoid, WIRE_AVOID_MAX, err);
    p->n_distances = (uint32_t)m->n_distances;
    p->n_avoid = (uint32_t)m->n_avoid;
    for (uint32_t i = 0; i < p->n_distances && rc == STATUS_OK; i++) {
        p->distances[i].rtt_us = m->distances[i]->rtt_us;
        rc = wire_copy_text(p->distances[i].address, WIRE_ADDRESS_MAX, m->distances[i]->address,
                            "an address", err);
    }
    for (uint32_t i = 0; i < p->n_avoid && rc == STATUS_OK; i++)
        rc = wire_copy_text(p->avoid[i], WIRE_ADDRESS_MAX, m->avoid[i], "an address", err);
    return rc;
}

static enum status unpack_place(const void *from, struct wire_coordinator_message *out,
                                struct error *err)
{
    const Specasr__V1__PlaceRequest *m = from;
    struct wire_place *p = &out->u.place;
    if (m->session.len != sizeof(p->session))
        return error_set(err, STATUS_CORRUPT, "a session id of %zu bytes, not %zu", m->session.len,
                         sizeof(p->session));
    memcpy(p->session, m->session.data, sizeof(p->session));
    p->fingerprint = m->fingerprint;
    p->rounds = m->rounds;
    enum status rc = wire_copy_text(p->model, sizeof(p->model), m->model, "model", err);
    return rc == STATUS_OK ? read_distances(m, p, err) : rc;
}

static enum status pack_placed(const struct wire_coordinator_message *message,
                               struct wire_bytes *out, struct error *err)
{
    const struct wire_placed *p = &message->u.placed;
    Specasr__V1__PlaceAnswer m = SPECASR__V1__PLACE_ANSWER__INIT;
    Specasr__V1__PlacedTarget target[WIRE_PLACED_MAX], *targets[WIRE_PLACED_MAX];
    for (uint32_t i = 0; i < p->n_targets; i++) {
        const struct wire_placed_target *t = &p->targets[i];
        specasr__v1__placed_target__init(&target[i]);
        target[i].address = (char *)t->address;
        target[i].tls_name = (char *)t->tls_name;
        target[i].model = (char *)t->model;
        target[i].fingerprint = t->fingerprint;
        target[i].vocabulary_hash = t->vocabulary_hash;
        target[i].expected_us = t->expected_us;
        target[i].tls = t->tls;
        targets[i] = &target[i];
    }
    m.retry_ms = p->retry_ms;
    m.reason = (char *)p->reason;
    m.n_targets = p->n_targets;
    m.targets = targets;
    m.ticket = (ProtobufCBinaryData){p->n_ticket, (uint8_t *)p->ticket};
    return wire_emit(&m.base, out, err);
}

static enum status read_placed_target(const Specasr__V1__PlacedTarget *m,
                                      struct wire_placed_target *t, struct error *err)
{
    t->fingerprint = m->fingerprint;
    t->vocabulary_hash = m->vocabulary_hash;
    t->expected_us = m->expected_us;
    t->tls = m->tls;
    enum status rc = wire_copy_text(t->address, sizeof(t->address), m->address, "address", err);
    if (rc == STATUS_OK)
        rc = wire_copy_text(t->tls_name, sizeof(t->tls_name), m->tls_name, "tls_name", err);
    return rc == STATUS_OK ? wire_copy_text(t->model, sizeof(t->model), m->model, "model", err)
                           : rc;
}

static enum status unpack_placed(const void *from, struct wire_coordinator_message *out,
                                 struct error *err)
{
    const Specasr__V1__PlaceAnswer *m = from;
    struct wire_placed *p = &out->u.placed;
    if (m->n_targets > WIRE_PLACED_MAX)
        return too_many("targets", m->n_targets, WIRE_PLACED_MAX, err);
    if (m->ticket.len > WIRE_TICKET_MAX)
        return too_many("bytes of a ticket", m->ticket.len, WIRE_TICKET_MAX, err);
    p->retry_ms = m->retry_ms;
    p->n_targets = (uint32_t)m->n_targets;
    p->n_ticket = (uint32_t)m->ticket.len;
    if (p->n_ticket)
        memcpy(p->ticket, m->ticket.data, p->n_ticket);
    enum status rc = wire_copy_text(p->reason, sizeof(p->reason), m->reason, "reason", err);
    for (uint32_t i = 0; i < p->n_targets && rc == STATUS_OK; i++)
        rc = read_placed_target(m->targets[i], &p->targets[i], err);
    return rc;
}

/* ---- List, DrainTarget ---- */

static enum status pack_list(const struct wire_coordinator_message *message, struct wire_bytes *out,
                             struct error *err)
{
    Specasr__V1__ListRequest m = SPECASR__V1__LIST_REQUEST__INIT;
    (void)message;
    return wire_emit(&m.base, out, err);
}

static enum status unpack_list(const void *from, struct wire_coordinator_message *out,
                               struct error *err)
{
    (void)from;
    (void)out;
    (void)err;
    return STATUS_OK;
}

struct row_parts {
    Specasr__V1__TargetRow row;
    Specasr__V1__TargetInfo info;
    Specasr__V1__TargetLoad load;
};

static void fill_row(const struct wire_target_row *from, struct row_parts *parts)
{
    specasr__v1__target_row__init(&parts->row);
    fill_info(&from->info, &parts->info);
    fill_load(&from->load, &parts->load);
    parts->row.info = &parts->info;
    parts->row.load = &parts->load;
    parts->row.age_ms = from->age_ms;
    parts->row.reserved = from->reserved;
    parts->row.drain = from->drain;
    parts->row.placed = from->placed;
}

static enum status pack_listed(const struct wire_coordinator_message *message,
                               struct wire_bytes *out, struct error *err)
{
    const struct wire_listed *l = &message->u.listed;
    Specasr__V1__ListAnswer m = SPECASR__V1__LIST_ANSWER__INIT;
    Specasr__V1__Policy policy;
    struct row_parts *parts = calloc(l->n_targets + 1, sizeof(*parts));
    Specasr__V1__TargetRow **rows = calloc(l->n_targets + 1, sizeof(Specasr__V1__TargetRow *));
    char *coordinators[WIRE_COORDINATORS_MAX];
    enum status rc = STATUS_OK;
    if (!parts || !rows)
        rc = error_set(err, STATUS_NO_MEMORY, "no memory for a list of targets");
    for (uint32_t i = 0; i < l->n_targets && rc == STATUS_OK; i++) {
        fill_row(&l->targets[i], &parts[i]);
        rows[i] = &parts[i].row;
    }
    fill_policy(&l->policy, &policy);
    m.uptime_ms = l->uptime_ms;
    m.heartbeat_ms = l->heartbeat_ms;
    m.policy = &policy;
    m.n_targets = l->n_targets;
    m.targets = rows;
    m.placed = l->placed;
    m.refused = l->refused;
    m.leads = l->leads;
    m.store_up = l->store_up;
    m.leader = (char *)l->leader;
    const struct texts texts = texts_of(&l->coordinators, coordinators);
    m.n_coordinators = texts.n;
    m.coordinators = texts.item;
    if (rc == STATUS_OK)
        rc = wire_emit(&m.base, out, err);
    free(parts);
    free(rows);
    return rc;
}

static enum status read_row(const Specasr__V1__TargetRow *m, struct wire_target_row *row,
                            struct error *err)
{
    read_load(m->load, &row->load);
    row->age_ms = m->age_ms;
    row->reserved = m->reserved;
    row->drain = m->drain;
    row->placed = m->placed;
    return read_info(m->info, &row->info, err);
}

static enum status unpack_listed(const void *from, struct wire_coordinator_message *out,
                                 struct error *err)
{
    const Specasr__V1__ListAnswer *m = from;
    struct wire_listed *l = &out->u.listed;
    if (m->n_targets > WIRE_CLUSTER_TARGETS_MAX)
        return too_many("targets", m->n_targets, WIRE_CLUSTER_TARGETS_MAX, err);
    l->targets = calloc(m->n_targets + 1, sizeof(*l->targets));
    if (!l->targets)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a list of targets");
    l->uptime_ms = m->uptime_ms;
    l->heartbeat_ms = m->heartbeat_ms;
    l->placed = m->placed;
    l->refused = m->refused;
    l->n_targets = (uint32_t)m->n_targets;
    l->leads = m->leads;
    l->store_up = m->store_up;
    read_policy(m->policy, &l->policy);
    const struct texts texts = {m->n_coordinators, m->coordinators};
    enum status rc = read_coordinators(texts, &l->coordinators, err);
    if (rc == STATUS_OK)
        rc = wire_copy_text(l->leader, sizeof(l->leader), m->leader, "the leader", err);
    for (uint32_t i = 0; i < l->n_targets && rc == STATUS_OK; i++)
        rc = read_row(m->targets[i], &l->targets[i], err);
    return rc;
}

static enum status pack_drain(const struct wire_coordinator_message *message,
                              struct wire_bytes *out, struct error *err)
{
    Specasr__V1__DrainTargetRequest m = SPECASR__V1__DRAIN_TARGET_REQUEST__INIT;
    m.address = (char *)message->u.drain_target.address;
    m.incarnation = message->u.drain_target.incarnation;
    m.undo = message->u.drain_target.undo;
    return wire_emit(&m.base, out, err);
}

static enum status unpack_drain(const void *from, struct wire_coordinator_message *out,
                                struct error *err)
{
    const Specasr__V1__DrainTargetRequest *m = from;
    struct wire_drain_target *d = &out->u.drain_target;
    d->incarnation = m->incarnation;
    d->undo = m->undo;
    return wire_copy_text(d->address, sizeof(d->address), m->address, "address", err);
}

static enum status pack_noted(const struct wire_coordinator_message *message,
                              struct wire_bytes *out, struct error *err)
{
    Specasr__V1__DrainTargetAnswer m = SPECASR__V1__DRAIN_TARGET_ANSWER__INIT;
    m.known = message->u.drain_noted.known;
    return wire_emit(&m.base, out, err);
}

static enum status unpack_noted(const void *from, struct wire_coordinator_message *out,
                                struct error *err)
{
    (void)err;
    out->u.drain_noted.known = ((const Specasr__V1__DrainTargetAnswer *)from)->known;
    return STATUS_OK;
}

/* ---- all of them ---- */

struct kind_ops {
    const char *name, *method;
    const ProtobufCMessageDescriptor *type;
    enum status (*pack)(const struct wire_coordinator_message *message, struct wire_bytes *out,
                        struct error *err);
    enum status (*unpack)(const void *from, struct wire_coordinator_message *out,
                          struct error *err);
};

#define METHOD(name) "/specasr.v1.Coordinator/" name

static const struct kind_ops kinds[WIRE_COORDINATOR_KIND_N] = {
    [WIRE_REGISTER] = {"register", METHOD("RegisterTarget"),
                       &specasr__v1__register_request__descriptor, pack_register, unpack_register},
    [WIRE_REGISTERED] = {"registered", METHOD("RegisterTarget"),
                         &specasr__v1__register_answer__descriptor, pack_registered,
                         unpack_registered},
    [WIRE_HEARTBEAT] = {"heartbeat", METHOD("Heartbeat"),
                        &specasr__v1__heartbeat_request__descriptor, pack_heartbeat,
                        unpack_heartbeat},
    [WIRE_HEARD] = {"heard", METHOD("Heartbeat"), &specasr__v1__heartbeat_answer__descriptor,
                    pack_heard, unpack_heard},
    [WIRE_PLACE] = {"place", METHOD("Place"), &specasr__v1__place_request__descriptor, pack_place,
                    unpack_place},
    [WIRE_PLACED] = {"placed", METHOD("Place"), &specasr__v1__place_answer__descriptor, pack_placed,
                     unpack_placed},
    [WIRE_LIST] = {"list", METHOD("List"), &specasr__v1__list_request__descriptor, pack_list,
                   unpack_list},
    [WIRE_LISTED] = {"listed", METHOD("List"), &specasr__v1__list_answer__descriptor, pack_listed,
                     unpack_listed},
    [WIRE_DRAIN_TARGET] = {"drain", METHOD("DrainTarget"),
                           &specasr__v1__drain_target_request__descriptor, pack_drain,
                           unpack_drain},
    [WIRE_DRAIN_NOTED] = {"drain answer", METHOD("DrainTarget"),
                          &specasr__v1__drain_target_answer__descriptor, pack_noted, unpack_noted},
};

const char *wire_coordinator_method(enum wire_coordinator_kind kind)
{
    SA_ASSERT((unsigned)kind < WIRE_COORDINATOR_KIND_N);
    return kinds[kind].method;
}

enum status wire_coordinator_pack(const struct wire_coordinator_message *message,
                                  struct wire_bytes *out, struct error *err)
{
    const char *problem = wire_coordinator_problem(message);
    *out = (struct wire_bytes){0};
    if (problem)
        assert_failed(problem, kinds[message->kind].name, 0);
    enum status rc = kinds[message->kind].pack(message, out, err);
    SA_ASSERT(rc != STATUS_OK || out->size <= WIRE_CLUSTER_MAX);
    return rc;
}

enum status wire_coordinator_unpack(const uint8_t *data, size_t size,
                                    enum wire_coordinator_kind kind,
                                    struct wire_coordinator_message *out, struct error *err)
{
    ProtobufCMessage *message = NULL;
    SA_ASSERT((unsigned)kind < WIRE_COORDINATOR_KIND_N);
    memset(out, 0, sizeof(*out));
    out->kind = kind;
    if (size > WIRE_CLUSTER_MAX)
        return error_set(err, STATUS_CORRUPT, "a message of %zu bytes, the limit is %d", size,
                         WIRE_CLUSTER_MAX);
    enum status rc = wire_parse(kinds[kind].type, data, size, UNPACK_MEMORY_MAX, &message, err);
    if (rc != STATUS_OK)
        return rc;
    rc = kinds[kind].unpack(message, out, err);
    wire_free_message(message);
    const char *problem = rc == STATUS_OK ? wire_coordinator_problem(out) : NULL;
    if (problem)
        rc = error_set(err, STATUS_CORRUPT, "%s", problem);
    if (rc != STATUS_OK) {
        error_prefix(err, "message %s refused", kinds[kind].name);
        wire_coordinator_release(out);
    }
    return rc;
}

void wire_coordinator_release(struct wire_coordinator_message *message)
{
    if (message->kind == WIRE_LISTED)
        free(message->u.listed.targets);
    memset(message, 0, sizeof(*message));
}
