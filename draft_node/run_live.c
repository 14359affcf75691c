/* run_live.c: raw PCM from a descriptor, cut into utterances by voice activity.
 *
 *     reader thread --LINK_AUDIO--> held samples --vad--> pieces [start, end) --in turn--> client
 *
 * The first samples of an utterance travel while it is still spoken. What is not yet sent is held
 * here; what is sent and not committed is held by the client.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "audio/pcm_reader.h"
#include "audio/vad.h"
#include "base/log.h"
#include "engine/audio_buffer.h"
#include "run_int.h"

enum {
    READ_SAMPLES = 1600,                    /* 100 ms */
    PIECES_MAX = 1024,
    HELD_MAX = 3600 * 16000,                /* an hour that no target took */
    LIVE_POLL_US = 20000
};

struct piece {
    uint64_t start, end;                    /* end: UINT64_MAX while it is spoken */
};

struct live {
    struct run *run;
    int fd;
    pthread_t reader;
    struct vad *vad;
    struct audio_buffer held;
    struct piece pieces[PIECES_MAX];        /* oldest first */
    uint32_t n_pieces;
    uint64_t fed;                           /* of the oldest piece; valid while begun */
    bool begun;
    struct job *job;
    bool ended;                             /* the input is over */
};

/* ---- reader thread ---- */

static void *read_input(void *argument)
{
    struct live *live = argument;
    struct pcm_reader reader;
    struct link_event event;
    pcm_reader_init(&reader, live->fd);
    do {
        event = (struct link_event){.kind = LINK_AUDIO};
        event.samples = malloc(READ_SAMPLES * sizeof(int16_t));
        enum status rc = event.samples ? pcm_reader_read(&reader, event.samples, READ_SAMPLES,
                                                         &event.n_samples, &event.error)
                                       : error_set(&event.error, STATUS_NO_MEMORY, "out of memory");
        if (rc != STATUS_OK)
            event.kind = LINK_AUDIO_FAILED;
        if (!link_post(live->run->link, &event)) {
            free(event.samples);
            return NULL;
        }
    } while (event.kind == LINK_AUDIO && event.n_samples > 0);
    if (pcm_reader_odd_byte(&reader))
        log_line(LOG_WARN, "the input ended within a sample: is it 16-bit little-endian PCM?");
    return NULL;
}

/* ---- pieces ---- */

static enum status take_vad_event(struct live *live, const struct vad_event *event,
                                  struct error *err)
{
    if (event->kind == VAD_START) {
        if (live->n_pieces == PIECES_MAX)
            return error_set(err, STATUS_EXHAUSTED, "%d utterances wait for the target",
                             PIECES_MAX);
        live->pieces[live->n_pieces++] = (struct piece){.start = event->sample, .end = UINT64_MAX};
    } else if (event->kind == VAD_END) {
        live->pieces[live->n_pieces - 1].end = event->sample;
    }
    return STATUS_OK;
}

static enum status segment(struct live *live, const int16_t *samples, size_t n, struct error *err)
{
    struct vad_event event;
    size_t taken = 0;
    do {
        taken += vad_feed(live->vad, samples + taken, n - taken, &event);
        enum status rc = take_vad_event(live, &event, err);
        if (rc != STATUS_OK)
            return rc;
    } while (taken < n || event.kind != VAD_NONE);
    return STATUS_OK;
}

static enum status segment_end(struct live *live, struct error *err)
{
    struct vad_event event;
    enum status rc = STATUS_OK;
    live->ended = true;
    for (vad_finish(live->vad, &event); event.kind != VAD_NONE && rc == STATUS_OK;
         vad_finish(live->vad, &event))
        rc = take_vad_event(live, &event, err);
    return rc;
}

