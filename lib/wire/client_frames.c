#include "wire/wire_int.h"

#include <stdlib.h>
#include <string.h>

#define CLIENT(field_case) SPECASR__V1__CLIENT_FRAME__KIND_##field_case

static enum status emit_client(Specasr__V1__ClientFrame *message, unsigned oneof,
                               struct wire_bytes *out, struct error *err)
{
    message->kind_case = (Specasr__V1__ClientFrame__KindCase)oneof;
    return wire_emit(&message->base, out, err);
}

/* ---- Open ---- */

static void fill_rules(const struct wire_rules *rules, Specasr__V1__Rules *m)
{
    specasr__v1__rules__init(m);
    m->language = (char *)rules->language;
    m->translate = rules->translate;
    m->timestamps = rules->timestamps;
    m->fallback = rules->fallback;
    m->condition_on_previous = rules->condition_on_previous;
    m->use_drafts = rules->use_drafts;
    m->lockstep = rules->lockstep;
    m->verbatim = rules->verbatim;
    m->rows_max = rules->rows_max;
    m->wait_draft = rules->wait_draft;
    m->row_price = rules->row_price;
    m->temperature = rules->temperature;
    m->seed = rules->seed;
}

static void fill_resume(const struct wire_resume *resume, Specasr__V1__Resume *m)
{
    specasr__v1__resume__init(m);
    m->utterance = resume->utterance;
    m->window = resume->window;
    m->attempt = resume->attempt;
    m->window_start = resume->window_start;
    m->n_prompt = resume->n_prompt;
    m->prompt = (uint32_t *)resume->prompt;     /* ids are not negative: checked */
    m->n_decided = resume->n_decided;
    m->decided = (uint32_t *)resume->decided;
    m->language = (char *)resume->language;
}

static enum status pack_open(const struct wire_frame *frame, struct wire_bytes *out,
                             struct error *err)
{
    const struct wire_open *open = &frame->u.open;
    Specasr__V1__ClientFrame message = SPECASR__V1__CLIENT_FRAME__INIT;
    Specasr__V1__Open m = SPECASR__V1__OPEN__INIT;
    Specasr__V1__Rules rules;
    Specasr__V1__Resume resume[WIRE_UTTERANCES_MAX], *resumes[WIRE_UTTERANCES_MAX];
    fill_rules(&open->rules, &rules);
    for (uint32_t i = 0; i < open->n_resume; i++) {
        fill_resume(&open->resume[i], &resume[i]);
        resumes[i] = &resume[i];
    }
    m.version_min = open->version_min;
    m.version_max = open->version_max;
    m.session = (ProtobufCBinaryData){sizeof(open->session), (uint8_t *)open->session};
    m.epoch = open->epoch;
    m.vocabulary_hash = open->vocabulary_hash;
    m.draft_model = (char *)open->draft_model;
    m.rules = &rules;
    m.n_resume = open->n_resume;
    m.resume = resumes;
    message.open = &m;
    return emit_client(&message, CLIENT(OPEN), out, err);
}

static enum status read_rules(const Specasr__V1__Rules *m, struct wire_rules *rules,
                              struct error *err)
{
    rules->translate = m->translate;
    rules->timestamps = m->timestamps;
    rules->fallback = m->fallback;
    rules->condition_on_previous = m->condition_on_previous;
    rules->use_drafts = m->use_drafts;
    rules->lockstep = m->lockstep;
    rules->verbatim = m->verbatim;
    rules->rows_max = m->rows_max;
    rules->wait_draft = m->wait_draft;
    rules->row_price = m->row_price;
    rules->temperature = m->temperature;
    rules->seed = m->seed;
    return wire_copy_text(rules->language, sizeof(rules->language), m->language, "language", err);
}

static enum status read_resume(const Specasr__V1__Resume *m, struct wire_resume *resume,
                               struct error *err)
{
    resume->utterance = m->utterance;
    resume->window = m->window;
    resume->attempt = m->attempt;
    resume->window_start = m->window_start;
    enum status rc = wire_copy_tokens(resume->prompt, &resume->n_prompt, WIRE_PROMPT_MAX, m->prompt,
                                      m->n_prompt, err);
    if (rc == STATUS_OK)
        rc = wire_copy_tokens(resume->decided, &resume->n_decided, WIRE_TOKENS_MAX, m->decided,
                              m->n_decided, err);
    if (rc == STATUS_OK)
        rc = wire_copy_text(resume->language, sizeof(resume->language), m->language, "language",
                            err);
    return rc;
}

