/* branch.h: side branches of a sparse token tree (SpecASR's second pass).
 *
 * The trunk is the greedy draft t0 t1 t2 ... At a doubtful place i the second choice s_i may be
 * right; behind it the draft model runs on until it meets the trunk again:
 *
 *     t0 --- t1 --- t2 --- t3 --- t4 ---             trunk
 *       \                 /
 *        s1 --- y ------/   y == t2 or t3            branch at 1: meets the trunk, then shares it
 *
 * Places are chosen by what a branch would save: the probability that the text leaves the trunk
 * there for the second choice, times the trunk behind it that is then saved.
 */
#ifndef SPEC_BRANCH_H
#define SPEC_BRANCH_H

#include <stdbool.h>
#include <stdint.h>

enum { SPEC_BRANCHES_MAX = 8, SPEC_BRANCH_LENGTH_MAX = 4 };

struct spec_trunk {
    uint32_t n;
    const int32_t *token;
    const float *confidence;            /* calibrated or as the model says */
    const int32_t *second;              /* -1: none */
    const float *second_confidence;
};

struct spec_branch {
    uint32_t at;                        /* trunk place that its first token stands in for */
    uint32_t n;                         /* tokens of its own */
    int32_t token[SPEC_BRANCH_LENGTH_MAX];
    float confidence[SPEC_BRANCH_LENGTH_MAX];
    int32_t rejoins;                    /* trunk place that follows it; -1: nowhere yet */
};

/* The places that save most, at most n_max of them, in trunk order, each with its second choice as
 * first token. Returns how many. */
uint32_t spec_branches_choose(const struct spec_trunk *trunk, uint32_t n_max,
                              struct spec_branch *branches);

/* The model says what follows the branch. It meets the trunk again where that token stands within a
 * few places, else it becomes one more token of the branch. True: the branch is finished, met or
 * full. */
bool spec_branch_grow(struct spec_branch *branch, const struct spec_trunk *trunk, int32_t token,
                      float confidence);

#endif
