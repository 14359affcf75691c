#include "uplink.h"

#include <stdlib.h>
#include <string.h>

#include "audio/flac_codec.h"

/* The frame stays as it was when that fails. */
static enum status decode(struct wire_audio *audio, struct error *err)
{
    int16_t samples[FLAC_SAMPLES_MAX];
    size_t n = 0;
    enum status rc = flac_decode(audio->bytes, audio->n_bytes, samples, FLAC_SAMPLES_MAX, &n, err);
    if (rc != STATUS_OK)
        return rc;
    uint8_t *pcm = malloc(n * sizeof(samples[0]));
    if (!pcm)
        return error_set(err, STATUS_NO_MEMORY, "no memory for audio");
    memcpy(pcm, samples, n * sizeof(samples[0]));
    free(audio->bytes);
    audio->bytes = pcm;
    audio->n_bytes = (uint32_t)(n * sizeof(samples[0]));
    audio->codec = WIRE_PCM_S16;
    return STATUS_OK;
}

enum status uplink_read(const uint8_t *data, size_t size, struct wire_frame *frame, size_t *n_bytes,
                        struct error *err)
{
    *n_bytes = size;
    enum status rc = wire_unpack(data, size, true, frame, err);
    if (rc != STATUS_OK || frame->kind != WIRE_AUDIO)
        return rc;
    if (frame->u.audio.codec == WIRE_FLAC)
        rc = decode(&frame->u.audio, err);
    if (rc != STATUS_OK)
        wire_frame_release(frame);
    else
        *n_bytes = MAX(size, frame->u.audio.n_bytes);
    return rc;
}
