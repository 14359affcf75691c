/* health.h: the messages of grpc.health.v1.Health, which probes and load balancers send
 * (cluster/health.h answers them). */
#ifndef WIRE_HEALTH_H
#define WIRE_HEALTH_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "wire/vocabulary.h"

#define WIRE_HEALTH_CHECK "/grpc.health.v1.Health/Check"
#define WIRE_HEALTH_WATCH "/grpc.health.v1.Health/Watch"

enum { WIRE_HEALTH_SERVICE_MAX = 255 };     /* bytes of a service's name */

enum wire_health {
    WIRE_HEALTH_UNKNOWN,
    WIRE_HEALTH_SERVING,
    WIRE_HEALTH_NOT_SERVING,
    WIRE_HEALTH_NO_SERVICE,                 /* an answer of Watch only */
    WIRE_HEALTH_N
};

/* Requests: the service that is asked for; an empty name: the whole server. STATUS_CORRUPT,
 * _NO_MEMORY. */
MUST_CHECK enum status wire_health_ask(const char *service, struct wire_bytes *out,
                                       struct error *err);
MUST_CHECK enum status wire_health_asked(const uint8_t *data, size_t size,
                                         char service[WIRE_HEALTH_SERVICE_MAX + 1],
                                         struct error *err);

/* Responses: a state; one that the standard does not know reads as unknown. */
MUST_CHECK enum status wire_health_answer(enum wire_health state, struct wire_bytes *out,
                                          struct error *err);
MUST_CHECK enum status wire_health_read(const uint8_t *data, size_t size, enum wire_health *state,
                                        struct error *err);

#endif
