#include "wire/health.h"

#include <stdio.h>
#include <string.h>

#include "health.pb-c.h"
#include "wire/wire_int.h"

enum { REQUEST_MAX = 512, UNPACK_MEMORY_MAX = 64 << 10 };

typedef Grpc__Health__V1__HealthCheckRequest request_message;
typedef Grpc__Health__V1__HealthCheckResponse response_message;

static enum status parse(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size,
                         ProtobufCMessage **out, struct error *err)
{
    if (size > REQUEST_MAX)
        return error_set(err, STATUS_CORRUPT, "a health message of %zu bytes", size);
    return wire_parse(type, data, size, UNPACK_MEMORY_MAX, out, err);
}

enum status wire_health_ask(const char *service, struct wire_bytes *out, struct error *err)
{
    request_message request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    *out = (struct wire_bytes){0};
    request.service = (char *)(uintptr_t)service;
    return wire_emit(&request.base, out, err);
}

enum status wire_health_asked(const uint8_t *data, size_t size,
                              char service[WIRE_HEALTH_SERVICE_MAX + 1], struct error *err)
{
    ProtobufCMessage *message = NULL;
    service[0] = '\0';
    enum status rc = parse(&grpc__health__v1__health_check_request__descriptor, data, size,
                           &message, err);
    if (rc != STATUS_OK)
        return rc;
    const char *asked = ((request_message *)message)->service;
    if (strlen(asked) > WIRE_HEALTH_SERVICE_MAX)
        rc = error_set(err, STATUS_CORRUPT, "a service's name of %zu bytes", strlen(asked));
    else
        snprintf(service, WIRE_HEALTH_SERVICE_MAX + 1, "%s", asked);
    wire_free_message(message);
    return rc;
}

enum status wire_health_answer(enum wire_health state, struct wire_bytes *out, struct error *err)
{
    response_message response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    *out = (struct wire_bytes){0};
    response.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)state;
    return wire_emit(&response.base, out, err);
}

enum status wire_health_read(const uint8_t *data, size_t size, enum wire_health *state,
                             struct error *err)
{
    ProtobufCMessage *message = NULL;
    *state = WIRE_HEALTH_UNKNOWN;
    enum status rc = parse(&grpc__health__v1__health_check_response__descriptor, data, size,
                           &message, err);
    if (rc != STATUS_OK)
        return rc;
    int64_t number = ((response_message *)message)->status;
    if (number > 0 && number < WIRE_HEALTH_N)
        *state = (enum wire_health)number;
    wire_free_message(message);
    return STATUS_OK;
}
