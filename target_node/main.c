/* target_node: the server. Holds a model, verifies the drafts of many clients, decides the text.
 *
 * Threads:
 *   main          options, start and stop, signals (sigwait)
 *   rpc           gRPC's completion queue: callbacks of all streams; validates frames; never blocks
 *   register      with --coordinator: one for each; reports load, hears the policy; may wait for
 *                 the network
 *   bus           with --coordinator: load out, policy in, where a coordinator has a bus (and
 *                 ZeroMQ's own two)
 *   model         owns engine and sessions: takes events from a queue, ticks the target, answers
 *   pool 1..n-1   the backend's workers; spin while a step runs, sleep between
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file_limit.h"
#include "base/log.h"
#include "base/memory_limit.h"
#include "base/signals.h"
#include "base/standard_streams.h"
#include "config/exit_codes.h"
#include "config/options.h"
#include "config/version.h"
#include "engine/toy.h"
#include "memory.h"
#include "model/resolve.h"
#include "observe.h"
#include "register.h"
#include "serve.h"
#include "top.h"

enum { GRACE_MS = 4000 };

struct values {
    const char *model, *draft_model;
    struct option_address listen;
    int64_t threads;
    const char *kernels;
    const char *pace, *shape;
    bool encoder_blas;
    int64_t sessions, client_sessions;
    uint64_t memory;
    const char *audit;
    double idle_timeout, session_timeout;
    const char *tls_certificate, *tls_key, *tls_client_ca;
    struct option_addresses coordinator;
    struct option_address advertise;
    const char *coordinator_ca, *join_key_file, *advertise_name;
    const char *metrics;
    bool json;
    double interval;
    const char *ticket_key, *api_keys;
    bool allow_anonymous;
    int log_level, log_format;
    struct options *source;                 /* of all the above, for SIGHUP */
};

struct node {
    struct engine engine;
    struct engine draft;                    /* of --draft-model; closed: none */
    struct serve *serve;
    struct registration *registration;      /* NULL: no coordinator */
    struct observe *observe;
    struct gate *gate;
    struct memory_plan plan;
    struct memory_ask memory;
};


#define AT(member) offsetof(struct values, member)

