#include "engine/client.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "audio/flac_codec.h"
#include "cluster/depth_estimate.h"
#include "engine/audio_buffer.h"
#include "engine/window.h"

enum {
    DRAFTERS = 2,                           /* the window at work, and one ahead */
    CHUNK_SAMPLES = 4000,                   /* of an audio frame: 250 ms */
    HELD_SAMPLES = 3 * WINDOW_SAMPLES,      /* taken ahead of the present window */
    CREDIT_BYTES = WINDOW_SAMPLES * 2,      /* until the target says what it takes */
    EARLY_SAMPLES = WINDOW_RATE,            /* from one early draft to the next, at least; */
    EARLY_SHARE = 4,                        /* and they may take one part in so many of the time */
    ECHO_MAX_US = 60000000,                 /* an older stamp is not ours */
    STATS_US = 250000                       /* between two reports while there is work */
};

struct client_utterance {
    uint32_t id;
    struct audio_buffer audio;              /* from the present window on */
    bool ended;
    uint64_t sent;                          /* next sample to send */
    bool end_sent;
    bool announced;                         /* the target has heard of it on this stream */
    bool begun;                             /* the target decodes this window */
    uint32_t window, attempt;
    uint64_t start;                         /* first sample of the present window */
    uint32_t n_decided;
    int32_t decided[WIRE_TOKENS_MAX];
    uint32_t n_prompt;
    int32_t prompt[WIRE_PROMPT_MAX];
    char language[8];
    struct drafter *drafter;                /* lent by the client; NULL: none at present */
    uint64_t drafted;                       /* samples of the window that it was given */
    bool drafted_whole;                     /* those were all */
    uint32_t n_early;                       /* drafts of parts of the window */
    uint32_t draft_version;                 /* of the proposal that was sent last */
    uint32_t draft_number;
    uint32_t draft_nodes;                   /* of that one */
    struct drafter_stats stats;             /* of finished windows */
};

/* What the target is told of link and machine, and what it advises. */
struct client_depth {
    struct depth_mean rtt;
    uint64_t told_us;                       /* of the last Stats */
    uint64_t decode_us;                     /* drafting since then, */
    uint32_t n_drafted;                     /* and the tokens that came of it */
    struct depth_advice advice;
    float probes_left;                      /* draft steps that it may look with, at depth 0 */
    uint64_t since_us;                      /* when the link came up */
};

struct client {
    struct engine *engine;
    struct client_options options;
    struct client_events events;
    struct client_sink sink;
    bool connected, opened;
    uint32_t epoch;
    uint32_t credit_samples;
    uint32_t id_next;
    struct client_utterance *utterances[WIRE_UTTERANCES_MAX];   /* oldest first */
    uint32_t n_utterances;
    struct drafter *drafters[DRAFTERS];
    bool drafter_lent[DRAFTERS];
    bool has_vocabulary;
    struct client_depth depth;
};

struct client_options client_options_default(void)
{
    return (struct client_options){
        .rules = {.language = "en", .fallback = true, .condition_on_previous = true,
                  .use_drafts = true, .row_price = -1.0f},
        .codec = WIRE_FLAC,
        .audio_queue_max = 16 * 1024,
        .draft_growth = 8,
        .drafter = {.language = "en", .silence_ms = 5000, .policy = spec_policy_default()},
    };
}

/* ---- life ---- */

enum status client_new(struct engine *engine, const struct client_options *options,
                       const struct client_events *events, struct client **out, struct error *err)
{
    struct client *client = calloc(1, sizeof(*client));
    *out = NULL;
    if (!client)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the client");
    client->engine = engine;
    client->options = *options;
    const struct spec_policy *policy = &options->drafter.policy;
    client->options.rules.use_drafts = options->rules.use_drafts && engine && policy->drafts;
    client->options.rules.verbatim = !policy->realign;
    client->events = *events;
    /* Free rows are counted as if this machine were another one: its prices do not stop a draft. */
    client->options.drafter.turns = options->rules.lockstep && options->rules.row_price != 0.0f;
    for (uint32_t i = 0; client->options.rules.use_drafts && i < DRAFTERS; i++) {
        enum status rc = drafter_new(engine, &client->options.drafter, &client->drafters[i], err);
        if (rc != STATUS_OK) {
            client_free(&client);
            return rc;
        }
    }
    *out = client;
    return STATUS_OK;
}

