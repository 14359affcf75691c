/* What coordinators share, in memory and in real etcd servers that lose leases, history and their
 * leader. (All of etcd dead and back: tests/e2e/coordinators.sh.) */
#include "etcd_process.h"

#include "../../lib/store/etcd.c"
#include "../../lib/store/store.c"

/* ---- helpers ---- */

static struct store *open_store(const struct etcd_servers *servers, const char *self)
{
    struct store_options options = {.lease_s = 1};
    struct store *store;
    struct error err;
    if (servers)
        options.etcd = etcd_options_of(servers);
    snprintf(options.self, sizeof(options.self), "%s", self);
    assert_ok(store_start(&options, &store, &err), &err);
    return store;
}

static struct store_state look(struct store *store)
{
    struct store_state seen;
    store_state(store, &seen);
    return seen;
}

/* Waits until one of them leads and both know so many members; asserts at each look that never two
 * lead. Returns the leader's number. */
static int until_one_leads(struct store *stores[2], uint32_t n_members)
{
    uint64_t end = etcd_now_us() + ETCD_PATIENCE_US;
    while (etcd_now_us() < end) {
        int leads = -1, n_settled = 0, n_leading = 0;
        for (int i = 0; i < 2; i++) {
            struct store_state seen = {0};
            if (stores[i])
                seen = look(stores[i]);
            n_leading += seen.leads;
            leads = seen.leads ? i : leads;
            n_settled += !stores[i] || (seen.connected && seen.n_members == n_members &&
                                        seen.leader[0] != '\0');
        }
        assert_true(n_leading <= 1);
        if (n_leading == 1 && n_settled == 2)
            return leads;
        etcd_pause();
    }
    fail_msg("nobody leads");
    return -1;
}

/* ---- cases ---- */

static void in_memory_one_leads_above_what_targets_have_seen(void **state)
{
    (void)state;
    struct store *store = open_store(NULL, "a:1");
    assert_true(look(store).leads && look(store).connected);
    assert_int_equal(look(store).term, 1);
    assert_string_equal(look(store).leader, "a:1");
    assert_string_equal(look(store).members[0], "a:1");
    store_seen(store, 1);
    assert_int_equal(look(store).term, 1);
    store_seen(store, 41);
    assert_int_equal(look(store).term, 42);
    store_seen(store, 42);
    store_seen(store, 7);
    assert_int_equal(look(store).term, 42);
    store_seen(store, UINT64_MAX);
    store_seen(store, UINT64_MAX);
    assert_true(look(store).term == INT64_MAX);
    store_stop(&store);
}

/* Terms rise over restarts: the number of the process is the first. */
static void in_memory_terms_begin_at_the_incarnation(void **state)
{
    (void)state;
    struct store_options options = {.self = "a:1", .incarnation = 1700000000000000};
    struct store *store;
    struct error err;
    assert_ok(store_start(&options, &store, &err), &err);
    assert_true(look(store).term == options.incarnation);
    store_seen(store, options.incarnation);
    store_seen(store, 41);
    assert_true(look(store).term == options.incarnation);
    store_seen(store, options.incarnation + 1);
    assert_true(look(store).term == options.incarnation + 2);
    store_stop(&store);
    options.incarnation = UINT64_MAX;
    assert_ok(store_start(&options, &store, &err), &err);
    assert_true(look(store).term == INT64_MAX);
    store_stop(&store);
}

static void what_is_wrong_for_good_is_said_at_the_start(void **state)
{
    (void)state;
    struct store_options options = {.etcd = {.n_endpoints = 1}};
    struct store *store;
    struct error err;
    snprintf(options.etcd.endpoints[0], ETCD_ADDRESS_MAX, "127.0.0.1:2379");
    options.etcd.tls.ca = "/no/such/ca.pem";
    assert_int_equal(store_start(&options, &store, &err), STATUS_NOT_FOUND);
    assert_non_null(strstr(err.text, "/no/such/ca.pem"));
    assert_null(store);
}

