/* coordinator: knows the targets of a cluster, places sessions on them, publishes the price.
 *
 * Threads:
 *   main          options, start and stop; once a heartbeat period: who is gone, the shadow price
 *   rpc           gRPC's completion queue: answers every call at once, from memory, under one lock
 *
 * Nothing that runs depends on it: sessions go from client to target, and targets go on by their
 * own price. It can be killed at any time; one that begins anew has its picture back within one
 * heartbeat period.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "ask.h"
#include "base/log.h"
#include "base/standard_streams.h"
#include "config/exit_codes.h"
#include "config/options.h"
#include "config/version.h"
#include "serve.h"

struct values {
    struct option_address listen, coordinator;
    double heartbeat, latency_goal;
    const char *canary;
    double canary_share;
    bool json;
    const char *tls_certificate, *tls_key, *tls_client_ca, *tls_ca, *tls_server_name;
    int log_level;
};

static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL};

#define AT(member) offsetof(struct values, member)

static const struct option table[] = {
    {.name = "listen", .short_name = 'l', .type = OPTION_ADDRESS, .offset = AT(listen), .min = 0,
     .max = 65535, .initial = "127.0.0.1:7700", .value_name = "HOST:PORT", .group = "Serve",
     .help = "Where targets and clients call. Port 0 takes a free one."},
    {.name = "heartbeat", .type = OPTION_DURATION, .offset = AT(heartbeat), .min = 0.05, .max = 60,
     .initial = "500ms", .group = "Serve",
     .help = "How often a target reports. One that missed three is gone."},
    {.name = "latency-goal", .type = OPTION_DURATION, .offset = AT(latency_goal), .min = 0,
     .max = 60, .initial = "0", .group = "Serve",
     .help = "How long a window may take at a target; while it takes longer, drafts are made "
             "dearer (the shadow price). 0: no goal."},
    {.name = "canary", .type = OPTION_STRING, .offset = AT(canary), .value_name = "VERSION",
     .group = "Serve",
     .help = "A version (as `coordinator status` shows it) that gets only a share of the new "
             "sessions. Others go to the other versions."},
    {.name = "canary-share", .type = OPTION_FLOAT, .offset = AT(canary_share), .min = 0, .max = 1,
     .initial = "0.05", .group = "Serve", .help = "That share."},
    {.name = "coordinator", .short_name = 'c', .type = OPTION_ADDRESS, .offset = AT(coordinator),
     .min = 1, .max = 65535, .initial = "127.0.0.1:7700", .value_name = "HOST:PORT",
     .group = "Ask", .help = "Whom `status`, `drain` and `undrain` ask."},
    {.name = "json", .type = OPTION_BOOL, .offset = AT(json), .group = "Ask",
     .help = "`status` as one JSON object."},
    {.name = "tls-certificate", .type = OPTION_PATH, .offset = AT(tls_certificate), .group = "TLS",
     .help = "PEM file with the own certificate chain: serving, turns TLS on (with --tls-key)."},
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
    {.name = "log-level", .type = OPTION_CHOICE, .offset = AT(log_level), .choices = log_levels,
     .initial = "info", .group = "Output", .help = "How much goes to stderr."},
};

static const struct option_program program = {
    .name = "coordinator",
    .version = SPECASR_VERSION,
    .usage = "[options] [serve | status | drain TARGET | undrain TARGET]",
    .about = "Knows the targets of a cluster and tells clients which to use. Targets register "
             "(target_node --coordinator) and report load and price; clients ask for a place "
             "(draft_node --coordinator) and get two or three targets, best first.\n\n"
             "Without a command it serves. `status` prints the targets, `drain` takes one out "
             "of use before an upgrade (its open sessions go on), `undrain` puts it back.\n\n"
             "When a coordinator dies nothing changes for running sessions: targets go on by "
             "themselves, clients use the targets that they know.",
    .examples = "coordinator --listen 127.0.0.1:7700 &\n"
                "target_node --listen 127.0.0.1:7601 --coordinator 127.0.0.1:7700 &\n"
                "target_node --listen 127.0.0.1:7602 --coordinator 127.0.0.1:7700 &\n"
                "draft_node --coordinator 127.0.0.1:7700 talk.flac\n"
                "coordinator status --coordinator 127.0.0.1:7700\n"
                "coordinator drain 127.0.0.1:7601",
    .options = table,
    .n_options = ARRAY_LEN(table),
    .positional_max = 2,
};

/* Signals come through sigwait only; block them before any thread starts. */
static sigset_t block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return set;
}

