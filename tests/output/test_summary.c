#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output/summary.h"

static struct result_stats stats_of(uint64_t tokens, uint64_t passes)
{
    struct result_stats s = {.audio_s = 10, .tokens = tokens, .passes = passes, .rounds = 1,
                             .rows = 3 * passes, .draft_steps = tokens, .draft_rows = tokens,
                             .target_encode_ms = 300, .target_decode_ms = 100,
                             .draft_encode_ms = 50, .draft_decode_ms = 150, .total_ms = 600};
    result_stats_add_target(&s, "127.0.0.1:1");
    return s;
}

static char *page(const struct summary *summary)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    summary_write(summary, out);
    fclose(out);
    return text;
}

static void assert_has(const struct summary *summary, const char *line)
{
    char *text = page(summary);
    if (!strstr(text, line))
        fail_msg("no \"%s\" in%s", line, text);
    free(text);
}

static void assert_lacks(const struct summary *summary, const char *line)
{
    char *text = page(summary);
    if (strstr(text, line))
        fail_msg("\"%s\" in%s", line, text);
    free(text);
}

static struct summary two_files(void)
{
    struct summary s = {.n_files = 2, .drafted = true, .one_machine = true};
    struct result_stats a = stats_of(30, 5), b = stats_of(20, 5);
    summary_add(&s.total, &a);
    summary_add(&s.total, &b);
    return s;
}

static void totals_are_sums_and_rates(void **state)
{
    (void)state;
    struct summary s = two_files();
    assert_int_equal(s.total.n_targets, 1);
    assert_has(&s, "audio                 20.0 s  in 2 files\n");
    assert_has(&s, "tokens                  50\n");
    assert_has(&s, "target passes           10   5.00 tokens per pass\n");
    assert_has(&s, "rounds                   2   1.00 per file\n");
    assert_has(&s, "draft steps             50   1.00 per token\n");
    assert_has(&s, "target                 600       200       800\n");
    assert_has(&s, "draft                  100       300       400\n");
    assert_has(&s, "total                 1.20 s  16.7x real time, both sides on this machine\n");
}

static void the_calibration_is_one_line_when_something_was_learned(void **state)
{
    (void)state;
    struct summary s = two_files();
    assert_lacks(&s, "calibration");
    s.n_calibrated = 312.4;
    s.rate_at_half = 0.625;
    s.rate_at_nine = 0.94;
    assert_has(&s, "calibration            312   tokens: of those with confidence 0.5, 0.62 are "
                   "accepted, with 0.9, 0.94\n");
    s.drafted = false;
    assert_lacks(&s, "calibration");
}

static void two_machines_overlap_the_encoders(void **state)
{
    (void)state;
    struct summary s = two_files();
    assert_true(summary_two_machines_ms(&s.total) == 800);
    assert_has(&s, "two machines          0.80 s  25.0x real time, an estimate");
    s.total.draft_decode_ms = 900; /* now the draft is the longer one */
    assert_true(summary_two_machines_ms(&s.total) == 1200);
    s.one_machine = false;
    assert_lacks(&s, "two machines");
    assert_lacks(&s, "both sides on this machine");
}

static void the_check_says_yes_or_no(void **state)
{
    (void)state;
    struct summary s = two_files();
    assert_lacks(&s, "same as target alone");
    s.same = SUMMARY_SAME;
    s.n_checked = 2;
    s.alone = stats_of(30, 30);
    assert_has(&s, "same as target alone: yes (2 of 2 files, token for token)\n");
    assert_has(&s, "target alone          0.60 s  16.7x real time, 30 passes, decoder 100 ms\n");
    s.same = SUMMARY_DIFFERS;
    s.n_differing = 1;
    assert_has(&s, "same as target alone: NO (1 of 2 files differ)\n");
}

static void without_drafts_there_are_no_draft_lines(void **state)
{
    (void)state;
    struct summary s = two_files();
    s.drafted = false;
    assert_lacks(&s, "draft");
    assert_lacks(&s, "two machines");
    s.n_failed = 3;
    assert_has(&s, "in 2 files, 3 more failed\n");
    s.n_damaged = 1;
    assert_has(&s, "in 2 files, 1 of them damaged, 3 more failed\n");
}

static void an_empty_run_divides_by_nothing(void **state)
{
    (void)state;
    struct summary s = {.drafted = true, .one_machine = true};
    assert_lacks(&s, "nan");
    assert_lacks(&s, "inf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(totals_are_sums_and_rates),
        cmocka_unit_test(the_calibration_is_one_line_when_something_was_learned),
        cmocka_unit_test(two_machines_overlap_the_encoders),
        cmocka_unit_test(the_check_says_yes_or_no),
        cmocka_unit_test(without_drafts_there_are_no_draft_lines),
        cmocka_unit_test(an_empty_run_divides_by_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
