#include "engine/audio_buffer.h"

#include <stdlib.h>
#include <string.h>

void audio_buffer_init(struct audio_buffer *buffer, uint64_t first)
{
    *buffer = (struct audio_buffer){.first = first, .end = first};
}

void audio_buffer_release(struct audio_buffer *buffer)
{
    free(buffer->samples);
    *buffer = (struct audio_buffer){0};
}

static enum status reserve(struct audio_buffer *buffer, uint64_t n, struct error *err)
{
    if (n <= buffer->capacity)
        return STATUS_OK;
    uint64_t capacity = MAX(n, buffer->capacity + buffer->capacity / 2);
    int16_t *samples = realloc(buffer->samples, capacity * sizeof(*samples));
    if (!samples)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %llu samples",
                         (unsigned long long)capacity);
    buffer->samples = samples;
    buffer->capacity = capacity;
    return STATUS_OK;
}

enum status audio_buffer_append(struct audio_buffer *buffer, uint64_t at, const int16_t *samples,
                                uint64_t n, uint64_t n_max, struct error *err)
{
    if (at > buffer->end)
        return error_set(err, STATUS_INVALID, "samples %llu to %llu of the audio are missing",
                         (unsigned long long)buffer->end, (unsigned long long)at);
    uint64_t known = MIN(n, buffer->end - at);
    samples += known;
    n -= known;
    uint64_t held = buffer->end - buffer->first;
    if (n > n_max || held > n_max - n)
        return error_set(err, STATUS_EXHAUSTED, "more than %llu samples sent ahead",
                         (unsigned long long)n_max);
    enum status rc = reserve(buffer, held + n, err);
    if (rc != STATUS_OK)
        return rc;
    if (n > 0)
        memcpy(buffer->samples + held, samples, n * sizeof(*samples));
    buffer->end += n;
    return STATUS_OK;
}

void audio_buffer_drop(struct audio_buffer *buffer, uint64_t position)
{
    if (position <= buffer->first)
        return;
    if (position >= buffer->end) {
        buffer->first = buffer->end = position;
        return;
    }
    uint64_t n = buffer->end - position;
    memmove(buffer->samples, buffer->samples + (position - buffer->first),
            n * sizeof(*buffer->samples));
    buffer->first = position;
}

const int16_t *audio_buffer_at(const struct audio_buffer *buffer, uint64_t position)
{
    SA_ASSERT(position >= buffer->first && position <= buffer->end);
    return buffer->samples + (position - buffer->first);
}