static enum status unpack_open(const void *message, struct wire_frame *out, struct error *err)
{
    const Specasr__V1__Open *m = ((const Specasr__V1__ClientFrame *)message)->open;
    struct wire_open *open = &out->u.open;
    if (m->session.len != sizeof(open->session))
        return error_set(err, STATUS_CORRUPT, "the session id has %zu bytes, not 16",
                         m->session.len);
    if (!m->rules)
        return error_set(err, STATUS_CORRUPT, "Open without rules");
    if (m->n_resume > WIRE_UTTERANCES_MAX)
        return error_set(err, STATUS_CORRUPT, "%zu utterances to resume, the limit is %d",
                         m->n_resume, WIRE_UTTERANCES_MAX);
    open->version_min = m->version_min;
    open->version_max = m->version_max;
    memcpy(open->session, m->session.data, sizeof(open->session));
    open->epoch = m->epoch;
    open->vocabulary_hash = m->vocabulary_hash;
    enum status rc = wire_copy_text(open->draft_model, sizeof(open->draft_model), m->draft_model,
                                    "draft_model", err);
    if (rc == STATUS_OK)
        rc = read_rules(m->rules, &open->rules, err);
    if (rc != STATUS_OK || m->n_resume == 0)
        return rc;
    open->resume = calloc(m->n_resume, sizeof(*open->resume));
    if (!open->resume)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a frame");
    open->n_resume = (uint32_t)m->n_resume;
    for (uint32_t i = 0; i < open->n_resume && rc == STATUS_OK; i++)
        rc = read_resume(m->resume[i], &open->resume[i], err);
    return rc;
}

/* ---- Audio ---- */

static enum status pack_audio(const struct wire_frame *frame, struct wire_bytes *out,
                              struct error *err)
{
    const struct wire_audio *audio = &frame->u.audio;
    Specasr__V1__ClientFrame message = SPECASR__V1__CLIENT_FRAME__INIT;
    Specasr__V1__Audio m = SPECASR__V1__AUDIO__INIT;
    m.utterance = audio->utterance;
    m.first_sample = audio->first_sample;
    m.codec = audio->codec == WIRE_FLAC ? SPECASR__V1__CODEC__FLAC : SPECASR__V1__CODEC__PCM_S16;
    m.data = (ProtobufCBinaryData){audio->n_bytes, audio->bytes};
    message.audio = &m;
    return emit_client(&message, CLIENT(AUDIO), out, err);
}

static enum status unpack_audio(const void *message, struct wire_frame *out, struct error *err)
{
    const Specasr__V1__Audio *m = ((const Specasr__V1__ClientFrame *)message)->audio;
    struct wire_audio *audio = &out->u.audio;
    if (m->codec != SPECASR__V1__CODEC__PCM_S16 && m->codec != SPECASR__V1__CODEC__FLAC)
        return error_set(err, STATUS_UNSUPPORTED, "audio codec %d is not known here",
                         (int)m->codec);
    if (m->data.len == 0 || m->data.len > WIRE_AUDIO_MAX)
        return error_set(err, STATUS_CORRUPT, "%zu bytes of audio in one frame, the limit is %d",
                         m->data.len, WIRE_AUDIO_MAX);
    audio->utterance = m->utterance;
    audio->first_sample = m->first_sample;
    audio->codec = m->codec == SPECASR__V1__CODEC__FLAC ? WIRE_FLAC : WIRE_PCM_S16;
    audio->bytes = malloc(m->data.len);
    if (!audio->bytes)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a frame");
    memcpy(audio->bytes, m->data.data, m->data.len);
    audio->n_bytes = (uint32_t)m->data.len;
    return STATUS_OK;
}

