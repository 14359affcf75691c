#include "wire/health.h"

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

enum status wire_health_answer(const uint8_t *data, size_t size, const char *service, bool serving,
                               struct wire_bytes *out, struct error *err)
{
    ProtobufCMessage *message = NULL;
    response_message response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    *out = (struct wire_bytes){0};
    enum status rc = parse(&grpc__health__v1__health_check_request__descriptor, data, size,
                           &message, err);
    if (rc != STATUS_OK)
        return rc;
    const char *asked = ((request_message *)message)->service;
    bool known = asked[0] == '\0' || strcmp(asked, service) == 0;
    wire_free_message(message);
    if (!known)
        return error_set(err, STATUS_NOT_FOUND, "only the health of %s is known here", service);
    response.status = serving
                          ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
                          : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
    return wire_emit(&response.base, out, err);
}

enum status wire_health_ask(const char *service, struct wire_bytes *out, struct error *err)
{
    request_message request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    *out = (struct wire_bytes){0};
    request.service = (char *)(uintptr_t)service;
    return wire_emit(&request.base, out, err);
}

enum status wire_health_read(const uint8_t *data, size_t size, bool *serving, struct error *err)
{
    ProtobufCMessage *message = NULL;
    *serving = false;
    enum status rc = parse(&grpc__health__v1__health_check_response__descriptor, data, size,
                           &message, err);
    if (rc != STATUS_OK)
        return rc;
    *serving = ((response_message *)message)->status ==
               GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    wire_free_message(message);
    return STATUS_OK;
}
