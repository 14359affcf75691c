/* bus_int.h: frames, what is remembered of senders, and what a transport has to do.
 *
 * A frame, little endian:
 *   0  'S' 'A' 'B' version      4  length of the name      5  name
 *   .. incarnation (8)          .. sequence (8)            .. sender's clock in us (8)   .. state
 */
#ifndef BUS_BUS_INT_H
#define BUS_BUS_INT_H

#include "bus/bus.h"

enum { BUS_VERSION = 1, BUS_HEAD_MAX = 5 + BUS_NAME_MAX + 24, BUS_ENDPOINT_MAX = 256 };
enum { BUS_FRAME_MAX = BUS_HEAD_MAX + BUS_PAYLOAD_MAX };

struct bus_frame {
    char sender[BUS_NAME_MAX + 1];
    uint64_t incarnation, sequence;
    uint64_t sent_us;                   /* only differences mean something to others */
    const uint8_t *data;                /* borrowed from the bytes */
    size_t size;
};

/* Returns the number of bytes. The frame must be valid (asserted). */
size_t bus_frame_encode(const struct bus_frame *frame, uint8_t bytes[BUS_FRAME_MAX]);
/* false: this is no frame. */
bool bus_frame_decode(const uint8_t *bytes, size_t size, struct bus_frame *out);

/* ---- one sender, as a subscriber knows it: pure ---- */

struct bus_track {
    char sender[BUS_NAME_MAX + 1];
    uint64_t incarnation, sequence;
    uint64_t heard_us;                  /* last frame that was not stale */
    /* Least (our clock - sender's clock, modulo 2^64) of this minute and the one before: a frame
     * that took the quickest way. Clocks that drift apart are followed within two minutes. */
    uint64_t quickest, quickest_before;
    uint64_t minute_us;
    bool late;                          /* the frames since late_since_us all were */
    uint64_t late_since_us, late_quickest;
};

enum bus_verdict { BUS_TAKEN, BUS_STALE, BUS_LATE };

/* The first frame of a sender, or the first after a long silence. */
void bus_track_begin(struct bus_track *track, const struct bus_frame *frame, uint64_t now_us);
/* A further one. If all are late for twice age_max_us, the sender's clock has stood still for a
 * while (a machine that slept): it is believed as it is now. Frames from a buffer come faster. */
enum bus_verdict bus_track_frame(struct bus_track *track, const struct bus_frame *frame,
                                 uint64_t now_us, uint64_t age_max_us);

/* ---- transports ---- */

struct bus_socket;

struct bus_ops {
    enum status (*open)(struct bus *bus, bool publisher, const char *bind, struct bus_socket **out,
                        struct error *err);
    enum status (*connect)(struct bus_socket *socket, const struct bus_address *to,
                           struct error *err);
    void (*disconnect)(struct bus_socket *socket, const char *endpoint);
    const char *(*endpoint)(const struct bus_socket *socket);
    void (*send)(struct bus_socket *socket, const uint8_t *bytes, size_t size);
    /* false: nothing there. Bytes are borrowed until the next call. *user is who the key belongs
     * to, NULL when the transport does not say, "" when the key is not allowed (any more). */
    bool (*receive)(struct bus_socket *socket, const uint8_t **bytes, size_t *size,
                    const char **user);
    void (*wait)(struct bus_socket *socket, uint32_t timeout_ms);
    void (*close)(struct bus_socket *socket);
    enum status (*allow)(struct bus *bus, const char *key, const char *name, struct error *err);
    void (*forbid)(struct bus *bus, const char *key);
    uint64_t (*refused)(struct bus *bus);
    void (*free)(struct bus *bus);
};

/* The first member of either implementation's bus. */
struct bus {
    const struct bus_ops *ops;
    struct clock clock;
    uint32_t n_sockets;                 /* changed where sockets are made: one thread */
};

/* Public keys that may connect, and their names; the lock is inside. */
struct bus_allowed;
MUST_CHECK enum status bus_allowed_new(struct bus_allowed **out, struct error *err);
void bus_allowed_free(struct bus_allowed **allowed);
MUST_CHECK enum status bus_allowed_add(struct bus_allowed *allowed, const char *key,
                                       const char *name, struct error *err);
void bus_allowed_remove(struct bus_allowed *allowed, const char *key);
/* The name of a key: false when it is not listed. */
bool bus_allowed_name(struct bus_allowed *allowed, const char *key, char name[BUS_NAME_MAX + 1]);

#endif
