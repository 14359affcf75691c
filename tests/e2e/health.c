/* health ADDRESS SERVICE: asks grpc.health.v1.Health/Check and prints SERVING, NOT_SERVING or the
 * status's text. With --watch as a third argument: Watch, one line for each change, until the
 * server ends the call. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rpc/rpc.h"
#include "wire/health.h"

enum { DEADLINE_MS = 10000 };

static const char *const words[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};

static enum status check(struct rpc_client *client, const struct wire_bytes *request,
                         struct error *err)
{
    struct rpc_bytes response = {0};
    enum wire_health state;
    struct rpc_unary_options unary = {.method = WIRE_HEALTH_CHECK, .data = request->data,
                                      .size = request->size, .deadline_ms = DEADLINE_MS};
    enum status rc = rpc_unary(client, &unary, &response, err);
    if (rc == STATUS_OK)
        rc = wire_health_read(response.data, response.size, &state, err);
    if (rc == STATUS_OK)
        puts(words[state]);
    free(response.data);
    return rc;
}

static void on_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    enum wire_health state;
    if (wire_health_read(data, size, &state, NULL) == STATUS_OK)
        puts(words[state]);
    fflush(stdout);
    (void)call;
}

/* The end of the pipe is what the main thread waits for. */
static void on_done(struct rpc_call *call, enum status code, const char *message)
{
    (void)code;
    puts(message);
    fflush(stdout);
    close(*(int *)rpc_user(call));
}

static enum status watch(struct rpc_client *client, const struct wire_bytes *request,
                         struct error *err)
{
    static const struct rpc_handler handler = {.on_message = on_message, .on_done = on_done};
    struct rpc_call *call;
    char byte;
    int ends[2];
    if (pipe(ends) != 0)
        return error_set(err, STATUS_IO, "no pipe");
    struct rpc_open_options open = {.method = WIRE_HEALTH_WATCH, .handler = &handler,
                                    .user = &ends[1]};
    enum status rc = rpc_open(client, &open, &call, err);
    if (rc != STATUS_OK)
        return rc;
    (void)rpc_send(call, request->data, request->size);
    rpc_half_close(call);
    while (read(ends[0], &byte, 1) > 0)
        ;
    close(ends[0]);
    rpc_unref(call);
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    struct rpc_client *client = NULL;
    struct wire_bytes request = {0};
    struct error err;
    bool watches = argc == 4 && strcmp(argv[3], "--watch") == 0;
    if (argc != 3 && !watches) {
        fprintf(stderr, "usage: health HOST:PORT SERVICE [--watch]\n");
        return 2;
    }
    struct rpc_client_options options = {.target = argv[1]};
    enum status rc = rpc_client_new(&options, &client, &err);
    if (rc == STATUS_OK)
        rc = wire_health_ask(argv[2], &request, &err);
    if (rc == STATUS_OK)
        rc = watches ? watch(client, &request, &err) : check(client, &request, &err);
    if (rc != STATUS_OK)
        puts(err.text);
    wire_bytes_release(&request);
    rpc_client_free(&client);
    return rc == STATUS_OK ? 0 : 1;
}
