/* Peers that send valid frames in a bad order or with bad claims are refused, and nobody falls. */
#include "../support/loop.h"
#include "../support/support.h"
#include "../support/toy_engine.h"

#include <stdlib.h>
#include <string.h>

enum { TURNS_MAX = 200000, SECOND = 16000 };

static struct toy_engine target, draft;

static int open_engines(void **state)
{
    (void)state;
    toy_engine_open(&target, 1, 0.02f);
    toy_engine_open(&draft, 2, 0.05f);
    return 0;
}

static int close_engines(void **state)
{
    (void)state;
    toy_engine_close(&target);
    toy_engine_close(&draft);
    return 0;
}

/* ---- a hostile client ---- */

/* A target and a session whose frames go nowhere. */
struct victim {
    struct target *target;
    struct target_session *session;
    uint32_t n_sent[WIRE_KIND_N];
};

static bool count_frame(void *context, const struct wire_frame *frame)
{
    struct victim *victim = context;
    struct wire_bytes bytes;
    struct error err;
    assert_ok(wire_pack(frame, &bytes, &err), &err);
    wire_bytes_release(&bytes);
    victim->n_sent[frame->kind]++;
    return true;
}

static void victim_open(struct victim *victim)
{
    struct error err;
    struct target_options options = target_options_default();
    *victim = (struct victim){0};
    assert_ok(target_new(&target.engine, &options, &victim->target, &err), &err);
    struct target_sink sink = {.send = count_frame, .context = victim};
    assert_ok(target_session_open(victim->target, sink, &victim->session, &err), &err);
}

static void victim_close(struct victim *victim)
{
    target_session_close(&victim->session);
    target_free(&victim->target);
}

/* Over the wire's own check, as every frame comes. */
static enum status deliver(struct victim *victim, const struct wire_frame *frame,
                           struct error *err)
{
    struct wire_bytes bytes;
    struct wire_frame copy;
    assert_ok(wire_pack(frame, &bytes, err), err);
    enum status rc = wire_unpack(bytes.data, bytes.size, true, &copy, err);
    wire_bytes_release(&bytes);
    if (rc != STATUS_OK)
        return rc;
    rc = target_session_receive(victim->session, &copy, err);
    wire_frame_release(&copy);
    return rc;
}

static struct wire_frame open_frame(struct wire_resume *resume)
{
    struct wire_frame frame = {.kind = WIRE_OPEN};
    frame.u.open = (struct wire_open){.version_min = 1, .version_max = 1,
                                      .rules = {.language = "en", .row_price = -1.0f},
                                      .n_resume = resume ? 1 : 0, .resume = resume};
    return frame;
}

static void give_window(struct victim *victim, uint64_t first, size_t n)
{
    struct error err;
    int16_t *samples = loop_speech(first + n, n);
    for (size_t at = 0; at < n; at += 16000) {
        struct wire_frame frame = {.kind = WIRE_AUDIO};
        frame.u.audio = (struct wire_audio){.first_sample = first + at, .codec = WIRE_PCM_S16,
                                            .n_bytes = 2 * (uint32_t)MIN(n - at, 16000u),
                                            .bytes = (uint8_t *)(samples + at)};
        assert_ok(deliver(victim, &frame, &err), &err);
    }
    free(samples);
}

static void a_claimed_prompt_outside_the_vocabulary_is_refused(void **state)
{
    (void)state;
    struct victim victim;
    struct error err;
    struct wire_resume resume = {.n_prompt = 2, .prompt = {5, 100000}};
    struct wire_frame open = open_frame(&resume);
    victim_open(&victim);
    assert_int_equal(deliver(&victim, &open, &err), STATUS_INVALID);
    assert_non_null(strstr(err.text, "100000"));
    victim_close(&victim);
}