static const struct option table[] = {
    {.name = "model", .short_name = 'm', .type = OPTION_STRING, .offset = AT(model),
     .initial = "base", .value_name = "FILE|NAME", .group = "Model",
     .help = "Model file (GGUF), or the name of a fetched model: base, tiny.en, base-q8_0. For "
             "load tests toy:SEED, which makes words of a hash of the audio."},
    {.name = "draft-model", .type = OPTION_STRING, .offset = AT(draft_model),
     .value_name = "FILE|NAME", .group = "Model",
     .help = "A small model that drafts here for clients that do not draft themselves (co-located "
             "drafts), as long as that pays: at most four sessions at once. Text does not depend "
             "on it."},
    {.name = "listen", .short_name = 'l', .type = OPTION_ADDRESS, .offset = AT(listen), .min = 0,
     .max = 65535, .initial = "127.0.0.1:7600", .value_name = "HOST:PORT", .group = "Network",
     .help = "Where clients connect. Port 0 takes a free one. The port opens when the model is "
             "ready."},
    {.name = "threads", .short_name = 't', .type = OPTION_INT, .offset = AT(threads), .min = 0,
     .max = 64, .initial = "0", .group = "Speed",
     .help = "Threads of the model; 0: one per processor."},
    {.name = "kernels", .type = OPTION_STRING, .offset = AT(kernels), .value_name = "SET",
     .group = "Speed",
     .help = "Kernel set: reference, avx2, avx512, neon. Default: the fastest that runs here. The "
             "text does not depend on it."},
    {.name = "pace", .type = OPTION_PATH, .offset = AT(pace), .group = "Studies",
     .help = "Take the time that this table says (bench/curves); choices stay the model's."},
    {.name = "shape", .type = OPTION_PATH, .offset = AT(shape), .group = "Studies",
     .help = "Do the work of the model in this file beside the model's own, and count only its "
             "time; choices stay the model's."},
    {.name = "encoder-blas", .type = OPTION_BOOL, .offset = AT(encoder_blas), .group = "Speed",
     .help = "Encoder products through OpenBLAS instead of own kernels (slower; for comparison)."},
    {.name = "sessions", .type = OPTION_INT, .offset = AT(sessions), .min = 0, .max = 65536,
     .initial = "0", .group = "Network",
     .help = "Clients served at once; more are refused with a retry time. 0: as many as can be at "
             "work at once (--memory), at most 64."},
    {.name = "audit", .type = OPTION_STRING, .offset = AT(audit), .initial = "0%",
     .value_name = "SHARE", .group = "Output",
     .help = "Share of the utterances, such as 1%, that are decoded again without drafts when "
             "nobody wants the model (those of a minute at most); texts that differ are counted in "
             "/metrics and must never be."},
    {.name = "memory", .type = OPTION_SIZE, .offset = AT(memory), .min = 0,
     .max = 1099511627776.0, .initial = "0", .group = "Speed",
     .help = "Memory for model and sessions, such as 4G; 0: nine tenths of what the control group "
             "or the machine has. A session at work needs its keys and values (25 MB with base); "
             "when there are fewer than --sessions, windows wait for each other."},
    {.name = "client-sessions", .type = OPTION_INT, .offset = AT(client_sessions), .min = 0,
     .max = 65536, .initial = "0", .group = "Clients",
     .help = "Sessions at once of one API key, or of one address when it shows none; 0: as many as "
             "there are. Where not all can be served at once each of them has the same share, "
             "however many sessions it has."},
    {.name = "idle-timeout", .type = OPTION_DURATION, .offset = AT(idle_timeout), .min = 0,
     .max = 604800, .initial = "1h", .group = "Clients",
     .help = "A session without an utterance for so long ends; 0: never."},
    {.name = "session-timeout", .type = OPTION_DURATION, .offset = AT(session_timeout), .min = 0,
     .max = 604800, .initial = "0", .group = "Clients",
     .help = "A session that has lasted so long is told to go on elsewhere, and ends with its "
             "utterance or a minute later; 0: never."},
    {.name = "coordinator", .short_name = 'c', .type = OPTION_ADDRESSES, .offset = AT(coordinator),
     .min = 1, .max = 65535, .value_name = "HOST:PORT,...", .group = "Cluster",
     .help = "Register with each of them and report load and price. Without any that answers, the "
             "target serves whoever calls."},
    {.name = "advertise", .type = OPTION_ADDRESS, .offset = AT(advertise), .min = 1, .max = 65535,
     .value_name = "HOST:PORT", .group = "Cluster",
     .help = "Where clients reach this target, and its name in the cluster. Default: --listen."},
    {.name = "advertise-name", .type = OPTION_STRING, .offset = AT(advertise_name),
     .value_name = "NAME", .group = "Cluster",
     .help = "Name in this target's certificate when it is not its host name."},
    {.name = "coordinator-ca", .type = OPTION_PATH, .offset = AT(coordinator_ca),
     .group = "Cluster",
     .help = "PEM file with the authority that signed the coordinator's certificate: call it with "
             "TLS (and with --tls-certificate as the own one)."},
    {.name = "join-key-file", .type = OPTION_PATH, .offset = AT(join_key_file),
     .group = "Cluster",
     .help = "File with the key that a coordinator with --join-keys asks targets for; nobody else "
             "may read it. Read again with each connection."},
    {.name = "ticket-key", .type = OPTION_PATH, .offset = AT(ticket_key), .group = "Clients",
     .help = "File of public keys (`coordinator make-keys`): a session needs a ticket that is "
             "signed with one of them, as a coordinator with --ticket-key gives it. SIGHUP reads "
             "it again."},
    {.name = "api-keys", .type = OPTION_PATH, .offset = AT(api_keys), .group = "Clients",
     .help = "File of API keys (docs/RUNBOOK.md): quotas of the key that a ticket names, sessions "
             "at once and audio a day, at this target. SIGHUP reads it again."},
    {.name = "allow-anonymous", .type = OPTION_BOOL, .offset = AT(allow_anonymous),
     .group = "Clients",
     .help = "Listen beyond loopback without tickets and client certificates: everyone who "
             "reaches the port is served."},
    {.name = "tls-certificate", .type = OPTION_PATH, .offset = AT(tls_certificate), .group = "TLS",
     .help = "PEM file with the server's certificate chain: turns TLS on (with --tls-key). A "
             "renewed one is used as soon as it is there."},
    {.name = "tls-key", .type = OPTION_PATH, .offset = AT(tls_key), .group = "TLS",
     .help = "PEM file with the server's private key."},
    {.name = "tls-client-ca", .type = OPTION_PATH, .offset = AT(tls_client_ca), .group = "TLS",
     .help = "PEM file with the authority that signs clients: only those are served (mutual TLS)."},
    {.name = "metrics", .type = OPTION_STRING, .offset = AT(metrics), .value_name = "HOST:PORT",
     .group = "Output",
     .help = "Serve /metrics (Prometheus), /healthz and /readyz there over plain HTTP; off unless "
             "given. :9100 is loopback only, 0.0.0.0:9100 all addresses."},
    {.name = "json", .type = OPTION_BOOL, .offset = AT(json), .group = "Watch",
     .help = "`top`: once, as one JSON object."},
    {.name = "interval", .type = OPTION_DURATION, .offset = AT(interval), .min = 0.1, .max = 3600,
     .initial = "1s", .group = "Watch", .help = "`top`: from view to view."},
    {.name = "log-level", .type = OPTION_CHOICE, .offset = AT(log_level),
     .choices = log_level_names, .initial = "info", .reloads = true, .group = "Output",
     .help = "How much goes to stderr."},
    {.name = "log-format", .type = OPTION_CHOICE, .offset = AT(log_format),
     .choices = log_format_names, .initial = "text", .reloads = true, .group = "Output",
     .help = "text, or json: an object a line, with time, session and trace. Never what was said."},
};

