/* run_live.c: raw PCM from a descriptor, cut into utterances by voice activity.
 *
 *     reader thread --LINK_AUDIO--> held samples --vad--> pieces [start, end) --in turn--> client
 *
 * The first samples of an utterance travel while it is still spoken. Held are the samples of all
 * utterances whose text is not written yet: if that never comes, they go into a file.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "audio/audio_file.h"
#include "audio/pcm_reader.h"
#include "audio/vad.h"
#include "audio/wav_writer.h"
#include "base/log.h"
#include "engine/audio_buffer.h"
#include "run_int.h"

enum {
    READ_SAMPLES = 1600,                    /* 100 ms */
    PIECES_MAX = 1024,
    HELD_HIGH = 3600 * AUDIO_RATE,          /* an hour that no target took: stdin has to wait */
    PIECES_HIGH = PIECES_MAX / 2,
    HELD_MAX = HELD_HIGH + LINK_POSTED_MAX * READ_SAMPLES,
    LIVE_POLL_US = 20000,
    STOP_US = 10000000                      /* from a signal to the last text */
};

struct piece {
    uint64_t start, end;                    /* end: UINT64_MAX while it is spoken */
};

struct live {
    struct run *run;
    int fd;
    pthread_t reader;
    int stop_fd;                            /* readable: the reader ends the input */
    atomic_bool stopping;                   /* the same */
    atomic_bool full;                       /* it waits: a pipe from a file is faster than speech */
    struct vad *vad;
    struct audio_buffer held;
    struct piece pieces[PIECES_MAX];        /* oldest first */
    uint32_t n_pieces;
    uint64_t fed;                           /* of the oldest piece; valid while begun */
    bool begun;
    struct job *job;
    bool ended;                             /* the input is over, or no longer wanted */
    uint64_t give_up_us;                    /* after a signal; 0: none came */
};

/* ---- signals ---- */

static volatile sig_atomic_t stop_signal;

/* The second signal is the user's last word. */
static void on_stop_signal(int number)
{
    if (stop_signal) {
        signal(number, SIG_DFL);
        raise(number);
    }
    stop_signal = number;
}

static void catch_signal(int number, struct sigaction *before)
{
    struct sigaction action = {.sa_handler = on_stop_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, before) == 0 && before->sa_handler != SIG_IGN)
        (void)sigaction(number, &action, NULL);
}

/* ---- reader thread ---- */

static void wait_for_room(const struct live *live)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    while (atomic_load(&live->full) && !atomic_load(&live->stopping))
        nanosleep(&pause, NULL);
}

static void *read_input(void *argument)
{
    struct live *live = argument;
    struct pcm_reader reader;
    struct link_event event;
    bool posted;
    pcm_reader_init(&reader, live->fd);
    pcm_reader_stop_by(&reader, live->stop_fd);
    do {
        wait_for_room(live);
        event = (struct link_event){.kind = LINK_AUDIO};
        event.samples = malloc(READ_SAMPLES * sizeof(int16_t));
        enum status rc = event.samples ? pcm_reader_read(&reader, event.samples, READ_SAMPLES,
                                                         &event.n_samples, &event.error)
                                       : error_set(&event.error, STATUS_NO_MEMORY, "out of memory");
        if (rc != STATUS_OK)
            event.kind = LINK_AUDIO_FAILED;
        posted = link_post(live->run->link, &event);
        if (!posted)
            free(event.samples);
    } while (posted && event.kind == LINK_AUDIO && event.n_samples > 0);
    if (pcm_reader_odd_byte(&reader))
        log_line(LOG_WARN, "the input ended within a sample: is it 16-bit little-endian PCM?");
    return NULL;
}

