#include "model/model_random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "model/byte_unicode.h"
#include "model/model_write.h"
#include "model/whisper.h"

struct size {
    const char *name;
    uint32_t n_state, n_heads, n_encoder, n_decoder, n_mels, n_vocab;
};

static const struct size sizes[] = {
    {"tiny", 384, 6, 4, 4, 80, 51865},
    {"tiny.en", 384, 6, 4, 4, 80, 51864},
    {"base", 512, 8, 6, 6, 80, 51865},
    {"base.en", 512, 8, 6, 6, 80, 51864},
    {"small", 768, 12, 12, 12, 80, 51865},
    {"small.en", 768, 12, 12, 12, 80, 51864},
    {"medium", 1024, 16, 24, 24, 80, 51865},
    {"medium.en", 1024, 16, 24, 24, 80, 51864},
    {"large-v1", 1280, 20, 32, 32, 80, 51865},
    {"large-v2", 1280, 20, 32, 32, 80, 51865},
    {"large-v3", 1280, 20, 32, 32, 128, 51866},
    {"large-v3-turbo", 1280, 20, 32, 4, 128, 51866},
    {"distil-small.en", 768, 12, 12, 4, 80, 51864},
    {"distil-medium.en", 1024, 16, 24, 2, 80, 51864},
    {"distil-large-v2", 1280, 20, 32, 2, 80, 51865},
    {"distil-large-v3", 1280, 20, 32, 2, 128, 51866},
};

static void set_stack(struct stack_description *s, const struct size *size, uint32_t n_layers,
                      uint32_t n_positions)
{
    s->n_layers = n_layers;
    s->n_state = size->n_state;
    s->n_heads = size->n_heads;
    s->n_ff = 4 * size->n_state;
    s->n_positions = n_positions;
}

static enum status unknown_shape(const char *like, struct error *err)
{
    char names[ERROR_TEXT_MAX] = "";
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        n += (size_t)snprintf(names + n, sizeof(names) - MIN(n, sizeof(names) - 1), "%s%s",
                              i ? ", " : "", sizes[i].name);
    return error_set(err, STATUS_NOT_FOUND, "no Whisper is called '%s': there are %s", like, names);
}

enum status model_shape_like(const char *like, struct model_description *out, struct error *err)
{
    const struct size *size = NULL;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        if (strcmp(sizes[i].name, like) == 0)
            size = &sizes[i];
    if (!size)
        return unknown_shape(like, err);
    memset(out, 0, sizeof(*out));
    snprintf(out->name, sizeof(out->name), "random-%s", like);
    out->n_mels = size->n_mels;
    out->n_vocab = size->n_vocab;
    out->multilingual = size->n_vocab >= 51865;
    set_stack(&out->encoder, size, size->n_encoder, 1500);
    set_stack(&out->decoder, size, size->n_decoder, 448);
    whisper_defaults(out);
    return whisper_layout(out, out->multilingual ? WHISPER_END_MULTILINGUAL : WHISPER_END_ENGLISH,
                          err);
}

/* --- vocabulary */

enum { WORD_MAX = 24 };

/* Byte tokens in GPT-2's order: printable ones first, then the others. */
static uint8_t byte_token(int32_t id)
{
    int32_t n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int byte = 0; byte < 256; byte++) {
            char text[2];
            uint8_t b = (uint8_t)byte;
            bool printable = byte_unicode_encode(&b, 1, text) == 1 || (uint8_t)text[0] < 0xC4;
            if (printable == (pass == 0) && n++ == id)
                return b;
        }
    SA_ASSERT(!"byte token");
    return 0;
}

/* Word number k: shorter words first; the first character is one of a space and 26 letters, the
 * others letters. */
static size_t word_token(uint32_t k, uint8_t out[WORD_MAX])
{
    size_t length = 2;
    uint64_t count = 27 * 26;
    while (k >= count) {
        k -= (uint32_t)count;
        count *= 26;
        length++;
    }
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (uint8_t)('a' + k % 26);
        k /= 26;
    }
    out[0] = k == 0 ? ' ' : (uint8_t)('a' + k - 1);
    return length;
}

