#include "loop.h"

#include <stdlib.h>
#include <string.h>

#include "support.h"

static void line_push(struct loop *loop, struct loop_line *line, const struct wire_frame *frame)
{
    struct error err;
    if (line->n == LOOP_FRAMES_MAX)
        fail_msg("too many frames under way");
    struct loop_frame *place = &line->frame[line->n++];
    place->due = loop->turn + loop->delay;
    assert_ok(wire_pack(frame, &place->bytes, &err), &err);
}

static void line_clear(struct loop_line *line)
{
    for (uint32_t i = 0; i < line->n; i++)
        wire_bytes_release(&line->frame[i].bytes);
    line->n = 0;
}

static bool line_pop(struct loop *loop, struct loop_line *line, bool from_client,
                     struct wire_frame *frame)
{
    struct error err;
    if (line->n == 0 || line->frame[0].due > loop->turn)
        return false;
    struct wire_bytes bytes = line->frame[0].bytes;
    line->n--;
    memmove(&line->frame[0], &line->frame[1], line->n * sizeof(line->frame[0]));
    assert_ok(wire_unpack(bytes.data, bytes.size, from_client, frame, &err), &err);
    wire_bytes_release(&bytes);
    return true;
}

static bool send_up(void *context, const struct wire_frame *frame)
{
    struct loop *loop = context;
    line_push(loop, &loop->up, frame);
    return true;
}

static bool send_down(void *context, const struct wire_frame *frame)
{
    struct loop *loop = context;
    line_push(loop, &loop->down, frame);
    return true;
}

static size_t no_queue(void *context)
{
    (void)context;
    return 0;
}

static void on_window(void *context, const struct wire_window_final *final)
{
    struct loop_result *result = &((struct loop *)context)->result;
    if (result->n_tokens + final->n_tokens > ARRAY_LEN(result->tokens))
        fail_msg("too many tokens");
    memcpy(result->tokens + result->n_tokens, final->tokens, final->n_tokens * sizeof(int32_t));
    result->n_tokens += final->n_tokens;
    strncat(result->text, final->text, sizeof(result->text) - strlen(result->text) - 1);
    memcpy(result->language, final->language, sizeof(result->language));
    result->n_windows++;
    result->n_segments += final->n_segments;
    result->stats.tokens += final->stats.tokens;
    result->stats.passes += final->stats.passes;
    result->stats.rows += final->stats.rows;
    result->stats.rounds += final->stats.rounds - (result->n_windows > 1);
    result->stats.encode_us += final->stats.encode_us;
    result->stats.decode_us += final->stats.decode_us;
    result->stats.drafts_used += final->stats.drafts_used;
    result->stats.drafts_dropped += final->stats.drafts_dropped;
    result->stats.claims_differing += final->stats.claims_differing;
}

static void on_final(void *context, uint32_t utterance, const struct drafter_stats *stats)
{
    struct loop_result *result = &((struct loop *)context)->result;
    (void)utterance;
    result->final = true;
    result->draft = *stats;
}

static void on_failed(void *context, const struct wire_error *error)
{
    struct loop_result *result = &((struct loop *)context)->result;
    result->failed = true;
    result->error = *error;
}

static void on_opened(void *context, const struct wire_opened *opened)
{
    struct loop *loop = context;
    (void)opened;
    if (loop->draft_engine && client_set_vocabulary(loop->client, loop->target_engine->tokenizer,
                                                     &loop->error) == STATUS_OK)
        error_clear(&loop->error);
}

static void connect_both(struct loop *loop)
{
    struct error err;
    struct target_sink down = {.send = send_down, .context = loop};
    struct client_sink up = {.send = send_up, .queued = no_queue, .context = loop};
    assert_ok(target_session_open(loop->target, down, &loop->session, &err), &err);
    client_connected(loop->client, up);
}

