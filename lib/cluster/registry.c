#include "cluster/registry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/place.h"

enum { RETRY_SOON_MS = 250, RETRY_LATER_MS = 1000 };

struct entry {
    struct wire_target_info info;
    struct wire_target_load load;
    uint64_t heard_us;
    uint32_t reserved_new, reserved_old;    /* since the last heartbeat; the period before it */
    bool drain;
    uint64_t placed;
};

struct registry {
    struct registry_options options;
    uint64_t random;
    uint64_t begun_us;
    uint64_t placed, refused;
    uint32_t n;
    struct entry entries[REGISTRY_TARGETS_MAX];
};

enum status registry_new(const struct registry_options *options, uint64_t now_us,
                         struct registry **out, struct error *err)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the registry");
    (*out)->options = *options;
    (*out)->random = options->seed;
    (*out)->begun_us = now_us;
    return STATUS_OK;
}

void registry_free(struct registry **registry)
{
    free(*registry);
    *registry = NULL;
}

/* ---- who is there ---- */

static uint64_t lease_us(const struct registry *registry)
{
    return (uint64_t)registry->options.heartbeat_ms * 1000u * (REGISTRY_MISSED_MAX + 1) -
           (uint64_t)registry->options.heartbeat_ms * 500u;     /* the third may be half late */
}

/* Nobody is sent there, because it said so or an operator did. */
static bool is_out_of_use(const struct entry *entry)
{
    return entry->drain || entry->load.state == WIRE_DRAINING;
}

static void is_gone(const struct registry *registry, const struct entry *entry, uint64_t now_us,
                    enum registry_reason reason)
{
    struct registry_gone gone = {&entry->info, reason, now_us - entry->heard_us};
    if (reason != REGISTRY_REKEYED && is_out_of_use(entry))
        gone.reason = REGISTRY_LEFT;
    if (registry->options.gone)
        registry->options.gone(registry->options.context, &gone);
}

uint32_t registry_expire(struct registry *registry, uint64_t now_us)
{
    uint32_t n_gone = 0;
    for (uint32_t i = 0; i < registry->n;) {
        struct entry *entry = &registry->entries[i];
        if (now_us <= entry->heard_us + lease_us(registry)) {
            i++;
            continue;
        }
        is_gone(registry, entry, now_us, REGISTRY_SILENT);
        *entry = registry->entries[--registry->n];
        n_gone++;
    }
    return n_gone;
}

static struct entry *find(struct registry *registry, const char *address)
{
    for (uint32_t i = 0; i < registry->n; i++)
        if (strcmp(registry->entries[i].info.address, address) == 0)
            return &registry->entries[i];
    return NULL;
}

enum wire_verdict registry_register(struct registry *registry, uint64_t now_us,
                                    const struct wire_target_info *info,
                                    const struct wire_target_load *load)
{
    (void)registry_expire(registry, now_us);
    struct entry *entry = find(registry, info->address);
    if (entry && info->incarnation < entry->info.incarnation)
        return WIRE_SUPERSEDED;
    if (!entry && registry->n == REGISTRY_TARGETS_MAX)
        return WIRE_REGISTRY_FULL;
    bool again = entry && info->incarnation == entry->info.incarnation;
    if (entry && (!again || strcmp(entry->info.bus_key, info->bus_key) != 0))
        is_gone(registry, entry, now_us, again ? REGISTRY_REKEYED : REGISTRY_REPLACED);
    if (!entry)
        entry = &registry->entries[registry->n++];
    if (!again)
        *entry = (struct entry){0};
    entry->info = *info;
    entry->load = *load;
    entry->heard_us = now_us;
    return WIRE_KNOWN;
}

enum wire_verdict registry_heartbeat(struct registry *registry, uint64_t now_us,
                                     const struct wire_heartbeat *heartbeat, bool *drain)
{
    *drain = false;
    (void)registry_expire(registry, now_us);
    struct entry *entry = find(registry, heartbeat->address);
    if (!entry || entry->info.incarnation < heartbeat->incarnation)
        return WIRE_REGISTER_AGAIN;
    if (entry->info.incarnation > heartbeat->incarnation)
        return WIRE_SUPERSEDED;
    entry->heard_us = now_us;
    *drain = entry->drain;
    if (heartbeat->load.sequence <= entry->load.sequence)
        return WIRE_KNOWN;                  /* late on its way: what is known is newer */
    entry->load = heartbeat->load;
    entry->reserved_old = entry->reserved_new;
    entry->reserved_new = 0;
    return WIRE_KNOWN;
}

