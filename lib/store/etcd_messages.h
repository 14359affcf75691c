/* etcd_messages.h: what etcd is told and says, as plain structs. Only etcd_messages.c sees
 * protobuf.
 *
 * Keys and values here are texts of ours. Entries of others under our prefix, that are longer or
 * hold zero bytes, are left out when they come.
 */
#ifndef STORE_ETCD_MESSAGES_H
#define STORE_ETCD_MESSAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum {
    ETCD_TEXT_MAX = 400,                /* of a key or value, with its end */
    ETCD_ENTRIES_MAX = 64,              /* of one answer */
    ETCD_TOKEN_MAX = 512
};

struct etcd_bytes {
    uint8_t *data;                      /* malloc'ed, caller frees */
    size_t size;
};

struct etcd_entry {
    char key[ETCD_TEXT_MAX], value[ETCD_TEXT_MAX];
    int64_t create_revision, mod_revision, lease;
    bool deleted;                       /* of a watch: it is gone, only key and mod_revision hold */
};

/* An answer to Range, or a message of a watch. */
struct etcd_entries {
    int64_t revision;                   /* of the store */
    bool more;                          /* there were more than ETCD_ENTRIES_MAX: these do not do */
    bool canceled;                      /* watch: it is over; */
    int64_t compacted;                  /* because history up to here is gone, if above 0 */
    uint32_t n;
    struct etcd_entry entries[ETCD_ENTRIES_MAX];
};

struct etcd_put {
    const char *key, *value;
    int64_t lease;                      /* 0: stays */
};

/* All or nothing, if each condition holds. */
enum { ETCD_TXN_MAX = 4 };
struct etcd_txn {
    uint32_t n_conditions;
    struct {
        const char *key;
        bool of_creation;               /* create_revision, else mod_revision */
        int64_t revision;               /* equal to this; 0: there is no such key */
    } conditions[ETCD_TXN_MAX];
    uint32_t n_puts;
    struct etcd_put puts[ETCD_TXN_MAX];
};

/* STATUS_NO_MEMORY is the only failure. A prefix, of any bytes, stands for all keys that begin with
 * it; it must not be empty (asserted). */
MUST_CHECK enum status etcd_pack_range(const char *prefix, struct etcd_bytes *out,
                                       struct error *err);
MUST_CHECK enum status etcd_pack_put(const struct etcd_put *put, struct etcd_bytes *out,
                                     struct error *err);
MUST_CHECK enum status etcd_pack_txn(const struct etcd_txn *txn, struct etcd_bytes *out,
                                     struct error *err);
MUST_CHECK enum status etcd_pack_grant(int64_t ttl_s, struct etcd_bytes *out, struct error *err);
MUST_CHECK enum status etcd_pack_revoke(int64_t lease, struct etcd_bytes *out, struct error *err);
MUST_CHECK enum status etcd_pack_alive(int64_t lease, struct etcd_bytes *out, struct error *err);
MUST_CHECK enum status etcd_pack_watch(const char *prefix, int64_t from_revision,
                                       struct etcd_bytes *out, struct error *err);
MUST_CHECK enum status etcd_pack_login(const char *name, const char *password,
                                       struct etcd_bytes *out, struct error *err);

/* STATUS_CORRUPT: these are no such bytes. */
MUST_CHECK enum status etcd_unpack_range(const uint8_t *data, size_t size,
                                         struct etcd_entries *out, struct error *err);
MUST_CHECK enum status etcd_unpack_watch(const uint8_t *data, size_t size,
                                         struct etcd_entries *out, struct error *err);
MUST_CHECK enum status etcd_unpack_txn(const uint8_t *data, size_t size, bool *succeeded,
                                       struct error *err);

/* Also STATUS_EXHAUSTED, with what etcd says. *ttl_s may be more than was asked for. */
MUST_CHECK enum status etcd_unpack_grant(const uint8_t *data, size_t size, int64_t *lease,
                                         int64_t *ttl_s, struct error *err);

/* *ttl_s 0: there is no such lease. */
MUST_CHECK enum status etcd_unpack_alive(const uint8_t *data, size_t size, int64_t *ttl_s,
                                         struct error *err);
MUST_CHECK enum status etcd_unpack_login(const uint8_t *data, size_t size,
                                         char token[ETCD_TOKEN_MAX], struct error *err);

#endif
