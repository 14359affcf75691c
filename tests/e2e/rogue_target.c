/* rogue_target.c: a target that breaks the protocol in one chosen way, for the end-to-end tests.
 *
 *     rogue_target CASE      prints "listening on 127.0.0.1:PORT" and serves until it is killed
 *
 * A client must neither crash nor go on for ever with such a target.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rpc/rpc.h"
#include "wire/wire.h"

static const char *chosen;
static struct rpc_call *session;            /* no-vocabulary: the present one */
static int n_asked;

static void send_frame(struct rpc_call *call, const struct wire_frame *frame)
{
    struct wire_bytes bytes;
    if (wire_pack(frame, &bytes, NULL) != STATUS_OK)
        abort();
    (void)rpc_send(call, bytes.data, bytes.size);
    wire_bytes_release(&bytes);
}

static void send_opened(struct rpc_call *call)
{
    struct wire_frame frame = {.kind = WIRE_OPENED};
    frame.u.opened = (struct wire_opened){.version = WIRE_VERSION_MAX, .model = "rogue",
                                          .vocabulary_hash = 77, .utterances_max = 4,
                                          .audio_credit = 1 << 20};
    send_frame(call, &frame);
}

/* A target of a later protocol: Opened with a version that was not offered. */
static void send_other_version(struct rpc_call *call)
{
    static const uint8_t opened[] = {0x0a, 9, 0x08, 9, 0x12, 1, 'x', 0x28, 4, 0x30, 100};
    (void)rpc_send(call, opened, sizeof(opened));
}

static void send_noise(struct rpc_call *call)
{
    uint8_t data[100];
    memset(data, 0xa7, sizeof(data));
    (void)rpc_send(call, data, sizeof(data));
}

/* A window that does not begin where the client's does. */
static void send_final(struct rpc_call *call, const struct wire_end_of_utterance *end)
{
    static const int32_t token = 1000;
    struct wire_frame frame = {.kind = WIRE_WINDOW_FINAL};
    struct wire_window_final *final = &frame.u.window_final;
    final->utterance = end->utterance;
    final->window_start = 5;
    final->next_start = end->n_samples ? end->n_samples : 1;
    final->n_tokens = 1;
    final->tokens[0] = token;
    final->text = (char *)(uintptr_t)"rogue";
    final->digest = wire_hash(&token, 1);
    send_frame(call, &frame);
}

/* Tokens that do not follow those decided before. */
static void send_out_of_order(struct rpc_call *call, uint32_t utterance)
{
    struct wire_frame frame = {.kind = WIRE_DECIDED};
    frame.u.decided = (struct wire_decided){.utterance = utterance, .n_before = 30, .n_tokens = 1,
                                            .tokens = {1000}, .language = "en"};
    send_frame(call, &frame);
}

static void end_came(struct rpc_call *call, const struct wire_end_of_utterance *end)
{
    if (strcmp(chosen, "wrong-window") == 0)
        send_final(call, end);
    else if (strcmp(chosen, "out-of-order") == 0)
        send_out_of_order(call, end->utterance);
    else if (strcmp(chosen, "dies") == 0)
        rpc_finish(call, STATUS_UNAVAILABLE, "the session ended");
}

static void on_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    struct wire_frame frame;
    struct error err;
    if (wire_unpack(data, size, true, &frame, &err) != STATUS_OK) {
        rpc_finish(call, err.code, err.text);
        return;
    }
    if (frame.kind == WIRE_OPEN && strcmp(chosen, "refuses") == 0)
        rpc_finish(call, STATUS_MISMATCH, "your draft is not to my taste: choose another");
    else if (frame.kind == WIRE_OPEN && strcmp(chosen, "other-version") == 0)
        send_other_version(call);
    else if (frame.kind == WIRE_OPEN && strcmp(chosen, "noise") == 0)
        send_noise(call);
    else if (frame.kind == WIRE_OPEN && strcmp(chosen, "full") == 0)
        rpc_finish(call, STATUS_EXHAUSTED, "all sessions are taken: try later");
    else if (frame.kind == WIRE_OPEN && strcmp(chosen, "no-vocabulary") == 0 &&
             !frame.u.open.rules.use_drafts)
        rpc_finish(call, STATUS_INVALID, "told not to wait for drafts");
    else if (frame.kind == WIRE_OPEN && strcmp(chosen, "mute") != 0)
        send_opened(call);
    else if (frame.kind == WIRE_END_OF_UTTERANCE)
        end_came(call, &frame.u.end_of_utterance);
    wire_frame_release(&frame);
}

static void on_eof(struct rpc_call *call)
{
    rpc_finish(call, STATUS_OK, "");
}

/* no-vocabulary: fails each time, and ends the session at the third; or one without drafts.
 * One rpc thread calls. */
static void on_vocabulary_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
    printf("asked for the vocabulary\n");
    fflush(stdout);
    rpc_finish(call, STATUS_INTERNAL, "the vocabulary is lost");
    if (++n_asked == 3 && session)
        rpc_finish(session, STATUS_INVALID, "asked three times");
}

static void on_session_open(struct rpc_call *call)
{
    session = call;
}

static void on_session_done(struct rpc_call *call, enum status code, const char *message)
{
    (void)code;
    (void)message;
    if (session == call)
        session = NULL;
}

int main(int argc, char **argv)
{
    static const struct rpc_handler handler = {.on_open = on_session_open, .on_eof = on_eof,
                                               .on_message = on_message,
                                               .on_done = on_session_done};
    static const struct rpc_handler vocabulary = {.on_message = on_vocabulary_message};
    const struct rpc_method methods[] = {
        {"/specasr.v1.Verify/Session", &handler, NULL, false},
        {"/specasr.v1.Verify/GetVocabulary", &vocabulary, NULL, true},
    };
    struct rpc_server_options options = {
        .listen = "127.0.0.1:0", .methods = methods, .n_methods = 2};
    struct rpc_server *server;
    struct error err;
    if (argc != 2) {
        fprintf(stderr, "usage: rogue_target CASE\n");
        return 2;
    }
    chosen = argv[1];
    if (rpc_server_new(&options, &server, &err) != STATUS_OK) {
        fprintf(stderr, "rogue_target: %s\n", err.text);
        return 1;
    }
    printf("listening on 127.0.0.1:%u\n", rpc_server_port(server));
    fflush(stdout);
    for (;;)
        pause();
}