void registry_set_canary_share(struct registry *registry, float share)
{
    registry->options.canary_share = share;
}

bool registry_load(struct registry *registry, uint64_t now_us,
                   const struct wire_heartbeat *heartbeat)
{
    (void)registry_expire(registry, now_us);
    struct entry *entry = find(registry, heartbeat->address);
    if (!entry || entry->info.incarnation != heartbeat->incarnation)
        return false;
    entry->heard_us = now_us;
    if (heartbeat->load.sequence > entry->load.sequence)
        entry->load = heartbeat->load;
    return true;
}

bool registry_drain(struct registry *registry, const struct wire_drain_target *ask)
{
    struct entry *entry = find(registry, ask->address);
    if (!entry || (ask->incarnation != 0 && ask->incarnation != entry->info.incarnation))
        return false;
    entry->drain = !ask->undo;
    return true;
}

/* ---- placing ---- */

static uint32_t reserved(const struct entry *entry)
{
    return entry->reserved_new + entry->reserved_old;
}

static bool has_room(const struct entry *entry)
{
    return entry->load.sessions + reserved(entry) < entry->info.sessions_max;
}

static bool model_fits(const struct entry *entry, const struct wire_place *ask)
{
    return ask->model[0] == '\0' || strcmp(ask->model, entry->info.model) == 0;
}

static bool is_avoided(const struct entry *entry, const struct wire_place *ask)
{
    for (uint32_t i = 0; i < ask->n_avoid; i++)
        if (strcmp(ask->avoid[i], entry->info.address) == 0)
            return true;
    return false;
}

static uint32_t rtt_of(const struct entry *entry, const struct wire_place *ask)
{
    for (uint32_t i = 0; i < ask->n_distances; i++)
        if (strcmp(ask->distances[i].address, entry->info.address) == 0)
            return ask->distances[i].rtt_us;
    return 0;
}

/* Sessions that did not measure a target are not sent there for that: the mean of what is known. */
static uint32_t rtt_mean(const struct wire_place *ask)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < ask->n_distances; i++)
        sum += ask->distances[i].rtt_us;
    return ask->n_distances ? (uint32_t)(sum / ask->n_distances) : 0;
}

struct choice {
    struct place_candidate candidates[REGISTRY_TARGETS_MAX];
    uint32_t n;
};

/* The version that this session should get; 0: any that is not the canary. */
static uint64_t wanted_version(const struct registry *registry, const struct wire_place *ask)
{
    uint64_t state = 0;
    if (ask->fingerprint || !registry->options.canary_fingerprint)
        return ask->fingerprint;
    memcpy(&state, ask->session, sizeof(state));
    float u = (float)(place_random(&state) >> 40) / (float)(1 << 24);
    return u < registry->options.canary_share ? registry->options.canary_fingerprint : 0;
}

static bool version_fits(const struct registry *registry, const struct entry *entry,
                         uint64_t wanted)
{
    if (wanted)
        return entry->info.fingerprint == wanted;
    return entry->info.fingerprint != registry->options.canary_fingerprint;
}

/* Those that serve, fit and have room; of the wanted version, or only of others. */
static void gather(const struct registry *registry, const struct wire_place *ask, bool preferred,
                   bool avoided, struct choice *choice)
{
    uint64_t wanted = wanted_version(registry, ask);
    choice->n = 0;
    for (uint32_t i = 0; i < registry->n; i++) {
        const struct entry *entry = &registry->entries[i];
        if (entry->load.state != WIRE_SERVING || entry->drain || !model_fits(entry, ask) ||
            !has_room(entry) || is_avoided(entry, ask) != avoided ||
            version_fits(registry, entry, wanted) != preferred)
            continue;
        uint32_t rtt = rtt_of(entry, ask);
        choice->candidates[choice->n++] = (struct place_candidate){
            .index = i, .rtt_us = rtt ? rtt : rtt_mean(ask), .queue_us = entry->load.queue_us,
            .window_us = entry->load.window_us, .reserved = reserved(entry)};
    }
}

static void add_targets(struct registry *registry, const struct wire_place *ask, float price,
                        const struct choice *choice, struct wire_placed *out)
{
    uint32_t order[PLACE_TARGETS_MAX];
    struct place_ask place = {.candidates = choice->candidates, .n = choice->n,
                              .rounds = ask->rounds, .price = price};
    uint32_t n = place_choose(&place, &registry->random, order);
    for (uint32_t i = 0; i < n && out->n_targets < WIRE_PLACED_MAX; i++) {
        const struct place_candidate *candidate = &choice->candidates[order[i]];
        const struct wire_target_info *info = &registry->entries[candidate->index].info;
        struct wire_placed_target *target = &out->targets[out->n_targets++];
        memcpy(target->address, info->address, sizeof(target->address));
        memcpy(target->tls_name, info->tls_name, sizeof(target->tls_name));
        memcpy(target->model, info->model, sizeof(target->model));
        target->fingerprint = info->fingerprint;
        target->vocabulary_hash = info->vocabulary_hash;
        target->tls = info->tls;
        target->expected_us = (uint32_t)MIN(
            place_expected_us(candidate, ask->rounds, price), (uint64_t)UINT32_MAX);
    }
}

