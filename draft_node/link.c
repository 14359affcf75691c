#include "link.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/queue.h"
#include "base/trace.h"
#include "place.h"

enum {
    INBOX_MAX = 2 * LINK_POSTED_MAX,
    ROOM_BYTES = 8192,
    STALE_MAX = 64,
    VOCABULARY_MS = 10000                   /* for its call, which a target might never end */
};

struct link {
    struct link_options options;
    struct queue *inbox;
    struct rpc_client *client;
    struct rpc_call *call;
    uint32_t number;                        /* of the target called last */
    uint32_t generation;                    /* of the call */
    const char *address;
    atomic_bool posts_ended;
    atomic_size_t inbox_bytes;              /* of frames in the inbox */
};

/* What a call's callbacks know; freed with the last of them. */
struct line {
    struct link *link;
    uint32_t generation;
    bool answered;
};

void link_release_event(struct link_event *event)
{
    if (event->kind == LINK_FRAME)
        wire_frame_release(&event->frame);
    free(event->bytes.data);
    free(event->samples);
}

static bool push(struct link *link, const struct link_event *event)
{
    struct link_event *copy = malloc(sizeof(*copy));
    if (copy)
        *copy = *event;
    atomic_fetch_add(&link->inbox_bytes, event->n_bytes);
    if (copy && queue_push(link->inbox, copy) == QUEUE_OK)
        return true;
    atomic_fetch_sub(&link->inbox_bytes, event->n_bytes);
    free(copy);
    return false;
}

/* ---- rpc thread ---- */

static void session_on_open(struct rpc_call *call)
{
    struct line *line = rpc_user(call);
    struct link_event event = {.kind = LINK_UP, .generation = line->generation};
    (void)push(line->link, &event);
}

static void session_on_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    struct line *line = rpc_user(call);
    struct link_event event = {.kind = LINK_FRAME, .generation = line->generation};
    bool floods = atomic_load(&line->link->inbox_bytes) + size > LINK_INBOX_BYTES_MAX;
    enum status rc = floods ? error_set(&event.error, STATUS_EXHAUSTED, "the target sends more "
                                        "than can be read")
                            : wire_unpack(data, size, false, &event.frame, &event.error);
    event.n_bytes = size;
    if (rc != STATUS_OK) {
        event.kind = LINK_DOWN;
        event.n_bytes = 0;
        if (!floods)
            error_prefix(&event.error, "the target sent a frame that cannot be read");
        rpc_cancel(call);
    }
    if (!push(line->link, &event) && event.kind == LINK_FRAME) {
        wire_frame_release(&event.frame);
        rpc_cancel(call);                   /* a frame was lost: resume on a new stream */
    }
}

static void session_on_sent(struct rpc_call *call, size_t queued_bytes)
{
    struct line *line = rpc_user(call);
    struct link_event event = {.kind = LINK_ROOM, .generation = line->generation};
    if (queued_bytes < ROOM_BYTES)
        (void)push(line->link, &event);
}

static void session_on_done(struct rpc_call *call, enum status code, const char *message)
{
    struct line *line = rpc_user(call);
    struct link_event event = {.kind = LINK_DOWN, .generation = line->generation};
    error_set(&event.error, code == STATUS_OK ? STATUS_CLOSED : code, "%s",
              message && *message ? message : "the target closed the stream");
    (void)push(line->link, &event);
    free(line);
}

static const struct rpc_handler session_handler = {
    .on_open = session_on_open,
    .on_message = session_on_message,
    .on_sent = session_on_sent,
    .on_done = session_on_done,
};

static void vocabulary_on_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    struct line *line = rpc_user(call);
    struct link_event event = {.kind = LINK_VOCABULARY, .generation = line->generation};
    if (line->answered) {
        rpc_cancel(call);                   /* one was asked for; it might go on for ever */
        return;
    }
    event.bytes.data = malloc(size ? size : 1);
    if (!event.bytes.data)
        return;
    memcpy(event.bytes.data, data, size);
    event.bytes.size = size;
    line->answered = push(line->link, &event);
    if (!line->answered)
        free(event.bytes.data);
}

static void vocabulary_on_done(struct rpc_call *call, enum status code, const char *message)
{
    struct line *line = rpc_user(call);
    struct link_event event = {.kind = LINK_VOCABULARY_FAILED, .generation = line->generation};
    error_set(&event.error, code == STATUS_OK ? STATUS_CLOSED : code, "%s",
              message && *message ? message : "no answer");
    if (!line->answered)
        (void)push(line->link, &event);
    free(line);
}

static const struct rpc_handler vocabulary_handler = {
    .on_message = vocabulary_on_message,
    .on_done = vocabulary_on_done,
};

/* ---- main thread ---- */

enum status link_new(const struct link_options *options, struct link **out, struct error *err)
{
    struct link *link = calloc(1, sizeof(*link));
    *out = NULL;
    if (!link)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the link");
    SA_ASSERT(options->n_targets > 0 && options->n_targets <= LINK_TARGETS_MAX);
    link->options = *options;
    link->address = link->options.targets[0];
    enum status rc = queue_new(INBOX_MAX, &link->inbox, err);
    if (rc != STATUS_OK) {
        free(link);
        return rc;
    }
    *out = link;
    return STATUS_OK;
}

void link_disconnect(struct link *link)
{
    link->generation++;
    if (link->call)
        rpc_cancel(link->call);
    rpc_unref(link->call);
    link->call = NULL;
    rpc_client_free(&link->client);         /* waits for the last callbacks */
}

