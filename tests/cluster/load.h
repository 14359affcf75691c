/* load.h: many streams of live speech on one target: lag against load, in virtual time.
 *
 * Each stream speaks 3 to 9 s, pauses, and speaks again; half of the time is speech. Drafts mishear
 * 5 % of the tokens. The same streams say the same at the same times in every mode.
 */
#ifndef TESTS_CLUSTER_LOAD_H
#define TESTS_CLUSTER_LOAD_H

#include "scenario.h"

struct load {
    const struct pace *pace;                /* of the target */
    bool drafts;                            /* false: the target alone, batched */
    bool always;                            /* drafts without depth control: in full, whatever */
    bool forbidden;                         /* the policy allows no drafts */
    uint32_t n_streams;
    uint32_t seconds;                       /* of speech and pauses */
    uint32_t sessions_max;                  /* of the target; 0: as many as come */
    uint64_t seed;
};

struct load_result {
    uint32_t n;                             /* utterances that ended */
    uint64_t p50_us, p90_us, p99_us;        /* from the last sample to the end */
    double tokens_per_turn;                 /* a session's, in a pass that it is in */
    double rows_per_token, rows_per_pass;
    double drafted;                         /* draft steps of the clients, per token */
    double tokens_per_s;                    /* from the first word to the last text */
    double busy;                            /* share of that time that the target worked */
    uint32_t n_refusals;                    /* calls for which there was no seat */
    uint64_t refusal_max_us;                /* from such a call to its end */
    const char *wrong;                      /* NULL: nothing; else static text */
};

/* Opens scenario_world with scripts of 14 to 34 tokens, for cmocka too. */
int load_open(void **state);

struct load_result load_run(const struct load *load);

#endif