/* Refused clients come back spread over one and a half times the given time. */
static void refuse(struct registry *registry, const struct wire_place *ask, uint64_t now_us,
                   struct wire_placed *out)
{
    uint32_t n_model = 0, n_warming = 0, n_full = 0, retry = RETRY_LATER_MS;
    for (uint32_t i = 0; i < registry->n; i++) {
        const struct entry *entry = &registry->entries[i];
        bool warming = entry->load.state == WIRE_WARMING;   /* perhaps it has no name yet */
        bool fits = model_fits(entry, ask) || (warming && !entry->info.model[0]);
        n_model += fits;
        n_warming += fits && warming;
        n_full += model_fits(entry, ask) && entry->load.state == WIRE_SERVING && !entry->drain;
    }
    bool begins = now_us < registry->begun_us + lease_us(registry);
    if (n_warming > 0 || (n_model == 0 && begins))
        retry = RETRY_SOON_MS;
    if (registry->n == 0)
        snprintf(out->reason, sizeof(out->reason), "no target has registered%s",
                 begins ? " yet" : "");
    else if (n_model == 0)
        snprintf(out->reason, sizeof(out->reason), "no target has the model %s", ask->model);
    else if (n_full > 0)
        snprintf(out->reason, sizeof(out->reason), "no session is free on %u target%s", n_full,
                 n_full > 1 ? "s" : "");
    else if (n_warming > 0)
        snprintf(out->reason, sizeof(out->reason), "the targets are warming up");
    else
        snprintf(out->reason, sizeof(out->reason), "the targets are being drained");
    out->retry_ms = retry / 2 + (uint32_t)(place_random(&registry->random) % retry);
    registry->refused++;
}

void registry_place(struct registry *registry, uint64_t now_us, const struct wire_place *ask,
                    float price, struct wire_placed *out)
{
    struct choice choice;
    *out = (struct wire_placed){0};
    (void)registry_expire(registry, now_us);
    for (int avoided = 0; avoided <= 1 && out->n_targets == 0; avoided++)
        for (int preferred = 1; preferred >= 0; preferred--) {
            gather(registry, ask, preferred == 1, avoided == 1, &choice);
            add_targets(registry, ask, price, &choice, out);
        }
    if (out->n_targets == 0) {
        refuse(registry, ask, now_us, out);
        return;
    }
    struct entry *first = find(registry, out->targets[0].address);
    first->reserved_new++;
    first->placed++;
    registry->placed++;
}

/* ---- the picture ---- */

enum status registry_list(struct registry *registry, uint64_t now_us, struct wire_listed *out,
                          struct error *err)
{
    (void)registry_expire(registry, now_us);
    out->targets = calloc(registry->n + 1, sizeof(*out->targets));
    if (!out->targets)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a list of targets");
    for (uint32_t i = 0; i < registry->n; i++) {
        const struct entry *entry = &registry->entries[i];
        out->targets[i] = (struct wire_target_row){
            .info = entry->info, .load = entry->load, .drain = entry->drain,
            .age_ms = (uint32_t)((now_us - entry->heard_us) / 1000u),
            .reserved = reserved(entry), .placed = entry->placed};
        out->targets[i].info.bus_key[0] = '\0';        /* whose it is, is nobody else's business */
    }
    out->n_targets = registry->n;
    out->heartbeat_ms = registry->options.heartbeat_ms;
    out->placed = registry->placed;
    out->refused = registry->refused;
    return STATUS_OK;
}

float registry_lag_us(struct registry *registry, uint64_t now_us)
{
    double sum = 0.0;
    uint32_t n = 0;
    (void)registry_expire(registry, now_us);
    for (uint32_t i = 0; i < registry->n; i++) {
        const struct wire_target_load *load = &registry->entries[i].load;
        if (load->state != WIRE_SERVING || load->window_us == 0)
            continue;
        sum += (double)load->queue_us + (double)load->window_us;
        n++;
    }
    return n ? (float)(sum / n) : 0.0f;
}
