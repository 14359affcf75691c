/* bus.h: the state of many processes, published again and again, newest wins.
 *
 * Nothing here is a request: a publisher sends its full state every 250 ms to whoever listens, a
 * subscriber keeps what is new. A frame that is lost, late or refused changes nothing but the age
 * of what is known, so everything works on when the bus is gone.
 *
 *     target: publisher  "t1"  --connect-->  bind: coordinator's subscriber      load and price
 *     target: subscriber       --connect-->  bind: coordinator's publisher       policy
 *
 * Either end may bind. Connections are made, kept and made again behind the scenes. Queues hold 4
 * frames on each side; who does not read misses frames, nobody waits. A subscriber drops
 *   - what is not newer by (incarnation, sequence) of its sender;
 *   - what lay in buffers for more than age_max_us longer than that sender's quickest frame;
 *   - what is no frame, or names another sender than its key belongs to.
 *
 * Two implementations: ZeroMQ over TCP, and an in-process twin (bus_local.h). With keys ZeroMQ
 * speaks CURVE: the end that binds lets only keys in that bus_allow listed, the end that connects
 * knows the other's public key. Without keys only loopback is allowed.
 *
 * Threads: a publisher or subscriber belongs to one thread at a time; bus_allow, bus_forbid and
 * bus_refused may be called from any.
 */
#ifndef BUS_BUS_H
#define BUS_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/status.h"

enum {
    BUS_NAME_MAX = 64,                  /* of a sender: letters, digits, - _ . : */
    BUS_PAYLOAD_MAX = 16384,
    BUS_QUEUE = 4,                      /* high-water mark of each side */
    BUS_KEY_TEXT = 41,                  /* Z85 text of a CURVE key and its zero */
    BUS_ALLOWED_MAX = 1024,
    BUS_PERIOD_US = 250000
};

struct bus;
struct bus_publisher;
struct bus_subscriber;

struct bus_keys {
    char public_key[BUS_KEY_TEXT];
    char secret_key[BUS_KEY_TEXT];
};

MUST_CHECK enum status bus_keys_generate(struct bus_keys *keys, struct error *err);

/* ZeroMQ, with one thread of its own for input and output, and one that checks keys. `keys` is
 * copied; NULL: plain text, on loopback only. `clock` tells the age of frames. STATUS_INVALID (a
 * key that is none), _NO_MEMORY, _EXHAUSTED (threads or sockets). */
MUST_CHECK enum status bus_new(const struct bus_keys *keys, struct clock clock, struct bus **out,
                               struct error *err);

/* Its publishers and subscribers must be freed first (asserted). Accepts NULL; nulls the
 * pointer. */
void bus_free(struct bus **bus);

/* Whoever has this public key may connect and send as `name`; a known key gets the new name.
 * STATUS_INVALID (no key, no name), _EXHAUSTED (above BUS_ALLOWED_MAX). */
MUST_CHECK enum status bus_allow(struct bus *bus, const char *public_key, const char *name,
                                 struct error *err);

/* No new connections with this key, and what it sends over an old one is dropped. (A subscriber
 * that is connected goes on hearing: a policy is no secret.) */
void bus_forbid(struct bus *bus, const char *public_key);

/* Connections that were refused for their key. */
uint64_t bus_refused(struct bus *bus);

/* "tcp://host:port"; to bind, "tcp://127.0.0.1:*" takes any port. The twin takes any text. */
struct bus_address {
    const char *endpoint;
    const char *key;                    /* public key of the end that binds; NULL in plain text */
};

/* ---- publisher ---- */

struct bus_publisher_options {
    const char *name;                   /* of the sender */
    uint64_t incarnation;               /* larger with each start of the process of that name */
    const char *bind;                   /* NULL: only connects */
};

/* STATUS_INVALID, _UNAVAILABLE (port in use), _DENIED (plain text off loopback), _NO_MEMORY. */
MUST_CHECK enum status bus_publisher_new(struct bus *bus,
                                         const struct bus_publisher_options *options,
                                         struct bus_publisher **out, struct error *err);
void bus_publisher_free(struct bus_publisher **publisher);

/* A subscriber that binds there. It need not be up. Connecting twice is one connection. */
MUST_CHECK enum status bus_publisher_connect(struct bus_publisher *publisher,
                                             const struct bus_address *to, struct error *err);
void bus_publisher_disconnect(struct bus_publisher *publisher, const char *endpoint);

/* The bound endpoint with its port; "" when not bound. */
const char *bus_publisher_endpoint(const struct bus_publisher *publisher);

/* Sends the whole state. Never blocks; who is not there or too slow misses it. STATUS_EXHAUSTED: it
 * has more than BUS_PAYLOAD_MAX bytes; nothing is sent (a part would be another state). */
MUST_CHECK enum status bus_publish(struct bus_publisher *publisher, const uint8_t *data,
                                   size_t size, struct error *err);

/* ---- subscriber ---- */

struct bus_subscriber_options {
    const char *bind;                   /* NULL: only connects */
    uint32_t senders_max;               /* remembered at once; the longest silent makes room */
    uint64_t age_max_us;                /* usually 3 periods */
};

MUST_CHECK enum status bus_subscriber_new(struct bus *bus,
                                          const struct bus_subscriber_options *options,
                                          struct bus_subscriber **out, struct error *err);
void bus_subscriber_free(struct bus_subscriber **subscriber);
MUST_CHECK enum status bus_subscriber_connect(struct bus_subscriber *subscriber,
                                              const struct bus_address *to, struct error *err);
void bus_subscriber_disconnect(struct bus_subscriber *subscriber, const char *endpoint);
const char *bus_subscriber_endpoint(const struct bus_subscriber *subscriber);

struct bus_message {
    char sender[BUS_NAME_MAX + 1];
    uint64_t incarnation, sequence;
    const uint8_t *data;                /* borrowed until the next call */
    size_t size;
};

enum { BUS_TURN_MAX = 256 };

/* The next frame that is new; false: no more for now, or BUS_TURN_MAX frames (refused ones too)
 * were looked at since the last false: no peer can make a turn endless. Call it until
 * false: only then is what was kept the newest, of those. */
bool bus_receive(struct bus_subscriber *subscriber, struct bus_message *out);

/* Sleeps until something comes, at most timeout_ms. The twin returns at once. */
void bus_wait(struct bus_subscriber *subscriber, uint32_t timeout_ms);

struct bus_counts {
    uint64_t taken;
    uint64_t stale;                     /* not newer than what was there */
    uint64_t late;                      /* lay in buffers */
    uint64_t foreign;                   /* a name that is not the key's, or a key that is out */
    uint64_t malformed;
    uint64_t crowded;                   /* senders_max others were heard a moment ago */
};
struct bus_counts bus_subscriber_counts(const struct bus_subscriber *subscriber);

#endif