int16_t *loop_speech(uint64_t seed, size_t n)
{
    int16_t *samples = malloc((n + 1) * sizeof(*samples));
    assert_non_null(samples);
    for (size_t i = 0; i < n; i++)
        samples[i] = (int16_t)(support_random(&seed) >> 50);
    return samples;
}

struct client_options loop_options(bool timestamps)
{
    struct client_options options = client_options_default();
    options.rules.fallback = false;
    options.rules.timestamps = timestamps;
    options.drafter.timestamps = timestamps;
    options.codec = WIRE_PCM_S16;
    return options;
}

struct loop *loop_new(struct engine *target, struct engine *draft,
                      const struct client_options *options)
{
    struct error err;
    struct loop *loop = calloc(1, sizeof(*loop));
    struct target_options target_options = target_options_default();
    struct client_events events = {.opened = on_opened, .window_final = on_window,
                                   .utterance_final = on_final, .failed = on_failed,
                                   .context = loop};
    assert_non_null(loop);
    loop->target_engine = target;
    loop->draft_engine = draft;
    loop->target_turns = 1;
    assert_ok(target_new(target, &target_options, &loop->target, &err), &err);
    assert_ok(client_new(draft, options, &events, &loop->client, &err), &err);
    connect_both(loop);
    return loop;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    target_session_close(&loop->session);
    client_free(&loop->client);
    target_free(&loop->target);
    line_clear(&loop->up);
    line_clear(&loop->down);
    free(loop);
}

void loop_break(struct loop *loop)
{
    client_disconnected(loop->client);
    target_session_close(&loop->session);
    line_clear(&loop->up);
    line_clear(&loop->down);
    connect_both(loop);
}

bool loop_turn(struct loop *loop)
{
    struct wire_frame frame;
    bool worked = false, drafted = false;
    loop->turn++;
    while (loop->error.code == STATUS_OK && line_pop(loop, &loop->up, true, &frame)) {
        (void)!target_session_receive(loop->session, &frame, &loop->error);
        wire_frame_release(&frame);
        worked = true;
    }
    for (uint32_t i = 0; i < loop->target_turns; i++)
        worked |= target_tick(loop->target) == 0;
    while (loop->error.code == STATUS_OK && line_pop(loop, &loop->down, false, &frame)) {
        (void)!client_receive(loop->client, &frame, &loop->error);
        wire_frame_release(&frame);
        worked = true;
    }
    if (loop->error.code == STATUS_OK)
        (void)!client_step(loop->client, &drafted, &loop->error);
    return worked || drafted || loop->up.n > 0 || loop->down.n > 0;
}

bool loop_transcribe(struct loop *loop, const int16_t *samples, size_t n, uint64_t turns_max)
{
    size_t fed = 0;
    memset(&loop->result, 0, sizeof(loop->result));
    (void)client_begin(loop->client);
    for (uint64_t turn = 0; turn < turns_max; turn++) {
        uint64_t some = fed < n ? MIN(client_room(loop->client), n - fed) : 0;
        if (loop->feed > 0)
            some = MIN(some, (uint64_t)loop->feed);
        if (some > 0 && client_audio(loop->client, samples + fed, some, &loop->error) != STATUS_OK)
            return false;
        fed += some;
        if (fed == n && some > 0)
            client_end(loop->client);
        if (n == 0 && turn == 0)
            client_end(loop->client);
        (void)loop_turn(loop);
        if (loop->result.final || loop->result.failed || loop->error.code != STATUS_OK)
            return loop->result.final;
    }
    return false;
}

void loop_assert_same(const struct loop_result *a, const struct loop_result *b)
{
    assert_int_equal(a->n_tokens, b->n_tokens);
    assert_memory_equal(a->tokens, b->tokens, a->n_tokens * sizeof(int32_t));
    assert_string_equal(a->text, b->text);
    assert_int_equal(a->n_windows, b->n_windows);
    assert_int_equal(a->n_segments, b->n_segments);
}
