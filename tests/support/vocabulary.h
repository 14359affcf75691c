/* vocabulary.h: small vocabularies of known shape for tests of text, mapping and wire. */
#ifndef TESTS_SUPPORT_VOCABULARY_H
#define TESTS_SUPPORT_VOCABULARY_H

#include "text/tokenizer.h"

/* A plain vocabulary: ids 0..255 are the bytes, then the words in order ("th|the| the": separated
 * by '|'), then the end token, start, languages en and de, translate, transcribe, startoflm,
 * startofprev, nospeech, notimestamps and the 1,501 timestamps. */
struct support_vocabulary {
    struct tokenizer_source source;
    uint32_t *offsets;
    uint8_t *bytes;
};

void support_vocabulary_init(struct support_vocabulary *vocabulary, const char *words,
                             uint64_t hash);
void support_vocabulary_release(struct support_vocabulary *vocabulary);

/* The same as a tokenizer; caller frees. */
struct tokenizer *support_tokenizer(const char *words, uint64_t hash);

#endif
