/* import_input.h: a folder from one fuzz input, and an import read to the end. */
#ifndef TESTS_FUZZ_IMPORT_INPUT_H
#define TESTS_FUZZ_IMPORT_INPUT_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/import_int.h"

enum { INPUT_FILES_MAX = 8 };

/* The input is one piece per name, each a u32 length and the bytes; a length beyond the end means
 * the rest. Pieces of no bytes are files that are not there. */
static inline uint32_t split_input(const uint8_t *data, size_t size, const char *const *names,
                                   uint32_t n_names, const char **out_names, struct blob *blobs)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_names && size >= 4; i++) {
        uint32_t length;
        memcpy(&length, data, sizeof(length));
        data += 4;
        size -= 4;
        length = (uint32_t)MIN((size_t)length, size);
        if (length > 0) {
            out_names[n] = names[i];
            blobs[n++] = (struct blob){.memory = data, .n = length};
        }
        data += length;
        size -= length;
    }
    return n;
}

/* Takes the result of an import: reads every tensor through fill. */
static inline void read_import(enum status st, struct import *import, const struct error *err)
{
    SA_ASSERT(st == STATUS_OK || err->text[0]);
    if (st != STATUS_OK)
        return;
    const struct model_source *source = import_source(import);
    struct error ignored = {0};
    uint32_t n_specs = 0;
    struct tensor_spec *specs = model_tensor_specs(&source->description, &n_specs);
    float values[33];
    for (uint32_t i = 0; specs && i < n_specs; i++) {
        uint64_t n = 1;
        for (uint32_t k = 0; k < specs[i].n_dims; k++)
            n *= specs[i].shape[k];
        for (uint64_t at = 0; at < n; at += 33)
            if (source->fill(source->context, i, &specs[i], at, values, (size_t)MIN(n - at, 33u),
                             &ignored) != STATUS_OK)
                break;
    }
    free(specs);
    import_close(&import);
}

#endif
