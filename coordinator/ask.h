/* ask.h: the coordinator program as a client of a coordinator: status and drain. */
#ifndef COORDINATOR_ASK_H
#define COORDINATOR_ASK_H

#include <stdbool.h>
#include <stdio.h>

#include "base/status.h"
#include "rpc/rpc.h"
#include "wire/coordinator_frames.h"

struct ask_options {
    const char *address;                    /* of the coordinator */
    struct rpc_tls tls;
    const char *join_key;                   /* NULL: none is shown */
};

/* Prints the targets as a table, or as one JSON object. */
MUST_CHECK enum status ask_status(const struct ask_options *options, bool json, FILE *out,
                                  struct error *err);

/* No more sessions for the target, or (undo) sessions again. STATUS_NOT_FOUND. */
MUST_CHECK enum status ask_drain(const struct ask_options *options, const char *target, bool undo,
                                 struct error *err);

/* The table and the object by themselves. */
void status_print_table(const struct wire_listed *listed, FILE *out);
bool status_print_json(const struct wire_listed *listed, FILE *out);   /* false: not written */

#endif
