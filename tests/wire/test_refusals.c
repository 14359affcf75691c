/* What a peer may not send, one rule at a time: built with protobuf-c directly, since our own
 * packer would refuse to make it. */
#include "../support/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "verify.pb-c.h"
#include "wire/wire.h"

/* Packs the message, gives it to the reader and expects the status and a word of its text. */
static void expect(const ProtobufCMessage *message, bool from_client, enum status status,
                   const char *word)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *data = malloc(size + 1);
    struct wire_frame frame;
    struct error err = {0};
    assert_non_null(data);
    protobuf_c_message_pack(message, data);
    enum status rc = wire_unpack(data, size, from_client, &frame, &err);
    free(data);
    if (rc == STATUS_OK)
        wire_frame_release(&frame);
    if (rc != status || (word && !strstr(err.text, word)))
        fail_msg("expected '%s' with '%s', got '%s': %s", status_text(status), word ? word : "",
                 status_text(rc), err.text);
}

/* ---- valid messages, to be spoilt by one field each ---- */

static struct {
    Specasr__V1__ClientFrame client;
    Specasr__V1__TargetFrame target;
    Specasr__V1__Open open;
    Specasr__V1__Rules rules;
    Specasr__V1__Resume resume[2], *resumes[8];
    Specasr__V1__Audio audio;
    Specasr__V1__EndOfUtterance end;
    Specasr__V1__Draft draft;
    Specasr__V1__Opened opened;
    Specasr__V1__NextSample next[2], *nexts[8];
    Specasr__V1__Decided decided;
    Specasr__V1__WindowFinal final;
    Specasr__V1__Segment segment, *segments[200];
    Specasr__V1__Error error;
    uint32_t tokens[WIRE_TOKENS_MAX + 1], back[4];
    uint8_t bytes[WIRE_AUDIO_MAX + 2];
} m;

static void reset_client_kinds(void)
{
    specasr__v1__open__init(&m.open);
    specasr__v1__rules__init(&m.rules);
    m.rules.language = "en";
    m.open.rules = &m.rules;
    m.open.version_min = 1;
    m.open.version_max = 1;
    m.open.session = (ProtobufCBinaryData){16, m.bytes};
    m.open.resume = m.resumes;
    for (int i = 0; i < 2; i++) {
        specasr__v1__resume__init(&m.resume[i]);
        m.resume[i].utterance = (uint32_t)i;
    }
    for (size_t i = 0; i < ARRAY_LEN(m.resumes); i++)
        m.resumes[i] = &m.resume[i % 2];
    specasr__v1__audio__init(&m.audio);
    m.audio.data = (ProtobufCBinaryData){4, m.bytes};
    specasr__v1__end_of_utterance__init(&m.end);
    specasr__v1__draft__init(&m.draft);
    m.draft.number = 3;
    m.draft.n_tokens = 2;
    m.draft.tokens = m.tokens;
    m.draft.confidence = (ProtobufCBinaryData){2, m.bytes};
    m.draft.parent_back = m.back;
}

static void reset_target_kinds(void)
{
    specasr__v1__opened__init(&m.opened);
    m.opened.version = 1;
    m.opened.next = m.nexts;
    for (int i = 0; i < 2; i++) {
        specasr__v1__next_sample__init(&m.next[i]);
        m.next[i].utterance = (uint32_t)i;
    }
    for (size_t i = 0; i < ARRAY_LEN(m.nexts); i++)
        m.nexts[i] = &m.next[i % 2];
    specasr__v1__decided__init(&m.decided);
    m.decided.tokens = m.tokens;
    specasr__v1__window_final__init(&m.final);
    m.final.tokens = m.tokens;
    m.final.prompt = m.tokens;
    m.final.n_tokens = 2;
    m.final.digest = wire_hash((const int32_t *)m.tokens, 2);
    m.final.segments = m.segments;
    specasr__v1__segment__init(&m.segment);
    for (size_t i = 0; i < ARRAY_LEN(m.segments); i++)
        m.segments[i] = &m.segment;
    specasr__v1__error__init(&m.error);
    m.error.code = SPECASR__V1__ERROR_CODE__TIMEOUT;
}

