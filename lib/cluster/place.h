/* place.h: which target a session goes to. Pure: the randomness is passed in.
 *
 * Two random candidates, and the better of them ("power of two choices": Mitzenmacher 2001, the
 * largest load of n targets is then O(log log n) above the mean instead of O(log n / log log n)).
 * Always taking the best of all would send every client of a heartbeat period to one target.
 * Better is the earlier expected completion of one window, in microseconds:
 *
 *     T = rtt x rounds + queue + reserved x window + price x window
 *
 *     rtt       [us]  between client and target, as the client measured it
 *     rounds          network exchanges that the client waits for (1 for whole drafts, or more)
 *     queue     [us]  until the work of a new arrival begins, by the target's last heartbeat
 *     reserved        sessions placed there that are perhaps not in that heartbeat yet
 *     window    [us]  model time of one window there: a slow target costs more than a fast one
 *     price           the shadow price: 1 when there is room, more when capacity is scarce
 */
#ifndef CLUSTER_PLACE_H
#define CLUSTER_PLACE_H

#include <stdbool.h>
#include <stdint.h>

enum { PLACE_TARGETS_MAX = 3 };

struct place_candidate {
    uint32_t index;                     /* the caller's */
    uint32_t rtt_us;                    /* 0: not known, the same for all that are not */
    uint32_t queue_us;
    uint32_t window_us;                 /* 0: not measured, PLACE_WINDOW_US is taken */
    uint32_t reserved;
};

enum { PLACE_WINDOW_US = 500000 };

/* splitmix64: the next number of a seeded generator. */
uint64_t place_random(uint64_t *state);

uint64_t place_expected_us(const struct place_candidate *candidate, uint32_t rounds, float price);

struct place_ask {
    const struct place_candidate *candidates;
    uint32_t n;
    uint32_t rounds;
    float price;
};

/* Draws two candidates, the better one first, and a third as a further fall-back; order[i] is a
 * position in `candidates`. Returns how many were written: min(n, PLACE_TARGETS_MAX). */
uint32_t place_choose(const struct place_ask *ask, uint64_t *random,
                      uint32_t order[PLACE_TARGETS_MAX]);

#endif
