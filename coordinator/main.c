/* coordinator: knows the targets of a cluster, places sessions on them, publishes the price.
 *
 * Threads:
 *   main          options, start and stop; once a heartbeat period: who is gone, the shadow price
 *   rpc           gRPC's completion queue: answers every call at once, from memory, under one lock
 *   store         with --etcd: who leads, which others there are; waits for etcd, nobody for it
 *   bus           with --bus: hears loads, publishes the policy (and ZeroMQ's own two)
 *
 * Nothing that runs depends on it: sessions go from client to target, and targets go on by their
 * own price. It can be killed at any time; one that begins anew has its picture back within one
 * heartbeat period.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "ask.h"
#include "auth/api_keys.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/standard_streams.h"
#include "config/exit_codes.h"
#include "config/options.h"
#include "config/version.h"
#include "http/probes.h"
#include "serve.h"

struct values {
    struct option_address listen, coordinator, bus, advertise;
    struct option_addresses etcd;
    const char *etcd_ca, *etcd_certificate, *etcd_key, *etcd_user, *etcd_password_file;
    const char *etcd_prefix;
    double etcd_lease;
    double heartbeat, latency_goal;
    int modes;
    const char *canary;
    double canary_share;
    bool json;
    const char *metrics;
    const char *ticket_key, *api_keys, *join_keys, *join_key_file;
    bool allow_anonymous;
    const char *tls_certificate, *tls_key, *tls_client_ca, *tls_ca, *tls_server_name;
    int log_level, log_format;
    struct options *source;                 /* of all the above, for SIGHUP */
};

/* What targets and clients may do. Decoding without drafts is always one of it. */
static const char *const mode_names[] = {"all", "split", "colocated", "target-alone", NULL};
static const uint32_t mode_sets[] = {WIRE_MODES_ALL, WIRE_MODE_SPLIT | WIRE_MODE_TARGET_ALONE,
                                     WIRE_MODE_COLOCATED | WIRE_MODE_TARGET_ALONE,
                                     WIRE_MODE_TARGET_ALONE};

#define AT(member) offsetof(struct values, member)

