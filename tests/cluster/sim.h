/* sim.h: a cluster in one process, in virtual time, under a seed: production sessions, scheduling,
 * drafting, reconnecting, frames and tickets; machines, links and their faults are simulated.
 *
 *     queue of (time, what)  -->  a target's turn: takes frames, ticks      work moves its clock
 *                            -->  a client's turn: feeds, steps, looks      as the cost curve says
 *                            -->  a frame arrives; a call times out; a fault begins
 *
 * A machine is busy from the start of its turn until its clock after it: what arrives meanwhile
 * waits. Machines influence each other only by frames, so each may run ahead of the others up to
 * the end of its turn, and the result is that of real machines with these costs. A fault that falls
 * into a turn cuts off what was sent later in it.
 *
 * One seed decides everything: SIM_SEED=n replays one, SIM_TRACE=1 shows what happens.
 */
#ifndef TESTS_CLUSTER_SIM_H
#define TESTS_CLUSTER_SIM_H

#include "engine/target.h"
#include "history.h"
#include "world.h"

enum { SIM_TARGETS_MAX = 8, SIM_CLIENTS_MAX = 1024, SIM_FAULTS_MAX = 64 };

struct sim_net {                            /* each way */
    uint64_t delay_us, jitter_us;
    uint64_t rate;                          /* bytes per second; 0: no limit */
    float spikes;                           /* share of frames that are sent again after 200 ms */
};

struct sim_utterance {
    struct speech speech;
    uint64_t at_us;                         /* not before */
    uint64_t cancel_us;                     /* given up so long after it began; 0: never */
};

struct sim_plan {                           /* of a client */
    struct client_options options;          /* session id and calibration are the sim's */
    bool drafts;
    float mistakes;                         /* of its draft model */
    const struct pace *pace;                /* of its machine; NULL: the sim's draft_pace */
    struct sim_net net;
    bool live;                              /* audio comes as it is spoken; else from a file */
    bool aggregate;                         /* for benches: not compared with target-alone */
    uint64_t owner;                         /* as the targets see it; 0: its own */
    uint32_t first_target;                  /* the others follow in turn */
    const struct sim_utterance *utterances; /* borrowed */
    uint32_t n_utterances;
};

struct sim_options {
    uint64_t seed;
    uint32_t n_targets;
    struct target_options target;
    struct target_policy policy;
    const struct pace *target_pace, *draft_pace;    /* borrowed */
    const struct pace *colocated_pace;      /* drafts are made on the targets; NULL: they are not */
    uint32_t colocated_depth;               /* so far ahead */
    bool skew;                              /* clocks differ: origin, 0.5 % of rate; dates: 50 s */
    uint64_t patience_us;                   /* of clients without a target; 0: a minute */
};

enum sim_fault_kind {
    SIM_CUT,                                /* both sides see the connection end */
    SIM_MOVE,                               /* the client does; the target learns it by keepalive */
    SIM_PARTITION,                          /* between one client (or all) and one target */
    SIM_FREEZE_TARGET,                      /* SIGSTOP, SIGCONT after duration_us */
    SIM_CRASH_TARGET,                       /* kill -9; a new process after duration_us */
    SIM_DRAIN_TARGET,                       /* ends within 2 s; a new process after duration_us */
    SIM_SLOW_READER,                        /* the client takes no frames for duration_us */
    SIM_FREEZE_CLIENT,
    SIM_STEP_TARGET,                        /* its date jumps by step_s, for duration_us ... */
    SIM_STEP_COORDINATOR,                   /* ... of who signs tickets; and the client is cut */
    SIM_KILL_CLIENT                         /* its machine is gone for good */
};

/* When: at a time, or when the client's oldest utterance is in that phase on a target. */
enum sim_phase {
    SIM_AT_TIME,
    SIM_OPENING,
    SIM_AUDIO,
    SIM_ENCODE,
    SIM_VERIFY,
    SIM_FINAL,                              /* WindowFinal is on its way, or about to be */
    SIM_DRAIN,
    SIM_PHASES
};

enum { SIM_ANY = -1 };

struct sim_fault {
    enum sim_fault_kind kind;
    enum sim_phase phase;
    uint64_t at_us;                         /* SIM_AT_TIME */
    uint32_t skip;                          /* so many occasions of the phase pass before */
    int client;                             /* SIM_ANY: all (partition, at a time) */
    int target;                             /* SIM_ANY: the one that serves the client */
    uint64_t duration_us;
    int64_t step_s;
};

struct sim;

struct sim *sim_new(struct world *world, const struct sim_options *options);
uint32_t sim_add_client(struct sim *sim, const struct sim_plan *plan);
void sim_add_fault(struct sim *sim, const struct sim_fault *fault);

/* Runs until all clients are done (but those killed) and all sessions are closed, at most until
 * limit_us. NULL, or what was wrong (with the seed): borrowed until sim_free. */
const char *sim_run(struct sim *sim, uint64_t limit_us);
void sim_free(struct sim **sim);

/* After sim_run. */
const struct history *sim_history(const struct sim *sim, uint32_t client);
uint32_t sim_n_fired(const struct sim *sim);        /* faults that happened */
uint32_t sim_n_resumes(const struct sim *sim);
uint64_t sim_outage_max_us(const struct sim *sim);  /* longest time of a client without session */
uint32_t sim_n_refusals(const struct sim *sim);     /* calls to full targets */
uint64_t sim_refusal_max_us(const struct sim *sim); /* longest time from such a call to its end */
uint64_t sim_done_us(const struct sim *sim);        /* when the last client was done */
uint64_t sim_draft_steps(const struct sim *sim, uint32_t client);
struct sim_work {                           /* of one target */
    uint64_t passes, rows, busy_us;
    uint64_t audits, audit_mismatches;
    uint64_t gap_max_us;                    /* longest time between two passes of a ready session */
    uint64_t depth_us;                      /* integral of sessions with work and depth > 0 */
    uint64_t control_us;                    /* ... of sessions with work whose depth is chosen */
};
struct sim_work sim_target_work(const struct sim *sim, uint32_t target);

/* The seeds to run: SIM_SEED alone, or first .. first + n - 1. */
uint32_t sim_seeds(uint64_t first, uint32_t n, uint64_t *seeds);

#endif
