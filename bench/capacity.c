/* capacity: many clients of one target from one process: who waits, who speaks, who is turned away.
 *
 *     idle     a session, opened and then silent
 *     active   speaks all the time: FLAC frames of 250 ms as they would be spoken, one utterance
 *              behind the other; its final lag is from EndOfUtterance to UtteranceFinal
 *     extra    comes when all places are taken, with a connection of its own: how soon is it told?
 *
 * A session has a connection of its own, as with real clients. Every text is compared with the
 * first one of the same audio. It speaks the protocol by itself (lib/rpc, lib/wire), without
 * drafts: the target is what is measured. Threads: main sends; a few rpc threads receive and count.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audio/flac_codec.h"
#include "base/clock.h"
#include "base/file_limit.h"
#include "base/log.h"
#include "config/exit_codes.h"
#include "config/options.h"
#include "config/version.h"
#include "rpc/rpc.h"
#include "wire/wire.h"

enum {
    RATE = 16000,
    FRAME_SAMPLES = RATE / 4,
    FRAME_US = 250000,
    CLIPS = 8,
    CLIP_FRAMES_MAX = 120,      /* 30 s */
    SAMPLES_MAX = 1 << 20,      /* of lags */
    OPENING_MAX = 128,          /* connections that are made at once */
    RECEIVERS = 2,
    OPEN_LIMIT_S = 300
};

enum state { NEW, OPENING, OPEN, ENDED };

struct session {
    struct load *load;
    struct rpc_client *client;
    struct rpc_call *call;
    _Atomic enum state state;
    uint32_t clip, frame, utterance;        /* main's: what is spoken next */
    uint64_t next_us, begun_us;
    _Atomic uint64_t ended_us[WIRE_UTTERANCES_MAX];
    atomic_uint n_open;                     /* utterances without their final */
    uint64_t digest;                        /* of the windows so far of the oldest one */
};

struct sample_list {
    uint32_t n;
    uint32_t *us;
};

struct clip {
    uint32_t n_frames;
    struct {
        uint8_t *bytes;
        size_t n;
    } frame[CLIP_FRAMES_MAX];
    uint64_t digest;                        /* of its text; 0: not known yet */
};

struct values {
    struct option_address target;
    int64_t idle, active, extra;
    double seconds, warm_up, speech;
    int64_t pid, extra_rate;
    const char *label;
    const char *tls_ca, *tls_certificate, *tls_key;
    bool header;
};

struct load {
    struct clock clock;
    struct values values;
    char address[OPTION_HOST_MAX + 16];
    struct rpc_client *receiver[RECEIVERS]; /* their threads serve all clients */
    struct session *session;
    uint32_t n, n_extra;
    struct clip clip[CLIPS];
    pthread_mutex_t lock;                   /* of the counters below */
    bool measuring;
    uint32_t n_opened, n_refused, n_failed, n_lost, n_skipped, n_different, n_finals;
    uint64_t n_tokens, bytes_up, bytes_down, frames_up, frames_down, n_audio_frames;
    struct sample_list lag, refused, opened;
    char why[RPC_TEXT_MAX];                 /* of the first that failed or was lost */
};

static uint64_t now_us(const struct load *load)
{
    return clock_us(&load->clock);
}

/* ---- the audio ---- */

static enum status make_clips(struct load *load, struct error *err)
{
    static int16_t samples[FRAME_SAMPLES];
    static uint8_t flac[FLAC_BYTES_MAX];
    uint64_t seed = 1;
    for (uint32_t c = 0; c < CLIPS; c++) {
        struct clip *clip = &load->clip[c];
        clip->n_frames = (uint32_t)(load->values.speech * 4.0);
        for (uint32_t f = 0; f < clip->n_frames; f++) {
            for (size_t i = 0; i < FRAME_SAMPLES; i++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                samples[i] = (int16_t)((int64_t)seed >> 54);    /* as loud as quiet speech */
            }
            enum status rc = flac_encode(samples, FRAME_SAMPLES, flac, &clip->frame[f].n, err);
            if (rc != STATUS_OK)
                return rc;
            clip->frame[f].bytes = malloc(clip->frame[f].n);
            if (!clip->frame[f].bytes)
                return error_set(err, STATUS_NO_MEMORY, "no memory for the audio");
            memcpy(clip->frame[f].bytes, flac, clip->frame[f].n);
        }
    }
    return STATUS_OK;
}

