#include "engine/drafter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/drafter_int.h"
#include "spec/stop.h"

enum { ENCODE_SLICE_US = 20000 };

enum {
    TOKENS_PER_SECOND = 10,                 /* nobody speaks faster; a draft that does is lost */
    TOKENS_SPARE = 16,
    PERIOD_MAX = 16,                        /* repetition is looked for up to this length */
    REPEATED_MIN = 8                        /* tokens that three rounds must cover */
};

/* Of the tokens behind a mismatch, those that a later draft splices: 0.72 to 0.79 on speech. */
static const float reuse = 0.75f;

static enum status check_language(struct drafter *drafter, struct error *err)
{
    const struct model_description *model = drafter->engine->description;
    const char *language = drafter->options.language;
    bool automatic = strcmp(language, "auto") == 0;
    drafter->language = -1;
    if (!model->multilingual) {
        if ((!automatic && strcmp(language, "en") != 0) || drafter->options.translate)
            return error_set(err, STATUS_MISMATCH,
                             "the draft model %s is English only: use a multilingual one, or "
                             "--no-draft",
                             model->name);
        return STATUS_OK;
    }
    if (automatic)
        return STATUS_OK;
    drafter->language = tokenizer_language_token(drafter->engine->tokenizer, language);
    if (drafter->language < 0)
        return error_set(err, STATUS_MISMATCH, "the draft model %s has no language \"%s\"",
                         model->name, language);
    return STATUS_OK;
}

enum status drafter_new(struct engine *engine, const struct drafter_options *options,
                        struct drafter **out, struct error *err)
{
    struct drafter *drafter = calloc(1, sizeof(*drafter));
    *out = NULL;
    if (!drafter)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a drafter");
    drafter->engine = engine;
    drafter->options = *options;
    drafter->features = malloc((size_t)engine->description->n_mels * WINDOW_FRAMES * sizeof(float));
    enum status rc = drafter->features ? check_language(drafter, err)
                                       : error_set(err, STATUS_NO_MEMORY, "no memory for features");
    if (rc == STATUS_OK)
        rc = backend_open(engine->backend, &drafter->sequence, err);
    if (rc != STATUS_OK) {
        drafter_free(&drafter);
        return rc;
    }
    *out = drafter;
    return STATUS_OK;
}

void drafter_free(struct drafter **drafter_ptr)
{
    struct drafter *drafter = *drafter_ptr;
    if (!drafter)
        return;
    text_map_free(&drafter->map);
    backend_close(&drafter->sequence);
    free(drafter->features);
    free(drafter);
    *drafter_ptr = NULL;
}

static bool has_begun(const struct drafter *drafter)
{
    return drafter->phase == DRAFTER_DRAFT || drafter->phase == DRAFTER_COMPLETE;
}

/* The first n tokens behind the forced ones, before they are given up: they may go on behind a
 * correction. */
static void keep_old(struct drafter *drafter, uint32_t n)
{
    const struct attempt *attempt = &drafter->attempt;
    struct spec_draft *old = &drafter->old;
    uint32_t first = drafter->n_forced;
    spec_draft_clear(old);
    old->number = 1;
    old->n_prefix = first;
    old->tree.n = MIN(n, (uint32_t)SPEC_NODES_MAX);
    for (uint32_t i = 0; i < old->tree.n; i++) {
        old->tree.node[i] = (struct spec_node){.token = attempt->decided[first + i],
                                               .parent = (int16_t)((int32_t)i - 1),
                                               .confidence = expf(attempt->logprob[first + i])};
        drafter->old_logprob[i] = attempt->logprob[first + i];
        drafter->old_second[i] = attempt->second[first + i];
        drafter->old_second_logprob[i] = attempt->second_logprob[first + i];
    }
}