static void the_last_claimable_position_leaves_room_for_a_window(void **state)
{
    (void)state;
    struct victim victim;
    struct error err;
    struct wire_resume resume = {.window = UINT32_MAX, .window_start = (uint64_t)1 << 47};
    struct wire_frame open = open_frame(&resume);
    victim_open(&victim);
    assert_ok(deliver(&victim, &open, &err), &err);
    resume.window_start -= 480000;
    victim_close(&victim);
    victim_open(&victim);
    assert_ok(deliver(&victim, &open, &err), &err);
    give_window(&victim, resume.window_start, 480000);
    for (uint32_t i = 0; i < 1000 && victim.n_sent[WIRE_WINDOW_FINAL] == 0; i++)
        (void)target_tick(victim.target);
    assert_int_equal(victim.n_sent[WIRE_WINDOW_FINAL], 1);
    victim_close(&victim);
}

static struct wire_frame draft_frame(uint32_t number, uint32_t base, uint32_t n_base)
{
    static struct wire_node nodes[2];
    nodes[0] = (struct wire_node){.token = 3, .parent = (int32_t)n_base - 1, .confidence = 1.0f};
    nodes[1] = (struct wire_node){.token = 4, .parent = (int32_t)n_base, .confidence = 1.0f};
    struct wire_frame frame = {.kind = WIRE_DRAFT};
    frame.u.draft = (struct wire_draft){.number = number, .base = base, .n_base = n_base,
                                        .prefix_hash = wire_hash(NULL, 0), .n_nodes = 2,
                                        .nodes = nodes};
    return frame;
}

static void a_delta_that_keeps_less_than_its_base_is_asked_for_whole(void **state)
{
    (void)state;
    struct victim victim;
    struct error err;
    struct wire_frame open = open_frame(NULL);
    victim_open(&victim);
    assert_ok(deliver(&victim, &open, &err), &err);
    struct wire_frame frames[] = {draft_frame(1, 0, 0)};
    assert_ok(deliver(&victim, &frames[0], &err), &err);
    frames[0] = draft_frame(2, 1, 1);
    assert_ok(deliver(&victim, &frames[0], &err), &err);
    assert_int_equal(victim.n_sent[WIRE_NEED_FULL], 1);
    frames[0] = draft_frame(3, 1, 2);
    assert_ok(deliver(&victim, &frames[0], &err), &err);
    assert_int_equal(victim.n_sent[WIRE_NEED_FULL], 1);
    victim_close(&victim);
}

static void empty_utterances_are_over_at_once_and_hold_nobody_up(void **state)
{
    (void)state;
    struct victim victim;
    struct error err;
    struct wire_frame open = open_frame(NULL), end = {.kind = WIRE_END_OF_UTTERANCE};
    victim_open(&victim);
    assert_ok(deliver(&victim, &open, &err), &err);
    for (uint32_t i = 0; i < 3 * WIRE_UTTERANCES_MAX; i++) {
        end.u.end_of_utterance.utterance = i;
        assert_ok(deliver(&victim, &end, &err), &err);
        assert_int_equal(victim.n_sent[WIRE_UTTERANCE_FINAL], i + 1);
        assert_false(target_session_busy(victim.session));
    }
    victim_close(&victim);
}

static void a_text_holds_no_zero_byte(void **state)
{
    (void)state;
    int32_t tokens[] = {'a', 0, 'b'};
    char text[16];
    assert_int_equal(engine_text(&target.engine, tokens, 3, text, sizeof(text)), 3);
    assert_string_equal(text, "a b");
}

/* ---- giving up ---- */

/* Cancels the first utterance when the encoder has begun its window; the second must not notice. */
static void an_utterance_given_up_in_the_encoder_does_not_leak_into_the_next(void **state)
{
    (void)state;
    struct client_options options = loop_options(true);
    size_t n = 6 * SECOND;
    int16_t *first = loop_speech(1, n), *second = loop_speech(2, n);
    struct loop *expected = loop_new(&target.engine, NULL, &options);
    assert_true(loop_transcribe(expected, second, n, TURNS_MAX));
    for (uint32_t turns = 1; turns < 8; turns++) {
        struct loop *loop = loop_new(&target.engine, NULL, &options);
        uint32_t id = client_begin(loop->client);
        assert_ok(client_audio(loop->client, first, n, &loop->error), &loop->error);
        client_end(loop->client);
        for (uint32_t i = 0; i < turns; i++)
            (void)loop_turn(loop);
        client_cancel(loop->client, id);
        assert_true(loop_transcribe(loop, second, n, TURNS_MAX));
        assert_int_equal(loop->result.n_tokens, expected->result.n_tokens);
        assert_memory_equal(loop->result.tokens, expected->result.tokens,
                            loop->result.n_tokens * sizeof(int32_t));
        loop_free(loop);
    }
    loop_free(expected);
    free(first);
    free(second);
}

