#include "run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/audio_check.h"
#include "audio/audio_file.h"
#include "base/log.h"
#include "calibration_file.h"
#include "run_int.h"
#include "vocabulary.h"

enum {
    ANSWER_US = 2000000,                    /* without one from a target, the user is told */
    VOCABULARY_TRIES_MAX = 8,
    VOCABULARY_RETRY_US = 250000,           /* after the first failure, doubled with each */
    REASON_US = 300000,                     /* from a broken stream to the word why */
    EVENTS_MAX = 256,                       /* taken in a turn */
    POLL_US = 20000,
    CHUNK = 8000                            /* samples read from a file at once */
};

/* ---- jobs ---- */

struct job *run_begin_job(struct run *run, const char *name, double offset_s)
{
    for (uint32_t i = 0; i < WIRE_UTTERANCES_MAX; i++) {
        struct job *job = &run->jobs[i];
        if (job->used)
            continue;
        *job = (struct job){.used = true, .name = name, .begun_us = clock_us(&run->clock)};
        transcript_init(&job->transcript);
        job->transcript.offset_s = offset_s;
        job->utterance = client_begin(run->client);
        reconnect_heard(&run->reconnect, job->begun_us);
        return job;
    }
    SA_ASSERT(!"as many jobs as utterances");
    return NULL;
}

void run_end_job(struct run *run, struct job *job)
{
    job->ended_us = clock_us(&run->clock);
    client_end(run->client);
}

bool run_can_begin(const struct run *run)
{
    bool place = false;                     /* a job that failed may wait for an older one */
    for (uint32_t i = 0; i < WIRE_UTTERANCES_MAX; i++)
        place |= !run->jobs[i].used;
    return place && !run->reconnect.draining && client_can_begin(run->client);
}

static struct job *find_job(struct run *run, uint32_t utterance)
{
    for (uint32_t i = 0; i < WIRE_UTTERANCES_MAX; i++)
        if (run->jobs[i].used && run->jobs[i].utterance == utterance)
            return &run->jobs[i];
    return NULL;
}

/* Hands a finished job to the sink, oldest first. */
static void deliver(struct run *run)
{
    for (;;) {
        struct job *oldest = NULL;
        for (uint32_t i = 0; i < WIRE_UTTERANCES_MAX; i++) {
            struct job *job = &run->jobs[i];
            if (job->used && (!oldest || job->utterance < oldest->utterance))
                oldest = job;
        }
        if (!oldest || !oldest->done)
            return;
        display_clear(run->display);
        if (oldest->error.code != STATUS_OK)
            run->sink.failed(run->sink.context, oldest->name, &oldest->error);
        else if (!run->sink.result(run->sink.context, oldest->name, &oldest->transcript))
            error_set(&run->fatal, STATUS_IO, "cannot write the result: is the disk full?");
        transcript_release(&oldest->transcript);
        oldest->used = false;
    }
}

/* ---- what the client tells ---- */

/* The vocabulary that the drafts need: from the draft model, the cache, or the target. */
static void find_vocabulary(struct run *run, uint64_t hash)
{
    enum status rc = STATUS_OK;
    bool own = tokenizer_hash(run->engine->tokenizer) == hash;
    if (run->vocabulary_hash == hash && (own || run->vocabulary))
        return;
    rc = client_set_vocabulary(run->client, NULL, &run->fatal);
    tokenizer_free(&run->vocabulary);       /* nobody drafts in it any more */
    run->vocabulary_hash = hash;
    run->n_vocabulary_failures = 0;
    run->vocabulary_retry_us = 0;
    if (!own)
        vocabulary_from_cache(hash, &run->vocabulary);
    if (own || run->vocabulary)
        rc = client_set_vocabulary(run->client, own ? run->engine->tokenizer : run->vocabulary,
                                   &run->fatal);
    else
        link_ask_vocabulary(run->link, hash);
    if (rc == STATUS_OK)
        error_clear(&run->fatal);
}

