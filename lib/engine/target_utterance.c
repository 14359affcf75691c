/* target_utterance.c: one utterance on the target, window by window, attempt by attempt.
 *
 * What is decided streams out as Decided frames; what is committed goes out once, as WindowFinal.
 * The proposals of a window come from one source: the newest client draft, aligned to what is
 * decided (spec/realign.h), so that after a mismatch the rest of the draft goes on without a
 * network round.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/target_int.h"

enum {
    PATIENCE_US = 15000000,                 /* --wait-draft, --lockstep: then without a draft */
    DECIDED_INTERVAL_US = 50000
};

/* A proposed node that is accepted less often is one row too many: from 0.05 to 0 tokens per pass
 * rise by a tenth and rows per token double (docs/SPEED.md). */
static const float survival_min = 0.05f;

/* The shortest wait for a draft so far is forgotten by so much with each that follows. */
static const float longer = 1.05f;

/* What a pass adds to the rate of late is forgotten by so much with each that follows; and what it
 * is believed to be at first weighs as much as so many tokens. */
static const float late_kept = 0.9f, prior_tokens = 16.0f;

/* Steps of a draft model in plain steps: of one, and of as many as the client sends at once. */
static const float first_token = 0.15f, few_tokens = 2.0f;

static const struct model_description *model_of(const struct target_session *session)
{
    return session->target->engine->description;
}

static uint64_t now_us(const struct target_session *session)
{
    return clock_us(&session->target->engine->clock);
}

/* ---- life ---- */

static void clear_sources(struct utterance *u)
{
    spec_source_clear(&u->newest);
    spec_source_clear(&u->former);
}

static void adopt_claim(struct target_session *session, struct utterance *u,
                        const struct wire_resume *resume)
{
    const struct model_description *model = model_of(session);
    u->window = resume->window;
    u->start = resume->window_start;
    u->previous.n = MIN(resume->n_prompt, (uint32_t)WINDOW_PROMPT_MAX);
    memcpy(u->previous.tokens, resume->prompt, u->previous.n * sizeof(int32_t));
    /* Before the first window is committed nothing is known of the language. */
    if (u->window > 0 && session->language < 0 && resume->language[0])
        u->language =
            tokenizer_language_token(session->target->engine->tokenizer, resume->language);
    /* What the client saw decided is a proposal like any other, for attempt 0: decided anew. */
    u->draft = (struct spec_draft){.number = 1, .window = resume->window, .complete = true};
    struct spec_chain chain = {.token = resume->decided, .n = resume->n_decided};
    if (chain.n == 0 || spec_tree_from_chain(&u->draft.tree, SPEC_NODES_MAX, chain) == 0 ||
        !spec_tree_valid(&u->draft.tree, SPEC_NODES_MAX, model->n_vocab))
        spec_draft_clear(&u->draft);
    if (resume->attempt == 0) {
        u->n_claimed = resume->n_decided;
        memcpy(u->claimed, resume->decided, resume->n_decided * sizeof(int32_t));
    }
}

enum status utterance_new(struct target_session *session, uint32_t id,
                          const struct wire_resume *resume, struct utterance **out,
                          struct error *err)
{
    struct utterance *u = calloc(1, sizeof(*u));
    if (!u)
        return error_set(err, STATUS_NO_MEMORY, "no memory for an utterance");
    u->id = id;
    u->language = session->language;
    spec_draft_clear(&u->draft);
    if (resume)
        adopt_claim(session, u, resume);
    bool whole = u->window == 0 && u->start == 0 && u->previous.n == 0;
    if (whole)                              /* all of its audio will come */
        audit_begin(session, u);
    audio_buffer_init(&u->audio, u->start);
    clear_sources(u);
    spec_balance_start(&u->balance, &session->target->cost);
    *out = u;
    return STATUS_OK;
}

void utterance_free(struct utterance **utterance)
{
    if (*utterance) {
        audit_drop(*utterance);
        audio_buffer_release(&(*utterance)->audio);
    }
    free(*utterance);
    *utterance = NULL;
}

