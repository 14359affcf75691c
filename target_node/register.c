/* One thread for each coordinator (register_line.c), so that one that is slow or dead holds up no
 * other: each knows the target by its own heartbeats. The policy is that of the highest term,
 * whoever tells it. With a bus the load goes out more often, and the policy comes sooner. */
#include "register_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "auth/wall_clock.h"
#include "base/log.h"

enum { PATIENCE_US = 60000000 };

static bool drained_elsewhere(const struct registration *registration,
                              const struct report_line *line)
{
    bool drained = false;
    for (uint32_t i = 0; i < registration->n_lines; i++)
        drained |= registration->lines[i] && registration->lines[i] != line &&
                   registration->lines[i]->drained;
    return drained;
}

struct wire_target_load registration_load(struct registration *registration,
                                          const struct report_line *line)
{
    const struct load *load = registration->load;
    struct wire_target_load now = {.sequence = ++registration->sequence, .state = WIRE_WARMING};
    if (!load)
        return now;
    now.state = drained_elsewhere(registration, line) ? WIRE_DRAINING : WIRE_SERVING;
    now.sessions = atomic_load(&load->sessions);
    now.busy = atomic_load(&load->busy);
    now.queue_us = atomic_load(&load->queue_us);
    now.window_us = atomic_load(&load->published_window_us);
    now.step_us = atomic_load(&load->step_us);
    now.row_us = atomic_load(&load->row_us);
    return now;
}

void registration_report(struct registration *registration, const struct report_line *line,
                         struct wire_heartbeat *heartbeat)
{
    pthread_mutex_lock(&registration->lock);
    memcpy(heartbeat->address, registration->info.address, sizeof(heartbeat->address));
    heartbeat->incarnation = registration->info.incarnation;
    heartbeat->term = registration->keeper.term;
    heartbeat->load = registration_load(registration, line);
    pthread_mutex_unlock(&registration->lock);
}

void registration_obey(struct registration *registration, const char *from,
                       const struct wire_policy *policy)
{
    if (policy->ttl_ms == 0)                /* it does not lead: it has none to give */
        return;
    pthread_mutex_lock(&registration->lock);
    uint64_t now = clock_us(&registration->clock);
    bool taken = policy_take(&registration->keeper, now, policy);
    registration->policy_us = taken ? now : registration->policy_us;
    pthread_mutex_unlock(&registration->lock);
    if (!taken)
        log_line(LOG_DEBUG, "coordinator %s: a policy of the old term %" PRIu64 " is refused",
                 from, policy->term);
}

static bool has_line(const struct registration *registration, const char *coordinator)
{
    for (uint32_t i = 0; i < registration->n_lines; i++)
        if (registration->lines[i] && !registration->lines[i]->over &&
            strcmp(registration->lines[i]->coordinator, coordinator) == 0)
            return true;
    return false;
}

void registration_meet(struct registration *registration,
                       const struct wire_coordinators *coordinators)
{
    struct error err = {0};
    pthread_mutex_lock(&registration->lock);
    for (uint32_t i = 0; i < coordinators->n; i++) {
        const char *coordinator = coordinators->item[i];
        if (has_line(registration, coordinator) || atomic_load(&registration->ending))
            continue;
        if (report_line_start(registration, coordinator, true, &err) == STATUS_OK)
            log_line(LOG_INFO, "another coordinator: %s", coordinator);
        else
            log_line(LOG_WARN, "coordinator %s: %s", coordinator, err.text);
    }
    pthread_mutex_unlock(&registration->lock);
}

/* ---- the bus ---- */

static bool tell_load(void *context, struct wire_coordinator_message *state)
{
    struct registration *registration = context;
    *state = (struct wire_coordinator_message){.kind = WIRE_HEARTBEAT};
    registration_report(registration, NULL, &state->u.heartbeat);
    return state->u.heartbeat.address[0] != '\0' && !atomic_load(&registration->ending);
}

static void hear_policy(void *context, const struct bus_message *message)
{
    struct wire_coordinator_message heard;
    struct error err;
    if (wire_coordinator_unpack(message->data, message->size, WIRE_HEARD, &heard, &err) ==
        STATUS_OK)
        registration_obey(context, message->sender, &heard.u.heard.policy);
    else
        log_line(LOG_DEBUG, "bus: %s: %s", message->sender, err.text);
}