/* ---- receiving: on the rpc threads ---- */

static void add_sample(struct sample_list *list, uint64_t us)
{
    if (!list->us)
        list->us = malloc(SAMPLES_MAX * sizeof(*list->us));
    if (list->us && list->n < SAMPLES_MAX)
        list->us[list->n++] = (uint32_t)MIN(us, UINT32_MAX);
}

/* A session's utterances end in the order in which they were spoken. */
static void on_final(struct session *s, uint32_t utterance)
{
    struct load *load = s->load;
    struct clip *clip = &load->clip[s->clip];
    uint64_t ended = s->ended_us[utterance % WIRE_UTTERANCES_MAX];
    if (clip->digest == 0)
        clip->digest = s->digest;
    load->n_different += clip->digest != s->digest;
    s->digest = 0;
    atomic_fetch_sub(&s->n_open, 1);
    if (!load->measuring)
        return;
    load->n_finals++;
    add_sample(&load->lag, now_us(load) - ended);
}

static void take(struct session *s, const struct wire_frame *frame)
{
    struct load *load = s->load;
    switch (frame->kind) {
    case WIRE_OPENED:
        s->state = OPEN;
        load->n_opened++;
        add_sample(&load->opened, now_us(load) - s->begun_us);
        break;
    case WIRE_WINDOW_FINAL:
        s->digest = s->digest * 31 + frame->u.window_final.digest;
        load->n_tokens += load->measuring ? frame->u.window_final.stats.tokens : 0;
        break;
    case WIRE_UTTERANCE_FINAL:
        on_final(s, frame->u.utterance_final.utterance);
        break;
    case WIRE_ERROR:
        if (s->state == OPENING && frame->u.error.retry_ms > 0)
            break;                          /* turned away; the end of the stream says it too */
        load->n_failed++;
        snprintf(load->why, sizeof(load->why), "%s", frame->u.error.message);
        break;
    default:
        break;
    }
}

static void on_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    struct session *s = rpc_user(call);
    struct wire_frame frame;
    struct error err;
    if (wire_unpack(data, size, false, &frame, &err) != STATUS_OK) {
        log_line(LOG_ERROR, "a frame that cannot be read: %s", err.text);
        return;
    }
    pthread_mutex_lock(&s->load->lock);
    s->load->bytes_down += s->load->measuring ? size : 0;
    s->load->frames_down += s->load->measuring;
    take(s, &frame);
    pthread_mutex_unlock(&s->load->lock);
    wire_frame_release(&frame);
}

static void on_done(struct rpc_call *call, enum status code, const char *message)
{
    struct session *s = rpc_user(call);
    struct load *load = s->load;
    pthread_mutex_lock(&load->lock);
    bool refused = s->state == OPENING && code == STATUS_EXHAUSTED;
    if (refused) {
        load->n_refused++;
        add_sample(&load->refused, now_us(load) - s->begun_us);
    } else {
        load->n_failed += s->state == OPENING;
        load->n_lost += s->state == OPEN;
        if (!load->why[0])
            snprintf(load->why, sizeof(load->why), "%s", message);
    }
    s->state = ENDED;
    pthread_mutex_unlock(&load->lock);
}

static const struct rpc_handler handler = {.on_message = on_message, .on_done = on_done};

/* ---- sending: main ---- */

static bool send_frame(struct session *s, const struct wire_frame *frame)
{
    struct wire_bytes bytes;
    if (wire_pack(frame, &bytes, NULL) != STATUS_OK)
        return false;
    enum rpc_sent sent = rpc_send(s->call, bytes.data, bytes.size);
    pthread_mutex_lock(&s->load->lock);
    s->load->bytes_up += s->load->measuring ? bytes.size : 0;
    s->load->frames_up += s->load->measuring;
    pthread_mutex_unlock(&s->load->lock);
    wire_bytes_release(&bytes);
    return sent == RPC_SENT;
}