static void free_utterance(struct client_utterance *u)
{
    audio_buffer_release(&u->audio);
    free(u);
}

void client_free(struct client **client_ptr)
{
    struct client *client = *client_ptr;
    if (!client)
        return;
    for (uint32_t i = 0; i < client->n_utterances; i++)
        free_utterance(client->utterances[i]);
    for (uint32_t i = 0; i < DRAFTERS; i++)
        drafter_free(&client->drafters[i]);
    free(client);
    *client_ptr = NULL;
}

/* ---- drafters ---- */

static void lend_drafter(struct client *client, struct client_utterance *u)
{
    for (uint32_t i = 0; i < DRAFTERS && !u->drafter; i++) {
        if (client->drafters[i] && !client->drafter_lent[i]) {
            client->drafter_lent[i] = true;
            u->drafter = client->drafters[i];
        }
    }
}

static void return_drafter(struct client *client, struct client_utterance *u)
{
    if (!u->drafter)
        return;
    const struct drafter_stats *stats = drafter_stats(u->drafter);
    u->stats.steps += stats->steps;
    u->stats.rows += stats->rows;
    u->stats.branch_steps += stats->branch_steps;
    u->stats.recycled += stats->recycled;
    u->stats.encode_us += stats->encode_us;
    u->stats.decode_us += stats->decode_us;
    drafter_stop(u->drafter);
    for (uint32_t i = 0; i < DRAFTERS; i++)
        if (client->drafters[i] == u->drafter)
            client->drafter_lent[i] = false;
    u->drafter = NULL;
    u->drafted = 0;
    u->drafted_whole = false;
    u->n_early = 0;
}

/* The user's own choices (turns, waits, policies, prices) stand: what the target advises is for
 * the free mode. */
static bool takes_advice(const struct client *client)
{
    const struct wire_rules *rules = &client->options.rules;
    return rules->use_drafts && !rules->lockstep && !rules->wait_draft && !rules->verbatim &&
           rules->row_price < 0.0f;
}

/* Tokens to draft ahead of what is decided. Where drafts pay at all the whole window is drafted:
 * what is left behind a surprise is used again on both sides. 0: none now. */
static uint32_t draft_ahead(const struct client *client)
{
    if (!takes_advice(client) || client->depth.advice.depth > 0)
        return UINT32_MAX;
    if (client->depth.probes_left < 1.0f)
        return 0;
    return depth_of_client(&client->depth.advice, clock_us(&client->engine->clock),
                           client->depth.since_us);
}

/* Has enough been said since the last early draft, for what one takes on this machine? */
static bool early_is_due(const struct client *client, const struct client_utterance *u, uint64_t n)
{
    uint64_t gap = EARLY_SAMPLES;
    if (!client->options.early_drafts || client->options.rules.lockstep ||
        (u->drafter && drafter_busy(u->drafter)))
        return false;
    if (u->n_early > 0) {
        const struct drafter_stats *stats = drafter_stats(u->drafter);
        uint64_t each_us = (stats->encode_us + stats->decode_us) / u->n_early;
        gap = MAX(gap, each_us * EARLY_SHARE * WINDOW_RATE / 1000000);
    }
    return n >= u->drafted + gap;
}

static bool is_whole(const struct client_utterance *u, uint64_t n)
{
    return n >= WINDOW_SAMPLES || (u->ended && n >= WINDOW_HOP);
}

/* A draft of the window as far as its audio goes. */
static enum status begin_draft(struct client *client, struct client_utterance *u, uint64_t n,
                               struct error *err)
{
    lend_drafter(client, u);
    u->draft_version = 0;
    u->draft_nodes = 0;
    if (!u->drafter)
        return STATUS_OK;
    struct drafter_window window = {.samples = audio_buffer_at(&u->audio, u->start),
                                    .n = MIN(n, (uint64_t)WINDOW_SAMPLES),
                                    .early = !is_whole(u, n),
                                    .again = u->drafted > 0};
    drafter_begin(u->drafter, &window);
    u->drafted = n;
    u->drafted_whole = !window.early;
    u->n_early += window.early;
    return u->n_decided > 0                 /* the target went ahead */
               ? drafter_follow(u->drafter, u->decided, u->n_decided, err)
               : STATUS_OK;
}

/* A draft begins when the window's audio is complete, and may before; in lockstep, when the target
 * has encoded it. */
