#include "wire/wire_int.h"

#include <stdlib.h>
#include <string.h>

#define TARGET(field_case) SPECASR__V1__TARGET_FRAME__KIND_##field_case

static enum status emit_target(Specasr__V1__TargetFrame *message, unsigned oneof,
                               struct wire_bytes *out, struct error *err)
{
    message->kind_case = (Specasr__V1__TargetFrame__KindCase)oneof;
    return wire_emit(&message->base, out, err);
}

/* ---- Opened ---- */

static enum status pack_opened(const struct wire_frame *frame, struct wire_bytes *out,
                               struct error *err)
{
    const struct wire_opened *opened = &frame->u.opened;
    Specasr__V1__TargetFrame message = SPECASR__V1__TARGET_FRAME__INIT;
    Specasr__V1__Opened m = SPECASR__V1__OPENED__INIT;
    Specasr__V1__NextSample next[WIRE_UTTERANCES_MAX], *nexts[WIRE_UTTERANCES_MAX];
    for (uint32_t i = 0; i < opened->n_next; i++) {
        specasr__v1__next_sample__init(&next[i]);
        next[i].utterance = opened->next[i].utterance;
        next[i].next_sample = opened->next[i].next_sample;
        nexts[i] = &next[i];
    }
    m.version = opened->version;
    m.model = (char *)opened->model;
    m.fingerprint = opened->fingerprint;
    m.vocabulary_hash = opened->vocabulary_hash;
    m.utterances_max = opened->utterances_max;
    m.audio_credit = opened->audio_credit;
    m.n_next = opened->n_next;
    m.next = nexts;
    message.opened = &m;
    return emit_target(&message, TARGET(OPENED), out, err);
}

static enum status unpack_opened(const void *message, struct wire_frame *out, struct error *err)
{
    const Specasr__V1__Opened *m = ((const Specasr__V1__TargetFrame *)message)->opened;
    struct wire_opened *opened = &out->u.opened;
    if (m->n_next > WIRE_UTTERANCES_MAX)
        return error_set(err, STATUS_CORRUPT, "%zu utterances, the limit is %d", m->n_next,
                         WIRE_UTTERANCES_MAX);
    opened->version = m->version;
    opened->fingerprint = m->fingerprint;
    opened->vocabulary_hash = m->vocabulary_hash;
    opened->utterances_max = m->utterances_max;
    opened->audio_credit = m->audio_credit;
    opened->n_next = (uint32_t)m->n_next;
    for (uint32_t i = 0; i < opened->n_next; i++) {
        opened->next[i].utterance = m->next[i]->utterance;
        opened->next[i].next_sample = m->next[i]->next_sample;
    }
    return wire_copy_text(opened->model, sizeof(opened->model), m->model, "model", err);
}

/* ---- Decided ---- */

static enum status pack_decided(const struct wire_frame *frame, struct wire_bytes *out,
                                struct error *err)
{
    const struct wire_decided *decided = &frame->u.decided;
    Specasr__V1__TargetFrame message = SPECASR__V1__TARGET_FRAME__INIT;
    Specasr__V1__Decided m = SPECASR__V1__DECIDED__INIT;
    m.utterance = decided->utterance;
    m.window = decided->window;
    m.attempt = decided->attempt;
    m.n_before = decided->n_before;
    m.n_tokens = decided->n_tokens;
    m.tokens = (uint32_t *)decided->tokens;     /* ids are not negative: checked */
    m.draft_number = decided->draft_number;
    m.window_start = decided->window_start;
    m.language = (char *)decided->language;
    m.audio_received = decided->audio_received;
    message.decided = &m;
    return emit_target(&message, TARGET(DECIDED), out, err);
}

