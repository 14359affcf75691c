/* coordinator_frames.h: the messages of the Coordinator service as plain, validated C structs.
 *
 * All calls are unary: a request's kind is even, its answer's kind is the next one. The same rules
 * check what we send (an assertion) and what a peer sends (a status); see wire.h.
 */
#ifndef WIRE_COORDINATOR_FRAMES_H
#define WIRE_COORDINATOR_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "wire/vocabulary.h"

enum {
    WIRE_CLUSTER_MAX = 1 << 20,         /* bytes of a message */
    WIRE_CLUSTER_TARGETS_MAX = 256,     /* of a list */
    WIRE_PLACED_MAX = 3,
    WIRE_DISTANCES_MAX = 16,
    WIRE_AVOID_MAX = 8,
    WIRE_ADDRESS_MAX = 272,             /* "host:port" with its end */
    WIRE_TLS_NAME_MAX = 256,
    WIRE_TICKET_MAX = 1024,
    WIRE_REASON_MAX = 160,
    WIRE_BUS_KEY_MAX = 41,              /* 40 characters of Z85 and the end */
    WIRE_COORDINATORS_MAX = 8
};

/* The method of request kind k is wire_coordinator_method(k). */
enum wire_coordinator_kind {
    WIRE_REGISTER, WIRE_REGISTERED, WIRE_HEARTBEAT, WIRE_HEARD, WIRE_PLACE, WIRE_PLACED, WIRE_LIST,
    WIRE_LISTED, WIRE_DRAIN_TARGET, WIRE_DRAIN_NOTED,
    WIRE_COORDINATOR_KIND_N
};

enum wire_target_state { WIRE_SERVING, WIRE_WARMING, WIRE_DRAINING, WIRE_STATE_N };

enum wire_verdict {
    WIRE_KNOWN,
    WIRE_REGISTER_AGAIN,                /* the coordinator does not know this incarnation */
    WIRE_SUPERSEDED,                    /* a later process has registered this address */
    WIRE_REGISTRY_FULL,
    WIRE_VERDICT_N
};

/* Ways to serve a session; bits of wire_policy.modes. */
enum wire_mode {
    WIRE_MODE_SPLIT = 1, WIRE_MODE_COLOCATED = 2, WIRE_MODE_TARGET_ALONE = 4,
    WIRE_MODE_CLIENT_ALONE = 8, WIRE_MODES_ALL = 15
};

struct wire_target_info {
    char address[WIRE_ADDRESS_MAX];     /* names the target: host:port, where clients reach it */
    char tls_name[WIRE_TLS_NAME_MAX];   /* "": the address's host */
    char model[64];
    uint64_t fingerprint, vocabulary_hash;
    uint64_t incarnation;               /* not 0; a later process has a higher one */
    uint32_t sessions_max;              /* at least 1 */
    bool tls;
    char bus_key[WIRE_BUS_KEY_MAX];     /* "": no bus */
};

struct wire_target_load {
    uint64_t sequence;
    enum wire_target_state state;
    uint32_t sessions, busy;
    uint32_t queue_us, window_us, step_us, row_us;
};

struct wire_policy {
    uint64_t term;
    uint32_t ttl_ms;                    /* from its receipt; 0: there is no policy */
    float shadow_price;                 /* 0..1e6 */
    uint32_t latency_goal_ms;           /* 0: none */
    uint32_t modes;                     /* enum wire_mode */
};

struct wire_register {
    struct wire_target_info info;
    struct wire_target_load load;
    uint64_t term;
};

/* Of a coordinator, at the host where it was called. */
struct wire_bus {
    uint32_t load_port, policy_port;    /* both 0, and no key: there is none */
    char key[WIRE_BUS_KEY_MAX];
};

/* Of a cluster; none: only the one that answers. */
struct wire_coordinators {
    uint32_t n;
    char item[WIRE_COORDINATORS_MAX][WIRE_ADDRESS_MAX];
};

