#include "place.h"

#include <ctype.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/queue.h"
#include "cluster/call.h"
#include "distance.h"
#include "model/resolve.h"

enum {
    CALL_MS = 1500,                         /* for one coordinator */
    ROUND_PAUSE_MS = 250,                   /* after all of them failed; doubled, at most twice */
    PROBE_MS = 300,                         /* for one target */
    NOISE_US = 10000,                       /* of expected completions */
    TICKET_RENEW_MS = 2400000,              /* of the hour that a ticket is valid */
    AVOID_US = 10000000                     /* a target that failed is not asked for so long */
};

struct known {
    char address[WIRE_ADDRESS_MAX];
    char tls_name[WIRE_TLS_NAME_MAX];
    uint64_t fingerprint;
    uint32_t expected_us, rtt_us;           /* rtt 0: not known */
    bool tls;
};

struct targets {
    uint32_t n;
    struct known item[WIRE_PLACED_MAX];
    uint32_t n_ticket;                      /* for all of them; 0: none */
    uint8_t ticket[WIRE_TICKET_MAX];
};

struct placement {
    struct placement_options options;
    struct clock clock;
    uint8_t session[16];
    struct queue *wake;                     /* an item: ask; closed: end */
    struct queue *told;                     /* an item: there is an answer, or all failed */
    pthread_t thread;
    bool thread_runs;
    atomic_bool ending;
    struct rpc_client *client;              /* the thread's */
    uint32_t number, n_failures;
    struct targets remembered;              /* of the last run; before the thread begins */
    bool tls_warned;
    uint32_t n_slots;                       /* targets of the link that are ours */
    pthread_mutex_t lock;                   /* of all below */
    struct targets targets;                 /* the newest answer */
    bool fresh;                             /* not taken yet */
    bool refused;                           /* the last answer was "retry" */
    struct error why;                       /* no answer, or why nothing is free */
    uint32_t n_avoid;
    struct {
        char address[WIRE_ADDRESS_MAX];
        uint64_t until_us;
    } avoid[WIRE_AVOID_MAX];
    uint64_t fingerprint;                   /* of the target used last */
};

/* ---- what the last run knew ---- */

static bool cache_path(const struct placement *placement, char *path, size_t n)
{
    char folder[MODEL_PATH_MAX], name[WIRE_ADDRESS_MAX + 16];
    if (model_cache_folder(folder, sizeof(folder), NULL) != STATUS_OK)
        return false;
    (void)mkdir(folder, 0777);
    snprintf(name, sizeof(name), "targets-%s.tsv", placement->options.coordinators[0]);
    for (char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr(".-_", *c))
            *c = '_';
    return (size_t)snprintf(path, n, "%s/%s", folder, name) < n;
}

/* Address, TLS, name ("-": none), version, distance. */
static bool read_known(const char *line, struct known *known)
{
    unsigned tls;
    char rest;
    *known = (struct known){0};
    if (sscanf(line, "%271s %u %255s %" SCNx64 " %" SCNu32 " %c", known->address, &tls,
               known->tls_name, &known->fingerprint, &known->rtt_us, &rest) != 5)
        return false;
    known->tls = tls == 1;
    if (strcmp(known->tls_name, "-") == 0)
        known->tls_name[0] = '\0';
    return tls <= 1 && wire_address_ok(known->address);
}

static void load_targets(const struct placement *placement, struct targets *targets)
{
    char path[MODEL_PATH_MAX + WIRE_ADDRESS_MAX + 32], line[1024];
    targets->n = 0;
    FILE *file = cache_path(placement, path, sizeof(path)) ? fopen(path, "r") : NULL;
    if (!file)
        return;
    while (targets->n < WIRE_PLACED_MAX && fgets(line, sizeof(line), file))
        targets->n += read_known(line, &targets->item[targets->n]);
    fclose(file);
}

static void save_targets(const struct placement *placement, const struct targets *targets)
{
    char path[MODEL_PATH_MAX + WIRE_ADDRESS_MAX + 32], partial[sizeof(path) + 32];
    if (!cache_path(placement, path, sizeof(path)))
        return;
    snprintf(partial, sizeof(partial), "%s.%ld", path, (long)getpid());
    FILE *file = fopen(partial, "w");
    if (!file)
        return;
    for (uint32_t i = 0; i < targets->n; i++) {
        const struct known *known = &targets->item[i];
        fprintf(file, "%s\t%d\t%s\t%016" PRIx64 "\t%" PRIu32 "\n", known->address, known->tls,
                known->tls_name[0] ? known->tls_name : "-", known->fingerprint, known->rtt_us);
    }
    bool whole = !ferror(file);
    whole = fclose(file) == 0 && whole;
    if (!whole || rename(partial, path) != 0)
        (void)unlink(partial);
}