static enum status begin_drafts(struct client *client, struct error *err)
{
    for (uint32_t i = 0; draft_ahead(client) > 0 && i < client->n_utterances; i++) {
        struct client_utterance *u = client->utterances[i];
        uint64_t n = u->audio.end > u->start ? u->audio.end - u->start : 0;
        bool turn = u->begun || !client->options.rules.lockstep;
        if (!turn || u->drafted_whole || !(is_whole(u, n) || early_is_due(client, u, n)))
            continue;
        enum status rc = begin_draft(client, u, n, err);
        if (rc != STATUS_OK)
            return rc;
    }
    return STATUS_OK;
}

enum status client_set_vocabulary(struct client *client, const struct tokenizer *vocabulary,
                                  struct error *err)
{
    enum status rc = STATUS_OK;
    for (uint32_t i = 0; i < DRAFTERS && client->drafters[i] && rc == STATUS_OK; i++)
        rc = drafter_set_target(client->drafters[i], vocabulary, err);
    client->has_vocabulary = rc == STATUS_OK && vocabulary;
    return rc;
}

/* ---- sending ---- */

static void send_frame(struct client *client, const struct wire_frame *frame)
{
    if (client->connected && !client->sink.send(client->sink.context, frame))
        client->connected = false;
}

static void fill_resume(const struct client_utterance *u, struct wire_resume *resume)
{
    *resume = (struct wire_resume){.utterance = u->id, .window = u->window, .attempt = u->attempt,
                                   .window_start = u->start, .n_prompt = u->n_prompt,
                                   .n_decided = u->n_decided};
    memcpy(resume->prompt, u->prompt, u->n_prompt * sizeof(int32_t));
    memcpy(resume->decided, u->decided, u->n_decided * sizeof(int32_t));
    memcpy(resume->language, u->language, sizeof(u->language));
}

void client_connected(struct client *client, struct client_sink sink)
{
    struct wire_resume resume[WIRE_UTTERANCES_MAX];
    struct wire_frame frame = {.kind = WIRE_OPEN};
    struct wire_open *open = &frame.u.open;
    client->sink = sink;
    client->connected = true;
    client->opened = false;
    client->credit_samples = CREDIT_BYTES / sizeof(int16_t);
    client->depth = (struct client_depth){.advice.depth = WIRE_DRAFT_NODES_MAX};
    if (client->engine)
        client->depth.since_us = clock_us(&client->engine->clock);
    open->version_min = WIRE_VERSION_MIN;
    open->version_max = WIRE_VERSION_MAX;
    memcpy(open->session, client->options.session, sizeof(open->session));
    open->epoch = client->epoch++;
    open->rules = client->options.rules;
    if (client->engine)
        memcpy(open->draft_model, client->engine->description->name, sizeof(open->draft_model));
    for (uint32_t i = 0; i < client->n_utterances; i++) {
        struct client_utterance *u = client->utterances[i];
        fill_resume(u, &resume[i]);
        u->sent = u->start;
        u->end_sent = false;
        u->begun = false;
        u->announced = true;
        /* The new stream decides this window anew, draft and all. */
        u->n_decided = 0;
        u->attempt = 0;
        u->draft_number = MAX(u->draft_number, 1u); /* the claim counts as draft 1 */
        u->draft_version = 0;
        u->draft_nodes = 0;
    }
    open->n_resume = client->n_utterances;
    open->resume = resume;
    send_frame(client, &frame);
}

void client_disconnected(struct client *client)
{
    client->connected = false;
    client->opened = false;
}

void client_forgo_drafts(struct client *client)
{
    client->options.rules.use_drafts = false;
}

bool client_is_connected(const struct client *client)
{
    return client->connected;
}

static bool draft_worth_sending(const struct client *client, const struct client_utterance *u,
                                const struct drafter_proposal *proposal)
{
    if (proposal->complete)
        return true;
    if (client->options.rules.wait_draft || client->options.rules.lockstep)
        return false;
    if (proposal->early)                    /* until the whole one comes, if it does in time */
        return u->drafted_whole && proposal->n_trunk > 0;
    return proposal->n_trunk >= u->draft_nodes + client->options.draft_growth ||
           (u->draft_nodes > proposal->n_trunk && proposal->n_trunk > 0);
}

