#include "register.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "auth/wall_clock.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/queue.h"
#include "cluster/call.h"
#include "cluster/policy.h"

enum {
    CALL_MS = 1000,
    RETRY_MIN_MS = 250,
    RETRY_MAX_MS = 2000,
    SUPERSEDED_MS = 5000,
    FAREWELL_MS = 300
};

struct registration {
    struct registration_options options;
    struct clock clock;
    struct queue *wake;                     /* an item: look at once; closed: end */
    pthread_t thread;
    bool thread_runs;
    atomic_bool ending;
    /* the thread's */
    struct rpc_client *client;
    uint32_t number;                        /* of the coordinator */
    bool registered, told, told_drain;
    uint32_t period_ms, n_failures;
    uint64_t sequence;
    pthread_mutex_t lock;                   /* of all below */
    struct wire_target_info info;
    bool stale;                             /* info changed: register again */
    const struct load *load;                /* NULL: warming up */
    struct policy_keeper keeper;
    uint64_t heard_us, heard_period_us;     /* the last answer; 0: none yet */
};

static struct wire_target_load load_now(struct registration *registration)
{
    const struct load *load = registration->load;
    struct wire_target_load now = {.sequence = ++registration->sequence, .state = WIRE_WARMING};
    if (!load)
        return now;
    now.state = WIRE_SERVING;
    now.sessions = atomic_load(&load->sessions);
    now.busy = atomic_load(&load->busy);
    now.queue_us = atomic_load(&load->queue_us);
    now.window_us = atomic_load(&load->published_window_us);
    now.step_us = atomic_load(&load->step_us);
    now.row_us = atomic_load(&load->row_us);
    return now;
}

static const char *coordinator_name(const struct registration *registration)
{
    return registration->options.coordinators[registration->number];
}

/* Says once per outage that the target is on its own; calls the next coordinator. */
static uint32_t call_failed(struct registration *registration, const struct error *why)
{
    if (!registration->told)
        log_line(LOG_WARN, "coordinator: %s; serving without it, asking again", why->text);
    registration->told = true;
    rpc_client_free(&registration->client);
    registration->number = (registration->number + 1) % registration->options.n_coordinators;
    uint32_t pause = (uint32_t)RETRY_MIN_MS << MIN(registration->n_failures, 8u);
    registration->n_failures++;
    return MIN(pause, (uint32_t)RETRY_MAX_MS);
}

static enum status call(struct registration *registration, uint32_t deadline_ms,
                        const struct wire_coordinator_message *request,
                        struct wire_coordinator_message *answer, struct error *err)
{
    enum status rc = STATUS_OK;
    if (!registration->client) {
        struct rpc_client_options options = {.target = coordinator_name(registration),
                                             .tls = registration->options.tls,
                                             .connect_ms = deadline_ms};
        rc = rpc_client_new(&options, &registration->client, err);
    }
    return rc == STATUS_OK
               ? cluster_call(registration->client, deadline_ms, request, answer, err)
               : rc;
}

static void obey(struct registration *registration, const struct wire_policy *policy)
{
    pthread_mutex_lock(&registration->lock);
    registration->heard_us = clock_us(&registration->clock);
    registration->heard_period_us = registration->period_ms * 1000ull;
    bool taken = policy_take(&registration->keeper, clock_us(&registration->clock), policy);
    pthread_mutex_unlock(&registration->lock);
    if (!taken)
        log_line(LOG_DEBUG, "coordinator %s: a policy of the old term %" PRIu64 " is refused",
                 coordinator_name(registration), policy->term);
}

/* Returns milliseconds until the next call. */
static uint32_t register_once(struct registration *registration)
{
    struct wire_coordinator_message request = {.kind = WIRE_REGISTER}, answer;
    struct error err;
    pthread_mutex_lock(&registration->lock);
    request.u.registration = (struct wire_register){.info = registration->info,
                                                    .load = load_now(registration),
                                                    .term = registration->keeper.term};
    registration->stale = false;
    pthread_mutex_unlock(&registration->lock);
    if (call(registration, CALL_MS, &request, &answer, &err) != STATUS_OK)
        return call_failed(registration, &err);
    const struct wire_registered *registered = &answer.u.registered;
    registration->n_failures = 0;
    registration->period_ms = registered->heartbeat_ms;
    obey(registration, &registered->policy);
    registration->registered = registered->verdict == WIRE_KNOWN;
    if (registration->registered) {
        log_line(request.u.registration.load.state == WIRE_WARMING ? LOG_DEBUG : LOG_INFO,
                 "registered with the coordinator %s as %s", coordinator_name(registration),
                 request.u.registration.info.address);
        registration->told = false;
        return registration->period_ms;
    }
    if (!registration->told)
        log_line(LOG_ERROR, "coordinator %s: %s; serving without it",
                 coordinator_name(registration),
                 registered->verdict == WIRE_SUPERSEDED
                     ? "a later process serves at this address: give each its own --advertise"
                     : "it knows too many targets");
    registration->told = true;
    return SUPERSEDED_MS;
}

