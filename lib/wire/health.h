/* health.h: the messages of grpc.health.v1.Health/Check, which probes and load balancers send. */
#ifndef WIRE_HEALTH_H
#define WIRE_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "wire/vocabulary.h"

#define WIRE_HEALTH_METHOD "/grpc.health.v1.Health/Check"

/* Answers a request for the state of `service` or of the whole server (an empty name) with a packed
 * response. STATUS_NOT_FOUND: another service; _CORRUPT, _NO_MEMORY. */
MUST_CHECK enum status wire_health_answer(const uint8_t *data, size_t size, const char *service,
                                          bool serving, struct wire_bytes *out,
                                          struct error *err);

/* The client's side: a request, and what the response says. */
MUST_CHECK enum status wire_health_ask(const char *service, struct wire_bytes *out,
                                       struct error *err);
MUST_CHECK enum status wire_health_read(const uint8_t *data, size_t size, bool *serving,
                                        struct error *err);

#endif