/* The name on the bus is the address, which a target on a free port does not know yet. */
static void join_bus(struct registration *registration, struct error *err)
{
    struct exchange_options options = {.incarnation = registration->info.incarnation,
                                       .senders_max = REGISTER_COORDINATORS_MAX,
                                       .state = tell_load, .heard = hear_policy,
                                       .context = registration};
    struct exchange *exchange = NULL;
    if (registration->exchange || !exchange_name(options.name, registration->info.address))
        return;
    if (exchange_start(&options, &exchange, err) != STATUS_OK)
        log_line(LOG_WARN, "%s; going on without the bus", err->text);
    registration->exchange = exchange;
    if (exchange)
        memcpy(registration->info.bus_key, exchange_address(exchange).key,
               sizeof(registration->info.bus_key));
}

/* ---- life ---- */

enum status registration_start(const struct registration_options *options,
                               struct registration **out, struct error *err)
{
    struct registration *registration = calloc(1, sizeof(*registration));
    enum status rc = STATUS_OK;
    *out = NULL;
    if (!registration)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the registration");
    SA_ASSERT(options->n_coordinators > 0);
    registration->options = *options;
    registration->info = options->info;
    registration->info.incarnation = wall_clock_incarnation();
    registration->version = 1;
    registration->patience_us = PATIENCE_US;
    registration->clock = clock_monotonic();
    pthread_mutex_init(&registration->lock, NULL);
    pthread_mutex_lock(&registration->lock);
    for (uint32_t i = 0; rc == STATUS_OK && i < options->n_coordinators; i++)
        if (!has_line(registration, options->coordinators[i]))
            rc = report_line_start(registration, options->coordinators[i], false, err);
    pthread_mutex_unlock(&registration->lock);
    if (rc != STATUS_OK)
        registration_stop(&registration);
    *out = registration;
    return rc;
}

void registration_serve(struct registration *registration, const struct wire_target_info *info,
                        const struct load *load)
{
    struct error err;
    pthread_mutex_lock(&registration->lock);
    uint64_t incarnation = registration->info.incarnation;
    registration->info = *info;
    registration->info.incarnation = incarnation;
    registration->load = load;
    join_bus(registration, &err);
    registration->version++;
    for (uint32_t i = 0; i < registration->n_lines; i++)
        if (registration->lines[i])
            (void)queue_push(registration->lines[i]->wake, registration);
    pthread_mutex_unlock(&registration->lock);
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
    uint64_t now = clock_us(&registration->clock);
    for (uint32_t i = 0; i < registration->n_lines; i++) {
        const struct report_line *line = registration->lines[i];
        if (line && line->heard_us)
            state.up |= now - line->heard_us <= 3 * line->heard_period_us;
    }
    state.age_us = registration->policy_us ? now - registration->policy_us : 0;
    pthread_mutex_unlock(&registration->lock);
    return state;
}

void registration_collect(void *context, FILE *out)
{
    struct registration *registration = context;
    pthread_mutex_lock(&registration->lock);
    if (registration->exchange)
        exchange_collect(registration->exchange, out);
    pthread_mutex_unlock(&registration->lock);
}

void registration_leave(struct registration *registration)
{
    if (!registration || atomic_exchange(&registration->ending, true))
        return;
    pthread_mutex_lock(&registration->lock);    /* from here on no line is added */
    uint32_t n = registration->n_lines;
    for (uint32_t i = 0; i < n; i++)
        if (registration->lines[i])
            queue_close(registration->lines[i]->wake);
    pthread_mutex_unlock(&registration->lock);
    for (uint32_t i = 0; i < n; i++)
        if (registration->lines[i])
            pthread_join(registration->lines[i]->thread, NULL);
    pthread_mutex_lock(&registration->lock);    /* its owner may go now; the bus tells no more */
    registration->load = NULL;
    pthread_mutex_unlock(&registration->lock);
}

void registration_stop(struct registration **registration_ptr)
{
    struct registration *registration = *registration_ptr;
    if (!registration)
        return;
    registration_leave(registration);
    exchange_stop(&registration->exchange);
    for (uint32_t i = 0; i < registration->n_lines; i++)
        report_line_free(&registration->lines[i]);
    pthread_mutex_destroy(&registration->lock);
    free(registration);
    *registration_ptr = NULL;
}
