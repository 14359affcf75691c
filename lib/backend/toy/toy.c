/* toy.c: see toy.h. A path of tokens is followed through what the backend "heard"; the token that
 * comes next there gets a peak above noise that is keyed by the whole path. */
#include "backend/toy/toy.h"

#include <stdlib.h>
#include <string.h>

#include "kv/kv.h"

enum {
    TEXT_TOKENS = 456,          /* the first 256 stand for the bytes */
    LANGUAGES = 3,
    TIMESTAMPS = 1501,
    POSITIONS = 448,
    SCRIPT_MAX = 400,
    SCRIPT_DEFAULT = 40,
    SLICES_DEFAULT = 4,
    SEGMENT = 8,                /* text tokens between timestamps */
    STEPS_PER_TOKEN = 15,       /* 0.3 s of speech per token */
    FRAMES_HASHED = 64,
};

struct toy_backend {
    struct backend base;
    struct toy_options options;
    struct toy_time time;       /* pace NULL: none */
    uint32_t n_open;
    float *logits;              /* one row */
};

struct toy_sequence {
    struct sequence base;
    struct kv kv;
    uint64_t audio;             /* hash of the window */
    uint32_t slices;            /* done so far */
    uint64_t encode_left_us;    /* in virtual time */
    bool encoded;
    bool silent;
    uint32_t n_heard;
    int32_t heard[2 * SCRIPT_MAX];
    int32_t tokens[POSITIONS + KV_ROWS_MAX];        /* by slot */
};

