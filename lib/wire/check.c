#include "wire/wire_int.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"

/* One set of rules for both sides: what we send is asserted, what a peer sends is refused. Each
 * function is pure and answers with the first rule that is broken. */

/* Sample positions: 500 years of audio, and far from overflow in any sum of two. A client names
 * none beyond half of it, so that what a target counts on from there is still a position. */
#define SAMPLES_MAX ((uint64_t)1 << 48)
#define CLIENT_SAMPLES_MAX (SAMPLES_MAX / 2)

static bool text_ok(const char *text, size_t capacity, bool may_be_empty)
{
    size_t n = strnlen(text, capacity);
    return n < capacity && (n > 0 || may_be_empty) && utf8_valid(text, n);
}

static bool tokens_ok(const int32_t *tokens, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= WIRE_TOKEN_MAX)
            return false;
    return true;
}

static bool between(float value, float low, float high)
{
    return value >= low && value <= high;       /* false for NaN */
}

const char *wire_problem_none(const struct wire_frame *frame)
{
    (void)frame;
    return NULL;
}

static const char *problem_in_rules(const struct wire_rules *rules)
{
    if (!text_ok(rules->language, sizeof(rules->language), false))
        return "language is empty or not UTF-8";
    if (!between(rules->row_price, -1e6f, 1e6f))
        return "row_price is out of range";
    if (rules->rows_max > 64)
        return "rows_max is out of range";
    if (!between(rules->temperature, 0.0f, 100.0f))
        return "temperature is out of range";
    return NULL;
}

static const char *problem_in_resume(const struct wire_resume *resume)
{
    if (resume->window_start > CLIENT_SAMPLES_MAX)
        return "window_start is out of range";
    if (resume->n_prompt > WIRE_PROMPT_MAX || !tokens_ok(resume->prompt, resume->n_prompt))
        return "a prompt token is out of range";
    if (resume->n_decided > WIRE_TOKENS_MAX || !tokens_ok(resume->decided, resume->n_decided))
        return "a decided token is out of range";
    if (!text_ok(resume->language, sizeof(resume->language), true))
        return "language is not UTF-8";
    return NULL;
}

const char *wire_problem_open(const struct wire_frame *frame)
{
    const struct wire_open *open = &frame->u.open;
    const char *problem = problem_in_rules(&open->rules);
    if (open->version_min == 0 || open->version_min > open->version_max)
        return "the protocol versions are no range";
    if (!text_ok(open->draft_model, sizeof(open->draft_model), true))
        return "draft_model is not UTF-8";
    if (open->n_resume > WIRE_UTTERANCES_MAX)
        return "too many utterances to resume";
    for (uint32_t i = 0; i < open->n_resume && !problem; i++) {
        problem = problem_in_resume(&open->resume[i]);
        for (uint32_t k = 0; k < i; k++)
            if (open->resume[k].utterance == open->resume[i].utterance)
                return "an utterance is resumed twice";
    }
    return problem;
}

const char *wire_problem_audio(const struct wire_frame *frame)
{
    const struct wire_audio *audio = &frame->u.audio;
    if ((unsigned)audio->codec >= WIRE_CODEC_N)
        return "unknown codec";
    if (audio->n_bytes == 0 || audio->n_bytes > WIRE_AUDIO_MAX)
        return "no audio, or too much for one frame";
    if (audio->codec == WIRE_PCM_S16 && audio->n_bytes % 2 != 0)
        return "half a sample";
    return audio->first_sample > CLIENT_SAMPLES_MAX ? "first_sample is out of range" : NULL;
}

const char *wire_problem_end_of_utterance(const struct wire_frame *frame)
{
    bool possible = frame->u.end_of_utterance.n_samples <= CLIENT_SAMPLES_MAX;
    return possible ? NULL : "n_samples is out of range";
}

static const char *problem_in_node(const struct wire_node *node, int32_t index)
{
    if (node->token < 0 || node->token >= WIRE_TOKEN_MAX)
        return "a token is out of range";
    if (node->parent < -1 || node->parent >= index)
        return "a node's parent is not before it";
    return between(node->confidence, 0.0f, 1.0f) ? NULL : "a confidence is not in 0..1";
}

