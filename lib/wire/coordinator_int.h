/* coordinator_int.h: between coordinator_frames.c and coordinator_check.c. */
#ifndef WIRE_COORDINATOR_INT_H
#define WIRE_COORDINATOR_INT_H

#include "wire/coordinator_frames.h"

/* What makes a message wrong, in words; NULL: nothing. */
const char *wire_coordinator_problem(const struct wire_coordinator_message *message);

#endif
