/* resolve.h: from what a user typed after --model to a model file. */
#ifndef MODEL_RESOLVE_H
#define MODEL_RESOLVE_H

#include <stddef.h>

#include "base/status.h"

enum { MODEL_PATH_MAX = 4096 };

/* The model cache: $XDG_CACHE_HOME/specasr, else $HOME/.cache/specasr. No trailing slash; the
 * folder need not exist. STATUS_NOT_FOUND when neither variable is set. */
MUST_CHECK enum status model_cache_folder(char *out, size_t out_size, struct error *err);

/* Finds a model file. `name_or_path` is a path, or a name from the manifest with or without
 * "whisper-" and a type suffix ("base", "whisper-base", "base-q8_0", "tiny.en"): looked up in the
 * cache as whisper-NAME.gguf. A word without '/' is tried as a name when there is no such file
 * here. STATUS_NOT_FOUND with what to do
 * ("make models"). The file is not opened: model_open judges its content. */
MUST_CHECK enum status model_find(const char *name_or_path, char *out, size_t out_size,
                                  struct error *err);

#endif