/* ---- phases ---- */

static void finish_utterance(struct target_session *session, struct utterance *u)
{
    u->phase = PHASE_DONE;
    audit_end(u);
    struct wire_frame frame = {.kind = WIRE_UTTERANCE_FINAL};
    frame.u.utterance_final.utterance = u->id;
    frame.u.utterance_final.n_windows = u->window;
    session_send(session, &frame);
}

void utterance_listen(struct target_session *session, struct utterance *u)
{
    if (u->phase != PHASE_LISTEN)
        return;
    uint64_t held = u->audio.end > u->start ? u->audio.end - u->start : 0;
    if (!u->ended && held < WINDOW_SAMPLES)
        return;
    if (u->ended && window_samples(u->start, u->audio.end) == 0) {
        if (u == session_current(session))  /* they end in the order in which they began */
            finish_utterance(session, u);
        return;
    }
    u->phase = PHASE_ENCODE;
    u->times = (struct window_times){.ready_us = now_us(session)};
    memset(&u->stats, 0, sizeof(u->stats));
    u->stats.rounds = 1;
}

void utterance_features(struct target_session *session, struct utterance *u, float *features)
{
    uint64_t n = MIN(u->audio.end - u->start, (uint64_t)WINDOW_SAMPLES);
    mel_compute(session->target->engine->mel, audio_buffer_at(&u->audio, u->start), n,
                WINDOW_FRAMES, features);
}

/* What is decided and not yet told. */
static void send_decided(struct target_session *session, struct utterance *u)
{
    struct wire_frame frame = {.kind = WIRE_DECIDED};
    struct wire_decided *decided = &frame.u.decided;
    const struct attempt *attempt = &u->attempt;
    decided->utterance = u->id;
    decided->window = u->window;
    decided->attempt = u->n_attempts;
    decided->n_before = u->n_sent;
    decided->n_tokens = attempt->n_decided - u->n_sent;
    memcpy(decided->tokens, attempt->decided + u->n_sent, decided->n_tokens * sizeof(int32_t));
    u->n_sent = attempt->n_decided;
    u->sent_us = now_us(session);
    decided->draft_number = session->colocated ? 0 : u->draft.number;
    decided->window_start = u->start;
    decided->audio_received = u->audio.end;
    const char *code = tokenizer_language_code(session->target->engine->tokenizer, u->language);
    if (code)
        memcpy(decided->language, code, strlen(code) + 1);
    session_send(session, &frame);
}

static struct rules rules_for(const struct target_session *session, const struct utterance *u)
{
    const struct engine *engine = session->target->engine;
    struct rules rules = rules_default(engine->description, engine->masks);
    rules.timestamps = session->ask.timestamps;
    rules.max_initial_timestamp = WINDOW_FIRST_TIMESTAMP_MAX;
    rules.temperature = session->ask.temperature +
                        (float)u->n_attempts * session->limits.temperature_step;
    rules.seed = session->ask.seed;
    rules.window = u->window;
    rules.attempt = u->n_attempts;
    return rules;
}

static struct spec_realign realign_for(struct target_session *session)
{
    const struct special_tokens *special = &model_of(session)->special;
    struct spec_realign how = spec_realign_default(
        special->end, session->ask.timestamps ? special->timestamp_begin : -1);
    how.calibration = &session->calibration;
    return how;
}

/* The draft in the mailbox becomes the newest source of proposals. What a redraft replaces stays as
 * the former one: it may reach further than the new draft has grown. */
static void load_source(struct target_session *session, struct utterance *u)
{
    struct spec_realign how = realign_for(session);
    u->draft_tried = false;
    if (u->draft.number == 0 || u->phase != PHASE_DECODE)
        return;
    if (u->draft.n_prefix != u->newest_prefix)
        u->former = u->newest;
    u->newest_prefix = u->draft.n_prefix;
    if (!spec_source_load(&u->newest, &how, &u->draft, u->attempt.decided, u->attempt.n_decided))
        u->stats.drafts_dropped++;
}

