/* register_int.h: between register.c (what all coordinators are told, and what holds) and
 * register_line.c (one coordinator each). */
#ifndef TARGET_NODE_REGISTER_INT_H
#define TARGET_NODE_REGISTER_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "auth/api_keys.h"
#include "base/clock.h"
#include "base/queue.h"
#include "cluster/exchange.h"
#include "cluster/policy.h"
#include "register.h"

struct report_line {
    struct registration *registration;
    uint32_t number;                        /* its slot */
    bool heard_of;                          /* from another coordinator, not from the user */
    char coordinator[WIRE_ADDRESS_MAX];
    struct queue *wake;                     /* an item: look at once; closed: end */
    pthread_t thread;
    /* the thread's */
    struct rpc_client *client;
    char key[API_KEY_TEXT_MAX];             /* that it shows to this coordinator; "": none */
    bool registered, told;
    uint32_t period_ms, n_failures;
    uint64_t failing_us;                    /* since when nobody has answered; 0: it does */
    uint64_t version;                       /* of the info that this coordinator has */
    /* under the registration's lock */
    bool drained;                           /* this coordinator was asked to send nobody here */
    uint64_t heard_us, heard_period_us;     /* the last answer; 0: none yet */
    bool over;                              /* the thread ends; the slot may be used again */
};

struct registration {
    struct registration_options options;
    struct clock clock;
    struct exchange *exchange;
    atomic_bool ending;
    pthread_mutex_t lock;                   /* of all below */
    uint32_t n_lines;                       /* slots that were ever used; some may be NULL */
    struct report_line *lines[REGISTER_COORDINATORS_MAX];
    uint64_t patience_us;                   /* with one that was only heard of, and is silent */
    struct wire_target_info info;
    uint64_t version;                       /* of the info; higher: register again */
    uint64_t sequence;                      /* of loads, whichever way they go */
    const struct load *load;                /* NULL: warming up */
    struct policy_keeper keeper;
    uint64_t policy_us;                     /* when the last one was taken; 0: none yet */
};

/* Starts a thread that keeps one coordinator informed, until its queue is closed: then it says
 * farewell and ends. One that was only heard of and does not answer for long ends too: coordinators
 * come and go, addresses with them. Under the registration's lock. STATUS_EXHAUSTED: all slots are
 * taken, or no thread. */
MUST_CHECK enum status report_line_start(struct registration *registration,
                                         const char *coordinator, bool heard_of,
                                         struct error *err);

/* The thread must have been joined. Accepts NULL. */
void report_line_free(struct report_line **line);

/* The load as it is now, with the next sequence number. A drain that another coordinator than
 * `line` (NULL: any) was asked for shows in it, so that it holds at all. Under the lock. */
struct wire_target_load registration_load(struct registration *registration,
                                          const struct report_line *line);

/* A heartbeat that tells it, over a line or (NULL) the bus. Takes the lock. */
void registration_report(struct registration *registration, const struct report_line *line,
                         struct wire_heartbeat *heartbeat);

/* A policy came, from whoever; what is of a lower term is refused. */
void registration_obey(struct registration *registration, const char *from,
                       const struct wire_policy *policy);

/* A coordinator named all that there are. */
void registration_meet(struct registration *registration,
                       const struct wire_coordinators *coordinators);

#endif
