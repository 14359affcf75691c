/* A whisper.cpp ggml file. */
#include "import_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct blob blob = {.memory = data, .n = size};
    struct import *import = NULL;
    struct error err = {0};
    enum status st = import_ggml_blob(&blob, &import, &err);
    read_import(st, import, &err);
    return 0;
}