static void without_etcd_nobody_leads_and_all_is_answered(void **state)
{
    (void)state;
    struct store_options options = {.etcd = {.n_endpoints = 1, .call_ms = 200}};
    struct store *store;
    struct error err;
    snprintf(options.etcd.endpoints[0], ETCD_ADDRESS_MAX, "127.0.0.1:%u", etcd_free_port());
    assert_ok(store_start(&options, &store, &err), &err);
    store_seen(store, 9);
    assert_false(look(store).leads);
    assert_false(look(store).connected);
    store_stop(&store);
}

/* What a watch says when history is gone makes the store read everything anew. */
static void compacted_history_is_read_anew(void **state)
{
    struct etcd_servers *servers = *state;
    struct error err;
    if (!servers)
        skip();
    struct store *stores[2] = {open_store(servers, "a:1"), NULL};
    until_one_leads(stores, 1);
    static struct store told;
    told.news.entries = (struct etcd_entries){.canceled = true, .compacted = 5};
    assert_int_equal(take_changes(&told, &err), STATUS_CLOSED);
    assert_non_null(strstr(err.text, "compacted"));

    /* The same in full: an event of that kind in its queue, as the watch would put it. */
    const uint8_t canceled[] = {0x20, 1, 0x28, 5};      /* canceled, compact_revision 5 */
    struct event *event = calloc(1, sizeof(*event) + sizeof(canceled));
    assert_non_null(event);
    event->kind = ETCD_CHANGES;
    event->size = sizeof(canceled);
    memcpy(event->bytes, canceled, sizeof(canceled));
    assert_int_equal(queue_push(stores[0]->etcd->events, event), QUEUE_OK);
    uint64_t end = etcd_now_us() + ETCD_PATIENCE_US;
    while (look(stores[0]).connected && etcd_now_us() < end)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_false(look(stores[0]).connected);
    until_one_leads(stores, 1);
    store_stop(&stores[0]);
}

static void a_leader_that_ends_is_followed_at_once_with_a_higher_term(void **state)
{
    struct etcd_servers *servers = *state;
    if (!servers)
        skip();
    struct store *stores[2] = {open_store(servers, "a:1"), open_store(servers, "b:1")};
    int first = until_one_leads(stores, 2);
    struct store_state before = look(stores[first]);
    assert_string_equal(before.leader, first == 0 ? "a:1" : "b:1");
    store_stop(&stores[first]);
    assert_int_equal(until_one_leads(stores, 1), 1 - first);
    struct store_state after = look(stores[1 - first]);
    assert_true(after.term > before.term);
    assert_string_equal(after.members[0], first == 0 ? "b:1" : "a:1");
    store_stop(&stores[1 - first]);
}

/* An earlier process ends while a later one has its address: what it gives up is its own. */
static void a_successor_at_the_same_address_stays_listed(void **state)
{
    struct etcd_servers *servers = *state;
    if (!servers)
        skip();
    struct store *stores[2] = {open_store(servers, "a:1"), NULL};
    until_one_leads(stores, 1);
    stores[1] = open_store(servers, "a:1");
    uint64_t end = etcd_now_us() + ETCD_PATIENCE_US;
    while (!look(stores[1]).connected && etcd_now_us() < end)
        etcd_pause();
    store_stop(&stores[0]);
    assert_int_equal(until_one_leads(stores, 1), 1);
    assert_int_equal(etcd_ctl(servers, "get specasr/members/a:1 --keys-only | grep a:1"), 0);
    assert_int_equal(look(stores[1]).n_members, 1);

    /* Whatever takes its key away: it is put again. */
    assert_int_equal(etcd_ctl(servers, "del specasr/members/a:1"), 0);
    const char *is_back = "get specasr/members/a:1 --keys-only | grep a:1";
    while (etcd_ctl(servers, is_back) != 0 && etcd_now_us() < end)
        etcd_pause();
    assert_int_equal(etcd_ctl(servers, is_back), 0);
    store_stop(&stores[1]);
}