static enum status unpack_decided(const void *message, struct wire_frame *out, struct error *err)
{
    const Specasr__V1__Decided *m = ((const Specasr__V1__TargetFrame *)message)->decided;
    struct wire_decided *decided = &out->u.decided;
    decided->utterance = m->utterance;
    decided->window = m->window;
    decided->attempt = m->attempt;
    decided->n_before = m->n_before;
    decided->draft_number = m->draft_number;
    decided->window_start = m->window_start;
    decided->audio_received = m->audio_received;
    enum status rc = wire_copy_tokens(decided->tokens, &decided->n_tokens, WIRE_TOKENS_MAX,
                                      m->tokens, m->n_tokens, err);
    if (rc == STATUS_OK)
        rc = wire_copy_text(decided->language, sizeof(decided->language), m->language, "language",
                            err);
    return rc;
}

/* ---- WindowFinal ---- */

static void fill_stats(const struct wire_window_stats *stats, Specasr__V1__WindowStats *m)
{
    specasr__v1__window_stats__init(m);
    m->tokens = stats->tokens;
    m->passes = stats->passes;
    m->rounds = stats->rounds;
    m->rows = stats->rows;
    m->encode_us = stats->encode_us;
    m->decode_us = stats->decode_us;
    m->drafts_used = stats->drafts_used;
    m->drafts_dropped = stats->drafts_dropped;
    m->claims_differing = stats->claims_differing;
}

static void fill_final(const struct wire_window_final *final, Specasr__V1__WindowFinal *m)
{
    specasr__v1__window_final__init(m);
    m->utterance = final->utterance;
    m->window = final->window;
    m->attempt = final->attempt;
    m->window_start = final->window_start;
    m->next_start = final->next_start;
    m->n_tokens = final->n_tokens;
    m->tokens = (uint32_t *)final->tokens;
    m->text = final->text;
    m->digest = final->digest;
    m->n_prompt = final->n_prompt;
    m->prompt = (uint32_t *)final->prompt;
    m->language = (char *)final->language;
    m->temperature = final->temperature;
    m->mean_logprob = final->mean_logprob;
    m->no_speech = final->no_speech;
    m->compression_ratio = final->compression_ratio;
    m->skipped = final->skipped;
}

static enum status pack_window_final(const struct wire_frame *frame, struct wire_bytes *out,
                                     struct error *err)
{
    const struct wire_window_final *final = &frame->u.window_final;
    Specasr__V1__TargetFrame message = SPECASR__V1__TARGET_FRAME__INIT;
    Specasr__V1__WindowFinal m;
    Specasr__V1__WindowStats stats;
    Specasr__V1__Segment segment[WIRE_SEGMENTS_MAX], *segments[WIRE_SEGMENTS_MAX];
    fill_final(final, &m);
    fill_stats(&final->stats, &stats);
    m.stats = &stats;
    for (uint32_t i = 0; i < final->n_segments; i++) {
        specasr__v1__segment__init(&segment[i]);
        segment[i].start = final->segments[i].start;
        segment[i].end = final->segments[i].end;
        segment[i].first_token = final->segments[i].first_token;
        segment[i].n_tokens = final->segments[i].n_tokens;
        segment[i].first_byte = final->segments[i].first_byte;
        segment[i].n_bytes = final->segments[i].n_bytes;
        segments[i] = &segment[i];
    }
    m.n_segments = final->n_segments;
    m.segments = segments;
    message.window_final = &m;
    return emit_target(&message, TARGET(WINDOW_FINAL), out, err);
}

static void read_stats(const Specasr__V1__WindowStats *m, struct wire_window_stats *stats)
{
    stats->tokens = m->tokens;
    stats->passes = m->passes;
    stats->rounds = m->rounds;
    stats->rows = m->rows;
    stats->encode_us = m->encode_us;
    stats->decode_us = m->decode_us;
    stats->drafts_used = m->drafts_used;
    stats->drafts_dropped = m->drafts_dropped;
    stats->claims_differing = m->claims_differing;
}