static const struct option table[] = {
    {.name = "listen", .short_name = 'l', .type = OPTION_ADDRESS, .offset = AT(listen), .min = 0,
     .max = 65535, .initial = "127.0.0.1:7700", .value_name = "HOST:PORT", .group = "Serve",
     .help = "Where targets and clients call. Port 0 takes a free one."},
    {.name = "bus", .type = OPTION_ADDRESS, .offset = AT(bus), .min = 0, .max = 65534,
     .value_name = "HOST:PORT", .group = "Serve",
     .help = "Listen there (and on the next port; 0: free ones) for the targets' load four times "
             "a second, and publish the policy as often: ZeroMQ with CURVE, keys by themselves. "
             "Off unless given; heartbeats go on, and do without it."},
    {.name = "heartbeat", .type = OPTION_DURATION, .offset = AT(heartbeat), .min = 0.05, .max = 60,
     .initial = "500ms", .group = "Serve",
     .help = "How often a target reports. One that missed three is gone."},
    {.name = "latency-goal", .type = OPTION_DURATION, .offset = AT(latency_goal), .min = 0,
     .max = 60, .initial = "0", .reloads = true, .group = "Serve",
     .help = "How long a window may take at a target; while it takes longer, drafts are made "
             "dearer (the shadow price). 0: no goal."},
    {.name = "modes", .type = OPTION_CHOICE, .offset = AT(modes), .choices = mode_names,
     .initial = "all", .reloads = true, .group = "Serve",
     .help = "Who may draft. split: clients; colocated: targets with --draft-model, for clients "
             "that do not; target-alone: nobody. Text does not depend on it."},
    {.name = "canary", .type = OPTION_STRING, .offset = AT(canary), .value_name = "VERSION",
     .group = "Serve",
     .help = "A version (as `coordinator status` shows it) that gets only a share of the new "
             "sessions. Others go to the other versions."},
    {.name = "canary-share", .type = OPTION_FLOAT, .offset = AT(canary_share), .min = 0, .max = 1,
     .initial = "0.05", .reloads = true, .group = "Serve", .help = "That share."},
    {.name = "etcd", .type = OPTION_ADDRESSES, .offset = AT(etcd), .min = 1, .max = 65535,
     .value_name = "HOST:PORT,...", .group = "Several",
     .help = "etcd (v3) servers, for several coordinators: one of them leads and publishes the "
             "policy, each places clients. Without it there is one coordinator, in memory."},
    {.name = "advertise", .type = OPTION_ADDRESS, .offset = AT(advertise), .min = 1, .max = 65535,
     .value_name = "HOST:PORT", .group = "Several",
     .help = "Where targets and the other coordinators reach this one. Default: --listen."},
    {.name = "etcd-prefix", .type = OPTION_STRING, .offset = AT(etcd_prefix),
     .initial = "specasr/", .group = "Several",
     .help = "What the keys of this cluster begin with."},
    {.name = "etcd-lease", .type = OPTION_DURATION, .offset = AT(etcd_lease), .min = 1, .max = 60,
     .initial = "3s", .group = "Several",
     .help = "How long a coordinator that died counts as there, and leads."},
    {.name = "etcd-ca", .type = OPTION_PATH, .offset = AT(etcd_ca), .group = "Several",
     .help = "PEM file with the authority that signed etcd's certificates (turns TLS on)."},
    {.name = "etcd-certificate", .type = OPTION_PATH, .offset = AT(etcd_certificate),
     .group = "Several", .help = "PEM file with the certificate that is shown to etcd."},
    {.name = "etcd-key", .type = OPTION_PATH, .offset = AT(etcd_key), .group = "Several",
     .help = "PEM file with its private key."},
    {.name = "etcd-user", .type = OPTION_STRING, .offset = AT(etcd_user), .group = "Several",
     .help = "User of etcd, with --etcd-password-file."},
    {.name = "etcd-password-file", .type = OPTION_PATH, .offset = AT(etcd_password_file),
     .group = "Several",
     .help = "File with the password of --etcd-user; nobody else may read it."},
    {.name = "ticket-key", .type = OPTION_PATH, .offset = AT(ticket_key), .group = "Clients",
     .help = "File with the secret key (`coordinator make-keys`): who is placed gets a ticket for "
             "its targets, valid for an hour. SIGHUP reads it again."},
    {.name = "api-keys", .type = OPTION_PATH, .offset = AT(api_keys), .group = "Clients",
     .help = "File of API keys (docs/RUNBOOK.md): only clients with one of them are placed "
             "(draft_node --api-key-file). They guard placement alone: --join-keys or "
             "--tls-client-ca guard the rest. SIGHUP reads it again."},
    {.name = "join-keys", .type = OPTION_PATH, .offset = AT(join_keys), .group = "Clients",
     .help = "File of keys, of the same form: only targets (target_node --join-key-file) and "
             "operators (--join-key-file) with one of them may register, report, drain and list. "
             "SIGHUP reads it again."},
    {.name = "allow-anonymous", .type = OPTION_BOOL, .offset = AT(allow_anonymous),
     .group = "Clients",
     .help = "Listen beyond loopback without client certificates or both kinds of keys: everyone "
             "who reaches the port may do what no key is asked for: be placed (--api-keys), "
             "register targets, drain and list them (--join-keys)."},
    {.name = "coordinator", .short_name = 'c', .type = OPTION_ADDRESS, .offset = AT(coordinator),
     .min = 1, .max = 65535, .initial = "127.0.0.1:7700", .value_name = "HOST:PORT",
     .group = "Ask", .help = "Whom `status`, `drain` and `undrain` ask."},
    {.name = "join-key-file", .type = OPTION_PATH, .offset = AT(join_key_file), .group = "Ask",
     .help = "File with a key that the coordinator's --join-keys lists; nobody else may read it."},
    {.name = "json", .type = OPTION_BOOL, .offset = AT(json), .group = "Ask",
     .help = "`status` as one JSON object."},
    {.name = "tls-certificate", .type = OPTION_PATH, .offset = AT(tls_certificate), .group = "TLS",
     .help = "PEM file with the own certificate chain: serving, turns TLS on (with --tls-key). A "
             "renewed one is used as soon as it is there."},
    {.name = "tls-key", .type = OPTION_PATH, .offset = AT(tls_key), .group = "TLS",
     .help = "PEM file with its private key."},
    {.name = "tls-client-ca", .type = OPTION_PATH, .offset = AT(tls_client_ca), .group = "TLS",
     .help = "PEM file with the authority that signs clients and targets: only those are "
             "answered (mutual TLS)."},
    {.name = "tls-ca", .type = OPTION_PATH, .offset = AT(tls_ca), .group = "TLS",
     .help = "Asking: PEM file with the authority that signed the coordinator's certificate "
             "(turns TLS on)."},
    {.name = "tls-server-name", .type = OPTION_STRING, .offset = AT(tls_server_name),
     .group = "TLS", .help = "Asking: name in that certificate when it is not the host name."},
    {.name = "metrics", .type = OPTION_STRING, .offset = AT(metrics), .value_name = "HOST:PORT",
     .group = "Output",
     .help = "Serve /metrics (Prometheus), /healthz and /readyz there over plain HTTP; off unless "
             "given. :9100 is loopback only, 0.0.0.0:9100 all addresses."},
    {.name = "log-level", .type = OPTION_CHOICE, .offset = AT(log_level),
     .choices = log_level_names, .initial = "info", .reloads = true, .group = "Output",
     .help = "How much goes to stderr."},
    {.name = "log-format", .type = OPTION_CHOICE, .offset = AT(log_format),
     .choices = log_format_names, .initial = "text", .reloads = true, .group = "Output",
     .help = "text, or json: an object a line, with time, session and trace. Never what was said."},
};

