/* etcd.h: a client of etcd v3, as much of it as lib/store needs, over lib/rpc.
 *
 * One link at a time, to one of the endpoints. Calls block, for at most call_ms each; the two
 * streams of a link (lease, watch) report through etcd_next. After a failure the caller closes the
 * link and opens the next one: whatever was in flight is then unknown, and read again.
 *
 * One thread.
 */
#ifndef STORE_ETCD_H
#define STORE_ETCD_H

#include "rpc/rpc.h"
#include "store/etcd_messages.h"

enum { ETCD_ENDPOINTS_MAX = 8, ETCD_ADDRESS_MAX = 272, ETCD_USER_MAX = 128 };

struct etcd;

struct etcd_options {
    uint32_t n_endpoints;               /* "host:port" of the members' client ports */
    char endpoints[ETCD_ENDPOINTS_MAX][ETCD_ADDRESS_MAX];
    struct rpc_tls tls;                 /* paths are borrowed */
    char user[ETCD_USER_MAX], password[ETCD_USER_MAX];     /* "": no authentication */
    uint32_t call_ms;                   /* limit of each call */
};

MUST_CHECK enum status etcd_new(const struct etcd_options *options, struct etcd **out,
                                struct error *err);
void etcd_free(struct etcd **etcd);     /* closes; accepts NULL */

/* Opens a link to the next endpoint in turn and logs in, if there is a user. STATUS_UNAVAILABLE,
 * _TIMEOUT, _DENIED, ... with a text that names the endpoint. */
MUST_CHECK enum status etcd_open(struct etcd *etcd, struct error *err);
void etcd_close(struct etcd *etcd);

/* The endpoint of the link, or of the last attempt. */
const char *etcd_endpoint(const struct etcd *etcd);

/* ---- on an open link ---- */

MUST_CHECK enum status etcd_range(struct etcd *etcd, const char *prefix, struct etcd_entries *out,
                                  struct error *err);
/* STATUS_NOT_FOUND: the lease is gone. */
MUST_CHECK enum status etcd_put(struct etcd *etcd, const struct etcd_put *put, struct error *err);
/* *succeeded false: a condition did not hold, nothing was done. STATUS_NOT_FOUND: the lease. */
MUST_CHECK enum status etcd_txn(struct etcd *etcd, const struct etcd_txn *txn, bool *succeeded,
                                struct error *err);
MUST_CHECK enum status etcd_grant(struct etcd *etcd, int64_t *ttl_s, int64_t *lease,
                                  struct error *err);

/* Ends it: the keys that hang on it are gone when this returns; what has been put since on another
 * lease is not. STATUS_NOT_FOUND: it is gone already. */
MUST_CHECK enum status etcd_revoke(struct etcd *etcd, int64_t lease, struct error *err);

/* Asks for the lease to live on (opens the stream with the first call); the answer is an event. */
MUST_CHECK enum status etcd_keep_alive(struct etcd *etcd, int64_t lease, struct error *err);
/* Everything under the prefix from this revision on comes as events. */
MUST_CHECK enum status etcd_watch(struct etcd *etcd, const char *prefix, int64_t from_revision,
                                  struct error *err);

enum etcd_event {
    ETCD_NOTHING,                       /* in that time */
    ETCD_ALIVE,                         /* an answer to etcd_keep_alive: *ttl_s, 0: no such lease */
    ETCD_CHANGES,                       /* of the watch: *entries */
    ETCD_BROKEN                         /* the link: *err says why */
};

struct etcd_news {
    enum etcd_event event;
    int64_t ttl_s;
    struct etcd_entries entries;
    struct error err;
};
/* Waits for the next event, at most timeout_us. They come in order; that the link is broken is
 * never lost, whatever else was. */
void etcd_next(struct etcd *etcd, int64_t timeout_us, struct etcd_news *out);

#endif