static enum status read_segments(const Specasr__V1__WindowFinal *m, struct wire_window_final *final,
                                 struct error *err)
{
    if (m->n_segments > WIRE_SEGMENTS_MAX)
        return error_set(err, STATUS_CORRUPT, "%zu segments, the limit is %d", m->n_segments,
                         WIRE_SEGMENTS_MAX);
    for (size_t i = 0; i < m->n_segments; i++)
        final->segments[i] = (struct wire_segment){
            .start = m->segments[i]->start,
            .end = m->segments[i]->end,
            .first_token = m->segments[i]->first_token,
            .n_tokens = m->segments[i]->n_tokens,
            .first_byte = m->segments[i]->first_byte,
            .n_bytes = m->segments[i]->n_bytes,
        };
    final->n_segments = (uint32_t)m->n_segments;
    return STATUS_OK;
}

static enum status read_texts(const Specasr__V1__WindowFinal *m, struct wire_window_final *final,
                              struct error *err)
{
    size_t size = strlen(m->text) + 1;
    if (size > WIRE_TEXT_MAX)
        return error_set(err, STATUS_CORRUPT, "text of %zu bytes, the limit is %d", size - 1,
                         WIRE_TEXT_MAX - 1);
    final->text = malloc(size);
    if (!final->text)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a frame");
    memcpy(final->text, m->text, size);
    return wire_copy_text(final->language, sizeof(final->language), m->language, "language", err);
}

static enum status unpack_window_final(const void *message, struct wire_frame *out,
                                       struct error *err)
{
    const Specasr__V1__WindowFinal *m = ((const Specasr__V1__TargetFrame *)message)->window_final;
    struct wire_window_final *final = &out->u.window_final;
    final->utterance = m->utterance;
    final->window = m->window;
    final->attempt = m->attempt;
    final->window_start = m->window_start;
    final->next_start = m->next_start;
    final->digest = m->digest;
    final->temperature = m->temperature;
    final->mean_logprob = m->mean_logprob;
    final->no_speech = m->no_speech;
    final->compression_ratio = m->compression_ratio;
    final->skipped = m->skipped;
    if (m->stats)
        read_stats(m->stats, &final->stats);
    enum status rc = wire_copy_tokens(final->tokens, &final->n_tokens, WIRE_TOKENS_MAX, m->tokens,
                                      m->n_tokens, err);
    if (rc == STATUS_OK)
        rc = wire_copy_tokens(final->prompt, &final->n_prompt, WIRE_PROMPT_MAX, m->prompt,
                              m->n_prompt, err);
    if (rc == STATUS_OK)
        rc = read_segments(m, final, err);
    return rc == STATUS_OK ? read_texts(m, final, err) : rc;
}

/* ---- the small ones ---- */

static enum status pack_utterance_final(const struct wire_frame *frame, struct wire_bytes *out,
                                        struct error *err)
{
    Specasr__V1__TargetFrame message = SPECASR__V1__TARGET_FRAME__INIT;
    Specasr__V1__UtteranceFinal m = SPECASR__V1__UTTERANCE_FINAL__INIT;
    m.utterance = frame->u.utterance_final.utterance;
    m.n_windows = frame->u.utterance_final.n_windows;
    message.utterance_final = &m;
    return emit_target(&message, TARGET(UTTERANCE_FINAL), out, err);
}

static enum status unpack_utterance_final(const void *message, struct wire_frame *out,
                                          struct error *err)
{
    const Specasr__V1__UtteranceFinal *m =
        ((const Specasr__V1__TargetFrame *)message)->utterance_final;
    (void)err;
    out->u.utterance_final.utterance = m->utterance;
    out->u.utterance_final.n_windows = m->n_windows;
    return STATUS_OK;
}

static enum status pack_price(const struct wire_frame *frame, struct wire_bytes *out,
                              struct error *err)
{
    const struct wire_price *price = &frame->u.price;
    Specasr__V1__TargetFrame message = SPECASR__V1__TARGET_FRAME__INIT;
    Specasr__V1__Price m = SPECASR__V1__PRICE__INIT;
    m.step_us = price->step_us;
    m.row_us = price->row_us;
    m.queue_us = price->queue_us;
    m.depth = price->depth;
    m.width = price->width;
    m.echo_us = price->echo_us;
    message.price = &m;
    return emit_target(&message, TARGET(PRICE), out, err);
}