/* splitmix64's finaliser: a good hash of a counter. */
static uint64_t mix(uint64_t z)
{
    z += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static float unit(uint64_t hash)
{
    return (float)(hash >> 40) / 16777216.0f;
}

void toy_description(struct model_description *out)
{
    static const char codes[LANGUAGES][4] = {"en", "de", "fr"};
    *out = (struct model_description){
        .architecture = "toy", .name = "toy", .n_mels = 80, .multilingual = true,
        .n_languages = LANGUAGES,
    };
    int32_t next = TEXT_TOKENS;
    out->special.end = next++;
    out->special.start = next++;
    out->special.language_begin = next;
    next += LANGUAGES;
    out->special.translate = next++;
    out->special.transcribe = next++;
    out->special.previous = next++;
    out->special.no_speech = next++;
    out->special.no_timestamps = next++;
    out->special.timestamp_begin = next;
    out->n_vocab = (uint32_t)next + TIMESTAMPS;
    memcpy(out->languages, codes, sizeof(codes));
    out->encoder.n_positions = 1500;
    out->decoder = (struct stack_description){.n_layers = 1,
                                              .n_state = 1,
                                              .n_heads = 1,
                                              .n_kv_heads = 1,
                                              .head_size = 1,
                                              .n_ff = 1,
                                              .n_positions = POSITIONS,
                                              .cross_attention = true,
                                              .tied_head = true};
}

/* ---- hearing ---- */

/* Silence has one value everywhere. */
static uint64_t hash_features(const struct backend_features *f, bool *silent)
{
    uint32_t n = f->n_frames > 2 ? MIN(f->n_frames - 2, (uint32_t)FRAMES_HASHED) : f->n_frames;
    uint64_t hash = 0;
    *silent = true;
    for (uint32_t band = 0; band < f->n_mels; band++)
        for (uint32_t i = 0; i < n; i++) {
            const float *value = &f->mel[(size_t)band * f->n_frames + i];
            uint32_t bits;
            memcpy(&bits, value, sizeof(bits));
            hash = mix(hash ^ bits);
            *silent &= *value == f->mel[0];
        }
    return hash;
}

static const struct toy_recorded *recording(const struct toy_options *options, uint64_t audio)
{
    return &options->recorded[mix(audio ^ options->n_recorded) % options->n_recorded];
}

uint32_t toy_recording(const struct toy_options *options, const struct backend_features *features)
{
    bool silent;
    return (uint32_t)(recording(options, hash_features(features, &silent)) - options->recorded);
}

/* What the target said is what the draft did not put in. */
static uint32_t recorded_length(const struct toy_recorded *recorded)
{
    uint32_t n = 0;
    for (const char *edit = recorded->edits; *edit; edit++)
        n += *edit != 'i';
    return n;
}

static uint32_t script_max(const struct toy_options *options)
{
    uint32_t max = options && options->script_max ? options->script_max : SCRIPT_DEFAULT;
    return MIN(max, (uint32_t)SCRIPT_MAX);
}

/* The vocabulary's text tokens are the ids below the end token. */
static uint32_t make_script(const struct model_description *m, uint64_t audio,
                            const struct toy_options *options, int32_t *tokens)
{
    uint32_t longest = script_max(options);
    uint32_t shortest = options && options->script_min ? MIN(options->script_min, longest) : 1;
    uint32_t n = shortest + (uint32_t)(mix(audio) % (longest - shortest + 1));
    if (options && options->n_recorded > 0)
        n = MIN(recorded_length(recording(options, audio)), (uint32_t)SCRIPT_MAX);
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (int32_t)(mix(audio + i + 1) % (uint32_t)m->special.end);
    return n;
}

uint32_t toy_script(const struct model_description *description, const struct toy_options *options,
                    const struct backend_features *features, int32_t *tokens, uint32_t max)
{
    bool silent;
    int32_t script[SCRIPT_MAX];
    uint64_t audio = hash_features(features, &silent);
    uint32_t n = silent ? 0 : make_script(description, audio, options, script);
    n = MIN(n, max);
    memcpy(tokens, script, n * sizeof(*tokens));
    return n;
}

static int32_t other_token(const struct toy_sequence *s, const struct toy_backend *toy,
                           uint32_t place)
{
    uint64_t hash = mix(mix(toy->options.seed) ^ s->audio ^ place);
    return (int32_t)(mix(hash) % (uint32_t)toy->base.model->special.end);
}

/* The script with the recorded mistakes, if this is the draft model. */
static void hear_recorded(struct toy_sequence *s, const struct toy_backend *toy)
{
    int32_t script[SCRIPT_MAX];
    uint32_t n = make_script(toy->base.model, s->audio, &toy->options, script), place = 0;
    const char *edit = recording(&toy->options, s->audio)->edits;
    for (s->n_heard = 0; *edit && s->n_heard < 2 * SCRIPT_MAX && place <= n; edit++) {
        bool same = *edit == '=' || !toy->options.drafts;
        uint32_t at = s->n_heard;
        if (*edit == 'i' ? toy->options.drafts : (same || *edit == 's'))
            s->heard[s->n_heard++] = same ? script[place] : other_token(s, toy, at);
        place += *edit != 'i';
    }
}

/* The script with this backend's own mistakes. */
static void hear(struct toy_sequence *s, const struct toy_backend *toy)
{
    int32_t script[SCRIPT_MAX];
    uint32_t n =
        s->silent ? 0 : make_script(toy->base.model, s->audio, &toy->options, script);
    s->n_heard = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t hash = mix(mix(toy->options.seed) ^ s->audio ^ i);
        int32_t other = (int32_t)(mix(hash) % (uint32_t)toy->base.model->special.end);
        bool mistake = unit(hash) < toy->options.mistakes;
        uint32_t kind = mistake ? (uint32_t)(hash % 4) : 4;     /* half are substitutions */
        if (kind == 0)
            continue;
        s->heard[s->n_heard++] = kind == 1 || kind == 4 ? script[i] : other;
        if (kind == 1)
            s->heard[s->n_heard++] = other;
    }
}

/* ---- speaking ---- */

