#include "count.h"

#include <string.h>

void count_received(struct counted *counted, const struct wire_frame *frame, uint64_t now_us)
{
    if (frame->kind == WIRE_OPEN) {
        counted->drafts = frame->u.open.rules.use_drafts && frame->u.open.vocabulary_hash != 0;
        counted->epoch = frame->u.open.epoch;
        memcpy(counted->session, frame->u.open.session, sizeof(counted->session));
    }
    if (frame->kind != WIRE_END_OF_UTTERANCE)
        return;
    for (uint32_t i = 0; i < ARRAY_LEN(counted->ends); i++)
        if (counted->ends[i].ended_us == 0) {
            counted->ends[i].utterance = frame->u.end_of_utterance.utterance;
            counted->ends[i].ended_us = now_us;
            return;
        }
}

static void count_end(struct metrics *metrics, struct counted *counted, uint32_t utterance,
                      bool final, uint64_t now_us)
{
    for (uint32_t i = 0; i < ARRAY_LEN(counted->ends); i++) {
        if (counted->ends[i].ended_us == 0 || counted->ends[i].utterance != utterance)
            continue;
        if (final) {
            counted->lag_us = now_us - counted->ends[i].ended_us;
            metrics_observe(metrics,
                            counted->drafts      ? TARGET_METRIC_LAG_SPLIT
                            : counted->colocated ? TARGET_METRIC_LAG_COLOCATED
                                                 : TARGET_METRIC_LAG_ALONE,
                            counted->lag_us);
        }
        counted->ends[i].ended_us = 0;
    }
}

static void count_window(struct metrics *metrics, const struct wire_window_final *final)
{
    const struct wire_window_stats *stats = &final->stats;
    metrics_add(metrics, TARGET_METRIC_COMMITTED, final->n_tokens);
    if (stats->tokens > stats->passes)
        metrics_add(metrics, TARGET_METRIC_ACCEPTED, stats->tokens - stats->passes);
    metrics_add(metrics,
                final->skipped ? TARGET_METRIC_WINDOWS_SKIP : TARGET_METRIC_WINDOWS_COMMIT, 1);
    metrics_add(metrics, TARGET_METRIC_WINDOWS_RETRY, final->attempt);
    metrics_add(metrics, TARGET_METRIC_RESUME_MISMATCHES, stats->claims_differing);
    metrics_add(metrics, TARGET_METRIC_DROPPED_STALE, stats->drafts_dropped);
}

void count_sent(struct metrics *metrics, struct counted *counted, const struct wire_frame *frame,
                uint64_t now_us)
{
    switch (frame->kind) {
    case WIRE_OPENED:
        counted->opened = true;
        metrics_add(metrics, TARGET_METRIC_OPENED, 1);
        metrics_add(metrics, TARGET_METRIC_RESUMED, counted->epoch > 0);
        break;
    case WIRE_PRICE:
        counted->depth = frame->u.price.depth;
        metrics_set(metrics, TARGET_METRIC_ROW_PRICE, frame->u.price.row_us);
        break;
    case WIRE_NEED_FULL:
        metrics_add(metrics, TARGET_METRIC_DROPPED_UNKNOWN_BASE, 1);
        break;
    case WIRE_WINDOW_FINAL:
        counted->windows++;
        counted->rows += frame->u.window_final.stats.rows;
        count_window(metrics, &frame->u.window_final);
        break;
    case WIRE_UTTERANCE_FINAL:
        count_end(metrics, counted, frame->u.utterance_final.utterance, true, now_us);
        break;
    case WIRE_CANCELLED:
        count_end(metrics, counted, frame->u.cancelled.utterance, false, now_us);
        break;
    case WIRE_ERROR:
        count_end(metrics, counted, frame->u.error.utterance, false, now_us);
        break;
    default:
        break;
    }
}

void count_refused(struct metrics *metrics, enum status code)
{
    if (code == STATUS_EXHAUSTED)
        metrics_add(metrics, TARGET_METRIC_REFUSED_FULL, 1);
    else if (code == STATUS_MISMATCH || code == STATUS_UNSUPPORTED || code == STATUS_INVALID)
        metrics_add(metrics, TARGET_METRIC_REFUSED_MISMATCH, 1);
}

void count_turn(struct metrics *metrics, struct target_counts *before,
                const struct target_counts *now)
{
    uint64_t forward_us = now->forward_us - before->forward_us;
    metrics_add(metrics, TARGET_METRIC_BUSY_ENCODE, now->encode_us - before->encode_us);
    metrics_add(metrics, TARGET_METRIC_BUSY_FORWARD, forward_us);
    metrics_add(metrics, TARGET_METRIC_BUSY_DRAFT, now->draft_us - before->draft_us);
    metrics_add(metrics, TARGET_METRIC_PASSES, now->passes - before->passes);
    metrics_add(metrics, TARGET_METRIC_ROWS, now->rows - before->rows);
    if (now->passes > before->passes)
        metrics_observe(metrics, TARGET_METRIC_PASS, forward_us);
    /* Whole milliseconds of both, so that no sample is lost to rounding. */
    metrics_add(metrics, TARGET_METRIC_AUDIO,
                (now->samples / SAMPLES_PER_MS - before->samples / SAMPLES_PER_MS) * 1000u);
    metrics_add(metrics, TARGET_METRIC_AUDITS, now->audits - before->audits);
    metrics_add(metrics, TARGET_METRIC_AUDIT_MISMATCHES,
                now->audit_mismatches - before->audit_mismatches);
    metrics_set(metrics, TARGET_METRIC_SLOTS, now->slots);
    metrics_set(metrics, TARGET_METRIC_UTTERANCES_LISTEN, now->listening);
    metrics_set(metrics, TARGET_METRIC_UTTERANCES_ENCODE, now->encoding);
    metrics_set(metrics, TARGET_METRIC_UTTERANCES_DECODE, now->decoding);
    *before = *now;
}