static void retry_vocabulary(struct run *run)
{
    if (!run->vocabulary_retry_us || clock_us(&run->clock) < run->vocabulary_retry_us)
        return;
    run->vocabulary_retry_us = 0;
    link_ask_vocabulary(run->link, run->vocabulary_hash);
}

static void on_opened(void *context, const struct wire_opened *opened)
{
    struct run *run = context;
    run->told = 0;
    observe_session(run->options.observe, true);
    reconnect_opened(&run->reconnect, clock_us(&run->clock), client_n_open(run->client) == 0);
    if (run->engine && !run->no_drafts)
        find_vocabulary(run, opened->vocabulary_hash);
}

static void on_window_final(void *context, const struct wire_window_final *final)
{
    struct run *run = context;
    struct job *job = find_job(run, final->utterance);
    reconnect_committed(&run->reconnect);
    if (job && transcript_add(&job->transcript, final, &job->error) == STATUS_OK)
        run->audio_done_s = (double)final->next_start / 16000.0;
    if (job)
        result_stats_add_target(&job->transcript.stats, link_target(run->link));
}

static void on_utterance_final(void *context, uint32_t utterance, const struct drafter_stats *stats)
{
    struct run *run = context;
    struct job *job = find_job(run, utterance);
    if (!job)
        return;
    transcript_add_draft(&job->transcript, stats);
    uint64_t now = clock_us(&run->clock);
    observe_final(run->options.observe, job->ended_us ? now - job->ended_us : 0,
                  stats->steps + stats->recycled);
    job->transcript.stats.total_ms = (double)(now - job->begun_us) / 1000.0;
    job->done = true;
}

static void on_failed(void *context, const struct wire_error *error)
{
    struct run *run = context;
    struct job *job = find_job(run, error->utterance);
    if (!job)
        return;
    error_set(&job->error, error->code == STATUS_OK ? STATUS_INTERNAL : error->code, "%s",
              error->message);
    job->done = true;
}

static void on_drain(void *context, uint32_t grace_ms)
{
    struct run *run = context;
    reconnect_draining(&run->reconnect);    /* what is open goes on; what is new goes elsewhere */
    log_line(LOG_DEBUG, "%s shuts down within %u ms", link_target(run->link), grace_ms);
}

/* ---- link ---- */

static bool sink_send(void *context, const struct wire_frame *frame)
{
    return link_send(context, frame);
}

static size_t sink_queued(void *context)
{
    return link_queued(context);
}

/* Why the present target is not there, without naming it a second time. */
static const char *reason(const struct run *run, const char *why)
{
    char named[LINK_ADDRESS_MAX + 16];
    int n = snprintf(named, sizeof(named), "cannot reach %s: ", link_target(run->link));
    return strncmp(why, named, (size_t)n) == 0 ? why + n : why;
}

/* Seconds until the run is given up, when no target comes back. */
static double patience_s(const struct run *run)
{
    return (double)reconnect_left_us(&run->reconnect, clock_us(&run->clock)) / 1e6;
}

/* Says once per outage and target that the user has to wait, and how long. */
static void tell(struct run *run, const char *what, const char *why)
{
    uint32_t places = link_target_places(run->link);
    double left_s = patience_s(run);
    bool others = run->options.link.n_targets > 1;
    if (run->told & places || left_s < 0.1)
        return;
    run->told |= places;
    log_line(LOG_WARN, "%s %s (%s): trying %s for %.0f s", what, link_target(run->link),
             reason(run, why), others ? "the other targets, and again," : "again", left_s);
}

static enum client_metric lost_by(const struct run *run, enum status code)
{
    if (reconnect_is_refusal(code))
        return CLIENT_METRIC_RECONNECTS_REFUSED;
    if (run->reconnect.draining)
        return CLIENT_METRIC_RECONNECTS_DRAIN;
    return code == STATUS_TIMEOUT ? CLIENT_METRIC_RECONNECTS_SILENT : CLIENT_METRIC_RECONNECTS_CUT;
}

