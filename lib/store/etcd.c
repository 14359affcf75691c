#include "store/etcd.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/queue.h"

enum {
    EVENTS_MAX = 256,
    MESSAGE_MAX = 256 * 1024,
    /* etcd ends links that ping more often than every 5 s; the lease's answers tell sooner. */
    PING_MS = 10000,
    PING_TIMEOUT_MS = 3000
};

/* What a stream's callback hands to the thread. */
struct event {
    enum etcd_event kind;               /* ETCD_BROKEN: only to wake it */
    size_t size;
    uint8_t bytes[];
};

struct etcd {
    struct etcd_options options;
    uint32_t number;                    /* of the endpoint */
    struct rpc_client *client;          /* NULL: no link */
    struct rpc_call *lease, *watch;
    struct queue *events;
    char token[ETCD_TOKEN_MAX];
    pthread_mutex_t lock;               /* of all below */
    bool broken;                        /* a stream of this link is over: not an event that a full
                                         * queue could lose */
    struct error why;
};

/* ---- streams; on the rpc thread ---- */

/* A full queue: the reader is far behind, and will find the link broken when it comes. */
static void push(struct rpc_call *call, struct event *event)
{
    struct etcd *etcd = rpc_user(call);
    if (event && queue_push(etcd->events, event) == QUEUE_OK)
        return;
    free(event);
    rpc_cancel(call);
}

static void push_bytes(struct rpc_call *call, enum etcd_event kind, const uint8_t *data,
                       size_t size)
{
    struct event *event = calloc(1, sizeof(*event) + size);
    if (event) {
        event->kind = kind;
        event->size = size;
        if (size)
            memcpy(event->bytes, data, size);
    }
    push(call, event);
}

static void on_alive(struct rpc_call *call, const uint8_t *data, size_t size)
{
    push_bytes(call, ETCD_ALIVE, data, size);
}

static void on_changes(struct rpc_call *call, const uint8_t *data, size_t size)
{
    push_bytes(call, ETCD_CHANGES, data, size);
}

static void on_done(struct rpc_call *call, enum status code, const char *message)
{
    struct etcd *etcd = rpc_user(call);
    pthread_mutex_lock(&etcd->lock);
    if (!etcd->broken)
        error_set(&etcd->why, code, "%s",
                  code == STATUS_OK ? "the server ended the stream" : message);
    etcd->broken = true;
    pthread_mutex_unlock(&etcd->lock);
    struct event *event = calloc(1, sizeof(*event));
    if (event)
        event->kind = ETCD_BROKEN;
    if (event && queue_push(etcd->events, event) != QUEUE_OK)
        free(event);                    /* full: nobody sleeps there */
}

static const struct rpc_handler lease_handler = {.on_message = on_alive, .on_done = on_done};
static const struct rpc_handler watch_handler = {.on_message = on_changes, .on_done = on_done};

/* ---- links ---- */

enum status etcd_new(const struct etcd_options *options, struct etcd **out, struct error *err)
{
    struct etcd *etcd = calloc(1, sizeof(*etcd));
    *out = NULL;
    if (!etcd)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the client of etcd");
    SA_ASSERT(options->n_endpoints > 0 && options->n_endpoints <= ETCD_ENDPOINTS_MAX);
    pthread_mutex_init(&etcd->lock, NULL);
    etcd->options = *options;
    etcd->number = options->n_endpoints - 1;
    enum status rc = queue_new(EVENTS_MAX, &etcd->events, err);
    if (rc != STATUS_OK)
        etcd_free(&etcd);
    *out = etcd;
    return rc;
}

const char *etcd_endpoint(const struct etcd *etcd)
{
    return etcd->options.endpoints[etcd->number];
}

void etcd_close(struct etcd *etcd)
{
    void *event;
    rpc_client_free(&etcd->client);     /* every on_done has come */
    rpc_unref(etcd->lease);
    rpc_unref(etcd->watch);
    etcd->lease = etcd->watch = NULL;
    etcd->broken = false;
    etcd->token[0] = '\0';
    while (queue_pop(etcd->events, 0, &event) == QUEUE_OK)
        free(event);
}