/* ---- asking: the thread ---- */

static const struct known *find(const struct targets *targets, const char *address)
{
    for (uint32_t i = 0; i < targets->n; i++)
        if (strcmp(targets->item[i].address, address) == 0)
            return &targets->item[i];
    return NULL;
}

static void add_distances(const struct targets *targets, struct wire_place *ask)
{
    for (uint32_t i = 0; i < targets->n && ask->n_distances < WIRE_DISTANCES_MAX; i++) {
        if (targets->item[i].rtt_us == 0)
            continue;
        struct wire_distance *distance = &ask->distances[ask->n_distances++];
        memcpy(distance->address, targets->item[i].address, sizeof(distance->address));
        distance->rtt_us = targets->item[i].rtt_us;
    }
}

static void write_request(struct placement *placement, struct wire_place *ask)
{
    memcpy(ask->session, placement->session, sizeof(ask->session));
    ask->rounds = placement->options.rounds;
    pthread_mutex_lock(&placement->lock);
    uint64_t now = clock_us(&placement->clock);
    add_distances(placement->targets.n ? &placement->targets : &placement->remembered, ask);
    ask->fingerprint = placement->fingerprint;
    for (uint32_t i = 0; i < placement->n_avoid; i++)
        if (placement->avoid[i].until_us > now)
            memcpy(ask->avoid[ask->n_avoid++], placement->avoid[i].address,
                   sizeof(ask->avoid[0]));
    pthread_mutex_unlock(&placement->lock);
}

/* A coordinator that was not told how far a target is could not count it: counted here. Only a
 * clear difference moves a client away from the target that the coordinator has reserved for it:
 * noise in a handshake would undo the balance. Nor does time move it to another version than the
 * first: which one a session gets is the coordinator's choice (a canary's share). Stable. */
static void order(struct targets *targets)
{
    for (uint32_t i = 1; i < targets->n; i++)
        for (uint32_t k = i; k > 0; k--) {
            struct known *before = &targets->item[k - 1], *after = &targets->item[k];
            uint32_t noise_us = MAX(before->expected_us / 8, (uint32_t)NOISE_US);
            if (before->fingerprint != after->fingerprint ||
                before->expected_us <= (uint64_t)after->expected_us + noise_us)
                break;
            struct known moved = *before;
            *before = *after;
            *after = moved;
        }
}

static void read_answer(const struct placement *placement, const struct wire_place *ask,
                        const struct wire_placed *answer, struct targets *targets)
{
    *targets = (struct targets){.n_ticket = answer->n_ticket};
    memcpy(targets->ticket, answer->ticket, answer->n_ticket);
    for (uint32_t i = 0; i < answer->n_targets; i++) {
        const struct wire_placed_target *from = &answer->targets[i];
        struct known *known = &targets->item[targets->n++];
        memcpy(known->address, from->address, sizeof(known->address));
        memcpy(known->tls_name, from->tls_name, sizeof(known->tls_name));
        known->fingerprint = from->fingerprint;
        known->tls = from->tls;
        known->expected_us = from->expected_us;
        known->rtt_us = distance_us(known->address, PROBE_MS);
        if (ask->n_distances == 0)
            known->expected_us += MIN(known->rtt_us * placement->options.rounds, 1u << 30);
    }
    order(targets);
}

/* Milliseconds until to ask again; 0: there is an answer. */
static uint32_t take_answer(struct placement *placement, const struct wire_place *ask,
                            const struct wire_placed *answer)
{
    struct targets targets;
    read_answer(placement, ask, answer, &targets);
    pthread_mutex_lock(&placement->lock);
    placement->refused = answer->retry_ms > 0;
    if (placement->refused)
        error_set(&placement->why, STATUS_UNAVAILABLE, "%s", answer->reason);
    else {
        placement->targets = targets;
        placement->fresh = true;
    }
    pthread_mutex_unlock(&placement->lock);
    if (answer->retry_ms == 0)
        save_targets(placement, &targets);
    return targets.n_ticket ? TICKET_RENEW_MS : answer->retry_ms;
}

static enum status call(struct placement *placement, const struct wire_coordinator_message *ask,
                        struct wire_coordinator_message *answer, struct error *err)
{
    const struct cluster_caller caller = {.client = placement->client, .deadline_ms = CALL_MS,
                                          .api_key = placement->options.api_key,
                                          .traceparent = placement->options.traceparent};
    return cluster_call_as(&caller, ask, answer, err);
}

