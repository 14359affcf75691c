/* load.h: many streams of live speech on one target: lag against load, in virtual time.
 *
 * Each stream says recorded utterances (recorded.h: their length, their tokens, the draft model's
 * mistakes and confidences), pauses for a bit longer, and goes on. The same streams say the same at
 * the same times in every mode; with each seed they say something else.
 */
#ifndef TESTS_CLUSTER_LOAD_H
#define TESTS_CLUSTER_LOAD_H

#include "scenario.h"

enum load_mode {
    LOAD_ALONE,                             /* no drafts; sessions are batched all the same */
    LOAD_COLOCATED,                         /* drafts are made on the target's machine */
    LOAD_ALWAYS,                            /* drafts in full, whatever they cost: no control */
    LOAD_FIXED,                             /* drafts, at most `depth` tokens of them in a pass */
    LOAD_CONTROLLED                         /* as depth control says */
};

/* Drafts of tiny.en on the machines of pace_gpu and pace_cpu: 0.12 of a step as of large-v3 on an
 * A100, and a fifth of bench/curves/cpu-like-draft.tsv; its encoder reads the audio and 5 s. */
extern const struct pace pace_gpu_draft, pace_cpu_draft;

/* What pace_gpu and pace_cpu lack at their limit is time for encoders: tokens still pay. Here it is
 * rows: free to 16, then each costs. */
extern const struct pace pace_rows;

enum { LOAD_SEEDS_MAX = 16, LOAD_CHANGES_MAX = 64 };

struct load {
    const struct pace *pace;                /* of the target */
    const struct pace *draft;               /* of the clients; NULL: pace_laptop */
    const struct pace *draft_later;         /* from change_us on, and to and fro; NULL: never */
    uint64_t rtt_us, rtt_later_us;
    uint64_t change_us;                     /* 0: nothing changes */
    enum load_mode mode;
    const struct pace *colocated;           /* of the draft model on the target's machine */
    uint32_t depth;                         /* LOAD_COLOCATED, LOAD_FIXED */
    bool forbidden;                         /* the policy allows no drafts */
    uint32_t n_streams;
    uint32_t seconds;                       /* of speech and pauses */
    uint64_t from_us;                       /* utterances that were spoken before do not count */
    uint32_t sessions_max;                  /* of the target; 0: as many as come */
    uint64_t seed;                          /* of the first run */
    uint32_t n_seeds;                       /* runs; 0: one */
};

/* A mean over the runs, and half of its 95 % interval (0: one run). */
struct load_mean {
    double mean, half;
    double of[LOAD_SEEDS_MAX];              /* by run */
};

struct load_result {
    uint32_t n;                             /* utterances that ended, all runs */
    struct load_mean lag_us, p99_us;        /* from the last sample to the end */
    struct load_mean decode_us;             /* on the target, from encoded to final */
    uint64_t p50_us, p90_us;                /* of all runs together, as the two below */
    uint64_t all_p99_us, decode_p99_us;
    struct load_mean tokens_per_s;          /* from the first word to the last text */
    double tokens_per_busy_s;               /* of the time that the target works */
    double tokens_per_turn;                 /* a session's, in a pass that it is in */
    double rows_per_token, rows_per_pass;
    double drafted;                         /* draft steps of the clients, per token */
    double busy;                            /* share of the time that the target worked */
    double advised;                         /* share of the decoding time with a depth above 0 */
    uint32_t n_refusals;                    /* calls for which there was no seat */
    uint64_t refusal_max_us;                /* from such a call to its end */
    uint32_t n_changes;                     /* of the first stream's depth, 0 to more or back */
    uint64_t change_us[LOAD_CHANGES_MAX];
    const char *wrong;                      /* NULL: nothing; else static text */
};

/* Opens scenario_world with the recordings, for cmocka too. */
int load_open(void **state);

struct load_result load_run(const struct load *load);

/* The mean of a / b over the runs, and half of its 95 % interval. */
struct load_mean load_ratio(const struct load_mean *a, const struct load_mean *b, uint32_t n);

#endif