/* retry_ms: not before, says the target; 0: it does not say. */
static enum status link_failed(struct run *run, const struct error *why, uint32_t retry_ms,
                               struct error *err)
{
    bool was_open = run->reconnect.state == RECONNECT_OPEN; /* else it is refused or not there */
    bool refused = reconnect_is_refusal(why->code);
    observe_session(run->options.observe, false);
    observe_lost(run->options.observe, lost_by(run, why->code));
    client_disconnected(run->client);
    link_disconnect(run->link);
    run->open_sent = false;
    run->last_error = *why;
    run->vocabulary_retry_us = 0;
    if (!reconnect_failed(&run->reconnect, clock_us(&run->clock), why->code, retry_ms))
        return error_set(err, why->code, "%s: %s", link_target(run->link), why->text);
    if (refused)
        log_line(LOG_WARN, "%s: %s; going on with the other targets", link_target(run->link),
                 why->text);
    else if (was_open)
        log_line(LOG_WARN, "%s: %s; connecting again", link_target(run->link), why->text);
    else
        tell(run, why->code == STATUS_UNAVAILABLE ? "cannot reach" : "not served by", why->text);
    if (was_open) {
        for (uint32_t i = 0; i < WIRE_UTTERANCES_MAX; i++)
            if (run->jobs[i].used && !run->jobs[i].done)
                run->jobs[i].transcript.stats.resumes++;
    }
    return STATUS_OK;
}

/* Without it there are no drafts; the text is the same. A target that was told to wait for drafts
 * would do so in each window, for as long as its patience lasts (15 s): it is told anew, in an Open
 * that announces none. */
static enum status vocabulary_failed(struct run *run, const struct error *why, struct error *err)
{
    const struct wire_rules *rules = &run->options.client.rules;
    if (rules->wait_draft || rules->lockstep) {
        struct error reason;
        run->no_drafts = true;
        client_forgo_drafts(run->client);
        error_set(&reason, STATUS_CLOSED, "its vocabulary cannot be fetched (%s): going on without "
                  "drafts", why->text);
        return link_failed(run, &reason, 0, err);
    }
    uint32_t n = ++run->n_vocabulary_failures;
    bool again = n < VOCABULARY_TRIES_MAX;
    if (n == 1)
        log_line(LOG_WARN, "%s: its vocabulary cannot be fetched (%s): going on without drafts, "
                 "asking again", link_target(run->link), why->text);
    else if (!again)
        log_line(LOG_WARN, "%s: its vocabulary could not be fetched in %u attempts: no drafts in "
                 "this session", link_target(run->link), n);
    run->vocabulary_retry_us = again ? clock_us(&run->clock) + (VOCABULARY_RETRY_US << (n - 1)) : 0;
    return STATUS_OK;
}

/* Connects when it is time, notices silence, gives up at the deadline. */
static enum status look_after_link(struct run *run, struct error *err)
{
    struct reconnect *reconnect = &run->reconnect;
    uint64_t now = clock_us(&run->clock);
    struct reconnect_seen seen = {.now_us = now, .expects = client_expects(run->client),
                                  .idle = client_n_open(run->client) == 0};
    struct error why;
    switch (reconnect_look(reconnect, &seen, &why)) {
    case RECONNECT_CALL:
        return link_connect(run->link, reconnect->target, err);
    case RECONNECT_HANG_UP:
        return link_failed(run, &why, 0, err);
    case RECONNECT_GIVE_UP:
        return error_set(err, STATUS_UNAVAILABLE,
                         "no target answered for %.0f s (%s: %s). Start target_node there, or name "
                         "another one with --target",
                         (double)reconnect_down_us(reconnect, now) / 1e6, link_target(run->link),
                         reason(run, run->last_error.text));
    case RECONNECT_NOTHING:
        break;
    }
    bool calling = reconnect->state == RECONNECT_CALLING || reconnect->state == RECONNECT_ACCEPTED;
    if (calling && now > reconnect->called_us + ANSWER_US)
        tell(run, "cannot reach", "no answer yet");
    retry_vocabulary(run);
    return STATUS_OK;
}