static void begin_window(struct drafter *drafter, const struct drafter_window *window)
{
    if (!window->again)
        spec_draft_clear(&drafter->old);
    else if (has_begun(drafter) && drafter->n_forced == 0)
        keep_old(drafter, drafter_n_drafted(drafter));
    drafter->old_is_early = window->again;
    spec_tree_clear(&drafter->guess);
    if (drafter->old.n_prefix == 0)
        spec_draft_rest(&drafter->old, -1, &drafter->guess);
    if (window->again) {
        drafter->proposal.complete = false;
    } else {
        drafter->proposal = (struct drafter_proposal){0};
        memset(&drafter->stats, 0, sizeof(drafter->stats));
    }
    drafter->early = window->early;
    drafter->version++;
}

void drafter_begin(struct drafter *drafter, const struct drafter_window *window)
{
    const int16_t *samples = window->samples;
    uint64_t n = window->n;
    begin_window(drafter, window);
    uint64_t with_silence = n + (uint64_t)drafter->options.silence_ms * (WINDOW_RATE / 1000);
    uint64_t frames = (MIN(with_silence, (uint64_t)WINDOW_SAMPLES) + WINDOW_HOP - 1) / WINDOW_HOP;
    drafter->n_frames = (uint32_t)(frames + frames % 2);
    drafter->n_frames = MAX(drafter->n_frames, (uint32_t)MEL_FRAMES_MIN);
    mel_compute(drafter->engine->mel, samples, n, drafter->n_frames, drafter->features);
    drafter->n_tokens_max = TOKENS_SPARE + (uint32_t)(n * TOKENS_PER_SECOND / WINDOW_RATE);
    drafter->phase = DRAFTER_ENCODE;
    drafter->n_decided = 0;
    drafter->n_forced = 0;
    drafter->n_branches = 0;
    drafter->n_learned = 0;
    spec_recycle_stop(&drafter->recycle);
    if (strcmp(drafter->options.language, "auto") == 0)
        drafter->language = -1;
}

void drafter_set_price(struct drafter *drafter, struct drafter_price price)
{
    drafter->price = price;
}

void drafter_stop(struct drafter *drafter)
{
    drafter->phase = DRAFTER_IDLE;
}

bool drafter_busy(const struct drafter *drafter)
{
    return drafter->phase != DRAFTER_IDLE && drafter->phase != DRAFTER_COMPLETE;
}

const struct drafter_proposal *drafter_proposal(const struct drafter *drafter, uint32_t *version)
{
    *version = drafter->version;
    return &drafter->proposal;
}

const struct drafter_stats *drafter_stats(const struct drafter *drafter)
{
    return &drafter->stats;
}

/* ---- how far a draft grows ---- */

/* A small model on cut audio may repeat itself for ever: has the tail gone round three times? */
static bool repeats_itself(const struct attempt *attempt, uint32_t n_forced)
{
    const int32_t *end = attempt->decided + attempt->n_decided;
    uint32_t n = attempt->n_decided - n_forced;
    for (uint32_t period = 1; period <= PERIOD_MAX; period++) {
        uint32_t wanted = MAX(3 * period, (uint32_t)REPEATED_MIN);
        uint32_t same = 0;
        while (same + period < wanted && wanted <= n && end[-1 - (int32_t)same] ==
                                                            end[-1 - (int32_t)(same + period)])
            same++;
        if (wanted <= n && same + period == wanted)
            return true;
    }
    return false;
}

static bool stops_early(const struct drafter *drafter)
{
    const struct attempt *attempt = &drafter->attempt;
    const struct drafter_stats *stats = &drafter->stats;
    const struct spec_policy *policy = &drafter->options.policy;
    float confidence[WINDOW_TOKENS_MAX];
    uint32_t n = attempt->n_decided - drafter->n_forced;
    if (policy->cap == 0 && !drafter->options.turns)
        return false;
    for (uint32_t i = 0; i < n; i++)
        confidence[i] = expf(attempt->logprob[drafter->n_forced + i]);
    struct spec_stop stop = {
        .theta = policy->theta, .cap = policy->cap, .calibration = drafter->options.calibration,
        .costs = {.pass_us = drafter->price.step_us,
                  .row_us = drafter->price.row_us,
                  .reuse = policy->recycle ? reuse : 0.0f,
                  .draft_us = (float)stats->decode_us / (float)MAX(stats->steps, 1u)}};
    return spec_stop_here(&stop, confidence, n);
}

