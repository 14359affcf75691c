/* sim_ticket.c: tickets as coordinator/issue.c signs them and target_node/gate.c reads them, by the
 * dates of simulated machines; nothing else in the cluster reads a date. */
#include <stdio.h>
#include <string.h>

#include "../support/support.h"
#include "sim_int.h"

enum { LIFETIME_S = 3600, SKEW_S = 60, SIGN_US = 1000 };

static const int64_t epoch_s = 1800000000;

static int64_t date_s(const struct sim *sim, int64_t off_s)
{
    return epoch_s + (int64_t)(sim->now_us / 1000000u) + off_s;
}

static void name_target(char name[TICKET_NAME_MAX + 1], uint32_t number)
{
    snprintf(name, TICKET_NAME_MAX + 1, "target-%u:7600", number);
}

void sim_tickets_init(struct sim *sim)
{
    char secret[TICKET_KEY_TEXT_MAX], public[TICKET_KEY_TEXT_MAX];
    struct error err;
    assert_ok(ticket_key_generate(secret, public, &err), &err);
    assert_ok(ticket_keys_parse(secret, strlen(secret), &sim->signer, &sim->keys, &err), &err);
}

/* For as many targets as a ticket holds, from the client's first on. */
void sim_ticket_now(struct sim_client *c)
{
    struct sim *sim = c->node.sim;
    struct error err;
    struct ticket ticket = {.modes = TICKET_MODES_ALL,
                            .not_before_s = date_s(sim, sim->coordinator_off_s)};
    ticket.expires_s = ticket.not_before_s + LIFETIME_S;
    memcpy(ticket.session, &c->number, sizeof(c->number));
    ticket.n_targets = (uint8_t)MIN(sim->options.n_targets, (uint32_t)TICKET_TARGETS_MAX);
    for (uint32_t i = 0; i < ticket.n_targets; i++)
        name_target(ticket.targets[i], (c->plan.first_target + i) % sim->options.n_targets);
    assert_ok(ticket_issue(&sim->signer, &ticket, &c->ticket, &err), &err);
}

static void sign(struct sim *sim, void *object, uint64_t argument)
{
    struct sim_client *c = object;
    (void)sim;
    (void)argument;
    if (!c->killed)
        sim_ticket_now(c);
}

void sim_ticket_ask(struct sim_client *c)
{
    uint64_t at = c->node.now_us + 2 * c->plan.net.delay_us + SIGN_US;
    sim_at(c->node.sim, at, sign, c, 0);
}

enum status sim_ticket_check(const struct line *line, struct error *err)
{
    const struct sim *sim = line->sim;
    char name[TICKET_NAME_MAX + 1];
    struct ticket ticket;
    name_target(name, line->target->number);
    const struct ticket_check check = {.target = name, .skew_s = SKEW_S,
                                       .now_s = date_s(sim, line->target->node.date_off_s)};
    return ticket_verify(&sim->keys, line->ticket.data, line->ticket.size, &check, &ticket, err);
}

/* ---- a date that jumps, and comes back ---- */

static void step_back(struct sim *sim, void *object, uint64_t step_s)
{
    int64_t *off_s = object;
    sim_trace(sim, sim->now_us, "a date is right again");
    *off_s -= (int64_t)step_s;
}

void sim_date_step(struct sim *sim, int64_t *off_s, int64_t step_s, uint64_t duration_us)
{
    *off_s += step_s;
    sim_at(sim, sim->now_us + duration_us, step_back, off_s, (uint64_t)step_s);
}
