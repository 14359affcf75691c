/* draft_node: the client. Drafts with a small model, sends audio and drafts up, shows the text.
 *
 * Threads:
 *   main          the loop of run.c: events, audio in, drafting, output
 *   rpc           gRPC's completion queue: puts frames into the link's inbox; never blocks
 *   place         with --coordinator: asks which targets to use
 *   reader        live input only: reads stdin into the inbox
 *   metrics       with --metrics: answers over HTTP
 *   pool 1..n-1   the draft backend's workers
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "auth/api_keys.h"
#include "base/log.h"
#include "base/standard_streams.h"
#include "calibration_file.h"
#include "config/exit_codes.h"
#include "config/options.h"
#include "config/version.h"
#include "engine/toy.h"
#include "model/resolve.h"
#include "output/summary.h"
#include "place.h"
#include "run.h"
#include "spec/calibration.h"
#include "spec/policy.h"

enum { FILES_MAX = 65536 };

struct values {
    struct option_addresses target, coordinator;
    bool target_given;
    const char *model;
    bool draft, check;
    int format;
    const char *language;
    bool translate, timestamps, fallback, condition;
    double temperature;
    int64_t seed;
    const char *policy, *pace;
    int weights;
    bool lockstep, wait_draft;
    double row_price;
    int64_t rows;
    int64_t draft_silence;
    bool early_draft;
    int64_t threads;
    const char *kernels;
    int codec;
    double deadline;
    bool tls;
    const char *api_key_file, *traceparent;
    const char *tls_ca, *tls_certificate, *tls_key, *tls_server_name;
    bool progress, summary;
    const char *metrics;
    int log_level, log_format;
};

/* As enum cpu_weights. */
static const char *const weights[] = {"stored", "q8_0", "mixed", "q4_0", NULL};
static const char *const codecs[] = {"pcm", "flac", NULL};

#define AT(member) offsetof(struct values, member)