/* 0 .. limit - 1: clients of one coordinator do not come back to it all at once. */
static uint32_t draw(uint32_t limit)
{
    uint32_t number;
    return getrandom(&number, sizeof(number), 0) == sizeof(number) ? number % limit : limit / 2;
}

/* One round over the coordinators. */
static uint32_t ask_once(struct placement *placement)
{
    struct wire_coordinator_message request = {.kind = WIRE_PLACE}, answer;
    struct error err;
    write_request(placement, &request.u.place);
    for (uint32_t i = 0; i < placement->options.n_coordinators; i++) {
        struct rpc_client_options options = {
            .target = placement->options.coordinators[placement->number],
            .tls = placement->options.tls, .connect_ms = CALL_MS};
        enum status rc = placement->client ? STATUS_OK
                                           : rpc_client_new(&options, &placement->client, &err);
        if (rc == STATUS_OK)
            rc = call(placement, &request, &answer, &err);
        placement->n_failures = rc == STATUS_OK ? 0 : placement->n_failures;
        if (rc == STATUS_OK)
            return take_answer(placement, &request.u.place, &answer.u.placed);
        rpc_client_free(&placement->client);
        placement->number = (placement->number + 1) % placement->options.n_coordinators;
    }
    pthread_mutex_lock(&placement->lock);
    placement->refused = false;
    placement->why = err;
    pthread_mutex_unlock(&placement->lock);
    uint32_t pause_ms = (uint32_t)ROUND_PAUSE_MS << MIN(placement->n_failures++, 2u);
    return pause_ms / 2 + draw(pause_ms);
}

static void *thread_main(void *argument)
{
    struct placement *placement = argument;
    void *item;
    int64_t wait_us = QUEUE_FOREVER;
    while (queue_pop(placement->wake, wait_us, &item) != QUEUE_CLOSED) {
        if (atomic_load(&placement->ending))
            continue;
        uint32_t again_ms = ask_once(placement);
        wait_us = again_ms ? (int64_t)again_ms * 1000 : QUEUE_FOREVER;
        (void)queue_push(placement->told, placement);   /* full: it is told */
    }
    return NULL;
}

/* ---- the link's side ---- */

static void put(struct placement *placement, const struct known *known, struct link_options *link,
                uint32_t slot)
{
    memcpy(link->targets[slot], known->address, sizeof(link->targets[slot]));
    memcpy(link->tls_names[slot], known->tls_name, sizeof(link->tls_names[slot]));
    if (known->tls && !link->tls_on && !placement->tls_warned) {
        log_line(LOG_WARN, "%s speaks TLS: give --tls-ca", known->address);
        placement->tls_warned = true;
    }
}

static void put_ticket(const struct targets *targets, struct link_options *link)
{
    for (uint32_t i = 0; i < targets->n_ticket; i++)
        snprintf(link->ticket + 2 * i, 3, "%02x", targets->ticket[i]);
    link->ticket[2 * targets->n_ticket] = '\0';
}

/* The slots that later answers are written to, in front of the targets that the user named: so
 * many, that two others find room. */
static void make_room(struct placement *placement, const struct targets *targets,
                      struct link_options *link)
{
    uint32_t n_own = MIN(link->n_targets, (uint32_t)(LINK_TARGETS_MAX - WIRE_PLACED_MAX));
    memmove(link->targets[WIRE_PLACED_MAX], link->targets[0], n_own * sizeof(link->targets[0]));
    memset(link->tls_names, 0, sizeof(link->tls_names));
    link->n_targets = WIRE_PLACED_MAX + n_own;
    placement->n_slots = WIRE_PLACED_MAX;
    for (uint32_t i = 0; i < WIRE_PLACED_MAX; i++) {
        if (targets->n > 0)
            put(placement, &targets->item[i % targets->n], link, i);
        else
            memcpy(link->targets[i], link->targets[WIRE_PLACED_MAX + i % n_own],
                   sizeof(link->targets[i]));
    }
}

static bool first_answer(struct placement *placement)
{
    uint64_t until = clock_us(&placement->clock) + placement->options.patience_ms * 1000ull;
    bool told = false;
    void *item;
    (void)queue_push(placement->wake, placement);
    for (;;) {
        uint64_t now = clock_us(&placement->clock);
        if (now >= until || queue_pop(placement->told, (int64_t)(until - now), &item) != QUEUE_OK)
            return false;
        pthread_mutex_lock(&placement->lock);
        bool fresh = placement->fresh, refused = placement->refused;
        struct error why = placement->why;
        pthread_mutex_unlock(&placement->lock);
        if (fresh || !refused)
            return fresh;
        if (!told)
            log_line(LOG_WARN, "coordinator: %s: asking again for %.0f s", why.text,
                     placement->options.patience_ms / 1e3);
        told = true;
    }
}

