/* Frames, as properties over random valid frames of every kind: a frame comes back exactly as it
 * was packed; a damaged one is refused or is itself a valid frame. `test_frames --corpus FOLDER`
 * writes the seeds of tests/fuzz/corpus/wire. */
#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/wire.h"

/* ---- random frames; everything is zero before, so that memcmp can compare ---- */

static uint32_t below(uint64_t *seed, uint32_t n)
{
    return (uint32_t)(support_random(seed) % n);
}

static bool coin(uint64_t *seed)
{
    return support_random(seed) & 1;
}

static uint32_t any32(uint64_t *seed)
{
    uint32_t shift = below(seed, 32);   /* first: C leaves the order of operands open */
    return (uint32_t)support_random(seed) >> shift;
}

static uint64_t any_sample(uint64_t *seed)
{
    uint32_t shift = 17 + below(seed, 47);
    return support_random(seed) >> shift;
}

static void random_text(uint64_t *seed, char *out, size_t capacity, size_t least)
{
    static const char *const pieces[] = {"a", "z", " ", "\xC3\xA9", "\xE2\x82\xAC",
                                         "\xF0\x9F\x99\x82"};
    size_t wanted = least + below(seed, (uint32_t)(capacity - least)), n = 0;
    while (n < wanted) {
        const char *piece = pieces[below(seed, ARRAY_LEN(pieces))];
        size_t size = strlen(piece);
        if (n + size >= capacity)
            piece = "x", size = 1;
        memcpy(out + n, piece, size);
        n += size;
    }
    out[n] = '\0';
}

static uint32_t random_tokens(uint64_t *seed, int32_t *tokens, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (int32_t)below(seed, coin(seed) ? 51865 : WIRE_TOKEN_MAX);
    return n;
}

static void *allocate(size_t n, size_t size)
{
    void *memory = calloc(n, size);
    assert_non_null(memory);
    return memory;
}

static void random_open(uint64_t *seed, struct wire_open *open)
{
    open->version_min = 1 + below(seed, 3);
    open->version_max = open->version_min + below(seed, 3);
    for (size_t i = 0; i < sizeof(open->session); i++)
        open->session[i] = (uint8_t)support_random(seed);
    open->epoch = any32(seed);
    open->vocabulary_hash = support_random(seed);
    random_text(seed, open->draft_model, sizeof(open->draft_model), 0);
    random_text(seed, open->rules.language, sizeof(open->rules.language), 1);
    open->rules.translate = coin(seed);
    open->rules.timestamps = coin(seed);
    open->rules.fallback = coin(seed);
    open->rules.condition_on_previous = coin(seed);
    open->rules.use_drafts = coin(seed);
    open->rules.lockstep = coin(seed);
    open->rules.verbatim = coin(seed);
    open->rules.rows_max = coin(seed) ? 20 : 0;
    open->rules.wait_draft = coin(seed);
    open->rules.row_price = support_uniform(seed, -1.0f, 4.0f);
    open->rules.temperature = support_uniform(seed, 0.0f, 1.0f);
    open->rules.seed = support_random(seed);
    open->n_resume = below(seed, WIRE_UTTERANCES_MAX + 1);
    if (open->n_resume)
        open->resume = allocate(open->n_resume, sizeof(*open->resume));
    for (uint32_t i = 0; i < open->n_resume; i++) {
        struct wire_resume *resume = &open->resume[i];
        resume->utterance = i * 3;
        resume->window = any32(seed);
        resume->attempt = any32(seed);
        resume->window_start = any_sample(seed);
        resume->n_prompt = random_tokens(seed, resume->prompt, below(seed, WIRE_PROMPT_MAX + 1));
        resume->n_decided = random_tokens(seed, resume->decided, below(seed, WIRE_TOKENS_MAX + 1));
        random_text(seed, resume->language, sizeof(resume->language), 0);
    }
}

static void random_audio(uint64_t *seed, struct wire_audio *audio)
{
    audio->utterance = any32(seed);
    audio->first_sample = any_sample(seed);
    audio->codec = coin(seed) ? WIRE_FLAC : WIRE_PCM_S16;
    audio->n_bytes = 2 + 2 * below(seed, coin(seed) ? 64 : WIRE_AUDIO_MAX / 2);
    audio->bytes = allocate(audio->n_bytes, 1);
    for (uint32_t i = 0; i < audio->n_bytes; i++)
        audio->bytes[i] = (uint8_t)support_random(seed);
}