static void reset(void)
{
    memset(&m, 0, sizeof(m));
    for (size_t i = 0; i < ARRAY_LEN(m.back); i++)
        m.back[i] = 1;
    specasr__v1__client_frame__init(&m.client);
    specasr__v1__target_frame__init(&m.target);
    reset_client_kinds();
    reset_target_kinds();
}

#define CLIENT(CASE, member, status, word)                                                   \
    do {                                                                                     \
        m.client.kind_case = SPECASR__V1__CLIENT_FRAME__KIND_##CASE;                         \
        m.client.member = &m.member;                                                         \
        expect(&m.client.base, true, status, word);                                          \
        reset();                                                                             \
    } while (0)
#define TARGET(CASE, member, pointer, status, word)                                          \
    do {                                                                                     \
        m.target.kind_case = SPECASR__V1__TARGET_FRAME__KIND_##CASE;                         \
        m.target.member = pointer;                                                           \
        expect(&m.target.base, false, status, word);                                         \
        reset();                                                                             \
    } while (0)
#define OPEN(word) CLIENT(OPEN, open, STATUS_CORRUPT, word)
#define AUDIO(word) CLIENT(AUDIO, audio, STATUS_CORRUPT, word)
#define DRAFT(word) CLIENT(DRAFT, draft, STATUS_CORRUPT, word)
#define OPENED(word) TARGET(OPENED, opened, &m.opened, STATUS_CORRUPT, word)
#define DECIDED(word) TARGET(DECIDED, decided, &m.decided, STATUS_CORRUPT, word)
#define FINAL(word) TARGET(WINDOW_FINAL, window_final, &m.final, STATUS_CORRUPT, word)

static void the_templates_are_valid(void **state)
{
    (void)state;
    reset();
    m.open.n_resume = 2;
    CLIENT(OPEN, open, STATUS_OK, NULL);
    CLIENT(AUDIO, audio, STATUS_OK, NULL);
    CLIENT(DRAFT, draft, STATUS_OK, NULL);
    TARGET(OPENED, opened, &m.opened, STATUS_OK, NULL);
    TARGET(DECIDED, decided, &m.decided, STATUS_OK, NULL);
    m.final.n_segments = WIRE_SEGMENTS_MAX;
    TARGET(WINDOW_FINAL, window_final, &m.final, STATUS_OK, NULL);
    TARGET(ERROR, error, &m.error, STATUS_OK, NULL);
}

static void unknown_kinds_are_unsupported(void **state)
{
    (void)state;
    static const uint8_t kind_99[] = {0x9A, 0x06, 0x00};
    struct wire_frame frame;
    for (int client = 0; client < 2; client++) {
        assert_int_equal(wire_unpack(NULL, 0, client, &frame, NULL), STATUS_UNSUPPORTED);
        assert_int_equal(wire_unpack(kind_99, sizeof(kind_99), client, &frame, NULL),
                         STATUS_UNSUPPORTED);
    }
    reset();
    m.audio.codec = (Specasr__V1__Codec)7;
    CLIENT(AUDIO, audio, STATUS_UNSUPPORTED, "codec 7");
}

static void open_is_checked(void **state)
{
    (void)state;
    reset();
    m.open.version_min = 0;
    OPEN("versions");
    m.open.version_min = 2;
    OPEN("versions");
    m.open.session.len = 15;
    OPEN("session id has 15");
    m.open.rules = NULL;
    OPEN("rules");
    m.open.draft_model = "\xFF";
    OPEN("draft_model");
    m.open.draft_model = "0123456789012345678901234567890123456789012345678901234567890123";
    OPEN("draft_model is 64 bytes");
    m.rules.language = "";
    OPEN("language");
    m.rules.language = "\xC3";
    OPEN("language");
    m.rules.row_price = NAN;
    OPEN("row_price");
    m.rules.temperature = INFINITY;
    OPEN("temperature");
    m.rules.temperature = -0.1f;
    OPEN("temperature");
    m.open.n_resume = WIRE_UTTERANCES_MAX + 1;
    OPEN("resume");
    m.open.n_resume = 3;
    OPEN("resumed twice");
    m.open.n_resume = 1;
    m.resume[0].n_prompt = WIRE_PROMPT_MAX + 1;
    m.resume[0].prompt = m.tokens;
    OPEN("225 tokens");
    m.open.n_resume = 1;
    m.resume[0].n_decided = 1;
    m.resume[0].decided = m.tokens;
    m.tokens[0] = WIRE_TOKEN_MAX;
    OPEN("decided token");
    m.open.n_resume = 1;
    m.resume[0].window_start = UINT64_MAX;
    OPEN("window_start");
}