static const struct option_program program = {
    .name = "target_node",
    .version = SPECASR_VERSION,
    .usage = "[options] [serve | top [HOST:PORT]]",
    .about = "Serves speech recognition: encodes audio, verifies the drafts of many clients in "
             "batches and decides the text. Clients connect with draft_node.\n\n"
             "Without a command it serves. `top` shows a running target in the terminal: sessions, "
             "load, rows, price, lag; HOST:PORT is that target's --metrics.",
    .examples = "target_node --model base --listen 127.0.0.1:7600\n"
                "target_node --model ./whisper-base-q8_0.gguf --listen 0.0.0.0:7600 \\\n"
                "    --tls-certificate server.pem --tls-key server.key --ticket-key public.keys\n"
                "target_node --listen 0.0.0.0:7600 --advertise asr1.example:7600 \\\n"
                "    --coordinator coordinator.example:7700 --allow-anonymous\n"
                "target_node top 127.0.0.1:9101",
    .options = table,
    .n_options = ARRAY_LEN(table),
    .positional_max = 2,
};

static const int signals_used[] = {SIGINT, SIGTERM, SIGUSR1, SIGHUP};

/* What the cluster is told; the address only once it is known. */
static struct wire_target_info describe(const struct values *values, const struct engine *engine,
                                        uint16_t port)
{
    struct wire_target_info info = {.sessions_max = MAX((uint32_t)values->sessions, 1u),
                                    .tls = values->tls_certificate != NULL};
    struct option_address address = values->listen;
    if (values->advertise.host[0])
        address = values->advertise;
    else
        address.port = port;
    if (address.port)
        option_address_format(&address, info.address, sizeof(info.address));
    if (values->advertise_name)
        snprintf(info.tls_name, sizeof(info.tls_name), "%s", values->advertise_name);
    if (!engine)
        return info;
    snprintf(info.model, sizeof(info.model), "%s", engine->description->name);
    info.fingerprint = engine->fingerprint;
    info.vocabulary_hash = tokenizer_hash(engine->tokenizer);
    return info;
}

static enum status join_cluster(const struct values *values, struct registration **out,
                                struct error *err)
{
    char key[API_KEY_TEXT_MAX];
    struct registration_options options = {.n_coordinators = values->coordinator.n,
                                           .info = describe(values, NULL, values->listen.port)};
    if (values->coordinator.n == 0)
        return STATUS_OK;
    options.join_key_file = values->join_key_file;
    if (values->join_key_file && api_key_read(values->join_key_file, key, err) != STATUS_OK)
        return error_prefix(err, "--join-key-file");
    explicit_bzero(key, sizeof(key));
    for (uint32_t i = 0; i < values->coordinator.n; i++)
        option_address_format(&values->coordinator.item[i], options.coordinators[i],
                              sizeof(options.coordinators[i]));
    if (values->coordinator_ca)
        options.tls = (struct rpc_tls){.ca = values->coordinator_ca,
                                       .certificate = values->tls_certificate,
                                       .key = values->tls_key};
    return registration_start(&options, out, err);
}

