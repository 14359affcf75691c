/* The client against real etcd servers: calls, streams, compaction, a lease that is taken away, TLS
 * and users. */
#include "etcd_process.h"

#include <inttypes.h>

#include "../../lib/store/etcd.c"

static struct etcd *open_client(const struct etcd_options *options)
{
    struct etcd *etcd;
    struct error err;
    assert_ok(etcd_new(options, &etcd, &err), &err);
    assert_ok(etcd_open(etcd, &err), &err);
    return etcd;
}

/* Without servers the test is skipped. */
static struct etcd *open_here(const struct etcd_servers *servers)
{
    if (!servers)
        skip();
    struct etcd_options options = etcd_options_of(servers);
    return open_client(&options);
}

static void put(struct etcd *etcd, const char *key, const char *value)
{
    const struct etcd_put one = {key, value, 0};
    struct error err;
    assert_ok(etcd_put(etcd, &one, &err), &err);
}

/* Waits for an event of this kind, past others. */
static void await(struct etcd *etcd, enum etcd_event event, struct etcd_news *news)
{
    uint64_t end = etcd_now_us() + ETCD_PATIENCE_US;
    do {
        etcd_next(etcd, 100000, news);
        if (news->event == ETCD_BROKEN && event != ETCD_BROKEN)
            fail_msg("broken: %s", news->err.text);
        bool empty = news->event == ETCD_CHANGES && news->entries.n == 0 &&
                     !news->entries.canceled;   /* the watch begins */
        if (news->event == event && !empty)
            return;
    } while (etcd_now_us() < end);
    fail_msg("waited in vain for event %d", (int)event);
}


static void keys_are_put_read_deleted_and_watched(void **state)
{
    static struct etcd_entries all;
    static struct etcd_news news;
    struct etcd_servers *servers = *state;
    struct etcd *etcd = open_here(servers);
    struct error err;
    put(etcd, "keys/a", "one");
    put(etcd, "keys/b", "two");
    put(etcd, "keyz", "not this");
    assert_ok(etcd_range(etcd, "keys/", &all, &err), &err);
    assert_int_equal(all.n, 2);
    assert_string_equal(all.entries[0].key, "keys/a");
    assert_string_equal(all.entries[1].value, "two");
    assert_true(all.entries[0].mod_revision < all.entries[1].mod_revision);
    assert_ok(etcd_watch(etcd, "keys/", all.revision + 1, &err), &err);
    put(etcd, "keys/a", "three");
    await(etcd, ETCD_CHANGES, &news);
    assert_string_equal(news.entries.entries[0].value, "three");
    assert_false(news.entries.entries[0].deleted);
    assert_int_equal(etcd_ctl(servers, "del keys/b"), 0);
    await(etcd, ETCD_CHANGES, &news);
    assert_string_equal(news.entries.entries[0].key, "keys/b");
    assert_true(news.entries.entries[0].deleted);
    etcd_free(&etcd);
}

static void a_transaction_is_done_only_if_nothing_has_changed(void **state)
{
    static struct etcd_entries all;
    struct etcd *etcd = open_here(*state);
    struct error err;
    bool done;
    struct etcd_txn txn = {.n_conditions = 2,
                           .conditions = {{"txn/leader", true, 0}, {"txn/term", false, 0}},
                           .n_puts = 2,
                           .puts = {{"txn/leader", "me", 0}, {"txn/term", "1", 0}}};
    assert_ok(etcd_txn(etcd, &txn, &done, &err), &err);
    assert_true(done);
    assert_ok(etcd_txn(etcd, &txn, &done, &err), &err);
    assert_false(done);
    assert_ok(etcd_range(etcd, "txn/", &all, &err), &err);
    txn.conditions[0].revision = all.entries[0].create_revision;
    txn.conditions[1].revision = all.entries[1].mod_revision;
    txn.n_puts = 1;
    txn.puts[0] = (struct etcd_put){"txn/term", "2", 0};
    assert_ok(etcd_txn(etcd, &txn, &done, &err), &err);
    assert_true(done);
    assert_ok(etcd_range(etcd, "txn/", &all, &err), &err);
    assert_string_equal(all.entries[1].value, "2");
    etcd_free(&etcd);
}