static enum status pack_end(const struct wire_frame *frame, struct wire_bytes *out,
                            struct error *err)
{
    Specasr__V1__ClientFrame message = SPECASR__V1__CLIENT_FRAME__INIT;
    Specasr__V1__EndOfUtterance m = SPECASR__V1__END_OF_UTTERANCE__INIT;
    m.utterance = frame->u.end_of_utterance.utterance;
    m.n_samples = frame->u.end_of_utterance.n_samples;
    message.end_of_utterance = &m;
    return emit_client(&message, CLIENT(END_OF_UTTERANCE), out, err);
}

static enum status unpack_end(const void *message, struct wire_frame *out, struct error *err)
{
    const Specasr__V1__EndOfUtterance *m =
        ((const Specasr__V1__ClientFrame *)message)->end_of_utterance;
    (void)err;
    out->u.end_of_utterance.utterance = m->utterance;
    out->u.end_of_utterance.n_samples = m->n_samples;
    return STATUS_OK;
}

/* ---- Draft: 2 to 4 bytes per node in a chain; parents only where it branches ---- */

static uint8_t confidence_byte(float confidence)
{
    return (uint8_t)(confidence * 255.0f + 0.5f);
}

float wire_confidence(float confidence)
{
    SA_ASSERT(confidence >= 0.0f && confidence <= 1.0f);
    return (float)confidence_byte(confidence) / 255.0f;
}

static enum status pack_draft(const struct wire_frame *frame, struct wire_bytes *out,
                              struct error *err)
{
    const struct wire_draft *draft = &frame->u.draft;
    uint32_t tokens[WIRE_DRAFT_NODES_MAX], back[WIRE_DRAFT_NODES_MAX];
    uint8_t confidence[WIRE_DRAFT_NODES_MAX];
    bool chain = true;
    for (uint32_t i = 0; i < draft->n_nodes; i++) {
        tokens[i] = (uint32_t)draft->nodes[i].token;
        back[i] = (uint32_t)((int32_t)(draft->n_base + i) - draft->nodes[i].parent);
        confidence[i] = confidence_byte(draft->nodes[i].confidence);
        chain = chain && back[i] == 1;
    }
    Specasr__V1__ClientFrame message = SPECASR__V1__CLIENT_FRAME__INIT;
    Specasr__V1__Draft m = SPECASR__V1__DRAFT__INIT;
    m.utterance = draft->utterance;
    m.window = draft->window;
    m.attempt = draft->attempt;
    m.number = draft->number;
    m.base_number = draft->base;
    m.n_base = draft->n_base;
    m.n_prefix = draft->n_prefix;
    m.prefix_hash = draft->prefix_hash;
    m.complete = draft->complete;
    m.n_tokens = draft->n_nodes;
    m.tokens = tokens;
    m.confidence = (ProtobufCBinaryData){draft->n_nodes, confidence};
    m.n_parent_back = chain ? 0 : draft->n_nodes;
    m.parent_back = back;
    message.draft = &m;
    return emit_client(&message, CLIENT(DRAFT), out, err);
}

/* A parent further back than the prefix becomes -2, which the check refuses. */
static int32_t parent_of(int32_t index, uint32_t back)
{
    return back > (uint32_t)index + 1 ? -2 : index - (int32_t)back;
}

static enum status read_nodes(const Specasr__V1__Draft *m, struct wire_draft *draft,
                              struct error *err)
{
    draft->nodes = calloc(m->n_tokens, sizeof(*draft->nodes));
    if (!draft->nodes)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a frame");
    draft->n_nodes = (uint32_t)m->n_tokens;
    for (uint32_t i = 0; i < draft->n_nodes; i++) {
        int32_t index = (int32_t)(draft->n_base + i);
        draft->nodes[i] = (struct wire_node){
            .token = (int32_t)m->tokens[i],
            .parent = parent_of(index, m->n_parent_back ? m->parent_back[i] : 1),
            .confidence = (float)m->confidence.data[i] / 255.0f,
        };
    }
    return STATUS_OK;
}