static enum status serve(const struct values *values, uint64_t canary, const sigset_t *signals,
                         struct error *err)
{
    struct coordinator *coordinator = NULL;
    char listen[OPTION_HOST_MAX + 16];
    uint32_t period_ms = (uint32_t)(values->heartbeat * 1000.0 + 0.5);
    struct coordinator_options options = {
        .listen = listen,
        .tls = {.ca = values->tls_client_ca, .certificate = values->tls_certificate,
                .key = values->tls_key},
        .registry = {.heartbeat_ms = period_ms, .canary_fingerprint = canary,
                     .canary_share = (float)values->canary_share},
        .latency_goal_ms = (uint32_t)(values->latency_goal * 1000.0 + 0.5),
        .modes = WIRE_MODES_ALL,
    };
    const struct timespec period = {.tv_sec = period_ms / 1000,
                                    .tv_nsec = (long)(period_ms % 1000) * 1000000};
    int number = -1;
    if (getrandom(&options.registry.seed, sizeof(options.registry.seed), 0) < 0)
        options.registry.seed = (uint64_t)getpid();
    option_address_format(&values->listen, listen, sizeof(listen));
    enum status rc = coordinator_start(&options, &coordinator, err);
    if (rc != STATUS_OK)
        return rc;
    log_line(LOG_INFO, "listening on %s:%u", values->listen.host, coordinator_port(coordinator));
    while ((number = sigtimedwait(signals, NULL, &period)) < 0)
        coordinator_tick(coordinator);
    log_line(LOG_INFO, "%s: targets and clients go on without it", strsignal(number));
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
    coordinator_stop(&coordinator);
    return STATUS_OK;
}

static enum status ask(const struct values *values, const char *const *words, struct error *err)
{
    char address[OPTION_HOST_MAX + 16];
    struct ask_options options = {.address = address};
    option_address_format(&values->coordinator, address, sizeof(address));
    if (values->tls_ca)
        options.tls = (struct rpc_tls){.ca = values->tls_ca, .certificate = values->tls_certificate,
                                       .key = values->tls_key,
                                       .server_name = values->tls_server_name};
    if (strcmp(words[0], "status") == 0)
        return ask_status(&options, values->json, stdout, err);
    return ask_drain(&options, words[1], strcmp(words[0], "undrain") == 0, err);
}

/* EXIT_CODE_OK: go on. */
static int check_words(const char *const *words, uint32_t n)
{
    if (n == 0 || (n == 1 && (strcmp(words[0], "serve") == 0 || strcmp(words[0], "status") == 0)))
        return EXIT_CODE_OK;
    bool drains = strcmp(words[0], "drain") == 0 || strcmp(words[0], "undrain") == 0;
    if (drains && n == 2)
        return EXIT_CODE_OK;
    if (drains)
        return options_usage_error(&program, "%s takes one target, as `coordinator status` names "
                                   "it", words[0]);
    return options_usage_error(&program, "\"%s\" is no command: serve, status, drain TARGET or "
                               "undrain TARGET", words[0]);
}

static int exit_code_of(enum status rc)
{
    if (rc == STATUS_OK)
        return EXIT_CODE_OK;
    bool unreachable = rc == STATUS_UNAVAILABLE || rc == STATUS_TIMEOUT || rc == STATUS_CLOSED;
    return unreachable ? EXIT_CODE_UNREACHABLE : EXIT_CODE_FAILED;
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
    sigset_t signals = block_signals();
    if (!options_start(&program, argc, argv, &values, &options, &exit_code))
        return exit_code;
    log_init("coordinator", (enum log_level)values.log_level);
    const char *const *words = options_positional(options, &n_words);
    bool serves = n_words == 0 || strcmp(words[0], "serve") == 0;
    if (values.canary)
        canary = strtoull(values.canary, &end, 16);
    exit_code = check_words(words, n_words);
    if (exit_code == EXIT_CODE_OK && !values.tls_certificate != !values.tls_key)
        exit_code = options_usage_error(&program, "--tls-certificate and --tls-key go together");
    else if (exit_code == EXIT_CODE_OK && values.canary && (*end || canary == 0))
        exit_code = options_usage_error(&program, "--canary takes a version of 16 hexadecimal "
                                        "digits, as `coordinator status` shows it");
    if (exit_code == EXIT_CODE_OK) {
        if (!serves)                        /* short-lived: Ctrl-C ends it at once */
            pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
        enum status rc = serves ? serve(&values, canary, &signals, &err)
                                : ask(&values, words, &err);
        if (rc != STATUS_OK)
            log_line(LOG_ERROR, "%s", err.text);
        exit_code = serves && rc != STATUS_OK ? EXIT_CODE_FAILED : exit_code_of(rc);
    }
    options_free(&options);
    return exit_code;
}