static void a_higher_term_at_targets_is_gone_above_by_the_leader(void **state)
{
    struct etcd_servers *servers = *state;
    if (!servers)
        skip();
    struct store *stores[2] = {open_store(servers, "a:1"), open_store(servers, "b:1")};
    int leads = until_one_leads(stores, 2);
    uint64_t seen = look(stores[leads]).term + 1000;
    store_seen(stores[1 - leads], seen);
    store_seen(stores[leads], seen);
    uint64_t end = etcd_now_us() + ETCD_PATIENCE_US;
    while (look(stores[1 - leads]).term <= seen && etcd_now_us() < end)
        etcd_pause();
    assert_int_equal(look(stores[1 - leads]).term, seen + 1);
    assert_int_equal(look(stores[leads]).term, seen + 1);
    assert_int_equal(until_one_leads(stores, 2), leads);
    store_stop(&stores[0]);
    store_stop(&stores[1]);
}

/* Every lease is taken away: each notices, comes back, and one leads in a later term. */
static void lost_leases_are_taken_anew(void **state)
{
    struct etcd_servers *servers = *state;
    if (!servers)
        skip();
    struct store *stores[2] = {open_store(servers, "a:1"), open_store(servers, "b:1")};
    int leads = until_one_leads(stores, 2);
    uint64_t term = look(stores[leads]).term, end = etcd_now_us() + ETCD_PATIENCE_US;
    assert_int_equal(system(support_format(
        "cd %s && for l in $(ETCDCTL_API=3 etcdctl --endpoints 127.0.0.1:%u lease list | tail -n "
        "+2); do ETCDCTL_API=3 etcdctl --endpoints 127.0.0.1:%u lease revoke $l; done >out 2>&1",
        servers->folder, servers->client[0], servers->client[0])), 0);
    do
        leads = until_one_leads(stores, 2);
    while (look(stores[leads]).term <= term && etcd_now_us() < end);
    assert_true(look(stores[leads]).term > term);
    store_stop(&stores[0]);
    store_stop(&stores[1]);
}

/* Which of the servers leads etcd itself. */
static uint32_t leader_of_etcd(const struct etcd_servers *servers)
{
    uint64_t end = etcd_now_us() + ETCD_PATIENCE_US;
    while (etcd_now_us() < end)
        for (uint32_t i = 0; i < servers->n; i++)
            if (system(support_format("ETCDCTL_API=3 etcdctl --endpoints 127.0.0.1:%u endpoint "
                                      "status 2>&1 | grep -q 'B, true,'",
                                      servers->client[i])) == 0)
                return i;
    fail_msg("etcd has no leader");
    return 0;
}

/* Of three servers the one that leads etcd is killed, and comes back. */
static void etcd_may_lose_its_leader(void **state)
{
    struct etcd_servers three;
    if (!*state)
        skip();
    etcd_start(&three, 3, support_temp_new(), false);
    struct store *stores[2] = {open_store(&three, "a:1"), open_store(&three, "b:1")};
    uint64_t term = look(stores[until_one_leads(stores, 2)]).term;
    uint32_t lost = leader_of_etcd(&three);
    etcd_kill(&three, lost);
    etcd_await(&three);                 /* the two others agree */
    uint64_t after = look(stores[until_one_leads(stores, 2)]).term;
    assert_true(after >= term);
    etcd_run(&three, lost);
    etcd_await(&three);
    assert_true(look(stores[until_one_leads(stores, 2)]).term >= after);
    store_stop(&stores[0]);
    store_stop(&stores[1]);
    etcd_stop(&three);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_memory_one_leads_above_what_targets_have_seen),
        cmocka_unit_test(in_memory_terms_begin_at_the_incarnation),
        cmocka_unit_test(what_is_wrong_for_good_is_said_at_the_start),
        cmocka_unit_test(without_etcd_nobody_leads_and_all_is_answered),
        cmocka_unit_test(compacted_history_is_read_anew),
        cmocka_unit_test(a_leader_that_ends_is_followed_at_once_with_a_higher_term),
        cmocka_unit_test(a_successor_at_the_same_address_stays_listed),
        cmocka_unit_test(a_higher_term_at_targets_is_gone_above_by_the_leader),
        cmocka_unit_test(lost_leases_are_taken_anew),
        cmocka_unit_test(etcd_may_lose_its_leader),
    };
    log_init("test_store", getenv("STORE_TEST_LOG") ? LOG_DEBUG : LOG_ERROR);
    return cmocka_run_group_tests(tests, etcd_group_start, etcd_group_stop);
}
