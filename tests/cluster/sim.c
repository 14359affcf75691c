/* sim.c: the queue of events, and what must hold at the end. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/support.h"
#include "engine/target_int.h"
#include "sim_int.h"

enum {
    SETTLE_US = 15000000,                   /* every timer of a gone peer has run out */
    EVENTS_IN_PLACE_MAX = 200000            /* at one time: nothing moves on */
};

/* ---- small things ---- */

uint64_t sim_draw(struct sim *sim, uint64_t limit)
{
    return limit ? support_random(&sim->random) % limit : 0;
}

void *sim_grow(void *array, uint32_t *max, size_t size)
{
    uint32_t now = *max ? 2 * *max : 16;
    void *bigger = realloc(array, now * size);
    assert_non_null(bigger);
    *max = now;
    return bigger;
}

void sim_violated(struct sim *sim, const char *format, ...)
{
    va_list args;
    if (sim->violation[0])
        return;
    va_start(args, format);
    vsnprintf(sim->violation, sizeof(sim->violation), format, args);
    va_end(args);
}

void sim_trace(struct sim *sim, uint64_t at_us, const char *format, ...)
{
    va_list args;
    if (!sim->trace)
        return;
    va_start(args, format);
    fprintf(stderr, "%12.3f ms  ", (double)at_us / 1000.0);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

uint32_t sim_seeds(uint64_t first, uint32_t n, uint64_t *seeds)
{
    const char *one = getenv("SIM_SEED");
    if (one && *one) {
        seeds[0] = strtoull(one, NULL, 10);
        return 1;
    }
    for (uint32_t i = 0; i < n; i++)
        seeds[i] = first + i;
    return n;
}

/* ---- events: a heap by time, then by order ---- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void swap(struct sim_event *a, struct sim_event *b)
{
    struct sim_event c = *a;
    *a = *b;
    *b = c;
}

void sim_at(struct sim *sim, uint64_t at_us, sim_action action, void *object, uint64_t argument)
{
    SA_ASSERT(at_us >= sim->now_us);
    if (sim->n_events == sim->events_max)
        sim->events = sim_grow(sim->events, &sim->events_max, sizeof(*sim->events));
    uint32_t i = sim->n_events++;
    sim->events[i] = (struct sim_event){at_us, sim->n_ordered++, action, object, argument};
    for (; i > 0 && before(&sim->events[i], &sim->events[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&sim->events[i], &sim->events[(i - 1) / 2]);
}

static struct sim_event pop(struct sim *sim)
{
    struct sim_event first = sim->events[0];
    sim->events[0] = sim->events[--sim->n_events];
    for (uint32_t i = 0;;) {
        uint32_t least = i;
        for (uint32_t k = 2 * i + 1; k <= 2 * i + 2 && k < sim->n_events; k++)
            if (before(&sim->events[k], &sim->events[least]))
                least = k;
        if (least == i)
            return first;
        swap(&sim->events[i], &sim->events[least]);
        i = least;
    }
}

/* ---- what must hold ---- */

static bool all_done(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->n_clients; i++)
        if (!sim->clients[i]->done)
            return false;
    return true;
}

static void check_client(struct sim *sim, const struct sim_client *c)
{
    const struct history *history = &c->history;
    if (history->violation[0] && !c->plan.aggregate)
        sim_violated(sim, "client %u: %s", c->number, history->violation);
    if (c->killed)
        return;
    if (!c->done || history->n != c->plan.n_utterances || !history_complete(history))
        sim_violated(sim, "client %u: %u of %u utterances are final at %.1f s (link state %d)",
                     c->number, history->n_ended, c->plan.n_utterances,
                     (double)sim->now_us / 1e6, (int)c->reconnect.state);
    if (history->stats.claims_differing > 0)
        sim_violated(sim, "client %u: %u claims differ", c->number,
                     history->stats.claims_differing);
}

