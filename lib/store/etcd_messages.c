#include "store/etcd_messages.h"

#include <stdlib.h>
#include <string.h>

#include "etcd.pb-c.h"

enum { COMPARE_CREATE = 1, COMPARE_MOD = 2, EVENT_DELETE = 1 };

/* ---- out ---- */

static enum status emit(const ProtobufCMessage *message, struct etcd_bytes *out, struct error *err)
{
    out->size = protobuf_c_message_get_packed_size(message);
    out->data = malloc(out->size + 1);
    if (!out->data)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a message to etcd");
    (void)protobuf_c_message_pack(message, out->data);
    return STATUS_OK;
}

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

/* The first key behind all that begin with the prefix: its last byte one higher, which 0xFF has
 * not. Of 0xFF alone: a zero byte, which etcd takes as the end of all keys. */
static ProtobufCBinaryData end_of(const char *prefix, uint8_t end[ETCD_TEXT_MAX])
{
    size_t n = strlen(prefix);
    SA_ASSERT(n > 0 && n < ETCD_TEXT_MAX);
    memcpy(end, prefix, n + 1);
    while (n > 0 && end[n - 1] == 0xFF)
        n--;
    if (n > 0)
        end[n - 1]++;
    else
        end[n++] = 0;
    return (ProtobufCBinaryData){n, end};
}

enum status etcd_pack_range(const char *prefix, struct etcd_bytes *out, struct error *err)
{
    Etcdserverpb__RangeRequest m = ETCDSERVERPB__RANGE_REQUEST__INIT;
    uint8_t end[ETCD_TEXT_MAX];
    m.key = bytes_of(prefix);
    m.range_end = end_of(prefix, end);
    m.limit = ETCD_ENTRIES_MAX;
    return emit(&m.base, out, err);
}

static void fill_put(const struct etcd_put *put, Etcdserverpb__PutRequest *m)
{
    etcdserverpb__put_request__init(m);
    m->key = bytes_of(put->key);
    m->value = bytes_of(put->value);
    m->lease = put->lease;
}

enum status etcd_pack_put(const struct etcd_put *put, struct etcd_bytes *out, struct error *err)
{
    Etcdserverpb__PutRequest m;
    fill_put(put, &m);
    return emit(&m.base, out, err);
}

struct txn_parts {
    Etcdserverpb__Compare compare[ETCD_TXN_MAX], *compares[ETCD_TXN_MAX];
    Etcdserverpb__RequestOp op[ETCD_TXN_MAX], *ops[ETCD_TXN_MAX];
    Etcdserverpb__PutRequest put[ETCD_TXN_MAX];
};

static void fill_conditions(const struct etcd_txn *txn, struct txn_parts *parts)
{
    for (uint32_t i = 0; i < txn->n_conditions; i++) {
        Etcdserverpb__Compare *compare = &parts->compare[i];
        bool of_creation = txn->conditions[i].of_creation;
        etcdserverpb__compare__init(compare);
        compare->target = of_creation ? COMPARE_CREATE : COMPARE_MOD;
        compare->key = bytes_of(txn->conditions[i].key);
        compare->target_union_case =
            of_creation ? ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION
                        : ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
        if (of_creation)
            compare->create_revision = txn->conditions[i].revision;
        else
            compare->mod_revision = txn->conditions[i].revision;
        parts->compares[i] = compare;
    }
}

enum status etcd_pack_txn(const struct etcd_txn *txn, struct etcd_bytes *out, struct error *err)
{
    Etcdserverpb__TxnRequest m = ETCDSERVERPB__TXN_REQUEST__INIT;
    struct txn_parts parts;
    SA_ASSERT(txn->n_conditions <= ETCD_TXN_MAX && txn->n_puts <= ETCD_TXN_MAX);
    fill_conditions(txn, &parts);
    m.n_compare = txn->n_conditions;
    m.compare = parts.compares;
    for (uint32_t i = 0; i < txn->n_puts; i++) {
        fill_put(&txn->puts[i], &parts.put[i]);
        etcdserverpb__request_op__init(&parts.op[i]);
        parts.op[i].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        parts.op[i].request_put = &parts.put[i];
        parts.ops[m.n_success++] = &parts.op[i];
    }
    m.success = parts.ops;
    return emit(&m.base, out, err);
}

enum status etcd_pack_grant(int64_t ttl_s, struct etcd_bytes *out, struct error *err)
{
    Etcdserverpb__LeaseGrantRequest m = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    m.ttl = ttl_s;
    return emit(&m.base, out, err);
}

enum status etcd_pack_revoke(int64_t lease, struct etcd_bytes *out, struct error *err)
{
    Etcdserverpb__LeaseRevokeRequest m = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    m.id = lease;
    return emit(&m.base, out, err);
}

enum status etcd_pack_alive(int64_t lease, struct etcd_bytes *out, struct error *err)
{
    Etcdserverpb__LeaseKeepAliveRequest m = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    m.id = lease;
    return emit(&m.base, out, err);
}

enum status etcd_pack_watch(const char *prefix, int64_t from_revision, struct etcd_bytes *out,
                            struct error *err)
{
    Etcdserverpb__WatchRequest m = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    uint8_t end[ETCD_TEXT_MAX];
    create.key = bytes_of(prefix);
    create.range_end = end_of(prefix, end);
    create.start_revision = from_revision;
    m.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    m.create_request = &create;
    return emit(&m.base, out, err);
}

