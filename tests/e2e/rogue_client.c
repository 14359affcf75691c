/* rogue_client.c: a client that breaks the protocol in one chosen way, for the end-to-end tests.
 *
 *     rogue_client HOST:PORT CASE FILE.wav      `rogue_client list` prints the cases
 *
 * Prints what it gets back, one line each: "final TEXT" (a committed window), "error STATUS TEXT"
 * (an utterance given up), and at the end "done STATUS TEXT", or "hung" when nothing ends the call.
 * Well-formed frames come from lib/wire; wrong ones are put together byte by byte below.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audio/audio_file.h"
#include "rpc/rpc.h"
#include "wire/wire.h"

enum { WAIT_S = 60, BYTES_MAX = 7 << 20 };

struct session {
    struct rpc_client *client;
    struct rpc_call *call;
    int16_t *samples;
    size_t n_samples;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool answered, done;                    /* under the lock */
};

/* ---- answers, on the rpc thread ---- */

static void tell(struct session *s, bool *flag, const char *what, const char *code,
                 const char *text)
{
    printf("%s%s%s %s\n", what, *code ? " " : "", code, text);
    fflush(stdout);
    pthread_mutex_lock(&s->lock);
    *flag = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void on_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    struct session *s = rpc_user(call);
    struct wire_frame frame;
    bool progress = false;
    if (wire_unpack(data, size, false, &frame, NULL) != STATUS_OK) {
        tell(s, &progress, "unreadable", "", "frame");
        return;
    }
    if (frame.kind == WIRE_WINDOW_FINAL)
        tell(s, &progress, "final", "", frame.u.window_final.text);
    else if (frame.kind == WIRE_ERROR)
        tell(s, &s->answered, "error", status_text(frame.u.error.code), frame.u.error.message);
    else if (frame.kind == WIRE_UTTERANCE_FINAL)
        tell(s, &s->answered, "utterance", "", "over");
    wire_frame_release(&frame);
}

static void on_done(struct rpc_call *call, enum status code, const char *message)
{
    struct session *s = rpc_user(call);
    tell(s, &s->done, "done", status_text(code), message);
}

static const struct rpc_handler handler = {.on_message = on_message, .on_done = on_done};

static bool wait_for(struct session *s, const bool *flag)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    pthread_mutex_lock(&s->lock);
    while (!*flag && !s->done && pthread_cond_timedwait(&s->changed, &s->lock, &until) == 0)
        continue;
    bool came = *flag || s->done;
    pthread_mutex_unlock(&s->lock);
    return came;
}

/* ---- good frames ---- */

static void send_frame(struct session *s, const struct wire_frame *frame)
{
    struct wire_bytes bytes;
    if (wire_pack(frame, &bytes, NULL) != STATUS_OK)
        abort();
    (void)rpc_send(s->call, bytes.data, bytes.size);
    wire_bytes_release(&bytes);
}

static struct wire_frame good_open(void)
{
    struct wire_frame frame = {.kind = WIRE_OPEN};
    frame.u.open = (struct wire_open){
        .version_min = WIRE_VERSION_MIN, .version_max = WIRE_VERSION_MAX, .session = "rogue",
        .rules = {.language = "en", .fallback = true, .use_drafts = true, .row_price = -1.0f}};
    return frame;
}

static void open_session(struct session *s)
{
    struct wire_frame frame = good_open();
    send_frame(s, &frame);
}

static void send_pcm(struct session *s, uint32_t utterance, uint64_t first, const int16_t *samples,
                     size_t n)
{
    struct wire_frame frame = {.kind = WIRE_AUDIO};
    frame.u.audio = (struct wire_audio){.utterance = utterance, .first_sample = first,
                                        .codec = WIRE_PCM_S16,
                                        .n_bytes = (uint32_t)(n * sizeof(int16_t)),
                                        .bytes = (uint8_t *)(uintptr_t)samples};
    send_frame(s, &frame);
}

static void send_end(struct session *s, uint32_t utterance, uint64_t n)
{
    struct wire_frame frame = {.kind = WIRE_END_OF_UTTERANCE};
    frame.u.end_of_utterance.utterance = utterance;
    frame.u.end_of_utterance.n_samples = n;
    send_frame(s, &frame);
}

