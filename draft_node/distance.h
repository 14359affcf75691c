/* distance.h: how far away a target is: the time of a TCP handshake. */
#ifndef DRAFT_NODE_DISTANCE_H
#define DRAFT_NODE_DISTANCE_H

#include <stdint.h>

/* Round-trip time in microseconds, at least 1; 0: no answer within timeout_ms, or no such host. */
uint32_t distance_us(const char *address, uint32_t timeout_ms);

#endif