static enum status begin(struct session *s, uint32_t number, struct error *err)
{
    struct load *load = s->load;
    const struct values *v = &load->values;
    struct rpc_client_options options = {
        .target = load->address,
        .tls = {.ca = v->tls_ca, .certificate = v->tls_certificate, .key = v->tls_key},
        .connect_ms = 30000,
        .thread_of = load->receiver[number % RECEIVERS]};
    struct rpc_open_options open = {.method = "/specasr.v1.Verify/Session", .handler = &handler,
                                    .user = s};
    struct wire_frame frame = {.kind = WIRE_OPEN};
    frame.u.open = (struct wire_open){.version_min = WIRE_VERSION_MIN,
                                      .version_max = WIRE_VERSION_MAX,
                                      .epoch = 1,
                                      .rules = {.language = "en", .row_price = -1.0f}};
    memcpy(frame.u.open.session, &number, sizeof(number));
    memcpy(frame.u.open.session + sizeof(number), &(pid_t){getpid()}, sizeof(pid_t));
    s->state = OPENING;
    s->begun_us = now_us(load);
    enum status rc = rpc_client_new(&options, &s->client, err);
    if (rc == STATUS_OK)
        rc = rpc_open(s->client, &open, &s->call, err);
    if (rc == STATUS_OK)
        (void)send_frame(s, &frame);
    return rc;
}

static void end(struct session *s)
{
    rpc_unref(s->call);
    rpc_client_free(&s->client);
    s->call = NULL;
}

static void rest(uint64_t us)
{
    struct timespec left = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    nanosleep(&left, NULL);
}

/* Those of [first, first + n) that have neither been taken nor turned away. */
static uint32_t count_opening(const struct load *load, uint32_t first, uint32_t n)
{
    uint32_t opening = 0;
    for (uint32_t i = first; i < first + n; i++)
        opening += load->session[i].state == OPENING;
    return opening;
}

/* All places, some at a time; returns when each has its answer. */
static enum status open_all(struct load *load, struct error *err)
{
    uint64_t limit = now_us(load) + (uint64_t)OPEN_LIMIT_S * 1000000;
    uint32_t settled = 0;       /* below it nothing is opening */
    for (uint32_t i = 0; i < load->n; i++) {
        enum status rc = begin(&load->session[i], i, err);
        if (rc != STATUS_OK)
            return rc;
        while (settled <= i && load->session[settled].state != OPENING)
            settled++;
        while (i - settled >= OPENING_MAX &&
               count_opening(load, settled, i - settled) > OPENING_MAX)
            rest(1000);
    }
    while (count_opening(load, 0, load->n) > 0) {
        if (now_us(load) > limit)
            return error_set(err, STATUS_TIMEOUT, "%u sessions have no answer after %d s",
                             count_opening(load, 0, load->n), OPEN_LIMIT_S);
        rest(10000);
    }
    return STATUS_OK;
}

/* The next 250 ms of a stream that speaks. When four utterances wait for their text it waits too:
 * that is counted, the target is far behind by then. */
static void speak(struct session *s)
{
    struct load *load = s->load;
    const struct clip *clip = &load->clip[s->clip];
    s->next_us += FRAME_US;
    if (s->state != OPEN)
        return;
    if (s->frame == 0 && s->n_open >= WIRE_UTTERANCES_MAX) {
        load->n_skipped += load->measuring;
        return;
    }
    s->n_open += s->frame == 0;
    load->n_audio_frames += load->measuring;
    struct wire_frame frame = {.kind = WIRE_AUDIO};
    frame.u.audio = (struct wire_audio){.utterance = s->utterance,
                                        .first_sample = (uint64_t)s->frame * FRAME_SAMPLES,
                                        .codec = WIRE_FLAC,
                                        .n_bytes = (uint32_t)clip->frame[s->frame].n,
                                        .bytes = clip->frame[s->frame].bytes};
    (void)send_frame(s, &frame);
    if (++s->frame < clip->n_frames)
        return;
    frame = (struct wire_frame){.kind = WIRE_END_OF_UTTERANCE};
    frame.u.end_of_utterance = (struct wire_end_of_utterance){
        .utterance = s->utterance, .n_samples = (uint64_t)clip->n_frames * FRAME_SAMPLES};
    s->ended_us[s->utterance % WIRE_UTTERANCES_MAX] = now_us(load);
    (void)send_frame(s, &frame);
    s->utterance++;
    s->frame = 0;
}

