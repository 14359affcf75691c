/* whisper.h: what is the same in every Whisper, whoever packed it.
 *
 * Special tokens follow the ordinary ones in one fixed order (openai/whisper tokenizer.py), so that
 * the id of <|endoftext|> and the vocabulary size fix all of them:
 *
 *     end, start, languages..., translate, transcribe, startoflm, startofprev, nospeech,
 * notimestamps, 1,501 timestamps
 *
 * Weights have one name here and three elsewhere: one table says which (whisper_weights.c).
 */
#ifndef MODEL_WHISPER_H
#define MODEL_WHISPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "model/model.h"
#include "model/model_write.h"

enum {
    WHISPER_TIMESTAMPS = 1501,
    WHISPER_LANGUAGES = 100,
    WHISPER_SPECIAL_TEXT_MAX = 32,
    WHISPER_END_ENGLISH = 50256, /* GPT-2's vocabulary */
    WHISPER_END_MULTILINGUAL = 50257
};

/* Sets special tokens, languages and n_languages from description->n_vocab and the id of
 * <|endoftext|>. STATUS_UNSUPPORTED when there is no room for 1 to 100 languages between them. */
MUST_CHECK enum status whisper_layout(struct model_description *description, int32_t end,
                                      struct error *err);

/* Text of a special token ("<|en|>", "<|12.34|>") in the layout of `description`; false for
 * ordinary ones. */
bool whisper_special_text(const struct model_description *description, int32_t id,
                          char text[WHISPER_SPECIAL_TEXT_MAX]);

/* Fields that all Whispers share: architecture, norms, positions, activation, cross-attention. */
void whisper_defaults(struct model_description *description);

/* "whisper-base" and so on from the shape; "whisper" when none fits. */
void whisper_guess_name(struct model_description *description);

/* Checks everything in a description that can contradict itself. STATUS_CORRUPT. */
MUST_CHECK enum status whisper_check(const struct model_description *description,
                                     struct error *err);

/* OpenAI's default list of never sampled tokens (symbols and annotations of sounds, and the special
 * tokens that are no text), for sources that do not bring one; and of the first ones (a space, the
 * end). tokens: n_vocab entries. Sets both lists in the description. */
void whisper_default_suppress(struct model_description *description,
                              const struct token_text *tokens);

enum weight_naming { NAMING_CT2, NAMING_HF, NAMING_GGML };

/* One tensor of ours and where a source keeps it: slice `part` of `n_parts` equal slices of the
 * slowest dimension of tensor `source`. */
struct weight {
    struct tensor_spec spec;
    char source[96];
    uint32_t part;
    uint32_t n_parts;
};

/* All weights in file order; caller frees with free(). NULL when out of memory. */
struct weight *whisper_weights(const struct model_description *description,
                               enum weight_naming naming, uint32_t *n_weights);

#endif