static void begin_attempt(struct target_session *session, struct utterance *u)
{
    struct rules rules = rules_for(session, u);
    struct attempt_prompt prompt = {.previous = &u->previous, .language = u->language,
                                    .translate = session->ask.translate};
    u->phase = PHASE_DECODE;
    attempt_begin(&u->attempt, session->sequence, &rules, &prompt);
    clear_sources(u);
    u->newest_prefix = 0;
    depth_begin(session);
    load_source(session, u);
    u->n_sent = 0;
    send_decided(session, u);
}

void utterance_encoded(struct target_session *session, struct utterance *u)
{
    u->times.encoded_us = now_us(session);
    u->times.order = ++session->target->n_ordered;
    if (model_of(session)->multilingual && u->language < 0) {
        struct rules rules = rules_for(session, u);
        u->phase = PHASE_DETECT;
        attempt_begin_detection(&u->attempt, session->sequence, &rules);
        return;
    }
    begin_attempt(session, u);
}

/* ---- drafts ---- */

static bool same_prefix(const struct utterance *u, const struct wire_draft *draft)
{
    uint32_t n = u->phase == PHASE_DECODE ? u->attempt.n_decided : 0;
    return draft->n_prefix <= n &&
           wire_hash(u->attempt.decided, draft->n_prefix) == draft->prefix_hash;
}

static void ask_full(struct target_session *session, const struct utterance *u)
{
    struct wire_frame frame = {.kind = WIRE_NEED_FULL};
    frame.u.need_full.utterance = u->id;
    frame.u.need_full.window = u->window;
    frame.u.need_full.attempt = u->n_attempts;
    session_send(session, &frame);
}

static void learn_delay(float *habit, uint64_t since_us, uint64_t at_us)
{
    if (since_us == 0 || at_us < since_us)
        return;
    float us = (float)(at_us - since_us);
    *habit = *habit == 0.0f ? us : *habit + 0.25f * (us - *habit);
}

static void draft_arrived(struct target_session *session, struct utterance *u,
                          const struct wire_draft *draft)
{
    if (draft->n_prefix == 0 && draft->complete)
        learn_delay(&session->habits.first_us, u->times.ready_us, now_us(session));
    else if (u->times.surprised_us)
        learn_delay(&session->habits.again_us, u->times.surprised_us, now_us(session));
    u->times.surprised_us = 0;
    load_source(session, u);
}

void utterance_draft(struct target_session *session, struct utterance *u,
                     const struct wire_draft *draft)
{
    /* A draft that came before its window began (listening, encoding) waits in the mailbox. */
    if (u->phase == PHASE_DONE || draft->window != u->window || draft->attempt != u->n_attempts) {
        u->stats.drafts_dropped++;
        return;
    }
    /* A delta adds to all of its base: one that keeps less is asked for whole. */
    bool whole_base = draft->base == 0 || draft->n_base == u->draft.tree.n;
    if (!same_prefix(u, draft) || !whole_base) {
        u->stats.drafts_dropped++;
        ask_full(session, u);
        return;
    }
    struct spec_draft next = {.number = draft->number, .window = draft->window,
                              .attempt = draft->attempt, .n_prefix = draft->n_prefix,
                              .complete = draft->complete};
    next.tree.n = draft->n_nodes;
    for (uint32_t i = 0; i < draft->n_nodes; i++)
        next.tree.node[i] = (struct spec_node){.token = draft->nodes[i].token,
                                               .parent = (int16_t)draft->nodes[i].parent,
                                               .confidence = draft->nodes[i].confidence};
    switch (spec_draft_arrive(&u->draft, &next, draft->base, model_of(session)->n_vocab)) {
    case SPEC_ARRIVAL_TAKEN:
        draft_arrived(session, u, draft);
        break;
    case SPEC_ARRIVAL_NEED_FULL:
        ask_full(session, u);
        u->stats.drafts_dropped++;
        break;
    case SPEC_ARRIVAL_STALE:
    case SPEC_ARRIVAL_REFUSED:
        u->stats.drafts_dropped++;
        break;
    }
}