void link_free(struct link **link_ptr)
{
    struct link *link = *link_ptr;
    void *item;
    if (!link)
        return;
    link_disconnect(link);
    while (queue_pop(link->inbox, 0, &item) == QUEUE_OK) {
        link_release_event(item);
        free(item);
    }
    queue_free(&link->inbox);
    free(link);
    *link_ptr = NULL;
}

static enum status open_call(struct link *link, const char *method,
                             const struct rpc_handler *handler, struct rpc_call **out,
                             struct error *err)
{
    struct line *line = malloc(sizeof(*line));
    if (!line)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a call");
    *line = (struct line){.link = link, .generation = link->generation};
    struct rpc_metadata metadata[2];
    struct rpc_open_options options = {.method = method, .handler = handler, .user = line,
                                       .metadata = metadata};
    if (handler == &vocabulary_handler)
        options.deadline_ms = VOCABULARY_MS;
    if (link->options.ticket[0])
        metadata[options.n_metadata++] = (struct rpc_metadata){"specasr-ticket",
                                                               link->options.ticket};
    if (link->options.traceparent)
        metadata[options.n_metadata++] = (struct rpc_metadata){TRACE_HEADER,
                                                               link->options.traceparent};
    enum status rc = rpc_open(link->client, &options, out, err);
    if (rc != STATUS_OK)
        free(line);
    return rc;
}

enum status link_connect(struct link *link, uint32_t number, struct error *err)
{
    SA_ASSERT(number < link->options.n_targets);
    link_disconnect(link);
    if (link->options.placement) {
        if (link->generation > 1)           /* not the first call: that one failed */
            placement_ask(link->options.placement, link->address);
        placement_fill(link->options.placement, &link->options, number);
    }
    link->number = number;
    link->address = link->options.targets[number];
    struct rpc_client_options options = {
        .target = link->address,
        .limits = {.message_max = WIRE_VOCABULARY_MAX},
        .connect_ms = link->options.connect_ms,
    };
    if (link->options.tls_on)
        options.tls = link->options.tls;
    options.tls.system = link->options.tls_on;
    if (link->options.tls_on && link->options.tls_names[number][0])
        options.tls.server_name = link->options.tls_names[number];
    enum status rc = rpc_client_new(&options, &link->client, err);
    if (rc == STATUS_OK)
        rc = open_call(link, "/specasr.v1.Verify/Session", &session_handler, &link->call, err);
    return rc;
}

const char *link_target(const struct link *link)
{
    return link->address;
}

uint32_t link_target_places(const struct link *link)
{
    uint32_t places = 0;
    for (uint32_t i = 0; i < link->options.n_targets; i++)
        if (strcmp(link->options.targets[i], link->address) == 0)
            places |= 1u << i;
    return places;
}

int64_t link_certificate_expiry(const struct link *link)
{
    return link->client ? rpc_client_certificate_expiry(link->client) : 0;
}

bool link_send(struct link *link, const struct wire_frame *frame)
{
    struct wire_bytes bytes;
    if (!link->call || wire_pack(frame, &bytes, NULL) != STATUS_OK)
        return false;
    enum rpc_sent sent = rpc_send(link->call, bytes.data, bytes.size);
    wire_bytes_release(&bytes);
    return sent == RPC_SENT;
}

size_t link_queued(struct link *link)
{
    return link->call ? rpc_queued_bytes(link->call) : 0;
}

void link_ask_vocabulary(struct link *link, uint64_t hash)
{
    struct wire_bytes bytes;
    struct rpc_call *call;
    struct link_event failed = {.kind = LINK_VOCABULARY_FAILED, .generation = link->generation};
    enum status rc = wire_vocabulary_request_pack(hash, &bytes, &failed.error);
    if (rc == STATUS_OK) {
        rc = open_call(link, "/specasr.v1.Verify/GetVocabulary", &vocabulary_handler, &call,
                       &failed.error);
        if (rc == STATUS_OK) {
            (void)rpc_send(call, bytes.data, bytes.size);
            rpc_half_close(call);
            rpc_unref(call);
        }
        wire_bytes_release(&bytes);
    }
    if (rc != STATUS_OK)
        (void)push(link, &failed);
}

struct link_event link_next(struct link *link, int64_t timeout_us)
{
    void *item;
    struct link_event event = {.kind = LINK_NOTHING};
    for (uint32_t i = 0; i < STALE_MAX; i++) {
        if (queue_pop(link->inbox, timeout_us, &item) != QUEUE_OK)
            break;
        event = *(struct link_event *)item;
        free(item);
        atomic_fetch_sub(&link->inbox_bytes, event.n_bytes);
        bool live = event.kind == LINK_AUDIO || event.kind == LINK_AUDIO_FAILED;
        if (live || event.generation == link->generation)
            return event;
        link_release_event(&event);
        event = (struct link_event){.kind = LINK_NOTHING};
    }
    return event;
}

bool link_post(struct link *link, const struct link_event *event)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    while (!atomic_load(&link->posts_ended)) {
        if (queue_count(link->inbox) < LINK_POSTED_MAX && push(link, event))
            return true;
        nanosleep(&pause, NULL);            /* audio is far ahead of the target */
    }
    return false;
}

void link_end_posts(struct link *link)
{
    atomic_store(&link->posts_ended, true);
}
