/* run_int.h: the parts of a run: run.c (loop, link, events), run_live.c (voice activity). */
#ifndef DRAFT_NODE_RUN_INT_H
#define DRAFT_NODE_RUN_INT_H

#include "base/clock.h"
#include "engine/reconnect.h"
#include "run.h"
#include "text/tokenizer.h"

/* An utterance under way. */
struct job {
    bool used;
    uint32_t utterance;
    const char *name;                       /* borrowed: the file */
    uint64_t begun_us;
    uint64_t ended_us;                      /* all its audio was given to the client; 0: not yet */
    uint64_t live_start;                    /* live input: its first sample */
    bool done;
    struct transcript transcript;
    struct error error;                     /* code STATUS_OK: none */
};

struct run {
    struct engine *engine;
    struct run_options options;
    struct display *display;
    struct run_sink sink;
    struct link *link;
    struct client *client;
    struct spec_calibration calibration;    /* of this draft model and language */
    struct clock clock;
    struct tokenizer *vocabulary;           /* own; NULL: none or the engine's */
    uint64_t vocabulary_hash;               /* asked for; 0: none */
    uint64_t vocabulary_retry_us;           /* ask again at this time; 0: no need */
    uint32_t n_vocabulary_failures;         /* in this session */
    bool no_drafts;                         /* it has none, and waits for none */
    struct reconnect reconnect;
    bool open_sent;                         /* on the present call */
    struct error last_error;                /* why the link is down */
    uint32_t told;                          /* bit i: in this outage, that target i is missing */
    struct job jobs[WIRE_UTTERANCES_MAX];
    double audio_total_s, audio_done_s;     /* for the display */
    uint64_t file_begun_us;
    struct error fatal;                     /* set by an event: ends the run */
    /* live input */
    struct live *live;
};

/* One turn of the loop: waits up to wait_us when there is nothing to do. */
MUST_CHECK enum status run_turn(struct run *run, int64_t wait_us, struct error *err);

/* May another utterance be begun now, and the job for it. */
bool run_can_begin(const struct run *run);
struct job *run_begin_job(struct run *run, const char *name, double offset_s);

/* The audio of this job is complete. */
void run_end_job(struct run *run, struct job *job);

/* Live audio without a written text, in samples (run_live.c). */
uint64_t live_unwritten(const struct run *run);

/* Live audio from the reader thread (run_live.c). */
MUST_CHECK enum status live_take(struct run *run, struct link_event *event, struct error *err);

#endif