/* What a path of tokens amounts to. */
struct reading {
    uint64_t hash;
    uint64_t context;           /* of what came before the last <|startoftranscript|>; 0: nothing */
    bool timestamps;            /* no <|notimestamps|> behind the last <|startoftranscript|> */
    bool begun;                 /* something behind the prompt */
    uint32_t place;             /* next place in what was heard */
    uint32_t n_text;            /* text tokens so far, and since the last timestamp */
    uint32_t n_segment;
    int32_t last, before_last;
};

/* Moves along what was heard: a token may be the next one, the one after (one was left out) or the
 * one just passed (one was put in); anything else stands for the next one. */
static uint32_t follow(const struct toy_sequence *s, uint32_t place, int32_t token)
{
    if (place < s->n_heard && s->heard[place] == token)
        return place + 1;
    if (place + 1 < s->n_heard && s->heard[place + 1] == token)
        return place + 2;
    if (place > 0 && place <= s->n_heard && s->heard[place - 1] == token)
        return place;
    return place + 1;
}

static void read_token(const struct toy_sequence *s, const struct special_tokens *special,
                       struct reading *r, int32_t token)
{
    r->hash = mix(r->hash ^ (uint64_t)(uint32_t)token);
    r->before_last = r->last;
    r->last = token;
    if (token == special->start)
        *r = (struct reading){.hash = r->hash, .context = r->before_last < 0 ? 0 : r->hash,
                              .timestamps = true, .last = token, .before_last = -1};
    else if (token == special->no_timestamps)
        r->timestamps = false;
    else if (token >= special->timestamp_begin) {
        r->begun = true;
        r->n_segment = 0;
    } else if (token < special->end) {
        r->begun = true;
        r->place = follow(s, r->place, token);
        r->n_text++;
        r->n_segment++;
    }
}

static int32_t next_word(const struct toy_sequence *s, const struct reading *r)
{
    const struct toy_backend *toy = (const struct toy_backend *)s->base.backend;
    int32_t word = s->heard[r->place];
    if (!toy->options.prompted || r->place > 0)
        return word;
    return (int32_t)(((uint64_t)word + r->context % 7) % (uint64_t)toy->base.model->special.end);
}

static int32_t next_token(const struct toy_sequence *s, const struct model_description *m,
                          const struct reading *r)
{
    const struct special_tokens *special = &m->special;
    bool ended = r->place >= s->n_heard;
    bool after_timestamp = r->last >= special->timestamp_begin;
    uint32_t steps = MIN(r->n_text * STEPS_PER_TOKEN, (uint32_t)TIMESTAMPS - 1);
    if (r->last == special->start && m->multilingual)
        return special->language_begin + (int32_t)(s->audio % m->n_languages);
    if (!r->timestamps)
        return ended ? special->end : next_word(s, r);
    if (!r->begun)
        return special->timestamp_begin;
    if (!after_timestamp && (ended || r->n_segment >= SEGMENT))
        return special->timestamp_begin + (int32_t)steps;       /* closes a segment */
    if (after_timestamp && ended)
        return special->end;
    if (after_timestamp && r->before_last >= 0 && r->before_last < special->end)
        return r->last;                                         /* opens the next one */
    return next_word(s, r);
}

/* 9.5 to 14: probabilities of about 0.75 to 0.99; a recorded draft's are its own. */
static float peak(const struct toy_backend *toy, const struct toy_sequence *s,
                  const struct reading *r, float chance)
{
    static const float noise = 8.1f;        /* log of the sum over e^noise, about 2,000 tokens */
    if (toy->options.n_recorded == 0 || !toy->options.drafts || s->silent)
        return 9.5f + 4.5f * chance;
    const char *confidence = recording(&toy->options, s->audio)->confidence;
    size_t place = MIN((size_t)r->place, strlen(confidence) - 1);
    return noise + 0.5f * (float)(confidence[place] - 'a' - 5);
}

