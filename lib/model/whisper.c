#include "model/whisper.h"

#include <stdio.h>
#include <string.h>

/* In the order of OpenAI's tokenizer; a vocabulary uses the first 99 or, with Cantonese, all. */
static const char languages[WHISPER_LANGUAGES][4] = {
    "en", "zh", "de", "es",  "ru", "ko", "fr", "ja", "pt", "tr",  "pl", "ca", "nl", "ar", "sv",
    "it", "id", "hi", "fi",  "vi", "he", "uk", "el", "ms", "cs",  "ro", "da", "hu", "ta", "no",
    "th", "ur", "hr", "bg",  "lt", "la", "mi", "ml", "cy", "sk",  "te", "fa", "lv", "bn", "sr",
    "az", "sl", "kn", "et",  "mk", "br", "eu", "is", "hy", "ne",  "mn", "bs", "kk", "sq", "sw",
    "gl", "mr", "pa", "si",  "km", "sn", "yo", "so", "af", "oc",  "ka", "be", "tg", "sd", "gu",
    "am", "yi", "lo", "uz",  "fo", "ht", "ps", "tk", "nn", "mt",  "sa", "lb", "my", "bo", "tl",
    "mg", "as", "tt", "haw", "ln", "ha", "ba", "jw", "su", "yue",
};

/* translate, transcribe, startoflm, startofprev, nospeech, notimestamps */
enum { AFTER_LANGUAGES = 6 };

enum status whisper_layout(struct model_description *d, int32_t end, struct error *err)
{
    int64_t n = (int64_t)d->n_vocab - end - 2 - AFTER_LANGUAGES - WHISPER_TIMESTAMPS;
    if (end < 0 || n < 1 || n > WHISPER_LANGUAGES)
        return error_set(err, STATUS_UNSUPPORTED,
                         "a vocabulary of %u tokens with <|endoftext|> at %d is not Whisper's: its "
                         "special tokens leave room for %lld languages, not 1 to %d",
                         d->n_vocab, end, (long long)n, WHISPER_LANGUAGES);
    d->n_languages = (uint32_t)n;
    for (int64_t i = 0; i < n; i++)
        memcpy(d->languages[i], languages[i], sizeof(languages[i]));
    int32_t after = end + 2 + (int32_t)n;
    d->special = (struct special_tokens){
        .end = end,
        .start = end + 1,
        .language_begin = end + 2,
        .translate = after,
        .transcribe = after + 1,
        .previous = after + 3,
        .no_speech = after + 4,
        .no_timestamps = after + 5,
        .timestamp_begin = after + 6,
    };
    return STATUS_OK;
}

bool whisper_special_text(const struct model_description *d, int32_t id,
                          char text[WHISPER_SPECIAL_TEXT_MAX])
{
    static const char *const after[AFTER_LANGUAGES] = {"translate",   "transcribe", "startoflm",
                                                       "startofprev", "nospeech",   "notimestamps"};
    const struct special_tokens *s = &d->special;
    if (id < s->end || (uint32_t)id >= d->n_vocab)
        return false;
    if (id >= s->timestamp_begin) {
        int32_t steps = id - s->timestamp_begin;
        snprintf(text, WHISPER_SPECIAL_TEXT_MAX, "<|%d.%02d|>", steps / 50, steps % 50 * 2);
    } else {
        const char *name = id == s->end        ? "endoftext"
                           : id == s->start    ? "startoftranscript"
                           : id < s->translate ? d->languages[id - s->language_begin]
                                               : after[id - s->translate];
        snprintf(text, WHISPER_SPECIAL_TEXT_MAX, "<|%s|>", name);
    }
    return true;
}

void whisper_defaults(struct model_description *d)
{
    snprintf(d->architecture, sizeof(d->architecture), "whisper");
    struct stack_description *stacks[] = {&d->encoder, &d->decoder};
    for (size_t i = 0; i < ARRAY_LEN(stacks); i++) {
        stacks[i]->norm = NORM_LAYER;
        stacks[i]->norm_eps = 1e-5f;
        stacks[i]->positions = POSITION_TABLE;
        stacks[i]->activation = ACTIVATION_GELU;
        stacks[i]->n_kv_heads = stacks[i]->n_heads;
        stacks[i]->head_size = stacks[i]->n_heads ? stacks[i]->n_state / stacks[i]->n_heads : 0;
    }
    d->decoder.cross_attention = true;
    d->decoder.tied_head = true;
}

