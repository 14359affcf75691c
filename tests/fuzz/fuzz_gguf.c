/* A model file from memory: opened without the header's hash (a fuzzer would never get past it),
 * then everything is read. */
#include <stdint.h>
#include <stdlib.h>

#include "model/model_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct blob blob = {.memory = data, .n = size};
    struct model *model = NULL;
    struct error err = {0};
    if (model_open_blob(&blob, "input", false, &model, &err) != STATUS_OK) {
        SA_ASSERT(err.code != STATUS_OK && err.text[0]);
        return 0;
    }
    size_t n = 0;
    for (uint32_t id = 0; id < model_describe(model)->n_vocab; id++)
        model_token(model, (int32_t)id, &n);
    if (model_verify(model, &err) != STATUS_OK)
        SA_ASSERT(err.code == STATUS_CORRUPT);
    model_close(&model);
    return 0;
}
