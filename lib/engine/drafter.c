#include "engine/drafter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/attempt.h"
#include "engine/window.h"

enum { ENCODE_SLICE_US = 20000 };

enum {
    TOKENS_PER_SECOND = 10,                 /* nobody speaks faster; a draft that does is lost */
    TOKENS_SPARE = 16,
    PERIOD_MAX = 16,                        /* repetition is looked for up to this length */
    REPEATED_MIN = 8                        /* tokens that three rounds must cover */
};

static const float second_min = 0.02f;      /* less likely second choices are not worth a row */

/* IDLE --begin--> ENCODE --> [DETECT -->] DRAFT --end token, cap--> COMPLETE
 *                                           ^-----follow (mismatch)----'      */
enum drafter_phase {
    DRAFTER_IDLE,
    DRAFTER_ENCODE,
    DRAFTER_DETECT,
    DRAFTER_DRAFT,
    DRAFTER_COMPLETE
};

struct drafter {
    struct engine *engine;
    const struct tokenizer *target;         /* borrowed; NULL: not known yet */
    struct text_map *map;
    struct drafter_options options;
    struct sequence *sequence;
    enum drafter_phase phase;
    float *features;                        /* [n_mels][n_frames] */
    uint32_t n_frames;
    uint32_t n_tokens_max;                  /* of a draft of this audio */
    struct attempt attempt;
    uint32_t n_forced;                      /* draft ids that stand for decided tokens */
    int32_t language;
    int32_t decided[WIRE_TOKENS_MAX];       /* target ids that the proposal grew from */
    uint32_t n_decided;
    struct drafter_proposal proposal;
    uint32_t version;
    struct drafter_stats stats;
    struct pass pass;
};

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

