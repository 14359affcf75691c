/* wait.h: what a session does next: a plain step, a verify pass, or a wait. One pure function.
 *
 * The balance keeps the promise "never slower than plain decoding by more than one step", per
 * utterance, for any draft, network and cost curve:
 *
 *     balance = one plain step                                  at the start
 *             + decided tokens x plain step - cost              of each pass
 *             - time                                            of each wait
 *
 * It never goes below zero, since a pass or wait is begun only if three quarters of it pay when
 * everything is refused (a pass then decides one token): one that loses leaves enough to try again.
 * And balance = step + plain time - own time, so own time <= plain time + one step, where a pass
 * costs what the curve says at most: who is interrupted is not slow by drafts.
 *
 * When does a wait pay? A pass now (E0 tokens, cost C0) decides tokens that the draft would bring
 * anyway (E1 tokens, cost C1, in W): the draft is walked along them when it comes.
 *     waiting   E1 tokens               in W + C1
 *     working   max(E1, E0 + 1) tokens  in max(C0, W) + C1
 * Wait if the first rate is higher. So no wait is ever longer than the pass that it replaces.
 *
 * In turns a draft comes only when it is asked for. Its steps are no price of the question:
 * rejected tokens are recycled, so that a text takes about a step a token however often drafts are
 * asked for. One more question costs the way there and back and a step to begin with, Q:
 *     asking    E1 tokens               in Q + C1
 *     working   E0 tokens               in C0
 */
#ifndef SPEC_WAIT_H
#define SPEC_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "spec/price.h"
#include "spec/tree.h"

struct spec_balance {
    float us;
};

/* Starts an utterance. */
void spec_balance_start(struct spec_balance *balance, const struct spec_cost *cost);

/* A verify pass decided n_tokens and took `us`, with n_fixed rows that plain decoding would have
 * had too (root and prompt). Plain passes are not told: they are the measure, long or short. */
void spec_balance_pass(struct spec_balance *balance, const struct spec_cost *cost,
                       uint32_t n_fixed, uint32_t n_tokens, float us);

/* A wait in SPEC_MODE_FREE took so long. Other modes' waits are what the user asked for. */
void spec_balance_wait(struct spec_balance *balance, float us);

/* What one pass or wait may cost beyond a plain step when it brings nothing. */
float spec_balance_risk(const struct spec_balance *balance);

enum spec_action { SPEC_PLAIN, SPEC_VERIFY, SPEC_WAIT };

enum spec_mode {
    SPEC_MODE_FREE,                     /* work-conserving, by balance and price */
    SPEC_MODE_WAIT_DRAFT,               /* begin each window with the whole draft, then as FREE */
    SPEC_MODE_LOCKSTEP,                 /* only the client's fresh trees, nothing overlapped */
    SPEC_MODE_TURNS,                    /* as FREE, but nothing overlapped: asks for a draft */
    SPEC_MODE_ALONE                     /* drafts are not used */
};

struct spec_turn_ask {
    enum spec_mode mode;
    uint64_t now_us;
    const struct spec_tree *tree;       /* proposal at hand, best first; n == 0: none */
    const struct spec_cost *cost;
    const struct spec_balance *balance;
    uint32_t n_fixed;                   /* rows that come anyway: root and prompt; at least 1 */
    uint32_t n_nodes_max;               /* cap: 64 - n_fixed, positions and tokens left */
    float rate;                         /* tokens per us of late (price.h); 0: not known */
    float row_price;                    /* negative: measured; 0: free, whatever the balance */
    float survival_min;                 /* of a node; rarer ones are not worth a row at any price */
    bool window_begun;                  /* a token of this window and attempt is decided */
    bool draft_fresh;                   /* the proposal comes from a client draft not yet tried */
    bool draft_complete;                /* ... which is whole */
    bool draft_due;                     /* the client owes a draft: it drafts, the link is alive */
    uint64_t draft_at_us;               /* when it is expected; only if draft_due */
    int32_t end;                        /* end token, -1: none */
    float draft_tokens;                 /* tokens per pass that fresh drafts brought of late (E1) */
    float asking_us;                    /* TURNS: what one more question costs; 0: unknown */
    uint64_t patience_us;               /* WAIT_DRAFT and LOCKSTEP give up at this time */
};

struct spec_turn {
    enum spec_action action;
    uint32_t n_nodes;                   /* SPEC_VERIFY: nodes of the tree to take, at least 1 */
    uint64_t until_us;                  /* SPEC_WAIT: ask again then, or when a frame comes */
    float expected;                     /* decided tokens expected of the pass */
};

/* SPEC_WAIT never has until_us <= now_us: the caller always makes progress. */
struct spec_turn spec_turn(const struct spec_turn_ask *ask);

#endif