static void random_draft(uint64_t *seed, struct wire_draft *draft)
{
    bool chain = coin(seed), delta = coin(seed);
    draft->utterance = any32(seed);
    draft->window = any32(seed);
    draft->attempt = any32(seed);
    draft->number = 2 + below(seed, 1000);
    draft->base = delta ? 1 + below(seed, draft->number - 1) : 0;
    draft->n_base = delta ? below(seed, WIRE_DRAFT_NODES_MAX + 1) : 0;
    draft->n_prefix = below(seed, WIRE_TOKENS_MAX + 1);
    draft->prefix_hash = support_random(seed);
    draft->complete = coin(seed);
    draft->n_nodes = below(seed, WIRE_DRAFT_NODES_MAX - draft->n_base + 1);
    if (draft->n_nodes)
        draft->nodes = allocate(draft->n_nodes, sizeof(*draft->nodes));
    for (uint32_t i = 0; i < draft->n_nodes; i++) {
        uint32_t index = draft->n_base + i;
        random_tokens(seed, &draft->nodes[i].token, 1);
        draft->nodes[i].parent = chain ? (int32_t)index - 1 : (int32_t)below(seed, index + 1) - 1;
        draft->nodes[i].confidence = (float)below(seed, 256) / 255.0f;
    }
}

static void random_opened(uint64_t *seed, struct wire_opened *opened)
{
    opened->version = 1 + any32(seed) / 2;
    random_text(seed, opened->model, sizeof(opened->model), 0);
    opened->fingerprint = support_random(seed);
    opened->vocabulary_hash = support_random(seed);
    opened->utterances_max = any32(seed);
    opened->audio_credit = any32(seed);
    opened->n_next = below(seed, WIRE_UTTERANCES_MAX + 1);
    for (uint32_t i = 0; i < opened->n_next; i++) {
        opened->next[i].utterance = i + 7;
        opened->next[i].next_sample = any_sample(seed);
    }
}

static void random_decided(uint64_t *seed, struct wire_decided *decided)
{
    decided->utterance = any32(seed);
    decided->window = any32(seed);
    decided->attempt = any32(seed);
    decided->n_before = below(seed, WIRE_TOKENS_MAX + 1);
    decided->n_tokens = random_tokens(seed, decided->tokens,
                                      below(seed, WIRE_TOKENS_MAX - decided->n_before + 1));
    decided->draft_number = any32(seed);
    decided->window_start = any_sample(seed);
    random_text(seed, decided->language, sizeof(decided->language), 0);
    decided->audio_received = any_sample(seed);
}

static void random_segments(uint64_t *seed, struct wire_window_final *final)
{
    final->n_segments = below(seed, WIRE_SEGMENTS_MAX + 1);
    for (uint32_t i = 0; i < final->n_segments; i++) {
        struct wire_segment *s = &final->segments[i];
        s->start = any_sample(seed) / 2;
        s->end = s->start + any_sample(seed) / 2;
        s->first_token = below(seed, final->n_tokens + 1);
        s->n_tokens = below(seed, final->n_tokens - s->first_token + 1);
        s->first_byte = below(seed, (uint32_t)strlen(final->text) + 1);
        s->n_bytes = below(seed, (uint32_t)strlen(final->text) - s->first_byte + 1);
    }
}

static void random_window_final(uint64_t *seed, struct wire_window_final *final)
{
    size_t capacity = coin(seed) ? 200 : WIRE_TEXT_MAX;
    final->utterance = any32(seed);
    final->window = any32(seed);
    final->attempt = any32(seed);
    final->window_start = any_sample(seed) / 2;
    final->next_start = final->window_start + any_sample(seed) / 2;
    final->n_tokens = random_tokens(seed, final->tokens, below(seed, WIRE_TOKENS_MAX + 1));
    final->text = allocate(capacity, 1);
    random_text(seed, final->text, capacity, 0);
    random_segments(seed, final);
    final->digest = wire_hash(final->tokens, final->n_tokens);
    final->n_prompt = random_tokens(seed, final->prompt, below(seed, WIRE_PROMPT_MAX + 1));
    random_text(seed, final->language, sizeof(final->language), 0);
    final->temperature = support_uniform(seed, 0.0f, 1.0f);
    final->mean_logprob = support_uniform(seed, -5.0f, 0.0f);
    final->no_speech = support_uniform(seed, 0.0f, 1.0f);
    final->compression_ratio = support_uniform(seed, 0.0f, 5.0f);
    final->skipped = coin(seed);
    final->stats.tokens = any32(seed);
    final->stats.passes = any32(seed);
    final->stats.rounds = any32(seed);
    final->stats.rows = any32(seed);
    final->stats.encode_us = support_random(seed);
    final->stats.decode_us = support_random(seed);
    final->stats.drafts_used = any32(seed);
    final->stats.drafts_dropped = any32(seed);
    final->stats.claims_differing = any32(seed);
}

