/* register.h: a target's lines to its coordinators: registers, reports, obeys the policy.
 *
 * A thread for each of them, that may wait for the network. Nothing else waits for it: without a
 * coordinator the target serves whoever calls, by its own price.
 *
 *     coordinator A  <-- Register, Heartbeat --  line thread 0 --+
 *     coordinator B  <-------------------------  line thread 1 --+-- info, load, policy (one lock)
 *     bus of A, B    <-- load, policy -->        bus thread    --+         ^
 *                                                                          model thread, probes
 */
#ifndef TARGET_NODE_REGISTER_H
#define TARGET_NODE_REGISTER_H

#include <stdio.h>

#include "base/status.h"
#include "load.h"
#include "rpc/rpc.h"
#include "wire/coordinator_frames.h"

enum { REGISTER_COORDINATORS_MAX = WIRE_COORDINATORS_MAX };

struct registration;

struct registration_options {
    uint32_t n_coordinators;                /* all are told; they may name others */
    char coordinators[REGISTER_COORDINATORS_MAX][WIRE_ADDRESS_MAX];
    struct rpc_tls tls;                     /* as their client; borrowed */
    const char *join_key_file;              /* borrowed; read with each connection. NULL: no key */
    /* address "": not known before the port is open. The incarnation is filled in. */
    struct wire_target_info info;
};

/* Begins to report that this target is warming up. */
MUST_CHECK enum status registration_start(const struct registration_options *options,
                                          struct registration **out, struct error *err);

/* From now on it serves: `info` as it is now (with an address), the load is borrowed. */
void registration_serve(struct registration *registration, const struct wire_target_info *info,
                        const struct load *load);

/* The policy that holds now; from any thread. NULL: the target's own. */
struct wire_policy registration_policy(struct registration *registration);

/* A collector of lib/metrics: the bus. */
void registration_collect(void *registration, FILE *out);

/* Whether a coordinator answered within three of its heartbeat periods, and the policy's age. */
struct registration_state {
    bool up;
    uint64_t age_us;                        /* of its policy; 0: none came yet */
};
struct registration_state registration_state(struct registration *registration);

/* Tells the coordinator that the target goes away, and ends the thread. The policy holds until its
 * time is over. Accepts NULL. */
void registration_leave(struct registration *registration);

/* Leaves, if it has not, and frees. Accepts NULL. */
void registration_stop(struct registration **registration);

#endif