static enum status take_vocabulary(struct run *run, const struct wire_bytes *bytes,
                                   struct error *err)
{
    struct error why;
    enum status rc = STATUS_OK;
    if (!run->vocabulary)                   /* else it came twice */
        rc = vocabulary_from_message(bytes, run->vocabulary_hash, &run->vocabulary, &why);
    free(bytes->data);
    if (rc == STATUS_OK)
        return client_set_vocabulary(run->client, run->vocabulary, err);
    return vocabulary_failed(run, &why, err);
}

static enum status take_event(struct run *run, struct link_event *event, struct error *err)
{
    struct error why;
    uint32_t retry_ms;
    enum status rc;
    switch (event->kind) {
    case LINK_NOTHING:
    case LINK_ROOM:
        return STATUS_OK;
    case LINK_UP:
        reconnect_accepted(&run->reconnect, clock_us(&run->clock));
        return STATUS_OK;
    case LINK_DOWN:
        return link_failed(run, &event->error, 0, err);
    case LINK_FRAME:
        reconnect_heard(&run->reconnect, clock_us(&run->clock));
        rc = client_receive(run->client, &event->frame, &why);
        retry_ms = event->frame.kind == WIRE_ERROR ? event->frame.u.error.retry_ms : 0;
        wire_frame_release(&event->frame);
        return rc == STATUS_OK ? STATUS_OK : link_failed(run, &why, retry_ms, err);
    case LINK_VOCABULARY:
        return take_vocabulary(run, &event->bytes, err);
    case LINK_VOCABULARY_FAILED:
        return vocabulary_failed(run, &event->error, err);
    case LINK_AUDIO:
        return live_take(run, event, err);
    case LINK_AUDIO_FAILED:
        free(event->samples);
        return error_set(err, event->error.code, "stdin: %s", event->error.text);
    }
    return STATUS_OK;
}

/* ---- display ---- */

static void append_text(const struct tokenizer *vocabulary, const int32_t *ids, uint32_t n,
                        char *text, size_t max)
{
    struct text_buffer buffer = {.bytes = (uint8_t *)text, .max = max - 1};
    if (tokenizer_decode(vocabulary, ids, n, &buffer, NULL) != STATUS_OK)
        buffer.n = 0;
    text[buffer.n] = '\0';
}

static void show(struct run *run)
{
    char decided[4096] = "", drafted[4096] = "";
    struct client_view view;
    struct job *job = NULL;
    if (!display_active(run->display))
        return;
    for (uint32_t i = 0; i < WIRE_UTTERANCES_MAX; i++)
        if (run->jobs[i].used && (!job || run->jobs[i].utterance < job->utterance))
            job = &run->jobs[i];
    if (!job)
        return;
    const struct tokenizer *vocabulary = run->vocabulary ? run->vocabulary
                                         : run->engine   ? run->engine->tokenizer
                                                         : NULL;
    if (vocabulary && run->vocabulary_hash && client_look(run->client, job->utterance, &view)) {
        int32_t ids[WIRE_DRAFT_NODES_MAX];
        for (uint32_t i = 0; i < view.n_drafted; i++)
            ids[i] = view.drafted[i].token;
        append_text(vocabulary, view.decided, view.n_decided, decided, sizeof(decided));
        append_text(vocabulary, ids, view.n_drafted, drafted, sizeof(drafted));
    }
    if (run->reconnect.state != RECONNECT_OPEN && run->told)
        snprintf(drafted, sizeof(drafted), " (waiting for %s, %.0f s left)",
                 link_target(run->link), MAX(patience_s(run), 0.0));
    struct display_state state = {
        .label = job->name,
        .audio_done_s = run->audio_done_s,
        .audio_total_s = run->audio_total_s,
        .elapsed_s = (double)(clock_us(&run->clock) - run->file_begun_us) / 1e6,
        .committed = job->transcript.text,
        .decided = decided,
        .provisional = drafted,
    };
    display_show(run->display, &state, false);
}