enum status etcd_pack_login(const char *name, const char *password, struct etcd_bytes *out,
                            struct error *err)
{
    Etcdserverpb__AuthenticateRequest m = ETCDSERVERPB__AUTHENTICATE_REQUEST__INIT;
    m.name = (char *)(uintptr_t)name;
    m.password = (char *)(uintptr_t)password;
    return emit(&m.base, out, err);
}

/* ---- in ---- */

static void *parse(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size,
                   struct error *err)
{
    void *message = protobuf_c_message_unpack(type, NULL, size, data);
    if (!message)
        error_set(err, STATUS_CORRUPT, "etcd: a malformed %s", type->short_name);
    return message;
}

static void release(void *message)
{
    protobuf_c_message_free_unpacked(message, NULL);
}

static bool copy_text(char out[ETCD_TEXT_MAX], const ProtobufCBinaryData *from)
{
    if (from->len >= ETCD_TEXT_MAX || (from->len && memchr(from->data, '\0', from->len)))
        return false;
    if (from->len)
        memcpy(out, from->data, from->len);
    out[from->len] = '\0';
    return true;
}

/* Leaves out what is not ours. */
static void add_entry(const Etcdserverpb__KeyValue *kv, bool deleted, struct etcd_entries *out)
{
    struct etcd_entry *entry = &out->entries[out->n];
    if (!kv || !copy_text(entry->key, &kv->key) || !copy_text(entry->value, &kv->value))
        return;
    entry->create_revision = kv->create_revision;
    entry->mod_revision = kv->mod_revision;
    entry->lease = kv->lease;
    entry->deleted = deleted;
    out->n++;
}

static void begin_entries(const Etcdserverpb__ResponseHeader *header, struct etcd_entries *out)
{
    out->revision = header ? header->revision : 0;
    out->more = out->canceled = false;
    out->compacted = 0;
    out->n = 0;
}

enum status etcd_unpack_range(const uint8_t *data, size_t size, struct etcd_entries *out,
                              struct error *err)
{
    Etcdserverpb__RangeResponse *m =
        parse(&etcdserverpb__range_response__descriptor, data, size, err);
    if (!m)
        return STATUS_CORRUPT;
    begin_entries(m->header, out);
    out->more = m->more || m->n_kvs > ETCD_ENTRIES_MAX;
    for (size_t i = 0; i < MIN(m->n_kvs, (size_t)ETCD_ENTRIES_MAX); i++)
        add_entry(m->kvs[i], false, out);
    release(m);
    return STATUS_OK;
}

enum status etcd_unpack_watch(const uint8_t *data, size_t size, struct etcd_entries *out,
                              struct error *err)
{
    Etcdserverpb__WatchResponse *m =
        parse(&etcdserverpb__watch_response__descriptor, data, size, err);
    if (!m)
        return STATUS_CORRUPT;
    begin_entries(m->header, out);
    out->canceled = m->canceled;
    out->compacted = m->compact_revision;
    out->more = m->n_events > ETCD_ENTRIES_MAX;
    for (size_t i = 0; i < MIN(m->n_events, (size_t)ETCD_ENTRIES_MAX); i++)
        add_entry(m->events[i]->kv, m->events[i]->type == EVENT_DELETE, out);
    release(m);
    return STATUS_OK;
}

enum status etcd_unpack_txn(const uint8_t *data, size_t size, bool *succeeded, struct error *err)
{
    Etcdserverpb__TxnResponse *m = parse(&etcdserverpb__txn_response__descriptor, data, size, err);
    *succeeded = m && m->succeeded;
    if (!m)
        return STATUS_CORRUPT;
    release(m);
    return STATUS_OK;
}

enum status etcd_unpack_grant(const uint8_t *data, size_t size, int64_t *lease, int64_t *ttl_s,
                              struct error *err)
{
    Etcdserverpb__LeaseGrantResponse *m =
        parse(&etcdserverpb__lease_grant_response__descriptor, data, size, err);
    enum status rc = STATUS_OK;
    *lease = *ttl_s = 0;
    if (!m)
        return STATUS_CORRUPT;
    if (m->error[0])
        rc = error_set(err, STATUS_EXHAUSTED, "etcd gives no lease: %s", m->error);
    else if (m->id == 0 || m->ttl <= 0)
        rc = error_set(err, STATUS_CORRUPT, "etcd: a lease without number or time");
    *lease = rc == STATUS_OK ? m->id : 0;
    *ttl_s = rc == STATUS_OK ? m->ttl : 0;
    release(m);
    return rc;
}

enum status etcd_unpack_alive(const uint8_t *data, size_t size, int64_t *ttl_s, struct error *err)
{
    Etcdserverpb__LeaseKeepAliveResponse *m =
        parse(&etcdserverpb__lease_keep_alive_response__descriptor, data, size, err);
    *ttl_s = m ? MAX(m->ttl, (int64_t)0) : 0;
    if (!m)
        return STATUS_CORRUPT;
    release(m);
    return STATUS_OK;
}

enum status etcd_unpack_login(const uint8_t *data, size_t size, char token[ETCD_TOKEN_MAX],
                              struct error *err)
{
    Etcdserverpb__AuthenticateResponse *m =
        parse(&etcdserverpb__authenticate_response__descriptor, data, size, err);
    enum status rc = STATUS_OK;
    token[0] = '\0';
    if (!m)
        return STATUS_CORRUPT;
    if (m->token[0] == '\0' || strlen(m->token) >= ETCD_TOKEN_MAX)
        rc = error_set(err, STATUS_CORRUPT, "etcd: no token, or too long a one");
    else
        memcpy(token, m->token, strlen(m->token) + 1);
    release(m);
    return rc;
}