const char *wire_problem_draft(const struct wire_frame *frame)
{
    const struct wire_draft *draft = &frame->u.draft;
    if (draft->number == 0 || draft->base >= draft->number)
        return "a draft's base is not an earlier draft";
    if (draft->base == 0 && draft->n_base != 0)
        return "a whole draft keeps nothing";
    if (draft->n_prefix > WIRE_TOKENS_MAX)
        return "n_prefix is out of range";
    if (draft->n_base > WIRE_DRAFT_NODES_MAX || draft->n_nodes > WIRE_DRAFT_NODES_MAX
        || draft->n_base + draft->n_nodes > WIRE_DRAFT_NODES_MAX)
        return "too many nodes";
    const char *problem = NULL;
    for (uint32_t i = 0; i < draft->n_nodes && !problem; i++)
        problem = problem_in_node(&draft->nodes[i], (int32_t)(draft->n_base + i));
    return problem;
}

const char *wire_problem_opened(const struct wire_frame *frame)
{
    const struct wire_opened *opened = &frame->u.opened;
    if (opened->version == 0)
        return "version 0";
    if (!text_ok(opened->model, sizeof(opened->model), true))
        return "model is not UTF-8";
    if (opened->n_next > WIRE_UTTERANCES_MAX)
        return "too many utterances";
    for (uint32_t i = 0; i < opened->n_next; i++) {
        if (opened->next[i].next_sample > SAMPLES_MAX)
            return "next_sample is out of range";
        for (uint32_t k = 0; k < i; k++)
            if (opened->next[k].utterance == opened->next[i].utterance)
                return "an utterance is named twice";
    }
    return NULL;
}

const char *wire_problem_decided(const struct wire_frame *frame)
{
    const struct wire_decided *decided = &frame->u.decided;
    if (decided->n_before > WIRE_TOKENS_MAX || decided->n_tokens > WIRE_TOKENS_MAX
        || decided->n_before + decided->n_tokens > WIRE_TOKENS_MAX)
        return "too many tokens for one window";
    if (!tokens_ok(decided->tokens, decided->n_tokens))
        return "a token is out of range";
    if (!text_ok(decided->language, sizeof(decided->language), true))
        return "language is not UTF-8";
    if (decided->window_start > SAMPLES_MAX || decided->audio_received > SAMPLES_MAX)
        return "a sample position is out of range";
    return NULL;
}

static const char *problem_in_segments(const struct wire_window_final *final)
{
    size_t n_text = strlen(final->text);
    if (final->n_segments > WIRE_SEGMENTS_MAX)
        return "too many segments";
    for (uint32_t i = 0; i < final->n_segments; i++) {
        const struct wire_segment *s = &final->segments[i];
        if (s->start > s->end || s->end > SAMPLES_MAX)
            return "a segment ends before it starts";
        if (s->first_token > final->n_tokens || s->n_tokens > final->n_tokens - s->first_token)
            return "a segment's tokens are not the window's";
        if (s->first_byte > n_text || s->n_bytes > n_text - s->first_byte)
            return "a segment's text is not the window's";
    }
    return NULL;
}

static const char *problem_in_numbers(const struct wire_window_final *final)
{
    if (!between(final->temperature, 0.0f, 100.0f))
        return "temperature is out of range";
    if (!between(final->no_speech, 0.0f, 1.0f))
        return "no_speech is not in 0..1";
    if (!isfinite(final->mean_logprob) || !between(final->compression_ratio, 0.0f, 1e9f))
        return "a quality measure is not a number";
    return NULL;
}

const char *wire_problem_window_final(const struct wire_frame *frame)
{
    const struct wire_window_final *final = &frame->u.window_final;
    if (final->window_start > final->next_start || final->next_start > SAMPLES_MAX)
        return "the next window begins before this one";
    if (final->n_tokens > WIRE_TOKENS_MAX || !tokens_ok(final->tokens, final->n_tokens))
        return "a token is out of range";
    if (final->n_prompt > WIRE_PROMPT_MAX || !tokens_ok(final->prompt, final->n_prompt))
        return "a prompt token is out of range";
    if (final->digest != wire_hash(final->tokens, final->n_tokens))
        return "the digest is not that of the tokens";
    if (!final->text || !text_ok(final->text, WIRE_TEXT_MAX, true))
        return "text is too long or not UTF-8";
    if (!text_ok(final->language, sizeof(final->language), true))
        return "language is not UTF-8";
    const char *problem = problem_in_segments(final);
    return problem ? problem : problem_in_numbers(final);
}

const char *wire_problem_error(const struct wire_frame *frame)
{
    const struct wire_error *error = &frame->u.error;
    if (error->code == STATUS_OK || (unsigned)error->code >= STATUS_N)
        return "an error without a code";
    return text_ok(error->message, sizeof(error->message), true) ? NULL : "message is not UTF-8";
}
