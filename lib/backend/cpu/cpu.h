/* cpu.h: the CPU backend. Own kernels with a fixed order of operations, encoder and decoder alike.
 * */
#ifndef BACKEND_CPU_CPU_H
#define BACKEND_CPU_CPU_H

#include "backend/backend.h"
#include "base/clock.h"

struct cpu_options {
    uint32_t n_threads;         /* 0: as many as there are processors, at most 16 */
    const char *kernels; /* NULL: the fastest set that this processor runs; else a set's name */
    bool encoder_blas;   /* encoder's linear layers through OpenBLAS: other bits, to compare with */
    bool unpinned;              /* do not bind threads to processors (tests that share them) */
    const struct clock *clock;  /* NULL: the machine's; borrowed; only encode's budget reads it */
};

/* Reads and repacks the weights, starts the worker threads. Borrows the model for the backend's
 * life. STATUS_INVALID for an unknown set of kernels, STATUS_UNSUPPORTED for a description that
 * this backend cannot run, STATUS_CORRUPT for missing or misshapen tensors. `options` may be NULL.
 */
MUST_CHECK enum status cpu_backend_new(struct model *model, const struct cpu_options *options,
                                       struct backend **out, struct error *err);

#endif
