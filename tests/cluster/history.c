#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"

static void PRINTF_LIKE(2, 3) violated(struct history *history, const char *format, ...)
{
    va_list args;
    if (history->violation[0])
        return;
    va_start(args, format);
    vsnprintf(history->violation, sizeof(history->violation), format, args);
    va_end(args);
}

void history_init(struct history *history, uint32_t n_max)
{
    *history = (struct history){.n_max = n_max, .told = calloc(n_max + 1, sizeof(struct told))};
    assert_non_null(history->told);
}

void history_release(struct history *history)
{
    free(history->told);
    history->told = NULL;
}

static struct told *find(struct history *history, uint32_t utterance)
{
    if (utterance < history->n)
        return &history->told[utterance];
    violated(history, "utterance %u was never begun", utterance);
    return NULL;
}

void history_begin(struct history *history, uint32_t utterance, const struct expected *expected)
{
    SA_ASSERT(utterance == history->n && history->n < history->n_max);
    history->told[history->n++] = (struct told){.expected = expected};
}

void history_spoken(struct history *history, uint32_t utterance, uint64_t now_us)
{
    struct told *told = find(history, utterance);
    if (told)
        told->spoken_us = now_us;
}

static void add_stats(struct wire_window_stats *sum, const struct wire_window_stats *stats)
{
    sum->tokens += stats->tokens;
    sum->passes += stats->passes;
    sum->rows += stats->rows;
    sum->drafts_used += stats->drafts_used;
    sum->drafts_dropped += stats->drafts_dropped;
    sum->claims_differing += stats->claims_differing;
    sum->encode_us += stats->encode_us;
    sum->decode_us += stats->decode_us;
}

void history_window(struct history *history, const struct wire_window_final *final)
{
    struct told *told = find(history, final->utterance);
    if (!told)
        return;
    const struct expected *expected = told->expected;
    if (told->ended || told->cancelled || final->window != told->n_windows)
        violated(history, "utterance %u: window %u came after %u windows%s", final->utterance,
                 final->window, told->n_windows,
                 told->ended ? " and the end" : told->cancelled ? " and was cancelled" : "");
    else if (final->window_start != told->next_start || final->next_start <= told->next_start)
        violated(history, "utterance %u: window %u is %llu .. %llu, behind %llu", final->utterance,
                 final->window, (unsigned long long)final->window_start,
                 (unsigned long long)final->next_start, (unsigned long long)told->next_start);
    else if (final->n_tokens > expected->n_tokens - told->n_tokens ||
             memcmp(expected->tokens + told->n_tokens, final->tokens,
                    final->n_tokens * sizeof(int32_t)) != 0)
        violated(history, "utterance %u: the %u tokens of window %u are not the target's own",
                 final->utterance, final->n_tokens, final->window);
    else
        told->n_tokens += final->n_tokens;
    told->n_windows++;
    told->next_start = final->next_start;
    add_stats(&history->stats, &final->stats);
}

/* Those that ended or were cancelled, from the oldest on. */
static void count_ended(struct history *history)
{
    while (history->n_ended < history->n && (history->told[history->n_ended].ended ||
                                             history->told[history->n_ended].cancelled))
        history->n_ended++;
}

void history_cancel(struct history *history, uint32_t utterance)
{
    struct told *told = find(history, utterance);
    if (told && !told->ended)
        told->cancelled = true;
    count_ended(history);
}

void history_end(struct history *history, uint32_t utterance, uint64_t now_us)
{
    struct told *told = find(history, utterance);
    if (!told)
        return;
    if (told->ended || told->cancelled || utterance != history->n_ended)
        violated(history, "utterance %u ended %s", utterance,
                 told->ended       ? "twice"
                 : told->cancelled ? "after it was cancelled"
                                   : "before an older one");
    if (told->n_windows != told->expected->n_windows ||
        told->n_tokens != told->expected->n_tokens)
        violated(history, "utterance %u: %u windows, %u tokens; the target alone has %u, %u",
                 utterance, told->n_windows, told->n_tokens, told->expected->n_windows,
                 told->expected->n_tokens);
    told->ended = true;
    told->ended_us = now_us;
    count_ended(history);
}

void history_failed(struct history *history, const struct wire_error *error)
{
    violated(history, "utterance %u failed: %s", error->utterance, error->message);
}

bool history_complete(const struct history *history)
{
    return history->n_ended == history->n;
}

uint64_t history_lag_us(const struct history *history, uint32_t i)
{
    SA_ASSERT(i < history->n && history->told[i].ended);
    return history->told[i].ended_us - history->told[i].spoken_us;
}