static const struct option table[] = {
    {.name = "target", .short_name = 'T', .type = OPTION_ADDRESSES, .offset = AT(target), .min = 1,
     .max = 65535, .initial = "127.0.0.1:7600", .value_name = "HOST:PORT,...", .group = "Target",
     .help = "Targets to use; the next one is tried when one fails."},
    {.name = "coordinator", .short_name = 'c', .type = OPTION_ADDRESSES, .offset = AT(coordinator),
     .min = 1, .max = 65535, .value_name = "HOST:PORT,...", .group = "Target",
     .help = "Ask there which targets to use, also when one fails. When none answers: those of the "
             "last run, then --target if it is given."},
    {.name = "draft", .type = OPTION_BOOL, .offset = AT(draft), .initial = "yes", .group = "Draft",
     .help = "Draft with a local model. --no-draft: the target alone; the text is the same."},
    {.name = "model", .short_name = 'm', .type = OPTION_STRING, .offset = AT(model),
     .initial = "tiny.en", .value_name = "FILE|NAME", .group = "Draft",
     .help = "Draft model (GGUF), or the name of a fetched one. For load tests toy:SEED:SHARE."},
    {.name = "draft-weights", .type = OPTION_CHOICE, .offset = AT(weights), .choices = weights,
     .initial = "mixed", .group = "Draft",
     .help = "Weights of the draft model in memory, at most this large: a smaller model drafts "
             "faster, and the text is the target's all the same. mixed: q4_0, and an output layer "
             "in f16 that is searched by a copy in q4_0."},
    {.name = "check", .type = OPTION_BOOL, .offset = AT(check), .group = "Draft",
     .help = "Transcribe everything a second time without drafts and compare token for token."},
    {.name = "format", .short_name = 'f', .type = OPTION_CHOICE, .offset = AT(format),
     .choices = result_format_names, .initial = "text", .group = "Output",
     .help = "text: a line per file; json: an object per file and line, with tokens and figures; "
             "srt, vtt, tsv: with times (turns --timestamps on)."},
    {.name = "language", .short_name = 'L', .type = OPTION_STRING, .offset = AT(language),
     .initial = "en", .value_name = "CODE", .group = "Decoding",
     .help = "Spoken language: en, de, zh, ...; auto: detected."},
    {.name = "translate", .type = OPTION_BOOL, .offset = AT(translate), .group = "Decoding",
     .help = "Translate to English instead of transcribing."},
    {.name = "timestamps", .type = OPTION_BOOL, .offset = AT(timestamps), .initial = "no",
     .group = "Decoding",
     .help = "Decode with timestamps: better on long audio, needed for srt, vtt, tsv."},
    {.name = "fallback", .type = OPTION_BOOL, .offset = AT(fallback), .initial = "yes",
     .group = "Decoding",
     .help = "Decode again at higher temperatures when a text looks broken, and skip silence. "
             "--no-fallback: pure greedy decoding."},
    {.name = "condition-on-previous", .type = OPTION_BOOL, .offset = AT(condition),
     .initial = "yes", .group = "Decoding",
     .help = "In long audio the text so far conditions the next window."},
    {.name = "temperature", .type = OPTION_FLOAT, .offset = AT(temperature), .min = 0, .max = 2,
     .initial = "0", .group = "Decoding", .help = "First temperature; 0: greedy."},
    {.name = "seed", .type = OPTION_INT, .offset = AT(seed), .min = 0, .max = 9007199254740992.0,
     .initial = "0", .group = "Decoding", .help = "Seed of the noise at temperatures above 0."},
    {.name = "policy", .type = OPTION_STRING, .offset = AT(policy), .initial = "full",
     .value_name = "NAME", .group = "Draft",
     .help = "How drafts are made and used; the text is the same under each. ar: no drafts; "
             "spec:N: N tokens; asp[:T]: until a token is less sure than T (0.3; auto: priced); "
             "asp+recycle: and rejected drafts are used again; sparse: and side branches; full: "
             "the whole utterance, and the target goes on with what is left of it."},
    {.name = "wait-draft", .type = OPTION_BOOL, .offset = AT(wait_draft), .group = "Draft",
     .help = "The target begins each window with the whole draft instead of working ahead."},
    {.name = "lockstep", .type = OPTION_BOOL, .offset = AT(lockstep), .group = "Draft",
     .help = "Draft and target one after the other, not overlapped: how policies are measured."},
    {.name = "row-price", .type = OPTION_FLOAT, .offset = AT(row_price), .min = -1, .max = 1000,
     .initial = "-1", .group = "Draft",
     .help = "Factor on the target's measured cost of rows; 0: rows are free; -1: as measured."},
    {.name = "rows", .type = OPTION_INT, .offset = AT(rows), .min = 0, .max = 64, .initial = "0",
     .group = "Draft", .help = "Most rows of a target pass; 0: as many as it takes (64)."},
    {.name = "early-draft", .type = OPTION_BOOL, .offset = AT(early_draft), .initial = "yes",
     .group = "Draft",
     .help = "Live input: draft while it is still spoken, and verify that draft when it ends. "
             "Works up to a quarter of the time; --no-early-draft saves battery."},
    {.name = "draft-silence", .type = OPTION_INT, .offset = AT(draft_silence), .min = 0,
     .max = 30000, .initial = "5000", .value_name = "MS", .group = "Draft",
     .help = "Silence that the draft's encoder sees behind the audio, so that drafts stop by "
             "themselves."},
    {.name = "pace", .type = OPTION_PATH, .offset = AT(pace), .group = "Draft",
     .help = "For studies: take the time that this table says (bench/curves); same drafts."},
    {.name = "threads", .short_name = 't', .type = OPTION_INT, .offset = AT(threads), .min = 0,
     .max = 64, .initial = "0", .group = "Speed",
     .help = "Threads of the draft model; 0: one per processor, or half of them when the target is "
             "on this machine."},
    {.name = "kernels", .type = OPTION_STRING, .offset = AT(kernels), .value_name = "SET",
     .group = "Speed",
     .help = "Kernel set: reference, avx2, avx512, neon. Default: the fastest here."},
    {.name = "codec", .type = OPTION_CHOICE, .offset = AT(codec), .choices = codecs,
     .initial = "flac", .group = "Target",
     .help = "Audio uplink: flac (lossless, about half) or pcm."},
    {.name = "deadline", .type = OPTION_DURATION, .offset = AT(deadline), .min = 0, .max = 86400,
     .initial = "30s", .group = "Target",
     .help = "How long to go on trying when no target answers. Meanwhile the audio is kept."},
    {.name = "api-key-file", .type = OPTION_PATH, .offset = AT(api_key_file), .group = "Target",
     .help = "File with the API key that the coordinator asks for; nobody else may read it."},
    {.name = "traceparent", .type = OPTION_STRING, .offset = AT(traceparent),
     .value_name = "TEXT", .group = "Output",
     .help = "Trace that this run belongs to, as W3C Trace Context writes it (00-...): passed to "
             "coordinator and target, whose logs show its id. Default: $TRACEPARENT."},
    {.name = "tls", .type = OPTION_BOOL, .offset = AT(tls), .group = "TLS",
     .help = "Connect with TLS. Without --tls-ca the authorities that the system trusts count."},
    {.name = "tls-ca", .type = OPTION_PATH, .offset = AT(tls_ca), .group = "TLS",
     .help = "PEM file with the authority that signed the target's certificate (implies --tls)."},
    {.name = "tls-certificate", .type = OPTION_PATH, .offset = AT(tls_certificate), .group = "TLS",
     .help = "PEM file with the client's certificate (mutual TLS)."},
    {.name = "tls-key", .type = OPTION_PATH, .offset = AT(tls_key), .group = "TLS",
     .help = "PEM file with the client's private key."},
    {.name = "tls-server-name", .type = OPTION_STRING, .offset = AT(tls_server_name),
     .group = "TLS",
     .help = "Name in the target's certificate when it is not its host name."},
    {.name = "progress", .type = OPTION_BOOL, .offset = AT(progress), .initial = "yes",
     .group = "Output", .help = "Progress and provisional text on a terminal."},
    {.name = "summary", .type = OPTION_BOOL, .offset = AT(summary), .group = "Output",
     .help = "A table of what was done and what it cost, on stderr, at the end."},
    {.name = "metrics", .type = OPTION_STRING, .offset = AT(metrics), .value_name = "HOST:PORT",
     .group = "Output",
     .help = "Serve /metrics (Prometheus), /healthz and /readyz there over plain HTTP while it "
             "runs; off unless given. :9100 is loopback only, 0.0.0.0:9100 all addresses."},
    {.name = "log-level", .type = OPTION_CHOICE, .offset = AT(log_level),
     .choices = log_level_names, .initial = "info", .group = "Output",
     .help = "How much goes to stderr."},
    {.name = "log-format", .type = OPTION_CHOICE, .offset = AT(log_format),
     .choices = log_format_names, .initial = "text", .group = "Output",
     .help = "text, or json: an object a line, with time, session and trace. Never what was said."},
};

