/* election.h: who is there and who leads, as keys of the store say it. Pure.
 *
 *     PREFIX members/ADDRESS   ADDRESS       lease of that coordinator: gone when it is gone
 *     PREFIX leader            ADDRESS       lease of the leader; whoever finds none may put it
 *     PREFIX term              number        stays; raised with each leader, never lowered
 *
 * leader and term are put in one transaction, under the condition that there is no leader and the
 * term is as it was read: two coordinators never have one term. A leader whose targets have seen a
 * higher term (a store that was set up anew) raises it in the same way. So whoever is cut off from
 * the store cannot raise the term, and what it says is old when another leads.
 */
#ifndef STORE_ELECTION_H
#define STORE_ELECTION_H

#include "store/etcd_messages.h"

enum { ELECTION_MEMBERS_MAX = 8, ELECTION_NAME_MAX = 272 };

struct election {
    uint32_t n_members;                 /* more than ELECTION_MEMBERS_MAX are not listed */
    char members[ELECTION_MEMBERS_MAX][ELECTION_NAME_MAX];
    char leader[ELECTION_NAME_MAX];     /* "": none */
    int64_t leader_lease, leader_created;
    uint64_t term;                      /* 0: none yet */
    int64_t term_revision;              /* mod_revision of its key; 0: there is none */
};

/* One key; `prefix` is what all begin with. What is none of the above is left alone. */
void election_apply(struct election *election, const char *prefix, const struct etcd_entry *entry);

/* Also true where there is no room to list it. */
bool election_has_member(const struct election *election, const char *name);

struct election_self {
    const char *name;
    int64_t lease;                      /* 0: none */
    uint64_t seen;                      /* highest term that a target has told */
};

bool election_leads(const struct election *election, const struct election_self *self);

/* What is to be done: nothing, or put leader and term (ELECTION_CAMPAIGN), or the term alone
 * (ELECTION_RAISE); *term is the one to put. */
enum election_step { ELECTION_REST, ELECTION_CAMPAIGN, ELECTION_RAISE };
enum election_step election_next(const struct election *election,
                                 const struct election_self *self, uint64_t *term);

#endif
