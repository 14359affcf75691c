/* target_depth.c: depth control of a session: what is seen of its drafts and of the other sessions,
 * and every 50 ms the question of cluster/depth.h: how many draft tokens in a pass, or none?
 *
 *     offer     what does the draft say comes next?        guess
 *     absorb    was it right?                              survivals
 *     pass      what did all others do in it?              their rows and tokens, the gap between
 *               a question is due: depth_choose            depth, told in Price when it changes
 *
 * The guess is made at depth 0 too, when a client's probe is there: no rows are taken for it.
 * Modes that a user asked for (lockstep, verbatim trees, a price of rows) are left alone. Drafts
 * decide no text, so nothing here does.
 */
#include <math.h>

#include "engine/target_int.h"

enum {
    CHOOSE_US = 50000,
    CHOOSE_EACH_US = 2000,                  /* times sessions in a pass: it is work */
    RTT_MAX_US = 60000000, DRAFT_MAX_US = 10000000      /* a client says what it likes */
};

/* Surprises are remembered over about 64; the prior, that a draft goes on behind one. */
static const float keep_per_cycle = 1.0f - 1.0f / 64.0f, prior_cycles = 4.0f;

/* What the others lose by a longer pass counts for more than what this session gains: with 1, rows
 * that just pay lengthen the passes of those whose drafts are bad, and their lag is the p99. */
static const float fairness = 1.5f;

/* Until the client has told. */
static const float prior_rtt_us = 50000.0f, prior_draft_us = 5000.0f;

bool depth_controlled(const struct target_session *session)
{
    const struct wire_rules *ask = &session->ask;
    const struct target_options *options = &session->target->options;
    return options->depth_control && options->depth_fixed == 0 && session->mode == SPEC_MODE_FREE &&
           !session->colocated && !ask->verbatim && ask->row_price < 0.0f;
}

uint32_t depth_nodes_max(const struct target_session *session)
{
    const struct depth_control *control = &session->depth;
    if (session->target->options.depth_fixed > 0)
        return session->target->options.depth_fixed;
    if (!depth_controlled(session) || control->chosen_us == 0)
        return UINT32_MAX;
    bool gate_only = session->target->policy.latency_goal_us <= 0.0f;
    if (gate_only && control->advice.depth > 0)
        return UINT32_MAX;
    return control->advice.depth;
}

void depth_price(const struct target_session *session, struct wire_price *price)
{
    price->depth = MIN(depth_nodes_max(session), (uint32_t)WIRE_DRAFT_NODES_MAX);
    price->width = MAX(session->depth.advice.width, 1u);
    if (!session->ask.use_drafts)
        price->depth = 0;
}

void depth_stats(struct target_session *session, const struct wire_stats *stats)
{
    struct depth_control *control = &session->depth;
    uint64_t now = clock_us(&session->target->engine->clock);
    if (stats->rtt_us > 0) {
        control->rtt_us = fminf((float)stats->rtt_us, (float)RTT_MAX_US);
        control->rtt_sd_us = fminf((float)stats->rtt_sd_us, (float)RTT_MAX_US);
    }
    if (stats->draft_step_us > 0)
        depth_mean_observe(&control->draft, now,
                           fminf((float)stats->draft_step_us, (float)DRAFT_MAX_US),
                           DEPTH_CLIENT_MEMORY_US);
}

void depth_begin(struct target_session *session)
{
    session->depth.begins = true;
    session->depth.n_agreed = 0;
    session->depth.pass_end_us = 0;
}

/* Is there something to propose where a cycle begins? Told only while the client drafts. */
static void observe_beginning(struct depth_control *control)
{
    if (!control->begins)
        return;
    control->begins = false;
    if (control->chosen_us != 0 && control->advice.depth == 0)
        return;
    control->cycles = control->cycles * keep_per_cycle + 1.0f;
    control->at_hand = control->at_hand * keep_per_cycle + (control->n_guess > 0 ? 1.0f : 0.0f);
}

