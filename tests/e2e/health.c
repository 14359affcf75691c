/* health ADDRESS SERVICE: asks grpc.health.v1.Health/Check and prints SERVING, NOT_SERVING or the
 * status's text. */
#include <stdio.h>
#include <stdlib.h>

#include "rpc/rpc.h"
#include "wire/health.h"

enum { DEADLINE_MS = 10000 };

static enum status check(struct rpc_client *client, const char *service, bool *serving,
                         struct error *err)
{
    struct wire_bytes request;
    struct rpc_bytes response = {0};
    enum status rc = wire_health_ask(service, &request, err);
    if (rc != STATUS_OK)
        return rc;
    struct rpc_unary_options unary = {.method = WIRE_HEALTH_METHOD, .data = request.data,
                                      .size = request.size, .deadline_ms = DEADLINE_MS};
    rc = rpc_unary(client, &unary, &response, err);
    if (rc == STATUS_OK)
        rc = wire_health_read(response.data, response.size, serving, err);
    wire_bytes_release(&request);
    free(response.data);
    return rc;
}

int main(int argc, char **argv)
{
    struct rpc_client *client = NULL;
    struct error err;
    bool serving = false;
    if (argc != 3) {
        fprintf(stderr, "usage: health HOST:PORT SERVICE\n");
        return 2;
    }
    struct rpc_client_options options = {.target = argv[1]};
    enum status rc = rpc_client_new(&options, &client, &err);
    if (rc == STATUS_OK)
        rc = check(client, argv[2], &serving, &err);
    puts(rc != STATUS_OK ? err.text : serving ? "SERVING" : "NOT_SERVING");
    rpc_client_free(&client);
    return rc == STATUS_OK ? 0 : 1;
}
