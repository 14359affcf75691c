#include "ask.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <string.h>

#include "cluster/call.h"

enum { DEADLINE_MS = 3000 };

static const char *const state_names[WIRE_STATE_N] = {"serving", "warming", "draining"};

static const char *state_of(const struct wire_target_row *row)
{
    return row->drain && row->load.state != WIRE_WARMING ? "drained"
                                                         : state_names[row->load.state];
}

/* ---- table ---- */

void status_print_table(const struct wire_listed *listed, FILE *out)
{
    uint32_t sessions = 0, room = 0;
    fprintf(out, "%-24s %-18s %-17s %-8s %9s %5s %9s %9s %8s %7s\n", "TARGET", "MODEL", "VERSION",
            "STATE", "SESSIONS", "BUSY", "QUEUE ms", "WINDOW ms", "PLACED", "AGE ms");
    for (uint32_t i = 0; i < listed->n_targets; i++) {
        const struct wire_target_row *row = &listed->targets[i];
        const struct wire_target_load *load = &row->load;
        char of[24];
        snprintf(of, sizeof(of), "%u/%u", load->sessions, row->info.sessions_max);
        fprintf(out, "%-24s %-18s %016" PRIx64 "  %-8s %9s %5u %9.1f %9.1f %8" PRIu64 " %7u\n",
                row->info.address, row->info.model, row->info.fingerprint, state_of(row), of,
                load->busy, load->queue_us / 1e3, load->window_us / 1e3, row->placed, row->age_ms);
        sessions += load->sessions;
        room += row->info.sessions_max;
    }
    fprintf(out, "%u target%s, %u of %u sessions; placed %" PRIu64 ", asked to retry %" PRIu64
            "; shadow price %.2f, term %" PRIu64 ", up %.0f s\n",
            listed->n_targets, listed->n_targets == 1 ? "" : "s", sessions, room, listed->placed,
            listed->refused, (double)listed->policy.shadow_price, listed->policy.term,
            (double)listed->uptime_ms / 1e3);
    if (listed->coordinators.n == 0 && listed->leads)
        return;
    fprintf(out, "%u coordinator%s, %s%s%s\n", MAX(listed->coordinators.n, 1u),
            listed->coordinators.n > 1 ? "s" : "", listed->leader[0] ? "leader " : "no leader",
            listed->leader, listed->store_up ? "" : "; this one does not reach the store");
}

/* ---- JSON ---- */

/* Versions and incarnations have 64 bits, more than a number of JSON holds. */
static bool add_hex(cJSON *object, const char *name, uint64_t value)
{
    char text[20];
    snprintf(text, sizeof(text), "%016" PRIx64, value);
    return cJSON_AddStringToObject(object, name, text) != NULL;
}

static bool add_count(cJSON *object, const char *name, uint64_t value)
{
    return cJSON_AddNumberToObject(object, name, (double)value) != NULL;
}

static bool add_row(cJSON *rows, const struct wire_target_row *row)
{
    const struct wire_target_info *info = &row->info;
    const struct wire_target_load *load = &row->load;
    cJSON *one = cJSON_CreateObject();
    char incarnation[24];
    snprintf(incarnation, sizeof(incarnation), "%" PRIu64, info->incarnation);
    if (!cJSON_AddItemToArray(rows, one)) {
        cJSON_Delete(one);
        return false;
    }
    return cJSON_AddStringToObject(one, "address", info->address) &&
           cJSON_AddStringToObject(one, "tls_name", info->tls_name) &&
           cJSON_AddStringToObject(one, "model", info->model) &&
           add_hex(one, "fingerprint", info->fingerprint) &&
           cJSON_AddStringToObject(one, "incarnation", incarnation) &&
           cJSON_AddBoolToObject(one, "tls", info->tls) &&
           cJSON_AddStringToObject(one, "state", state_of(row)) &&
           add_count(one, "sessions", load->sessions) &&
           add_count(one, "sessions_max", info->sessions_max) &&
           add_count(one, "busy", load->busy) && add_count(one, "queue_us", load->queue_us) &&
           add_count(one, "window_us", load->window_us) &&
           add_count(one, "step_us", load->step_us) && add_count(one, "row_us", load->row_us) &&
           add_count(one, "reserved", row->reserved) && add_count(one, "placed", row->placed) &&
           add_count(one, "age_ms", row->age_ms);
}

