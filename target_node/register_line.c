#include "register_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cluster/call.h"
#include "config/options.h"

enum {
    CALL_MS = 1000,
    RETRY_MIN_MS = 250,
    RETRY_MAX_MS = 2000,
    SUPERSEDED_MS = 5000,
    FAREWELL_MS = 300,
};

/* Says once per outage that this coordinator is gone. */
static uint32_t call_failed(struct report_line *line, const struct error *why)
{
    if (!line->told)
        log_line(LOG_WARN, "coordinator: %s; serving without it, asking again", why->text);
    line->told = true;
    if (line->failing_us == 0)
        line->failing_us = clock_us(&line->registration->clock);
    line->registered = false;               /* it may be another process the next time */
    rpc_client_free(&line->client);
    uint32_t pause = (uint32_t)RETRY_MIN_MS << MIN(line->n_failures, 8u);
    line->n_failures++;
    return MIN(pause, (uint32_t)RETRY_MAX_MS);
}

static void host_of(const struct report_line *line, char host[WIRE_ADDRESS_MAX])
{
    size_t n = (size_t)(strrchr(line->coordinator, ':') - line->coordinator);
    memcpy(host, line->coordinator, n);
    host[n] = '\0';
}

/* Read anew with each connection: a key that was exchanged needs no restart. Coordinators that were
 * only heard of may be anywhere. */
static enum status read_key(struct report_line *line, struct error *err)
{
    const struct registration_options *options = &line->registration->options;
    char host[WIRE_ADDRESS_MAX];
    if (!options->join_key_file)
        return STATUS_OK;
    host_of(line, host);
    bool near = option_host_is_loopback(host) || strcmp(host, "[::1]") == 0;
    if (!options->tls.ca && !near)
        return error_set(err, STATUS_DENIED, "%s: --join-key-file would send the key in plain "
                         "text: give --coordinator-ca too", line->coordinator);
    enum status rc = api_key_read(options->join_key_file, line->key, err);
    return rc == STATUS_OK ? rc : error_prefix(err, "--join-key-file");
}

static enum status connect_line(struct report_line *line, uint32_t deadline_ms, struct error *err)
{
    struct rpc_client_options options = {.target = line->coordinator,
                                         .tls = line->registration->options.tls,
                                         .connect_ms = deadline_ms};
    enum status rc = read_key(line, err);
    return rc == STATUS_OK ? rpc_client_new(&options, &line->client, err) : rc;
}

static enum status call(struct report_line *line, uint32_t deadline_ms,
                        const struct wire_coordinator_message *request,
                        struct wire_coordinator_message *answer, struct error *err)
{
    enum status rc = line->client ? STATUS_OK : connect_line(line, deadline_ms, err);
    const struct cluster_caller caller = {.client = line->client, .deadline_ms = deadline_ms,
                                          .api_key = line->key[0] ? line->key : NULL};
    return rc == STATUS_OK ? cluster_call_as(&caller, request, answer, err) : rc;
}

static void note_answer(struct report_line *line, const struct wire_policy *policy)
{
    struct registration *registration = line->registration;
    line->n_failures = 0;
    line->failing_us = 0;
    pthread_mutex_lock(&registration->lock);
    line->heard_us = clock_us(&registration->clock);
    line->heard_period_us = line->period_ms * 1000ull;
    pthread_mutex_unlock(&registration->lock);
    registration_obey(registration, line->coordinator, policy);
}

/* The bus is at the host that was called. */
static void note_bus(struct report_line *line, const struct wire_bus *bus)
{
    char host[WIRE_ADDRESS_MAX];
    host_of(line, host);
    pthread_mutex_lock(&line->registration->lock);
    if (line->registration->exchange)
        exchange_peer(line->registration->exchange, line->number, host, bus);
    pthread_mutex_unlock(&line->registration->lock);
}

static uint32_t refused(struct report_line *line, enum wire_verdict verdict)
{
    if (!line->told)
        log_line(LOG_ERROR, "coordinator %s: %s; serving without it", line->coordinator,
                 verdict == WIRE_SUPERSEDED
                     ? "a later process serves at this address: give each its own --advertise"
                     : "it knows too many targets");
    line->told = true;
    return SUPERSEDED_MS;
}

/* Returns milliseconds until the next call. */
static uint32_t register_once(struct report_line *line)
{
    struct registration *registration = line->registration;
    struct wire_coordinator_message request = {.kind = WIRE_REGISTER}, answer;
    struct error err;
    pthread_mutex_lock(&registration->lock);
    request.u.registration = (struct wire_register){.info = registration->info,
                                                    .load = registration_load(registration, line),
                                                    .term = registration->keeper.term};
    line->version = registration->version;
    pthread_mutex_unlock(&registration->lock);
    if (call(line, CALL_MS, &request, &answer, &err) != STATUS_OK)
        return call_failed(line, &err);
    const struct wire_registered *registered = &answer.u.registered;
    line->period_ms = registered->heartbeat_ms;
    note_answer(line, &registered->policy);
    line->registered = registered->verdict == WIRE_KNOWN;
    if (!line->registered)
        return refused(line, registered->verdict);
    note_bus(line, &registered->bus);
    registration_meet(registration, &registered->coordinators);
    log_line(request.u.registration.load.state == WIRE_WARMING ? LOG_DEBUG : LOG_INFO,
             "registered with the coordinator %s as %s", line->coordinator,
             request.u.registration.info.address);
    line->told = false;
    return line->period_ms;
}