enum status live_take(struct run *run, struct link_event *event, struct error *err)
{
    struct live *live = run->live;
    enum status rc = STATUS_OK;
    if (event->n_samples == 0) {
        rc = segment_end(live, err);
    } else {
        rc = audio_buffer_append(&live->held, live->held.end, event->samples, event->n_samples,
                                 HELD_MAX, err);
        if (rc == STATUS_OK)
            rc = segment(live, event->samples, event->n_samples, err);
    }
    free(event->samples);
    return rc;
}

/* ---- feeding ---- */

static void finish_piece(struct live *live)
{
    const struct piece *piece = &live->pieces[0];
    live->job->transcript.stats.audio_s = (double)(piece->end - piece->start) / 16000.0;
    if (!live->job->done)
        client_end(live->run->client);
    live->begun = false;
    live->n_pieces--;
    memmove(&live->pieces[0], &live->pieces[1], live->n_pieces * sizeof(live->pieces[0]));
}

/* Gives the client what belongs to the oldest piece for sure. */
static enum status feed_piece(struct live *live, struct error *err)
{
    struct run *run = live->run;
    const struct piece *piece = &live->pieces[0];
    if (!live->begun) {
        if (!run_can_begin(run))
            return STATUS_OK;
        live->job = run_begin_job(run, "-", (double)piece->start / 16000.0);
        live->fed = piece->start;
        live->begun = true;
    }
    uint64_t sure = piece->end != UINT64_MAX ? piece->end : vad_settled(live->vad);
    sure = MIN(sure, live->held.end);
    /* When the target gave the utterance up, the rest of the piece goes nowhere. */
    uint64_t room = live->job->done ? UINT64_MAX : client_room(run->client);
    uint64_t n = sure > live->fed ? MIN(sure - live->fed, room) : 0;
    if (n > 0 && !live->job->done) {
        enum status rc = client_audio(run->client, audio_buffer_at(&live->held, live->fed), n, err);
        if (rc != STATUS_OK)
            return rc;
    }
    live->fed += n;
    if (piece->end != UINT64_MAX && live->fed >= piece->end)
        finish_piece(live);
    return STATUS_OK;
}

static enum status feed(struct live *live, struct error *err)
{
    uint32_t before;
    do {
        before = live->n_pieces;
        enum status rc = live->n_pieces > 0 ? feed_piece(live, err) : STATUS_OK;
        if (rc != STATUS_OK)
            return rc;
    } while (live->n_pieces > 0 && live->n_pieces < before);
    uint64_t needed = live->begun          ? live->fed
                      : live->n_pieces > 0 ? live->pieces[0].start
                                           : vad_settled(live->vad);
    audio_buffer_drop(&live->held, MIN(needed, live->held.end));
    return STATUS_OK;
}

static bool all_done(const struct live *live)
{
    return live->ended && live->n_pieces == 0 && client_n_open(live->run->client) == 0;
}

enum status run_live(struct run *run, int fd, struct error *err)
{
    struct live live = {.run = run, .fd = fd};
    struct vad_options options = vad_options_default();
    run->file_begun_us = clock_us(&run->clock);
    run->audio_total_s = 0.0;
    audio_buffer_init(&live.held, 0);
    enum status rc = vad_new(&options, &live.vad, err);
    if (rc == STATUS_OK && pthread_create(&live.reader, NULL, read_input, &live) != 0) {
        rc = error_set(err, STATUS_EXHAUSTED, "cannot start a thread");
        vad_free(live.vad);
    }
    if (rc != STATUS_OK)
        return rc;
    run->live = &live;
    while (rc == STATUS_OK && !all_done(&live)) {
        rc = feed(&live, err);
        if (rc == STATUS_OK)
            rc = run_turn(run, LIVE_POLL_US, err);
    }
    run->live = NULL;
    if (!live.ended)
        pthread_cancel(live.reader);        /* it may be blocked in read */
    pthread_join(live.reader, NULL);
    vad_free(live.vad);
    audio_buffer_release(&live.held);
    display_clear(run->display);
    return rc;
}
