/* audio_buffer.h: the samples of an utterance that are still needed: a sliding piece of its time.
 *
 *     0 ......... first ================ end          dropped below first, held up to end
 *
 * The target holds what its current window and the credit ahead of it need; a client holds what is
 * not committed.
 */
#ifndef ENGINE_AUDIO_BUFFER_H
#define ENGINE_AUDIO_BUFFER_H

#include <stdint.h>

#include "base/status.h"

struct audio_buffer {
    int16_t *samples;                       /* [end - first], 16 kHz mono; owned */
    uint64_t first, end;                    /* positions in the utterance */
    uint64_t capacity;
};

void audio_buffer_init(struct audio_buffer *buffer, uint64_t first);
void audio_buffer_release(struct audio_buffer *buffer);

/* Appends samples that begin at position `at`. What is held already is skipped; a gap is
 * STATUS_INVALID; more than n_max held samples STATUS_EXHAUSTED; also STATUS_NO_MEMORY. */
MUST_CHECK enum status audio_buffer_append(struct audio_buffer *buffer, uint64_t at,
                                           const int16_t *samples, uint64_t n, uint64_t n_max,
                                           struct error *err);

/* Forgets what lies before `position`; a position beyond the end leaves an empty buffer there. */
void audio_buffer_drop(struct audio_buffer *buffer, uint64_t position);

/* Sample at `position`, which must be within first..end; borrowed until the next append or drop. */
const int16_t *audio_buffer_at(const struct audio_buffer *buffer, uint64_t position);

#endif
