/* target_encode.h: whose window is in the encoder (target_encode.c has the rules). Part of
 * target_int.h. */
#ifndef ENGINE_TARGET_ENCODE_H
#define ENGINE_TARGET_ENCODE_H

#include <stdbool.h>
#include <stdint.h>

struct target;
struct target_session;
struct utterance;

/* A window in the encoder. */
struct encoder_place {
    struct target_session *session;         /* NULL: free */
    float *features;                        /* [n_mels][3000] until it is done */
};

/* Is somebody waiting for the text? Else the speaker goes on, or a file does. */
bool utterance_is_urgent(const struct utterance *u);

/* Who has work that could be done now. */
struct work_seen {
    uint32_t urgent_encode, urgent_decode;
    uint32_t encode;                        /* both kinds */
    bool lacks_slots;                       /* some window waits for the end of another */
    bool long_wait;                         /* one that is not urgent has waited for long */
    bool their_turn;                        /* those that are not urgent come first in this tick */
};
struct work_seen target_see(struct target *target);

/* Works on windows behind a pass of pass_us with n_urgent urgent sessions; false: no work. */
bool target_encode(struct target *target, const struct work_seen *seen, uint32_t n_urgent,
                   uint64_t pass_us);

/* One slice of about budget_us for the session's window, begun if it is not; there is a place and a
 * slot for it. */
void target_encode_slice(struct target *target, struct target_session *session,
                         uint64_t budget_us);
bool target_slots_left(const struct target *target);

/* Where the session's window is in the encoder; NULL: it is not. */
struct encoder_place *target_place(struct target *target, const struct target_session *session);

#endif
