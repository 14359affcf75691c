/* model_int.h: opening a model from any blob, for tests and fuzzing. Private to lib/model. */
#ifndef MODEL_MODEL_INT_H
#define MODEL_MODEL_INT_H

#include "model/blob.h"
#include "model/model.h"

/* As model_open. Takes the blob (closes it on failure too). check_hash false skips the header's
 * hash, so that a fuzzer gets past it; tensor pieces are always checked. */
MUST_CHECK enum status model_open_blob(struct blob *blob, const char *path, bool check_hash,
                                       struct model **out, struct error *err);

#endif