/* After tokens were drafted or spliced: is this draft long enough? */
static enum status settle(struct drafter *drafter, struct error *err)
{
    bool over = drafter->attempt.ended || repeats_itself(&drafter->attempt, drafter->n_forced) ||
                stops_early(drafter);
    drafter->n_branches = 0;
    if (over) {
        drafter->phase = DRAFTER_COMPLETE;
        uint64_t start = clock_us(&drafter->engine->clock);
        enum status rc = drafter_grow_branches(drafter, err);
        drafter->stats.decode_us += clock_us(&drafter->engine->clock) - start;
        if (rc != STATUS_OK)
            return rc;
    }
    return drafter_map_proposal(drafter, over, err);
}

/* ---- following the target ---- */

/* Decided ids of another vocabulary, or ones that could not be mapped yet, say nothing about this
 * draft: it starts from the beginning of the window, and the target walks along what it decided. */
static void forget_decided(struct drafter *drafter)
{
    drafter->proposal = (struct drafter_proposal){0};
    if (drafter->n_decided == 0)
        return;
    drafter->n_decided = 0;
    drafter->n_forced = 0;
    if (has_begun(drafter)) {
        attempt_follow(&drafter->attempt, drafter->decided, 0);
        spec_recycle_stop(&drafter->recycle);
        drafter->phase = DRAFTER_DRAFT;
    }
}

enum status drafter_set_target(struct drafter *drafter, const struct tokenizer *target,
                               struct error *err)
{
    text_map_free(&drafter->map);
    drafter->target = target;
    forget_decided(drafter);
    if (!target)
        return STATUS_OK;
    enum status rc =
        text_map_new(drafter->engine->tokenizer, target, 2 * WIRE_TOKENS_MAX, &drafter->map, err);
    if (rc == STATUS_OK && has_begun(drafter))
        rc = drafter_map_proposal(drafter, drafter->phase == DRAFTER_COMPLETE, err);
    return rc;
}

/* Does the proposal (its prefix, its nodes) go along with all that is decided? A draft that stopped
 * early must also go on for a while (spec/draft.h). */
static bool still_good(const struct drafter *drafter, const int32_t *decided, uint32_t n_decided)
{
    const struct drafter_proposal *proposal = &drafter->proposal;
    uint32_t n_prefix = drafter->n_decided;
    bool stopped = drafter->phase == DRAFTER_COMPLETE && !drafter->attempt.ended;
    uint32_t least = stopped ? SPEC_DRAFT_LOW + 1 : 0;
    if (n_decided < n_prefix || n_decided + least > n_prefix + proposal->n_trunk)
        return false;
    if (memcmp(decided, drafter->decided, n_prefix * sizeof(*decided)) != 0)
        return false;
    for (uint32_t i = n_prefix; i < n_decided; i++)
        if (proposal->nodes[i - n_prefix].token != decided[i])
            return false;
    return true;
}

/* A new attempt starts from nothing: what was drafted from the start is still the best guess. */
static bool restarts(const struct drafter *drafter, uint32_t n_decided)
{
    return n_decided == 0 && drafter->n_decided == 0;
}

/* The part of the proposal that is decided now says what its confidences were worth. */
void drafter_learn(struct drafter *drafter, const int32_t *decided, uint32_t n_decided)
{
    const struct drafter_proposal *proposal = &drafter->proposal;
    uint32_t n_prefix = proposal->n_prefix;
    if (!drafter->options.calibration || n_prefix > n_decided)
        return;
    uint32_t i = drafter->n_learned;
    for (; i < proposal->n_trunk && n_prefix + i < n_decided; i++) {
        bool same = proposal->nodes[i].token == decided[n_prefix + i];
        spec_calibration_observe(drafter->options.calibration, proposal->nodes[i].confidence, same);
        if (!same)                          /* nothing behind a mismatch was asked about */
            i = proposal->n_trunk;
    }
    drafter->n_learned = i;
}

static struct spec_realign realign_for(const struct drafter *drafter)
{
    const struct special_tokens *special = tokenizer_special(drafter->engine->tokenizer);
    return spec_realign_default(special->end,
                                drafter->options.timestamps ? special->timestamp_begin : -1);
}

