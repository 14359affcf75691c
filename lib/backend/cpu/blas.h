/* blas.h: OpenBLAS, loaded only where --encoder-blas asks for it.
 *
 * Linked in the usual way it starts a thread per processor in every program, which then spins on
 * the cores that decode. Here our own threads call it, each on its own rows.
 */
#ifndef BACKEND_CPU_BLAS_H
#define BACKEND_CPU_BLAS_H

#include <cblas.h>

#include "base/status.h"

typedef __typeof__(cblas_sgemm) blas_sgemm_fn;

/* Loads the library, single-threaded, for the rest of the process. STATUS_UNAVAILABLE with what to
 * do where there is none. */
MUST_CHECK enum status blas_load(blas_sgemm_fn **sgemm, struct error *err);

#endif