static enum status unpack_price(const void *message, struct wire_frame *out, struct error *err)
{
    const Specasr__V1__Price *m = ((const Specasr__V1__TargetFrame *)message)->price;
    (void)err;
    out->u.price = (struct wire_price){
        .step_us = m->step_us,
        .row_us = m->row_us,
        .queue_us = m->queue_us,
        .depth = m->depth,
        .width = m->width,
        .echo_us = m->echo_us,
    };
    return STATUS_OK;
}

static enum status pack_need_full(const struct wire_frame *frame, struct wire_bytes *out,
                                  struct error *err)
{
    Specasr__V1__TargetFrame message = SPECASR__V1__TARGET_FRAME__INIT;
    Specasr__V1__NeedFull m = SPECASR__V1__NEED_FULL__INIT;
    m.utterance = frame->u.need_full.utterance;
    m.window = frame->u.need_full.window;
    m.attempt = frame->u.need_full.attempt;
    message.need_full = &m;
    return emit_target(&message, TARGET(NEED_FULL), out, err);
}

static enum status unpack_need_full(const void *message, struct wire_frame *out, struct error *err)
{
    const Specasr__V1__NeedFull *m = ((const Specasr__V1__TargetFrame *)message)->need_full;
    (void)err;
    out->u.need_full = (struct wire_need_full){m->utterance, m->window, m->attempt};
    return STATUS_OK;
}

static enum status pack_cancelled(const struct wire_frame *frame, struct wire_bytes *out,
                                  struct error *err)
{
    Specasr__V1__TargetFrame message = SPECASR__V1__TARGET_FRAME__INIT;
    Specasr__V1__Cancelled m = SPECASR__V1__CANCELLED__INIT;
    m.utterance = frame->u.cancelled.utterance;
    message.cancelled = &m;
    return emit_target(&message, TARGET(CANCELLED), out, err);
}

static enum status unpack_cancelled(const void *message, struct wire_frame *out, struct error *err)
{
    (void)err;
    out->u.cancelled.utterance = ((const Specasr__V1__TargetFrame *)message)->cancelled->utterance;
    return STATUS_OK;
}

static enum status pack_alive(const struct wire_frame *frame, struct wire_bytes *out,
                              struct error *err)
{
    Specasr__V1__TargetFrame message = SPECASR__V1__TARGET_FRAME__INIT;
    Specasr__V1__Alive m = SPECASR__V1__ALIVE__INIT;
    m.utterance = frame->u.alive.utterance;
    m.queue_us = frame->u.alive.queue_us;
    message.alive = &m;
    return emit_target(&message, TARGET(ALIVE), out, err);
}

static enum status unpack_alive(const void *message, struct wire_frame *out, struct error *err)
{
    const Specasr__V1__Alive *m = ((const Specasr__V1__TargetFrame *)message)->alive;
    (void)err;
    out->u.alive = (struct wire_alive){m->utterance, m->queue_us};
    return STATUS_OK;
}

static enum status pack_drain(const struct wire_frame *frame, struct wire_bytes *out,
                              struct error *err)
{
    Specasr__V1__TargetFrame message = SPECASR__V1__TARGET_FRAME__INIT;
    Specasr__V1__Drain m = SPECASR__V1__DRAIN__INIT;
    m.grace_ms = frame->u.drain.grace_ms;
    message.drain = &m;
    return emit_target(&message, TARGET(DRAIN), out, err);
}

static enum status unpack_drain(const void *message, struct wire_frame *out, struct error *err)
{
    (void)err;
    out->u.drain.grace_ms = ((const Specasr__V1__TargetFrame *)message)->drain->grace_ms;
    return STATUS_OK;
}

/* ---- Error: the numbers on the wire are fixed, those of enum status are not ---- */

