#include "cluster/place.h"

#include "base/status.h"

uint64_t place_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

uint64_t place_expected_us(const struct place_candidate *candidate, uint32_t rounds, float price)
{
    uint64_t window = candidate->window_us ? candidate->window_us : PLACE_WINDOW_US;
    return (uint64_t)candidate->rtt_us * rounds + candidate->queue_us +
           candidate->reserved * window + (uint64_t)(price * (float)window);
}

/* A position in 0..n-1 that is not among the n_taken of `taken`: each with the same chance. */
static uint32_t draw(uint32_t n, const uint32_t *taken, uint32_t n_taken, uint64_t *random)
{
    uint32_t rank = (uint32_t)(place_random(random) % (n - n_taken));
    for (uint32_t i = 0; i < n; i++) {
        bool is_taken = false;
        for (uint32_t k = 0; k < n_taken; k++)
            is_taken |= taken[k] == i;
        if (!is_taken && rank-- == 0)
            return i;
    }
    SA_ASSERT(!"fewer candidates than were counted");
    return 0;
}

uint32_t place_choose(const struct place_ask *ask, uint64_t *random,
                      uint32_t order[PLACE_TARGETS_MAX])
{
    uint32_t n = MIN(ask->n, (uint32_t)PLACE_TARGETS_MAX);
    for (uint32_t i = 0; i < n; i++)
        order[i] = draw(ask->n, order, i, random);
    if (n < 2)
        return n;
    uint64_t first = place_expected_us(&ask->candidates[order[0]], ask->rounds, ask->price);
    uint64_t second = place_expected_us(&ask->candidates[order[1]], ask->rounds, ask->price);
    if (second < first) {
        uint32_t better = order[1];
        order[1] = order[0];
        order[0] = better;
    }
    return n;
}
