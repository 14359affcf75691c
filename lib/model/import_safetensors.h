/* import_safetensors.h: the tensors of a safetensors file. Private to lib/model. */
#ifndef MODEL_IMPORT_SAFETENSORS_H
#define MODEL_IMPORT_SAFETENSORS_H

#include "model/import_int.h"

/* Adds the float tensors of import->blobs[blob] to the index; names without the leading "model."
 * get it. */
MUST_CHECK enum status safetensors_scan(struct import *import, uint32_t blob, struct error *err);

#endif