/* ---- passes ---- */

static struct spec_walk walk_draft(const struct utterance *u)
{
    return spec_draft_walk(&u->draft, u->attempt.decided, u->attempt.n_decided);
}

/* Has the text left the draft, or come to an end of it that is not the text's (behind a second
 * choice, say)? A client that hears of this drafts anew; a draft of nothing says that there is no
 * more to come. */
static bool draft_used_up(const struct target_session *session, const struct utterance *u)
{
    struct spec_walk walk = walk_draft(u);
    int32_t end = model_of(session)->special.end;
    return u->draft.tree.n > 0 && (!walk.agrees || !spec_draft_goes_on(&u->draft, walk.node, end));
}

/* When the client's next draft is expected; false: it owes none. */
static bool draft_due(const struct target_session *session, const struct utterance *u,
                      uint64_t *at_us)
{
    const struct draft_habits *habits = &session->habits;
    if (!session->ask.use_drafts)
        return false;
    bool first = u->draft.number == 0 || (!u->draft.complete && u->attempt.n_decided == 0);
    float delay = first ? habits->first_us : habits->again_us;
    uint64_t since = first ? u->times.ready_us : u->times.surprised_us;
    *at_us = since + (uint64_t)delay;
    if (session->mode == SPEC_MODE_LOCKSTEP)
        return first || u->draft_tried;
    if (session->mode == SPEC_MODE_WAIT_DRAFT)
        return first;
    if (session->mode == SPEC_MODE_TURNS)
        return first || draft_used_up(session, u);
    return delay > 0.0f && since != 0 && *at_us > now_us(session);
}

/* The client's own tree, or a pass that is to decide as much as it can. */
static bool takes_all(const struct target_session *session)
{
    return session->ask.verbatim || session->mode == SPEC_MODE_WAIT_DRAFT;
}

/* One after the other, a draft that the text has left is none, tried or not. */
static bool is_fresh(const struct target_session *session, const struct utterance *u)
{
    bool turns = session->mode == SPEC_MODE_LOCKSTEP || session->mode == SPEC_MODE_TURNS;
    return u->draft.number > 0 && !u->draft_tried && (!turns || walk_draft(u).agrees);
}

/* What one more question costs. The shortest waits were for a few tokens, which need their steps
 * anyway, and for the way there and back; a first step of the draft model is always lost. */
static float asking_us(const struct target_session *session)
{
    float step_us = spec_cost_us(&session->target->cost, 1);
    float way_us = session->habits.shortest_us - few_tokens * step_us;
    return fmaxf(way_us, first_token * step_us);
}

/* Nodes that this session may have in a pass, whatever they cost. */
static uint32_t nodes_max(const struct target_session *session, const struct utterance *u)
{
    uint32_t n = MIN(attempt_nodes_max(&u->attempt, BACKEND_ROWS_MAX), depth_nodes_max(session));
    uint32_t rows = session->ask.rows_max;
    return rows > 0 ? MIN(n, rows - MIN(attempt_pending(&u->attempt), rows)) : n;
}

/* Tokens a microsecond of passes and waits of late; before there are any, as if they had been
 * twice as fast as plain steps. */
static float rate_of_late(const struct target_session *session)
{
    const struct draft_habits *habits = &session->habits;
    float prior_us = prior_tokens / 2.0f * spec_cost_us(&session->target->cost, 1);
    return (prior_tokens + habits->late_tokens) / (prior_us + habits->late_us);
}

