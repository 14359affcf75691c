#include "cluster/call.h"

#include <stdlib.h>

#include "base/trace.h"

enum status cluster_call(struct rpc_client *client, uint32_t deadline_ms,
                         const struct wire_coordinator_message *request,
                         struct wire_coordinator_message *answer, struct error *err)
{
    const struct cluster_caller caller = {.client = client, .deadline_ms = deadline_ms};
    return cluster_call_as(&caller, request, answer, err);
}

enum status cluster_call_as(const struct cluster_caller *caller,
                            const struct wire_coordinator_message *request,
                            struct wire_coordinator_message *answer, struct error *err)
{
    struct rpc_metadata metadata[2];
    size_t n_metadata = 0;
    struct wire_bytes packed;
    struct rpc_bytes response = {0};
    SA_ASSERT(request->kind % 2 == 0);
    if (caller->api_key)
        metadata[n_metadata++] = (struct rpc_metadata){CLUSTER_API_KEY, caller->api_key};
    if (caller->traceparent)
        metadata[n_metadata++] = (struct rpc_metadata){TRACE_HEADER, caller->traceparent};
    enum status rc = wire_coordinator_pack(request, &packed, err);
    if (rc != STATUS_OK)
        return rc;
    struct rpc_unary_options unary = {.method = wire_coordinator_method(request->kind),
                                      .data = packed.data, .size = packed.size,
                                      .deadline_ms = caller->deadline_ms,
                                      .metadata = metadata, .n_metadata = n_metadata};
    rc = rpc_unary(caller->client, &unary, &response, err);
    wire_bytes_release(&packed);
    if (rc == STATUS_OK)
        rc = wire_coordinator_unpack(response.data, response.size, request->kind + 1, answer, err);
    free(response.data);
    return rc;
}