/* Tokens point into *storage; the caller frees both. */
static bool make_tokens(const struct model_description *d, struct token_text **tokens,
                        uint8_t **storage)
{
    enum { ROOM = WHISPER_SPECIAL_TEXT_MAX };
    *tokens = calloc(d->n_vocab, sizeof(**tokens));
    *storage = calloc(d->n_vocab, ROOM);
    if (!*tokens || !*storage)
        return false;
    for (int32_t id = 0; id < (int32_t)d->n_vocab; id++) {
        uint8_t *out = *storage + (size_t)id * ROOM;
        size_t n = 1;
        if (whisper_special_text(d, id, (char *)out))
            n = strlen((char *)out);
        else if (id < 256)
            out[0] = byte_token(id);
        else
            n = word_token((uint32_t)id - 256, out);
        (*tokens)[id] = (struct token_text){out, n};
    }
    return true;
}

/* --- weights */

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* Four uniform 16-bit numbers summed: mean 0, variance 1, nearly normal, exact before the last
 * product. */
static float normal(uint64_t bits)
{
    int32_t sum = (int32_t)(bits & 0xFFFF) + (int32_t)(bits >> 16 & 0xFFFF) +
                  (int32_t)(bits >> 32 & 0xFFFF) + (int32_t)(bits >> 48);
    return (float)(sum - 2 * 65535) * (1.7320508f / 65536.0f);
}

struct random {
    uint64_t seed;
};

struct spread {
    float mean;
    float deviation;
};

static struct spread spread_of(const struct tensor_spec *spec)
{
    uint64_t n_in = 1;
    for (uint32_t i = 1; i < spec->n_dims; i++)
        n_in *= spec->shape[i];
    float deviation = 1.0f / sqrtf((float)n_in);
    if (strstr(spec->name, "norm.weight"))
        return (struct spread){1.0f, 0.1f};
    if (strstr(spec->name, "position_embd"))
        return (struct spread){0, 0.1f};
    if (spec->n_dims == 1)
        return (struct spread){0, 0.05f};
    if (strstr(spec->name, "token_embd"))
        return (struct spread){0, 2 * deviation};
    bool ends_branch = strstr(spec->name, "_out.") || strstr(spec->name, "ffn_down");
    return (struct spread){0, ends_branch ? 0.5f * deviation : deviation};
}

static enum status fill(void *context, uint32_t index, const struct tensor_spec *spec,
                        uint64_t first, float *dst, size_t n, struct error *err)
{
    const struct random *random = context;
    struct spread spread = spread_of(spec);
    uint64_t key = XXH3_64bits_withSeed(spec->name, strlen(spec->name), random->seed);
    (void)index;
    (void)err;
    for (size_t i = 0; i < n; i++)
        dst[i] = spread.mean + spread.deviation * normal(mix(key ^ (first + i)));
    return STATUS_OK;
}

enum status model_write_random(const char *path, const struct model_description *description,
                               uint64_t seed, enum tensor_type type, struct error *err)
{
    struct random random = {.seed = seed};
    struct token_text *tokens = NULL;
    uint8_t *storage = NULL;
    enum status st = whisper_check(description, err);
    if (st != STATUS_OK)
        return st;
    struct model_source *source = calloc(1, sizeof(*source));
    if (!source || !make_tokens(description, &tokens, &storage)) {
        st = error_set(err, STATUS_NO_MEMORY, "out of memory for the vocabulary");
    } else {
        source->description = *description;
        source->tokens = tokens;
        source->fill = fill;
        source->context = &random;
        if (description->n_suppress == 0 && description->n_suppress_first == 0)
            whisper_default_suppress(&source->description, tokens);
        st = model_write(path, source, type, err);
    }
    free(source);
    free(tokens);
    free(storage);
    return st;
}