static void audio_is_checked(void **state)
{
    (void)state;
    reset();
    m.audio.data.len = 0;
    AUDIO("audio");
    m.audio.data.len = WIRE_AUDIO_MAX + 2;
    AUDIO("65538 bytes");
    m.audio.data.len = 3;
    AUDIO("half a sample");
    m.audio.first_sample = UINT64_MAX;
    AUDIO("first_sample");
    m.end.n_samples = UINT64_MAX;
    m.client.kind_case = SPECASR__V1__CLIENT_FRAME__KIND_END_OF_UTTERANCE;
    m.client.end_of_utterance = &m.end;
    expect(&m.client.base, true, STATUS_CORRUPT, "n_samples");
}

static void drafts_are_checked(void **state)
{
    (void)state;
    reset();
    m.draft.number = 0;
    DRAFT("earlier");
    m.draft.base_number = 3;
    DRAFT("earlier");
    m.draft.n_base = 1;
    DRAFT("keeps nothing");
    m.draft.n_prefix = WIRE_TOKENS_MAX + 1;
    DRAFT("n_prefix");
    m.draft.n_tokens = WIRE_DRAFT_NODES_MAX + 1;
    m.draft.confidence.len = m.draft.n_tokens;
    DRAFT("257 nodes");
    m.draft.base_number = 1;
    m.draft.n_base = UINT32_MAX;
    DRAFT("nodes");
    m.draft.base_number = 1;
    m.draft.n_base = WIRE_DRAFT_NODES_MAX - 1;
    DRAFT("too many nodes");
    m.draft.confidence.len = 1;
    DRAFT("1 confidences");
    m.draft.n_parent_back = 1;
    DRAFT("1 parents");
    m.draft.n_parent_back = 2;
    m.back[1] = 0;
    DRAFT("parent is not before");
    m.draft.n_parent_back = 2;
    m.back[1] = 3;
    DRAFT("parent is not before");
    m.draft.n_parent_back = 2;
    m.back[0] = UINT32_MAX;
    DRAFT("parent is not before");
    m.tokens[1] = UINT32_MAX;
    DRAFT("token");
}

static void answers_are_checked(void **state)
{
    (void)state;
    reset();
    m.opened.version = 0;
    OPENED("version");
    m.opened.n_next = WIRE_UTTERANCES_MAX + 1;
    OPENED("utterances");
    m.opened.n_next = 3;
    OPENED("twice");
    m.opened.model = "\xED\xA0\x80";
    OPENED("model");
    m.decided.n_tokens = WIRE_TOKENS_MAX + 1;
    DECIDED("449 tokens");
    m.decided.n_tokens = 1;
    m.decided.n_before = WIRE_TOKENS_MAX;
    DECIDED("too many tokens");
    m.decided.n_before = UINT32_MAX;
    DECIDED("too many tokens");
    m.decided.language = "portuguese";
    DECIDED("language is 10 bytes");
    m.decided.audio_received = UINT64_MAX;
    DECIDED("sample");
    m.error.code = SPECASR__V1__ERROR_CODE__UNKNOWN;
    TARGET(ERROR, error, &m.error, STATUS_OK, NULL);
    m.error.message = "\x80";
    TARGET(ERROR, error, &m.error, STATUS_CORRUPT, "message");
}

