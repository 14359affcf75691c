/* vad.h: cuts live 16 kHz mono PCM into utterances by voice activity.
 *
 *           start                                        end
 *             |<- pre-roll ->|#### speech ## gap ## speech ####|<- post-roll ->|
 *     --------+--------------+---------------------------------+---------------+--------->
 *
 * Frames of 20 ms. A frame is loud when its energy in the speech band stands above an
 * adaptive noise floor; it is speech-like when its spectrum is also less flat than noise. Speech
 * begins after a few such frames and ends when none came for the hangover. An utterance that grows
 * to the maximum is cut at the quietest place of its last seconds, and the next one begins there.
 * Streaming and deterministic: the events do not depend on how the samples are cut into calls.
 */
#ifndef AUDIO_VAD_H
#define AUDIO_VAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct vad_options {
    uint32_t pre_roll_ms;               /* audio kept before the first speech frame */
    uint32_t post_roll_ms;              /* audio kept behind the last one; at most hangover_ms */
    uint32_t hangover_ms;               /* silence that ends an utterance */
    uint32_t attack_ms;                 /* speech that begins one (clicks are shorter) */
    uint32_t utterance_max_ms;          /* at most 30 s: Whisper's window */
    uint32_t cut_search_ms;             /* where before the maximum a quiet place is looked for */
    float on_db, off_db;                /* above the noise floor: to begin, to go on */
};

/* 300, 300, 600, 60, 30000, 6000 ms; 9 and 6 dB. */
struct vad_options vad_options_default(void);

enum vad_event_kind { VAD_NONE, VAD_START, VAD_END };

struct vad_event {
    enum vad_event_kind kind;
    uint64_t sample;                    /* from the first one fed; start: the first that belongs to
                                         * the utterance, end: the first that does not */
    bool forced;                        /* end: the maximum was reached; a start here follows */
};

struct vad;

/* STATUS_INVALID for options that contradict each other. The caller ends with vad_free. */
MUST_CHECK enum status vad_new(const struct vad_options *options, struct vad **out,
                               struct error *err);
void vad_free(struct vad *vad);

/* Takes samples until an event occurs or all are taken; returns how many were taken (0 is possible
 * when an event was due). Call again with the rest until all are taken and the event is VAD_NONE.
 * Events alternate: start, end, start. An event's sample may lie before the samples of this call.
 * Does not allocate. */
size_t vad_feed(struct vad *vad, const int16_t *samples, size_t n_samples, struct vad_event *event);

/* The input has ended: gives the end of an open utterance (then VAD_NONE). Call until VAD_NONE. */
void vad_finish(struct vad *vad, struct vad_event *event);

/* Samples before this one are settled: within an open utterance they surely belong to it (they may
 * be sent on); outside of one they belong to none (they may be dropped). */
uint64_t vad_settled(const struct vad *vad);

bool vad_in_utterance(const struct vad *vad);

#endif
