/* target_colocated.h: drafts made on the target's own machine, for clients that have none. Part of
 * target_int.h.
 *
 *     tick:  one slice of a draft encoder, or as many steps of each window as pay
 *            (spec/colocated.h); the drafts lie in the mailboxes as a client's would; the pass
 *
 * The window's balance (spec/wait.h) pays for the steps, as for waits: decoding is never slower
 * than without drafts by more than one plain step. The draft model's encoder comes on top, once a
 * window, where the drafts are expected to bring more than that.
 * Who drafts by itself, asks for trees of its own or sets a price of rows is left alone; so are
 * audits. At most TARGET_COLOCATED_MAX sessions at once: each holds keys and values of that model.
 */
#ifndef ENGINE_TARGET_COLOCATED_H
#define ENGINE_TARGET_COLOCATED_H

#include <stdbool.h>
#include <stdint.h>

struct target;
struct target_session;
struct colocated;                           /* a session's drafter and the window that it is at */

/* Of a target. */
struct colocated_all {
    uint32_t n;                             /* sessions that have one */
    float step_us, encode_us;               /* of the draft model, smoothed: a step, and its encoder
                                             * for a second of audio; 0: not known */
};

/* Before a pass is gathered. True: it did something. */
bool target_colocated_turn(struct target *target);

/* The session decodes by plain steps again. Accepts one that has none. */
void session_colocated_close(struct target_session *session);

#endif