static void speak_all(struct load *load, uint64_t until_us)
{
    for (uint64_t now = now_us(load); now < until_us; now = now_us(load)) {
        for (uint32_t i = 0; i < load->values.active; i++)
            if (load->session[i].next_us <= now)
                speak(&load->session[i]);
        rest(2000);
    }
}

/* One more client, and away with it once it has its answer. */
static enum status knock(struct load *load, uint32_t i, struct error *err)
{
    uint32_t keep = MAX((uint32_t)load->values.extra_rate, 1u) * 2;
    if (i >= keep)
        end(&load->session[load->n + i - keep]);
    return begin(&load->session[load->n + i], load->n + i, err);
}

struct knocker {
    struct load *load;
    uint64_t until_us;
};

static void *knock_all(void *argument)
{
    struct knocker *knocker = argument;
    struct load *load = knocker->load;
    struct error err;
    for (uint32_t i = 0; i < load->n_extra && now_us(load) < knocker->until_us; i++) {
        if (knock(load, i, &err) != STATUS_OK)
            log_line(LOG_ERROR, "%s", err.text);
        rest(1000000 / (uint64_t)MAX(load->values.extra_rate, 1));
    }
    return NULL;
}

/* ---- what the target takes ---- */

struct taken {
    double cpu_s, rss_mb, peak_mb;
};

static double status_mb(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtod(at + strlen(name), NULL) / 1024.0 : 0.0;
}

