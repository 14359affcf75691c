/* policy.h: named bundles of the techniques, as `draft_node --policy NAME` chooses them.
 *
 *     name            draft grows to      stops early   rest is kept   side branches   target adds
 *     ar              no draft
 *     spec:N          N tokens
 *     asp[:T]         24 tokens           below T
 *     asp+recycle[:T] 24 tokens           below T       yes
 *     sparse[:T]      24 tokens           below T       yes            yes
 *     full            the whole utterance               yes            second choices  realign
 *                     (in turns, at a price: as far as that says)
 *
 * T is the threshold of the paper (SpecASR, arXiv 2507.18181), 0.3 unless given, or "auto": the
 * priced rule of stop.h on calibrated confidences. The text is the same under each of them.
 */
#ifndef SPEC_POLICY_H
#define SPEC_POLICY_H

#include <stdbool.h>
#include <stdint.h>

enum { SPEC_POLICY_CAP = 24 };          /* the paper's */

struct spec_policy {
    bool drafts;
    uint32_t cap;                       /* tokens of a draft; 0: the whole utterance */
    float theta;                        /* stops behind a token less sure; 0: never; < 0: priced */
    bool recycle;
    uint32_t branches;                  /* side branches of a draft, at most */
    bool realign;                       /* the target proposes from what is left by itself */
};

/* The whole draft, recycled, re-aligned by the target. */
struct spec_policy spec_policy_default(void);

/* False: no such policy, or a number out of range (N 1..64, T 0..1); *policy is untouched. */
bool spec_policy_parse(const char *text, struct spec_policy *policy);

/* For help texts and messages. */
extern const char spec_policy_names[];

#endif
