/* memory.h: how many sessions fit into the memory that there is. Pure.
 *
 *     budget = fixed + sessions x seat + slots x slot
 *
 *     fixed   what the process holds without sessions: weights, scratch of the encoder's windows
 *     seat    an open session: its stream and a few tables
 *     slot    a session at work: keys and values of its window, its audio, its drafts
 *
 * Sessions that are idle, or hear audio, hold no slot: there may be more of them than slots; then
 * windows wait for one.
 */
#ifndef TARGET_NODE_MEMORY_H
#define TARGET_NODE_MEMORY_H

#include <stdint.h>

#include "base/status.h"

enum { MEMORY_SEAT_BYTES = 96 << 10, MEMORY_SESSIONS_DEFAULT = 64 };

struct memory_ask {
    uint64_t budget;                        /* bytes; 0: not known, everything fits */
    uint64_t fixed, slot;
    uint32_t sessions;                      /* asked for; 0: as many as have a slot, at most 64 */
};

struct memory_plan {
    uint32_t sessions, slots;               /* at least 1; slots at most sessions */
};

/* STATUS_NO_MEMORY: not even one session fits, or not the seats of those that were asked for; the
 * text says how much is needed. */
MUST_CHECK enum status memory_plan(const struct memory_ask *ask, struct memory_plan *plan,
                                   struct error *err);

#endif
