/* client.h: a client's side of one session: audio up, drafts up, text down; survives broken links.
 *
 *     samples --> utterance --audio frames, as the link takes them-->  target
 *                     |  `--> drafter --draft frames, first in line-->   |
 *                     |                                                  |
 *     events  <-------+------------- Decided, WindowFinal ---------------'
 *
 * The client keeps the audio of everything that is not committed. When the link breaks, the owner
 * connects again (same or another target) and calls client_connected: unfinished utterances go on
 * from their last committed window. Nothing is lost, nothing comes twice: a window is committed
 * once.
 *
 * One thread owns a client. No sockets and no clocks of its own in here.
 */
#ifndef ENGINE_CLIENT_H
#define ENGINE_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/drafter.h"
#include "engine/engine.h"
#include "wire/wire.h"

struct client;

struct client_options {
    struct wire_rules rules;
    enum wire_codec codec;                  /* of the audio uplink */
    uint32_t audio_queue_max;               /* bytes of audio that may wait in the link */
    uint32_t draft_growth;                  /* target tokens from frame to frame of a draft */
    bool early_drafts;                      /* draft while the window is still spoken */
    struct drafter_options drafter;
    uint8_t session[16];                    /* random, the same over reconnects */
};

struct client_options client_options_default(void);

/* The link: send returns false when it is broken; queued: bytes that wait in it. */
struct client_sink {
    bool (*send)(void *context, const struct wire_frame *frame);
    size_t (*queued)(void *context);
    void *context;
};

/* What the owner is told; any may be NULL. */
struct client_events {
    /* Opened came: is the target's vocabulary at hand? The owner calls client_set_vocabulary. */
    void (*opened)(void *context, const struct wire_opened *opened);
    void (*window_final)(void *context, const struct wire_window_final *final);
    /* All windows are committed; the draft side's sums of this utterance. */
    void (*utterance_final)(void *context, uint32_t utterance, const struct drafter_stats *stats);
    /* The target gave this utterance up. */
    void (*failed)(void *context, const struct wire_error *error);
    void (*drain)(void *context, uint32_t grace_ms);
    void *context;
};

/* `engine` is the draft model's, borrowed; NULL: no drafts. */
MUST_CHECK enum status client_new(struct engine *engine, const struct client_options *options,
                                  const struct client_events *events, struct client **out,
                                  struct error *err);
void client_free(struct client **client);

/* ---- link ---- */

/* A link is up: sends Open with what is unfinished. */
void client_connected(struct client *client, struct client_sink sink);
void client_disconnected(struct client *client);
bool client_is_connected(const struct client *client);

/* The target's vocabulary, borrowed: from now on drafts are sent; NULL: no longer (call it before
 * that vocabulary goes). */
MUST_CHECK enum status client_set_vocabulary(struct client *client,
                                             const struct tokenizer *vocabulary,
                                             struct error *err);

/* From the next Open on no drafts are announced, so that the target waits for none. */
void client_forgo_drafts(struct client *client);

/* A failure means that the target broke the protocol: drop the link. */
MUST_CHECK enum status client_receive(struct client *client, const struct wire_frame *frame,
                                      struct error *err);

/* ---- utterances ---- */

/* Can another utterance be begun (few may be open at once)? */
bool client_can_begin(const struct client *client);
uint32_t client_begin(struct client *client);

/* Samples of the utterance begun last that the client would take now. */
uint64_t client_room(const struct client *client);
MUST_CHECK enum status client_audio(struct client *client, const int16_t *samples, uint64_t n,
                                    struct error *err);
void client_end(struct client *client);

/* Gives an utterance up on both sides. */
void client_cancel(struct client *client, uint32_t utterance);

/* Utterances that are begun and not final. */
uint32_t client_n_open(const struct client *client);

/* Does the target know of an unfinished utterance? Then it gives signs of life. */
bool client_expects(const struct client *client);

/* Smoothed round trip to the target, the wait for its thread included; 0: not known yet. */
uint64_t client_round_trip_us(const struct client *client);

/* ---- work ---- */

/* Sends what the link takes and does one piece of drafting. *worked is false when only a frame or
 * more audio can bring new work (or the link is full: ask again after some milliseconds). */
MUST_CHECK enum status client_step(struct client *client, bool *worked, struct error *err);

/* For display: what is decided and what is drafted behind it in an utterance's present window, as
 * target ids. Returns false when the utterance is not open. Borrowed until the next call. */
struct client_view {
    const int32_t *decided;
    uint32_t n_decided;
    const struct wire_node *drafted;        /* a chain behind the decided tokens */
    uint32_t n_drafted;
};
bool client_look(const struct client *client, uint32_t utterance, struct client_view *view);

#endif
