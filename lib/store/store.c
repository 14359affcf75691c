/* The thread with etcd, and what it holds:
 *
 *     open link -> lease (kept from before, or new) -> own key -> read all -> watch from there on
 *       ^                                                                        |
 *       |        keep the lease alive, apply changes, campaign where none leads  |
 *       +---- a failure, silence, or history compacted away: close, begin again <+
 *
 * A link that breaks does not cost the lease: the next one keeps it alive if it is in time.
 */
#include "store/store.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

enum { LEASE_S = 3, CALL_MS = 1500, TURN_US = 100000, PAUSE_US = 250000, PAUSE_MAX_US = 1000000 };

struct store {
    struct store_options options;
    struct clock clock;
    struct etcd *etcd;                  /* NULL: in memory */
    pthread_t thread;
    bool thread_runs;
    atomic_bool ending;
    /* the thread's */
    struct etcd_news news;
    int64_t lease;                      /* 0: none */
    uint64_t lease_us;                  /* its length */
    uint64_t asked_us;                  /* when it was last asked to live on; 0: not yet */
    uint64_t answered_us;               /* when an answer came, of any kind */
    bool waits;                         /* for the answer to that */
    bool told;                          /* that etcd is gone */
    pthread_mutex_t lock;               /* of all below */
    struct election election;
    bool connected;
    int64_t own_lease;                  /* as `lease`, */
    uint64_t own_until_us;              /* and how long it surely lasts */
    uint64_t seen;
};

static uint64_t now_us(const struct store *store)
{
    return clock_us(&store->clock);
}

static struct election_self self_of(const struct store *store)
{
    bool lasts = store->own_lease != 0 && now_us(store) < store->own_until_us;
    return (struct election_self){.name = store->options.self,
                                  .lease = lasts ? store->own_lease : 0, .seen = store->seen};
}

/* ---- lease; on the thread ---- */

/* Both as others see them. */
static void set_lease(struct store *store, int64_t lease, uint64_t until_us)
{
    pthread_mutex_lock(&store->lock);
    store->own_lease = lease;
    store->own_until_us = until_us;
    pthread_mutex_unlock(&store->lock);
    store->lease = lease;
}

static enum status ask_alive(struct store *store, struct error *err)
{
    store->asked_us = now_us(store);
    store->waits = true;
    return etcd_keep_alive(store->etcd, store->lease, err);
}

static enum status new_lease(struct store *store, struct error *err)
{
    int64_t ttl_s = store->options.lease_s, lease;
    uint64_t asked_us = now_us(store);
    enum status rc = etcd_grant(store->etcd, &ttl_s, &lease, err);
    if (rc != STATUS_OK)
        return rc;
    store->lease_us = (uint64_t)ttl_s * 1000000u;
    set_lease(store, lease, asked_us + store->lease_us);
    return STATUS_OK;
}

/* An answer to the request of asked_us. The lease may be gone: then everything begins again. */
static enum status take_alive(struct store *store, int64_t ttl_s, struct error *err)
{
    store->waits = false;
    if (ttl_s == 0) {
        set_lease(store, 0, 0);
        return error_set(err, STATUS_NOT_FOUND, "the lease is lost");
    }
    set_lease(store, store->lease, store->asked_us + (uint64_t)ttl_s * 1000000u);
    return STATUS_OK;
}

static enum status tend_lease(struct store *store, struct error *err)
{
    uint64_t now = now_us(store);
    if (store->waits && now - store->asked_us > store->lease_us / 2)
        return error_set(err, STATUS_TIMEOUT, "%s does not answer",
                         etcd_endpoint(store->etcd));
    if (store->waits || now - store->asked_us < store->lease_us / 3)
        return STATUS_OK;
    return ask_alive(store, err);
}

/* ---- link; on the thread ---- */

static void own_key(const struct store *store, char key[ETCD_TEXT_MAX])
{
    snprintf(key, ETCD_TEXT_MAX, "%smembers/%s", store->options.prefix, store->options.self);
}

static enum status put_self(struct store *store, struct error *err)
{
    char key[ETCD_TEXT_MAX];
    own_key(store, key);
    const struct etcd_put put = {key, store->options.self, store->lease};
    return etcd_put(store->etcd, &put, err);
}

/* The picture anew, and everything that changes it from then on. */
static enum status read_all(struct store *store, struct error *err)
{
    struct etcd_entries *all = &store->news.entries;
    enum status rc = etcd_range(store->etcd, store->options.prefix, all, err);
    if (rc == STATUS_OK && all->more)
        rc = error_set(err, STATUS_EXHAUSTED, "there are more than %d keys below %s: give each "
                       "cluster its own --etcd-prefix", ETCD_ENTRIES_MAX, store->options.prefix);
    if (rc != STATUS_OK)
        return rc;
    pthread_mutex_lock(&store->lock);
    store->election = (struct election){.term = store->election.term};
    for (uint32_t i = 0; i < all->n; i++)
        election_apply(&store->election, store->options.prefix, &all->entries[i]);
    store->connected = true;
    pthread_mutex_unlock(&store->lock);
    return etcd_watch(store->etcd, store->options.prefix, all->revision + 1, err);
}