void drafter_begin(struct drafter *drafter, const int16_t *samples, uint64_t n)
{
    uint64_t with_silence = n + (uint64_t)drafter->options.silence_ms * (WINDOW_RATE / 1000);
    uint64_t frames = (MIN(with_silence, (uint64_t)WINDOW_SAMPLES) + WINDOW_HOP - 1) / WINDOW_HOP;
    drafter->n_frames = (uint32_t)(frames + frames % 2);
    drafter->n_frames = MAX(drafter->n_frames, (uint32_t)MEL_FRAMES_MIN);
    mel_compute(drafter->engine->mel, samples, n, drafter->n_frames, drafter->features);
    drafter->n_tokens_max = TOKENS_SPARE + (uint32_t)(n * TOKENS_PER_SECOND / WINDOW_RATE);
    drafter->phase = DRAFTER_ENCODE;
    drafter->n_decided = 0;
    drafter->n_forced = 0;
    drafter->proposal = (struct drafter_proposal){0};
    drafter->version++;
    memset(&drafter->stats, 0, sizeof(drafter->stats));
    if (strcmp(drafter->options.language, "auto") == 0)
        drafter->language = -1;
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

/* ---- second choices ---- */

/* A place in the text: bytes of text and special tokens before it. */
struct place {
    size_t bytes;
    uint32_t specials;
};

static void advance(struct place *place, const struct tokenizer *tokenizer, int32_t token)
{
    size_t n;
    (void)tokenizer_bytes(tokenizer, token, &n);
    if (tokenizer_is_special(tokenizer, token))
        place->specials++;
    else
        place->bytes += n;
}

static bool before(struct place a, struct place b)
{
    return a.specials < b.specials || (a.specials == b.specials && a.bytes < b.bytes);
}

/* A draft token as the first target token of its text; -1: there is none. */
static int32_t map_token(const struct drafter *drafter, int32_t token)
{
    const struct tokenizer *own = drafter->engine->tokenizer;
    if (text_map_is_identity(drafter->map))
        return token;
    if (token == tokenizer_special(own)->end)
        return tokenizer_special(drafter->target)->end;
    int32_t steps = tokenizer_timestamp_steps(own, token);
    if (steps >= 0)
        return tokenizer_timestamp_token(drafter->target, steps);
    if (tokenizer_is_special(own, token))
        return -1;
    int32_t ids[64];
    struct token_list list = {.ids = ids, .max = ARRAY_LEN(ids)};
    size_t n;
    const uint8_t *bytes = tokenizer_bytes(own, token, &n);
    bool encoded = n > 0 && tokenizer_encode(drafter->target, bytes, n, &list, NULL) == STATUS_OK;
    return encoded && list.n > 0 ? list.ids[0] : -1;
}

/* Leaves beside the trunk where draft and target tokens begin at the same place: a third of all
 * mismatches is the draft's second choice (format above all). */
static void add_seconds(struct drafter *drafter)
{
    struct drafter_proposal *proposal = &drafter->proposal;
    const struct attempt *attempt = &drafter->attempt;
    struct place own = {0}, mapped = {0};
    uint32_t i = drafter->n_forced;
    for (uint32_t j = 0; j < proposal->n_trunk && proposal->n_nodes < WIRE_DRAFT_NODES_MAX; j++) {
        while (i < attempt->n_decided && before(own, mapped))
            advance(&own, drafter->engine->tokenizer, attempt->decided[i++]);
        bool aligned = i < attempt->n_decided && !before(mapped, own) && attempt->second[i] >= 0;
        float p = aligned ? expf(attempt->second_logprob[i]) : 0.0f;
        int32_t token = p > second_min ? map_token(drafter, attempt->second[i]) : -1;
        if (token >= 0 && token != proposal->nodes[j].token)
            proposal->nodes[proposal->n_nodes++] = (struct wire_node){
                .token = token, .parent = (int32_t)j - 1, .confidence = fminf(p, 1.0f)};
        advance(&mapped, drafter->target, proposal->nodes[j].token);
    }
}

/* ---- proposal ---- */

/* Nothing follows what the proposal has, were it nothing at all: the target need not wait for
 * it. */
static void complete_proposal(struct drafter *drafter)
{
    drafter->phase = DRAFTER_COMPLETE;
    drafter->proposal.complete = true;
    drafter->version++;
}

/* Draft ids behind the forced ones -> target ids behind the decided ones. */
static enum status map_proposal(struct drafter *drafter, bool complete, struct error *err)
{
    struct map_piece drafted[WINDOW_TOKENS_MAX];
    struct map_piece mapped[2 * WIRE_TOKENS_MAX];
    const struct attempt *attempt = &drafter->attempt;
    uint32_t n = attempt->n_decided - drafter->n_forced;
    if (!drafter->map)
        return STATUS_OK;
    for (uint32_t i = 0; i < n; i++)
        drafted[i] = (struct map_piece){
            .token = attempt->decided[drafter->n_forced + i],
            .confidence = expf(attempt->logprob[drafter->n_forced + i])};
    struct map_draft draft = {.decided = drafter->decided, .n_decided = drafter->n_decided,
                              .pieces = drafted, .n_pieces = n, .complete = complete};
    struct map_pieces out = {.pieces = mapped, .max = ARRAY_LEN(mapped)};
    enum status rc = text_map_to_target(drafter->map, &draft, &out, err);
    if (rc == STATUS_EXHAUSTED) {           /* too long in the target's tokens */
        complete_proposal(drafter);
        return STATUS_OK;
    }
    if (rc != STATUS_OK)
        return rc;
    struct drafter_proposal *proposal = &drafter->proposal;
    bool changed = complete != proposal->complete || out.n != proposal->n_trunk ||
                   proposal->n_prefix != drafter->n_decided;
    proposal->n_prefix = drafter->n_decided;
    proposal->complete = complete;
    proposal->n_trunk = MIN(out.n, (uint32_t)WIRE_DRAFT_NODES_MAX);
    proposal->n_nodes = proposal->n_trunk;
    for (uint32_t i = 0; i < proposal->n_trunk; i++)
        proposal->nodes[i] = (struct wire_node){
            .token = mapped[i].token, .parent = (int32_t)i - 1,
            .confidence = fminf(fmaxf(mapped[i].confidence, 0.0f), 1.0f)};
    add_seconds(drafter);
    drafter->version += changed;
    return STATUS_OK;
}

static bool has_begun(const struct drafter *drafter)
{
    return drafter->phase == DRAFTER_DRAFT || drafter->phase == DRAFTER_COMPLETE;
}

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
        rc = map_proposal(drafter, drafter->phase == DRAFTER_COMPLETE, err);
    return rc;
}