enum status placement_first(struct placement *placement, struct link_options *link,
                            struct error *err)
{
    bool answered = first_answer(placement);
    pthread_mutex_lock(&placement->lock);
    struct targets targets = answered ? placement->targets : placement->remembered;
    bool refused = placement->refused;
    struct error why = placement->why;
    placement->fresh = false;
    pthread_mutex_unlock(&placement->lock);
    if (refused)
        return error_set(err, STATUS_UNAVAILABLE, "no place within %.0f s: %s",
                         placement->options.patience_ms / 1e3, why.text);
    if (!answered && why.code == STATUS_DENIED)
        return error_set(err, STATUS_DENIED, "coordinator: %s", why.text);
    if (targets.n == 0 && link->n_targets == 0)
        return error_set(err, STATUS_UNAVAILABLE, "no coordinator answers (%s), and no target is "
                         "known from before: start it, or name a target with --target", why.text);
    if (!answered)
        log_line(LOG_WARN, "coordinator: %s; using %s", why.text,
                 targets.n ? "the targets of the last run" : "--target");
    make_room(placement, &targets, link);
    put_ticket(&targets, link);
    return STATUS_OK;
}

void placement_ask(struct placement *placement, const char *address)
{
    pthread_mutex_lock(&placement->lock);
    const struct known *known = find(&placement->targets, address);
    uint32_t slot = MIN(placement->n_avoid, (uint32_t)WIRE_AVOID_MAX - 1);
    for (uint32_t i = 0; i < placement->n_avoid; i++)
        if (strcmp(placement->avoid[i].address, address) == 0)
            slot = i;
    if (slot == placement->n_avoid)
        placement->n_avoid++;
    snprintf(placement->avoid[slot].address, sizeof(placement->avoid[slot].address), "%s",
             address);
    placement->avoid[slot].until_us = clock_us(&placement->clock) + AVOID_US;
    if (known)
        placement->fingerprint = known->fingerprint;
    pthread_mutex_unlock(&placement->lock);
    (void)queue_push(placement->wake, placement);
}

void placement_fill(struct placement *placement, struct link_options *link, uint32_t number)
{
    pthread_mutex_lock(&placement->lock);
    struct targets targets = placement->targets;
    bool fresh = placement->fresh;
    placement->fresh = false;
    pthread_mutex_unlock(&placement->lock);
    if (fresh)
        put_ticket(&targets, link);
    uint32_t first = number < placement->n_slots ? number : 0;
    for (uint32_t i = 0; fresh && i < placement->n_slots; i++)
        put(placement, &targets.item[i % targets.n], link, (first + i) % placement->n_slots);
}

/* ---- life ---- */

enum status placement_new(const struct placement_options *options, struct placement **out,
                          struct error *err)
{
    struct placement *placement = calloc(1, sizeof(*placement));
    *out = NULL;
    if (!placement)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the placement");
    SA_ASSERT(options->n_coordinators > 0);
    placement->options = *options;
    placement->clock = clock_monotonic();
    pthread_mutex_init(&placement->lock, NULL);
    load_targets(placement, &placement->remembered);
    if (getrandom(placement->session, sizeof(placement->session), 0) < 0)
        memset(placement->session, (int)getpid(), sizeof(placement->session));
    enum status rc = queue_new(4, &placement->wake, err);
    if (rc == STATUS_OK)
        rc = queue_new(4, &placement->told, err);
    if (rc == STATUS_OK) {
        placement->thread_runs =
            pthread_create(&placement->thread, NULL, thread_main, placement) == 0;
        if (!placement->thread_runs)
            rc = error_set(err, STATUS_EXHAUSTED, "cannot start a thread");
    }
    if (rc != STATUS_OK)
        placement_free(&placement);
    *out = placement;
    return rc;
}

void placement_session(const struct placement *placement, uint8_t session[16])
{
    memcpy(session, placement->session, sizeof(placement->session));
}

void placement_free(struct placement **placement_ptr)
{
    struct placement *placement = *placement_ptr;
    if (!placement)
        return;
    void *item;
    atomic_store(&placement->ending, true);
    if (placement->thread_runs) {
        queue_close(placement->wake);
        pthread_join(placement->thread, NULL);
    }
    while (placement->told && queue_pop(placement->told, 0, &item) == QUEUE_OK)
        continue;
    rpc_client_free(&placement->client);
    queue_free(&placement->wake);
    queue_free(&placement->told);
    pthread_mutex_destroy(&placement->lock);
    free(placement);
    *placement_ptr = NULL;
}
