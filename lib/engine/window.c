#include "engine/window.h"

#include <string.h>
#include <zlib.h>

#include "base/status.h"

struct window_limits window_limits_default(void)
{
    return (struct window_limits){
        .fallback = true,
        .compression_max = 2.4f,
        .mean_logprob_min = -1.0f,
        .no_speech_max = 0.6f,
        .temperature_step = 0.2f,
        .temperature_max = 1.0f,
        .condition_on_previous = true,
    };
}

enum window_verdict window_judge(const struct window_limits *limits,
                                 const struct window_attempt *attempt)
{
    bool silent = attempt->no_speech > limits->no_speech_max &&
                  attempt->mean_logprob < limits->mean_logprob_min;
    bool broken = attempt->compression_ratio > limits->compression_max ||
                  attempt->mean_logprob < limits->mean_logprob_min;
    /* Half a step of slack: 0.2 added five times is not exactly 1.0 in binary. */
    bool hotter = attempt->temperature + 0.5f * limits->temperature_step < limits->temperature_max;
    if (broken && !silent && limits->fallback && hotter)
        return WINDOW_RETRY;
    /* Pure greedy decoding keeps what was decoded: its text is compared token for token. */
    return silent && limits->fallback ? WINDOW_SKIP : WINDOW_ACCEPT;
}

float window_compression_ratio(const char *text, size_t n_bytes)
{
    unsigned char packed[2 * 16384];
    uLongf n_packed = sizeof(packed);
    if (n_bytes == 0 || compressBound(n_bytes) > sizeof(packed))
        return 0.0f;
    int rc = compress2(packed, &n_packed, (const unsigned char *)text, n_bytes, 6);
    SA_ASSERT(rc == Z_OK);
    return (float)n_bytes / (float)n_packed;
}

uint64_t window_samples(uint64_t start, uint64_t n_total)
{
    uint64_t end = n_total - n_total % WINDOW_HOP;
    if (start >= end)
        return 0;
    /* The last window keeps the samples of the broken frame too: they are in the audio. */
    uint64_t left = n_total - start;
    return MIN(left, (uint64_t)WINDOW_SAMPLES);
}

static uint64_t timestamp_samples(const struct model_description *model, int32_t token)
{
    return (uint64_t)(token - model->special.timestamp_begin) * WINDOW_TIMESTAMP_SAMPLES;
}

static bool is_timestamp(const struct model_description *model, int32_t token)
{
    return token >= model->special.timestamp_begin;
}

static bool has_text(const struct model_description *model, const struct window_decoded *decoded,
                     uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++) {
        int32_t token = decoded->tokens[i];
        bool blank = decoded->blank && decoded->blank(decoded->context, token);
        if (token < model->special.end && !blank)
            return true;
    }
    return false;
}

/* transcribe.py clears a segment that is instantaneous or has no text: its tokens are not
 * committed. Times count from the window's start; without the timestamp rules they may fall. */
static void add_segment(const struct model_description *model, const struct window_decoded *decoded,
                        struct window_cut *out, struct window_segment segment)
{
    if (segment.start == segment.end || out->n_segments == WINDOW_SEGMENTS_MAX ||
        !has_text(model, decoded, segment.first_token, segment.n_tokens))
        return;
    memcpy(out->tokens + out->n_tokens, decoded->tokens + segment.first_token,
           segment.n_tokens * sizeof(int32_t));
    out->segments[out->n_segments++] = (struct window_segment){
        .start = decoded->start + segment.start,
        .end = decoded->start + MAX(segment.start, segment.end),
        .first_token = out->n_tokens, .n_tokens = segment.n_tokens};
    out->n_tokens += segment.n_tokens;
}

/* The last segment has an end of its own: text, then a timestamp, then nothing. */
static bool is_closed(const struct model_description *model, const struct window_decoded *decoded)
{
    uint32_t n = decoded->n_tokens;
    return n >= 2 && !is_timestamp(model, decoded->tokens[n - 2]) &&
           is_timestamp(model, decoded->tokens[n - 1]);
}

/* Segments between the pairs "end, start"; returns the number of tokens in finished ones. */
static uint32_t cut_at_pairs(const struct model_description *model,
                             const struct window_decoded *decoded, struct window_cut *out)
{
    const int32_t *tokens = decoded->tokens;
    uint32_t n = decoded->n_tokens, first = 0;
    bool closed = is_closed(model, decoded);
    for (uint32_t i = 1; i <= n; i++) {
        bool pair = i < n && is_timestamp(model, tokens[i - 1]) && is_timestamp(model, tokens[i]);
        if (!pair && !(i == n && closed && first > 0))
            continue;
        struct window_segment segment = {.end = timestamp_samples(model, tokens[i - 1]),
                                         .first_token = first, .n_tokens = i - first};
        if (is_timestamp(model, tokens[first]))
            segment.start = timestamp_samples(model, tokens[first]);
        add_segment(model, decoded, out, segment);
        first = i;
    }
    return first;
}

/* Where the only segment ends: at its last timestamp, if that says anything. */
static uint64_t last_timestamp(const struct model_description *model,
                               const struct window_decoded *decoded)
{
    for (uint32_t i = decoded->n_tokens; i-- > 0;)
        if (is_timestamp(model, decoded->tokens[i]))
            return decoded->tokens[i] != model->special.timestamp_begin
                       ? timestamp_samples(model, decoded->tokens[i])
                       : decoded->n_samples;
    return decoded->n_samples;
}

void window_cut(const struct model_description *model, const struct window_decoded *decoded,
                struct window_cut *out)
{
    SA_ASSERT(decoded->n_tokens <= WINDOW_TOKENS_MAX);
    out->n_tokens = 0;
    out->n_segments = 0;
    out->next_start = decoded->start + decoded->n_samples;
    uint32_t finished = cut_at_pairs(model, decoded, out);
    if (finished == 0) {
        struct window_segment whole = {.end = last_timestamp(model, decoded),
                                       .n_tokens = decoded->n_tokens};
        add_segment(model, decoded, out, whole);
        return;
    }
    /* A last segment without an end is decoded again, in a window of its own. */
    uint64_t last = timestamp_samples(model, decoded->tokens[finished - 1]);
    if (!is_closed(model, decoded) && last > 0)
        out->next_start = decoded->start + last;
}

void window_prompt_update(struct window_prompt *prompt, const struct window_limits *limits,
                          float temperature, const int32_t *tokens, uint32_t n_tokens)
{
    if (!limits->condition_on_previous || temperature > 0.5f) {
        prompt->n = 0;
        return;
    }
    uint32_t n_new = MIN(n_tokens, (uint32_t)WINDOW_PROMPT_MAX);
    uint32_t n_old = MIN(prompt->n, WINDOW_PROMPT_MAX - n_new);
    memmove(prompt->tokens, prompt->tokens + (prompt->n - n_old), n_old * sizeof(*tokens));
    memcpy(prompt->tokens + n_old, tokens + (n_tokens - n_new), n_new * sizeof(*tokens));
    prompt->n = n_old + n_new;
}