static struct spec_turn decide_turn(struct target_session *session, struct utterance *u)
{
    struct target *target = session->target;
    struct spec_turn_ask ask = {
        .mode = session->mode,
        .now_us = now_us(session),
        .tree = &u->tree,
        .cost = &target->cost,
        .balance = &u->balance,
        .n_fixed = MIN(attempt_pending(&u->attempt), (uint32_t)BACKEND_ROWS_MAX),
        .n_nodes_max = nodes_max(session, u),
        .row_price = session->ask.row_price,
        .rate = session->mode == SPEC_MODE_TURNS ? rate_of_late(session) : 0.0f,
        .survival_min = takes_all(session) ? 0.0f : survival_min,
        .window_begun = u->attempt.n_decided > 0,
        .draft_fresh = is_fresh(session, u),
        .draft_complete = u->draft.complete,
        .end = model_of(session)->special.end,
        .draft_tokens = session->habits.tokens,
        .asking_us = asking_us(session),
    };
    bool waits = session->mode != SPEC_MODE_FREE || !target->encoder_wanted;
    ask.draft_due =
        waits && depth_nodes_max(session) > 0 && draft_due(session, u, &ask.draft_at_us);
    if (!target->lacks_slots)
        ask.patience_us = MAX(u->times.encoded_us, u->times.surprised_us) + PATIENCE_US;
    return spec_turn(&ask);
}

static void begin_wait(struct target_session *session, struct utterance *u, uint64_t until_us)
{
    u->waiting_until_us = until_us;
    if (u->waiting)
        return;
    if (u->n_sent < u->attempt.n_decided)
        send_decided(session, u);
    u->waiting = true;
    u->waiting_since_us = now_us(session);
    /* The first draft of an utterance travels beside its audio: no exchange of its own. */
    if (u->attempt.n_decided > 0 || u->window > 0)
        u->stats.rounds++;
}

static void learn_asking(struct draft_habits *habits, float us)
{
    habits->shortest_us = habits->shortest_us > 0.0f ? fminf(longer * habits->shortest_us, us) : us;
}

static void end_wait(struct target_session *session, struct utterance *u)
{
    uint64_t now = now_us(session);
    float us = (float)(now - u->waiting_since_us);
    /* What it did not mean to wait was the target's own time, a slice of another one's encoder. */
    if (u->waiting && session->mode == SPEC_MODE_FREE)
        spec_balance_wait(&u->balance,
                          (float)(MIN(now, u->waiting_until_us) - u->waiting_since_us));
    if (u->waiting && u->attempt.n_decided > 0) {
        learn_asking(&session->habits, us);
        session->habits.late_us += us;
    }
    u->waiting = false;
}

/* The client's tree as it came, as far as the decided text goes along with it. */
static void propose_verbatim(const struct target_session *session, struct utterance *u)
{
    if (u->draft.number == 0 || (session->mode == SPEC_MODE_LOCKSTEP && u->draft_tried))
        return;
    struct spec_walk walk = walk_draft(u);
    if (!walk.agrees)
        return;
    spec_draft_rest(&u->draft, walk.node, &u->tree);
    spec_calibration_apply(&session->calibration, &u->tree);
}

static void propose(struct target_session *session, struct utterance *u)
{
    struct spec_realign how = realign_for(session);
    uint32_t n_max = attempt_nodes_max(&u->attempt, BACKEND_ROWS_MAX);
    spec_tree_clear(&u->tree);
    if (session->mode == SPEC_MODE_ALONE)
        return;
    if (session->ask.verbatim) {
        propose_verbatim(session, u);
        return;
    }
    const struct spec_source *sources[2];
    uint32_t n = 0;
    if (spec_source_useful(&u->newest))
        sources[n++] = &u->newest;
    if (spec_source_useful(&u->former))
        sources[n++] = &u->former;
    struct spec_caps caps = {.n_nodes = MIN(n_max, (uint32_t)SPEC_ROWS_MAX - 1), .n_depth = n_max};
    if (n_max > 0 && n > 0)
        spec_propose_from(sources, n, &how, caps, &u->tree);
}

/* Nodes that this session may have: all that its balance pays for, and the pass decides which of
 * them are worth it (spec/pick.h). What a client asks for by its own price is taken as it is. */