/* It is known where it listens: now it has a name in the cluster and in tickets. */
static void go_public(const struct values *values, struct node *node)
{
    struct wire_target_info info = describe(values, &node->engine, serve_port(node->serve));
    info.sessions_max = node->plan.sessions;
    gate_name(node->gate, info.address);
    if (node->registration)
        registration_serve(node->registration, &info, serve_load(node->serve));
    observe_serving(node->observe, node->serve, &info);
}

/* SIGHUP. What has a fault stays as it was. */
static void read_again(const struct values *values, struct node *node)
{
    struct error err;
    options_reload_logged(values->source);
    log_set_level((enum log_level)values->log_level);
    log_set_format((enum log_format)values->log_format);
    bool keys = values->ticket_key || values->api_keys;
    if (keys && gate_reload(node->gate, &err) == STATUS_OK)
        log_line(LOG_INFO, "keys were read again");
    else if (keys)
        log_line(LOG_ERROR, "%s; going on with the keys from before", err.text);
    (void)serve_reload_certificate(node->serve, &err);      /* the log says how it went */
}

/* Returns when the program shall end. */
static void wait_for_end(const struct values *values, const sigset_t *signals,
                         struct node *node)
{
    int number = 0;
    while (sigwait(signals, &number) != 0 || number == SIGUSR1 || number == SIGHUP) {
        if (number == SIGUSR1)
            serve_dump(node->serve);
        else
            read_again(values, node);
    }
    log_line(LOG_INFO, "%s: finishing open utterances; a second signal ends at once",
             strsignal(number));
    signals_unblock_ends();
}

static enum status open_model(const struct values *values, struct node *node, struct error *err)
{
    char path[MODEL_PATH_MAX];
    struct cpu_options cpu = {.n_threads = (uint32_t)values->threads, .kernels = values->kernels,
                              .encoder_blas = values->encoder_blas};
    enum status rc = STATUS_OK;
    if (toy_named(values->model)) {
        log_line(LOG_WARN, "for load tests only: %s recognises no speech", values->model);
        rc = toy_open(&node->engine, values->model, err);
    } else {
        rc = model_find(values->model, path, sizeof(path), err);
        if (rc == STATUS_OK)
            rc = engine_open(&node->engine, path, &cpu, err);
    }
    if (rc == STATUS_OK && (values->pace || values->shape)) {
        log_line(LOG_WARN, "for studies only: the times are those of %s",
                 values->shape ? values->shape : values->pace);
        rc = engine_slow(&node->engine, values->pace, values->shape, &cpu, err);
    }
    return rc;
}

/* Drafts are never trusted: weights are made as small as those of a draft_node. */
static enum status open_draft_model(const struct values *values, struct node *node,
                                    struct error *err)
{
    char path[MODEL_PATH_MAX];
    const struct cpu_options cpu = {.n_threads = (uint32_t)values->threads,
                                    .kernels = values->kernels, .weights = CPU_WEIGHTS_MIXED};
    if (!values->draft_model)
        return STATUS_OK;
    if (toy_named(values->draft_model))
        return toy_open(&node->draft, values->draft_model, err);
    enum status rc = model_find(values->draft_model, path, sizeof(path), err);
    return rc == STATUS_OK ? engine_open(&node->draft, path, &cpu, err) : rc;
}

