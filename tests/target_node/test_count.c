/* What a target counts of the frames that pass. */
#include "../support/support.h"

#include <string.h>

#include "../../target_node/count.c"

struct side {
    struct metrics *metrics;
    struct counted counted;
};

static void start(struct side *side)
{
    struct error err;
    *side = (struct side){0};
    assert_ok(metrics_new(metrics_target, TARGET_METRICS_N, &side->metrics, &err), &err);
}

static int64_t value(const struct side *side, enum target_metric metric)
{
    return metrics_value(side->metrics, metric);
}

static void open_session(struct side *side, bool drafts, uint32_t epoch)
{
    struct wire_frame open = {.kind = WIRE_OPEN}, opened = {.kind = WIRE_OPENED};
    open.u.open.rules.use_drafts = drafts;
    open.u.open.vocabulary_hash = 7;
    open.u.open.epoch = epoch;
    count_received(&side->counted, &open, 1);
    count_sent(side->metrics, &side->counted, &opened, 2);
}

static void end_utterance(struct side *side, uint32_t id, uint64_t now)
{
    struct wire_frame end = {.kind = WIRE_END_OF_UTTERANCE};
    end.u.end_of_utterance.utterance = id;
    count_received(&side->counted, &end, now);
}

static void finish_utterance(struct side *side, uint32_t id, uint64_t now)
{
    struct wire_frame final = {.kind = WIRE_UTTERANCE_FINAL};
    final.u.utterance_final.utterance = id;
    count_sent(side->metrics, &side->counted, &final, now);
}

static void sessions_and_those_that_came_back(void **state)
{
    (void)state;
    struct side side;
    start(&side);
    open_session(&side, true, 0);
    open_session(&side, true, 1);
    assert_true(side.counted.opened);
    assert_int_equal(value(&side, TARGET_METRIC_OPENED), 2);
    assert_int_equal(value(&side, TARGET_METRIC_RESUMED), 1);
    count_refused(side.metrics, STATUS_EXHAUSTED);
    count_refused(side.metrics, STATUS_MISMATCH);
    count_refused(side.metrics, STATUS_CANCELLED);
    assert_int_equal(value(&side, TARGET_METRIC_REFUSED_FULL), 1);
    assert_int_equal(value(&side, TARGET_METRIC_REFUSED_MISMATCH), 1);
    metrics_free(&side.metrics);
}

static void the_lag_is_from_the_end_of_speech_to_the_last_text(void **state)
{
    (void)state;
    struct side side;
    start(&side);
    open_session(&side, true, 1);
    end_utterance(&side, 3, 1000);
    end_utterance(&side, 4, 2000);
    finish_utterance(&side, 3, 5000);
    assert_int_equal(value(&side, TARGET_METRIC_LAG_SPLIT), 1);
    struct wire_frame cancelled = {.kind = WIRE_CANCELLED};
    cancelled.u.cancelled.utterance = 4;
    count_sent(side.metrics, &side.counted, &cancelled, 6000);
    finish_utterance(&side, 4, 7000);
    assert_int_equal(value(&side, TARGET_METRIC_LAG_SPLIT), 1);
    open_session(&side, false, 1);
    end_utterance(&side, 5, 8000);
    finish_utterance(&side, 5, 9000);
    assert_int_equal(value(&side, TARGET_METRIC_LAG_ALONE), 1);
    metrics_free(&side.metrics);
}

/* A session that ends utterances without limit fills no more than the table. */
static void more_ends_than_places_are_forgotten(void **state)
{
    (void)state;
    struct side side;
    start(&side);
    open_session(&side, true, 1);
    for (uint32_t i = 0; i < 100; i++)
        end_utterance(&side, i, 1000 + i);
    for (uint32_t i = 0; i < 100; i++)
        finish_utterance(&side, i, 5000);
    assert_int_equal(value(&side, TARGET_METRIC_LAG_SPLIT), WIRE_UTTERANCES_MAX);
    metrics_free(&side.metrics);
}

static void windows_and_their_tokens(void **state)
{
    (void)state;
    struct side side;
    start(&side);
    struct wire_frame frame = {.kind = WIRE_WINDOW_FINAL};
    struct wire_window_final *final = &frame.u.window_final;
    final->n_tokens = 20;
    final->attempt = 2;
    final->stats = (struct wire_window_stats){.tokens = 21, .passes = 5, .rows = 60,
                                              .claims_differing = 1, .drafts_dropped = 3};
    count_sent(side.metrics, &side.counted, &frame, 1);
    final->skipped = true;
    final->n_tokens = 0;
    final->attempt = 0;
    final->stats = (struct wire_window_stats){.tokens = 1, .passes = 2, .rows = 2};
    count_sent(side.metrics, &side.counted, &frame, 2);
    assert_int_equal(value(&side, TARGET_METRIC_COMMITTED), 20);
    assert_int_equal(value(&side, TARGET_METRIC_ACCEPTED), 16);
    assert_int_equal(value(&side, TARGET_METRIC_WINDOWS_COMMIT), 1);
    assert_int_equal(value(&side, TARGET_METRIC_WINDOWS_SKIP), 1);
    assert_int_equal(value(&side, TARGET_METRIC_WINDOWS_RETRY), 2);
    assert_int_equal(value(&side, TARGET_METRIC_RESUME_MISMATCHES), 1);
    assert_int_equal(value(&side, TARGET_METRIC_DROPPED_STALE), 3);
    assert_int_equal(side.counted.windows, 2);
    assert_int_equal(side.counted.rows, 62);
    metrics_free(&side.metrics);
}

static void turns_are_differences(void **state)
{
    (void)state;
    struct side side;
    start(&side);
    struct target_counts before = {0};
    struct target_counts now = {.encode_us = 50, .forward_us = 700, .passes = 1, .rows = 8,
                                .samples = 24, .listening = 2};
    count_turn(side.metrics, &before, &now);
    now.samples += 24;                      /* 1.5 ms twice are 3 ms */
    now.listening = 0;
    count_turn(side.metrics, &before, &now);
    assert_int_equal(value(&side, TARGET_METRIC_PASSES), 1);
    assert_int_equal(value(&side, TARGET_METRIC_PASS), 1);
    assert_int_equal(value(&side, TARGET_METRIC_ROWS), 8);
    assert_int_equal(value(&side, TARGET_METRIC_BUSY_ENCODE), 50);
    assert_int_equal(value(&side, TARGET_METRIC_BUSY_FORWARD), 700);
    assert_int_equal(value(&side, TARGET_METRIC_AUDIO), 3000);
    assert_int_equal(value(&side, TARGET_METRIC_UTTERANCES_LISTEN), 0);
    metrics_free(&side.metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_and_those_that_came_back),
        cmocka_unit_test(the_lag_is_from_the_end_of_speech_to_the_last_text),
        cmocka_unit_test(more_ends_than_places_are_forgotten),
        cmocka_unit_test(windows_and_their_tokens),
        cmocka_unit_test(turns_are_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