static void offer_nodes(struct target_session *session, struct utterance *u,
                        const struct spec_turn *turn, struct spec_offer *offer)
{
    spec_tree_survival(&u->tree, u->survival);
    bool by_cost = session->ask.row_price < 0.0f &&
                   (session->mode == SPEC_MODE_FREE || session->mode == SPEC_MODE_WAIT_DRAFT);
    if (by_cost)
        offer->n_nodes = spec_pick_cap(&session->target->cost, offer->n_fixed,
                                       spec_balance_risk(&u->balance),
                                       takes_all(session) ? 0.0f : survival_min, u->survival,
                                       MIN(u->tree.n, nodes_max(session, u)));
    else if (turn->action == SPEC_VERIFY)
        offer->n_nodes = offer->n_asked = MIN(turn->n_nodes, u->tree.n);
    offer->survival = u->survival;
}

bool utterance_offer(struct target_session *session, struct utterance *u, struct spec_offer *offer,
                     uint64_t *until_us)
{
    *offer = (struct spec_offer){.turn = session->turn,
                                 .order = MAX(u->times.order, session->owner->order),
                                 .n_fixed = attempt_pending(&u->attempt)};
    if (u->phase == PHASE_DETECT)
        return true;
    propose(session, u);
    if (offer->n_fixed == 1)                /* before, it is too early to have a draft */
        depth_offer(session, &u->tree);
    struct spec_turn turn = decide_turn(session, u);
    if (turn.action == SPEC_WAIT) {
        begin_wait(session, u, turn.until_us);
        *until_us = turn.until_us;
        return false;
    }
    end_wait(session, u);
    offer_nodes(session, u, &turn, offer);
    return true;
}

void utterance_take(struct target_session *session, struct utterance *u, uint32_t n_rows)
{
    uint32_t pending = attempt_pending(&u->attempt);
    u->times.rows_us = now_us(session);
    u->times.order = session->owner->order = ++session->target->n_ordered;
    if (u->phase == PHASE_DETECT)
        spec_tree_clear(&u->tree);
    u->tree.n = MIN(u->tree.n, n_rows > pending ? n_rows - pending : 0);
    (void)attempt_offer_rows(&u->attempt, u->tree.n > 0 ? &u->tree : NULL, n_rows,
                             &session->target->pass);
}

static void detected(struct target_session *session, struct utterance *u)
{
    u->language = u->attempt.decided[0];
    begin_attempt(session, u);
}

static void learn_rate(struct draft_habits *habits, uint32_t n_new, float us)
{
    habits->late_tokens = late_kept * habits->late_tokens + (float)n_new;
    habits->late_us = late_kept * habits->late_us + us;
}

/* Bookkeeping of a pass that decided tokens; true: the text has left the draft, which the client
 * should know at once. */
static bool learn_pass(struct target_session *session, struct utterance *u, uint32_t n_new,
                       float us)
{
    const struct attempt *attempt = &u->attempt;
    struct spec_realign how = realign_for(session);
    const struct spec_cost *cost = &session->target->cost;
    /* an interrupted pass says nothing about drafts */
    us = fminf(us, spec_cost_us(cost, attempt->n_pending + attempt->tree.n));
    learn_rate(&session->habits, n_new, us);
    if (attempt->tree.n > 0) {
        spec_balance_pass(&u->balance, cost, attempt->n_pending, n_new, us);
        if (!u->draft_tried)
            session->habits.tokens += 0.25f * ((float)n_new - session->habits.tokens);
        u->draft_tried = true;
        u->stats.drafts_used++;
    }
    spec_source_follow(&u->newest, &how, attempt->decided + attempt->n_decided - n_new, n_new);
    spec_source_follow(&u->former, &how, attempt->decided + attempt->n_decided - n_new, n_new);
    if (u->newest.number == 0 || u->newest.n_agreed >= n_new || u->times.surprised_us != 0)
        return false;
    u->times.surprised_us = now_us(session);
    return true;
}