static const struct option_program program = {
    .name = "coordinator",
    .version = SPECASR_VERSION,
    .usage = "[options] [serve | status | drain TARGET | undrain TARGET | make-keys FOLDER]",
    .about = "Knows the targets of a cluster and tells clients which to use. Targets register "
             "(target_node --coordinator) and report load and price; clients ask for a place "
             "(draft_node --coordinator) and get two or three targets, best first.\n\n"
             "Without a command it serves. `status` prints the targets, `drain` takes one out "
             "of use before an upgrade (its open sessions go on), `undrain` puts it back. "
             "`make-keys` writes a pair of keys for tickets into a folder: ticket-signer.keys "
             "for coordinators, ticket-public.keys for targets.\n\n"
             "When a coordinator dies nothing changes for running sessions: targets go on by "
             "themselves, clients use the targets that they know.",
    .examples = "coordinator --listen 127.0.0.1:7700 &\n"
                "target_node --listen 127.0.0.1:7601 --coordinator 127.0.0.1:7700 &\n"
                "target_node --listen 127.0.0.1:7602 --coordinator 127.0.0.1:7700 &\n"
                "draft_node --coordinator 127.0.0.1:7700 talk.flac\n"
                "coordinator status --coordinator 127.0.0.1:7700\n"
                "coordinator drain 127.0.0.1:7601\n"
                "coordinator make-keys keys\n"
                "coordinator --listen 10.0.0.1:7700 --etcd 10.0.0.1:2379,10.0.0.2:2379 \\\n"
                "    --tls-certificate server.pem --tls-key server.key --tls-client-ca ca.pem \\\n"
                "    --ticket-key keys/ticket-signer.keys  # one of several\n"
                "coordinator --listen 0.0.0.0:7700 --ticket-key keys/ticket-signer.keys \\\n"
                "    --api-keys api.keys --tls-certificate server.pem --tls-key server.key \\\n"
                "    --tls-client-ca ca.pem",
    .options = table,
    .n_options = ARRAY_LEN(table),
    .positional_max = 2,
};

static const int signals_used[] = {SIGINT, SIGTERM, SIGHUP};

static void refresh(void *context)
{
    coordinator_refresh(context);
}

/* It answers from memory as soon as it listens: what answers at all is ready. */
static bool ready(void *context, char reason[PROBES_REASON_MAX])
{
    (void)context;
    (void)reason;
    return true;
}

static void collect(void *context, FILE *out)
{
    (void)context;
    metrics_build_info(out, "coordinator", SPECASR_VERSION);
}

static enum status count_start(struct metrics **metrics, struct error *err)
{
    enum status rc = metrics_new(metrics_coordinator, COORDINATOR_METRICS_N, metrics, err);
    if (rc == STATUS_OK)
        rc = metrics_collect(*metrics, collect, NULL, err);
    if (rc == STATUS_OK)
        rc = metrics_collect(*metrics, metrics_process, NULL, err);
    return rc;
}

static enum status show_start(const char *listen, const struct metrics *metrics,
                              struct coordinator *coordinator, struct probes **probes,
                              struct error *err)
{
    struct probes_options options = {.listen = listen, .metrics = metrics, .refresh = refresh,
                                     .ready = ready, .context = coordinator};
    if (!listen)
        return STATUS_OK;
    enum status rc = probes_start(&options, probes, err);
    if (rc == STATUS_OK)
        log_line(LOG_INFO, "metrics on port %u (--metrics %s)", probes_port(*probes), listen);
    return rc;
}

