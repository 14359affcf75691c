#include "top.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/get.h"
#include "metrics/read.h"

enum { TIMEOUT_MS = 3000, NAME_MAX_BYTES = 96 };

/* What is shown, and under which name in JSON. */
enum value {
    READY, DRAINING, SESSIONS, SESSIONS_MAX, SLOTS, SLOTS_MAX, BUDGET, OPENED, RESUMED,
    REFUSED_FULL, REFUSED_QUOTA, REFUSED_TICKET, REFUSED_KEY, REFUSED_MISMATCH, LISTEN, ENCODE,
    DECODE, QUEUE, AUDIO,
    BUSY_ENCODE, BUSY_FORWARD, PASSES, ROWS, COMMITTED, ACCEPTED, ROW_PRICE, DEPTH, COORDINATOR_UP,
    POLICY_AGE, RESIDENT, CPU, STARTED, VALUES_N
};

static const struct {
    const char *key, *series;
} values[VALUES_N] = {
    [READY] = {"ready", "specasr_target_ready"},
    [DRAINING] = {"draining", "specasr_target_draining"},
    [SESSIONS] = {"sessions", "specasr_target_sessions"},
    [SESSIONS_MAX] = {"sessions_max", "specasr_target_sessions_max"},
    [SLOTS] = {"slots", "specasr_target_slots"},
    [SLOTS_MAX] = {"slots_max", "specasr_target_slots_max"},
    [BUDGET] = {"memory_budget_bytes", "specasr_target_memory_budget_bytes"},
    [OPENED] = {"sessions_opened", "specasr_target_sessions_opened_total"},
    [RESUMED] = {"sessions_resumed", "specasr_target_sessions_resumed_total"},
    [REFUSED_FULL] = {"refused_full", "specasr_target_sessions_refused_total{reason=\"full\"}"},
    [REFUSED_QUOTA] = {"refused_quota", "specasr_target_sessions_refused_total{reason=\"quota\"}"},
    [REFUSED_TICKET] = {"refused_ticket",
                        "specasr_target_sessions_refused_total{reason=\"ticket\"}"},
    [REFUSED_KEY] = {"refused_key", "specasr_target_sessions_refused_total{reason=\"key\"}"},
    [REFUSED_MISMATCH] = {"refused_mismatch",
                          "specasr_target_sessions_refused_total{reason=\"mismatch\"}"},
    [LISTEN] = {"utterances_listen", "specasr_target_utterances{stage=\"listen\"}"},
    [ENCODE] = {"utterances_encode", "specasr_target_utterances{stage=\"encode\"}"},
    [DECODE] = {"utterances_decode", "specasr_target_utterances{stage=\"decode\"}"},
    [QUEUE] = {"queue_s", "specasr_target_queue_seconds"},
    [AUDIO] = {"audio_s", "specasr_target_audio_seconds_total"},
    [BUSY_ENCODE] = {"busy_encode_s", "specasr_target_busy_seconds_total{work=\"encode\"}"},
    [BUSY_FORWARD] = {"busy_forward_s", "specasr_target_busy_seconds_total{work=\"forward\"}"},
    [PASSES] = {"passes", "specasr_target_passes_total"},
    [ROWS] = {"rows", "specasr_target_rows_total"},
    [COMMITTED] = {"tokens_committed", "specasr_target_tokens_committed_total"},
    [ACCEPTED] = {"tokens_accepted", "specasr_target_tokens_accepted_total"},
    [ROW_PRICE] = {"row_price_ms", "specasr_target_row_price"},
    [DEPTH] = {"draft_depth", "specasr_target_draft_depth"},
    [COORDINATOR_UP] = {"coordinator_up", "specasr_target_coordinator_up"},
    [POLICY_AGE] = {"policy_age_s", "specasr_target_policy_age_seconds"},
    [RESIDENT] = {"resident_bytes", "process_resident_memory_bytes"},
    [CPU] = {"cpu_s", "process_cpu_seconds_total"},
    [STARTED] = {"started_s", "process_start_time_seconds"},
};

static const char lag_name[] = "specasr_target_final_lag_seconds";
static const char pass_name[] = "specasr_target_pass_seconds";

/* Everything of a view: values now, and per second since `earlier`. */
struct view {
    double now[VALUES_N], rate[VALUES_N];
    double span_s, lag_p50, lag_p99, pass_p50, pass_p99;
    bool since_start;
    char version[NAME_MAX_BYTES], model[NAME_MAX_BYTES], fingerprint[NAME_MAX_BYTES];
};

