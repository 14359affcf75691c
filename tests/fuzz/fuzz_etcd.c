/* What an etcd server says. The first byte is the kind of message. Texts that come out end, and
 * fit. */
#include <stdlib.h>
#include <string.h>

#include "store/election.h"
#include "store/etcd_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void look_at_entries(const struct etcd_entries *entries)
{
    struct election election = {0};
    const struct election_self self = {.name = "a:1", .lease = 1, .seen = 2};
    uint64_t term;
    require(entries->n <= ETCD_ENTRIES_MAX);
    for (uint32_t i = 0; i < entries->n; i++) {
        require(strnlen(entries->entries[i].key, ETCD_TEXT_MAX) < ETCD_TEXT_MAX);
        require(strnlen(entries->entries[i].value, ETCD_TEXT_MAX) < ETCD_TEXT_MAX);
        election_apply(&election, "p/", &entries->entries[i]);
    }
    require(election.n_members <= ELECTION_MEMBERS_MAX);
    (void)election_next(&election, &self, &term);
    require(term > self.seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct etcd_entries entries;
    char token[ETCD_TOKEN_MAX];
    int64_t lease, ttl_s;
    bool done;
    if (size == 0)
        return 0;
    switch (data[0] % 6) {
    case 0:
        if (etcd_unpack_range(data + 1, size - 1, &entries, NULL) == STATUS_OK)
            look_at_entries(&entries);
        break;
    case 1:
        if (etcd_unpack_watch(data + 1, size - 1, &entries, NULL) == STATUS_OK)
            look_at_entries(&entries);
        break;
    case 2:
        (void)!etcd_unpack_txn(data + 1, size - 1, &done, NULL);
        break;
    case 3:
        if (etcd_unpack_grant(data + 1, size - 1, &lease, &ttl_s, NULL) == STATUS_OK)
            require(lease != 0 && ttl_s > 0);
        break;
    case 4:
        if (etcd_unpack_alive(data + 1, size - 1, &ttl_s, NULL) == STATUS_OK)
            require(ttl_s >= 0);
        break;
    default:
        if (etcd_unpack_login(data + 1, size - 1, token, NULL) == STATUS_OK)
            require(token[0] != '\0' && strnlen(token, ETCD_TOKEN_MAX) < ETCD_TOKEN_MAX);
        break;
    }
    return 0;
}