static void collect_certificate(void *context, FILE *out)
{
    metrics_certificate(out, coordinator_certificate_expiry(context));
}

static struct coordinator_tuning tuning_from(const struct values *values)
{
    return (struct coordinator_tuning){
        .latency_goal_ms = (uint32_t)(values->latency_goal * 1000.0 + 0.5),
        .modes = mode_sets[values->modes], .canary_share = (float)values->canary_share};
}

/* SIGHUP. What has a fault stays as it was. */
static void read_again(struct coordinator *coordinator, struct issuer *issuer,
                       const struct values *values)
{
    struct error err;
    options_reload_logged(values->source);
    log_set_level((enum log_level)values->log_level);
    log_set_format((enum log_format)values->log_format);
    const struct coordinator_tuning tuning = tuning_from(values);
    coordinator_tune(coordinator, &tuning);
    bool keys = values->ticket_key || values->api_keys || values->join_keys;
    if (keys && issuer_reload(issuer, &err) == STATUS_OK)
        log_line(LOG_INFO, "keys were read again");
    else if (keys)
        log_line(LOG_ERROR, "%s; going on with the keys from before", err.text);
    (void)coordinator_reload_certificate(coordinator, &err);    /* the log says how it went */
}

static uint32_t period_of(const struct values *values)
{
    return (uint32_t)(values->heartbeat * 1000.0 + 0.5);
}

/* Ticks until the program shall end; returns the signal that said so. */
static int tick_until_told(struct coordinator *coordinator, struct issuer *issuer,
                           const struct values *values, const sigset_t *signals)
{
    uint32_t period_ms = period_of(values);
    const struct timespec period = {.tv_sec = period_ms / 1000,
                                    .tv_nsec = (long)(period_ms % 1000) * 1000000};
    for (;;) {
        int number = sigtimedwait(signals, NULL, &period);
        if (number == SIGHUP)
            read_again(coordinator, issuer, values);
        else if (number < 0)
            coordinator_tick(coordinator);
        else
            return number;
    }
}

static enum status describe_store(const struct values *values, struct store_options *out,
                                  struct error *err)
{
    char password[API_KEY_TEXT_MAX] = "";
    out->etcd.n_endpoints = MIN(values->etcd.n, (uint32_t)ETCD_ENDPOINTS_MAX);
    for (uint32_t i = 0; i < out->etcd.n_endpoints; i++)
        option_address_format(&values->etcd.item[i], out->etcd.endpoints[i],
                              sizeof(out->etcd.endpoints[i]));
    if (values->advertise.host[0])
        option_address_format(&values->advertise, out->self, sizeof(out->self));
    snprintf(out->prefix, sizeof(out->prefix), "%s", values->etcd_prefix);
    out->lease_s = (uint32_t)(values->etcd_lease + 0.5);
    if (values->etcd_ca)
        out->etcd.tls = (struct rpc_tls){.ca = values->etcd_ca,
                                         .certificate = values->etcd_certificate,
                                         .key = values->etcd_key};
    if (!values->etcd_user)
        return STATUS_OK;
    enum status rc = api_key_read(values->etcd_password_file, password, err);
    snprintf(out->etcd.user, sizeof(out->etcd.user), "%s", values->etcd_user);
    snprintf(out->etcd.password, sizeof(out->etcd.password), "%s", password);
    explicit_bzero(password, sizeof(password));
    return rc == STATUS_OK ? rc : error_prefix(err, "--etcd-password-file");
}