static const struct option_program program = {
    .name = "draft_node",
    .version = SPECASR_VERSION,
    .usage = "[options] FILE...",
    .about = "Transcribes audio with a target_node: a small local model drafts the text, the "
             "target verifies it in few passes. The text is the target's own, token for token.\n\n"
             "Files: WAV, FLAC, Ogg (Vorbis, Opus), MP3, any rate and channel count. `-` reads raw "
             "PCM from stdin (16 kHz, mono, 16-bit little-endian), cut into utterances by voice "
             "activity. There the first Ctrl-C ends the input, and the second the program; when no "
             "target is left, the audio without text is kept in specasr-unsent-TIME.wav.",
    .examples = "draft_node --target 127.0.0.1:7600 talk.flac meeting.mp3\n"
                "draft_node --coordinator c:7700 talk.flac\n"
                "draft_node -T a:7600,b:7600 --format srt --language auto film.mp3 > film.srt\n"
                "ffmpeg -i mic -f s16le -ac 1 -ar 16000 - | draft_node -\n"
                "draft_node --check --summary talk.flac",
    .options = table,
    .n_options = ARRAY_LEN(table),
    .positional_max = FILES_MAX,
};

/* What a pass over the inputs produces. */
struct output {
    struct result_writer writer;
    struct summary *summary;
    bool write;                             /* the second pass of --check writes nothing */
    bool segments;
    int signal_number;                      /* that ended live input; 0: none */
    struct error broken;                    /* why results can no longer be written */
    struct transcript *kept;                /* --check: of the first pass, in order */
    uint32_t n_kept, n_seen, kept_capacity;
};

static bool keep(struct output *output, struct transcript *transcript)
{
    if (output->n_kept == output->kept_capacity) {
        uint32_t capacity = MAX(16u, 2 * output->kept_capacity);
        struct transcript *grown = realloc(output->kept, capacity * sizeof(*grown));
        if (!grown)
            return false;
        output->kept = grown;
        output->kept_capacity = capacity;
    }
    output->kept[output->n_kept++] = *transcript;
    transcript_init(transcript);            /* taken */
    return true;
}

static bool on_first(struct output *output, const char *name, struct transcript *transcript)
{
    struct result result = transcript_result(transcript, name, output->segments);
    summary_add(&output->summary->total, &result.stats);
    output->summary->n_files++;
    if (result_write(&output->writer, &result, &output->broken) != STATUS_OK)
        return false;
    return !output->kept || keep(output, transcript);
}