/* A label of the first series of that name, made fit for a terminal. */
static void read_name(const char *text, const char *series, const char *label,
                      char out[NAME_MAX_BYTES])
{
    struct metrics_line line;
    size_t n = strlen(series);
    snprintf(out, NAME_MAX_BYTES, "?");
    while (metrics_read_line(&text, &line))
        if (line.n_name == n && memcmp(line.series, series, n) == 0 &&
            metrics_read_label(&line, label, out, NAME_MAX_BYTES))
            break;
    for (char *c = out; *c; c++)
        if (!isgraph((unsigned char)*c))
            *c = '?';
}

static struct view view_of(const struct top_texts *texts)
{
    struct view view = {.since_start = texts->elapsed_s <= 0.0};
    for (int i = 0; i < VALUES_N; i++)
        (void)metrics_read_value(texts->text, values[i].series, &view.now[i]);
    view.span_s = view.since_start ? (double)time(NULL) - view.now[STARTED] : texts->elapsed_s;
    for (int i = 0; i < VALUES_N; i++) {
        double before = 0.0;
        (void)metrics_read_value(texts->earlier, values[i].series, &before);
        view.rate[i] = view.span_s > 0.0 ? (view.now[i] - before) / view.span_s : 0.0;
    }
    view.lag_p50 = metrics_read_quantile(texts->earlier, texts->text, lag_name, 0.50);
    view.lag_p99 = metrics_read_quantile(texts->earlier, texts->text, lag_name, 0.99);
    view.pass_p50 = metrics_read_quantile(texts->earlier, texts->text, pass_name, 0.50);
    view.pass_p99 = metrics_read_quantile(texts->earlier, texts->text, pass_name, 0.99);
    read_name(texts->text, "specasr_build_info", "version", view.version);
    read_name(texts->text, "specasr_target_info", "model", view.model);
    read_name(texts->text, "specasr_target_info", "fingerprint", view.fingerprint);
    return view;
}

/* ---- for people ---- */

static void print_bound(FILE *out, const char *name, double seconds)
{
    if (seconds < 0.0)
        fprintf(out, "  %s -", name);
    else if (isinf(seconds))
        fprintf(out, "  %s above all bounds", name);
    else
        fprintf(out, "  %s <= %g ms", name, seconds * 1e3);
}

static const char *state_of(const struct view *view)
{
    if (view->now[DRAINING] > 0)
        return "draining";
    return view->now[READY] > 0 ? "ready" : "not ready";
}

static double per(double amount, double count)
{
    return count > 0.0 ? amount / count : 0.0;
}

void top_print(const struct top_texts *texts, FILE *out)
{
    const struct view view = view_of(texts);
    const double *now = view.now, *rate = view.rate;
    double refused = now[REFUSED_FULL] + now[REFUSED_QUOTA] + now[REFUSED_TICKET] +
                     now[REFUSED_KEY] + now[REFUSED_MISMATCH];
    double encode = 100.0 * rate[BUSY_ENCODE], forward = 100.0 * rate[BUSY_FORWARD];
    fprintf(out, "target_node %s, metrics at %s: %s, %s %s\n", view.version, texts->address,
            state_of(&view), view.model, view.fingerprint);
    fprintf(out, "sessions    %.0f of %.0f   opened %.0f (resumed %.0f)   refused %.0f\n",
            now[SESSIONS], now[SESSIONS_MAX], now[OPENED], now[RESUMED], refused);
    fprintf(out, "utterances  listen %.0f   encode %.0f   decode %.0f   slots %.0f of %.0f   "
            "queue %.1f ms\n", now[LISTEN], now[ENCODE], now[DECODE], now[SLOTS], now[SLOTS_MAX],
            now[QUEUE] * 1e3);
    fprintf(out, "load        encode %.0f %%   decode %.0f %%   processors %.1f   memory %.0f of "
            "%.0f MB\n", encode, forward, rate[CPU], now[RESIDENT] / 1e6, now[BUDGET] / 1e6);
    fprintf(out, "audio       %.1f s a second\n", rate[AUDIO]);
    fprintf(out, "rows        %.0f a second in %.1f passes (%.1f each) ", rate[ROWS], rate[PASSES],
            per(rate[ROWS], rate[PASSES]));
    print_bound(out, "pass p50", view.pass_p50);
    print_bound(out, "p99", view.pass_p99);
    fprintf(out, "\ntokens      %.1f a second   %.2f a pass beyond the first\n", rate[COMMITTED],
            per(rate[ACCEPTED], rate[PASSES]));
    fprintf(out, "price       %.3f ms a row   advised depth %.1f\n", now[ROW_PRICE], now[DEPTH]);
    fprintf(out, "final lag ");
    print_bound(out, "p50", view.lag_p50);
    print_bound(out, "p99", view.lag_p99);
    fprintf(out, "\ncoordinator %s", now[COORDINATOR_UP] > 0 ? "up" : "none");
    if (now[COORDINATOR_UP] > 0)
        fprintf(out, ", policy %.1f s old", now[POLICY_AGE]);
    fprintf(out, "\n(rates and quantiles: %s %.1f s)\n", view.since_start ? "since the start," :
            "of the last", view.span_s);
}