/* ---- a hostile target ---- */

static bool drop_frame(void *context, const struct wire_frame *frame)
{
    (void)context;
    (void)frame;
    return true;
}

static size_t nothing_queued(void *context)
{
    (void)context;
    return 0;
}

/* A client with an utterance of five seconds, all of it sent. */
static struct client *new_client(void)
{
    struct client_options options = loop_options(false);
    struct client_events events = {0};
    struct client *client;
    struct error err;
    bool worked;
    int16_t *samples = loop_speech(3, 5 * SECOND);
    struct client_sink sink = {.send = drop_frame, .queued = nothing_queued};
    assert_ok(client_new(NULL, &options, &events, &client, &err), &err);
    client_connected(client, sink);
    (void)client_begin(client);
    assert_false(client_expects(client));   /* the target has not heard of it */
    assert_ok(client_audio(client, samples, 5 * SECOND, &err), &err);
    client_end(client);
    assert_ok(client_step(client, &worked, &err), &err);
    assert_true(client_expects(client));
    free(samples);
    return client;
}

static void expect_corrupt(struct client **client, const struct wire_frame *frame)
{
    struct error err;
    assert_int_equal(client_receive(*client, frame, &err), STATUS_CORRUPT);
    assert_true(strlen(err.text) > 20);
    client_free(client);
}

static void a_target_that_ends_an_utterance_too_early_is_refused(void **state)
{
    (void)state;
    struct client *client = new_client();
    struct wire_frame frame = {.kind = WIRE_UTTERANCE_FINAL, .u.utterance_final.n_windows = 1};
    expect_corrupt(&client, &frame);
}

static void a_target_that_opens_twice_or_without_room_is_refused(void **state)
{
    (void)state;
    struct error err;
    struct client *client = new_client();
    struct wire_frame opened = {.kind = WIRE_OPENED,
                                .u.opened = {.version = 1, .audio_credit = 960000}};
    assert_ok(client_receive(client, &opened, &err), &err);
    expect_corrupt(&client, &opened);
    client = new_client();
    opened.u.opened.audio_credit--;
    expect_corrupt(&client, &opened);
}

static void a_target_that_runs_ahead_of_the_audio_is_refused(void **state)
{
    (void)state;
    struct error err;
    struct client *client = new_client();
    struct wire_frame frame = {.kind = WIRE_WINDOW_FINAL};
    char text[] = "";
    frame.u.window_final = (struct wire_window_final){
        .next_start = 5 * SECOND + 320, .text = text, .digest = wire_hash(NULL, 0)};
    assert_ok(client_receive(client, &frame, &err), &err);  /* it has ended: a time may */
    struct wire_frame end = {.kind = WIRE_UTTERANCE_FINAL, .u.utterance_final.n_windows = 1};
    assert_ok(client_receive(client, &end, &err), &err);
    (void)client_begin(client);             /* this one has not */
    frame.u.window_final.utterance = 1;
    frame.u.window_final.next_start = 320;
    expect_corrupt(&client, &frame);
}

/* ---- vocabularies ---- */

static void step_to_the_end(struct drafter *drafter)
{
    struct error err;
    bool worked = true;
    for (uint32_t i = 0; i < 10000 && worked; i++)
        assert_ok(drafter_step(drafter, &worked, &err), &err);
    assert_false(worked);
}

