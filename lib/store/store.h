/* store.h: what the coordinators of a cluster share: who is there, who leads, and the term. Never
 * load: that comes from the targets themselves, to each coordinator.
 *
 * In memory (one coordinator): it always leads; its term begins at its incarnation, so above that
 * of every earlier process, and goes above what targets have seen.
 * In etcd (several): one leads at a time (election.h). A thread of its own keeps a lease, the
 * coordinator's key and the leader's; nothing here ever waits for it. When etcd is gone, the others
 * stay known, and the leader leads on until its lease is over: by its own monotonic clock, counted
 * from when it asked, so before etcd gives the place to another.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "store/election.h"
#include "store/etcd.h"

struct store;

struct store_options {
    struct etcd_options etcd;           /* n_endpoints 0: in memory */
    char prefix[ETCD_TEXT_MAX / 4];     /* of all keys of this cluster; "": "specasr/" */
    char self[ELECTION_NAME_MAX];       /* host:port where targets and clients reach this one */
    uint32_t lease_s;                   /* how long a dead one counts as there; 0: 3 */
    uint64_t incarnation;               /* of this process (auth/wall_clock.h): in memory the first
                                         * term; 0: 1 */
};

/* Starts, whether etcd can be reached or not (a warning says that it cannot). STATUS_INVALID (an
 * endpoint, a name), _EXHAUSTED, _NO_MEMORY, and those of rpc_client_new for the TLS files. */
MUST_CHECK enum status store_start(const struct store_options *options, struct store **out,
                                   struct error *err);

/* Gives up leader and membership, so that others need not wait for the lease; within about the
 * time of a call. Accepts NULL. */
void store_stop(struct store **store);

/* ---- any thread, at once ---- */

struct store_state {
    bool leads;                         /* this one publishes the policy, of this term */
    uint64_t term;                      /* the highest known; 0: none */
    bool connected;                     /* to etcd, or in memory */
    char leader[ELECTION_NAME_MAX];     /* as far as known; "": none */
    uint32_t n_members;                 /* itself too, where it is listed */
    char members[ELECTION_MEMBERS_MAX][ELECTION_NAME_MAX];
};
void store_state(struct store *store, struct store_state *out);

/* A target has seen this term: a leader goes above it. */
void store_seen(struct store *store, uint64_t term);

#endif
