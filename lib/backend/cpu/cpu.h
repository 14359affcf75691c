/* cpu.h: the CPU backend. Own kernels with a fixed order of operations on the decode path. */
#ifndef BACKEND_CPU_CPU_H
#define BACKEND_CPU_CPU_H

#include "backend/backend.h"

struct cpu_options {
    uint32_t n_threads;         /* 0: as many as there are processors, at most 16 */
    const char *kernels;        /* NULL: the fastest set that this processor runs; else a set's name */
    bool encoder_blas;          /* encoder products through OpenBLAS instead of own kernels */
};

/* Reads and repacks the weights, starts the worker threads. Borrows the model for the backend's life. */
MUST_CHECK enum status cpu_backend_new(struct model *model, const struct cpu_options *options,
                                       struct backend **out, struct error *err);

#endif
