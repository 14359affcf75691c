/* loop.h: client and target in one thread, joined by packed frames: the split without sockets.
 *
 * Frames are packed, unpacked and validated as on a real line. A turn lets the target tick once and
 * the client step once; `delay` holds frames back for so many turns each way, as a slow line would.
 */
#ifndef TESTS_SUPPORT_LOOP_H
#define TESTS_SUPPORT_LOOP_H

#include "engine/client.h"
#include "engine/target.h"

struct loop_result {
    uint32_t n_tokens, n_windows, n_segments;
    int32_t tokens[16384];
    char text[65536];
    char language[8];
    struct wire_window_stats stats;         /* sums over the windows; rounds per utterance */
    struct drafter_stats draft;
    bool final, failed;
    struct wire_error error;
};

struct loop_frame {
    struct wire_bytes bytes;
    uint64_t due;
};

enum { LOOP_FRAMES_MAX = 4096 };

struct loop_line {
    struct loop_frame frame[LOOP_FRAMES_MAX];
    uint32_t n;
};

struct loop {
    struct engine *target_engine, *draft_engine;
    struct target *target;
    struct target_session *session;
    struct client *client;
    struct loop_line up, down;
    uint64_t turn;
    uint32_t delay;
    uint32_t target_turns;                  /* the target ticks so often per client step */
    uint32_t feed;                          /* samples said in each turn; 0: all that fit at once */
    struct loop_result result;              /* of the utterance under way */
    struct error error;                     /* a protocol failure; code STATUS_OK: none */
};

/* Noise of n samples: each seed is another "speech" to the toy backend. The caller frees. */
int16_t *loop_speech(uint64_t seed, size_t n);

/* Pure greedy decoding, PCM uplink. */
struct client_options loop_options(bool timestamps);

/* draft NULL: the target alone. Fails the test when it cannot be set up. */
struct loop *loop_new(struct engine *target, struct engine *draft,
                      const struct client_options *options);
void loop_free(struct loop *loop);

/* Breaks the line: frames under way are lost; a new session is opened by the client. */
void loop_break(struct loop *loop);

/* Transcribes one utterance; stops after turns_max turns (false). The result is in loop->result. */
bool loop_transcribe(struct loop *loop, const int16_t *samples, size_t n, uint64_t turns_max);

/* Fails the test unless tokens, text, windows and segments are the same. */
void loop_assert_same(const struct loop_result *a, const struct loop_result *b);

/* One turn; false when neither side had anything to do. */
bool loop_turn(struct loop *loop);

#endif