static const Specasr__V1__ErrorCode error_codes[STATUS_N] = {
    [STATUS_OK] = SPECASR__V1__ERROR_CODE__UNKNOWN,
    [STATUS_INVALID] = SPECASR__V1__ERROR_CODE__INVALID,
    [STATUS_NOT_FOUND] = SPECASR__V1__ERROR_CODE__NOT_FOUND,
    [STATUS_IO] = SPECASR__V1__ERROR_CODE__IO,
    [STATUS_CORRUPT] = SPECASR__V1__ERROR_CODE__CORRUPT,
    [STATUS_UNSUPPORTED] = SPECASR__V1__ERROR_CODE__UNSUPPORTED,
    [STATUS_NO_MEMORY] = SPECASR__V1__ERROR_CODE__NO_MEMORY,
    [STATUS_EXHAUSTED] = SPECASR__V1__ERROR_CODE__EXHAUSTED,
    [STATUS_CLOSED] = SPECASR__V1__ERROR_CODE__CLOSED,
    [STATUS_TIMEOUT] = SPECASR__V1__ERROR_CODE__TIMEOUT,
    [STATUS_UNAVAILABLE] = SPECASR__V1__ERROR_CODE__UNAVAILABLE,
    [STATUS_MISMATCH] = SPECASR__V1__ERROR_CODE__MISMATCH,
    [STATUS_CANCELLED] = SPECASR__V1__ERROR_CODE__CANCELLED,
    [STATUS_DENIED] = SPECASR__V1__ERROR_CODE__DENIED,
    [STATUS_INTERNAL] = SPECASR__V1__ERROR_CODE__INTERNAL,
};

static enum status pack_error(const struct wire_frame *frame, struct wire_bytes *out,
                              struct error *err)
{
    const struct wire_error *error = &frame->u.error;
    Specasr__V1__TargetFrame message = SPECASR__V1__TARGET_FRAME__INIT;
    Specasr__V1__Error m = SPECASR__V1__ERROR__INIT;
    m.code = error_codes[error->code];
    m.fatal = error->fatal;
    m.utterance = error->utterance;
    m.retry_ms = error->retry_ms;
    m.message = (char *)error->message;
    message.error = &m;
    return emit_target(&message, TARGET(ERROR), out, err);
}

/* A code of a later version reads as an internal error: its text still says what was wrong. */
static enum status unpack_error(const void *message, struct wire_frame *out, struct error *err)
{
    const Specasr__V1__Error *m = ((const Specasr__V1__TargetFrame *)message)->error;
    struct wire_error *error = &out->u.error;
    error->code = STATUS_INTERNAL;
    for (int code = STATUS_OK + 1; code < STATUS_N; code++)
        if (error_codes[code] == m->code)
            error->code = (enum status)code;
    error->fatal = m->fatal;
    error->utterance = m->utterance;
    error->retry_ms = m->retry_ms;
    return wire_copy_text(error->message, sizeof(error->message), m->message, "message", err);
}

/* Indexed by kind - WIRE_OPENED. */
const struct wire_kind_ops wire_target_kinds[WIRE_TARGET_KIND_N] = {
    {"opened", TARGET(OPENED), pack_opened, unpack_opened, wire_problem_opened},
    {"decided", TARGET(DECIDED), pack_decided, unpack_decided, wire_problem_decided},
    {"window_final", TARGET(WINDOW_FINAL), pack_window_final, unpack_window_final,
     wire_problem_window_final},
    {"utterance_final", TARGET(UTTERANCE_FINAL), pack_utterance_final, unpack_utterance_final,
     wire_problem_none},
    {"price", TARGET(PRICE), pack_price, unpack_price, wire_problem_none},
    {"need_full", TARGET(NEED_FULL), pack_need_full, unpack_need_full, wire_problem_none},
    {"cancelled", TARGET(CANCELLED), pack_cancelled, unpack_cancelled, wire_problem_none},
    {"alive", TARGET(ALIVE), pack_alive, unpack_alive, wire_problem_none},
    {"drain", TARGET(DRAIN), pack_drain, unpack_drain, wire_problem_none},
    {"error", TARGET(ERROR), pack_error, unpack_error, wire_problem_error},
};
