#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "backend/paced/paced.h"
#include "engine/window.h"
#include "text/stream.h"

/* Windows, prompts and attempts are sized for Whisper's contexts: 30 s and 448 tokens. */
static enum status check_contexts(const struct model_description *model, struct error *err)
{
    uint32_t frames = 2 * model->encoder.n_positions, tokens = model->decoder.n_positions;
    if (frames != WINDOW_FRAMES || tokens != WINDOW_TOKENS_MAX)
        return error_set(err, STATUS_UNSUPPORTED,
                         "the model %s has contexts of %u frames and %u tokens: only Whisper's "
                         "%d and %d are taken",
                         model->name, frames, tokens, WINDOW_FRAMES, WINDOW_TOKENS_MAX);
    return STATUS_OK;
}

static enum status open_parts(struct engine *engine, const char *path,
                              const struct cpu_options *options, struct error *err)
{
    enum status rc = model_open(path, &engine->model, err);
    if (rc != STATUS_OK)
        return rc;
    engine->description = model_describe(engine->model);
    rc = check_contexts(engine->description, err);
    if (rc == STATUS_OK)
        rc = cpu_backend_new(engine->model, options, &engine->backend, err);
    if (rc == STATUS_OK)
        rc = rules_masks_new(engine->description, &engine->masks, err);
    if (rc == STATUS_OK)
        rc = tokenizer_new_from_model(engine->model, &engine->tokenizer, err);
    if (rc == STATUS_OK)
        rc = mel_new(engine->description->n_mels, &engine->mel, err);
    if (rc == STATUS_OK)
        engine->fingerprint = model_fingerprint(engine->model);
    return rc;
}

enum status engine_open(struct engine *engine, const char *path, const struct cpu_options *options,
                        struct error *err)
{
    memset(engine, 0, sizeof(*engine));
    engine->clock = clock_monotonic();
    enum status rc = open_parts(engine, path, options, err);
    if (rc != STATUS_OK)
        engine_close(engine);
    return rc;
}

/* The shape's backend, once its model is open. */
static enum status open_shape(struct engine *engine, const char *path,
                              const struct cpu_options *options, struct backend **load,
                              struct error *err)
{
    enum status rc = model_open(path, &engine->shape, err);
    if (rc == STATUS_OK)
        rc = check_contexts(model_describe(engine->shape), err);
    return rc == STATUS_OK ? cpu_backend_new(engine->shape, options, load, err) : rc;
}

enum status engine_slow(struct engine *engine, const char *pace, const char *shape,
                        const struct cpu_options *options, struct error *err)
{
    struct pace table;
    struct paced_options slow = {.pace = pace ? &table : NULL};
    enum status rc = pace ? pace_read(pace, &table, err) : STATUS_OK;
    if (rc == STATUS_OK && shape)
        rc = open_shape(engine, shape, options, &slow.load, err);
    if (rc == STATUS_OK && (pace || shape)) {
        struct backend *inner = engine->backend;
        engine->backend = NULL;
        rc = paced_backend_new(inner, &slow, &engine->backend, err);
        if (rc == STATUS_OK)
            engine->clock = paced_clock(engine->backend);
    }
    if (rc != STATUS_OK)
        engine_close(engine);
    return rc;
}

void engine_close(struct engine *engine)
{
    mel_free(engine->mel);
    tokenizer_free(&engine->tokenizer);
    rules_masks_free(&engine->masks);
    backend_free(&engine->backend);
    model_close(&engine->shape);
    model_close(&engine->model);
    free(engine->toy);
    memset(engine, 0, sizeof(*engine));
}

/* Longest text that one call decodes: 448 tokens of 24 bytes. */
enum { TOKEN_BYTES_MAX = 16 * 1024 };

size_t engine_text(const struct engine *engine, const int32_t *tokens, uint32_t n, char *text,
                   size_t max)
{
    uint8_t raw[TOKEN_BYTES_MAX];
    uint8_t clean[3 * TOKEN_BYTES_MAX + 16];
    struct text_buffer in = {.bytes = raw, .max = sizeof(raw)};
    struct text_buffer out = {.bytes = clean, .max = sizeof(clean)};
    struct text_stream stream;
    text_stream_clear(&stream);
    SA_ASSERT(max > 0);
    for (uint32_t i = 0; i < n; i++)
        if (tokenizer_decode(engine->tokenizer, &tokens[i], 1, &in, NULL) != STATUS_OK)
            break;
    if (text_stream_feed(&stream, raw, in.n, &out, NULL) != STATUS_OK ||
        text_stream_flush(&stream, &out, NULL) != STATUS_OK)
        out.n = 0;
    for (size_t i = 0; i < out.n; i++)
        clean[i] = clean[i] ? clean[i] : ' ';   /* a token may be any byte, a text ends at 0 */
    size_t kept = MIN(out.n, max - 1);
    if (kept < out.n)
        kept -= text_incomplete_tail(clean, kept);
    memcpy(text, clean, kept);
    text[kept] = '\0';
    return kept;
}
