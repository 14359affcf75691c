/* What both transports share: frames out with a sequence, frames in against what is known. */
#include "bus/bus.h"

#include <stdlib.h>
#include <string.h>

#include "base/name.h"
#include "bus/bus_int.h"

/* A sender that was silent for so many times age_max_us is as good as new: one whose incarnation
 * went back (its clock was wrong) gets in again. */
enum { FORGET_AGES = 10 };

struct bus_publisher {
    struct bus *bus;
    struct bus_socket *socket;
    struct bus_frame frame;
    uint8_t bytes[BUS_FRAME_MAX];
};

struct bus_subscriber {
    struct bus *bus;
    struct bus_socket *socket;
    struct bus_counts counts;
    uint64_t age_max_us;
    uint32_t n_looked_at;               /* frames of this turn */
    size_t n, max;
    struct bus_track senders[];
};

/* ---- the bus ---- */

void bus_free(struct bus **bus)
{
    struct bus *old = *bus;
    *bus = NULL;
    if (!old)
        return;
    SA_ASSERT(old->n_sockets == 0);
    old->ops->free(old);
}

enum status bus_allow(struct bus *bus, const char *public_key, const char *name, struct error *err)
{
    return bus->ops->allow(bus, public_key, name, err);
}

void bus_forbid(struct bus *bus, const char *public_key)
{
    bus->ops->forbid(bus, public_key);
}

uint64_t bus_refused(struct bus *bus)
{
    return bus->ops->refused(bus);
}

/* ---- publisher ---- */

enum status bus_publisher_new(struct bus *bus, const struct bus_publisher_options *options,
                              struct bus_publisher **out, struct error *err)
{
    *out = NULL;
    if (!name_valid(options->name, strlen(options->name), BUS_NAME_MAX))
        return error_set(err, STATUS_INVALID, "bus: a sender's name has 1 to %d letters, digits, "
                         "- _ . :", BUS_NAME_MAX);
    struct bus_publisher *publisher = calloc(1, sizeof(*publisher));
    if (!publisher)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a publisher");
    enum status status = bus->ops->open(bus, true, options->bind, &publisher->socket, err);
    if (status != STATUS_OK) {
        free(publisher);
        return status;
    }
    publisher->bus = bus;
    memcpy(publisher->frame.sender, options->name, strlen(options->name));
    publisher->frame.incarnation = options->incarnation;
    bus->n_sockets++;
    *out = publisher;
    return STATUS_OK;
}

void bus_publisher_free(struct bus_publisher **publisher)
{
    struct bus_publisher *old = *publisher;
    *publisher = NULL;
    if (!old)
        return;
    old->bus->ops->close(old->socket);
    old->bus->n_sockets--;
    free(old);
}

enum status bus_publisher_connect(struct bus_publisher *publisher, const struct bus_address *to,
                                  struct error *err)
{
    return publisher->bus->ops->connect(publisher->socket, to, err);
}

void bus_publisher_disconnect(struct bus_publisher *publisher, const char *endpoint)
{
    publisher->bus->ops->disconnect(publisher->socket, endpoint);
}

const char *bus_publisher_endpoint(const struct bus_publisher *publisher)
{
    return publisher->bus->ops->endpoint(publisher->socket);
}

enum status bus_publish(struct bus_publisher *publisher, const uint8_t *data, size_t size,
                        struct error *err)
{
    struct bus_frame *frame = &publisher->frame;
    if (size > BUS_PAYLOAD_MAX)
        return error_set(err, STATUS_EXHAUSTED, "bus: a state of %zu bytes is too long, a frame "
                         "holds %d", size, BUS_PAYLOAD_MAX);
    frame->sequence++;
    frame->sent_us = clock_us(&publisher->bus->clock);
    frame->data = data;
    frame->size = size;
    size_t n = bus_frame_encode(frame, publisher->bytes);
    frame->data = NULL;
    publisher->bus->ops->send(publisher->socket, publisher->bytes, n);
    return STATUS_OK;
}

/* ---- subscriber ---- */

enum status bus_subscriber_new(struct bus *bus, const struct bus_subscriber_options *options,
                               struct bus_subscriber **out, struct error *err)
{
    *out = NULL;
    SA_ASSERT(options->senders_max > 0);
    struct bus_subscriber *subscriber = calloc(
        1, sizeof(*subscriber) + options->senders_max * sizeof(subscriber->senders[0]));
    if (!subscriber)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a subscriber");
    enum status status = bus->ops->open(bus, false, options->bind, &subscriber->socket, err);
    if (status != STATUS_OK) {
        free(subscriber);
        return status;
    }
    subscriber->bus = bus;
    subscriber->max = options->senders_max;
    subscriber->age_max_us = options->age_max_us;
    bus->n_sockets++;
    *out = subscriber;
    return STATUS_OK;
}