static void on_second(struct output *output, const char *name, struct transcript *transcript)
{
    struct summary *summary = output->summary;
    uint32_t i = output->n_seen++;
    summary_add(&summary->alone, &transcript->stats);
    bool same = i < output->n_kept && output->kept[i].failed == transcript->failed &&
                transcript_same(&output->kept[i], transcript);
    summary->n_checked += !same || !transcript->failed;
    if (!same) {
        summary->n_differing++;
        log_line(LOG_ERROR, "%s: the text differs from that of the target alone", name);
    }
}

static bool on_result(void *context, const char *name, struct transcript *transcript)
{
    struct output *output = context;
    if (output->write)
        return on_first(output, name, transcript);
    on_second(output, name, transcript);
    return true;
}

static void on_failed(void *context, const char *name, const struct error *err)
{
    struct output *output = context;
    bool named = strncmp(err->text, name, strlen(name)) == 0;
    struct transcript failed;               /* keeps its place among the results of --check */
    transcript_init(&failed);
    failed.failed = true;
    if (!output->write) {
        on_second(output, name, &failed);
        return;
    }
    if (output->kept && !keep(output, &failed))
        log_line(LOG_ERROR, "no memory for what --check compares");
    log_line(LOG_ERROR, "%s%s%s", named ? "" : name, named ? "" : ": ", err->text);
    output->summary->n_failed++;
}

static void on_damaged(void *context, const char *name, const char *what)
{
    struct output *output = context;
    (void)name;                             /* `what` begins with it */
    if (!output->write)
        return;
    log_line(LOG_ERROR, "%s", what);
    output->summary->n_damaged++;
}

static void note_calibration(struct summary *summary, const struct spec_calibration *calibration)
{
    if (!calibration)
        return;
    summary->n_calibrated = calibration_tokens(calibration);
    summary->rate_at_half = spec_calibration_rate(calibration, 0.5f);
    summary->rate_at_nine = spec_calibration_rate(calibration, 0.9f);
}

static enum status run_all(struct engine *engine, const struct run_options *options,
                           struct display *display, struct output *output,
                           const char *const *files, struct error *err)
{
    struct run *run;
    struct run_sink sink = {.result = on_result, .failed = on_failed, .damaged = on_damaged,
                            .context = output};
    struct run_options own = *options;      /* each run over the inputs is a session of its own */
    struct log_about about = {0};
    if (options->link.placement && output->write)
        placement_session(options->link.placement, own.client.session);
    else if (getrandom(own.client.session, sizeof(own.client.session), 0) < 0)
        memset(own.client.session, (int)getpid(), sizeof(own.client.session));
    log_about_session(&about, own.client.session);
    (void)trace_read(options->link.traceparent, about.trace);
    log_set_about(&about);
    enum status rc = run_new(engine, &own, display, &sink, &run, err);
    for (uint32_t i = 0; rc == STATUS_OK && files[i]; i++)
        rc = strcmp(files[i], "-") == 0 ? run_live(run, STDIN_FILENO, &output->signal_number, err)
                                        : run_file(run, files[i], err);
    if (rc == STATUS_OK)
        note_calibration(output->summary, run_calibration(run));
    run_free(&run);
    return rc;
}

static struct run_options run_options_from(const struct values *values)
{
    struct run_options options = {.client = client_options_default(),
                                  .deadline_s = values->deadline};
    struct wire_rules *rules = &options.client.rules;
    snprintf(rules->language, sizeof(rules->language), "%s", values->language);
    rules->translate = values->translate;
    rules->timestamps = values->timestamps;
    rules->fallback = values->fallback;
    rules->condition_on_previous = values->condition;
    rules->temperature = (float)values->temperature;
    rules->seed = (uint64_t)values->seed;
    rules->use_drafts = values->draft;
    rules->lockstep = values->lockstep;
    rules->wait_draft = values->wait_draft;
    rules->row_price = values->row_price < 0 ? -1.0f : (float)values->row_price;
    rules->rows_max = (uint32_t)values->rows;
    options.client.codec = values->codec == 0 ? WIRE_PCM_S16 : WIRE_FLAC;
    (void)spec_policy_parse(values->policy, &options.client.drafter.policy);
    options.client.drafter.timestamps = values->timestamps;
    options.client.drafter.translate = values->translate;
    options.client.early_drafts = values->early_draft;
    options.client.drafter.silence_ms = (uint32_t)values->draft_silence;
    memcpy(options.client.drafter.language, rules->language, sizeof(rules->language));
    options.link.traceparent = values->traceparent;
    options.link.n_targets = values->target.n;
    for (uint32_t i = 0; i < values->target.n; i++)
        option_address_format(&values->target.item[i], options.link.targets[i], LINK_ADDRESS_MAX);
    options.link.tls_on = values->tls || values->tls_ca || values->tls_certificate ||
                          values->tls_server_name;
    options.link.tls = (struct rpc_tls){
        .ca = values->tls_ca, .certificate = values->tls_certificate, .key = values->tls_key,
        .server_name = values->tls_server_name};
    return options;
}