static bool send_draft(struct client *client, struct client_utterance *u)
{
    uint32_t version;
    if (!u->drafter || !client->has_vocabulary || !client->opened)
        return false;
    const struct drafter_proposal *proposal = drafter_proposal(u->drafter, &version);
    if (version == u->draft_version || !draft_worth_sending(client, u, proposal) ||
        proposal->n_prefix > u->n_decided)
        return false;
    struct wire_frame frame = {.kind = WIRE_DRAFT};
    frame.u.draft = drafter_wire_draft(proposal, u->decided);
    frame.u.draft.utterance = u->id;
    frame.u.draft.window = u->window;
    frame.u.draft.attempt = u->attempt;
    frame.u.draft.number = ++u->draft_number;
    send_frame(client, &frame);
    u->announced = true;
    u->draft_version = version;
    u->draft_nodes = proposal->n_trunk;
    return true;
}

static enum status send_chunk(struct client *client, struct client_utterance *u, uint64_t n,
                              struct error *err)
{
    uint8_t packed[FLAC_BYTES_MAX];
    const int16_t *samples = audio_buffer_at(&u->audio, u->sent);
    struct wire_frame frame = {.kind = WIRE_AUDIO};
    struct wire_audio *audio = &frame.u.audio;
    *audio = (struct wire_audio){.utterance = u->id, .first_sample = u->sent,
                                 .codec = client->options.codec};
    if (client->options.codec == WIRE_FLAC) {
        size_t n_bytes;
        enum status rc = flac_encode(samples, n, packed, &n_bytes, err);
        if (rc != STATUS_OK)
            return rc;
        audio->bytes = packed;
        audio->n_bytes = (uint32_t)n_bytes;
    } else {
        audio->bytes = (uint8_t *)(uintptr_t)samples;
        audio->n_bytes = (uint32_t)(n * sizeof(int16_t));
    }
    send_frame(client, &frame);
    u->announced = true;
    if (client->connected)
        u->sent += n;
    return STATUS_OK;
}

static void send_end(struct client *client, struct client_utterance *u)
{
    struct wire_frame frame = {.kind = WIRE_END_OF_UTTERANCE};
    frame.u.end_of_utterance.utterance = u->id;
    frame.u.end_of_utterance.n_samples = u->audio.end;
    send_frame(client, &frame);
    u->announced = true;
    u->end_sent = true;
}

/* Sends audio while the link's queue is short and the target has room. */
static enum status send_audio(struct client *client, struct client_utterance *u, bool *worked,
                              struct error *err)
{
    while (client->connected && u->sent < u->audio.end) {
        uint64_t limit = MIN(u->audio.end, u->start + client->credit_samples);
        uint64_t n = limit > u->sent ? MIN(limit - u->sent, (uint64_t)CHUNK_SAMPLES) : 0;
        bool whole = n == CHUNK_SAMPLES || u->ended || limit < u->audio.end;
        if (n == 0 || !whole ||
            client->sink.queued(client->sink.context) >= client->options.audio_queue_max)
            return STATUS_OK;
        enum status rc = send_chunk(client, u, n, err);
        if (rc != STATUS_OK)
            return rc;
        *worked = true;
    }
    if (client->connected && u->ended && !u->end_sent && u->sent == u->audio.end)
        send_end(client, u);
    return STATUS_OK;
}

/* ---- work ---- */

/* Tokens that it has drafted beyond the decided ones. */
static uint32_t lead_of(const struct client_utterance *u)
{
    uint32_t version;
    const struct drafter_proposal *proposal = drafter_proposal(u->drafter, &version);
    uint32_t end = proposal->n_prefix + proposal->n_trunk;
    return end > u->n_decided ? end - u->n_decided : 0;
}

static enum status draft_some(struct client *client, bool *worked, struct error *err)
{
    uint32_t ahead = draft_ahead(client);
    for (uint32_t i = 0; ahead > 0 && i < client->n_utterances; i++) {
        struct client_utterance *u = client->utterances[i];
        if (!u->drafter || !drafter_busy(u->drafter) || lead_of(u) >= ahead)
            continue;
        bool drafted;
        const struct drafter_stats *stats = drafter_stats(u->drafter);
        struct drafter_stats before = *stats;
        enum status rc = drafter_step(u->drafter, &drafted, err);
        *worked |= drafted;
        client->depth.decode_us += stats->decode_us - before.decode_us;
        if (client->depth.advice.depth == 0)
            client->depth.probes_left -= (float)(stats->steps - before.steps);
        client->depth.n_drafted += stats->steps - before.steps + stats->recycled - before.recycled;
        return rc;
    }
    return STATUS_OK;
}