/* Prefixes of any bytes: the range ends behind all that begin with them, and before others. */
static void a_prefix_may_end_in_the_highest_byte(void **state)
{
    static struct etcd_entries all;
    static struct etcd_news news;
    struct etcd *etcd = open_here(*state);
    struct error err;
    put(etcd, "p\xFF\xFF" "a", "one");
    put(etcd, "p\xFF\xFF\xFF\xFF", "two");
    put(etcd, "q", "not this");
    put(etcd, "\xFF\xFFz", "three");
    assert_ok(etcd_range(etcd, "p\xFF\xFF", &all, &err), &err);
    assert_int_equal(all.n, 2);
    assert_string_equal(all.entries[1].value, "two");
    assert_ok(etcd_range(etcd, "\xFF", &all, &err), &err);
    assert_int_equal(all.n, 1);
    assert_string_equal(all.entries[0].value, "three");
    assert_ok(etcd_watch(etcd, "p\xFF", all.revision + 1, &err), &err);
    put(etcd, "q", "still not");
    put(etcd, "p\xFF\xFE", "four");
    await(etcd, ETCD_CHANGES, &news);
    assert_string_equal(news.entries.entries[0].value, "four");
    etcd_free(&etcd);
}

static void a_watch_of_history_that_is_compacted_says_so(void **state)
{
    static struct etcd_entries all;
    static struct etcd_news news;
    struct etcd_servers *servers = *state;
    struct etcd *etcd = open_here(servers);
    struct error err;
    put(etcd, "old/a", "1");
    assert_ok(etcd_range(etcd, "old/", &all, &err), &err);
    int64_t old = all.revision;
    for (int i = 0; i < 5; i++)
        put(etcd, "old/a", "again");
    assert_int_equal(etcd_ctl(servers, support_format("compact %" PRId64, old + 4)), 0);
    assert_ok(etcd_watch(etcd, "old/", old, &err), &err);
    await(etcd, ETCD_CHANGES, &news);
    assert_true(news.entries.canceled);
    assert_int_equal(news.entries.compacted, old + 4);
    etcd_free(&etcd);
}

static void a_lease_lives_while_asked_and_its_loss_is_told(void **state)
{
    static struct etcd_entries all;
    static struct etcd_news news;
    struct etcd_servers *servers = *state;
    struct etcd *etcd = open_here(servers);
    struct error err;
    int64_t ttl_s = 30, lease;
    assert_ok(etcd_grant(etcd, &ttl_s, &lease, &err), &err);
    assert_true(ttl_s >= 30);
    const struct etcd_put mine = {"lease/a", "1", lease}, nobodys = {"lease/b", "1", lease + 1};
    assert_ok(etcd_put(etcd, &mine, &err), &err);
    assert_int_equal(etcd_put(etcd, &nobodys, &err), STATUS_NOT_FOUND);
    assert_ok(etcd_keep_alive(etcd, lease, &err), &err);
    await(etcd, ETCD_ALIVE, &news);
    assert_int_equal(news.ttl_s, ttl_s);
    assert_int_equal(etcd_ctl(servers, support_format("lease revoke %" PRIx64, (uint64_t)lease)),
                     0);
    assert_ok(etcd_keep_alive(etcd, lease, &err), &err);
    await(etcd, ETCD_ALIVE, &news);
    assert_int_equal(news.ttl_s, 0);
    assert_ok(etcd_range(etcd, "lease/", &all, &err), &err);
    assert_int_equal(all.n, 0);
    etcd_free(&etcd);
}

static void a_dead_server_is_told_and_the_next_one_taken(void **state)
{
    static struct etcd_news news;
    struct etcd_servers *servers = *state;
    struct error err;
    if (!servers)
        skip();
    struct etcd_options options = etcd_options_of(servers);
    snprintf(options.endpoints[1], ETCD_ADDRESS_MAX, "%s", options.endpoints[0]);
    snprintf(options.endpoints[0], ETCD_ADDRESS_MAX, "127.0.0.1:%u", etcd_free_port());
    options.n_endpoints = 2;
    struct etcd *etcd;
    assert_ok(etcd_new(&options, &etcd, &err), &err);
    static struct etcd_entries all;
    assert_ok(etcd_open(etcd, &err), &err);     /* connects with the first call */
    assert_int_equal(etcd_range(etcd, "x/", &all, &err), STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.text, options.endpoints[0]));
    assert_ok(etcd_open(etcd, &err), &err);
    assert_ok(etcd_range(etcd, "x/", &all, &err), &err);
    assert_ok(etcd_watch(etcd, "x/", all.revision, &err), &err);
    etcd_kill(servers, 0);
    await(etcd, ETCD_BROKEN, &news);
    etcd_free(&etcd);
    etcd_run(servers, 0);
    etcd_await(servers);
}