/* The whole file, and its end. */
static void send_file(struct session *s, uint32_t utterance)
{
    for (size_t at = 0; at < s->n_samples; at += 8000)
        send_pcm(s, utterance, at, s->samples + at, MIN(s->n_samples - at, (size_t)8000));
    send_end(s, utterance, s->n_samples);
}

static void send_chain(struct session *s, const int32_t *tokens, uint32_t n)
{
    struct wire_node nodes[WIRE_DRAFT_NODES_MAX];
    struct wire_frame frame = {.kind = WIRE_DRAFT};
    for (uint32_t i = 0; i < n; i++)
        nodes[i] = (struct wire_node){tokens[i], (int32_t)i - 1, 1.0f};
    frame.u.draft = (struct wire_draft){.number = 1, .prefix_hash = wire_hash(NULL, 0),
                                        .complete = true, .n_nodes = n, .nodes = nodes};
    send_frame(s, &frame);
}

/* ---- bytes by hand ---- */

struct bytes {
    size_t n;
    uint8_t data[BYTES_MAX];
};

static void put_varint(struct bytes *b, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        b->data[b->n++] = (uint8_t)(value | 0x80);
    b->data[b->n++] = (uint8_t)value;
}

static void put_number(struct bytes *b, unsigned field, uint64_t value)
{
    put_varint(b, field << 3);
    put_varint(b, value);
}

/* Length-delimited: a message, bytes, or packed numbers. */
static void put_block(struct bytes *b, unsigned field, const void *data, size_t n)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, n);
    memcpy(b->data + b->n, data, n);
    b->n += n;
}

/* The message as field `kind` of a ClientFrame. */
static void send_raw(struct session *s, unsigned kind, const struct bytes *message)
{
    struct bytes *frame = calloc(1, sizeof(*frame));
    put_block(frame, kind, message->data, message->n);
    (void)rpc_send(s->call, frame->data, frame->n);
    free(frame);
}

static void send_raw_audio(struct session *s, size_t n)
{
    struct bytes *message = calloc(1, sizeof(*message));
    uint8_t *zeros = calloc(1, n);
    put_block(message, 4, zeros, n);
    send_raw(s, 2, message);
    free(zeros);
    free(message);
}

/* ---- the cases ---- */

static void no_open(struct session *s)
{
    send_pcm(s, 0, 0, s->samples, 1000);
}

static void open_twice(struct session *s)
{
    open_session(s);
    open_session(s);
}

static void other_version(struct session *s)
{
    struct wire_frame frame = good_open();
    frame.u.open.version_min = 7;
    frame.u.open.version_max = 9;
    send_frame(s, &frame);
}

static void other_vocabulary(struct session *s)
{
    struct wire_frame frame = good_open();
    frame.u.open.vocabulary_hash = 0x1234567890abcdefu;
    send_frame(s, &frame);
}

static void other_language(struct session *s)
{
    struct wire_frame frame = good_open();
    memcpy(frame.u.open.rules.language, "tlh", 4);
    send_frame(s, &frame);
}

static void bad_temperature(struct session *s)
{
    static const uint8_t open_head[] = {0x08, 1, 0x10, 1, 0x1a, 16};    /* versions, 16 bytes */
    static const uint8_t rules[] = {0x0a, 2, 'e', 'n', 0x55, 0, 0, 0xc0, 0x7f};     /* NaN */
    struct bytes *message = calloc(1, sizeof(*message));
    memcpy(message->data, open_head, sizeof(open_head));
    message->n = sizeof(open_head) + 16;
    put_block(message, 7, rules, sizeof(rules));
    send_raw(s, 1, message);
    free(message);
}

/* Above what the transport takes. */
static void huge_frame(struct session *s)
{
    open_session(s);
    send_raw_audio(s, 6 << 20);
}

/* Above what a frame may have. */
static void large_frame(struct session *s)
{
    open_session(s);
    send_raw_audio(s, 3 << 20);
}

/* Above what an audio frame may have. */
static void big_frame(struct session *s)
{
    open_session(s);
    send_raw_audio(s, WIRE_AUDIO_MAX + 2);
}

static void empty_frame(struct session *s)
{
    open_session(s);
    (void)rpc_send(s->call, NULL, 0);
}

static void noise(struct session *s)
{
    uint8_t data[200];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 151 + 87);
    (void)rpc_send(s->call, data, sizeof(data));
}