void etcd_free(struct etcd **etcd)
{
    if (!*etcd)
        return;
    if ((*etcd)->events)
        etcd_close(*etcd);
    queue_free(&(*etcd)->events);
    pthread_mutex_destroy(&(*etcd)->lock);
    explicit_bzero((*etcd)->options.password, sizeof((*etcd)->options.password));
    free(*etcd);
    *etcd = NULL;
}

/* ---- calls ---- */

/* Takes `request`; *answer is the caller's to free. */
static enum status call(struct etcd *etcd, const char *method, struct etcd_bytes *request,
                        struct rpc_bytes *answer, struct error *err)
{
    const struct rpc_metadata token = {"token", etcd->token};
    struct rpc_unary_options unary = {.method = method, .data = request->data,
                                      .size = request->size,
                                      .deadline_ms = etcd->options.call_ms, .metadata = &token,
                                      .n_metadata = etcd->token[0] ? 1 : 0};
    SA_ASSERT(etcd->client);
    enum status rc = rpc_unary(etcd->client, &unary, answer, err);
    free(request->data);
    *request = (struct etcd_bytes){0};
    return rc;
}

/* The same where the answer says nothing more than that it was done. */
static enum status tell(struct etcd *etcd, const char *method, struct etcd_bytes *request,
                        struct error *err)
{
    struct rpc_bytes answer = {0};
    enum status rc = call(etcd, method, request, &answer, err);
    free(answer.data);
    return rc;
}

static enum status log_in(struct etcd *etcd, struct error *err)
{
    struct etcd_bytes request;
    struct rpc_bytes answer = {0};
    if (!etcd->options.user[0])
        return STATUS_OK;
    enum status rc = etcd_pack_login(etcd->options.user, etcd->options.password, &request, err);
    if (rc == STATUS_OK)
        rc = call(etcd, "/etcdserverpb.Auth/Authenticate", &request, &answer, err);
    if (rc == STATUS_OK)
        rc = etcd_unpack_login(answer.data, answer.size, etcd->token, err);
    free(answer.data);
    return rc;
}

enum status etcd_open(struct etcd *etcd, struct error *err)
{
    etcd_close(etcd);
    etcd->number = (etcd->number + 1) % etcd->options.n_endpoints;
    struct rpc_client_options options = {
        .target = etcd_endpoint(etcd), .tls = etcd->options.tls,
        .limits = {.message_max = MESSAGE_MAX},
        .keepalive = {.interval_ms = PING_MS, .timeout_ms = PING_TIMEOUT_MS},
        .connect_ms = etcd->options.call_ms};
    enum status rc = rpc_client_new(&options, &etcd->client, err);
    if (rc == STATUS_OK)
        rc = log_in(etcd, err);
    if (rc != STATUS_OK)
        etcd_close(etcd);
    return rc;
}

enum status etcd_range(struct etcd *etcd, const char *prefix, struct etcd_entries *out,
                       struct error *err)
{
    struct etcd_bytes request;
    struct rpc_bytes answer = {0};
    enum status rc = etcd_pack_range(prefix, &request, err);
    if (rc == STATUS_OK)
        rc = call(etcd, "/etcdserverpb.KV/Range", &request, &answer, err);
    if (rc == STATUS_OK)
        rc = etcd_unpack_range(answer.data, answer.size, out, err);
    free(answer.data);
    return rc;
}

enum status etcd_put(struct etcd *etcd, const struct etcd_put *put, struct error *err)
{
    struct etcd_bytes request;
    enum status rc = etcd_pack_put(put, &request, err);
    return rc == STATUS_OK ? tell(etcd, "/etcdserverpb.KV/Put", &request, err) : rc;
}

enum status etcd_txn(struct etcd *etcd, const struct etcd_txn *txn, bool *succeeded,
                     struct error *err)
{
    struct etcd_bytes request;
    struct rpc_bytes answer = {0};
    *succeeded = false;
    enum status rc = etcd_pack_txn(txn, &request, err);
    if (rc == STATUS_OK)
        rc = call(etcd, "/etcdserverpb.KV/Txn", &request, &answer, err);
    if (rc == STATUS_OK)
        rc = etcd_unpack_txn(answer.data, answer.size, succeeded, err);
    free(answer.data);
    return rc;
}