void depth_offer(struct target_session *session, const struct spec_tree *tree)
{
    struct depth_control *control = &session->depth;
    int32_t last = -1;
    control->n_guess = 0;
    for (uint32_t i = 0; i < tree->n && control->n_guess < DEPTH_MAX; i++) {
        if (tree->node[i].parent != last)
            continue;
        control->guess[control->n_guess++] = tree->node[i].token;
        last = (int32_t)i;
    }
    observe_beginning(control);
}

void depth_absorb(struct target_session *session, const int32_t *decided, uint32_t n_new,
                  uint32_t n_rows)
{
    struct depth_control *control = &session->depth;
    control->n_rows = n_rows;
    control->n_new = n_new;
    for (uint32_t i = 0; i < n_new && i < control->n_guess; i++) {
        bool same = control->guess[i] == decided[i];
        depth_survival_observe(&control->survival, control->n_agreed + 1, same);
        control->n_agreed += same;
        if (same)
            continue;
        control->n_agreed = 0;
        control->begins = true;
        break;
    }
    control->n_guess = 0;
}

/* A pass that is full keeps others out: what is beyond it pays for its share of the next one. */
static float pass_us(const void *context, uint32_t n_rows)
{
    const struct spec_cost *cost = context;
    if (n_rows <= BACKEND_ROWS_MAX)
        return spec_cost_us(cost, n_rows);
    return spec_cost_us(cost, BACKEND_ROWS_MAX) * (float)n_rows / (float)BACKEND_ROWS_MAX;
}

static void choose(struct target_session *session, uint64_t now)
{
    struct target *target = session->target;
    struct depth_control *control = &session->depth;
    const struct target_policy *policy = &target->policy;
    struct depth_inputs in = {
        .now_us = now,
        .rtt_us = control->rtt_us > 0.0f ? control->rtt_us : prior_rtt_us,
        .rtt_sd_us = control->rtt_sd_us,
        .draft_us = control->draft.at_us ? control->draft.mean : prior_draft_us,
        .at_hand = (control->at_hand + prior_cycles) / (control->cycles + prior_cycles),
        .pass_us = pass_us, .pass_context = &target->cost,
        .queue_us = control->gap.mean,
        .rows_others = control->rows_others.mean, .tokens_others = control->tokens_others.mean,
        .price = fairness * policy->price, .latency_goal_us = policy->latency_goal_us,
        .depth_max = policy->drafts ? DEPTH_MAX : 0};
    depth_survival_table(&control->survival, in.survival);
    struct depth_advice before = control->advice;
    bool first = control->chosen_us == 0;
    control->advice = depth_choose(&in, &before);
    control->chosen_us = now;
    if (first || control->advice.depth != before.depth || control->advice.width != before.width)
        session_send_price(session, 0);
}

/* What the others decide between two passes of this session counts, in that pass or not: a longer
 * pass keeps all of them waiting. */
static void observe_others(struct target_session *session, uint64_t began_us, uint64_t now)
{
    struct depth_control *control = &session->depth;
    const struct target *target = session->target;
    uint64_t n_tokens = target->n_decided - control->n_decided_seen;
    float others = fmaxf((float)n_tokens - (float)control->n_new, 0.0f);
    float rows = fmaxf((float)target->pass.n - (float)control->n_rows, 0.0f);
    depth_mean_observe(&control->rows_others, now, rows, DEPTH_OTHERS_MEMORY_US);
    if (control->pass_end_us) {
        depth_mean_observe(&control->tokens_others, now, others, DEPTH_OTHERS_MEMORY_US);
        depth_mean_observe(&control->gap, now, (float)(began_us - control->pass_end_us),
                           DEPTH_OTHERS_MEMORY_US);
    }
    control->n_decided_seen = target->n_decided;
    control->pass_end_us = now;
}

void depth_pass(struct target_session *session, uint64_t began_us, uint32_t n_sessions)
{
    struct depth_control *control = &session->depth;
    uint64_t now = clock_us(&session->target->engine->clock);
    if (!depth_controlled(session) || session->dead)
        return;
    observe_others(session, began_us, now);
    uint64_t every_us = MAX((uint64_t)CHOOSE_US, (uint64_t)CHOOSE_EACH_US * n_sessions);
    if (now >= control->chosen_us + every_us)
        choose(session, now);
}
