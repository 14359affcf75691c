#include "transcript.h"

#include <stdlib.h>
#include <string.h>

void transcript_init(struct transcript *transcript)
{
    *transcript = (struct transcript){0};
}

void transcript_release(struct transcript *transcript)
{
    for (uint32_t i = 0; i < transcript->n_segments; i++)
        free((char *)(uintptr_t)transcript->segments[i].text);
    free(transcript->segments);
    free(transcript->tokens);
    free(transcript->text);
    *transcript = (struct transcript){0};
}

/* Makes room for n more items of `size` bytes; the array grows by doubling. */
static void *reserve(void *array, size_t used, size_t n, size_t *capacity, size_t size)
{
    if (used + n <= *capacity)
        return array;
    size_t wanted = MAX(used + n, 2 * *capacity);
    void *grown = realloc(array, wanted * size);
    if (grown)
        *capacity = wanted;
    return grown;
}

static enum status add_text(struct transcript *t, const char *text, size_t n, struct error *err)
{
    char *grown = reserve(t->text, t->n_text, n + 1, &t->text_capacity, 1);
    if (!grown)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the transcript");
    t->text = grown;
    memcpy(t->text + t->n_text, text, n);
    t->n_text += n;
    t->text[t->n_text] = '\0';
    return STATUS_OK;
}

static enum status add_tokens(struct transcript *t, const int32_t *tokens, uint32_t n,
                              struct error *err)
{
    size_t capacity = t->tokens_capacity;
    int32_t *grown = reserve(t->tokens, t->n_tokens, n, &capacity, sizeof(*grown));
    if (!grown && n > 0)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the transcript");
    t->tokens = grown;
    t->tokens_capacity = (uint32_t)capacity;
    if (n > 0)
        memcpy(t->tokens + t->n_tokens, tokens, n * sizeof(*tokens));
    t->n_tokens += n;
    return STATUS_OK;
}

static enum status add_segment(struct transcript *t, const struct wire_window_final *window,
                               const struct wire_segment *segment, struct error *err)
{
    size_t capacity = t->segments_capacity;
    struct result_segment *grown =
        reserve(t->segments, t->n_segments, 1, &capacity, sizeof(*grown));
    char *text = grown ? strndup(window->text + segment->first_byte, segment->n_bytes) : NULL;
    if (grown) {
        t->segments = grown;
        t->segments_capacity = (uint32_t)capacity;
    }
    if (!text)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the transcript");
    t->segments[t->n_segments++] = (struct result_segment){
        .start_s = t->offset_s + (double)segment->start / 16000.0,
        .end_s = t->offset_s + (double)segment->end / 16000.0,
        .text = text};
    return STATUS_OK;
}

static void add_stats(struct result_stats *stats, const struct wire_window_stats *window,
                      bool first)
{
    stats->tokens += window->tokens;
    stats->passes += window->passes;
    stats->rounds += window->rounds - (first ? 0 : 1);
    stats->rows += window->rows;
    stats->resumed_differently += window->claims_differing;
    stats->target_encode_ms += (double)window->encode_us / 1000.0;
    stats->target_decode_ms += (double)window->decode_us / 1000.0;
}

enum status transcript_add(struct transcript *t, const struct wire_window_final *window,
                           struct error *err)
{
    bool first = t->stats.rounds == 0;
    enum status rc = add_tokens(t, window->tokens, window->n_tokens, err);
    if (rc == STATUS_OK)
        rc = add_text(t, window->text, strlen(window->text), err);
    for (uint32_t i = 0; i < window->n_segments && rc == STATUS_OK; i++)
        rc = add_segment(t, window, &window->segments[i], err);
    add_stats(&t->stats, &window->stats, first);
    memcpy(t->language, window->language, sizeof(t->language));
    return rc;
}

void transcript_add_draft(struct transcript *transcript, const struct drafter_stats *stats)
{
    transcript->stats.draft_steps += stats->steps;
    transcript->stats.draft_rows += stats->rows;
    transcript->stats.branch_steps += stats->branch_steps;
    transcript->stats.recycled += stats->recycled;
    transcript->stats.draft_encode_ms += (double)stats->encode_us / 1000.0;
    transcript->stats.draft_decode_ms += (double)stats->decode_us / 1000.0;
}

struct result transcript_result(const struct transcript *transcript, const char *file,
                                bool with_segments)
{
    const char *text = transcript->text ? transcript->text : "";
    return (struct result){
        .file = file,
        .language = transcript->language,
        .text = text + strspn(text, " "),
        .tokens = transcript->tokens,
        .n_tokens = transcript->n_tokens,
        .segments = transcript->segments,
        .n_segments = with_segments ? transcript->n_segments : 0,
        .stats = transcript->stats,
    };
}

bool transcript_same(const struct transcript *a, const struct transcript *b)
{
    return a->n_tokens == b->n_tokens &&
           (a->n_tokens == 0 || memcmp(a->tokens, b->tokens, a->n_tokens * sizeof(int32_t)) == 0);
}
