/* realign_int.h: the numbers of the alignment model, shared by realign.c and propose.c.
 *
 * A pair hidden Markov model of "the decided text, as seen from the draft": in state AGREE the next
 * decided token is the next draft token; an error leads to APART, where draft tokens are left out
 * and tokens come that the draft does not have, until they agree again.
 *
 *                   match q                       q = 1 - e: acceptance rate of the token
 *                 +---------+
 *                 v         |      leave
 *     (error e) AGREE ------+ <-----------+
 *        |                                |
 *        +--> APART: skip a draft token (emits nothing)
 *                    or replace one, or insert one (emits any token)
 *
 * The probabilities are of a kind that holds for any recogniser: errors are short, a replaced word
 * is more common than a lost or an added one. They were set on the development speech in round
 * figures; the passes change by under 3 % when any one is halved or half as much again
 * (bench/spec_simulate).
 */
#ifndef SPEC_REALIGN_INT_H
#define SPEC_REALIGN_INT_H

#include "spec/realign.h"

struct realign_numbers {
    float surest;                       /* no token agrees with more than this probability */
    float skip;                         /* share of errors that begin with a draft token left out */
    float replace, insert;              /* shares of errors that emit a token; skip + these = 1 */
    float leave;                        /* APART: the next token agrees again */
    float skip_more;                    /* APART: one more draft token is left out */
    float jump;                         /* APART: goes on anywhere in the draft */
};

extern const struct realign_numbers realign_numbers;

/* Acceptance rate of trunk token j. */
float realign_rate(const struct spec_source *source, const struct spec_realign *how, uint32_t j);

/* The mass of APART at each place before the next decided token, after jumps and skips.
 * `from_agree`: skips that leave AGREE are in it too (who guesses those errors leaves them out).
 * Place n is behind the last draft token. */
void realign_apart(const struct spec_source *source, const struct spec_realign *how,
                   bool from_agree, float apart[SPEC_NODES_MAX + 1]);

static inline bool realign_is_time(const struct spec_realign *how, int32_t token)
{
    return how->timestamp_begin >= 0 && token >= how->timestamp_begin;
}

#endif