/* Of this coordinator; the others are told by the load. */
static void note_drain(struct report_line *line, bool drain)
{
    pthread_mutex_lock(&line->registration->lock);
    bool changed = line->drained != drain;
    line->drained = drain;
    pthread_mutex_unlock(&line->registration->lock);
    if (changed)
        log_line(LOG_INFO, "the coordinator gives this target %s",
                 drain ? "no more sessions" : "sessions again");
}

static uint32_t report_once(struct report_line *line)
{
    struct registration *registration = line->registration;
    struct wire_coordinator_message request = {.kind = WIRE_HEARTBEAT}, answer;
    struct error err;
    registration_report(registration, line, &request.u.heartbeat);
    if (call(line, CALL_MS, &request, &answer, &err) != STATUS_OK)
        return call_failed(line, &err);
    const struct wire_heard *heard = &answer.u.heard;
    note_answer(line, &heard->policy);
    note_drain(line, heard->drain);
    registration_meet(registration, &heard->coordinators);
    if (heard->verdict == WIRE_KNOWN)
        return line->period_ms;
    line->registered = false;
    return 0;
}

/* Clients go elsewhere at once instead of after three missed heartbeats. */
static void farewell(struct report_line *line)
{
    struct wire_coordinator_message request = {.kind = WIRE_DRAIN_TARGET}, answer;
    struct wire_drain_target *drain = &request.u.drain_target;
    pthread_mutex_lock(&line->registration->lock);
    memcpy(drain->address, line->registration->info.address, sizeof(drain->address));
    drain->incarnation = line->registration->info.incarnation;
    pthread_mutex_unlock(&line->registration->lock);
    if (line->registered && call(line, FAREWELL_MS, &request, &answer, NULL) == STATUS_OK)
        wire_coordinator_release(&answer);
}

/* It was heard of, is silent for long, and may be gone for good: true if the line ends. */
static bool gives_up(struct report_line *line)
{
    static const struct wire_bus none = {0};
    struct registration *registration = line->registration;
    if (!line->heard_of || line->failing_us == 0)
        return false;
    pthread_mutex_lock(&registration->lock);
    line->over = clock_us(&registration->clock) - line->failing_us > registration->patience_us;
    line->drained = line->drained && !line->over;
    if (line->over && registration->exchange)
        exchange_peer(registration->exchange, line->number, "", &none);
    pthread_mutex_unlock(&registration->lock);
    return line->over;
}

static void *line_thread(void *argument)
{
    struct report_line *line = argument;
    struct registration *registration = line->registration;
    void *item;
    uint32_t pause_ms = 0;
    while (queue_pop(line->wake, (int64_t)pause_ms * 1000, &item) != QUEUE_CLOSED) {
        pthread_mutex_lock(&registration->lock);
        bool named = registration->info.address[0] != '\0';
        bool stale = line->version != registration->version;
        pthread_mutex_unlock(&registration->lock);
        if (!named || atomic_load(&registration->ending))
            pause_ms = RETRY_MAX_MS;
        else if (line->registered && !stale)
            pause_ms = report_once(line);
        else
            pause_ms = register_once(line);
        if (gives_up(line))
            return NULL;                    /* without the lock again: it may be joined under it */
    }
    farewell(line);
    return NULL;
}

void report_line_free(struct report_line **line)
{
    if (!*line)
        return;
    rpc_client_free(&(*line)->client);
    explicit_bzero((*line)->key, sizeof((*line)->key));
    queue_free(&(*line)->wake);
    free(*line);
    *line = NULL;
}

/* A slot that is free, or becomes so; REGISTER_COORDINATORS_MAX: none. */
static uint32_t free_slot(struct registration *registration)
{
    for (uint32_t i = 0; i < registration->n_lines; i++) {
        struct report_line *line = registration->lines[i];
        if (line && !line->over)
            continue;
        if (line)
            pthread_join(line->thread, NULL);
        report_line_free(&registration->lines[i]);
        return i;
    }
    return registration->n_lines;
}

enum status report_line_start(struct registration *registration, const char *coordinator,
                              bool heard_of, struct error *err)
{
    struct report_line *line = calloc(1, sizeof(*line));
    if (!line)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the registration");
    line->registration = registration;
    line->heard_of = heard_of;
    line->number = free_slot(registration);
    if (line->number == REGISTER_COORDINATORS_MAX) {
        free(line);
        return error_set(err, STATUS_EXHAUSTED, "there are already %d coordinators",
                         (int)REGISTER_COORDINATORS_MAX);
    }
    snprintf(line->coordinator, sizeof(line->coordinator), "%s", coordinator);
    enum status rc = queue_new(4, &line->wake, err);
    if (rc == STATUS_OK && pthread_create(&line->thread, NULL, line_thread, line) != 0)
        rc = error_set(err, STATUS_EXHAUSTED, "cannot start a thread");
    if (rc != STATUS_OK) {
        report_line_free(&line);
        return rc;
    }
    registration->lines[line->number] = line;
    registration->n_lines = MAX(registration->n_lines, line->number + 1);
    return STATUS_OK;
}