/* A frame costs both sides a tenth of a small model's step: what the client expects anyway is
 * told in lots, as often as a person can see. WindowFinal tells the rest. */
static bool worth_telling(const struct target_session *session, const struct utterance *u,
                          bool surprised)
{
    if (session->mode == SPEC_MODE_TURNS)   /* what the client hears sets it to work: when asked */
        return false;
    return surprised || session->mode == SPEC_MODE_LOCKSTEP ||
           now_us(session) >= u->sent_us + DECIDED_INTERVAL_US;
}

/* ---- verdicts ---- */

/* The window's text is that of its segments, one after the other. text[WIRE_TEXT_MAX]. */
static void write_segments(const struct engine *engine, const struct window_cut *cut,
                           struct wire_window_final *final, char *text)
{
    size_t n_text = 0;
    text[0] = '\0';
    final->n_segments = MIN(cut->n_segments, (uint32_t)WIRE_SEGMENTS_MAX);
    for (uint32_t i = 0; i < final->n_segments; i++) {
        const struct window_segment *segment = &cut->segments[i];
        size_t n = engine_text(engine, cut->tokens + segment->first_token, segment->n_tokens,
                               text + n_text, WIRE_TEXT_MAX - n_text);
        final->segments[i] = (struct wire_segment){
            .start = segment->start, .end = segment->end,
            .first_token = segment->first_token, .n_tokens = segment->n_tokens,
            .first_byte = (uint32_t)n_text, .n_bytes = (uint32_t)n};
        n_text += n;
    }
}

static void send_final(struct target_session *session, struct utterance *u,
                       const struct window_cut *cut, const struct window_attempt *was, bool skipped)
{
    char text[WIRE_TEXT_MAX];
    struct wire_frame frame = {.kind = WIRE_WINDOW_FINAL};
    struct wire_window_final *final = &frame.u.window_final;
    const struct engine *engine = session->target->engine;
    final->utterance = u->id;
    final->window = u->window;
    final->attempt = u->n_attempts;
    final->window_start = u->start;
    final->next_start = cut->next_start;
    final->n_tokens = cut->n_tokens;
    memcpy(final->tokens, cut->tokens, cut->n_tokens * sizeof(int32_t));
    write_segments(engine, cut, final, text);
    final->text = text;
    final->digest = wire_hash(cut->tokens, cut->n_tokens);
    final->n_prompt = u->previous.n;
    memcpy(final->prompt, u->previous.tokens, u->previous.n * sizeof(int32_t));
    const char *code = tokenizer_language_code(engine->tokenizer, u->language);
    if (code)
        memcpy(final->language, code, strlen(code) + 1);
    final->temperature = was->temperature;
    final->mean_logprob = was->mean_logprob;
    final->no_speech = was->no_speech;
    final->compression_ratio = was->compression_ratio;
    final->skipped = skipped;
    final->stats = u->stats;
    audit_window(u, final);
    session_send(session, &frame);
}

static bool is_blank(const void *tokenizer, int32_t token)
{
    size_t n;
    const uint8_t *bytes = tokenizer_bytes(tokenizer, token, &n);
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != ' ' && (bytes[i] < '\t' || bytes[i] > '\r'))
            return false;
    return true;
}

static void finish_window(struct target_session *session, struct utterance *u,
                          const struct window_attempt *was, bool skipped)
{
    struct window_cut cut = {0};
    uint64_t n_samples = MIN(u->audio.end - u->start, (uint64_t)WINDOW_SAMPLES);
    const struct attempt *attempt = &u->attempt;
    struct window_decoded decoded = {
        .tokens = attempt->decided, .n_tokens = attempt_n_text(attempt),
        .start = u->start, .n_samples = n_samples,
        .blank = is_blank, .context = session->target->engine->tokenizer};
    if (skipped)
        cut.next_start = u->start + n_samples;
    else
        window_cut(model_of(session), &decoded, &cut);
    if (!skipped)                           /* silence neither adds to the prompt nor ends it */
        window_prompt_update(&u->previous, &session->limits, was->temperature, cut.tokens,
                             cut.n_tokens);
    send_final(session, u, &cut, was, skipped);
    target_learn(&session->target->mean.passes, (float)u->stats.passes);
    u->window++;
    u->n_attempts = 0;
    u->start = cut.next_start;
    u->phase = PHASE_LISTEN;
    u->times = (struct window_times){0};
    spec_draft_clear(&u->draft);
    clear_sources(u);
    audio_buffer_drop(&u->audio, u->start);
    utterance_listen(session, u);
}