static void finals_are_checked(void **state)
{
    (void)state;
    char *text = calloc(1, WIRE_TEXT_MAX + 1);
    assert_non_null(text);
    memset(text, 'a', WIRE_TEXT_MAX);
    reset();
    m.final.digest ^= 1;
    FINAL("digest");
    m.final.window_start = 2;
    m.final.next_start = 1;
    FINAL("next window");
    m.final.n_segments = WIRE_SEGMENTS_MAX + 1;
    FINAL("segments");
    m.final.n_segments = 1;
    m.segment.start = 1;
    FINAL("ends before");
    m.final.n_segments = 1;
    m.segment.first_token = 3;
    FINAL("not the window's");
    m.final.n_segments = 1;
    m.segment.first_token = 2;
    m.segment.n_tokens = UINT32_MAX;
    FINAL("not the window's");
    m.final.n_segments = 1;
    m.final.text = "abc";
    m.segment.first_byte = 4;
    FINAL("text is not the window's");
    m.final.n_segments = 1;
    m.final.text = "abc";
    m.segment.first_byte = 3;
    m.segment.n_bytes = UINT32_MAX;
    FINAL("text is not the window's");
    m.final.text = text;
    FINAL("text of 16384 bytes");
    m.final.text = "caf\xC3";
    FINAL("UTF-8");
    m.final.mean_logprob = -INFINITY;
    FINAL("not a number");
    m.final.compression_ratio = NAN;
    FINAL("not a number");
    m.final.no_speech = 1.5f;
    FINAL("no_speech");
    m.final.temperature = NAN;
    FINAL("temperature");
    m.final.n_prompt = WIRE_PROMPT_MAX + 1;
    FINAL("225 tokens");
    free(text);
}

static void nul_inside_a_text_is_refused(void **state)
{
    (void)state;
    /* TargetFrame.error { message: "a\0b" } */
    static const uint8_t data[] = {0x52, 0x07, 0x08, 0x01, 0x2A, 0x03, 'a', 0, 'b'};
    struct wire_frame frame;
    struct error err;
    assert_int_equal(wire_unpack(data, sizeof(data), false, &frame, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "NUL"));
}

/* A megabyte of two-byte parts would want a hundred megabytes of memory. */
static void many_tiny_parts_do_not_buy_memory(void **state)
{
    (void)state;
    enum { PARTS = 400000 };
    uint8_t *data = malloc(4 + 2 * PARTS);
    struct wire_frame frame;
    struct error err;
    assert_non_null(data);
    uint32_t size = 2 * PARTS;
    data[0] = 0x0A;                                             /* Opened, a length of 3 bytes */
    data[1] = (uint8_t)(0x80 | (size & 0x7F));
    data[2] = (uint8_t)(0x80 | (size >> 7 & 0x7F));
    data[3] = (uint8_t)(size >> 14);
    for (int i = 0; i < PARTS; i++) {
        data[4 + 2 * i] = 0x3A;                                 /* next {} */
        data[5 + 2 * i] = 0x00;
    }
    assert_int_equal(wire_unpack(data, 4 + 2 * PARTS, false, &frame, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "too many parts"));
    free(data);
}

static void frames_above_the_cap_are_refused_unread(void **state)
{
    (void)state;
    uint8_t *data = calloc(1, WIRE_FRAME_MAX + 1);
    struct wire_frame frame;
    struct error err;
    assert_non_null(data);
    assert_int_equal(wire_unpack(data, WIRE_FRAME_MAX + 1, true, &frame, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "limit"));
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_templates_are_valid),
        cmocka_unit_test(unknown_kinds_are_unsupported),
        cmocka_unit_test(open_is_checked),
        cmocka_unit_test(audio_is_checked),
        cmocka_unit_test(drafts_are_checked),
        cmocka_unit_test(answers_are_checked),
        cmocka_unit_test(finals_are_checked),
        cmocka_unit_test(nul_inside_a_text_is_refused),
        cmocka_unit_test(many_tiny_parts_do_not_buy_memory),
        cmocka_unit_test(frames_above_the_cap_are_refused_unread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
