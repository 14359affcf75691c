/* place.h: which targets to use, as a coordinator says; asked in a thread of its own.
 *
 *     placement_first         before anything is sent: waits for the first answer
 *     placement_ask           a target failed: asks for others, meanwhile the list at hand is used
 *     placement_fill          takes what came into the options of the link
 *
 * The answers, and how far away each target is, are kept in the model cache
 * (targets-COORDINATOR.tsv): when no coordinator answers, the client goes where it was before.
 */
#ifndef DRAFT_NODE_PLACE_H
#define DRAFT_NODE_PLACE_H

#include "link.h"
#include "wire/coordinator_frames.h"

enum { PLACE_COORDINATORS_MAX = 8 };

struct placement;

struct placement_options {
    uint32_t n_coordinators;                /* the next is asked when one does not answer */
    char coordinators[PLACE_COORDINATORS_MAX][WIRE_ADDRESS_MAX];
    struct rpc_tls tls;                     /* borrowed */
    const char *api_key;                    /* shown to the coordinator; borrowed; NULL: none */
    const char *traceparent;                /* base/trace.h; borrowed; NULL: none */
    uint32_t rounds;                        /* network exchanges per window that are waited for */
    uint32_t patience_ms;                   /* while coordinators answer that nothing is free */
};

MUST_CHECK enum status placement_new(const struct placement_options *options,
                                     struct placement **out, struct error *err);
void placement_free(struct placement **placement);

/* The session in whose name it asks: the one that the first run should have. */
void placement_session(const struct placement *placement, uint8_t session[16]);

/* Puts the first answer in front of the targets that `link` names (a fall-back). When no
 * coordinator answers, those of the last run stand in front. STATUS_UNAVAILABLE: nothing is free,
 * or no coordinator answers and no target is known. */
MUST_CHECK enum status placement_first(struct placement *placement, struct link_options *link,
                                       struct error *err);

/* `address` failed. From the thread that drives the link, like placement_fill. */
void placement_ask(struct placement *placement, const char *address);

/* Writes a newer answer, if one came, over the targets that placement_first wrote: the best one to
 * `number`, which is called next. */
void placement_fill(struct placement *placement, struct link_options *link, uint32_t number);

#endif
