#include "vocabulary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { BYTES_MAX = 1 << 16, TOKENS_MAX = 4096 };

static const char languages[2][4] = {"en", "de"};

static int32_t add(struct support_vocabulary *v, const void *bytes, size_t n)
{
    uint32_t id = v->source.n_tokens++;
    SA_ASSERT(id < TOKENS_MAX && v->offsets[id] + n <= BYTES_MAX);
    memcpy(v->bytes + v->offsets[id], bytes, n);
    v->offsets[id + 1] = v->offsets[id] + (uint32_t)n;
    return (int32_t)id;
}

static int32_t add_text(struct support_vocabulary *v, const char *text)
{
    return add(v, text, strlen(text));
}

static void add_words(struct support_vocabulary *v, const char *words)
{
    while (*words) {
        size_t n = strcspn(words, "|");
        add(v, words, n);
        words += n + (words[n] == '|');
    }
}

void support_vocabulary_init(struct support_vocabulary *v, const char *words, uint64_t hash)
{
    *v = (struct support_vocabulary){0};
    v->offsets = calloc(TOKENS_MAX + 1, sizeof(*v->offsets));
    v->bytes = malloc(BYTES_MAX);
    SA_ASSERT(v->offsets && v->bytes);
    for (int i = 0; i < 256; i++)
        add(v, &(uint8_t){(uint8_t)i}, 1);
    add_words(v, words);
    struct special_tokens *s = &v->source.special;
    s->end = add_text(v, "<|endoftext|>");
    s->start = add_text(v, "<|startoftranscript|>");
    s->language_begin = add_text(v, "<|en|>");
    add_text(v, "<|de|>");
    s->translate = add_text(v, "<|translate|>");
    s->transcribe = add_text(v, "<|transcribe|>");
    add_text(v, "<|startoflm|>");
    s->previous = add_text(v, "<|startofprev|>");
    s->no_speech = add_text(v, "<|nospeech|>");
    s->no_timestamps = add_text(v, "<|notimestamps|>");
    s->timestamp_begin = (int32_t)v->source.n_tokens;
    for (int i = 0; i <= TIMESTAMP_STEPS_MAX; i++)
        add_text(v, support_format("<|%d.%02d|>", i / 50, i % 50 * 2));
    v->source.offsets = v->offsets;
    v->source.bytes = v->bytes;
    v->source.n_languages = 2;
    v->source.languages = languages;
    v->source.hash = hash;
}

void support_vocabulary_release(struct support_vocabulary *v)
{
    free(v->offsets);
    free(v->bytes);
    *v = (struct support_vocabulary){0};
}

struct tokenizer *support_tokenizer(const char *words, uint64_t hash)
{
    struct support_vocabulary v;
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    support_vocabulary_init(&v, words, hash);
    assert_ok(tokenizer_new(&v.source, &tokenizer, &err), &err);
    support_vocabulary_release(&v);
    return tokenizer;
}