static void random_small(uint64_t *seed, struct wire_frame *frame)
{
    switch (frame->kind) {
    case WIRE_END_OF_UTTERANCE:
        frame->u.end_of_utterance.utterance = any32(seed);
        frame->u.end_of_utterance.n_samples = any_sample(seed);
        break;
    case WIRE_STATS:
        frame->u.stats.utterance = any32(seed);
        frame->u.stats.draft_steps = any32(seed);
        frame->u.stats.draft_rows = any32(seed);
        frame->u.stats.draft_encode_us = support_random(seed);
        frame->u.stats.draft_decode_us = support_random(seed);
        frame->u.stats.rtt_us = any32(seed);
        frame->u.stats.rtt_sd_us = any32(seed);
        frame->u.stats.draft_step_us = any32(seed);
        frame->u.stats.stamp_us = support_random(seed);
        break;
    case WIRE_ERROR:
        frame->u.error.code = (enum status)(1 + below(seed, STATUS_N - 1));
        frame->u.error.fatal = coin(seed);
        frame->u.error.utterance = any32(seed);
        frame->u.error.retry_ms = any32(seed);
        random_text(seed, frame->u.error.message, sizeof(frame->u.error.message), 0);
        break;
    default: {      /* the rest are (nearly) nothing but 32-bit numbers */
        static const uint8_t n_words[WIRE_KIND_N] = {
            [WIRE_CANCEL] = 1, [WIRE_UTTERANCE_FINAL] = 2, [WIRE_PRICE] = 5, [WIRE_NEED_FULL] = 3,
            [WIRE_CANCELLED] = 1, [WIRE_ALIVE] = 2, [WIRE_DRAIN] = 1,
        };
        assert_true(n_words[frame->kind] > 0);
        for (uint32_t i = 0; i < n_words[frame->kind]; i++) {
            uint32_t word = any32(seed);
            memcpy((char *)&frame->u + i * sizeof(word), &word, sizeof(word));
        }
        if (frame->kind == WIRE_PRICE)
            frame->u.price.echo_us = support_random(seed);
    }
    }
}

static void random_frame(uint64_t *seed, enum wire_kind kind, struct wire_frame *frame)
{
    memset(frame, 0, sizeof(*frame));
    frame->kind = kind;
    switch (kind) {
    case WIRE_OPEN: random_open(seed, &frame->u.open); break;
    case WIRE_AUDIO: random_audio(seed, &frame->u.audio); break;
    case WIRE_DRAFT: random_draft(seed, &frame->u.draft); break;
    case WIRE_OPENED: random_opened(seed, &frame->u.opened); break;
    case WIRE_DECIDED: random_decided(seed, &frame->u.decided); break;
    case WIRE_WINDOW_FINAL: random_window_final(seed, &frame->u.window_final); break;
    default: random_small(seed, frame); break;
    }
}

/* ---- comparison: the owned parts by content, the rest byte for byte ---- */

static bool is_client(enum wire_kind kind)
{
    return kind <= WIRE_STATS;
}

static void assert_same_memory(void **a, void **b, size_t size)
{
    assert_int_equal(*a != NULL, *b != NULL);
    if (*a)
        assert_memory_equal(*a, *b, size);
    free(*b);
    *b = *a;
}

/* Releases what b owns. */
static void assert_frames_equal(struct wire_frame *a, struct wire_frame *b)
{
    assert_int_equal(a->kind, b->kind);
    if (a->kind == WIRE_OPEN)
        assert_same_memory((void **)&a->u.open.resume, (void **)&b->u.open.resume,
                           a->u.open.n_resume * sizeof(struct wire_resume));
    if (a->kind == WIRE_AUDIO)
        assert_same_memory((void **)&a->u.audio.bytes, (void **)&b->u.audio.bytes,
                           a->u.audio.n_bytes);
    if (a->kind == WIRE_DRAFT)
        assert_same_memory((void **)&a->u.draft.nodes, (void **)&b->u.draft.nodes,
                           a->u.draft.n_nodes * sizeof(struct wire_node));
    if (a->kind == WIRE_WINDOW_FINAL)
        assert_same_memory((void **)&a->u.window_final.text, (void **)&b->u.window_final.text,
                           strlen(a->u.window_final.text) + 1);
    assert_memory_equal(a, b, sizeof(*a));
}