static struct taken look_at(int64_t pid)
{
    struct taken taken = {0};
    char path[64], text[8192];
    unsigned long long user = 0, kernel = 0;
    snprintf(path, sizeof(path), "/proc/%" PRId64 "/status", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return taken;
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    taken.rss_mb = status_mb(text, "VmRSS:");
    taken.peak_mb = status_mb(text, "VmHWM:");
    snprintf(path, sizeof(path), "/proc/%" PRId64 "/stat", pid);
    file = fopen(path, "r");
    if (file && fgets(text, sizeof(text), file) && strrchr(text, ')') &&
        sscanf(strrchr(text, ')') + 1, "%*s %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
               &user, &kernel) == 2)
        taken.cpu_s = (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
    if (file)
        fclose(file);
    return taken;
}

/* ---- the report ---- */

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* In milliseconds; share 1: the greatest. 0 where there is none. */
static double quantile(struct sample_list *list, double share)
{
    if (list->n == 0)
        return 0.0;
    qsort(list->us, list->n, sizeof(*list->us), compare);
    uint32_t i = (uint32_t)(share * list->n);
    return list->us[MIN(i, list->n - 1)] / 1e3;
}

static void print_quantiles(struct sample_list *list)
{
    printf(",%.1f,%.1f,%.1f", quantile(list, 0.5), quantile(list, 0.99), quantile(list, 1.0));
}

static void report(struct load *load, double seconds, struct taken before, struct taken after)
{
    const struct values *v = &load->values;
    double audio_s = (double)load->n_audio_frames * FRAME_US / 1e6;
    double finals = MAX(load->n_finals, 1u);
    if (v->header)
        printf("label,tls,idle,active,opened,refused,failed,lost,open_p50_ms,open_p99_ms,"
               "open_max_ms,refused_p50_ms,refused_p99_ms,refused_max_ms,seconds,finals,"
               "tokens_per_s,lag_p50_ms,lag_p99_ms,lag_max_ms,held_back,different,target_rss_mb,"
               "target_peak_mb,target_cpu,bytes_up_per_audio_s,bytes_down_per_audio_s,"
               "frames_up_per_final,"
               "frames_down_per_final\n");
    printf("%s,%s,%" PRId64 ",%" PRId64 ",%u,%u,%u,%u", v->label,
           v->tls_certificate ? "mutual" : v->tls_ca ? "server" : "none", v->idle, v->active,
           load->n_opened, load->n_refused, load->n_failed, load->n_lost);
    print_quantiles(&load->opened);
    print_quantiles(&load->refused);
    printf(",%.1f,%u,%.1f", seconds, load->n_finals, (double)load->n_tokens / seconds);
    print_quantiles(&load->lag);
    printf(",%u,%u,%.1f,%.1f,%.2f", load->n_skipped, load->n_different, after.rss_mb,
           after.peak_mb, (after.cpu_s - before.cpu_s) / seconds);
    printf(",%.0f,%.0f,%.1f,%.1f\n", (double)load->bytes_up / MAX(audio_s, 1.0),
           (double)load->bytes_down / MAX(audio_s, 1.0), (double)load->frames_up / finals,
           (double)load->frames_down / finals);
}

/* ---- a run ---- */

static void measure(struct load *load, bool on)
{
    pthread_mutex_lock(&load->lock);
    load->measuring = on;
    pthread_mutex_unlock(&load->lock);
}

static void spread_starts(struct load *load)
{
    uint64_t now = now_us(load);
    for (uint32_t i = 0; i < load->n; i++) {
        struct session *s = &load->session[i];
        uint32_t phase = (uint32_t)(i * 2654435761u);
        s->clip = i % CLIPS;
        /* over a whole utterance, or all would end at once */
        s->next_us = now + (uint64_t)(load->values.speech * 1e6 * (phase / 4294967296.0));
    }
}

static void run(struct load *load)
{
    const struct values *v = &load->values;
    spread_starts(load);
    speak_all(load, now_us(load) + (uint64_t)(v->warm_up * 1e6));
    struct taken before = look_at(v->pid);
    measure(load, true);
    uint64_t begin_us = now_us(load), end_us = begin_us + (uint64_t)(v->seconds * 1e6);
    struct knocker knocker = {load, end_us};
    pthread_t thread;
    bool knocks = load->n_extra > 0 && pthread_create(&thread, NULL, knock_all, &knocker) == 0;
    speak_all(load, end_us);
    measure(load, false);
    double seconds = (double)(now_us(load) - begin_us) / 1e6;
    struct taken after = look_at(v->pid);
    if (knocks)
        pthread_join(thread, NULL);
    rest(500000);               /* the last answers */
    pthread_mutex_lock(&load->lock);
    report(load, seconds, before, after);
    pthread_mutex_unlock(&load->lock);
}

#define AT(member) offsetof(struct values, member)

static const struct option table[] = {
    {.name = "target", .type = OPTION_ADDRESS, .offset = AT(target), .min = 1, .max = 65535,
     .initial = "127.0.0.1:7600", .value_name = "HOST:PORT", .group = "Target",
     .help = "The target; give it enough --sessions."},
    {.name = "pid", .type = OPTION_INT, .offset = AT(pid), .max = 1e9, .group = "Target",
     .help = "Its process, if it is on this machine: memory and processor time."},
    {.name = "tls-ca", .type = OPTION_PATH, .offset = AT(tls_ca), .group = "Target",
     .help = "PEM file with the authority of the target's certificate: TLS."},
    {.name = "tls-certificate", .type = OPTION_PATH, .offset = AT(tls_certificate),
     .group = "Target", .help = "PEM file with all clients' certificate: mutual TLS."},
    {.name = "tls-key", .type = OPTION_PATH, .offset = AT(tls_key), .group = "Target",
     .help = "PEM file with its key."},
    {.name = "idle", .type = OPTION_INT, .offset = AT(idle), .max = 60000, .initial = "0",
     .group = "Load", .help = "Sessions that are open and silent."},
    {.name = "active", .type = OPTION_INT, .offset = AT(active), .max = 60000, .initial = "10",
     .group = "Load", .help = "Sessions that speak all the time."},
    {.name = "extra", .type = OPTION_INT, .offset = AT(extra), .max = 60000, .initial = "0",
     .group = "Load",
     .help = "Further clients that come one by one, for a target that is full without them."},
    {.name = "extra-rate", .type = OPTION_INT, .offset = AT(extra_rate), .min = 1, .max = 10000,
     .initial = "50", .group = "Load", .help = "Of those, so many a second."},
    {.name = "speech", .type = OPTION_DURATION, .offset = AT(speech), .min = 0.5, .max = 30,
     .initial = "4s", .group = "Load", .help = "Length of an utterance."},
    {.name = "warm-up", .type = OPTION_DURATION, .offset = AT(warm_up), .max = 3600,
     .initial = "5s", .group = "Load", .help = "Speech before the measured time."},
    {.name = "seconds", .type = OPTION_DURATION, .offset = AT(seconds), .min = 1, .max = 86400,
     .initial = "10s", .group = "Load", .help = "Measured time."},
    {.name = "label", .type = OPTION_STRING, .offset = AT(label), .initial = "", .group = "Output",
     .help = "First column of the row."},
    {.name = "header", .type = OPTION_BOOL, .offset = AT(header), .initial = "yes",
     .group = "Output", .help = "Name the columns before it."},
};

static const struct option_program program = {
    .name = "capacity",
    .version = SPECASR_VERSION,
    .usage = "[options]",
    .about = "Loads one target_node with many clients, each with a connection of its own, and "
             "prints a row of comma-separated values: how soon they were taken or turned away, "
             "their final lag, tokens a second, memory and processor time of the target, bytes and "
             "frames. Give the target a model that costs nothing (toy:1), or that and a --pace.",
    .examples = "target_node --model toy:1 --sessions 12000 --listen 127.0.0.1:7600\n"
                "capacity --target 127.0.0.1:7600 --idle 10000 --active 500 \\\n"
                "    --pid `pidof target_node`",
    .options = table,
    .n_options = ARRAY_LEN(table),
};

static enum status start(struct load *load, struct error *err)
{
    struct values *v = &load->values;
    load->clock = clock_monotonic();
    load->n = (uint32_t)(v->idle + v->active);
    load->n_extra = (uint32_t)v->extra;
    pthread_mutex_init(&load->lock, NULL);
    option_address_format(&v->target, load->address, sizeof(load->address));
    load->session = calloc((size_t)load->n + load->n_extra + 1, sizeof(*load->session));
    if (!load->session)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the sessions");
    for (uint32_t i = 0; i < load->n + load->n_extra; i++)
        load->session[i].load = load;
    if (file_limit_raise() < load->n + 256u)
        return error_set(err, STATUS_EXHAUSTED, "too few files for %u connections: ulimit -n",
                         load->n);
    struct rpc_client_options options = {.target = load->address};
    for (int i = 0; i < RECEIVERS; i++) {
        enum status rc = rpc_client_new(&options, &load->receiver[i], err);
        if (rc != STATUS_OK)
            return rc;
    }
    enum status rc = make_clips(load, err);
    return rc == STATUS_OK ? open_all(load, err) : rc;
}

int main(int argc, char **argv)
{
    static struct load load;
    struct options *options = NULL;
    struct error err;
    int exit_code = EXIT_CODE_OK;
    if (!options_start(&program, argc, argv, &load.values, &options, &exit_code))
        return exit_code;
    log_init("capacity", LOG_INFO);
    enum status rc = start(&load, &err);
    if (rc == STATUS_OK) {
        run(&load);
        bool bad = load.n_failed + load.n_lost + load.n_different > 0;
        if (bad)
            log_line(LOG_ERROR, "%u failed, %u lost, %u texts differ: %s", load.n_failed,
                     load.n_lost, load.n_different, load.why);
        exit_code = bad ? EXIT_CODE_FAILED : EXIT_CODE_OK;
    } else {
        log_line(LOG_ERROR, "%s (%u open) %s", err.text, load.n_opened, load.why);
        exit_code = EXIT_CODE_FAILED;
    }
    fflush(stdout);
    _exit(exit_code);           /* ten thousand calls are cancelled soonest by the system */
}