/* ---- for programs ---- */

static bool add_bound(cJSON *object, const char *name, double seconds)
{
    return seconds < 0.0 || isinf(seconds)
               ? cJSON_AddNullToObject(object, name) != NULL
               : cJSON_AddNumberToObject(object, name, seconds) != NULL;
}

static bool add_all(cJSON *object, const struct view *view, const char *address)
{
    bool good = cJSON_AddStringToObject(object, "address", address) &&
                cJSON_AddStringToObject(object, "version", view->version) &&
                cJSON_AddStringToObject(object, "model", view->model) &&
                cJSON_AddStringToObject(object, "fingerprint", view->fingerprint);
    for (int i = 0; good && i < VALUES_N; i++)
        good = cJSON_AddNumberToObject(object, values[i].key, view->now[i]) != NULL;
    return good && add_bound(object, "final_lag_p50_s", view->lag_p50) &&
           add_bound(object, "final_lag_p99_s", view->lag_p99) &&
           add_bound(object, "pass_p50_s", view->pass_p50) &&
           add_bound(object, "pass_p99_s", view->pass_p99);
}

bool top_print_json(const struct top_texts *texts, FILE *out)
{
    const struct view view = view_of(texts);
    cJSON *object = cJSON_CreateObject();
    bool good = object && add_all(object, &view, texts->address);
    char *text = good ? cJSON_PrintUnformatted(object) : NULL;
    good = text && fprintf(out, "%s\n", text) > 0;
    cJSON_free(text);
    cJSON_Delete(object);
    return good;
}

/* ---- again and again ---- */

static enum status fetch(const char *address, char **text, struct error *err)
{
    double ready;
    enum status rc = http_get(address, "/metrics", TIMEOUT_MS, text, err);
    if (rc == STATUS_OK && !metrics_read_value(*text, values[READY].series, &ready)) {
        rc = error_set(err, STATUS_CORRUPT, "%s is no target_node's --metrics", address);
        free(*text);
        *text = NULL;
    }
    return rc;
}

/* A terminal is drawn over from the top; what remains of the view before is cleared. */
static bool show(const struct top_texts *texts, bool terminal, FILE *out)
{
    if (terminal)
        fputs("\033[H\033[2J", out);
    top_print(texts, out);
    if (!terminal)
        fputc('\n', out);
    return fflush(out) == 0;
}

enum status top_run(const struct top_options *options, struct error *err)
{
    struct clock clock = clock_monotonic();
    struct timespec pause = {.tv_sec = (time_t)options->interval_s};
    struct top_texts texts = {.address = options->address, .earlier = ""};
    char *text, *earlier = NULL;
    uint64_t then = 0;
    bool good = true;
    pause.tv_nsec = (long)((options->interval_s - (double)pause.tv_sec) * 1e9);
    enum status rc = fetch(options->address, &text, err);
    while (rc == STATUS_OK && good) {
        uint64_t now = clock_us(&clock);
        texts.text = text;
        texts.earlier = earlier ? earlier : "";
        texts.elapsed_s = earlier ? (double)(now - then) / 1e6 : 0.0;
        good = options->json ? top_print_json(&texts, options->out) && fflush(options->out) == 0
                             : show(&texts, isatty(fileno(options->out)), options->out);
        free(earlier);
        earlier = text;
        then = now;
        if (options->json)
            break;
        nanosleep(&pause, NULL);
        if (good)
            rc = fetch(options->address, &text, err);
    }
    free(earlier);
    return rc == STATUS_OK && !good ? error_set(err, STATUS_IO, "cannot write the view") : rc;
}
