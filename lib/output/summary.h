/* summary.h: the table after a run: what was transcribed, what it cost on both sides, was it exact.
 *
 * It is honest about one machine doing both jobs: then the two sides took turns on the same
 * cores, and it says what the same work would take on two machines, with its assumption.
 */
#ifndef OUTPUT_SUMMARY_H
#define OUTPUT_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "output/results.h"

enum summary_same { SUMMARY_NOT_CHECKED, SUMMARY_SAME, SUMMARY_DIFFERS };

struct summary {
    uint32_t n_files, n_failed;
    uint32_t n_damaged;                 /* of n_files: only a part could be decoded */
    struct result_stats total;          /* sums over the files; targets: all that were used */
    bool drafted;                       /* false: --no-draft, the draft lines are left out */
    double n_calibrated;                /* tokens that the calibration learned from; 0: no line */
    double rate_at_half, rate_at_nine;  /* acceptance at a confidence of 0.5 and of 0.9 */
    bool one_machine;                   /* draft and target share a processor (a loopback target) */
    enum summary_same same;             /* --check */
    uint32_t n_checked, n_differing;    /* files compared, files that differ */
    struct result_stats alone;          /* --check: sums of the runs without drafts */
};

/* Adds one file's figures to a total (summary->total or summary->alone). */
void summary_add(struct result_stats *total, const struct result_stats *stats);

/* Estimated milliseconds of the split when draft and target have a machine each, without the
 * network: both encoders side by side, the target's passes after its own encoder and after the
 * draft. */
double summary_two_machines_ms(const struct result_stats *total);

/* The table, for stderr. */
void summary_write(const struct summary *summary, FILE *out);

#endif