/* ---- loop ---- */

static enum status take_events(struct run *run, int64_t wait_us, struct error *err)
{
    enum status rc = STATUS_OK;
    for (uint32_t i = 0; i < EVENTS_MAX && rc == STATUS_OK; i++) {
        struct link_event event = link_next(run->link, i == 0 ? wait_us : 0);
        if (event.kind == LINK_NOTHING)
            break;
        rc = take_event(run, &event, err);
    }
    return rc;
}

/* A frame could not be sent: the call's end, which is on its way, says why. */
static enum status stream_broke(struct run *run, struct error *err)
{
    struct error why;
    enum status rc = STATUS_OK;
    uint64_t until = clock_us(&run->clock) + REASON_US;
    uint64_t now = clock_us(&run->clock);
    for (; rc == STATUS_OK && run->open_sent && now < until; now = clock_us(&run->clock))
        rc = take_events(run, (int64_t)(until - now), err);
    if (rc != STATUS_OK || !run->open_sent)
        return rc;
    error_set(&why, STATUS_CLOSED, "the stream takes no more frames");
    return link_failed(run, &why, 0, err);
}

static void show_state(struct run *run)
{
    const struct observe_state state = {
        .round_trip_us = client_round_trip_us(run->client),
        .unsent_us = live_unwritten(run) * 1000 / (AUDIO_RATE / 1000),
        .certificate_expiry = link_certificate_expiry(run->link)};
    observe_state(run->options.observe, &state);
}

enum status run_turn(struct run *run, int64_t wait_us, struct error *err)
{
    bool worked;
    /* Open may go out before the target has accepted the stream: it saves a round trip. */
    if (!run->open_sent && run->reconnect.state != RECONNECT_DOWN) {
        client_connected(run->client, (struct client_sink){.send = sink_send, .queued = sink_queued,
                                                           .context = run->link});
        run->open_sent = true;
    }
    enum status rc = client_step(run->client, &worked, err);
    if (rc == STATUS_OK && run->open_sent && !client_is_connected(run->client))
        rc = stream_broke(run, err);
    if (rc == STATUS_OK)
        rc = take_events(run, worked ? 0 : wait_us, err);
    if (rc == STATUS_OK)
        rc = look_after_link(run, err);
    if (rc != STATUS_OK)
        return rc;
    deliver(run);
    show(run);
    show_state(run);
    if (run->fatal.code != STATUS_OK) {
        if (err)
            *err = run->fatal;
        return run->fatal.code;
    }
    return STATUS_OK;
}

static bool any_job(const struct run *run)
{
    for (uint32_t i = 0; i < WIRE_UTTERANCES_MAX; i++)
        if (run->jobs[i].used)
            return true;
    return false;
}

/* Reads what the client has room for. *ended: nothing is left to read. */
static enum status feed(struct run *run, struct job *job, struct audio_file *file, bool *ended,
                        struct error *err)
{
    int16_t samples[CHUNK];
    while (!*ended && client_room(run->client) >= CHUNK) {
        size_t n;
        enum status rc = audio_file_read(file, samples, CHUNK, &n, err);
        if (rc != STATUS_OK)
            return rc;
        if (n == 0) {
            *ended = true;
            run_end_job(run, job);
            return STATUS_OK;
        }
        rc = client_audio(run->client, samples, n, err);
        if (rc != STATUS_OK)
            return rc;
    }
    return STATUS_OK;
}