/* Splices the old draft where it goes on behind the last token, or has it verified. */
static void recycle(struct drafter *drafter, const struct spec_realign *how)
{
    int32_t place = spec_recycle_place(&drafter->recycle, how);
    if (place < 0)
        return;
    if (drafter->old_is_early) {
        spec_draft_rest(&drafter->old, place - 1, &drafter->guess);
        spec_recycle_stop(&drafter->recycle);
        return;
    }
    uint32_t at = (uint32_t)place, n_before = drafter->attempt.n_decided;
    struct attempt_tokens rest = {.token = drafter->recycle.rest.token + at,
                                  .logprob = drafter->old_logprob + at,
                                  .second = drafter->old_second + at,
                                  .second_logprob = drafter->old_second_logprob + at,
                                  .n = drafter->old.tree.n - at};
    attempt_splice(&drafter->attempt, &rest);
    drafter->stats.recycled += drafter->attempt.n_decided - n_before;
    spec_recycle_stop(&drafter->recycle);
}

/* Sets the draft model behind what is decided; what it had said before is looked for there. */
static enum status draft_anew(struct drafter *drafter, struct error *err)
{
    int32_t ids[WINDOW_TOKENS_MAX];
    struct token_list forced = {.ids = ids, .max = ARRAY_LEN(ids)};
    enum status rc = text_map_to_draft(drafter->map, drafter->decided, drafter->n_decided, &forced,
                                       err);
    if (rc != STATUS_OK && rc != STATUS_EXHAUSTED)
        return rc;
    /* One that is being looked for already reaches further than what was drafted since. */
    uint32_t n_drafted = drafter->attempt.n_decided - drafter->n_forced;
    if (drafter->options.policy.recycle && !drafter->recycle.active && n_drafted > 0) {
        keep_old(drafter, n_drafted);
        drafter->old_is_early = false;
    }
    spec_recycle_stop(&drafter->recycle);
    if (rc == STATUS_OK)
        attempt_follow(&drafter->attempt, forced.ids, forced.n);
    drafter->n_forced = drafter->attempt.n_decided;
    spec_tree_clear(&drafter->guess);
    drafter->phase = DRAFTER_DRAFT;
    if (rc == STATUS_EXHAUSTED || drafter->attempt.ended) {
        drafter_complete_proposal(drafter); /* longer than this model's context: no draft */
        return STATUS_OK;
    }
    if (!drafter->options.policy.recycle)
        return STATUS_OK;
    struct spec_realign how = realign_for(drafter);
    spec_recycle_start(&drafter->recycle, &how, &drafter->old, drafter->attempt.decided,
                       drafter->n_forced);
    recycle(drafter, &how);
    return settle(drafter, err);
}

enum status drafter_follow(struct drafter *drafter, const int32_t *decided, uint32_t n_decided,
                           struct error *err)
{
    if (drafter->phase == DRAFTER_IDLE || restarts(drafter, n_decided))
        return STATUS_OK;
    drafter_learn(drafter, decided, n_decided);
    if (still_good(drafter, decided, n_decided))
        return STATUS_OK;
    SA_ASSERT(n_decided <= WIRE_TOKENS_MAX);
    memcpy(drafter->decided, decided, n_decided * sizeof(*decided));
    drafter->n_decided = n_decided;
    drafter->proposal.n_nodes = 0;
    drafter->proposal.n_trunk = 0;
    drafter->proposal.n_prefix = n_decided;
    drafter->proposal.complete = false;
    drafter->n_learned = 0;
    if (!has_begun(drafter) || !drafter->map)
        return STATUS_OK;                   /* the encoder is not through: the draft begins there */
    return draft_anew(drafter, err);
}

/* ---- work ---- */

static struct rules rules_for(const struct drafter *drafter)
{
    struct rules rules = rules_default(drafter->engine->description, drafter->engine->masks);
    rules.timestamps = drafter->options.timestamps;
    rules.max_initial_timestamp = WINDOW_FIRST_TIMESTAMP_MAX;
    return rules;
}