void bus_subscriber_free(struct bus_subscriber **subscriber)
{
    struct bus_subscriber *old = *subscriber;
    *subscriber = NULL;
    if (!old)
        return;
    old->bus->ops->close(old->socket);
    old->bus->n_sockets--;
    free(old);
}

enum status bus_subscriber_connect(struct bus_subscriber *subscriber, const struct bus_address *to,
                                   struct error *err)
{
    return subscriber->bus->ops->connect(subscriber->socket, to, err);
}

void bus_subscriber_disconnect(struct bus_subscriber *subscriber, const char *endpoint)
{
    subscriber->bus->ops->disconnect(subscriber->socket, endpoint);
}

const char *bus_subscriber_endpoint(const struct bus_subscriber *subscriber)
{
    return subscriber->bus->ops->endpoint(subscriber->socket);
}

struct bus_counts bus_subscriber_counts(const struct bus_subscriber *subscriber)
{
    return subscriber->counts;
}

void bus_wait(struct bus_subscriber *subscriber, uint32_t timeout_ms)
{
    subscriber->bus->ops->wait(subscriber->socket, timeout_ms);
}

/* A place for a sender that is not known: a fresh one, or that of the longest silent if it has
 * missed its time. NULL: all are alive. */
static struct bus_track *place_for(struct bus_subscriber *subscriber, uint64_t now_us)
{
    if (subscriber->n < subscriber->max)
        return &subscriber->senders[subscriber->n++];
    struct bus_track *oldest = &subscriber->senders[0];
    for (size_t i = 1; i < subscriber->n; i++)
        if (subscriber->senders[i].heard_us < oldest->heard_us)
            oldest = &subscriber->senders[i];
    return now_us - oldest->heard_us > subscriber->age_max_us ? oldest : NULL;
}

static struct bus_track *known(struct bus_subscriber *subscriber, const char *sender)
{
    for (size_t i = 0; i < subscriber->n; i++)
        if (strcmp(subscriber->senders[i].sender, sender) == 0)
            return &subscriber->senders[i];
    return NULL;
}

/* Counts it; true when it is news. */
static bool judge(struct bus_subscriber *subscriber, const struct bus_frame *frame)
{
    struct bus_counts *counts = &subscriber->counts;
    uint64_t now_us = clock_us(&subscriber->bus->clock);
    struct bus_track *track = known(subscriber, frame->sender);
    bool begins = !track || now_us - track->heard_us > FORGET_AGES * subscriber->age_max_us;
    if (!track)
        track = place_for(subscriber, now_us);
    if (!track) {
        counts->crowded++;
        return false;
    }
    enum bus_verdict verdict = BUS_TAKEN;
    if (begins)
        bus_track_begin(track, frame, now_us);
    else
        verdict = bus_track_frame(track, frame, now_us, subscriber->age_max_us);
    counts->taken += verdict == BUS_TAKEN;
    counts->stale += verdict == BUS_STALE;
    counts->late += verdict == BUS_LATE;
    return verdict == BUS_TAKEN;
}

bool bus_receive(struct bus_subscriber *subscriber, struct bus_message *out)
{
    const uint8_t *bytes;
    size_t size;
    const char *user;
    struct bus_frame frame;
    while (subscriber->n_looked_at < BUS_TURN_MAX &&
           subscriber->bus->ops->receive(subscriber->socket, &bytes, &size, &user)) {
        subscriber->n_looked_at++;
        if (!bus_frame_decode(bytes, size, &frame)) {
            subscriber->counts.malformed++;
        } else if (user && strcmp(user, frame.sender) != 0) {
            subscriber->counts.foreign++;
        } else if (judge(subscriber, &frame)) {
            *out = (struct bus_message){.incarnation = frame.incarnation,
                                        .sequence = frame.sequence, .data = frame.data,
                                        .size = frame.size};
            memcpy(out->sender, frame.sender, sizeof(out->sender));
            return true;
        }
    }
    subscriber->n_looked_at = 0;
    memset(out, 0, sizeof(*out));
    return false;
}