static struct wire_bytes pack(const struct wire_frame *frame)
{
    struct wire_bytes bytes;
    struct error err;
    assert_ok(wire_pack(frame, &bytes, &err), &err);
    return bytes;
}

static void every_kind_comes_back_exactly(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int i = 0; i < 100 * WIRE_KIND_N; i++) {
        struct wire_frame frame, back;
        struct error err;
        random_frame(&seed, (enum wire_kind)(i % WIRE_KIND_N), &frame);
        struct wire_bytes bytes = pack(&frame);
        assert_ok(wire_unpack(bytes.data, bytes.size, is_client(frame.kind), &back, &err), &err);
        assert_frames_equal(&frame, &back);
        assert_int_equal(wire_unpack(bytes.data, bytes.size, !is_client(frame.kind), &back, NULL)
                             == STATUS_OK
                         && back.kind == frame.kind, false);
        wire_frame_release(&back);
        wire_bytes_release(&bytes);
        wire_frame_release(&frame);
    }
}

/* ---- damage ---- */

static int n_accepted, n_refused;

static void assert_refused_or_valid(const uint8_t *data, size_t size, bool from_client)
{
    struct wire_frame frame, again;
    struct error err = {0};
    enum status rc = wire_unpack(data, size, from_client, &frame, &err);
    if (rc != STATUS_OK) {
        n_refused++;
        assert_true(rc == STATUS_CORRUPT || rc == STATUS_UNSUPPORTED);
        assert_true(err.code == rc && err.text[0] != '\0');
        return;
    }
    n_accepted++;
    struct wire_bytes first = pack(&frame), second;
    assert_ok(wire_unpack(first.data, first.size, from_client, &again, &err), &err);
    second = pack(&again);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    wire_bytes_release(&first);
    wire_bytes_release(&second);
    wire_frame_release(&again);
    wire_frame_release(&frame);
}

/* In a block of exactly its size, so that the address sanitizer sees a read beyond it. */
static void damage_every_way(const struct wire_bytes *bytes, bool from_client, uint64_t *seed)
{
    size_t step = bytes->size / 64 + 1;
    for (size_t size = 0; size < bytes->size; size += 1 + below(seed, (uint32_t)step)) {
        uint8_t *cut = malloc(size ? size : 1);
        assert_non_null(cut);
        memcpy(cut, bytes->data, size);
        assert_refused_or_valid(cut, size, from_client);
        free(cut);
    }
    uint8_t *copy = malloc(bytes->size + 1);
    assert_non_null(copy);
    for (size_t i = 0; i < 8 * bytes->size; i += 1 + below(seed, (uint32_t)(4 * step))) {
        memcpy(copy, bytes->data, bytes->size);
        copy[i / 8] ^= (uint8_t)(1u << (i % 8));
        assert_refused_or_valid(copy, bytes->size, from_client);
    }
    free(copy);
}

static void damaged_frames_are_refused_or_valid(void **state)
{
    (void)state;
    uint64_t seed = 2;
    for (int i = 0; i < 12 * WIRE_KIND_N; i++) {
        struct wire_frame frame;
        random_frame(&seed, (enum wire_kind)(i % WIRE_KIND_N), &frame);
        struct wire_bytes bytes = pack(&frame);
        damage_every_way(&bytes, is_client(frame.kind), &seed);
        wire_bytes_release(&bytes);
        wire_frame_release(&frame);
    }
    assert_true(n_accepted > 100 && n_refused > 1000);
}

/* A later version adds fields; they are ignored. */
static void unknown_fields_are_ignored(void **state)
{
    (void)state;
    uint64_t seed = 3;
    static const uint8_t field_99[] = {0x9A, 0x06, 0x03, 'n', 'e', 'w'};
    for (int kind = 0; kind < WIRE_KIND_N; kind++) {
        struct wire_frame frame, back;
        struct error err;
        random_frame(&seed, (enum wire_kind)kind, &frame);
        struct wire_bytes bytes = pack(&frame);
        uint8_t *longer = malloc(bytes.size + sizeof(field_99));
        assert_non_null(longer);
        memcpy(longer, bytes.data, bytes.size);
        memcpy(longer + bytes.size, field_99, sizeof(field_99));
        assert_ok(wire_unpack(longer, bytes.size + sizeof(field_99), is_client(frame.kind), &back,
                              &err), &err);
        assert_frames_equal(&frame, &back);
        free(longer);
        wire_bytes_release(&bytes);
        wire_frame_release(&frame);
    }
}

