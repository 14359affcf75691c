/* rules.c: the choice for one row, in the order of openai/whisper decoding.py.
 *
 *     ranges   which stretches of the vocabulary the timestamp grammar leaves (from the state
 * alone)
 *     mask     suppressed ids in them become -INFINITY
 *     sums     softmax sums of text and of timestamps, separately
 *     rule     timestamps together likelier than the likeliest text token: only timestamps
 *     top      best and runner-up of what is left, with noise where the temperature is above 0
 *
 * The timestamp grammar, with T a timestamp, x text, after the prompt:
 *     start    -> T within max_initial_timestamp
 *     .. x     -> text, or T later than the last one
 *     .. x T   -> T not before this one (the next segment's start), or end; no text
 *     .. T T, or T alone at the start -> text or end; no T
 * Tokens between end and the first timestamp count as text that `x T` does not forbid, as they do
 * there.
 */
#include "rules/rules.h"

#include <math.h>

#include "rules/rules_int.h"

enum { TIMESTAMPS = 1501 };             /* <|0.00|> .. <|30.00|> in steps of 20 ms */

struct rules rules_default(const struct model_description *model, const struct rules_masks *masks)
{
    return (struct rules){.model = model, .masks = masks, .max_initial_timestamp = -1};
}

struct rules_state rules_begin(void)
{
    return (struct rules_state){.last = -1, .before_last = -1, .last_timestamp = -1};
}

int32_t rules_timestamp_steps(const struct model_description *model, int32_t token)
{
    int32_t begin = model->special.timestamp_begin;
    return begin < 0 || token < begin || token >= begin + TIMESTAMPS ? -1 : token - begin;
}

struct rules_state rules_advance(const struct rules *rules, struct rules_state state,
                                 int32_t token)
{
    bool is_timestamp = rules_timestamp_steps(rules->model, token) >= 0;
    return (struct rules_state){
        .n_sampled = state.n_sampled + 1,
        .last = token,
        .before_last = state.last,
        .last_timestamp = is_timestamp ? token : state.last_timestamp,
    };
}

static struct rules_ranges with_timestamps(const struct rules *rules,
                                           const struct rules_state *state)
{
    const struct model_description *model = rules->model;
    uint32_t begin = (uint32_t)model->special.timestamp_begin;
    struct rules_ranges allowed = {{0, begin}, {begin, MIN(begin + TIMESTAMPS, model->n_vocab)}};
    if (state->n_sampled == 0) {
        allowed.text.to = 0;
        if (rules->max_initial_timestamp >= 0)
            allowed.timestamps.to = MIN(allowed.timestamps.to,
                                        begin + (uint32_t)rules->max_initial_timestamp + 1);
        return allowed;
    }
    bool last = rules_timestamp_steps(model, state->last) >= 0;
    bool before = state->n_sampled < 2 || rules_timestamp_steps(model, state->before_last) >= 0;
    if (state->last_timestamp >= 0)
        allowed.timestamps.from = (uint32_t)state->last_timestamp + (last && !before ? 0 : 1);
    if (last && before)
        allowed.timestamps.to = allowed.timestamps.from;
    if (last && !before)
        allowed.text.from = (uint32_t)model->special.end;
    return allowed;
}

bool rules_sums(const struct rules *rules)
{
    return rules->timestamps && rules->model->special.timestamp_begin >= 0;
}

struct rules_ranges rules_allowed(const struct rules *rules, const struct rules_state *state)
{
    const struct model_description *model = rules->model;
    if (rules->detect_language) {
        uint32_t from = (uint32_t)MAX(model->special.language_begin, 0);
        return (struct rules_ranges){.text = {from, from + model->n_languages}};
    }
    if (rules_sums(rules))
        return with_timestamps(rules, state);
    return (struct rules_ranges){.text = {0, model->n_vocab}};
}

/* Suppressed tokens below n; the lists are sorted. Language detection looks at language tokens
 * alone, which nothing suppresses. */
static void mask(const struct rules *rules, const struct rules_state *state,
                 const struct kernels *kernels, const struct rules_row *row, uint32_t n)
{
    const struct rules_masks *masks = rules->masks;
    int32_t end = (int32_t)n, no_timestamps = rules->model->special.no_timestamps;
    if (rules->detect_language)
        return;
    for (uint32_t i = 0; i < masks->n_always && masks->always_ids[i] < end; i++)
        row_set(row, kernels, (uint32_t)masks->always_ids[i], -INFINITY);
    for (uint32_t i = 0;
         state->n_sampled == 0 && i < masks->n_first && masks->first_ids[i] < end; i++)
        row_set(row, kernels, (uint32_t)masks->first_ids[i], -INFINITY);
    if (rules->timestamps && no_timestamps >= 0 && no_timestamps < end)
        row_set(row, kernels, (uint32_t)no_timestamps, -INFINITY);
}

static uint32_t range_size(struct rules_range range)
{
    return range.to > range.from ? range.to - range.from : 0;
}

bool rules_screens(const struct rules *rules)
{
    return !(rules->temperature > 0.0f) && !rules->detect_language;
}

static bool range_has(struct rules_range range, uint32_t token)
{
    return token >= range.from && token < range.to;
}

