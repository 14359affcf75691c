/* cpu.h: the CPU backend. Own kernels with a fixed order of operations, encoder and decoder alike.
 * */
#ifndef BACKEND_CPU_CPU_H
#define BACKEND_CPU_CPU_H

#include "backend/backend.h"
#include "base/clock.h"

/* How matrices are kept. Smaller ones are faster and say other things: for drafts, which are never
 * trusted. Q4_0: what may be of it (the decoder), the rest q8_0. MIXED: the same, but the output
 * layer, most of a small model's step, in f16, and a choice reads a copy of it in q4_0 and few of
 * its panels: nearly always that of f16 (head.c). AS_STORED is the one with exact choices. */
enum cpu_weights {
    CPU_WEIGHTS_AS_STORED,
    CPU_WEIGHTS_Q8_0,
    CPU_WEIGHTS_MIXED,
    CPU_WEIGHTS_Q4_0
};

struct cpu_options {
    uint32_t n_threads;         /* 0: as many as there are processors, at most 16 */
    const char *kernels; /* NULL: the fastest set that this processor runs; else a set's name */
    enum cpu_weights weights;   /* never larger than they are stored */
    bool encoder_blas;   /* encoder's linear layers through OpenBLAS: other bits, to compare with */
    bool whole_head;     /* choose out of all products of an f16 output layer, to compare with */
    bool unpinned;              /* do not bind threads to processors (tests that share them) */
    const struct clock *clock;  /* NULL: the machine's; borrowed; for encode's budget and times */
    bool timed;                 /* keep cpu_backend_times: 50 looks at the clock a pass */
};

/* Where the time of forward passes went, as thread 0 saw it (waiting for the others included).
 * matrices: linear layers and the output layer; self, cross: attention without its linear layers;
 * rest: norms, activations, embeddings, choices. */
struct cpu_times {
    uint64_t n_passes;
    uint64_t matrices_us, self_us, cross_us, rest_us;
    uint64_t n_screened;        /* rows chosen for without computing all logits, */
    uint64_t n_panels;          /* and the panels of 16 logits that were computed for them */
};

/* Reads and repacks the weights, starts the worker threads. Borrows the model for the backend's
 * life. STATUS_INVALID for an unknown set of kernels, STATUS_UNSUPPORTED for a description that
 * this backend cannot run, STATUS_CORRUPT for missing or misshapen tensors. `options` may be NULL.
 */
MUST_CHECK enum status cpu_backend_new(struct model *model, const struct cpu_options *options,
                                       struct backend **out, struct error *err);

/* The times since the last call, which begin anew; zeros unless options.timed. */
struct cpu_times cpu_backend_times(struct backend *backend);

#endif
