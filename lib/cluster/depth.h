/* depth.h: how far a client should draft ahead of the decided text, and how broadly; 0: not at all.
 *
 * One pure function, run at the target for each session from what its client reports (Stats) and
 * what the target measures. It maximises committed tokens per second in the following model.
 *
 * A surprise is a token of the target that the draft did not have. Time runs from the moment the
 * target sends one (t = 0) until it decides the next; A is the number of draft tokens accepted
 * between them, P(A >= i) = S_i, the prefix-survival table. Until then nothing is random:
 *
 *     client   knows token m at          k_m = t_m + rtt/2         (t_m: decided at the target;
 *                                        k_m = rtt/2 for m <= 0)
 *              has drafted token i at    c_i = min(k_i, max(c_(i-1), k_(i-D)) + d)
 *     target   has draft token i at      a_i = c_i + rtt/2
 *              never waits: a pass at time t takes the r = min(D, arrived - decided) draft tokens
 *              that are there, decides r + 1 tokens and ends at
 *                                        t + P(o_rows + 1 + r) + q
 *
 * D: depth [tokens]; rtt, d (a draft step), q (between two passes) and P (a pass with so many rows)
 * in [us]. The pass in which the next surprise comes ends the cycle, so
 *
 *     E[N] = sum over i < n of S_i    tokens of a cycle       E[T], E[K] = its time and its passes
 *
 *     J(D) = (E[N] + price x o x E[K]) / E[T]                 [tokens / us]
 *
 * o: tokens that the other sessions decide from one pass of this session to its next. They get o
 * per pass whatever this session does, so a longer pass costs them. With the price at 1, J is the
 * target's whole throughput; where n equal sessions maximise it on rows that cost c each, they meet
 * S_D P = c n E[N], the condition for their sum. Above 1: capacity is scarce beyond this target
 * (policy.h).
 * J(0) = (1 + price x o) / (P(o_rows + 1) + q): the target alone.
 *
 * It is the ratio of optimal stopping (UCB-SpecStop, arXiv 2606.20591), but with a target that
 * works while the network is slow: a long way is no fixed loss per round, and the best depth can
 * fall to zero. The batch (DiP-SD, 2604.20919) is an external cost. There is a break-even
 * ("Speculation at a Distance", 2606.25091): where rtt + d exceed the plain steps that a draft
 * saves, nothing arrives before it is decided, and J(D) = J(0).
 *
 * Where a surprise leaves the rest of the draft in use (spec/realign.h), nothing has to be sent: in
 * that share of the cycles rtt and d are 0. E[N], E[T] and E[K] are means over both kinds.
 *
 * Jitter: E[T] and E[K] are means over rtt - 1.22 sd, rtt, rtt + 1.22 sd with weights 1/3
 * (three points that have the mean and the variance).
 *
 * Hysteresis: the present depth stays until another one is better by DEPTH_GAIN, or plain decoding
 * by DEPTH_LOSS. For a while after a change another one has to bring up to DEPTH_RESTLESS times as
 * much more, falling with the time constant DEPTH_REST_US, so that noise in the inputs does not
 * move it to and fro; what brings much is done at once. J is continuous in all
 * inputs, so at a switch the two are equally good: no cliff.
 * A draft that neither gains nor loses is kept for DEPTH_PATIENCE_US only: it costs the client
 * its battery. From then on depth_of_client looks now and then.
 */
#ifndef CLUSTER_DEPTH_H
#define CLUSTER_DEPTH_H

#include <stdbool.h>
#include <stdint.h>

enum { DEPTH_MAX = 48 };

/* In shares of what the session has without drafts: a share of J would ask the more of it, the more
 * sessions there are. */
#define DEPTH_GAIN 0.02f                /* what a switch has to gain */
#define DEPTH_LOSS 0.005f               /* what a draft may cost before it is given up */
#define DEPTH_RESTLESS 4.0f

enum {
    DEPTH_REST_US = 3000000,
    DEPTH_PATIENCE_US = 5000000,
    DEPTH_PROBE_US = 1000000,
    DEPTH_PROBE_LASTS_US = 250000,
    DEPTH_PROBE_DEPTH = 16,
    DEPTH_PROBE_EVERY = 4                   /* at depth 0 a draft step for so many decided tokens */
};

/* Microseconds of a pass with so many rows; not falling in n_rows. */
typedef float (*depth_pass_fn)(const void *context, uint32_t n_rows);

struct depth_inputs {
    uint64_t now_us;
    float rtt_us, rtt_sd_us;
    float draft_us;                     /* per new token of a draft, recycled ones counted */
    float survival[DEPTH_MAX];          /* [i]: that the first i + 1 tokens are accepted; falling */
    float at_hand;                      /* share of surprises behind which the draft goes on */
    float second;                       /* that the second choice is right where the first is not */
    depth_pass_fn pass_us;
    const void *pass_context;
    float queue_us;                     /* q: between two passes of this session */
    float rows_others, tokens_others;   /* of the other sessions in a pass, means */
    float price;                        /* shadow price, >= 0; 1: this target's own throughput */
    float latency_goal_us;              /* the longest pass that is allowed; 0: no goal */
    uint32_t depth_max;                 /* 0: this session may not speculate (modes) */
};

struct depth_advice {
    uint32_t depth;                     /* tokens beyond the decided ones; 0: do not draft */
    uint32_t width;                     /* 1: the trunk alone; n: and n - 1 side branches */
    float tokens_per_s, alone_per_s;    /* of this session: expected, and without drafts */
    uint64_t changed_us;                /* when it became what it is; 0: never */
    uint64_t useless_since_us;          /* neither gains nor loses; 0: it gains, or depth is 0 */
};

/* `before`: the advice that is in force (all zero: none). */
struct depth_advice depth_choose(const struct depth_inputs *in, const struct depth_advice *before);

/* How far the client is to draft now: as advised; at depth 0 for a quarter of each second all the
 * same, DEPTH_PROBE_DEPTH tokens ahead, counted from since_us (when the session began). The target
 * takes no rows for those: it compares them with what it decides by itself, which tells draft step
 * and survivals, and so when drafts would pay again. Only the client pays for looking. */
uint32_t depth_of_client(const struct depth_advice *advice, uint64_t now_us, uint64_t since_us);

/* J in tokens per second, and this session's share of it (may be NULL), for one setting. */
float depth_rate(const struct depth_inputs *in, uint32_t depth, uint32_t width, float *own);

#endif
