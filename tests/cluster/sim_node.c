/* sim_node.c: a machine: a clock of its own, work that moves it, an inbox. */
#include <stdlib.h>

#include "sim_int.h"

static void take_turn(struct sim *sim, void *object, uint64_t generation)
{
    struct node *node = object;
    if (generation != node->generation || node->down)
        return;
    node->wake_us = UINT64_MAX;
    if (node->frozen_until_us > sim->now_us) {
        node_wake(node, node->frozen_until_us);
        return;
    }
    node->now_us = sim->now_us;
    node->turn(node);
}

void node_init(struct sim *sim, struct node *node, void (*turn)(struct node *node))
{
    *node = (struct node){.sim = sim, .turn = turn, .rate = 1.0, .wake_us = UINT64_MAX};
    if (sim->options.skew) {
        node->rate = 0.995 + 0.00001 * (double)sim_draw(sim, 1000);
        node->origin_us = sim_draw(sim, UINT64_C(1) << 40);
        node->date_off_s = (int64_t)sim_draw(sim, 51) - 25;
    }
}

void node_release(struct node *node)
{
    node_clear_inbox(node);
    free(node->inbox);
    node->inbox = NULL;
}

/* A turn at at_us, or after the one under way; an earlier one that is due stays. */
void node_wake(struct node *node, uint64_t at_us)
{
    at_us = MAX(at_us, node->now_us);
    if (node->down || node->wake_us <= at_us)
        return;
    node->wake_us = at_us;
    sim_at(node->sim, at_us, take_turn, node, ++node->generation);
}

void node_freeze(struct node *node, uint64_t from_us, uint64_t until_us)
{
    node->frozen_until_us = MAX(node->frozen_until_us, until_us);
    if (node->now_us > from_us)
        node->now_us += until_us - from_us;
    if (node->wake_us != UINT64_MAX) {
        uint64_t at = MAX(node->wake_us, node->frozen_until_us);
        node->wake_us = UINT64_MAX;
        node_wake(node, at);
    }
}

static uint64_t read_clock(void *context)
{
    const struct node *node = context;
    return node->origin_us + 1000000u + (uint64_t)((double)node->now_us * node->rate);
}

struct clock node_clock(struct node *node)
{
    return (struct clock){.now = read_clock, .context = node};
}

/* The first moment at which the clock shows at least that. */
uint64_t node_from_clock(const struct node *node, uint64_t clock_us)
{
    uint64_t zero = node->origin_us + 1000000u;
    return clock_us <= zero ? 0 : (uint64_t)((double)(clock_us - zero) / node->rate) + 1;
}

bool node_take(struct node *node, struct item *item)
{
    if (node->n_inbox == 0)
        return false;
    *item = node->inbox[0];
    node->n_inbox--;
    for (uint32_t i = 0; i < node->n_inbox; i++)
        node->inbox[i] = node->inbox[i + 1];
    return true;
}

void node_clear_inbox(struct node *node)
{
    struct item item;
    while (node_take(node, &item))
        wire_bytes_release(&item.bytes);
}

static void spend(void *context, uint64_t us)
{
    struct node *node = context;
    if (node->spending)
        node->spending(node, us);
    node->now_us += us;
}

struct toy_time node_time(struct node *node, const struct pace *pace)
{
    return (struct toy_time){.pace = pace, .spend = spend, .context = node};
}
