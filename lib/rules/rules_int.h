/* rules_int.h: what the files of lib/rules share, and what their tests look at. */
#ifndef RULES_RULES_INT_H
#define RULES_RULES_INT_H

#include <stdint.h>

#include "rules/rules.h"

/* Tokens [from, to). */
struct rules_range {
    uint32_t from, to;
};

/* What the grammar of timestamps leaves: a stretch of text and special tokens, and a stretch of
 * timestamps; either may be empty. Without timestamps everything is in `text`. */
struct rules_ranges {
    struct rules_range text;
    struct rules_range timestamps;
};

/* The two highest scores of a row. token -1: none. */
struct rules_top {
    int32_t token, second;
    double score, second_score;
};

struct rules_masks {
    uint32_t n_words;
    uint32_t *always;                   /* a bit per token */
    uint32_t *first;
    uint32_t n_always, n_first;         /* the same as sorted lists, to walk */
    int32_t *always_ids;
    int32_t *first_ids;                 /* those that are not in always_ids */
};

struct rules_ranges rules_allowed(const struct rules *rules, const struct rules_state *state);

/* ---- row.c: nothing here takes an empty range but row_max, which is then -INFINITY ---- */

float row_max(const struct rules_row *row, const struct kernels *kernels, struct rules_range range);

/* The lowest token of the largest. */
uint32_t row_argmax(const struct rules_row *row, const struct kernels *kernels,
                    struct rules_range range);

/* Changes an entry, and what the index says of it. */
void row_set(const struct rules_row *row, const struct kernels *kernels, uint32_t token,
             float value);

/* Natural logarithm of x > 0 (normal), within 2 ulp; only IEEE additions, multiplications and
 * divisions in a fixed order, so every machine has the same bits, which libm does not promise. */
double rules_log(double x);

/* A hash of (seed, window, attempt, position) that keys the noise of one row. */
uint64_t noise_key(const struct rules *rules, uint32_t position);

/* Standard Gumbel noise of a token in that row. */
double noise_gumbel(uint64_t key, uint32_t token);

/* Adds the range's scores logits / temperature + noise to *top. -INFINITY is never chosen. */
void noise_top(struct rules_top *top, const struct rules *rules, uint64_t key, const float *logits,
               struct rules_range range);

/* Enters one score. Of equal scores the one entered first stays ahead. */
static inline void rules_top_add(struct rules_top *top, int32_t token, double score)
{
    if (top->token < 0 || score > top->score) {
        top->second = top->token;
        top->second_score = top->score;
        top->token = token;
        top->score = score;
    } else if (top->second < 0 || score > top->second_score) {
        top->second = token;
        top->second_score = score;
    }
}

#endif
