#include "gate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "auth/ticket.h"
#include "auth/wall_clock.h"

enum { SKEW_S = 60 };

struct gate {
    struct gate_options options;
    struct api_keys *api;                   /* NULL: no quotas */
    pthread_mutex_t lock;                   /* of all below */
    struct ticket_keys keys;
    char name[TICKET_NAME_MAX + 1];
};

static enum status load_tickets(struct gate *gate, struct error *err)
{
    struct ticket_keys keys;
    enum status rc = ticket_keys_load(gate->options.ticket_keys, NULL, &keys, err);
    if (rc != STATUS_OK)
        return error_prefix(err, "--ticket-key %s", gate->options.ticket_keys);
    pthread_mutex_lock(&gate->lock);
    gate->keys = keys;
    pthread_mutex_unlock(&gate->lock);
    return STATUS_OK;
}

enum status gate_reload(struct gate *gate, struct error *err)
{
    enum status rc = gate->options.ticket_keys ? load_tickets(gate, err) : STATUS_OK;
    if (rc != STATUS_OK || !gate->api)
        return rc;
    rc = api_keys_load(gate->api, gate->options.api_keys, err);
    return rc == STATUS_OK ? rc : error_prefix(err, "--api-keys %s", gate->options.api_keys);
}

enum status gate_new(const struct gate_options *options, struct gate **out, struct error *err)
{
    struct gate *gate = calloc(1, sizeof(*gate));
    *out = NULL;
    if (!gate)
        return error_set(err, STATUS_NO_MEMORY, "no memory for keys");
    SA_ASSERT(options->ticket_keys || !options->api_keys);
    gate->options = *options;
    pthread_mutex_init(&gate->lock, NULL);
    enum status rc = options->api_keys ? api_keys_new(&gate->api, err) : STATUS_OK;
    if (rc == STATUS_OK)
        rc = gate_reload(gate, err);
    if (rc != STATUS_OK)
        gate_free(&gate);
    *out = gate;
    return rc;
}

void gate_free(struct gate **gate)
{
    if (!*gate)
        return;
    api_keys_free(&(*gate)->api);
    pthread_mutex_destroy(&(*gate)->lock);
    free(*gate);
    *gate = NULL;
}

void gate_name(struct gate *gate, const char *address)
{
    pthread_mutex_lock(&gate->lock);
    (void)ticket_target_name(gate->name, address);          /* too long: "", nothing fits */
    pthread_mutex_unlock(&gate->lock);
}

static enum status read_ticket(struct gate *gate, const char *text, struct ticket *ticket,
                               struct error *err)
{
    struct ticket_bytes bytes;
    if (!text)
        return error_set(err, STATUS_DENIED, "this target asks for a ticket: get one with "
                         "--coordinator (and --api-key-file)");
    enum status rc = ticket_from_hex(text, &bytes, err);
    if (rc != STATUS_OK)
        return rc;
    pthread_mutex_lock(&gate->lock);
    const struct ticket_check check = {.target = gate->name, .now_s = wall_clock_s(),
                                       .skew_s = SKEW_S};
    rc = gate->name[0] == '\0'
             ? error_set(err, STATUS_DENIED, "this target has no name for tickets yet")
             : ticket_verify(&gate->keys, bytes.data, bytes.size, &check, ticket, err);
    pthread_mutex_unlock(&gate->lock);
    return rc;
}

enum status gate_check(struct gate *gate, const char *text, struct gate_pass *pass,
                       struct error *err)
{
    struct ticket ticket;
    *pass = (struct gate_pass){0};
    if (!gate->options.ticket_keys)
        return STATUS_OK;
    enum status rc = read_ticket(gate, text, &ticket, err);
    if (rc != STATUS_OK) {
        metrics_add(gate->options.metrics, TARGET_METRIC_REFUSED_TICKET, 1);
        return rc;
    }
    snprintf(pass->key, sizeof(pass->key), "%s", ticket.client);
    if (gate->api)
        rc = api_keys_find_name(gate->api, ticket.client, &pass->client, err);
    if (rc != STATUS_OK)
        metrics_add(gate->options.metrics, TARGET_METRIC_REFUSED_KEY, 1);
    return rc;
}

enum status gate_enter(struct gate *gate, struct gate_pass *pass, struct error *err)
{
    if (!gate->api)
        return STATUS_OK;
    enum status rc = api_keys_open(gate->api, pass->client, wall_clock_s(), err);
    pass->metered = rc == STATUS_OK;
    if (rc != STATUS_OK)
        metrics_add(gate->options.metrics,
                    rc == STATUS_EXHAUSTED ? TARGET_METRIC_REFUSED_QUOTA
                                           : TARGET_METRIC_REFUSED_KEY, 1);
    return rc;
}

uint32_t gate_retry_ms(struct gate *gate, const struct gate_pass *pass)
{
    uint32_t left_s = gate->api ? api_keys_retry_s(gate->api, pass->client, wall_clock_s()) : 0;
    return MIN(left_s, UINT32_MAX / 1000u) * 1000u;
}

void gate_leave(struct gate *gate, struct gate_pass *pass)
{
    if (pass->metered)
        api_keys_close(gate->api, pass->client);
    *pass = (struct gate_pass){0};
}

enum status gate_count(struct gate *gate, const struct gate_pass *pass,
                       const struct api_amount *amount, struct error *err)
{
    return pass->metered
               ? api_keys_count(gate->api, pass->client, amount, wall_clock_s(), err)
               : STATUS_OK;
}

/* ---- metrics ---- */

struct column {
    const char *name, *help;
    enum metric_kind kind;
    size_t offset;
    bool narrow;                            /* uint32_t, else uint64_t */
    uint8_t decimals;
};

static const struct column columns[] = {
    {"specasr_key_sessions", "Open sessions of an API key.", METRIC_GAUGE,
     offsetof(struct api_usage, sessions), true, 0},
    {"specasr_key_audio_seconds_total", "Audio metered.", METRIC_COUNTER,
     offsetof(struct api_usage, audio_ms_total), false, 3},
    {"specasr_key_tokens_total", "Committed tokens metered.", METRIC_COUNTER,
     offsetof(struct api_usage, tokens_total), false, 0},
    {"specasr_key_refused_total", "Sessions refused by quota.", METRIC_COUNTER,
     offsetof(struct api_usage, refused_total), false, 0},
};

static void write_column(const struct column *column, const struct api_usage *usage, size_t n,
                         FILE *out)
{
    metrics_text_family(out, column->name, column->help, column->kind);
    for (size_t i = 0; i < n; i++) {
        const void *at = (const char *)&usage[i] + column->offset;
        const struct metric_label label = {"key", usage[i].name};
        uint64_t value = column->narrow ? *(const uint32_t *)at : *(const uint64_t *)at;
        const struct metric_sample sample = {.name = column->name, .labels = &label, .n_labels = 1,
                                             .value = (int64_t)value,
                                             .decimals = column->decimals};
        metrics_text_sample(out, &sample);
    }
}

void gate_collect(void *context, FILE *out)
{
    struct gate *gate = context;
    struct api_usage *usage = gate->api ? calloc(API_KEYS_MAX, sizeof(*usage)) : NULL;
    if (!usage)
        return;
    size_t n = api_keys_usage(gate->api, wall_clock_s(), usage, API_KEYS_MAX);
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        write_column(&columns[i], usage, n, out);
    free(usage);
}