/* Noise in [0, 1) and a peak. */
static void speak(const struct toy_backend *toy, const struct toy_sequence *s,
                  const struct reading *r, float *logits)
{
    const struct model_description *m = toy->base.model;
    uint64_t key = mix(r->hash ^ s->audio ^ mix(toy->options.seed));
    for (uint32_t v = 0; v < m->n_vocab; v++)
        logits[v] = unit(mix(key ^ v));
    logits[next_token(s, m, r)] += peak(toy, s, r, unit(mix(key ^ UINT32_MAX)));
    if (s->silent && r->last == m->special.start)
        logits[m->special.no_speech] += 16.0f;
}

/* ---- verbs ---- */

static enum status verb_open(struct backend *backend, struct sequence **out, struct error *err)
{
    struct toy_sequence *sequence = calloc(1, sizeof(*sequence));
    if (!sequence)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a sequence");
    sequence->base.backend = backend;
    kv_init(&sequence->kv, backend->model->decoder.n_positions);
    ((struct toy_backend *)backend)->n_open++;
    *out = &sequence->base;
    return STATUS_OK;
}

/* A slice; true: it was the last. */
static bool encode_slice(struct toy_sequence *s, struct toy_backend *toy, uint64_t budget_us)
{
    bool whole = budget_us == UINT64_MAX;
    if (toy->time.pace) {
        uint64_t slice = MIN(s->encode_left_us, budget_us);
        toy->time.spend(toy->time.context, slice);
        s->encode_left_us -= slice;
        s->slices = 1;
        return s->encode_left_us == 0;
    }
    s->slices = whole ? toy->options.encode_slices : s->slices + 1;
    return s->slices >= toy->options.encode_slices;
}

static enum status verb_encode(struct sequence *base, const struct backend_features *features,
                               uint64_t budget_us, bool *done, struct error *err)
{
    struct toy_sequence *s = (struct toy_sequence *)base;
    struct toy_backend *toy = (struct toy_backend *)base->backend;
    if (features->n_frames == 0 || features->n_frames % 2 ||
        features->n_frames > 2 * base->backend->model->encoder.n_positions)
        return error_set(err, STATUS_INVALID, "a window cannot have %u frames", features->n_frames);
    if (!features->mel) {
        kv_init(&s->kv, base->backend->model->decoder.n_positions);
        base->n_kept = 0;
        s->encoded = *done = true;
        return STATUS_OK;
    }
    if (s->slices == 0) {
        s->encoded = false;
        base->n_kept = 0;
        kv_init(&s->kv, base->backend->model->decoder.n_positions);
        s->audio = hash_features(features, &s->silent);
        if (toy->options.n_recorded > 0 && !s->silent)
            hear_recorded(s, toy);
        else
            hear(s, toy);
        if (toy->time.pace)
            s->encode_left_us = (uint64_t)(1000.0f * toy->time.pace->encode_ms);
    }
    if (!encode_slice(s, toy, budget_us))
        return STATUS_OK;
    s->slices = 0;
    s->encoded = *done = true;
    return STATUS_OK;
}

static enum status place_rows(struct backend_row *rows, uint32_t n_rows, struct error *err)
{
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < n_rows; i++)
        kv_begin(&((struct toy_sequence *)rows[i].sequence)->kv);
    for (uint32_t i = 0; i < n_rows && status == STATUS_OK; i++) {
        struct toy_sequence *s = (struct toy_sequence *)rows[i].sequence;
        if (!s->encoded)
            status = error_set(err, STATUS_INVALID, "encode a window before its tokens");
        else if (!kv_add(&s->kv, i, rows[i].parent))
            status = error_set(err, STATUS_INVALID, "a row lies past the last of %u positions",
                               s->kv.n_positions);
        else
            s->tokens[s->kv.rows[i].slot] = rows[i].token;
    }
    for (uint32_t i = 0; i < n_rows && status != STATUS_OK; i++)
        kv_begin(&((struct toy_sequence *)rows[i].sequence)->kv);
    return status;
}