/* Does the proposal (its prefix, its nodes) go along with all that is decided, and beyond? */
static bool still_good(const struct drafter *drafter, const int32_t *decided, uint32_t n_decided)
{
    const struct drafter_proposal *proposal = &drafter->proposal;
    uint32_t n_prefix = drafter->n_decided;
    if (n_decided < n_prefix || n_decided > n_prefix + proposal->n_trunk)
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

enum status drafter_follow(struct drafter *drafter, const int32_t *decided, uint32_t n_decided,
                           struct error *err)
{
    if (drafter->phase == DRAFTER_IDLE || restarts(drafter, n_decided) ||
        still_good(drafter, decided, n_decided))
        return STATUS_OK;
    SA_ASSERT(n_decided <= WIRE_TOKENS_MAX);
    memcpy(drafter->decided, decided, n_decided * sizeof(*decided));
    drafter->n_decided = n_decided;
    drafter->proposal.n_nodes = 0;
    drafter->proposal.n_trunk = 0;
    drafter->proposal.n_prefix = n_decided;
    drafter->proposal.complete = false;
    if (!has_begun(drafter) || !drafter->map)
        return STATUS_OK;                   /* the encoder is not through: the draft begins there */
    int32_t ids[WINDOW_TOKENS_MAX];
    struct token_list forced = {.ids = ids, .max = ARRAY_LEN(ids)};
    enum status rc = text_map_to_draft(drafter->map, decided, n_decided, &forced, err);
    if (rc != STATUS_OK && rc != STATUS_EXHAUSTED)
        return rc;
    if (rc == STATUS_OK)
        attempt_follow(&drafter->attempt, forced.ids, forced.n);
    drafter->n_forced = drafter->attempt.n_decided;
    drafter->phase = DRAFTER_DRAFT;
    if (rc == STATUS_EXHAUSTED || drafter->attempt.ended)
        complete_proposal(drafter);         /* longer than this model's context: no draft */
    return STATUS_OK;
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
                                    .translate = drafter->options.translate};
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

static enum status decode_step(struct drafter *drafter, struct error *err)
{
    uint64_t start = clock_us(&drafter->engine->clock);
    drafter->pass.n = 0;
    drafter->stats.rows += attempt_offer(&drafter->attempt, NULL, &drafter->pass);
    enum status rc =
        backend_forward(drafter->engine->backend, drafter->pass.row, drafter->pass.n, err);
    if (rc != STATUS_OK)
        return rc;
    attempt_absorb(&drafter->attempt, &drafter->pass);
    drafter->stats.steps++;
    drafter->stats.decode_us += clock_us(&drafter->engine->clock) - start;
    if (drafter->phase == DRAFTER_DETECT) {
        if (drafter->attempt.n_decided == 0)
            return STATUS_OK;
        drafter->language = drafter->attempt.decided[0];
        return begin_draft(drafter, err);
    }
    bool over = drafter->attempt.ended || repeats_itself(&drafter->attempt, drafter->n_forced);
    if (over)
        drafter->phase = DRAFTER_COMPLETE;
    return map_proposal(drafter, over, err);
}

enum status drafter_step(struct drafter *drafter, bool *worked, struct error *err)
{
    *worked = drafter_busy(drafter);
    if (drafter->phase == DRAFTER_ENCODE)
        return encode_slice(drafter, err);
    return *worked ? decode_step(drafter, err) : STATUS_OK;
}