static void send_stats(struct client *client, const struct client_utterance *u)
{
    struct wire_frame frame = {.kind = WIRE_STATS};
    struct client_depth *depth = &client->depth;
    uint64_t now = clock_us(&client->engine->clock);
    frame.u.stats = (struct wire_stats){.utterance = u->id, .draft_steps = u->stats.steps,
                                        .draft_rows = u->stats.rows,
                                        .draft_encode_us = u->stats.encode_us,
                                        .draft_decode_us = u->stats.decode_us};
    if (takes_advice(client)) {
        frame.u.stats.rtt_us = (uint32_t)depth->rtt.mean;
        frame.u.stats.rtt_sd_us = (uint32_t)sqrtf(depth->rtt.variance);
        frame.u.stats.draft_step_us =
            (uint32_t)MIN(depth->decode_us / MAX(depth->n_drafted, 1u), (uint64_t)UINT32_MAX);
        frame.u.stats.stamp_us = now;
    }
    depth->decode_us = 0;
    depth->n_drafted = 0;
    depth->told_us = now;
    send_frame(client, &frame);
}

enum status client_step(struct client *client, bool *worked, struct error *err)
{
    *worked = false;
    enum status rc = begin_drafts(client, err);
    if (rc != STATUS_OK)
        return rc;
    if (client->connected && client->opened && client->n_utterances > 0 && takes_advice(client) &&
        clock_us(&client->engine->clock) >= client->depth.told_us + STATS_US)
        send_stats(client, client->utterances[0]);
    /* The target takes utterances in the order in which it hears of them. */
    for (uint32_t i = 0; client->connected && i < client->n_utterances; i++) {
        if (i > 0 && !client->utterances[i - 1]->announced)
            break;
        *worked |= send_draft(client, client->utterances[i]);
    }
    for (uint32_t i = 0; client->connected && i < client->n_utterances; i++) {
        rc = send_audio(client, client->utterances[i], worked, err);
        if (rc != STATUS_OK)
            return rc;
    }
    return draft_some(client, worked, err);
}

/* ---- utterances ---- */

static struct client_utterance *find(const struct client *client, uint32_t id)
{
    for (uint32_t i = 0; i < client->n_utterances; i++)
        if (client->utterances[i]->id == id)
            return client->utterances[i];
    return NULL;
}

static struct client_utterance *newest(const struct client *client)
{
    SA_ASSERT(client->n_utterances > 0);
    return client->utterances[client->n_utterances - 1];
}

bool client_can_begin(const struct client *client)
{
    return client->n_utterances < WIRE_UTTERANCES_MAX &&
           (client->n_utterances == 0 || newest(client)->ended);
}

uint32_t client_begin(struct client *client)
{
    SA_ASSERT(client_can_begin(client));
    struct client_utterance *u = calloc(1, sizeof(*u));
    SA_ASSERT(u);
    u->id = client->id_next++;
    audio_buffer_init(&u->audio, 0);
    client->utterances[client->n_utterances++] = u;
    return u->id;
}

uint64_t client_room(const struct client *client)
{
    const struct client_utterance *u = newest(client);
    uint64_t held = u->audio.end > u->start ? u->audio.end - u->start : 0;
    return held < HELD_SAMPLES ? HELD_SAMPLES - held : 0;
}

enum status client_audio(struct client *client, const int16_t *samples, uint64_t n,
                         struct error *err)
{
    struct client_utterance *u = newest(client);
    SA_ASSERT(!u->ended);
    return audio_buffer_append(&u->audio, u->audio.end, samples, n, 2 * HELD_SAMPLES, err);
}

void client_end(struct client *client)
{
    newest(client)->ended = true;
}

static void remove_utterance(struct client *client, struct client_utterance *u)
{
    return_drafter(client, u);
    for (uint32_t i = 0; i < client->n_utterances; i++) {
        if (client->utterances[i] != u)
            continue;
        client->n_utterances--;
        memmove(&client->utterances[i], &client->utterances[i + 1],
                (client->n_utterances - i) * sizeof(client->utterances[0]));
    }
    free_utterance(u);
}

void client_cancel(struct client *client, uint32_t utterance)
{
    struct client_utterance *u = find(client, utterance);
    if (!u)
        return;
    struct wire_frame frame = {.kind = WIRE_CANCEL};
    frame.u.cancel.utterance = utterance;
    if (u->announced)                       /* else it would close the door to older ones */
        send_frame(client, &frame);
    remove_utterance(client, u);
}