static void check_end(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->n_clients; i++)
        check_client(sim, sim->clients[i]);
    for (uint32_t i = 0; i < sim->options.n_targets; i++) {
        const struct sim_target *target = &sim->targets[i];
        if (target->target && target->target->n_sessions > 0)
            sim_violated(sim, "target %u: %u sessions of gone clients", i,
                         target->target->n_sessions);
    }
}

/* Processes the events up to limit_us; false: something is wrong. */
static bool run_until(struct sim *sim, uint64_t limit_us, bool until_done)
{
    uint32_t in_place = 0;
    while (sim->n_events > 0 && sim->events[0].at_us <= limit_us && !sim->violation[0]) {
        struct sim_event event = pop(sim);
        in_place = event.at_us == sim->now_us ? in_place + 1 : 0;
        sim->now_us = event.at_us;
        event.action(sim, event.object, event.argument);
        if (in_place > EVENTS_IN_PLACE_MAX)
            sim_violated(sim, "time stands still at %.3f s", (double)sim->now_us / 1e6);
        if (until_done && all_done(sim))
            break;
    }
    return !sim->violation[0];
}

const char *sim_run(struct sim *sim, uint64_t limit_us)
{
    bool well = run_until(sim, limit_us, true);
    sim->done_us = sim->now_us;
    if (well && all_done(sim))
        (void)run_until(sim, sim->now_us + SETTLE_US, false);
    check_end(sim);
    if (!sim->violation[0])
        return NULL;
    snprintf(sim->report, sizeof(sim->report), "%s [SIM_SEED=%llu]", sim->violation,
             (unsigned long long)sim->options.seed);
    return sim->report;
}

/* ---- life ---- */

struct sim *sim_new(struct world *world, const struct sim_options *options)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    assert_non_null(sim);
    SA_ASSERT(options->n_targets > 0 && options->n_targets <= SIM_TARGETS_MAX);
    sim->world = world;
    sim->options = *options;
    sim->random = options->seed;
    sim->trace = getenv("SIM_TRACE") != NULL;
    sim_tickets_init(sim);
    for (uint32_t i = 0; i < options->n_targets; i++) {
        struct sim_target *target = &sim->targets[i];
        node_init(sim, &target->node, NULL);
        target->number = i;
        sim_target_start(target);
    }
    return sim;
}

void sim_free(struct sim **sim_ptr)
{
    struct sim *sim = *sim_ptr;
    if (!sim)
        return;
    for (uint32_t i = 0; i < sim->options.n_targets; i++) {
        sim_target_stop(&sim->targets[i]);
        node_release(&sim->targets[i].node);
    }
    for (uint32_t i = 0; i < sim->n_clients; i++)
        sim_client_free(&sim->clients[i]);
    for (uint32_t i = 0; i < sim->n_lines; i++)
        line_free(sim->lines[i]);
    free(sim->lines);
    free(sim->events);
    free(sim);
    *sim_ptr = NULL;
}

/* ---- results ---- */

const struct history *sim_history(const struct sim *sim, uint32_t client)
{
    SA_ASSERT(client < sim->n_clients);
    return &sim->clients[client]->history;
}

uint32_t sim_n_fired(const struct sim *sim)
{
    return sim->n_fired;
}

uint32_t sim_n_resumes(const struct sim *sim)
{
    return sim->n_resumes;
}

uint32_t sim_n_refusals(const struct sim *sim)
{
    return sim->n_refusals;
}

uint64_t sim_refusal_max_us(const struct sim *sim)
{
    return sim->refusal_max_us;
}

uint64_t sim_outage_max_us(const struct sim *sim)
{
    return sim->outage_max_us;
}

uint64_t sim_done_us(const struct sim *sim)
{
    return sim->done_us;
}

struct sim_work sim_target_work(const struct sim *sim, uint32_t target)
{
    SA_ASSERT(target < sim->options.n_targets);
    return sim->targets[target].work;
}

uint64_t sim_draft_steps(const struct sim *sim, uint32_t client)
{
    SA_ASSERT(client < sim->n_clients);
    return sim->clients[client]->draft_steps;
}