static void cut_frame(struct session *s)
{
    struct wire_frame frame = good_open();
    struct wire_bytes bytes;
    if (wire_pack(&frame, &bytes, NULL) != STATUS_OK)
        abort();
    (void)rpc_send(s->call, bytes.data, bytes.size / 2);
    wire_bytes_release(&bytes);
}

static void unknown_kind(struct session *s)
{
    struct bytes *message = calloc(1, sizeof(*message));
    open_session(s);
    put_number(message, 1, 5);
    send_raw(s, 15, message);
    free(message);
}

static void audio_gap(struct session *s)
{
    open_session(s);
    send_pcm(s, 0, 0, s->samples, 4000);
    send_pcm(s, 0, 9000, s->samples + 9000, 1000);
}

static void audio_after_end(struct session *s)
{
    open_session(s);
    send_pcm(s, 0, 0, s->samples, 16000);
    send_end(s, 0, 16000);
    send_pcm(s, 0, 16000, s->samples, 100);
}

static void wrong_end(struct session *s)
{
    open_session(s);
    send_pcm(s, 0, 0, s->samples, 4000);
    send_end(s, 0, 5000);
}

static void bad_flac(struct session *s)
{
    struct wire_frame frame = {.kind = WIRE_AUDIO};
    open_session(s);
    frame.u.audio = (struct wire_audio){.codec = WIRE_FLAC, .n_bytes = 900,
                                        .bytes = (uint8_t *)s->samples};
    send_frame(s, &frame);
}

static void odd_pcm(struct session *s)
{
    open_session(s);
    send_raw_audio(s, 3);
}

static void five_utterances(struct session *s)
{
    open_session(s);
    for (uint32_t i = 0; i <= WIRE_UTTERANCES_MAX; i++)
        send_pcm(s, i, 0, s->samples, 100);
}

/* Far more audio than the credit, none of it awaited. */
static void flood(struct session *s)
{
    static const int16_t zeros[30000];
    open_session(s);
    for (uint32_t i = 0; i < 120; i++)
        send_pcm(s, 0, (uint64_t)i * 30000, zeros, 30000);
}

static void draft_parents(struct session *s)
{
    struct bytes *message = calloc(1, sizeof(*message));
    static const uint8_t tokens[] = {11, 12, 13}, confidence[] = {9, 9, 9}, back[] = {1, 1, 7};
    open_session(s);
    put_number(message, 4, 1);
    put_block(message, 10, tokens, sizeof(tokens));
    put_block(message, 11, confidence, sizeof(confidence));
    put_block(message, 12, back, sizeof(back));
    send_raw(s, 4, message);
    free(message);
}

static void draft_large_token(struct session *s)
{
    static const int32_t tokens[] = {500, WIRE_TOKEN_MAX - 1, 11};
    open_session(s);
    send_chain(s, tokens, 3);
    send_file(s, 0);
}

/* Every kind of token at a wrong place: end, start, languages, times, text. */
static void draft_nonsense(struct session *s)
{
    int32_t tokens[WIRE_DRAFT_NODES_MAX];
    for (uint32_t i = 0; i < WIRE_DRAFT_NODES_MAX; i++)
        tokens[i] = i % 3 == 0 ? 50250 + (int32_t)(i * 7 % 1500) : (int32_t)(i * 977 % 50257);
    open_session(s);
    send_chain(s, tokens, WIRE_DRAFT_NODES_MAX);
    send_file(s, 0);
}

static void draft_for_nobody(struct session *s)
{
    static const int32_t tokens[] = {500, 11};
    struct wire_frame frame = {.kind = WIRE_CANCEL};
    open_session(s);
    send_chain(s, tokens, 2);
    frame.u.cancel.utterance = 0;
    send_frame(s, &frame);
    send_chain(s, tokens, 2);
    send_file(s, 1);
}

static void resume_with(struct session *s, const struct wire_resume *resume, uint32_t n)
{
    struct wire_frame frame = good_open();
    frame.u.open.epoch = 3;
    frame.u.open.n_resume = n;
    frame.u.open.resume = (struct wire_resume *)(uintptr_t)resume;
    send_frame(s, &frame);
}