uint32_t client_n_open(const struct client *client)
{
    return client->n_utterances;
}

uint64_t client_round_trip_us(const struct client *client)
{
    return (uint64_t)client->depth.rtt.mean;
}

bool client_expects(const struct client *client)
{
    for (uint32_t i = 0; i < client->n_utterances; i++)
        if (client->utterances[i]->announced)
            return true;
    return false;
}

bool client_look(const struct client *client, uint32_t utterance, struct client_view *view)
{
    const struct client_utterance *u = find(client, utterance);
    *view = (struct client_view){0};
    if (!u)
        return false;
    view->decided = u->decided;
    view->n_decided = u->n_decided;
    if (!u->drafter)
        return true;
    uint32_t version;
    const struct drafter_proposal *proposal = drafter_proposal(u->drafter, &version);
    uint32_t passed = u->n_decided - MIN(proposal->n_prefix, u->n_decided);
    if (proposal->n_prefix <= u->n_decided && passed < proposal->n_trunk) {
        view->drafted = proposal->nodes + passed;
        view->n_drafted = proposal->n_trunk - passed;
    }
    return true;
}

/* ---- frames in ---- */

static enum status receive_opened(struct client *client, const struct wire_opened *opened,
                                  struct error *err)
{
    if (opened->version < WIRE_VERSION_MIN || opened->version > WIRE_VERSION_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "the target speaks protocol version %u",
                         opened->version);
    if (client->opened)
        return error_set(err, STATUS_CORRUPT, "the target opened the session twice");
    if (opened->audio_credit < CREDIT_BYTES)
        return error_set(err, STATUS_CORRUPT, "the target has room for %u bytes of audio, less "
                         "than a window of %d", opened->audio_credit, CREDIT_BYTES);
    client->opened = true;
    client->credit_samples = opened->audio_credit / (uint32_t)sizeof(int16_t);
    for (uint32_t i = 0; i < opened->n_next; i++) {
        struct client_utterance *u = find(client, opened->next[i].utterance);
        uint64_t next = opened->next[i].next_sample;
        if (u && next > u->sent && next <= u->audio.end)
            u->sent = next;
    }
    if (client->events.opened)
        client->events.opened(client->events.context, opened);
    return STATUS_OK;
}

static enum status receive_decided(struct client *client, const struct wire_decided *decided,
                                   struct error *err)
{
    struct client_utterance *u = find(client, decided->utterance);
    if (!u || decided->window < u->window)
        return STATUS_OK;
    if (decided->window > u->window || decided->attempt < u->attempt)
        return error_set(err, STATUS_CORRUPT,
                         "the target decides window %u, attempt %u out of order", decided->window,
                         decided->attempt);
    u->begun = true;
    if (decided->attempt > u->attempt) {
        u->attempt = decided->attempt;
        u->n_decided = 0;
    }
    client->depth.probes_left =
        fminf(client->depth.probes_left + (float)decided->n_tokens / DEPTH_PROBE_EVERY,
              DEPTH_PROBE_DEPTH);
    if (decided->n_before != u->n_decided || decided->n_tokens > WIRE_TOKENS_MAX - u->n_decided)
        return error_set(err, STATUS_CORRUPT, "the target decided tokens %u.. after %u of them",
                         decided->n_before, u->n_decided);
    memcpy(u->decided + u->n_decided, decided->tokens, decided->n_tokens * sizeof(int32_t));
    u->n_decided += decided->n_tokens;
    memcpy(u->language, decided->language, sizeof(u->language));
    if (client->options.rules.lockstep && decided->n_tokens > 0)
        u->draft_version = 0;               /* each pass takes a fresh tree: send the rest again */
    return u->drafter ? drafter_follow(u->drafter, u->decided, u->n_decided, err) : STATUS_OK;
}