static bool add_policy(cJSON *object, const struct wire_policy *policy)
{
    cJSON *one = cJSON_AddObjectToObject(object, "policy");
    return one && add_count(one, "term", policy->term) &&
           add_count(one, "ttl_ms", policy->ttl_ms) &&
           cJSON_AddNumberToObject(one, "shadow_price", (double)policy->shadow_price) &&
           add_count(one, "latency_goal_ms", policy->latency_goal_ms) &&
           add_count(one, "modes", policy->modes);
}

static bool add_all(cJSON *object, const struct wire_listed *listed)
{
    bool good = add_count(object, "uptime_ms", listed->uptime_ms) &&
                add_count(object, "heartbeat_ms", listed->heartbeat_ms) &&
                add_count(object, "placed", listed->placed) &&
                add_count(object, "refused", listed->refused) &&
                add_policy(object, &listed->policy);
    cJSON *others = good ? cJSON_AddArrayToObject(object, "coordinators") : NULL;
    good = others && cJSON_AddBoolToObject(object, "leads", listed->leads) &&
           cJSON_AddBoolToObject(object, "store_up", listed->store_up) &&
           cJSON_AddStringToObject(object, "leader", listed->leader);
    for (uint32_t i = 0; good && i < listed->coordinators.n; i++)
        good = cJSON_AddItemToArray(others, cJSON_CreateString(listed->coordinators.item[i]));
    cJSON *rows = good ? cJSON_AddArrayToObject(object, "targets") : NULL;
    good = rows != NULL;
    for (uint32_t i = 0; good && i < listed->n_targets; i++)
        good = add_row(rows, &listed->targets[i]);
    return good;
}

bool status_print_json(const struct wire_listed *listed, FILE *out)
{
    cJSON *object = cJSON_CreateObject();
    bool good = object && add_all(object, listed);
    char *text = good ? cJSON_PrintUnformatted(object) : NULL;
    good = text && fprintf(out, "%s\n", text) > 0;
    cJSON_free(text);
    cJSON_Delete(object);
    return good;
}

/* ---- calls ---- */

static enum status call_once(const struct ask_options *options,
                             const struct wire_coordinator_message *request,
                             struct wire_coordinator_message *answer, struct error *err)
{
    struct rpc_client *client = NULL;
    struct rpc_client_options client_options = {.target = options->address, .tls = options->tls,
                                                .connect_ms = DEADLINE_MS};
    enum status rc = rpc_client_new(&client_options, &client, err);
    if (rc == STATUS_OK)
        rc = cluster_call_as(&(struct cluster_caller){.client = client, .deadline_ms = DEADLINE_MS,
                                                      .api_key = options->join_key},
                             request, answer, err);
    rpc_client_free(&client);
    return rc;
}

enum status ask_status(const struct ask_options *options, bool json, FILE *out, struct error *err)
{
    struct wire_coordinator_message request = {.kind = WIRE_LIST}, answer;
    enum status rc = call_once(options, &request, &answer, err);
    if (rc != STATUS_OK)
        return rc;
    bool good = !json || status_print_json(&answer.u.listed, out);
    if (!json)
        status_print_table(&answer.u.listed, out);
    wire_coordinator_release(&answer);
    bool failed = !good || fflush(out) != 0 || ferror(out);
    return failed ? error_set(err, STATUS_IO, "cannot write the status: is the disk full?")
                  : STATUS_OK;
}

enum status ask_drain(const struct ask_options *options, const char *target, bool undo,
                      struct error *err)
{
    struct wire_coordinator_message request = {.kind = WIRE_DRAIN_TARGET}, answer;
    struct wire_drain_target *drain = &request.u.drain_target;
    if (!wire_address_ok(target))
        return error_set(err, STATUS_INVALID, "\"%s\" is not HOST:PORT: name the target as "
                         "`coordinator status` does", target);
    snprintf(drain->address, sizeof(drain->address), "%s", target);
    drain->undo = undo;
    enum status rc = call_once(options, &request, &answer, err);
    if (rc != STATUS_OK)
        return rc;
    bool known = answer.u.drain_noted.known;
    wire_coordinator_release(&answer);
    return known ? STATUS_OK
                 : error_set(err, STATUS_NOT_FOUND, "the coordinator at %s does not know a target "
                             "%s: see `coordinator status`", options->address, target);
}