static enum status begin_draft(struct drafter *drafter, struct error *err)
{
    struct rules rules = rules_for(drafter);
    if (drafter->engine->description->multilingual && drafter->language < 0) {
        drafter->phase = DRAFTER_DETECT;
        attempt_begin_detection(&drafter->attempt, drafter->sequence, &rules);
        return STATUS_OK;
    }
    struct attempt_prompt prompt = {.language = drafter->language,
                                    .translate = drafter->options.translate, .is_draft = true};
    drafter->phase = DRAFTER_DRAFT;
    attempt_begin(&drafter->attempt, drafter->sequence, &rules, &prompt);
    drafter->attempt.n_tokens_max = MIN(drafter->attempt.n_tokens_max, drafter->n_tokens_max);
    /* The target may have begun without us. */
    uint32_t n = drafter->n_decided;
    int32_t decided[WIRE_TOKENS_MAX];
    memcpy(decided, drafter->decided, n * sizeof(*decided));
    drafter->n_decided = 0;
    return n > 0 ? drafter_follow(drafter, decided, n, err) : STATUS_OK;
}

static enum status encode_slice(struct drafter *drafter, struct error *err)
{
    bool done;
    uint64_t start = clock_us(&drafter->engine->clock);
    struct backend_features features = {.mel = drafter->features,
                                        .n_mels = drafter->engine->description->n_mels,
                                        .n_frames = drafter->n_frames};
    enum status rc = backend_encode(drafter->sequence, &features, ENCODE_SLICE_US, &done, err);
    drafter->stats.encode_us += clock_us(&drafter->engine->clock) - start;
    return rc == STATUS_OK && done ? begin_draft(drafter, err) : rc;
}

/* All of the audio had its say about an early draft: what it left of that is looked for behind. */
static void end_verify(struct drafter *drafter, uint32_t n_new)
{
    struct spec_realign how = realign_for(drafter);
    bool all = n_new > drafter->guess.n;
    spec_tree_clear(&drafter->guess);
    drafter->stats.recycled += n_new - 1;
    if (all || drafter->attempt.ended || !drafter->options.policy.recycle)
        return;
    spec_recycle_start(&drafter->recycle, &how, &drafter->old, drafter->attempt.decided,
                       drafter->attempt.n_decided);
    recycle(drafter, &how);
}

static enum status decode_step(struct drafter *drafter, struct error *err)
{
    uint64_t start = clock_us(&drafter->engine->clock);
    bool verify = drafter->guess.n > 0 && drafter->phase == DRAFTER_DRAFT;
    drafter->pass.n = 0;
    drafter->stats.rows +=
        attempt_offer(&drafter->attempt, verify ? &drafter->guess : NULL, &drafter->pass);
    enum status rc =
        backend_forward(drafter->engine->backend, drafter->pass.row, drafter->pass.n, err);
    if (rc != STATUS_OK)
        return rc;
    uint32_t n_new = attempt_absorb(&drafter->attempt, &drafter->pass);
    drafter->stats.steps++;
    drafter->stats.decode_us += clock_us(&drafter->engine->clock) - start;
    if (drafter->phase == DRAFTER_DETECT) {
        if (drafter->attempt.n_decided == 0)
            return STATUS_OK;
        drafter->language = drafter->attempt.decided[0];
        return begin_draft(drafter, err);
    }
    if (verify && n_new > 0) {
        end_verify(drafter, n_new);
    } else if (drafter->recycle.active && n_new > 0) {
        struct spec_realign how = realign_for(drafter);
        spec_recycle_follow(&drafter->recycle, &how,
                            drafter->attempt.decided[drafter->attempt.n_decided - 1]);
        recycle(drafter, &how);
    }
    return n_new > 0 ? settle(drafter, err) : STATUS_OK;
}

enum status drafter_step(struct drafter *drafter, bool *worked, struct error *err)
{
    *worked = drafter_busy(drafter);
    if (drafter->phase == DRAFTER_ENCODE)
        return encode_slice(drafter, err);
    return *worked ? decode_step(drafter, err) : STATUS_OK;
}