enum status etcd_grant(struct etcd *etcd, int64_t *ttl_s, int64_t *lease, struct error *err)
{
    struct etcd_bytes request;
    struct rpc_bytes answer = {0};
    *lease = 0;
    enum status rc = etcd_pack_grant(*ttl_s, &request, err);
    if (rc == STATUS_OK)
        rc = call(etcd, "/etcdserverpb.Lease/LeaseGrant", &request, &answer, err);
    if (rc == STATUS_OK)
        rc = etcd_unpack_grant(answer.data, answer.size, lease, ttl_s, err);
    free(answer.data);
    return rc;
}

enum status etcd_revoke(struct etcd *etcd, int64_t lease, struct error *err)
{
    struct etcd_bytes request;
    enum status rc = etcd_pack_revoke(lease, &request, err);
    return rc == STATUS_OK ? tell(etcd, "/etcdserverpb.Lease/LeaseRevoke", &request, err) : rc;
}

/* ---- streams ---- */

/* A member that is cut off from the others ends them instead of saying nothing. */
static enum status open_stream(struct etcd *etcd, const char *method,
                               const struct rpc_handler *handler, struct rpc_call **out,
                               struct error *err)
{
    const struct rpc_metadata metadata[] = {{"hasleader", "true"}, {"token", etcd->token}};
    struct rpc_open_options options = {.method = method, .handler = handler, .user = etcd,
                                       .metadata = metadata,
                                       .n_metadata = etcd->token[0] ? 2 : 1};
    SA_ASSERT(etcd->client);
    return rpc_open(etcd->client, &options, out, err);
}

static enum status send_request(struct etcd *etcd, struct rpc_call *stream,
                                struct etcd_bytes *request, struct error *err)
{
    enum rpc_sent sent = rpc_send(stream, request->data, request->size);
    free(request->data);
    return sent == RPC_SENT
               ? STATUS_OK
               : error_set(err, STATUS_CLOSED, "%s: the stream is closed", etcd_endpoint(etcd));
}

enum status etcd_keep_alive(struct etcd *etcd, int64_t lease, struct error *err)
{
    struct etcd_bytes request;
    enum status rc = STATUS_OK;
    if (!etcd->lease)
        rc = open_stream(etcd, "/etcdserverpb.Lease/LeaseKeepAlive", &lease_handler, &etcd->lease,
                         err);
    if (rc == STATUS_OK)
        rc = etcd_pack_alive(lease, &request, err);
    return rc == STATUS_OK ? send_request(etcd, etcd->lease, &request, err) : rc;
}

enum status etcd_watch(struct etcd *etcd, const char *prefix, int64_t from_revision,
                       struct error *err)
{
    struct etcd_bytes request;
    SA_ASSERT(!etcd->watch);
    enum status rc =
        open_stream(etcd, "/etcdserverpb.Watch/Watch", &watch_handler, &etcd->watch, err);
    if (rc == STATUS_OK)
        rc = etcd_pack_watch(prefix, from_revision, &request, err);
    return rc == STATUS_OK ? send_request(etcd, etcd->watch, &request, err) : rc;
}

/* What came before it was handed out first. */
static void look_whether_broken(struct etcd *etcd, struct etcd_news *out)
{
    pthread_mutex_lock(&etcd->lock);
    out->event = etcd->broken ? ETCD_BROKEN : ETCD_NOTHING;
    out->err = etcd->why;
    pthread_mutex_unlock(&etcd->lock);
}

void etcd_next(struct etcd *etcd, int64_t timeout_us, struct etcd_news *out)
{
    void *item;
    enum status rc = STATUS_OK;
    if (queue_pop(etcd->events, timeout_us, &item) != QUEUE_OK) {
        look_whether_broken(etcd, out);
        return;
    }
    struct event *event = item;
    out->event = event->kind;
    if (event->kind == ETCD_BROKEN)
        look_whether_broken(etcd, out);
    else if (event->kind == ETCD_ALIVE)
        rc = etcd_unpack_alive(event->bytes, event->size, &out->ttl_s, &out->err);
    else
        rc = etcd_unpack_watch(event->bytes, event->size, &out->entries, &out->err);
    if (rc != STATUS_OK)
        out->event = ETCD_BROKEN;
    free(event);
}