static enum status receive_window_final(struct client *client,
                                        const struct wire_window_final *final, struct error *err)
{
    struct client_utterance *u = find(client, final->utterance);
    if (!u || final->window < u->window)
        return STATUS_OK;                   /* committed before a reconnect */
    /* Times may point behind the audio, but only where it has ended. */
    uint64_t end = u->audio.end + (u->ended ? WINDOW_SAMPLES : 0);
    if (final->window > u->window || final->window_start != u->start ||
        final->next_start <= u->start || final->next_start > end ||
        wire_hash(final->tokens, final->n_tokens) != final->digest)
        return error_set(err, STATUS_CORRUPT, "the target's window %u does not fit the audio sent",
                         final->window);
    if (client->events.window_final)
        client->events.window_final(client->events.context, final);
    if (u->drafter && final->attempt == 0 && final->temperature <= 0.0f)
        drafter_learn(u->drafter, final->tokens, final->n_tokens);
    return_drafter(client, u);
    u->begun = false;
    u->window++;
    u->attempt = 0;
    u->n_decided = 0;
    u->start = final->next_start;
    u->n_prompt = final->n_prompt;
    memcpy(u->prompt, final->prompt, final->n_prompt * sizeof(int32_t));
    memcpy(u->language, final->language, sizeof(u->language));
    audio_buffer_drop(&u->audio, u->start);
    u->sent = MAX(u->sent, u->start);
    return STATUS_OK;
}

static enum status receive_utterance_final(struct client *client,
                                           const struct wire_utterance_final *final,
                                           struct error *err)
{
    uint32_t id = final->utterance;
    struct client_utterance *u = find(client, id);
    if (!u)
        return STATUS_OK;
    if (!u->end_sent || final->n_windows != u->window)
        return error_set(err, STATUS_CORRUPT, "utterance %u was ended behind window %u of %u", id,
                         final->n_windows, u->window);
    return_drafter(client, u);
    if (client->options.rules.use_drafts)
        send_stats(client, u);
    struct drafter_stats stats = u->stats;
    remove_utterance(client, u);
    if (client->events.utterance_final)
        client->events.utterance_final(client->events.context, id, &stats);
    return STATUS_OK;
}

static enum status receive_error(struct client *client, const struct wire_error *error,
                                 struct error *err)
{
    if (error->fatal)
        return error_set(err, error->code, "%s", error->message);
    struct client_utterance *u = find(client, error->utterance);
    if (!u)
        return STATUS_OK;
    remove_utterance(client, u);
    if (client->events.failed)
        client->events.failed(client->events.context, error);
    return STATUS_OK;
}

static void receive_price(struct client *client, const struct wire_price *price)
{
    float factor = client->options.rules.row_price;
    struct drafter_price costs = {
        .step_us = (float)price->step_us + (float)price->queue_us,
        .row_us = (float)price->row_us * (factor < 0.0f ? 1.0f : factor)};
    for (uint32_t i = 0; i < DRAFTERS && client->drafters[i]; i++)
        drafter_set_price(client->drafters[i], costs);
    client->depth.advice = (struct depth_advice){.depth = price->depth, .width = price->width};
    if (!takes_advice(client) || price->echo_us == 0)
        return;
    uint64_t now = clock_us(&client->engine->clock);
    if (price->echo_us <= now && now - price->echo_us < ECHO_MAX_US)
        depth_mean_observe(&client->depth.rtt, now, (float)(now - price->echo_us),
                           DEPTH_CLIENT_MEMORY_US);
}

enum status client_receive(struct client *client, const struct wire_frame *frame,
                           struct error *err)
{
    switch (frame->kind) {
    case WIRE_OPENED:
        return receive_opened(client, &frame->u.opened, err);
    case WIRE_DECIDED:
        return receive_decided(client, &frame->u.decided, err);
    case WIRE_WINDOW_FINAL:
        return receive_window_final(client, &frame->u.window_final, err);
    case WIRE_UTTERANCE_FINAL:
        return receive_utterance_final(client, &frame->u.utterance_final, err);
    case WIRE_NEED_FULL: {
        struct client_utterance *u = find(client, frame->u.need_full.utterance);
        if (u)
            u->draft_version = 0;
        return STATUS_OK;
    }
    case WIRE_DRAIN:
        if (client->events.drain)
            client->events.drain(client->events.context, frame->u.drain.grace_ms);
        return STATUS_OK;
    case WIRE_ERROR:
        return receive_error(client, &frame->u.error, err);
    case WIRE_PRICE:
        receive_price(client, &frame->u.price);
        return STATUS_OK;
    case WIRE_CANCELLED:
    case WIRE_ALIVE:
        return STATUS_OK;
    default:
        return error_set(err, STATUS_CORRUPT, "a %s frame from the target",
                         wire_kind_name(frame->kind));
    }
}