static enum status unpack_draft(const void *message, struct wire_frame *out, struct error *err)
{
    const Specasr__V1__Draft *m = ((const Specasr__V1__ClientFrame *)message)->draft;
    struct wire_draft *draft = &out->u.draft;
    if (m->n_tokens > WIRE_DRAFT_NODES_MAX || m->n_base > WIRE_DRAFT_NODES_MAX)
        return error_set(err, STATUS_CORRUPT, "%zu nodes in a draft, the limit is %d", m->n_tokens,
                         WIRE_DRAFT_NODES_MAX);
    if (m->confidence.len != m->n_tokens
        || (m->n_parent_back != 0 && m->n_parent_back != m->n_tokens))
        return error_set(err, STATUS_CORRUPT,
                         "a draft of %zu tokens with %zu confidences and %zu parents", m->n_tokens,
                         m->confidence.len, m->n_parent_back);
    draft->utterance = m->utterance;
    draft->window = m->window;
    draft->attempt = m->attempt;
    draft->number = m->number;
    draft->base = m->base_number;
    draft->n_base = m->n_base;
    draft->n_prefix = m->n_prefix;
    draft->prefix_hash = m->prefix_hash;
    draft->complete = m->complete;
    return m->n_tokens ? read_nodes(m, draft, err) : STATUS_OK;
}

/* ---- Cancel, Stats ---- */

static enum status pack_cancel(const struct wire_frame *frame, struct wire_bytes *out,
                               struct error *err)
{
    Specasr__V1__ClientFrame message = SPECASR__V1__CLIENT_FRAME__INIT;
    Specasr__V1__Cancel m = SPECASR__V1__CANCEL__INIT;
    m.utterance = frame->u.cancel.utterance;
    message.cancel = &m;
    return emit_client(&message, CLIENT(CANCEL), out, err);
}

static enum status unpack_cancel(const void *message, struct wire_frame *out, struct error *err)
{
    (void)err;
    out->u.cancel.utterance = ((const Specasr__V1__ClientFrame *)message)->cancel->utterance;
    return STATUS_OK;
}

static enum status pack_stats(const struct wire_frame *frame, struct wire_bytes *out,
                              struct error *err)
{
    const struct wire_stats *stats = &frame->u.stats;
    Specasr__V1__ClientFrame message = SPECASR__V1__CLIENT_FRAME__INIT;
    Specasr__V1__Stats m = SPECASR__V1__STATS__INIT;
    m.utterance = stats->utterance;
    m.draft_steps = stats->draft_steps;
    m.draft_rows = stats->draft_rows;
    m.draft_encode_us = stats->draft_encode_us;
    m.draft_decode_us = stats->draft_decode_us;
    m.rtt_us = stats->rtt_us;
    m.rtt_sd_us = stats->rtt_sd_us;
    m.draft_step_us = stats->draft_step_us;
    m.stamp_us = stats->stamp_us;
    message.stats = &m;
    return emit_client(&message, CLIENT(STATS), out, err);
}

static enum status unpack_stats(const void *message, struct wire_frame *out, struct error *err)
{
    const Specasr__V1__Stats *m = ((const Specasr__V1__ClientFrame *)message)->stats;
    (void)err;
    out->u.stats.utterance = m->utterance;
    out->u.stats.draft_steps = m->draft_steps;
    out->u.stats.draft_rows = m->draft_rows;
    out->u.stats.draft_encode_us = m->draft_encode_us;
    out->u.stats.draft_decode_us = m->draft_decode_us;
    out->u.stats.rtt_us = m->rtt_us;
    out->u.stats.rtt_sd_us = m->rtt_sd_us;
    out->u.stats.draft_step_us = m->draft_step_us;
    out->u.stats.stamp_us = m->stamp_us;
    return STATUS_OK;
}

const struct wire_kind_ops wire_client_kinds[WIRE_CLIENT_KIND_N] = {
    [WIRE_OPEN] = {"open", CLIENT(OPEN), pack_open, unpack_open, wire_problem_open},
    [WIRE_AUDIO] = {"audio", CLIENT(AUDIO), pack_audio, unpack_audio, wire_problem_audio},
    [WIRE_END_OF_UTTERANCE] = {"end_of_utterance", CLIENT(END_OF_UTTERANCE), pack_end, unpack_end,
                               wire_problem_end_of_utterance},
    [WIRE_DRAFT] = {"draft", CLIENT(DRAFT), pack_draft, unpack_draft, wire_problem_draft},
    [WIRE_CANCEL] = {"cancel", CLIENT(CANCEL), pack_cancel, unpack_cancel, wire_problem_none},
    [WIRE_STATS] = {"stats", CLIENT(STATS), pack_stats, unpack_stats, wire_problem_none},
};