struct wire_registered {
    enum wire_verdict verdict;
    uint32_t heartbeat_ms;              /* 50..60000 */
    struct wire_policy policy;
    struct wire_bus bus;
    struct wire_coordinators coordinators;
};

struct wire_heartbeat {
    char address[WIRE_ADDRESS_MAX];
    uint64_t incarnation;
    struct wire_target_load load;
    uint64_t term;
};

struct wire_heard {
    enum wire_verdict verdict;
    bool drain;
    struct wire_policy policy;
    struct wire_coordinators coordinators;
};

struct wire_distance {
    char address[WIRE_ADDRESS_MAX];
    uint32_t rtt_us;
};

struct wire_place {
    uint8_t session[16];
    char model[64];                     /* "": any */
    uint64_t fingerprint;               /* preferred; 0: any */
    uint32_t rounds;
    uint32_t n_distances;
    struct wire_distance distances[WIRE_DISTANCES_MAX];
    uint32_t n_avoid;
    char avoid[WIRE_AVOID_MAX][WIRE_ADDRESS_MAX];
};

struct wire_placed_target {
    char address[WIRE_ADDRESS_MAX];
    char tls_name[WIRE_TLS_NAME_MAX];
    char model[64];
    uint64_t fingerprint, vocabulary_hash;
    uint32_t expected_us;
    bool tls;
};

struct wire_placed {
    uint32_t retry_ms;                  /* above 0: no targets; `reason` says why */
    char reason[WIRE_REASON_MAX];
    uint32_t n_targets;
    struct wire_placed_target targets[WIRE_PLACED_MAX];  /* best first */
    uint32_t n_ticket;
    uint8_t ticket[WIRE_TICKET_MAX];    /* opaque; handed to whichever target is used */
};

struct wire_target_row {
    struct wire_target_info info;
    struct wire_target_load load;
    uint32_t age_ms, reserved;
    bool drain;
    uint64_t placed;
};

struct wire_listed {
    uint64_t uptime_ms;
    uint32_t heartbeat_ms;
    struct wire_policy policy;
    uint64_t placed, refused;
    bool leads, store_up;
    char leader[WIRE_ADDRESS_MAX];      /* "": none */
    struct wire_coordinators coordinators;
    uint32_t n_targets;
    struct wire_target_row *targets;    /* [n_targets]; owned by the message */
};

struct wire_drain_target {
    char address[WIRE_ADDRESS_MAX];
    uint64_t incarnation;               /* 0: an operator */
    bool undo;
};

struct wire_drain_noted {
    bool known;
};

struct wire_coordinator_message {
    enum wire_coordinator_kind kind;
    union {
        struct wire_register registration;
        struct wire_registered registered;
        struct wire_heartbeat heartbeat;
        struct wire_heard heard;
        struct wire_place place;
        struct wire_placed placed;
        struct wire_listed listed;
        struct wire_drain_target drain_target;
        struct wire_drain_noted drain_noted;
    } u;
};

/* "/specasr.v1.Coordinator/RegisterTarget" for either kind of a pair. */
const char *wire_coordinator_method(enum wire_coordinator_kind kind);

/* "host:port" with a port in 1..65535, of printable ASCII without spaces. */
bool wire_address_ok(const char *address);

/* Asserts on what a peer would refuse; STATUS_NO_MEMORY is the only failure. */
MUST_CHECK enum status wire_coordinator_pack(const struct wire_coordinator_message *message,
                                             struct wire_bytes *out, struct error *err);

/* Unpacks a message of out->kind. STATUS_CORRUPT (the text says why), _NO_MEMORY. On STATUS_OK the
 * caller releases it. */
MUST_CHECK enum status wire_coordinator_unpack(const uint8_t *data, size_t size,
                                               enum wire_coordinator_kind kind,
                                               struct wire_coordinator_message *out,
                                               struct error *err);
void wire_coordinator_release(struct wire_coordinator_message *message);

#endif