static enum status open_link(struct store *store, struct error *err)
{
    enum status rc = etcd_open(store->etcd, err);
    store->waits = false;
    if (rc == STATUS_OK && store->lease == 0)
        rc = new_lease(store, err);
    if (rc == STATUS_OK)
        rc = ask_alive(store, err);
    if (rc == STATUS_OK)
        rc = put_self(store, err);
    if (rc == STATUS_NOT_FOUND)         /* lost while there was no link */
        set_lease(store, 0, 0);
    return rc == STATUS_OK ? read_all(store, err) : rc;
}

/* The key may go though this one lives: with the lease of an earlier process at this address. */
static enum status stay_listed(struct store *store, struct error *err)
{
    pthread_mutex_lock(&store->lock);
    bool listed = election_has_member(&store->election, store->options.self);
    pthread_mutex_unlock(&store->lock);
    return listed ? STATUS_OK : put_self(store, err);
}

/* ---- election; on the thread ---- */

/* Puts leader and term, or the term alone, if nothing has changed since it was read; what came of
 * it, the watch tells. */
static enum status campaign(struct store *store, const struct election *seen,
                            enum election_step step, uint64_t term, struct error *err)
{
    char leader[ETCD_TEXT_MAX], term_key[ETCD_TEXT_MAX], text[24];
    bool succeeded, raise = step == ELECTION_RAISE;
    snprintf(leader, sizeof(leader), "%sleader", store->options.prefix);
    snprintf(term_key, sizeof(term_key), "%sterm", store->options.prefix);
    snprintf(text, sizeof(text), "%" PRIu64, term);
    struct etcd_txn txn = {
        .n_conditions = 2,
        .conditions = {{leader, true, raise ? seen->leader_created : 0},
                       {term_key, false, seen->term_revision}},
        .n_puts = raise ? 1 : 2,
        .puts = {{term_key, text, 0}, {leader, store->options.self, store->lease}},
    };
    enum status rc = etcd_txn(store->etcd, &txn, &succeeded, err);
    if (rc == STATUS_NOT_FOUND)
        set_lease(store, 0, 0);
    if (rc == STATUS_OK && succeeded)
        log_line(LOG_INFO, "leads the coordinators, term %" PRIu64, term);
    return rc;
}

static enum status follow_election(struct store *store, struct error *err)
{
    uint64_t term;
    pthread_mutex_lock(&store->lock);
    const struct election election = store->election;
    const struct election_self self = self_of(store);
    pthread_mutex_unlock(&store->lock);
    enum election_step step = election_next(&election, &self, &term);
    return step == ELECTION_REST ? STATUS_OK : campaign(store, &election, step, term, err);
}

static enum status take_changes(struct store *store, struct error *err)
{
    const struct etcd_entries *changes = &store->news.entries;
    if (changes->compacted > 0)
        return error_set(err, STATUS_CLOSED, "history up to %" PRId64 " is compacted away",
                         changes->compacted);
    if (changes->canceled || changes->more)
        return error_set(err, STATUS_CLOSED, "the watch is over");
    pthread_mutex_lock(&store->lock);
    for (uint32_t i = 0; i < changes->n; i++)
        election_apply(&store->election, store->options.prefix, &changes->entries[i]);
    pthread_mutex_unlock(&store->lock);
    return STATUS_OK;
}

/* ---- the thread ---- */

static enum status turn(struct store *store, struct error *err)
{
    enum status rc = STATUS_OK;
    etcd_next(store->etcd, TURN_US, &store->news);
    switch (store->news.event) {
    case ETCD_BROKEN:
        return error_set(err, store->news.err.code, "%s", store->news.err.text);
    case ETCD_ALIVE:
        rc = take_alive(store, store->news.ttl_s, err);
        break;
    case ETCD_CHANGES:
        rc = take_changes(store, err);
        break;
    case ETCD_NOTHING:                  /* all changes are known that are known to have come */
        rc = stay_listed(store, err);
        if (rc == STATUS_OK)
            rc = follow_election(store, err);
        break;
    }
    return rc == STATUS_OK ? tend_lease(store, err) : rc;
}

static void link_lost(struct store *store, const struct error *why)
{
    pthread_mutex_lock(&store->lock);
    store->connected = false;
    pthread_mutex_unlock(&store->lock);
    if (!store->told)
        log_line(LOG_WARN, "etcd: %s; going on from memory, trying again", why->text);
    store->told = true;
    etcd_close(store->etcd);
}

static void pause_for(const struct store *store, uint64_t us)
{
    uint64_t end = now_us(store) + us;
    struct etcd_news *news = calloc(1, sizeof(*news));
    while (news && !atomic_load(&store->ending) && now_us(store) < end)
        etcd_next(store->etcd, TURN_US, news);      /* no link, no events: it only waits */
    free(news);
}

