/* target_pick.h: whose rows are in the next pass. Part of target_int.h. */
#ifndef ENGINE_TARGET_PICK_H
#define ENGINE_TARGET_PICK_H

#include <stdint.h>

#include "engine/target_encode.h"
#include "spec/pick.h"

/* Sessions that share as one. */
struct target_owner {
    struct target_owner *next;              /* in one place of target->owners */
    uint64_t id;                            /* 0: one session's own */
    uint32_t n_sessions;
    uint32_t n_ready;                       /* while a pass is picked */
    uint64_t order;                         /* of the last row of any */
    uint64_t encoded_us;                    /* when one was last through the encoder */
};

/* Who has rows in the next pass, which is target->pass. */
struct gathered {
    struct target_session *session[SPEC_PICK_MAX];
    uint32_t first_row[SPEC_PICK_MAX + 1];
    uint32_t n, n_urgent;
    uint64_t until_us;                      /* when a session that waits wants to be asked again */
};

void target_gather(struct target *target, const struct work_seen *seen, struct gathered *all);

#endif