static void a_drafter_survives_the_loss_of_its_vocabulary(void **state)
{
    (void)state;
    struct error err;
    struct drafter *drafter;
    struct tokenizer *vocabulary;
    struct drafter_options options = {.language = "en", .silence_ms = 1000};
    int16_t *samples = loop_speech(4, 5 * SECOND);
    const int32_t decided[] = {300, 301};
    uint32_t version, before;
    assert_ok(drafter_new(&draft.engine, &options, &drafter, &err), &err);
    toy_tokenizer(&draft.description, 2, &vocabulary);
    assert_ok(drafter_set_target(drafter, vocabulary, &err), &err);
    drafter_begin(drafter, &(struct drafter_window){.samples = samples, .n = 5 * SECOND});
    step_to_the_end(drafter);
    assert_ok(drafter_follow(drafter, decided, 2, &err), &err);
    assert_ok(drafter_set_target(drafter, NULL, &err), &err);
    tokenizer_free(&vocabulary);
    step_to_the_end(drafter);
    assert_int_equal(drafter_proposal(drafter, &before)->n_nodes, 0);
    assert_ok(drafter_set_target(drafter, draft.engine.tokenizer, &err), &err);
    const struct drafter_proposal *proposal = drafter_proposal(drafter, &version);
    assert_true(proposal->n_trunk > 0 && proposal->complete && proposal->n_prefix == 0);
    assert_int_not_equal(version, before);
    drafter_free(&drafter);
    free(samples);
}

static void text_that_the_draft_model_cannot_follow_ends_the_draft_only(void **state)
{
    (void)state;
    struct error err;
    struct drafter *drafter;
    struct tokenizer *vocabulary;
    struct drafter_options options = {.language = "en", .silence_ms = 1000};
    int16_t *samples = loop_speech(4, 5 * SECOND);
    int32_t decided[200];                   /* words of five bytes each, a token a byte */
    uint32_t version, before;
    for (uint32_t i = 0; i < ARRAY_LEN(decided); i++)
        decided[i] = 256 + (int32_t)i;
    assert_ok(drafter_new(&draft.engine, &options, &drafter, &err), &err);
    toy_tokenizer(&draft.description, 2, &vocabulary);
    assert_ok(drafter_set_target(drafter, vocabulary, &err), &err);
    drafter_begin(drafter, &(struct drafter_window){.samples = samples, .n = 5 * SECOND});
    step_to_the_end(drafter);
    (void)drafter_proposal(drafter, &before);
    assert_ok(drafter_follow(drafter, decided, ARRAY_LEN(decided), &err), &err);
    assert_false(drafter_busy(drafter));
    const struct drafter_proposal *proposal = drafter_proposal(drafter, &version);
    assert_int_not_equal(version, before);  /* said once, so that nobody waits for it */
    assert_true(proposal->complete && proposal->n_nodes == 0);
    assert_int_equal(drafter_follow(drafter, (const int32_t[]){100000}, 1, &err), STATUS_INVALID);
    drafter_free(&drafter);
    tokenizer_free(&vocabulary);
    free(samples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_utterance_given_up_in_the_encoder_does_not_leak_into_the_next),
        cmocka_unit_test(a_claimed_prompt_outside_the_vocabulary_is_refused),
        cmocka_unit_test(the_last_claimable_position_leaves_room_for_a_window),
        cmocka_unit_test(a_delta_that_keeps_less_than_its_base_is_asked_for_whole),
        cmocka_unit_test(empty_utterances_are_over_at_once_and_hold_nobody_up),
        cmocka_unit_test(a_text_holds_no_zero_byte),
        cmocka_unit_test(a_target_that_ends_an_utterance_too_early_is_refused),
        cmocka_unit_test(a_target_that_opens_twice_or_without_room_is_refused),
        cmocka_unit_test(a_target_that_runs_ahead_of_the_audio_is_refused),
        cmocka_unit_test(a_drafter_survives_the_loss_of_its_vocabulary),
        cmocka_unit_test(text_that_the_draft_model_cannot_follow_ends_the_draft_only),
    };
    return cmocka_run_group_tests(tests, open_engines, close_engines);
}