/* A picture that is read costs the others nothing; one that cannot be read is asked for again after
 * a pause that grows. */
static void *store_thread(void *argument)
{
    struct store *store = argument;
    uint64_t pause_us = PAUSE_US;
    while (!atomic_load(&store->ending)) {
        struct error err;
        enum status rc = open_link(store, &err);
        if (rc == STATUS_OK) {
            log_line(store->told ? LOG_INFO : LOG_DEBUG, "etcd %s: connected",
                     etcd_endpoint(store->etcd));
            store->told = false;
            pause_us = PAUSE_US;
        }
        while (rc == STATUS_OK && !atomic_load(&store->ending))
            rc = turn(store, &err);
        if (rc == STATUS_OK)
            break;
        link_lost(store, &err);
        pause_for(store, pause_us);
        pause_us = MIN(2 * pause_us, (uint64_t)PAUSE_MAX_US);
    }
    return NULL;
}

/* With the lease go leader and membership, as far as they still hang on it: another process may
 * have this address, and its own lease, by now. */
static void resign(struct store *store)
{
    struct error err;
    if (!store->connected || store->lease == 0)
        return;                         /* time ends it */
    if (etcd_revoke(store->etcd, store->lease, &err) != STATUS_OK)
        log_line(LOG_DEBUG, "etcd: %s", err.text);
}

/* ---- life ---- */

static enum status start_etcd(struct store *store, struct error *err)
{
    struct etcd_options *options = &store->options.etcd;
    struct rpc_client *probe = NULL;
    if (options->call_ms == 0)
        options->call_ms = CALL_MS;
    /* Files and addresses that are wrong stay wrong: said now, not in a loop. */
    for (uint32_t i = 0; i < options->n_endpoints; i++) {
        struct rpc_client_options client = {.target = options->endpoints[i], .tls = options->tls};
        enum status rc = rpc_client_new(&client, &probe, err);
        rpc_client_free(&probe);
        if (rc != STATUS_OK)
            return rc;
    }
    enum status rc = etcd_new(options, &store->etcd, err);
    if (rc != STATUS_OK)
        return rc;
    store->thread_runs = pthread_create(&store->thread, NULL, store_thread, store) == 0;
    return store->thread_runs ? STATUS_OK
                              : error_set(err, STATUS_EXHAUSTED, "cannot start a thread");
}

enum status store_start(const struct store_options *options, struct store **out, struct error *err)
{
    struct store *store = calloc(1, sizeof(*store));
    enum status rc = STATUS_OK;
    *out = NULL;
    if (!store)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the store");
    store->options = *options;
    if (!options->prefix[0])
        snprintf(store->options.prefix, sizeof(store->options.prefix), "specasr/");
    if (!options->lease_s)
        store->options.lease_s = LEASE_S;
    store->clock = clock_monotonic();
    if (options->etcd.n_endpoints == 0 && options->incarnation > 0)
        store->seen = MIN(options->incarnation, (uint64_t)INT64_MAX) - 1;
    pthread_mutex_init(&store->lock, NULL);
    if (options->etcd.n_endpoints > 0)
        rc = start_etcd(store, err);
    if (rc != STATUS_OK)
        store_stop(&store);
    *out = store;
    return rc;
}

void store_stop(struct store **store_ptr)
{
    struct store *store = *store_ptr;
    *store_ptr = NULL;
    if (!store)
        return;
    atomic_store(&store->ending, true);
    if (store->thread_runs) {
        pthread_join(store->thread, NULL);
        resign(store);
    }
    etcd_free(&store->etcd);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

/* ---- any thread ---- */

static void memory_state(const struct store *store, struct store_state *out)
{
    *out = (struct store_state){.leads = true, .term = store->seen + 1, .connected = true,
                                .n_members = 1};
    memcpy(out->members[0], store->options.self, sizeof(out->members[0]));
    memcpy(out->leader, store->options.self, sizeof(out->leader));
}

void store_state(struct store *store, struct store_state *out)
{
    pthread_mutex_lock(&store->lock);
    if (!store->etcd) {
        memory_state(store, out);
    } else {
        const struct election *election = &store->election;
        const struct election_self self = self_of(store);
        *out = (struct store_state){.leads = election_leads(election, &self),
                                    .term = election->term, .connected = store->connected,
                                    .n_members = election->n_members};
        memcpy(out->leader, election->leader, sizeof(out->leader));
        memcpy(out->members, election->members, sizeof(out->members));
    }
    pthread_mutex_unlock(&store->lock);
}

void store_seen(struct store *store, uint64_t term)
{
    pthread_mutex_lock(&store->lock);
    bool own = !store->etcd && term <= store->seen + 1;     /* come back from a target */
    if (!own)                                               /* there is always one above it */
        store->seen = MAX(store->seen, MIN(term, (uint64_t)INT64_MAX - 1));
    pthread_mutex_unlock(&store->lock);
}