static enum status serve(const struct values *values, uint64_t canary, const sigset_t *signals,
                         struct error *err)
{
    struct coordinator *coordinator = NULL;
    struct probes *probes = NULL;
    char listen[OPTION_HOST_MAX + 16];
    struct coordinator_options options = {
        .listen = listen,
        .bus_host = values->bus.host[0] ? values->bus.host : NULL,
        .bus_port = values->bus.port,
        .tls = {.ca = values->tls_client_ca, .certificate = values->tls_certificate,
                .key = values->tls_key},
        .registry = {.heartbeat_ms = period_of(values), .canary_fingerprint = canary,
                     .canary_share = (float)values->canary_share},
        .latency_goal_ms = (uint32_t)(values->latency_goal * 1000.0 + 0.5),
        .modes = mode_sets[values->modes],
    };
    const struct issuer_options keys = {.ticket_key = values->ticket_key,
                                        .api_keys = values->api_keys,
                                        .join_keys = values->join_keys};
    if (getrandom(&options.registry.seed, sizeof(options.registry.seed), 0) < 0)
        options.registry.seed = (uint64_t)getpid();
    option_address_format(&values->listen, listen, sizeof(listen));
    enum status rc = count_start(&options.metrics, err);
    if (rc == STATUS_OK)
        rc = describe_store(values, &options.store, err);
    if (rc == STATUS_OK)
        rc = issuer_new(&keys, &options.issuer, err);
    if (rc == STATUS_OK)
        rc = coordinator_start(&options, &coordinator, err);
    if (rc == STATUS_OK)
        rc = metrics_collect(options.metrics, collect_certificate, coordinator, err);
    if (rc == STATUS_OK)
        rc = show_start(values->metrics, options.metrics, coordinator, &probes, err);
    if (rc == STATUS_OK) {
        log_line(LOG_INFO, "listening on %s:%u", values->listen.host,
                 coordinator_port(coordinator));
        if (values->bus.host[0])
            log_line(LOG_INFO, "bus on ports %u (loads) and %u (policy)",
                     coordinator_bus(coordinator).load_port,
                     coordinator_bus(coordinator).policy_port);
        int number = tick_until_told(coordinator, options.issuer, values, signals);
        log_line(LOG_INFO, "%s: targets and clients go on without it", strsignal(number));
        signals_unblock_ends();
    }
    probes_stop(&probes);
    coordinator_stop(&coordinator);
    issuer_free(&options.issuer);
    metrics_free(&options.metrics);
    return rc;
}

static enum status ask(const struct values *values, const char *const *words, struct error *err)
{
    char address[OPTION_HOST_MAX + 16], key[API_KEY_TEXT_MAX] = "";
    struct ask_options options = {.address = address};
    if (strcmp(words[0], "make-keys") == 0)
        return issue_make_keys(words[1], err);
    option_address_format(&values->coordinator, address, sizeof(address));
    if (values->tls_ca)
        options.tls = (struct rpc_tls){.ca = values->tls_ca, .certificate = values->tls_certificate,
                                       .key = values->tls_key,
                                       .server_name = values->tls_server_name};
    if (values->join_key_file) {
        enum status rc = api_key_read(values->join_key_file, key, err);
        if (rc != STATUS_OK)
            return error_prefix(err, "--join-key-file");
        options.join_key = key;
    }
    enum status rc = strcmp(words[0], "status") == 0
                         ? ask_status(&options, values->json, stdout, err)
                         : ask_drain(&options, words[1], strcmp(words[0], "undrain") == 0, err);
    explicit_bzero(key, sizeof(key));
    return rc;
}

/* EXIT_CODE_OK: go on. */
static int check_words(const char *const *words, uint32_t n)
{
    if (n == 0 || (n == 1 && (strcmp(words[0], "serve") == 0 || strcmp(words[0], "status") == 0)))
        return EXIT_CODE_OK;
    bool drains = strcmp(words[0], "drain") == 0 || strcmp(words[0], "undrain") == 0;
    if (drains && n == 2)
        return EXIT_CODE_OK;
    if (strcmp(words[0], "make-keys") == 0)
        return n == 2 ? EXIT_CODE_OK
                      : options_usage_error(&program, "make-keys takes one folder");
    if (drains)
        return options_usage_error(&program, "%s takes one target, as `coordinator status` names "
                                   "it", words[0]);
    return options_usage_error(&program, "\"%s\" is no command: serve, status, drain TARGET, "
                               "undrain TARGET or make-keys FOLDER", words[0]);
}

static int exit_code_of(enum status rc)
{
    if (rc == STATUS_OK)
        return EXIT_CODE_OK;
    bool unreachable = rc == STATUS_UNAVAILABLE || rc == STATUS_TIMEOUT || rc == STATUS_CLOSED;
    return unreachable ? EXIT_CODE_UNREACHABLE : EXIT_CODE_FAILED;
}