/* A reader that is far behind has a full queue: that the link is over must reach it too. */
static void a_full_queue_does_not_lose_the_end_of_the_link(void **state)
{
    static struct etcd_news news;
    struct etcd *etcd = open_here(*state);
    struct error err;
    assert_ok(etcd_watch(etcd, "full/", 1, &err), &err);
    await(etcd, ETCD_CHANGES, &news);
    for (int i = 0; i < EVENTS_MAX; i++) {
        struct event *event = calloc(1, sizeof(*event));
        assert_non_null(event);
        event->kind = ETCD_ALIVE;
        assert_int_equal(queue_push(etcd->events, event), QUEUE_OK);
    }
    rpc_cancel(etcd->watch);
    rpc_client_free(&etcd->client);         /* its on_done has come */
    for (int i = 0; i < EVENTS_MAX; i++) {
        etcd_next(etcd, 0, &news);
        assert_int_equal(news.event, ETCD_ALIVE);
    }
    etcd_next(etcd, 0, &news);
    assert_int_equal(news.event, ETCD_BROKEN);
    assert_true(news.err.text[0] != '\0');
    assert_ok(etcd_open(etcd, &err), &err);
    etcd_next(etcd, 0, &news);
    assert_int_equal(news.event, ETCD_NOTHING);
    etcd_free(&etcd);
}

/* ---- TLS and users ---- */

static void make_certificates(const char *folder)
{
    assert_int_equal(system(support_format(
        "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        "-keyout ca.key -out ca.pem -subj /CN=ca >/dev/null 2>&1 && "
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key "
        "-out server.csr -subj /CN=etcd >/dev/null 2>&1 && "
        "printf 'subjectAltName=IP:127.0.0.1,DNS:localhost' >san && "
        "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
        "-extfile san -out server.pem >/dev/null 2>&1", folder)), 0);
}

/* A user that may do what it has to with its own prefix, and nothing else. */
static void look_at_all_calls(struct etcd *etcd)
{
    static struct etcd_entries all;
    static struct etcd_news news;
    struct error err;
    int64_t ttl_s = 30, lease;
    bool done;
    assert_ok(etcd_grant(etcd, &ttl_s, &lease, &err), &err);
    assert_ok(etcd_range(etcd, "x/", &all, &err), &err);
    assert_ok(etcd_watch(etcd, "x/", all.revision + 1, &err), &err);
    assert_ok(etcd_keep_alive(etcd, lease, &err), &err);
    await(etcd, ETCD_ALIVE, &news);
    struct etcd_txn txn = {.n_conditions = 1, .conditions = {{"x/b", true, 0}}, .n_puts = 1,
                           .puts = {{"x/b", "2", lease}}};
    assert_ok(etcd_txn(etcd, &txn, &done, &err), &err);
    assert_true(done);
    await(etcd, ETCD_CHANGES, &news);
    assert_string_equal(news.entries.entries[0].value, "2");
    assert_ok(etcd_revoke(etcd, lease, &err), &err);
    await(etcd, ETCD_CHANGES, &news);
    assert_true(news.entries.entries[0].deleted);
    assert_int_equal(etcd_revoke(etcd, lease, &err), STATUS_NOT_FOUND);
}

