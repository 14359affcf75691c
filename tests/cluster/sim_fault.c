/* sim_fault.c: what goes wrong, and when. */
#include "sim_int.h"

static const char *const names[] = {"cut", "move", "partition", "target frozen", "target crashed",
                                    "target drains", "slow reader", "client frozen",
                                    "target's date", "coordinator's date", "client killed"};

/* ---- what happens to whom ---- */

/* Calls of that pair that are open on one side at least; -1: any. */
static struct line *next_line(struct sim *sim, uint32_t *i, int client, int target)
{
    while (*i < sim->n_lines) {
        struct line *line = sim->lines[(*i)++];
        bool ours = (client < 0 || line->client->number == (uint32_t)client) &&
                    (target < 0 || line->target->number == (uint32_t)target);
        if (ours && !(line->closed[CLIENT_SIDE] && line->closed[TARGET_SIDE]))
            return line;
    }
    return NULL;
}

static void cut(struct sim *sim, int client, int target)
{
    struct line *line;
    for (uint32_t i = 0; (line = next_line(sim, &i, client, target)) != NULL;)
        line_cut(line, sim->now_us);
}

static void move(struct sim *sim, int client)
{
    struct line *line;
    for (uint32_t i = 0; (line = next_line(sim, &i, client, SIM_ANY)) != NULL;)
        line_sever(line, sim->now_us);
}

static void partition(struct sim *sim, int client, int target, uint64_t until_us)
{
    struct line *line;
    for (uint32_t c = 0; c < sim->n_clients; c++) {
        for (uint32_t t = 0; t < sim->options.n_targets; t++) {
            if ((client >= 0 && c != (uint32_t)client) || (target >= 0 && t != (uint32_t)target))
                continue;
            sim->cut[c][t].since_us = sim->now_us;
            sim->cut[c][t].until_us = until_us;
        }
    }
    for (uint32_t i = 0; (line = next_line(sim, &i, client, target)) != NULL;) {
        line_watch(line, CLIENT_SIDE, sim->now_us);
        line_watch(line, TARGET_SIDE, sim->now_us);
    }
}

static void freeze(struct sim *sim, int client, int target, uint64_t until_us)
{
    struct line *line;
    enum side side = target >= 0 ? TARGET_SIDE : CLIENT_SIDE;
    struct node *node = target >= 0 ? &sim->targets[target].node : &sim->clients[client]->node;
    if (node->down)
        return;
    node_freeze(node, sim->now_us, until_us);
    for (uint32_t i = 0; (line = next_line(sim, &i, client, target)) != NULL;) {
        line_shift(line, side, sim->now_us, until_us - sim->now_us);
        line_watch(line, side == TARGET_SIDE ? CLIENT_SIDE : TARGET_SIDE, sim->now_us);
    }
}

static void start_again(struct sim *sim, void *object, uint64_t argument)
{
    struct sim_target *target = object;
    (void)argument;
    sim_trace(sim, sim->now_us, "target %u: starts again", target->number);
    sim_target_start(target);
}

static void crash_target(struct sim *sim, int number, uint64_t again_us)
{
    struct sim_target *target = &sim->targets[number];
    struct line *line;
    if (target->node.down)
        return;
    sim_target_stop(target);
    for (uint32_t i = 0; (line = next_line(sim, &i, SIM_ANY, number)) != NULL;) {
        line_forget(line, TARGET_SIDE, sim->now_us);
        if (line->reached && !line->closed[TARGET_SIDE])
            line_close(line, TARGET_SIDE, sim->now_us, STATUS_UNAVAILABLE, "connection reset");
    }
    sim_at(sim, again_us, start_again, target, 0);
}

static void kill_client(struct sim *sim, int number)
{
    struct sim_client *c = sim->clients[number];
    struct line *line;
    c->killed = c->done = true;
    c->node.down = true;
    for (uint32_t i = 0; (line = next_line(sim, &i, number, SIM_ANY)) != NULL;) {
        line_forget(line, CLIENT_SIDE, sim->now_us);
        line->closed[CLIENT_SIDE] = true;
        line_watch(line, TARGET_SIDE, sim->now_us);
    }
}

static void happen(struct sim *sim, const struct sim_fault *fault)
{
    uint64_t until = sim->now_us + fault->duration_us;
    switch (fault->kind) {
    case SIM_CUT:
        cut(sim, fault->client, fault->target);
        break;
    case SIM_MOVE:
        move(sim, fault->client);
        break;
    case SIM_PARTITION:
        partition(sim, fault->client, fault->target, until);
        break;
    case SIM_FREEZE_TARGET:
        freeze(sim, SIM_ANY, fault->target, until);
        break;
    case SIM_CRASH_TARGET:
        crash_target(sim, fault->target, until);
        break;
    case SIM_DRAIN_TARGET:
        sim_target_drain(&sim->targets[fault->target], fault->duration_us);
        break;
    case SIM_SLOW_READER:
        sim->clients[fault->client]->reads_from_us = until;
        break;
    case SIM_FREEZE_CLIENT:
        freeze(sim, fault->client, SIM_ANY, until);
        break;
    case SIM_STEP_TARGET:
        sim_date_step(sim, &sim->targets[fault->target].node.date_off_s, fault->step_s,
                      fault->duration_us);
        cut(sim, fault->client, SIM_ANY);
        break;
    case SIM_STEP_COORDINATOR:
        sim_date_step(sim, &sim->coordinator_off_s, fault->step_s, fault->duration_us);
        cut(sim, fault->client, SIM_ANY);
        break;
    case SIM_KILL_CLIENT:
        kill_client(sim, fault->client);
        break;
    }
}

/* ---- when ---- */

void sim_fault_at(struct sim *sim, void *object, uint64_t index)
{
    const struct sim_fault *fault = &sim->faults[index];
    (void)object;
    sim_trace(sim, sim->now_us, "fault: %s (client %d, target %d, %llu us)", names[fault->kind],
              fault->client, fault->target, (unsigned long long)fault->duration_us);
    sim->n_fired++;
    happen(sim, fault);
}

void sim_add_fault(struct sim *sim, const struct sim_fault *fault)
{
    SA_ASSERT(sim->n_faults < SIM_FAULTS_MAX);
    sim->faults[sim->n_faults] = *fault;
    if (fault->phase == SIM_AT_TIME) {
        sim->fired[sim->n_faults] = true;
        sim_at(sim, fault->at_us, sim_fault_at, NULL, sim->n_faults);
    }
    sim->n_faults++;
}

void sim_reached(struct sim *sim, struct sim_client *client, struct sim_target *target,
                 enum sim_phase phase, uint64_t from_us, uint64_t to_us)
{
    for (uint32_t i = 0; i < sim->n_faults; i++) {
        struct sim_fault *fault = &sim->faults[i];
        if (sim->fired[i] || fault->phase != phase || fault->client != (int)client->number)
            continue;
        if (fault->skip > 0) {
            fault->skip--;
            continue;
        }
        sim->fired[i] = true;
        if (fault->target == SIM_ANY)
            fault->target = (int)target->number;
        uint64_t at = from_us + sim_draw(sim, to_us - from_us + 1);
        sim_at(sim, MAX(at, sim->now_us), sim_fault_at, NULL, i);
    }
}