/* A sampled attempt repeats much of the one before: that is the best proposal at hand. */
static void propose_again(struct utterance *u)
{
    uint32_t n = MIN(u->attempt.n_decided, (uint32_t)SPEC_NODES_MAX);
    u->draft.n_prefix = 0;
    u->draft.complete = true;
    u->draft.number = MAX(u->draft.number, 1u);
    struct spec_chain chain = {.token = u->attempt.decided, .n = n};
    spec_tree_from_chain(&u->draft.tree, SPEC_NODES_MAX, chain);
}

/* decoding.py measures the text without the white space around it. */
static float text_ratio(const char *text, size_t n)
{
    static const char blanks[] = " \t\n\v\f\r";
    size_t first = strspn(text, blanks);
    while (n > first && strchr(blanks, text[n - 1]))
        n--;
    return window_compression_ratio(text + first, n - first);
}

/* A resumed client has shown these tokens: that they were others is told, never silent. */
static void check_claim(struct utterance *u)
{
    const struct attempt *attempt = &u->attempt;
    bool same = u->n_claimed <= attempt->n_decided &&
                memcmp(u->claimed, attempt->decided, u->n_claimed * sizeof(int32_t)) == 0;
    if (!same) {
        u->stats.claims_differing++;
        log_line(LOG_WARN, "utterance %u, window %u: the %u tokens that a resuming client claimed "
                 "are not those of this target", u->id, u->window, u->n_claimed);
    }
    u->n_claimed = 0;
}

static void judge(struct target_session *session, struct utterance *u)
{
    if (u->n_attempts == 0 && u->n_claimed > 0)
        check_claim(u);
    char text[WIRE_TEXT_MAX];
    const struct attempt *attempt = &u->attempt;
    size_t n = engine_text(session->target->engine, attempt->decided, attempt_n_text(attempt), text,
                           sizeof(text));
    struct window_attempt was = {
        .temperature = attempt->rules.temperature,
        .mean_logprob = attempt_mean_logprob(attempt),
        .no_speech = attempt->no_speech,
        .compression_ratio = text_ratio(text, n),
    };
    enum window_verdict verdict = window_judge(&session->limits, &was);
    if (verdict != WINDOW_RETRY) {
        finish_window(session, u, &was, verdict == WINDOW_SKIP);
        return;
    }
    propose_again(u);
    u->n_attempts++;
    begin_attempt(session, u);
}

uint32_t utterance_absorb(struct target_session *session, struct utterance *u, float pass_us)
{
    uint32_t n_rows = u->attempt.n_pending + u->attempt.tree.n;
    uint32_t n_new = attempt_absorb(&u->attempt, &session->target->pass);
    u->stats.passes++;
    u->stats.rows += n_rows;
    u->stats.decode_us += (uint64_t)pass_us;
    if (u->phase == PHASE_DETECT) {
        depth_absorb(session, NULL, 0, n_rows);
        detected(session, u);
        return 0;
    }
    depth_absorb(session, u->attempt.decided + u->attempt.n_decided - n_new, n_new, n_rows);
    if (n_new == 0)
        return 0;
    u->stats.tokens += n_new;
    bool surprised = learn_pass(session, u, n_new, pass_us);
    if (u->attempt.ended)
        judge(session, u);
    else if (worth_telling(session, u, surprised))
        send_decided(session, u);
    return n_new;
}
