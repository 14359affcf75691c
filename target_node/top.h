/* top.h: a running target in the terminal, from its /metrics (--metrics). */
#ifndef TARGET_NODE_TOP_H
#define TARGET_NODE_TOP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

struct top_options {
    const char *address;                    /* what --metrics of the target says */
    bool json;                              /* one JSON object, once */
    double interval_s;                      /* from view to view */
    FILE *out;
};

/* Shows views until reading fails or a signal ends the program; with json it returns after the
 * first. STATUS_UNAVAILABLE, _TIMEOUT (nobody answers), _CORRUPT (no target), _IO (out). */
MUST_CHECK enum status top_run(const struct top_options *options, struct error *err);

/* One view: `text` is what /metrics says now, `earlier` what it said elapsed_s before ("" and 0:
 * nothing to compare with; rates are then those since the start of the target). */
struct top_texts {
    const char *address, *text, *earlier;
    double elapsed_s;
    const char *sessions;                   /* what /sessions says now; NULL: nothing */
    uint32_t lines_max;                     /* of the view, sessions cut to fit; 0: all */
};

/* Sessions: those at work first, among them those with the longest lag, then the oldest. */
void top_print(const struct top_texts *texts, FILE *out);
MUST_CHECK bool top_print_json(const struct top_texts *texts, FILE *out);

#endif