/* The models are there, no session yet. */
static enum status fit_sessions(const struct values *values, struct node *node, struct error *err)
{
    enum { OTHER_BYTES = 32 << 20, UTTERANCE_BYTES = 4 << 20 };    /* scratch; audio and drafts */
    const struct backend_info *info = &node->engine.backend->info;
    const struct backend *draft = node->draft.backend;
    const uint64_t draft_bytes =
        draft ? draft->info.sequence_bytes + draft->info.window_bytes + UTTERANCE_BYTES : 0;
    const struct memory_ask ask = {
        .budget = values->memory ? values->memory : memory_limit() / 10 * 9,
        .fixed = memory_used() + BACKEND_WINDOWS * info->window_bytes + OTHER_BYTES +
                 TARGET_COLOCATED_MAX * draft_bytes,
        .slot = info->sequence_bytes + UTTERANCE_BYTES,
        .sessions = (uint32_t)values->sessions};
    enum status rc = memory_plan(&ask, &node->plan, err);
    if (rc != STATUS_OK)
        return rc;
    metrics_set(observe_metrics(node->observe), TARGET_METRIC_MEMORY_BUDGET, (int64_t)ask.budget);
    node->memory = ask;
    return STATUS_OK;
}

static void tell_what_serves(const struct node *node)
{
    const struct backend_info *info = &node->engine.backend->info;
    log_line(LOG_INFO, "%s, %s kernels, %u threads, %.0f MB of weights",
             node->engine.description->name, info->kernels, info->n_threads,
             (double)info->weight_bytes / 1e6);
    if (node->draft.backend)
        log_line(LOG_INFO, "drafts for clients that do not: %s, %.0f MB of weights",
                 node->draft.description->name,
                 (double)node->draft.backend->info.weight_bytes / 1e6);
    log_line(LOG_INFO, "%" PRIu32 " sessions, %" PRIu32 " of them at work at once: %.0f MB each, "
             "%.0f MB for the model, of %.0f MB", node->plan.sessions, node->plan.slots,
             (double)node->memory.slot / 1e6, (double)node->memory.fixed / 1e6,
             (double)node->memory.budget / 1e6);
}

/* "1%" or "0.01"; false: neither. */
static bool read_share(const char *text, float *share)
{
    char *end;
    double value = strtod(text, &end);
    bool percent = *end == '%';
    value = percent ? value / 100.0 : value;
    *share = (float)value;
    return end != text && end[percent] == '\0' && value >= 0.0 && value <= 1.0;
}

/* Each client has a connection, and with it a file. */
static void check_file_limit(int64_t sessions)
{
    enum { OWN_FILES = 128 };
    uint64_t limit = file_limit_raise();
    if (limit < (uint64_t)sessions + OWN_FILES)
        log_line(LOG_WARN, "this process may open %" PRIu64 " files, too few for %" PRId64
                 " sessions: raise `ulimit -n` (LimitNOFILE= of its unit)", limit, sessions);
}

static enum status start_serving(const struct values *values, struct node *node, struct error *err)
{
    char listen[OPTION_HOST_MAX + 16];
    struct serve_options options = {
        .listen = listen,
        .tls = {.ca = values->tls_client_ca, .certificate = values->tls_certificate,
                .key = values->tls_key},
        .target = target_options_default(),
        .gate = node->gate,
        .metrics = observe_metrics(node->observe),
        .registration = node->registration,
    };
    enum status rc = fit_sessions(values, node, err);
    if (rc != STATUS_OK)
        return rc;
    options.target.sessions_max = node->plan.sessions;
    options.target.slots_max = node->plan.slots;
    options.target.draft_engine = node->draft.backend ? &node->draft : NULL;
    (void)read_share(values->audit, &options.target.audit_share);
    options.client_sessions_max = (uint32_t)values->client_sessions;
    options.idle_max_us = (uint64_t)(values->idle_timeout * 1e6);
    options.session_max_us = (uint64_t)(values->session_timeout * 1e6);
    check_file_limit(node->plan.sessions);
    option_address_format(&values->listen, listen, sizeof(listen));
    rc = serve_start(&node->engine, &options, &node->serve, err);
    if (rc != STATUS_OK)
        return rc;
    tell_what_serves(node);
    go_public(values, node);
    log_line(LOG_INFO, "listening on %s:%u", values->listen.host, serve_port(node->serve));
    return STATUS_OK;
}

static enum status open_gate(const struct values *values, struct node *node, struct error *err)
{
    struct gate_options options = {.ticket_keys = values->ticket_key, .api_keys = values->api_keys,
                                   .metrics = observe_metrics(node->observe)};
    enum status rc = gate_new(&options, &node->gate, err);
    if (rc == STATUS_OK)
        observe_gate(node->observe, node->gate);
    return rc;
}