static void a_chain_costs_little_on_the_wire(void **state)
{
    (void)state;
    uint64_t seed = 4;
    enum { N = 48 };
    struct wire_node nodes[N];
    struct wire_frame frame = {.kind = WIRE_DRAFT};
    for (int i = 0; i < N; i++)
        nodes[i] = (struct wire_node){(int32_t)below(&seed, 50257), i - 1, 0.9f};
    frame.u.draft.number = 1;
    frame.u.draft.prefix_hash = support_random(&seed);
    frame.u.draft.n_nodes = N;
    frame.u.draft.nodes = nodes;
    struct wire_bytes bytes = pack(&frame);
    print_message("a draft of %d tokens: %zu bytes, %.2f per token\n", N, bytes.size,
                  (double)bytes.size / N);
    assert_true(bytes.size <= N * 4 + 32);
    wire_bytes_release(&bytes);
}

static void confidence_crosses_in_eight_bits(void **state)
{
    (void)state;
    for (int i = 0; i <= 1000; i++) {
        float c = (float)i / 1000.0f;
        assert_true(wire_confidence(c) >= 0.0f && wire_confidence(c) <= 1.0f);
        assert_float_equal(wire_confidence(c), c, 0.5 / 255 + 1e-6);
        assert_true(wire_confidence(wire_confidence(c)) == wire_confidence(c));
    }
}

static void the_highest_common_version_is_spoken(void **state)
{
    (void)state;
    assert_int_equal(wire_version(1, 1), 1);
    assert_int_equal(wire_version(1, 99), WIRE_VERSION_MAX);
    assert_int_equal(wire_version(WIRE_VERSION_MAX + 1, 99), 0);
}

/* ---- seeds for the fuzzer ---- */

static void write_seed(const char *folder, const char *name, uint8_t side,
                       const struct wire_bytes *bytes)
{
    const char *path = support_format("%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file || fputc(side, file) == EOF
        || fwrite(bytes->data, 1, bytes->size, file) != bytes->size || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static void write_corpus(const char *folder)
{
    for (int kind = 0; kind < WIRE_KIND_N; kind++) {
        int n = 0;
        for (uint64_t seed = 100; n < 2; seed++) {
            struct wire_frame frame;
            uint64_t random = seed;
            random_frame(&random, (enum wire_kind)kind, &frame);
            struct wire_bytes bytes = pack(&frame);
            if (bytes.size < 2048)
                write_seed(folder, support_format("%s_%d", wire_kind_name(frame.kind), n++),
                           is_client(frame.kind) ? 0 : 1, &bytes);
            wire_bytes_release(&bytes);
            wire_frame_release(&frame);
        }
    }
    struct wire_bytes bytes;
    if (wire_vocabulary_request_pack(42, &bytes, NULL) == STATUS_OK)
        write_seed(folder, "vocabulary_request", 3, &bytes);
    wire_bytes_release(&bytes);
    uint32_t offsets[] = {0, 1, 3, 7};
    uint8_t text[] = "abcdefg";
    char languages[][4] = {"en", "yue"};
    struct wire_vocabulary vocabulary = {
        .hash = 7, .n_tokens = 3, .offsets = offsets, .bytes = text,
        .special = {2, 1, -1, -1, 0, 0, 0, -1, 2}, .n_languages = 2, .languages = languages,
    };
    if (wire_vocabulary_pack(&vocabulary, &bytes, NULL) == STATUS_OK)
        write_seed(folder, "vocabulary", 2, &bytes);
    wire_bytes_release(&bytes);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_comes_back_exactly),
        cmocka_unit_test(damaged_frames_are_refused_or_valid),
        cmocka_unit_test(unknown_fields_are_ignored),
        cmocka_unit_test(a_chain_costs_little_on_the_wire),
        cmocka_unit_test(confidence_crosses_in_eight_bits),
        cmocka_unit_test(the_highest_common_version_is_spoken),
    };
    if (argc == 3 && strcmp(argv[1], "--corpus") == 0) {
        write_corpus(argv[2]);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
