#include "backend/cpu/blas.h"

#include <dlfcn.h>
#include <stdlib.h>

enum status blas_load(blas_sgemm_fn **sgemm, struct error *err)
{
    static const char library[] = "libopenblas.so.0";
    setenv("OPENBLAS_NUM_THREADS", "1", 1); /* read when the library starts */
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    *sgemm = NULL;
    if (handle)
        *(void **)sgemm = dlsym(handle, "cblas_sgemm");
    if (!*sgemm)
        return error_set(err, STATUS_UNAVAILABLE,
                         "%s cannot be loaded: install OpenBLAS, or do without --encoder-blas",
                         library);
    return STATUS_OK;
}
