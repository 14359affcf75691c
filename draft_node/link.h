/* link.h: the client's line to one of its targets: connects, reconnects, delivers frames as events.
 *
 *     DOWN --link_connect--> CALLING --accepted--> UP --broken, silent--> DOWN
 *
 * Callbacks of the rpc thread only put events into the inbox; the main thread takes them with
 * link_next. Events of an older call are dropped by their generation. What a target sends without
 * being asked fills the inbox, never the memory: beyond its cap the call ends.
 */
#ifndef DRAFT_NODE_LINK_H
#define DRAFT_NODE_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "rpc/rpc.h"
#include "wire/wire.h"

enum {
    LINK_TARGETS_MAX = 8,
    LINK_ADDRESS_MAX = 272,
    LINK_TICKET_MAX = 1024,
    LINK_POSTED_MAX = 2048,                 /* events of link_post that wait to be taken */
    LINK_INBOX_BYTES_MAX = 4 << 20          /* of frames that wait, beside one vocabulary */
};

struct link_options {
    uint32_t n_targets;
    char targets[LINK_TARGETS_MAX][LINK_ADDRESS_MAX];
    char tls_names[LINK_TARGETS_MAX][LINK_ADDRESS_MAX]; /* "": tls.server_name, or the host */
    struct placement *placement;            /* says which targets; NULL: those above */
    char ticket[2 * LINK_TICKET_MAX + 1];   /* hexadecimal, shown with each session; "": none */
    struct rpc_tls tls;
    bool tls_on;
    uint32_t connect_ms;
    const char *traceparent;                /* base/trace.h; borrowed; NULL: none */
};

enum link_event_kind {
    LINK_NOTHING,                           /* the time is over */
    LINK_UP,                                /* the target accepted the stream */
    LINK_DOWN,                              /* `error` says why */
    LINK_FRAME,                             /* `frame`: release it */
    LINK_ROOM,                              /* little is waiting to be sent: audio may follow */
    LINK_VOCABULARY,                        /* `bytes`: a packed vocabulary; free(bytes.data) */
    LINK_VOCABULARY_FAILED,                 /* `error` says why */
    LINK_AUDIO,                             /* live: free(samples); n_samples == 0: the end */
    LINK_AUDIO_FAILED                       /* `error` says why */
};

struct link_event {
    enum link_event_kind kind;
    uint32_t generation;
    size_t n_bytes;                         /* as it came from the target; 0: it did not */
    struct error error;
    struct wire_frame frame;
    struct wire_bytes bytes;
    int16_t *samples;
    size_t n_samples;
};

struct link;

MUST_CHECK enum status link_new(const struct link_options *options, struct link **out,
                                struct error *err);
void link_free(struct link **link);

/* Calls the target of that number in the options; a former call ends. */
MUST_CHECK enum status link_connect(struct link *link, uint32_t number, struct error *err);

/* Ends the present call, if any; its events are dropped. */
void link_disconnect(struct link *link);

/* Address of the target that is called or connected. */
const char *link_target(const struct link *link);

/* Bits of all numbers that have the present address: one target may stand in several places. */
uint32_t link_target_places(const struct link *link);

/* When the own certificate expires, in seconds since 1970; 0: there is none. */
int64_t link_certificate_expiry(const struct link *link);

/* Sends a frame; false: broken or full. Bytes that wait to be sent. */
bool link_send(struct link *link, const struct wire_frame *frame);
size_t link_queued(struct link *link);

/* Asks the connected target for its vocabulary: LINK_VOCABULARY or LINK_VOCABULARY_FAILED. */
void link_ask_vocabulary(struct link *link, uint64_t hash);

/* The next event, waiting at most timeout_us. Of older calls' events only a bounded number is
 * dropped at once: LINK_NOTHING may come while others wait. */
struct link_event link_next(struct link *link, int64_t timeout_us);

/* From another thread of this process (the reader of live audio). Takes the event's pointers; waits
 * while LINK_POSTED_MAX wait; false (the pointers stay the caller's): link_end_posts was called. */
bool link_post(struct link *link, const struct link_event *event);
void link_end_posts(struct link *link);

/* Frees what an event that nobody takes points to. */
void link_release_event(struct link_event *event);

#endif
