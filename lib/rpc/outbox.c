#include <stdlib.h>
#include <string.h>

#include "rpc/rpc_int.h"

enum rpc_sent rpc_outbox_push(struct rpc_outbox *outbox, const uint8_t *data, size_t size)
{
    const struct rpc_limits *limits = &outbox->limits;
    if (size > limits->message_max)
        return RPC_TOO_LARGE;
    if (outbox->n > 0
        && (outbox->n >= limits->queue_messages || outbox->bytes + size > limits->queue_bytes))
        return RPC_FULL;
    struct rpc_message *message = malloc(sizeof(*message) + size);
    if (!message)
        return RPC_FULL;
    message->next = NULL;
    message->size = size;
    if (size)
        memcpy(message->data, data, size);
    if (outbox->last)
        outbox->last->next = message;
    else
        outbox->first = message;
    outbox->last = message;
    outbox->n++;
    outbox->bytes += size;
    return RPC_SENT;
}

struct rpc_message *rpc_outbox_pop(struct rpc_outbox *outbox)
{
    struct rpc_message *message = outbox->first;
    if (!message)
        return NULL;
    outbox->first = message->next;
    if (!outbox->first)
        outbox->last = NULL;
    outbox->n--;
    outbox->bytes -= message->size;
    return message;
}

void rpc_outbox_clear(struct rpc_outbox *outbox)
{
    for (struct rpc_message *m; (m = rpc_outbox_pop(outbox)) != NULL;)
        free(m);
}
