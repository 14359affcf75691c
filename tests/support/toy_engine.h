/* toy_engine.h: an engine on the toy backend: decisions of a model in microseconds, no files. */
#ifndef TESTS_SUPPORT_TOY_ENGINE_H
#define TESTS_SUPPORT_TOY_ENGINE_H

#include "backend/toy/toy.h"
#include "engine/engine.h"

struct toy_engine {
    struct engine engine;
    struct model_description description;
};

/* mistakes: 0 for the target; a draft mishears that share of the places. Errors fail the test. */
void toy_engine_open(struct toy_engine *toy, uint64_t seed, float mistakes);
void toy_engine_close(struct toy_engine *toy);

/* toy_tokenizer_new; errors fail the test. */
void toy_tokenizer(const struct model_description *description, uint64_t hash,
                   struct tokenizer **out);

#endif
