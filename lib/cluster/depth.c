#include "cluster/depth.h"

#include <math.h>

#include "base/status.h"

/* Close enough that the best of them is within a percent of the best of all. */
static const uint32_t depths[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48};
static const uint32_t widths[] = {2, 3, 5};

/* One cycle from surprise to surprise, at one round-trip time. */
struct cycle {
    const struct depth_inputs *in;
    uint32_t depth, n_branches;
    float half_us;                          /* of the round trip */
    float draft_us;
    float decided_us[2 * DEPTH_MAX + 2];    /* t_m */
    uint32_t n_decided, n_arrived;
    float drafted_us;                       /* c of the last that has arrived */
    float tokens, time_us, passes;          /* E[N], E[T], E[K] */
};

/* S_i, S_0 = 1; behind the table nothing is accepted: the cycle is cut there. */
static float survival(const struct depth_inputs *in, uint32_t i)
{
    return i == 0 ? 1.0f : i <= DEPTH_MAX ? in->survival[i - 1] : 0.0f;
}

/* Counts the draft tokens that are at the target at time now_us. */
static void receive(struct cycle *cycle, float now_us)
{
    while (cycle->n_arrived < DEPTH_MAX) {
        uint32_t i = cycle->n_arrived + 1;
        float ready_us = cycle->half_us;
        if (i > cycle->depth && i - cycle->depth > cycle->n_decided)
            return;                         /* the client may not go so far ahead yet */
        if (i > cycle->depth)
            ready_us = cycle->decided_us[i - cycle->depth] + cycle->half_us;
        float drafted_us = fmaxf(cycle->drafted_us, ready_us) + cycle->draft_us;
        if (i <= cycle->n_decided)          /* decided meanwhile: it need not be drafted */
            drafted_us = fminf(drafted_us, cycle->decided_us[i] + cycle->half_us);
        if (drafted_us + cycle->half_us > now_us)
            return;
        cycle->drafted_us = drafted_us;
        cycle->n_arrived = i;
    }
}

/* The tokens that second choices add in a pass behind n decided ones, with n_rows draft tokens:
 * where the draft is wrong and its second choice is right, one more. */
static float rescued(const struct cycle *cycle, uint32_t n, uint32_t n_rows)
{
    uint32_t n_covered = MIN(cycle->n_branches, n_rows);
    return cycle->in->second * (survival(cycle->in, n) - survival(cycle->in, n + n_covered));
}

static void run_cycle(struct cycle *cycle)
{
    const struct depth_inputs *in = cycle->in;
    float now_us = 0.0f, n_passes = 0.0f;
    uint32_t n = 0;
    cycle->drafted_us = cycle->half_us;
    while (n < DEPTH_MAX) {
        if (cycle->depth > 0)
            receive(cycle, now_us);
        uint32_t n_rows = cycle->n_arrived > n ? MIN(cycle->n_arrived - n, cycle->depth) : 0;
        uint32_t n_side = n_rows > 0 ? cycle->n_branches : 0;
        float rows = in->rows_others + 1.0f + (float)(n_rows + n_side);
        now_us += in->pass_us(in->pass_context, (uint32_t)(rows + 0.5f)) + in->queue_us;
        n_passes += 1.0f;
        cycle->tokens += rescued(cycle, n, n_rows);
        for (uint32_t m = n + 1; m <= n + n_rows + 1; m++) {
            cycle->decided_us[m] = now_us;
            cycle->tokens += survival(in, m - 1);
        }
        float ends = survival(in, n) - survival(in, n + n_rows + 1);
        n += n_rows + 1;
        if (n >= DEPTH_MAX)                 /* the end of the table ends the cycle */
            ends += survival(in, n);
        cycle->n_decided = n;
        cycle->time_us += ends * now_us;
        cycle->passes += ends * n_passes;
    }
}

static void add_cycle(struct cycle *sum, struct cycle cycle, float weight)
{
    run_cycle(&cycle);
    sum->tokens += weight * cycle.tokens;
    sum->time_us += weight * cycle.time_us;
    sum->passes += weight * cycle.passes;
}

