/* model_fixture.h: a small random model for tests, in each stored type, and files as bytes. */
#ifndef TESTS_MODEL_FIXTURE_H
#define TESTS_MODEL_FIXTURE_H

#include "model/model.h"
#include "support.h"

/* Shape: 64 states, 2 heads, 2 + 1 layers, 80 mel bands, 12 and 10 positions, 1,908 tokens (300
 * ordinary ones, 99 languages); English. */
struct model_description fixture_description(void);

/* Writes it to folder/name; returns the path (support_format). */
const char *fixture_write(const char *folder, const char *name, enum tensor_type type);

/* A file's bytes; the caller frees. */
uint8_t *fixture_read_file(const char *path, size_t *n);
void fixture_write_file(const char *path, const void *bytes, size_t n);

#endif