/* It gives what has come by now, and then the end. */
static void stop_reader(struct live *live)
{
    atomic_store(&live->stopping, true);
    (void)eventfd_write(live->stop_fd, 1);
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
    if (live->ended) {                      /* nothing more is wanted */
    } else if (event->n_samples == 0) {
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
    live->job->transcript.stats.audio_s = (double)(piece->end - piece->start) / AUDIO_RATE;
    if (!live->job->done)
        run_end_job(live->run, live->job);
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
        live->job = run_begin_job(run, "-", (double)piece->start / AUDIO_RATE);
        live->job->live_start = piece->start;
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

/* First sample of what has no written text yet; held.end: nothing. */
static uint64_t first_unwritten(const struct live *live)
{
    uint64_t first = live->n_pieces > 0 ? live->pieces[0].start : live->held.end;
    for (uint32_t i = 0; i < WIRE_UTTERANCES_MAX; i++)
        if (live->run->jobs[i].used)
            first = MIN(first, live->run->jobs[i].live_start);
    return MIN(first, live->held.end);
}

uint64_t live_unwritten(const struct run *run)
{
    return run->live ? run->live->held.end - first_unwritten(run->live) : 0;
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
    audio_buffer_drop(&live->held, MIN(first_unwritten(live), vad_settled(live->vad)));
    atomic_store(&live->full, live->held.end - live->held.first >= HELD_HIGH ||
                                  live->n_pieces >= PIECES_HIGH);
    return STATUS_OK;
}

/* ---- the end ---- */

/* Writes them under a name of the present second: to the working folder, else to $TMPDIR. */
static enum status write_unsent(const int16_t *samples, size_t n, char *path, size_t path_max,
                                struct error *err)
{
    char name[64];
    struct tm tm;
    time_t now = time(NULL);
    const char *temporary = getenv("TMPDIR");
    localtime_r(&now, &tm);
    strftime(name, sizeof(name), "specasr-unsent-%Y%m%dT%H%M%S.wav", &tm);
    snprintf(path, path_max, "%s", name);
    if (wav_write(path, samples, n, err) == STATUS_OK)
        return STATUS_OK;
    snprintf(path, path_max, "%s/%s", temporary && *temporary ? temporary : "/tmp", name);
    return wav_write(path, samples, n, err);
}

/* The run has failed: the audio whose text was not written is kept, and *err says where. */
static void keep_unsent(struct live *live, struct error *err)
{
    char path[ERROR_TEXT_MAX / 2];
    struct error before = *err, why;
    if (live->run->fatal.code != STATUS_OK) /* nobody takes the results */
        return;
    if (!live->ended)
        (void)segment_end(live, NULL);      /* closes what is being spoken */
    uint64_t first = first_unwritten(live);
    size_t n = (size_t)(live->held.end - first);
    double n_s = (double)n / AUDIO_RATE;
    if (n == 0)
        return;
    if (write_unsent(audio_buffer_at(&live->held, first), n, path, sizeof(path), &why) == STATUS_OK)
        error_set(err, before.code, "%.*s; %.1f s of audio without text are kept: transcribe them "
                  "later with `draft_node %s`", ERROR_TEXT_MAX / 2, before.text, n_s, path);
    else
        error_set(err, before.code, "%.*s; %.1f s of audio without text are lost: %s",
                  ERROR_TEXT_MAX / 2, before.text, n_s, why.text);
}

/* After the first signal the input ends here; the texts of what was said get some seconds. */
static enum status heed_signal(struct live *live, struct error *err)
{
    uint64_t now = clock_us(&live->run->clock);
    if (!stop_signal)
        return STATUS_OK;
    if (live->give_up_us == 0) {
        live->give_up_us = now + STOP_US;
        log_line(LOG_INFO, "finishing what was said; a second signal ends at once");
        stop_reader(live);
        return STATUS_OK;
    }
    if (now < live->give_up_us)
        return STATUS_OK;
    return error_set(err, STATUS_TIMEOUT, "the last texts did not come within %d s of the signal",
                     STOP_US / 1000000);
}

static bool all_done(const struct live *live)
{
    return live->ended && live->n_pieces == 0 && client_n_open(live->run->client) == 0;
}

static enum status turn_until_done(struct live *live, struct error *err)
{
    enum status rc = STATUS_OK;
    while (rc == STATUS_OK && !all_done(live)) {
        rc = feed(live, err);
        if (rc == STATUS_OK)
            rc = run_turn(live->run, LIVE_POLL_US, err);
        if (rc == STATUS_OK)
            rc = heed_signal(live, err);
    }
    return rc;
}

static enum status start(struct live *live, struct error *err)
{
    struct vad_options options = vad_options_default();
    audio_buffer_init(&live->held, 0);
    enum status rc = vad_new(&options, &live->vad, err);
    if (rc != STATUS_OK)
        return rc;
    live->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (live->stop_fd >= 0 && pthread_create(&live->reader, NULL, read_input, live) == 0)
        return STATUS_OK;
    if (live->stop_fd >= 0)
        close(live->stop_fd);
    vad_free(live->vad);
    return error_set(err, STATUS_EXHAUSTED, "cannot start a thread");
}

/* Ends the reader; what it has read is taken. */
static void finish_reader(struct live *live)
{
    struct run *run = live->run;
    struct link_event event;
    enum status rc = STATUS_OK;             /* out of memory: what was taken is kept */
    stop_reader(live);
    link_end_posts(run->link);
    pthread_join(live->reader, NULL);
    for (event = link_next(run->link, 0); event.kind != LINK_NOTHING;
         event = link_next(run->link, 0)) {
        if (event.kind == LINK_AUDIO && event.n_samples > 0 && rc == STATUS_OK)
            rc = live_take(run, &event, NULL);
        else
            link_release_event(&event);
    }
    close(live->stop_fd);
}

enum status run_live(struct run *run, int fd, int *signal_number, struct error *err)
{
    struct live live = {.run = run, .fd = fd};
    struct sigaction before_int, before_term;
    run->file_begun_us = clock_us(&run->clock);
    run->audio_total_s = 0.0;
    enum status rc = start(&live, err);
    if (rc != STATUS_OK)
        return rc;
    catch_signal(SIGINT, &before_int);
    catch_signal(SIGTERM, &before_term);
    run->live = &live;
    rc = turn_until_done(&live, err);
    finish_reader(&live);
    run->live = NULL;
    if (rc != STATUS_OK)
        keep_unsent(&live, err);
    (void)sigaction(SIGINT, &before_int, NULL);
    (void)sigaction(SIGTERM, &before_term, NULL);
    *signal_number = stop_signal;
    vad_free(live.vad);
    audio_buffer_release(&live.held);
    display_clear(run->display);
    return rc;
}