static bool is_loopback(const struct values *values)
{
    const char *host = values->coordinator.n ? values->coordinator.item[0].host
                                             : values->target.item[0].host;
    return option_host_is_loopback(host);
}

/* Two models that spin on the same processors only take them from each other. */
static uint32_t draft_threads(const struct values *values)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    bool shared = values->threads == 0 && is_loopback(values) && !values->lockstep && n > 1;
    return shared ? (uint32_t)(n / 2) : (uint32_t)values->threads;
}

static enum status open_draft(const struct values *values, struct engine *engine, struct error *err)
{
    char path[MODEL_PATH_MAX];
    struct cpu_options cpu = {.n_threads = draft_threads(values), .kernels = values->kernels,
                              .weights = (enum cpu_weights)values->weights};
    if (toy_named(values->model))
        return toy_open(engine, values->model, err);
    enum status rc = model_find(values->model, path, sizeof(path), err);
    if (rc == STATUS_OK)
        rc = engine_open(engine, path, &cpu, err);
    return rc == STATUS_OK ? engine_slow(engine, values->pace, NULL, &cpu, err) : rc;
}

static int exit_code_of(enum status rc, const struct output *output)
{
    const struct summary *summary = output->summary;
    if (output->signal_number)              /* whatever came of it: the log says that */
        return 128 + output->signal_number;
    if (rc == STATUS_UNAVAILABLE || rc == STATUS_TIMEOUT || rc == STATUS_CLOSED)
        return EXIT_CODE_UNREACHABLE;
    if (rc != STATUS_OK || summary->n_failed > 0 || summary->n_damaged > 0)
        return EXIT_CODE_FAILED;
    return summary->n_differing > 0 ? EXIT_CODE_DIFFERS : EXIT_CODE_OK;
}

/* Without --coordinator the targets are those of --target. */
static enum status find_place(const struct values *values, struct link_options *link,
                              char key[API_KEY_TEXT_MAX], struct error *err)
{
    struct placement_options options = {.n_coordinators = values->coordinator.n,
                                        .rounds = values->lockstep ? 8 : 2,
                                        .patience_ms = (uint32_t)(values->deadline * 1000.0)};
    if (values->coordinator.n == 0)
        return STATUS_OK;
    if (values->api_key_file) {
        enum status read = api_key_read(values->api_key_file, key, err);
        if (read != STATUS_OK)
            return read;
        options.api_key = key;
    }
    options.traceparent = link->traceparent;
    if (!values->target_given)
        link->n_targets = 0;
    for (uint32_t i = 0; i < values->coordinator.n; i++)
        option_address_format(&values->coordinator.item[i], options.coordinators[i],
                              sizeof(options.coordinators[i]));
    if (link->tls_on)
        options.tls = (struct rpc_tls){.ca = values->tls_ca, .certificate = values->tls_certificate,
                                       .key = values->tls_key, .system = true};
    enum status rc = placement_new(&options, &link->placement, err);
    return rc == STATUS_OK ? placement_first(link->placement, link, err) : rc;
}

/* The inputs once, and with --check once more without drafts. */
static enum status transcribe(const struct values *values, struct engine *engine,
                              struct display *display, struct output *output,
                              const char *const *files, struct error *err)
{
    struct run_options options = run_options_from(values);
    char key[API_KEY_TEXT_MAX];
    enum status rc = observe_start(values->metrics, &options.observe, err);
    if (rc == STATUS_OK)
        rc = find_place(values, &options.link, key, err);
    if (rc == STATUS_OK)
        rc = run_all(engine, &options, display, output, files, err);
    if (rc == STATUS_OK && values->check) {
        output->write = false;
        options.client.rules.use_drafts = false;
        rc = run_all(NULL, &options, display, output, files, err);
        output->summary->same = output->summary->n_differing > 0 ? SUMMARY_DIFFERS : SUMMARY_SAME;
    }
    observe_stop(&options.observe);
    placement_free(&options.link.placement);
    explicit_bzero(key, sizeof(key));
    return rc;
}