static enum status run(const struct values *values, const sigset_t *signals, struct error *err)
{
    struct node node = {0};
    enum status rc = join_cluster(values, &node.registration, err);
    if (rc == STATUS_OK)
        rc = observe_start(values->metrics, node.registration, &node.observe, err);
    if (rc == STATUS_OK)
        rc = open_gate(values, &node, err);
    if (rc == STATUS_OK)
        rc = open_model(values, &node, err);
    if (rc == STATUS_OK)
        rc = open_draft_model(values, &node, err);
    if (rc == STATUS_OK)
        rc = start_serving(values, &node, err);
    if (rc == STATUS_OK)
        wait_for_end(values, signals, &node);
    observe_draining(node.observe);
    registration_leave(node.registration);
    serve_stop(&node.serve, GRACE_MS);
    observe_stop(&node.observe);
    registration_stop(&node.registration);
    gate_free(&node.gate);
    engine_close(&node.draft);
    engine_close(&node.engine);
    return rc;
}

/* NULL: nothing is wrong with the options together. */
static const char *problem_in(const struct values *values)
{
    if (!values->tls_certificate != !values->tls_key)
        return "--tls-certificate and --tls-key go together";
    float share;
    if (!read_share(values->audit, &share))
        return "--audit is a share of the utterances, such as 1% or 0.01";
    if (values->api_keys && !values->ticket_key)
        return "--api-keys needs --ticket-key: the name of the key is in the ticket";
    for (uint32_t i = 0; i < values->coordinator.n; i++)
        if (values->join_key_file && !values->coordinator_ca &&
            !option_host_is_loopback(values->coordinator.item[i].host))
            return "--join-key-file would send the key in plain text: give --coordinator-ca too";
    if (option_host_is_loopback(values->listen.host) || values->ticket_key ||
        values->tls_client_ca || values->allow_anonymous)
        return NULL;
    return "--listen is not loopback, and everyone who reaches it could use this target: ask for "
           "tickets (--ticket-key) or client certificates (--tls-client-ca), or allow it with "
           "--allow-anonymous";
}

/* `top`: another target. Its signals end it at once. */
static int watch(const struct values *values, const char *address)
{
    struct top_options options = {.address = address ? address : values->metrics,
                                  .json = values->json, .interval_s = values->interval,
                                  .out = stdout};
    struct error err;
    if (!options.address)
        return options_usage_error(&program, "top takes the HOST:PORT of a target's --metrics");
    signals_unblock_ends();
    enum status rc = top_run(&options, &err);
    if (rc == STATUS_OK)
        return EXIT_CODE_OK;
    log_line(LOG_ERROR, "%s", err.text);
    bool unreachable = rc == STATUS_UNAVAILABLE || rc == STATUS_TIMEOUT;
    return unreachable ? EXIT_CODE_UNREACHABLE : EXIT_CODE_FAILED;
}

BEFORE_MAIN(standard_streams_fill);

int main(int argc, char **argv)
{
    struct values values = {0};
    struct options *options = NULL;
    struct error err;
    int exit_code = EXIT_CODE_OK;
    sigset_t signals = signals_block(signals_used, ARRAY_LEN(signals_used));
    if (!options_start(&program, argc, argv, &values, &options, &exit_code))
        return exit_code;
    log_init("target_node", (enum log_level)values.log_level);
    log_set_format((enum log_format)values.log_format);
    values.source = options;
    uint32_t n_words;
    const char *const *words = options_positional(options, &n_words);
    bool top = n_words > 0 && strcmp(words[0], "top") == 0;
    const char *problem = top ? NULL : problem_in(&values);
    if (n_words > 0 && !top && (strcmp(words[0], "serve") != 0 || n_words > 1))
        exit_code = options_usage_error(&program, "\"%s\" is no command: serve, or top HOST:PORT",
                                        words[n_words - 1]);
    else if (top)
        exit_code = watch(&values, words[1]);
    else if (problem)
        exit_code = options_usage_error(&program, "%s", problem);
    else if (run(&values, &signals, &err) != STATUS_OK) {
        log_line(LOG_ERROR, "%s", err.text);
        exit_code = EXIT_CODE_FAILED;
    }
    options_free(&options);
    return exit_code;
}