/* Claims tokens that no target decided. */
static void resume_lie(struct session *s)
{
    struct wire_resume resume = {.n_decided = 40};
    for (int32_t i = 0; i < 40; i++)
        resume.decided[i] = 1000 + 313 * i;
    resume_with(s, &resume, 1);
    send_file(s, 0);
}

static void resume_far(struct session *s)
{
    struct wire_resume resume = {.window = 1u << 20, .window_start = (uint64_t)1 << 40};
    resume_with(s, &resume, 1);
    send_pcm(s, 0, (uint64_t)1 << 40, s->samples, 8000);
    send_end(s, 0, ((uint64_t)1 << 40) + 8000);
}

static void resume_order(struct session *s)
{
    const struct wire_resume resume[] = {{.utterance = 5}, {.utterance = 4}};
    resume_with(s, resume, 2);
}

static void no_samples(struct session *s)
{
    open_session(s);
    send_end(s, 0, 0);
}

/* Hangs up in the middle of an utterance. */
static void hang_up(struct session *s)
{
    open_session(s);
    send_pcm(s, 0, 0, s->samples, 16000);
    send_end(s, 0, 16000);
    rpc_cancel(s->call);
}

static void says_goodbye(struct session *s)
{
    open_session(s);
    rpc_half_close(s->call);
}

static void honest(struct session *s)
{
    open_session(s);
    send_file(s, 0);
}

struct rogue_case {
    const char *name;
    void (*play)(struct session *s);
};

static const struct rogue_case cases[] = {
    {"no-open", no_open}, {"open-twice", open_twice},
    {"other-version", other_version},
    {"other-vocabulary", other_vocabulary}, {"other-language", other_language},
    {"bad-temperature", bad_temperature}, {"huge-frame", huge_frame},
    {"large-frame", large_frame}, {"big-frame", big_frame},
    {"empty-frame", empty_frame}, {"noise", noise}, {"cut-frame", cut_frame},
    {"unknown-kind", unknown_kind}, {"audio-gap", audio_gap}, {"audio-after-end", audio_after_end},
    {"wrong-end", wrong_end}, {"bad-flac", bad_flac}, {"odd-pcm", odd_pcm},
    {"five-utterances", five_utterances}, {"flood", flood}, {"draft-parents", draft_parents},
    {"draft-large-token", draft_large_token}, {"draft-nonsense", draft_nonsense},
    {"draft-for-nobody", draft_for_nobody}, {"resume-lie", resume_lie}, {"resume-far", resume_far},
    {"resume-order", resume_order}, {"no-samples", no_samples}, {"hang-up", hang_up},
    {"says-goodbye", says_goodbye}, {"honest", honest},
};

static const struct rogue_case *find_case(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (strcmp(cases[i].name, name) == 0)
            return &cases[i];
    return NULL;
}

static enum status connect_to(struct session *s, const char *target, const char *file,
                              struct error *err)
{
    struct rpc_client_options options = {
        .target = target, .limits = {.message_max = 8 << 20, .queue_bytes = 64 << 20}};
    struct rpc_open_options open = {.method = "/specasr.v1.Verify/Session", .handler = &handler,
                                    .user = s};
    enum status rc = audio_file_load(file, 60 * 16000, &s->samples, &s->n_samples, NULL, err);
    if (rc == STATUS_OK)
        rc = rpc_client_new(&options, &s->client, err);
    if (rc == STATUS_OK)
        rc = rpc_open(s->client, &open, &s->call, err);
    return rc;
}

int main(int argc, char **argv)
{
    struct session s = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct error err;
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
            puts(cases[i].name);
        return 0;
    }
    const struct rogue_case *chosen = argc == 4 ? find_case(argv[2]) : NULL;
    if (!chosen) {
        fprintf(stderr, "usage: rogue_client HOST:PORT CASE FILE.wav (or: rogue_client list)\n");
        return 2;
    }
    if (connect_to(&s, argv[1], argv[3], &err) != STATUS_OK) {
        fprintf(stderr, "rogue_client: %s\n", err.text);
        return 1;
    }
    chosen->play(&s);
    bool answered = wait_for(&s, &s.answered);
    if (answered) {
        rpc_half_close(s.call);
        answered = wait_for(&s, &s.done);
    }
    if (!answered)
        puts("hung");
    rpc_unref(s.call);
    rpc_client_free(&s.client);
    free(s.samples);
    return 0;
}
