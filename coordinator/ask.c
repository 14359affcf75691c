#include "ask.h"

#include <inttypes.h>
#include <string.h>

#include "cluster/call.h"

enum { DEADLINE_MS = 3000 };

static const char *const state_names[WIRE_STATE_N] = {"serving", "warming", "draining"};

static const char *state_of(const struct wire_target_row *row)
{
    return row->drain && row->load.state == WIRE_SERVING ? "drained"
                                                         : state_names[row->load.state];
}

/* ---- table ---- */

void status_print_table(const struct wire_listed *listed, FILE *out)
{
    uint32_t sessions = 0, room = 0;
    fprintf(out, "%-24s %-12s %-17s %-8s %9s %5s %9s %9s %8s %7s\n", "TARGET", "MODEL", "VERSION",
            "STATE", "SESSIONS", "BUSY", "QUEUE ms", "WINDOW ms", "PLACED", "AGE ms");
    for (uint32_t i = 0; i < listed->n_targets; i++) {
        const struct wire_target_row *row = &listed->targets[i];
        const struct wire_target_load *load = &row->load;
        char of[24];
        snprintf(of, sizeof(of), "%u/%u", load->sessions, row->info.sessions_max);
        fprintf(out, "%-24s %-12s %016" PRIx64 "  %-8s %9s %5u %9.1f %9.1f %8" PRIu64 " %7u\n",
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
}

/* ---- JSON ---- */

static void print_text(const char *text, FILE *out)
{
    fputc('"', out);
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            fprintf(out, "\\u%04x", (unsigned)*c);
        else
            fputc(*c, out);
    }
    fputc('"', out);
}

static void print_row(const struct wire_target_row *row, FILE *out)
{
    const struct wire_target_load *load = &row->load;
    fputs("{\"address\": ", out);
    print_text(row->info.address, out);
    fputs(", \"tls_name\": ", out);
    print_text(row->info.tls_name, out);
    fputs(", \"model\": ", out);
    print_text(row->info.model, out);
    fprintf(out, ", \"fingerprint\": \"%016" PRIx64 "\", \"incarnation\": \"%" PRIu64 "\", ",
            row->info.fingerprint, row->info.incarnation);
    fprintf(out, "\"tls\": %s, \"state\": \"%s\", \"sessions\": %u, \"sessions_max\": %u, ",
            row->info.tls ? "true" : "false", state_of(row), load->sessions,
            row->info.sessions_max);
    fprintf(out, "\"busy\": %u, \"queue_us\": %u, \"window_us\": %u, \"step_us\": %u, ",
            load->busy, load->queue_us, load->window_us, load->step_us);
    fprintf(out, "\"row_us\": %u, \"reserved\": %u, \"placed\": %" PRIu64 ", \"age_ms\": %u}",
            load->row_us, row->reserved, row->placed, row->age_ms);
}

void status_print_json(const struct wire_listed *listed, FILE *out)
{
    const struct wire_policy *policy = &listed->policy;
    fprintf(out, "{\"uptime_ms\": %" PRIu64 ", \"heartbeat_ms\": %u, \"placed\": %" PRIu64
            ", \"refused\": %" PRIu64 ", ",
            listed->uptime_ms, listed->heartbeat_ms, listed->placed, listed->refused);
    fprintf(out, "\"policy\": {\"term\": %" PRIu64 ", \"ttl_ms\": %u, \"shadow_price\": %.4f, "
            "\"latency_goal_ms\": %u, \"modes\": %u}, \"targets\": [",
            policy->term, policy->ttl_ms, (double)policy->shadow_price, policy->latency_goal_ms,
            policy->modes);
    for (uint32_t i = 0; i < listed->n_targets; i++) {
        fputs(i ? ", " : "", out);
        print_row(&listed->targets[i], out);
    }
    fputs("]}\n", out);
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
        rc = cluster_call(client, DEADLINE_MS, request, answer, err);
    rpc_client_free(&client);
    return rc;
}

enum status ask_status(const struct ask_options *options, bool json, FILE *out, struct error *err)
{
    struct wire_coordinator_message request = {.kind = WIRE_LIST}, answer;
    enum status rc = call_once(options, &request, &answer, err);
    if (rc != STATUS_OK)
        return rc;
    if (json)
        status_print_json(&answer.u.listed, out);
    else
        status_print_table(&answer.u.listed, out);
    wire_coordinator_release(&answer);
    bool failed = fflush(out) != 0 || ferror(out);
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