static uint32_t report_once(struct registration *registration)
{
    struct wire_coordinator_message request = {.kind = WIRE_HEARTBEAT}, answer;
    struct wire_heartbeat *heartbeat = &request.u.heartbeat;
    struct error err;
    pthread_mutex_lock(&registration->lock);
    memcpy(heartbeat->address, registration->info.address, sizeof(heartbeat->address));
    heartbeat->incarnation = registration->info.incarnation;
    heartbeat->term = registration->keeper.term;
    heartbeat->load = load_now(registration);
    pthread_mutex_unlock(&registration->lock);
    if (call(registration, CALL_MS, &request, &answer, &err) != STATUS_OK) {
        registration->registered = false;   /* the next may be another coordinator */
        return call_failed(registration, &err);
    }
    const struct wire_heard *heard = &answer.u.heard;
    obey(registration, &heard->policy);
    registration->n_failures = 0;
    if (heard->drain != registration->told_drain)
        log_line(LOG_INFO, "the coordinator gives this target %s sessions",
                 heard->drain ? "no more" : "again");
    registration->told_drain = heard->drain;
    if (heard->verdict == WIRE_KNOWN)
        return registration->period_ms;
    registration->registered = false;
    return 0;
}

static void *thread_main(void *argument)
{
    struct registration *registration = argument;
    void *item;
    uint32_t pause_ms = 0;
    while (queue_pop(registration->wake, (int64_t)pause_ms * 1000, &item) != QUEUE_CLOSED) {
        pthread_mutex_lock(&registration->lock);
        bool named = registration->info.address[0] != '\0';
        bool stale = registration->stale;
        pthread_mutex_unlock(&registration->lock);
        if (!named || atomic_load(&registration->ending))
            pause_ms = RETRY_MAX_MS;
        else if (registration->registered && !stale)
            pause_ms = report_once(registration);
        else
            pause_ms = register_once(registration);
    }
    return NULL;
}

/* Clients go elsewhere at once instead of after three missed heartbeats. */
static void farewell(struct registration *registration)
{
    struct wire_coordinator_message request = {.kind = WIRE_DRAIN_TARGET}, answer;
    struct wire_drain_target *drain = &request.u.drain_target;
    memcpy(drain->address, registration->info.address, sizeof(drain->address));
    drain->incarnation = registration->info.incarnation;
    if (registration->registered &&
        call(registration, FAREWELL_MS, &request, &answer, NULL) == STATUS_OK)
        wire_coordinator_release(&answer);
}

/* ---- life ---- */

enum status registration_start(const struct registration_options *options,
                               struct registration **out, struct error *err)
{
    struct registration *registration = calloc(1, sizeof(*registration));
    *out = NULL;
    if (!registration)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the registration");
    SA_ASSERT(options->n_coordinators > 0);
    registration->options = *options;
    registration->info = options->info;
    registration->info.incarnation = wall_clock_incarnation();
    registration->clock = clock_monotonic();
    pthread_mutex_init(&registration->lock, NULL);
    enum status rc = queue_new(4, &registration->wake, err);
    if (rc == STATUS_OK) {
        registration->thread_runs =
            pthread_create(&registration->thread, NULL, thread_main, registration) == 0;
        if (!registration->thread_runs)
            rc = error_set(err, STATUS_EXHAUSTED, "cannot start a thread");
    }
    if (rc != STATUS_OK)
        registration_stop(&registration);
    *out = registration;
    return rc;
}

void registration_serve(struct registration *registration, const struct wire_target_info *info,
                        const struct load *load)
{
    pthread_mutex_lock(&registration->lock);
    uint64_t incarnation = registration->info.incarnation;
    registration->info = *info;
    registration->info.incarnation = incarnation;
    registration->load = load;
    registration->stale = true;
    pthread_mutex_unlock(&registration->lock);
    (void)queue_push(registration->wake, registration);
}

struct wire_policy registration_policy(struct registration *registration)
{
    if (!registration)
        return policy_own();
    pthread_mutex_lock(&registration->lock);
    struct wire_policy policy =
        policy_now(&registration->keeper, clock_us(&registration->clock));
    pthread_mutex_unlock(&registration->lock);
    return policy;
}

struct registration_state registration_state(struct registration *registration)
{
    struct registration_state state = {0};
    pthread_mutex_lock(&registration->lock);
    if (registration->heard_us)
        state.age_us = clock_us(&registration->clock) - registration->heard_us;
    state.up = registration->heard_us && state.age_us <= 3 * registration->heard_period_us;
    pthread_mutex_unlock(&registration->lock);
    return state;
}

void registration_leave(struct registration *registration)
{
    if (!registration || !registration->thread_runs)
        return;
    atomic_store(&registration->ending, true);
    queue_close(registration->wake);
    pthread_join(registration->thread, NULL);
    registration->thread_runs = false;
    farewell(registration);
}

void registration_stop(struct registration **registration_ptr)
{
    struct registration *registration = *registration_ptr;
    if (!registration)
        return;
    registration_leave(registration);
    rpc_client_free(&registration->client);
    queue_free(&registration->wake);
    pthread_mutex_destroy(&registration->lock);
    free(registration);
    *registration_ptr = NULL;
}