/* Of those for several coordinators; NULL: nothing. */
static const char *problem_in_store(const struct values *values)
{
    size_t n = strlen(values->etcd_prefix);
    bool anywhere = strcmp(values->listen.host, "0.0.0.0") == 0 ||
                    strcmp(values->listen.host, "::") == 0;
    if (!values->etcd_user != !values->etcd_password_file)
        return "--etcd-user and --etcd-password-file go together";
    if (!values->etcd_certificate != !values->etcd_key ||
        (values->etcd_certificate && !values->etcd_ca))
        return "--etcd-certificate and --etcd-key go together, with --etcd-ca";
    for (uint32_t i = 0; i < values->etcd.n; i++)
        if (values->etcd_user && !values->etcd_ca &&
            !option_host_is_loopback(values->etcd.item[i].host))
            return "--etcd-user would send the password in plain text: give --etcd-ca too";
    if (values->etcd_user && strlen(values->etcd_user) >= ETCD_USER_MAX)
        return "--etcd-user is too long";
    if (n == 0 || n >= sizeof(((struct store_options *)NULL)->prefix))
        return "--etcd-prefix takes 1 to 99 characters";
    if (values->etcd.n && anywhere && !values->advertise.host[0])
        return "--listen is no address that others could call: give --advertise too";
    return NULL;
}

/* Who may come in where everybody can knock. */
static const char *problem_beyond_loopback(const struct values *values)
{
    if (values->join_keys && !values->tls_certificate)
        return "--join-keys: keys would come in plain text: give --tls-certificate and --tls-key";
    if (values->tls_client_ca || values->allow_anonymous ||
        (values->api_keys && values->join_keys))
        return NULL;
    if (values->api_keys)
        return "--listen is not loopback, and API keys guard placement alone: everyone who reaches "
               "it could register targets, drain and list them: ask for certificates "
               "(--tls-client-ca) or keys (--join-keys), or allow it with --allow-anonymous";
    if (values->join_keys)
        return "--listen is not loopback, and everyone who reaches it would be placed: ask for "
               "certificates (--tls-client-ca) or API keys (--api-keys), or allow it with "
               "--allow-anonymous";
    return "--listen is not loopback, and everyone who reaches it would be placed and could "
           "register targets: ask for certificates (--tls-client-ca) or keys (--api-keys and "
           "--join-keys), or allow it with --allow-anonymous";
}

/* NULL: nothing is wrong with the options together. */
static const char *problem_in(const struct values *values, bool serves)
{
    if (!values->tls_certificate != !values->tls_key)
        return "--tls-certificate and --tls-key go together";
    if (serves && problem_in_store(values))
        return problem_in_store(values);
    if (serves && values->bus.host[0] && !option_host_is_loopback(values->bus.host) &&
        !values->tls_certificate)
        return "--bus is not loopback: its keys are told to targets when they register, which "
               "needs TLS (--tls-certificate and --tls-key)";
    if (!serves)
        return values->join_key_file && !values->tls_ca &&
                       !option_host_is_loopback(values->coordinator.host)
                   ? "--join-key-file would send the key in plain text: give --tls-ca too"
                   : NULL;
    return option_host_is_loopback(values->listen.host) ? NULL : problem_beyond_loopback(values);
}

BEFORE_MAIN(standard_streams_fill);

int main(int argc, char **argv)
{
    struct values values = {0};
    struct options *options = NULL;
    struct error err;
    int exit_code = EXIT_CODE_OK;
    uint32_t n_words;
    uint64_t canary = 0;
    char *end = NULL;
    sigset_t signals = signals_block(signals_used, ARRAY_LEN(signals_used));
    if (!options_start(&program, argc, argv, &values, &options, &exit_code))
        return exit_code;
    log_init("coordinator", (enum log_level)values.log_level);
    log_set_format((enum log_format)values.log_format);
    values.source = options;
    const char *const *words = options_positional(options, &n_words);
    bool serves = n_words == 0 || strcmp(words[0], "serve") == 0;
    if (values.canary)
        canary = strtoull(values.canary, &end, 16);
    exit_code = check_words(words, n_words);
    const char *problem = problem_in(&values, serves);
    if (exit_code == EXIT_CODE_OK && problem)
        exit_code = options_usage_error(&program, "%s", problem);
    else if (exit_code == EXIT_CODE_OK && values.canary && (*end || canary == 0))
        exit_code = options_usage_error(&program, "--canary takes a version of 16 hexadecimal "
                                        "digits, as `coordinator status` shows it");
    if (exit_code == EXIT_CODE_OK) {
        if (!serves)                        /* short-lived: Ctrl-C ends it at once */
            signals_unblock_ends();
        enum status rc = serves ? serve(&values, canary, &signals, &err)
                                : ask(&values, words, &err);
        if (rc != STATUS_OK)
            log_line(LOG_ERROR, "%s", err.text);
        exit_code = serves && rc != STATUS_OK ? EXIT_CODE_FAILED : exit_code_of(rc);
    }
    options_free(&options);
    return exit_code;
}