float depth_rate(const struct depth_inputs *in, uint32_t depth, uint32_t width, float *own)
{
    struct cycle sum = {0};
    bool jitters = depth > 0 && in->rtt_sd_us > 0.01f * in->rtt_us;
    float share = depth > 0 ? 1.0f - in->at_hand : 1.0f;
    SA_ASSERT(depth <= DEPTH_MAX && width >= 1);
    if (share < 1.0f)                       /* nothing has to be sent or drafted */
        add_cycle(&sum, (struct cycle){.in = in, .depth = depth, .n_branches = width - 1},
                  1.0f - share);
    for (int point = jitters ? -1 : 0; share > 0.0f && point <= (jitters ? 1 : 0); point++) {
        float rtt_us = fmaxf(in->rtt_us + 1.2247f * (float)point * in->rtt_sd_us, 0.0f);
        struct cycle cycle = {.in = in, .depth = depth, .n_branches = width - 1,
                              .half_us = 0.5f * rtt_us, .draft_us = in->draft_us};
        add_cycle(&sum, cycle, jitters ? share / 3.0f : share);
    }
    if (own)
        *own = 1e6f * sum.tokens / sum.time_us;
    return 1e6f * (sum.tokens + in->price * in->tokens_others * sum.passes) / sum.time_us;
}

/* The longest pass of a setting keeps the goal. Plain decoding is always allowed. */
static bool allowed(const struct depth_inputs *in, uint32_t depth, uint32_t width)
{
    if (depth > MIN(in->depth_max, (uint32_t)DEPTH_MAX))
        return false;
    uint32_t rows = (uint32_t)(in->rows_others + 0.5f) + depth + width;
    return in->latency_goal_us <= 0.0f ||
           in->pass_us(in->pass_context, rows) + in->queue_us <= in->latency_goal_us;
}

/* Keeps `best` unless the setting is better by `gain` tokens per second. */
static void consider(const struct depth_inputs *in, struct depth_advice *best, float *best_rate,
                     struct depth_advice setting, float gain)
{
    if (setting.depth > 0 && !allowed(in, setting.depth, setting.width))
        return;
    float rate = depth_rate(in, setting.depth, setting.width, &setting.tokens_per_s);
    if (rate <= *best_rate + gain)
        return;
    setting.alone_per_s = best->alone_per_s;
    *best = setting;
    *best_rate = rate;
}

/* How much more than DEPTH_GAIN a change has to bring now: 1 is a rest long enough. */
static float restlessness(const struct depth_inputs *in, const struct depth_advice *before)
{
    if (before->changed_us == 0 || in->now_us < before->changed_us)
        return 1.0f;
    float rest = (float)(in->now_us - before->changed_us) / (float)DEPTH_REST_US;
    return 1.0f + DEPTH_RESTLESS * expf(-rest);
}

struct depth_advice depth_choose(const struct depth_inputs *in, const struct depth_advice *before)
{
    struct depth_advice alone = {.depth = 0, .width = 1}, best;
    float alone_rate = depth_rate(in, 0, 1, &alone.alone_per_s), best_rate = alone_rate;
    alone.tokens_per_s = alone.alone_per_s;
    best = alone;
    for (uint32_t i = 0; i < ARRAY_LEN(depths); i++)
        consider(in, &best, &best_rate, (struct depth_advice){.depth = depths[i], .width = 1}, 0);
    for (uint32_t i = 0; i < ARRAY_LEN(widths) && in->second > 0.0f && best.depth > 0; i++)
        consider(in, &best, &best_rate,
                 (struct depth_advice){.depth = best.depth, .width = widths[i]}, 0);
    /* What is in force stays, unless the best is better by more than the gain; so does 0. */
    struct depth_advice kept = alone;
    float kept_rate = alone_rate;
    bool patient = before->useless_since_us == 0 ||
                   in->now_us < before->useless_since_us + DEPTH_PATIENCE_US;
    if (before->depth > 0 && patient)
        consider(in, &kept, &kept_rate,
                 (struct depth_advice){.depth = before->depth, .width = MAX(before->width, 1u)},
                 -DEPTH_LOSS * alone.alone_per_s);
    float gain = DEPTH_GAIN * alone.alone_per_s;
    if (best_rate > kept_rate + gain * restlessness(in, before)) {
        best.changed_us = MAX(in->now_us, 1u);
        return best;
    }
    kept.changed_us = kept.depth == before->depth ? before->changed_us : MAX(in->now_us, 1u);
    if (kept.depth > 0 && kept_rate <= alone_rate + gain)
        kept.useless_since_us = before->useless_since_us ? before->useless_since_us
                                                         : MAX(in->now_us, 1u);
    return kept;
}

uint32_t depth_of_client(const struct depth_advice *advice, uint64_t now_us, uint64_t since_us)
{
    if (advice->depth > 0)
        return advice->depth;
    return (now_us - since_us) % DEPTH_PROBE_US < DEPTH_PROBE_LASTS_US ? DEPTH_PROBE_DEPTH : 0;
}