bool rules_forbid(const struct rules *rules, const struct rules_state *state,
                  const struct kernels *kernels, const struct rules_row *row)
{
    uint32_t n = row->n_indexed;
    struct rules_ranges allowed = rules_allowed(rules, state);
    bool any_text = allowed.text.from < MIN(allowed.text.to, n);
    if (!any_text && allowed.timestamps.from >= MIN(allowed.timestamps.to, n))
        return false;
    bool all = allowed.text.from == 0 && allowed.text.to >= n;
    for (uint32_t i = 0; i < n && !all; i++)
        if (!range_has(allowed.text, i) && !range_has(allowed.timestamps, i))
            row_set(row, kernels, i, -INFINITY);
    mask(rules, state, kernels, row, n);
    return true;
}

/* Enters the best two of a range. The first is taken out of the row while the second is looked for.
 * */
static void greedy_top(struct rules_top *top, const struct kernels *kernels,
                       const struct rules_row *row, struct rules_range range)
{
    if (range_size(range) == 0)
        return;
    uint32_t best = row_argmax(row, kernels, range);
    float value = row->logits[best];
    if (value == -INFINITY)
        return;
    row_set(row, kernels, best, -INFINITY);
    uint32_t second = row_argmax(row, kernels, range);
    float second_value = row->logits[second];
    row_set(row, kernels, best, value);
    rules_top_add(top, (int32_t)best, value);
    if (second_value > -INFINITY)
        rules_top_add(top, (int32_t)second, second_value);
}

struct sums {
    float text_max;
    float shift;                        /* largest allowed logit */
    float text, timestamps;             /* of exp(logit - shift) */
};

static struct sums sum_row(const struct kernels *kernels, const struct rules_row *row,
                           const struct rules_ranges *allowed)
{
    uint32_t n_text = range_size(allowed->text), n_timestamps = range_size(allowed->timestamps);
    const float *text = row->logits + allowed->text.from;
    const float *timestamps = row->logits + allowed->timestamps.from;
    struct sums sums = {.text_max = row_max(row, kernels, allowed->text)};
    sums.shift = MAX(sums.text_max, row_max(row, kernels, allowed->timestamps));
    if (sums.shift == -INFINITY)
        return sums;
    sums.text = n_text > 0 ? kernels->sum_exp(text, n_text, sums.shift) : 0.0f;
    sums.timestamps =
        n_timestamps > 0 ? kernels->sum_exp(timestamps, n_timestamps, sums.shift) : 0.0f;
    return sums;
}

/* "if sum of probability over timestamps is above any other token, sample timestamp" */
static bool timestamps_win(const struct sums *sums)
{
    return sums->timestamps > 0.0f &&
           rules_log(sums->timestamps) > (double)sums->text_max - sums->shift;
}

static float log_softmax(const float *logits, int32_t token, double shift, double log_sum)
{
    return token < 0 ? -INFINITY : (float)(logits[token] - shift - log_sum);
}

void rules_choose_row(const struct rules *rules, const struct rules_state *state,
                      const struct kernels *kernels, const struct rules_row *row,
                      struct rules_choice *out)
{
    const float *logits = row->logits;
    struct rules_ranges allowed = rules_allowed(rules, state);
    mask(rules, state, kernels, row, rules->model->n_vocab);
    struct sums sums = sum_row(kernels, row, &allowed);
    if (sums.shift == -INFINITY) {
        *out = (struct rules_choice){rules->model->special.end, -INFINITY, -1, -INFINITY, INFINITY};
        return;
    }
    if (timestamps_win(&sums)) {
        allowed.text.to = allowed.text.from;
        sums.text = 0.0f;
    }
    struct rules_top top = {.token = -1, .second = -1};
    if (rules->temperature > 0.0f) {
        uint64_t key = noise_key(rules, state->n_sampled);
        noise_top(&top, rules, key, logits, allowed.text);
        noise_top(&top, rules, key, logits, allowed.timestamps);
    } else {
        greedy_top(&top, kernels, row, allowed.text);
        greedy_top(&top, kernels, row, allowed.timestamps);
    }
    SA_ASSERT(top.token >= 0);
    double log_sum = rules_log((double)sums.text + sums.timestamps);
    out->token = top.token;
    out->logprob = log_softmax(logits, top.token, sums.shift, log_sum);
    out->second = top.second;
    out->second_logprob = log_softmax(logits, top.second, sums.shift, log_sum);
    out->gap = top.second >= 0 ? (float)(top.score - top.second_score) : INFINITY;
}

void rules_choose(const struct rules *rules, const struct rules_state *state,
                  const struct kernels *kernels, float *logits, struct rules_choice *out)
{
    const struct rules_row row = {.logits = logits};
    rules_choose_row(rules, state, kernels, &row, out);
}

float rules_probability(const struct kernels *kernels, const float *logits, uint32_t n_vocab,
                        int32_t token)
{
    SA_ASSERT(token >= 0 && (uint32_t)token < n_vocab);
    float shift = kernels->max(logits, n_vocab);
    return kernels->sum_exp(logits + token, 1, shift) / kernels->sum_exp(logits, n_vocab, shift);
}