static void users_and_tls_are_asked_for(void **state)
{
    static struct etcd_entries all;
    struct etcd_servers servers;
    struct etcd *etcd;
    struct error err;
    if (!*state)
        skip();
    char *folder = support_temp_new();
    make_certificates(folder);
    etcd_start(&servers, 1, folder, true);
    assert_int_equal(etcd_ctl(&servers, "user add root:secret"), 0);
    assert_int_equal(etcd_ctl(&servers, "role add root"), 0);
    assert_int_equal(etcd_ctl(&servers, "user grant-role root root"), 0);
    assert_int_equal(etcd_ctl(&servers, "role add asr"), 0);        /* as the runbook says */
    assert_int_equal(etcd_ctl(&servers, "role grant-permission asr readwrite --prefix=true x/"),
                     0);
    assert_int_equal(etcd_ctl(&servers, "user add asr:secret"), 0);
    assert_int_equal(etcd_ctl(&servers, "user grant-role asr asr"), 0);
    assert_int_equal(etcd_ctl(&servers, "auth enable"), 0);

    struct etcd_options options = etcd_options_of(&servers);
    char ca[256];
    snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
    assert_ok(etcd_new(&options, &etcd, &err), &err);
    assert_ok(etcd_open(etcd, &err), &err);
    assert_int_equal(etcd_range(etcd, "x/", &all, &err), STATUS_UNAVAILABLE);   /* no TLS */
    etcd_free(&etcd);
    options.tls.ca = ca;
    etcd = open_client(&options);
    assert_int_equal(etcd_range(etcd, "x/", &all, &err), STATUS_INVALID);   /* no user */
    etcd_free(&etcd);
    snprintf(options.user, sizeof(options.user), "asr");
    snprintf(options.password, sizeof(options.password), "wrong");
    assert_ok(etcd_new(&options, &etcd, &err), &err);
    assert_int_equal(etcd_open(etcd, &err), STATUS_INVALID);
    assert_non_null(strstr(err.text, "authentication failed"));
    etcd_free(&etcd);
    snprintf(options.password, sizeof(options.password), "secret");
    etcd = open_client(&options);
    put(etcd, "x/a", "1");
    assert_int_equal(etcd_range(etcd, "y/", &all, &err), STATUS_DENIED);
    look_at_all_calls(etcd);

    /* A token that is not used for a second is forgotten: the next login has another one. */
    uint64_t end = etcd_now_us() + ETCD_PATIENCE_US, pause_us = 1500000, from = etcd_now_us();
    while (etcd_now_us() - from < pause_us)
        etcd_pause();
    enum status rc = STATUS_OK;
    while ((rc = etcd_range(etcd, "x/", &all, &err)) == STATUS_OK && etcd_now_us() < end)
        for (from = etcd_now_us(); etcd_now_us() - from < pause_us;)
            etcd_pause();
    assert_int_equal(rc, STATUS_DENIED);
    assert_ok(etcd_open(etcd, &err), &err);
    assert_ok(etcd_range(etcd, "x/", &all, &err), &err);
    assert_int_equal(all.n, 1);
    etcd_free(&etcd);
    etcd_stop(&servers);
}

/* ---- bytes ---- */

static void bytes_that_are_none_are_refused(void **state)
{
    (void)state;
    static struct etcd_entries all;
    const uint8_t bad[] = {0xFF, 0xFF, 0xFF};
    char token[ETCD_TOKEN_MAX];
    struct error err;
    int64_t lease, ttl_s;
    bool done;
    assert_int_equal(etcd_unpack_range(bad, 3, &all, &err), STATUS_CORRUPT);
    assert_int_equal(etcd_unpack_watch(bad, 3, &all, &err), STATUS_CORRUPT);
    assert_int_equal(etcd_unpack_txn(bad, 3, &done, &err), STATUS_CORRUPT);
    assert_int_equal(etcd_unpack_grant(bad, 3, &lease, &ttl_s, &err), STATUS_CORRUPT);
    assert_int_equal(etcd_unpack_grant(bad, 0, &lease, &ttl_s, &err), STATUS_CORRUPT);
    assert_int_equal(etcd_unpack_alive(bad, 3, &ttl_s, &err), STATUS_CORRUPT);
    assert_int_equal(etcd_unpack_login(bad, 0, token, &err), STATUS_CORRUPT);
    /* a key with a zero byte is not ours: 0x12 kvs { 0x0a key "a\0" } */
    const uint8_t strange[] = {0x12, 4, 0x0a, 2, 'a', 0};
    assert_ok(etcd_unpack_range(strange, sizeof(strange), &all, &err), &err);
    assert_int_equal(all.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_put_read_deleted_and_watched),
        cmocka_unit_test(a_transaction_is_done_only_if_nothing_has_changed),
        cmocka_unit_test(a_prefix_may_end_in_the_highest_byte),
        cmocka_unit_test(a_watch_of_history_that_is_compacted_says_so),
        cmocka_unit_test(a_lease_lives_while_asked_and_its_loss_is_told),
        cmocka_unit_test(a_dead_server_is_told_and_the_next_one_taken),
        cmocka_unit_test(a_full_queue_does_not_lose_the_end_of_the_link),
        cmocka_unit_test(users_and_tls_are_asked_for),
        cmocka_unit_test(bytes_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, etcd_group_start, etcd_group_stop);
}