/* A draft model that cannot speak the language costs only speed: the target's text is the same. */
static bool can_draft(const struct values *values, const struct engine *engine)
{
    const char *language = values->language;
    bool english = strcmp(language, "en") == 0 || strcmp(language, "auto") == 0;
    if (engine->description->multilingual || (english && !values->translate))
        return true;
    log_line(LOG_WARN, "the draft model %s is English only: going on without drafts",
             engine->description->name);
    return false;
}

static int run_program(const struct values *values, const char *const *files)
{
    struct engine engine = {0};
    struct error err = {0};
    struct display *display = NULL;
    struct summary summary = {.drafted = values->draft, .one_machine = is_loopback(values)};
    struct output output = {.writer = {.out = stdout, .format = (enum result_format)values->format},
                            .summary = &summary, .write = true, .segments = values->timestamps};
    if (values->check)
        output.kept = calloc(1, sizeof(*output.kept));
    output.kept_capacity = output.kept ? 1 : 0;
    enum status rc = display_new(STDERR_FILENO, values->progress, getenv("TERM"), clock_monotonic(),
                                 &display, &err);
    if (rc == STATUS_OK && values->draft)
        rc = open_draft(values, &engine, &err);
    bool drafts = rc == STATUS_OK && values->draft && can_draft(values, &engine);
    summary.drafted = drafts;
    if (rc == STATUS_OK)
        rc = transcribe(values, drafts ? &engine : NULL, display, &output, files, &err);
    display_free(&display);
    if (rc != STATUS_OK)
        log_line(LOG_ERROR, "%s", output.broken.code != STATUS_OK ? output.broken.text : err.text);
    if (rc == STATUS_OK && values->summary)
        summary_write(&summary, stderr);
    for (uint32_t i = 0; i < output.n_kept; i++)
        transcript_release(&output.kept[i]);
    free(output.kept);
    engine_close(&engine);
    return exit_code_of(rc, &output);
}

/* What the environment hands down is only a default: a bad one is left out with a word. */
static const char *traceparent_from(const char *given)
{
    char id[TRACE_ID_MAX];
    const char *text = given ? given : getenv("TRACEPARENT");
    if (!text || trace_read(text, id))
        return text;
    log_line(LOG_WARN, "\"%s\" is no traceparent (00-TRACE-PARENT-FLAGS): going on without",
             text);
    return NULL;
}

static int policy_error(const char *name)
{
    return options_usage_error(&program, "--policy \"%s\" is unknown: choose one of %s", name,
                               spec_policy_names);
}

BEFORE_MAIN(standard_streams_fill);

int main(int argc, char **argv)
{
    struct values values = {0};
    struct options *options = NULL;
    int exit_code = EXIT_CODE_OK;
    struct spec_policy policy = spec_policy_default();
    uint32_t n_files;
    signal(SIGPIPE, SIG_IGN);
    if (!options_start(&program, argc, argv, &values, &options, &exit_code))
        return exit_code;
    log_init("draft_node", (enum log_level)values.log_level);
    log_set_format((enum log_format)values.log_format);
    const char *const *files = options_positional(options, &n_files);
    bool timed = values.format == RESULT_SRT || values.format == RESULT_VTT ||
                 values.format == RESULT_TSV;
    if (timed && !options_given(options, "timestamps"))
        values.timestamps = true;
    bool live = false;
    for (uint32_t i = 0; i < n_files; i++)
        live |= strcmp(files[i], "-") == 0;
    if (n_files == 0)
        exit_code = options_usage_error(&program,
                                        "give at least one audio file, or - for PCM on stdin");
    else if (live && (n_files > 1 || values.check))
        exit_code = options_usage_error(
            &program, "- stands alone, and without --check: stdin is read once");
    else if (!values.draft && values.check)
        exit_code = options_usage_error(
            &program, "--check compares with --no-draft: give only one of them");
    else if (!spec_policy_parse(values.policy, &policy))
        exit_code = policy_error(values.policy);
    else if (strlen(values.language) > 7)
        exit_code = options_usage_error(&program, "--language takes a code such as en, or auto");
    values.target_given = options_given(options, "target");
    values.draft &= policy.drafts;
    values.early_draft &= live;             /* files come faster than they are spoken */
    values.traceparent = traceparent_from(values.traceparent);
    if (exit_code == EXIT_CODE_OK)
        exit_code = run_program(&values, files);
    options_free(&options);
    return exit_code;
}
