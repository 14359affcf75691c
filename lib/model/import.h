/* import.h: weights and vocabularies of others, read as a source for model_write.
 *
 *     CTranslate2 folder    model.bin (or model.bin.part1, ...), config.json, vocabulary.txt, .json
 *     Hugging Face folder   config.json, model.safetensors (or shards), vocab.json, tokenizer.json
 *     whisper.cpp file      ggml-*.bin
 *
 * An importer says for each of our tensors where its elements lie in the source, in which type; all
 * three kinds store row-major matrices with the same meaning, so nothing is transposed.
 */
#ifndef MODEL_IMPORT_H
#define MODEL_IMPORT_H

#include "base/status.h"
#include "model/model_write.h"

struct import;

/* Recognises what lies at path and opens it. STATUS_NOT_FOUND, _CORRUPT, or STATUS_UNSUPPORTED with
 * what it seems to be. */
MUST_CHECK enum status import_open(const char *path, struct import **out, struct error *err);
void import_close(struct import **import);

/* "CTranslate2", "Hugging Face", "whisper.cpp". */
const char *import_kind(const struct import *import);

/* A source whose fill reads from the import; borrowed until import_close. The name in its
 * description is a guess from the shape and may be changed. */
struct model_source *import_source(struct import *import);

#endif