static enum status transcribe(struct run *run, struct audio_file *file, const char *path,
                              struct error *err)
{
    bool ended = false;
    struct job *job = run_begin_job(run, path, 0.0);
    uint32_t utterance = job->utterance;
    run->audio_total_s = (double)audio_file_info(file)->n_samples / 16000.0;
    job->transcript.stats.audio_s = run->audio_total_s;
    while (any_job(run)) {
        enum status rc = STATUS_OK;
        if (!ended && !job->done) {
            struct error why;
            if (feed(run, job, file, &ended, &why) != STATUS_OK) {
                ended = true;
                client_cancel(run->client, utterance);
                job->error = why;
                job->done = true;
            }
        }
        rc = run_turn(run, POLL_US, err);
        if (rc != STATUS_OK)
            return rc;
    }
    return STATUS_OK;
}

enum status run_file(struct run *run, const char *path, struct error *err)
{
    struct audio_file *file;
    struct error why;
    run->file_begun_us = clock_us(&run->clock);
    run->audio_done_s = 0.0;
    if (audio_check(path, &why) != STATUS_OK ||
        audio_file_open(path, &file, &why) != STATUS_OK) {
        run->sink.failed(run->sink.context, path, &why);
        return STATUS_OK;
    }
    enum status rc = transcribe(run, file, path, err);
    const char *warning = audio_file_warning(file);
    display_clear(run->display);
    if (warning && rc == STATUS_OK)
        run->sink.damaged(run->sink.context, path, warning);
    audio_file_free(file);
    return rc;
}

/* ---- life ---- */

enum status run_new(struct engine *engine, const struct run_options *options,
                    struct display *display, const struct run_sink *sink, struct run **out,
                    struct error *err)
{
    struct run *run = calloc(1, sizeof(*run));
    *out = NULL;
    if (!run)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the run");
    run->engine = engine;
    run->options = *options;
    run->display = display;
    run->sink = *sink;
    run->clock = clock_monotonic();
    struct client_events events = {
        .opened = on_opened,
        .window_final = on_window_final,
        .utterance_final = on_utterance_final,
        .failed = on_failed,
        .drain = on_drain,
        .context = run,
    };
    if (engine)
        calibration_load(engine->description->name, options->client.rules.language,
                         &run->calibration);
    run->options.client.drafter.calibration = &run->calibration;
    struct reconnect_options reconnect = {.n_targets = options->link.n_targets,
                                          .patience_us = (uint64_t)(options->deadline_s * 1e6)};
    memcpy(&reconnect.seed, options->client.session, sizeof(reconnect.seed));
    reconnect_init(&run->reconnect, &reconnect, clock_us(&run->clock));
    error_set(&run->last_error, STATUS_UNAVAILABLE, "no connection yet");
    enum status rc = link_new(&options->link, &run->link, err);
    if (rc == STATUS_OK)
        rc = client_new(engine, &run->options.client, &events, &run->client, err);
    if (rc == STATUS_OK)
        rc = look_after_link(run, err);     /* calls the first target */
    if (rc != STATUS_OK) {
        run_free(&run);
        return rc;
    }
    *out = run;
    return STATUS_OK;
}

const struct spec_calibration *run_calibration(const struct run *run)
{
    return run->engine ? &run->calibration : NULL;
}

void run_free(struct run **run_ptr)
{
    struct run *run = *run_ptr;
    if (!run)
        return;
    if (run->engine && calibration_tokens(&run->calibration) > 0)
        calibration_save(run->engine->description->name, run->options.client.rules.language,
                         &run->calibration);
    for (uint32_t i = 0; i < WIRE_UTTERANCES_MAX; i++)
        if (run->jobs[i].used)
            transcript_release(&run->jobs[i].transcript);
    client_free(&run->client);
    link_free(&run->link);
    tokenizer_free(&run->vocabulary);
    free(run);
    *run_ptr = NULL;
}