void whisper_guess_name(struct model_description *d)
{
    static const struct {
        uint32_t n_state, n_encoder, n_decoder;
        const char *name;
    } sizes[] = {
        {384, 4, 4, "tiny"},           {512, 6, 6, "base"},
        {768, 12, 12, "small"},        {1024, 24, 24, "medium"},
        {1280, 32, 32, "large"},       {1280, 32, 4, "large-v3-turbo"},
        {768, 12, 4, "distil-small"},  {1024, 24, 2, "distil-medium"},
        {1280, 32, 2, "distil-large"},
    };
    snprintf(d->name, sizeof(d->name), "whisper");
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        if (sizes[i].n_state == d->decoder.n_state && sizes[i].n_encoder == d->encoder.n_layers &&
            sizes[i].n_decoder == d->decoder.n_layers) {
            bool v3 = strstr(sizes[i].name, "large") && !strstr(sizes[i].name, "turbo") &&
                      d->n_mels == 128;
            snprintf(d->name, sizeof(d->name), "whisper-%s%s%s", sizes[i].name, v3 ? "-v3" : "",
                     d->multilingual ? "" : ".en");
        }
}

static enum status check_stack(const struct stack_description *s, const char *name,
                               struct error *err)
{
    if (s->n_layers < 1 || s->n_layers > 256 || s->n_state < 1 || s->n_state > 16384 ||
        s->n_ff < 1 || s->n_ff > 131072 || s->n_positions < 1 || s->n_positions > 65536)
        return error_set(err, STATUS_CORRUPT,
                         "%s: %u layers, %u states, %u feed-forward, %u positions: out of range",
                         name, s->n_layers, s->n_state, s->n_ff, s->n_positions);
    if (s->n_heads < 1 || s->n_heads > s->n_state || s->n_kv_heads != s->n_heads ||
        (uint64_t)s->n_heads * s->head_size != s->n_state)
        return error_set(err, STATUS_CORRUPT, "%s: %u heads of %u do not make %u states", name,
                         s->n_heads, s->head_size, s->n_state);
    if (s->norm != NORM_LAYER || s->positions != POSITION_TABLE ||
        s->activation != ACTIVATION_GELU || !(s->norm_eps > 0 && s->norm_eps < 1))
        return error_set(err, STATUS_UNSUPPORTED,
                         "%s: Whisper has LayerNorm, a position table and GELU", name);
    return STATUS_OK;
}

static enum status check_list(const struct model_description *d, const int32_t *ids, uint32_t n,
                              struct error *err)
{
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= d->n_vocab)
            return error_set(err, STATUS_CORRUPT, "suppressed token %d is not in the vocabulary",
                             ids[i]);
    return STATUS_OK;
}

enum status whisper_check(const struct model_description *d, struct error *err)
{
    if (d->n_mels != 80 && d->n_mels != 128)
        return error_set(err, STATUS_CORRUPT, "%u mel bands: Whisper has 80 or 128", d->n_mels);
    if (d->n_vocab > 1u << 20 || d->n_suppress > MODEL_SUPPRESS_MAX ||
        d->n_suppress_first > ARRAY_LEN(d->suppress_first))
        return error_set(err, STATUS_CORRUPT, "the vocabulary or a suppress list is too long");
    enum status st = check_stack(&d->encoder, "encoder", err);
    if (st == STATUS_OK)
        st = check_stack(&d->decoder, "decoder", err);
    if (st != STATUS_OK)
        return st;
    if (d->encoder.n_state != d->decoder.n_state || d->encoder.cross_attention ||
        !d->decoder.cross_attention || !d->decoder.tied_head)
        return error_set(err, STATUS_CORRUPT,
                         "encoder and decoder do not fit together (%u and %u states)",
                         d->encoder.n_state, d->decoder.n_state);
    struct model_description expected = {.n_vocab = d->n_vocab};
    st = whisper_layout(&expected, d->special.end, err);
    if (st != STATUS_OK)
        return st;
    if (memcmp(&expected.special, &d->special, sizeof(d->special)) != 0 ||
        expected.n_languages != d->n_languages)
        return error_set(err, STATUS_CORRUPT, "special tokens are not in Whisper's order");
    st = check_list(d, d->suppress, d->n_suppress, err);
    return st == STATUS_OK ? check_list(d, d->suppress_first, d->n_suppress_first, err) : st;
}
