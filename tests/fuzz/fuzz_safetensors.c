/* A Hugging Face folder: see import_input.h for the input's form. */
#include "import_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {
        "config.json",
        "vocab.json",
        "model.safetensors",
        "added_tokens.json",
        "tokenizer.json",
        "generation_config.json",
        "model.safetensors.index.json",
    };
    const char *given[INPUT_FILES_MAX];
    struct blob blobs[INPUT_FILES_MAX];
    struct folder folder = {.names = given, .blobs = blobs};
    struct import *import = NULL;
    struct error err = {0};
    folder.n_blobs = split_input(data, size, names, ARRAY_LEN(names), given, blobs);
    enum status st = import_folder(&folder, &import, &err);
    read_import(st, import, &err);
    return 0;
}
