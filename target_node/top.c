#include "top.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/get.h"
#include "metrics/read.h"

enum { TIMEOUT_MS = 3000, NAME_MAX_BYTES = 96, VIEW_LINES = 11 };

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

/* For a terminal. */
static void make_fit(char *text)
{
    for (char *c = text; *c; c++)
        if (!isprint((unsigned char)*c))
            *c = '?';
}

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
    make_fit(out);
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

/* ---- sessions ---- */

struct row {
    char id[16], client[48], state[12];
    double age_s, windows, rows, lag_s;     /* lag below 0: none yet */
};

static void read_text(const cJSON *object, const char *name, char *out, size_t n)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    snprintf(out, n, "%s", cJSON_IsString(item) ? item->valuestring : "?");
    make_fit(out);
}

static double read_number(const cJSON *object, const char *name, double otherwise)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : otherwise;
}

static int compare_rows(const void *one, const void *other)
{
    const struct row *a = one, *b = other;
    bool a_works = strcmp(a->state, "working") == 0, b_works = strcmp(b->state, "working") == 0;
    if (a_works != b_works)
        return a_works ? -1 : 1;
    if (a->lag_s != b->lag_s)
        return a->lag_s > b->lag_s ? -1 : 1;
    return a->age_s > b->age_s ? -1 : a->age_s < b->age_s;
}

/* Sorted; NULL when there are none, or no memory. The caller frees. */
static struct row *read_rows(const char *text, size_t *n)
{
    cJSON *object = text ? cJSON_Parse(text) : NULL;
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(object, "sessions"), *item;
    int count = cJSON_IsArray(array) ? cJSON_GetArraySize(array) : 0;
    struct row *rows = count > 0 ? calloc((size_t)count, sizeof(*rows)) : NULL;
    *n = 0;
    if (rows) {
        cJSON_ArrayForEach(item, array) {
            struct row *row = &rows[(*n)++];
            read_text(item, "id", row->id, sizeof(row->id));
            read_text(item, "client", row->client, sizeof(row->client));
            read_text(item, "state", row->state, sizeof(row->state));
            row->age_s = read_number(item, "age_s", 0.0);
            row->windows = read_number(item, "windows", 0.0);
            row->rows = read_number(item, "rows", 0.0);
            row->lag_s = read_number(item, "lag_s", -1.0);
        }
        qsort(rows, *n, sizeof(*rows), compare_rows);
    }
    cJSON_Delete(object);
    return rows;
}

/* Two lines stand above and below them: the head, and how many are not shown. */
static void print_sessions(const struct top_texts *texts, FILE *out)
{
    size_t n, shown;
    struct row *rows = read_rows(texts->sessions, &n);
    size_t room = texts->lines_max > VIEW_LINES + 2 ? texts->lines_max - VIEW_LINES - 2 : 1;
    shown = texts->lines_max == 0 ? n : MIN(n, room);
    if (shown > 0)
        fprintf(out, "%-8s  %-26s  %-8s %9s %8s %9s %8s\n", "session", "client", "state", "age s",
                "windows", "rows", "lag ms");
    for (size_t i = 0; i < shown; i++) {
        const struct row *row = &rows[i];
        fprintf(out, "%-8.8s  %-26.26s  %-8.8s %9.1f %8.0f %9.0f ", row->id, row->client,
                row->state, row->age_s, row->windows, row->rows);
        if (row->lag_s < 0.0)
            fprintf(out, "%8s\n", "-");
        else
            fprintf(out, "%8.0f\n", row->lag_s * 1e3);
    }
    if (shown < n)
        fprintf(out, "(%zu more)\n", n - shown);
    free(rows);
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
    print_sessions(texts, out);
}

/* ---- for programs ---- */

static bool add_bound(cJSON *object, const char *name, double seconds)
{
    return seconds < 0.0 || isinf(seconds)
               ? cJSON_AddNullToObject(object, name) != NULL
               : cJSON_AddNumberToObject(object, name, seconds) != NULL;
}

/* As /sessions has them, in the order of the view; null: this target does not say. */
static bool add_sessions(cJSON *object, const char *text)
{
    size_t n;
    struct row *rows = read_rows(text, &n);
    cJSON *array = text ? cJSON_AddArrayToObject(object, "session_list")
                        : cJSON_AddNullToObject(object, "session_list");
    bool good = array != NULL;
    for (size_t i = 0; good && i < n; i++) {
        cJSON *item = cJSON_CreateObject();
        good = item && cJSON_AddItemToArray(array, item) &&
               cJSON_AddStringToObject(item, "id", rows[i].id) &&
               cJSON_AddStringToObject(item, "client", rows[i].client) &&
               cJSON_AddStringToObject(item, "state", rows[i].state) &&
               cJSON_AddNumberToObject(item, "age_s", rows[i].age_s) &&
               cJSON_AddNumberToObject(item, "windows", rows[i].windows) &&
               cJSON_AddNumberToObject(item, "rows", rows[i].rows) &&
               add_bound(item, "lag_s", rows[i].lag_s);
    }
    free(rows);
    return good;
}

static bool add_all(cJSON *object, const struct view *view, const struct top_texts *texts)
{
    bool good = cJSON_AddStringToObject(object, "address", texts->address) &&
                cJSON_AddStringToObject(object, "version", view->version) &&
                cJSON_AddStringToObject(object, "model", view->model) &&
                cJSON_AddStringToObject(object, "fingerprint", view->fingerprint);
    for (int i = 0; good && i < VALUES_N; i++)
        good = cJSON_AddNumberToObject(object, values[i].key, view->now[i]) != NULL;
    return good && add_bound(object, "final_lag_p50_s", view->lag_p50) &&
           add_bound(object, "final_lag_p99_s", view->lag_p99) &&
           add_bound(object, "pass_p50_s", view->pass_p50) &&
           add_bound(object, "pass_p99_s", view->pass_p99) &&
           add_sessions(object, texts->sessions);
}

bool top_print_json(const struct top_texts *texts, FILE *out)
{
    const struct view view = view_of(texts);
    cJSON *object = cJSON_CreateObject();
    bool good = object && add_all(object, &view, texts);
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

/* 0: it is no terminal, or does not say. */
static uint32_t height_of(FILE *out)
{
    struct winsize size = {0};
    return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 ? size.ws_row : 0;
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
    char *text, *earlier = NULL, *sessions = NULL;
    uint64_t then = 0;
    bool good = true;
    pause.tv_nsec = (long)((options->interval_s - (double)pause.tv_sec) * 1e9);
    enum status rc = fetch(options->address, &text, err);
    while (rc == STATUS_OK && good) {
        uint64_t now = clock_us(&clock);
        texts.text = text;
        texts.earlier = earlier ? earlier : "";
        texts.elapsed_s = earlier ? (double)(now - then) / 1e6 : 0.0;
        free(sessions);
        if (http_get(options->address, "/sessions", TIMEOUT_MS, &sessions, NULL) != STATUS_OK)
            sessions = NULL;                /* in a long step, or of an earlier version */
        texts.sessions = sessions;
        texts.lines_max = height_of(options->out);
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
    free(sessions);
    return rc == STATUS_OK && !good ? error_set(err, STATUS_IO, "cannot write the view") : rc;
}