static void evaluate(struct toy_backend *toy, struct backend_row *row, uint32_t index)
{
    const struct toy_sequence *s = (const struct toy_sequence *)row->sequence;
    const struct model_description *m = toy->base.model;
    struct reading reading = {.last = -1, .before_last = -1};
    uint32_t tail[KV_ROWS_MAX], n_tail = kv_path(&s->kv, index, tail);
    for (uint32_t i = 0; i < s->kv.n_kept; i++)
        read_token(s, &m->special, &reading, s->tokens[i]);
    for (uint32_t i = 0; i < n_tail; i++)
        read_token(s, &m->special, &reading, s->tokens[tail[i]]);
    speak(toy, s, &reading, toy->logits);
    if (row->logits)
        memcpy(row->logits, toy->logits, m->n_vocab * sizeof(float));
    if (row->no_speech)
        *row->no_speech = rules_probability(toy->options.kernels, toy->logits, m->n_vocab,
                                            m->special.no_speech);
    if (row->rules)
        rules_choose(row->rules, &row->state, toy->options.kernels, toy->logits, row->choice);
}

static enum status verb_forward(struct backend *backend, struct backend_row *rows, uint32_t n_rows,
                                struct error *err)
{
    enum status status = place_rows(rows, n_rows, err);
    for (uint32_t i = 0; i < n_rows && status == STATUS_OK; i++)
        if (rows[i].rules || rows[i].logits || rows[i].no_speech)
            evaluate((struct toy_backend *)backend, &rows[i], i);
    struct toy_time *time = &((struct toy_backend *)backend)->time;
    if (time->pace)
        time->spend(time->context, (uint64_t)(1000.0f * pace_ms(time->pace, n_rows)));
    return status;
}

static void verb_keep(struct sequence *base, uint32_t n_base, const uint8_t *rows, uint32_t n_rows)
{
    struct toy_sequence *s = (struct toy_sequence *)base;
    struct kv_move moves[KV_ROWS_MAX];
    uint32_t n = kv_keep(&s->kv, n_base, rows, n_rows, moves);
    for (uint32_t i = 0; i < n; i++)
        s->tokens[moves[i].to] = s->tokens[moves[i].from];
    base->n_kept = s->kv.n_kept;
}

static void verb_close(struct sequence *sequence)
{
    ((struct toy_backend *)sequence->backend)->n_open--;
    free(sequence);
}

static void verb_free(struct backend *backend)
{
    free(((struct toy_backend *)backend)->logits);
    free(backend);
}

static const struct backend_ops toy_ops = {
    .open = verb_open, .encode = verb_encode, .forward = verb_forward, .keep = verb_keep,
    .close = verb_close, .free = verb_free,
};

uint32_t toy_open_sequences(const struct backend *toy)
{
    return ((const struct toy_backend *)toy)->n_open;
}

enum status toy_backend_new(const struct model_description *description,
                            const struct toy_options *options, struct backend **out,
                            struct error *err)
{
    *out = NULL;
    if (description->special.end <= 0 || description->special.timestamp_begin < 0 ||
        description->decoder.n_positions > POSITIONS)
        return error_set(err, STATUS_INVALID, "the toy speaks Whisper-like vocabularies only");
    struct toy_backend *toy = calloc(1, sizeof(*toy));
    if (toy)
        toy->logits = calloc(description->n_vocab, sizeof(float));
    if (!toy || !toy->logits) {
        free(toy);
        return error_set(err, STATUS_NO_MEMORY, "no memory for a backend");
    }
    if (options)
        toy->options = *options;
    if (options && options->time)
        toy->time = *options->time;
    if (toy->options.encode_slices == 0)
        toy->options.encode_slices = SLICES_DEFAULT;
    if (!toy->options.kernels)
        toy->options.kernels = kernels_find(NULL);
    toy->base = (struct backend){
        .ops = &toy_ops, .model = description,
        .info = {.kind = "toy", .kernels = toy->options.kernels->name, .n_threads = 1,
                 .sequence_bytes = sizeof(struct toy_sequence)},
    };
    *out = &toy->base;
    return STATUS_OK;
}
