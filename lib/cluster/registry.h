/* registry.h: what a coordinator knows of its targets. No sockets; time and randomness come in.
 *
 *              Register                     3 heartbeats missed, or a later process registers
 *     unknown ----------> known --heartbeats--> ... ----------------------------------> unknown
 *
 * A target is named by its address. Its incarnation tells the processes that had this address
 * apart: the later has the higher number. A heartbeat of an incarnation that is not known is
 * answered "register again", so a coordinator that lost its memory has it back within one period.
 *
 * Reservations. A session placed on a target shows in its load a heartbeat later, or two when the
 * client takes its time. So a placement counts until the second heartbeat after it: now and then
 * a session counts twice for a period; it never counts not at all.
 */
#ifndef CLUSTER_REGISTRY_H
#define CLUSTER_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "wire/coordinator_frames.h"

enum { REGISTRY_TARGETS_MAX = WIRE_CLUSTER_TARGETS_MAX, REGISTRY_MISSED_MAX = 3 };

struct registry;

enum registry_reason {
    REGISTRY_SILENT,                    /* its lease is over, nobody knows why: lost */
    REGISTRY_REPLACED,                  /* a later process took its address: it ended, or crashed */
    REGISTRY_LEFT,                      /* either of both, after it was taken out of use */
    REGISTRY_REKEYED                    /* the same process, with another bus_key */
};

struct registry_gone {
    const struct wire_target_info *info;    /* the old one; borrowed */
    enum registry_reason reason;
    uint64_t silent_us;                 /* since it was heard last */
};

struct registry_options {
    uint32_t heartbeat_ms;              /* period that targets are told */
    uint64_t canary_fingerprint;        /* a version that gets a share of the new sessions; 0: no */
    float canary_share;                 /* 0..1 of them */
    uint64_t seed;
    /* A process, or its key, is no longer known. Whichever call here finds out: exactly once. */
    void (*gone)(void *context, const struct registry_gone *gone);
    void *context;
};

/* `now_us` begins the time in which targets that were there before are waited for. */
MUST_CHECK enum status registry_new(const struct registry_options *options, uint64_t now_us,
                                    struct registry **out, struct error *err);
void registry_free(struct registry **registry);

/* WIRE_KNOWN, _SUPERSEDED (a later process is alive at this address), _REGISTRY_FULL. */
enum wire_verdict registry_register(struct registry *registry, uint64_t now_us,
                                    const struct wire_target_info *info,
                                    const struct wire_target_load *load);

/* WIRE_KNOWN, _REGISTER_AGAIN, _SUPERSEDED. *drain: an operator asked for it. */
enum wire_verdict registry_heartbeat(struct registry *registry, uint64_t now_us,
                                     const struct wire_heartbeat *heartbeat, bool *drain);

/* Another share for the canary, from the next session on. */
void registry_set_canary_share(struct registry *registry, float share);

/* What came over the bus: its load, and that it lives. A placement still counts until the second
 * heartbeat after it. False: not known. */
bool registry_load(struct registry *registry, uint64_t now_us,
                   const struct wire_heartbeat *heartbeat);

/* A target that goes away (its own incarnation), or that an operator wants to (incarnation 0).
 * False: not known. */
bool registry_drain(struct registry *registry, const struct wire_drain_target *ask);

/* Forgets targets that missed their heartbeats; returns how many. Every other function that takes
 * the time does so first by itself. */
uint32_t registry_expire(struct registry *registry, uint64_t now_us);

/* Answers with one to three targets, best first, and reserves the first; or with a time to ask
 * again and why. Versions: the fingerprint that is asked for, if there is one; else the canary for
 * its share of the sessions (by session id, so that a session stays with its version). Others of
 * the same model follow as a fall-back. `price`: the shadow price. */
void registry_place(struct registry *registry, uint64_t now_us, const struct wire_place *ask,
                    float price, struct wire_placed *out);

/* Fills rows, counts and the period; policy and uptime are the caller's. STATUS_NO_MEMORY. */
MUST_CHECK enum status registry_list(struct registry *registry, uint64_t now_us,
                                     struct wire_listed *out, struct error *err);

/* Mean over the serving targets of the time a window takes now (queue + window), microseconds;
 * 0: none is measured. For the shadow price. */
float registry_lag_us(struct registry *registry, uint64_t now_us);

#endif
