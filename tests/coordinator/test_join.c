/* Who may register, report, drain and list: with --join-keys only who shows one of them. */
#include "../support/support.h"

#include <stdlib.h>
#include <time.h>

#include "../../coordinator/issue.c"
#include "../../coordinator/serve.c"
#include "../../target_node/register.c"
#include "../../target_node/register_line.c"

enum { WAIT_MAX_US = 30000000 };

struct cluster {
    char *folder, keys[256], key_file[256];
    struct metrics *metrics;
    struct issuer *issuer;
    struct coordinator *coordinator;
    struct load load;
};

static uint64_t now_us(void)
{
    struct clock clock = clock_monotonic();
    return clock_us(&clock);
}

/* A key that the coordinator knows from now on, instead of others; returned as it is shown. */
static void new_key(struct cluster *cluster, char key[API_KEY_TEXT_MAX])
{
    char hash[API_HASH_TEXT_MAX];
    struct error err;
    assert_ok(api_key_generate(key, hash, &err), &err);
    support_write(cluster->keys, support_format("rack-a %s - -\n", hash));
    if (cluster->issuer)
        assert_ok(issuer_reload(cluster->issuer, &err), &err);
}

static void start(struct cluster *cluster, char key[API_KEY_TEXT_MAX])
{
    struct error err;
    *cluster = (struct cluster){.folder = support_temp_new()};
    snprintf(cluster->keys, sizeof(cluster->keys), "%s/join.keys", cluster->folder);
    snprintf(cluster->key_file, sizeof(cluster->key_file), "%s/join.key", cluster->folder);
    new_key(cluster, key);
    const struct issuer_options keys = {.join_keys = cluster->keys};
    assert_ok(issuer_new(&keys, &cluster->issuer, &err), &err);
    assert_ok(metrics_new(metrics_coordinator, COORDINATOR_METRICS_N, &cluster->metrics, &err),
              &err);
    const struct coordinator_options options = {
        .listen = "127.0.0.1:0", .modes = WIRE_MODES_ALL, .issuer = cluster->issuer,
        .metrics = cluster->metrics, .registry = {.heartbeat_ms = 50, .seed = 1}};
    assert_ok(coordinator_start(&options, &cluster->coordinator, &err), &err);
}

static void stop(struct cluster *cluster)
{
    coordinator_stop(&cluster->coordinator);
    issuer_free(&cluster->issuer);
    metrics_free(&cluster->metrics);
    support_temp_free(cluster->folder);
}

static enum status ask(struct cluster *cluster, const char *key,
                       const struct wire_coordinator_message *request)
{
    struct wire_coordinator_message answer;
    struct rpc_client *client;
    struct error err;
    const char *target = support_format("127.0.0.1:%u", coordinator_port(cluster->coordinator));
    const struct rpc_client_options options = {.target = target};
    assert_ok(rpc_client_new(&options, &client, &err), &err);
    const struct cluster_caller caller = {.client = client, .deadline_ms = 20000, .api_key = key};
    enum status rc = cluster_call_as(&caller, request, &answer, &err);
    if (rc == STATUS_OK)
        wire_coordinator_release(&answer);
    rpc_client_free(&client);
    return rc;
}

static void every_call_but_place_asks_for_the_key(void **state)
{
    (void)state;
    struct cluster cluster;
    char key[API_KEY_TEXT_MAX];
    start(&cluster, key);
    struct wire_coordinator_message join = {.kind = WIRE_REGISTER};
    join.u.registration.info = (struct wire_target_info){.address = "a:1", .model = "toy",
                                                         .incarnation = 7, .sessions_max = 1};
    join.u.registration.load = (struct wire_target_load){.sequence = 1};
    const struct wire_coordinator_message calls[] = {
        join,
        {.kind = WIRE_HEARTBEAT, .u.heartbeat = {.address = "a:1", .incarnation = 7,
                                                 .load = {.sequence = 2}}},
        {.kind = WIRE_DRAIN_TARGET, .u.drain_target = {.address = "a:1"}},
        {.kind = WIRE_LIST},
    };
    for (uint32_t i = 0; i < ARRAY_LEN(calls); i++) {
        assert_int_equal(ask(&cluster, NULL, &calls[i]), STATUS_DENIED);
        assert_int_equal(ask(&cluster, "sak_of_somebody_else", &calls[i]), STATUS_DENIED);
    }
    assert_int_equal(metrics_value(cluster.metrics, COORDINATOR_METRIC_DENIED),
                     2 * ARRAY_LEN(calls));
    for (uint32_t i = 0; i < ARRAY_LEN(calls); i++)
        assert_int_equal(ask(&cluster, key, &calls[i]), STATUS_OK);
    const struct wire_coordinator_message place = {.kind = WIRE_PLACE};
    assert_int_equal(ask(&cluster, NULL, &place), STATUS_OK);   /* --api-keys is another door */
    assert_int_equal(metrics_value(cluster.metrics, COORDINATOR_METRIC_DENIED),
                     2 * ARRAY_LEN(calls));
    stop(&cluster);
}

static void until(struct registration *target, struct cluster *cluster, bool up)
{
    uint64_t end = now_us() + WAIT_MAX_US;
    uint32_t n_known = up ? 0 : 1;
    do {
        struct wire_listed listed = {0};
        struct error err;
        pthread_mutex_lock(&cluster->coordinator->lock);
        assert_ok(registry_list(cluster->coordinator->registry, now_us(), &listed, &err), &err);
        pthread_mutex_unlock(&cluster->coordinator->lock);
        n_known = listed.n_targets;
        free(listed.targets);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    } while ((n_known == 1) != up && now_us() < end);
    assert_int_equal(n_known, up ? 1 : 0);
    while (registration_state(target).up != up && now_us() < end)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    assert_int_equal(registration_state(target).up, up);
}

/* The key is exchanged on both sides, the coordinator's first: the target is back without a
 * restart. */
static void a_target_shows_its_key_and_takes_a_new_one(void **state)
{
    (void)state;
    struct cluster cluster;
    struct registration *target;
    struct error err;
    char key[API_KEY_TEXT_MAX];
    start(&cluster, key);
    support_write(cluster.key_file, support_format("%s\n", key));
    struct registration_options options = {
        .n_coordinators = 1, .join_key_file = cluster.key_file,
        .info = {.address = "t:1", .model = "toy", .sessions_max = 9}};
    snprintf(options.coordinators[0], WIRE_ADDRESS_MAX, "127.0.0.1:%u",
             coordinator_port(cluster.coordinator));
    assert_ok(registration_start(&options, &target, &err), &err);
    registration_serve(target, &options.info, &cluster.load);
    until(target, &cluster, true);
    new_key(&cluster, key);
    until(target, &cluster, false);
    support_write(cluster.key_file, support_format("%s\n", key));
    until(target, &cluster, true);
    registration_stop(&target);
    stop(&cluster);
}

/* Not even to a coordinator that was only heard of. */
static void a_key_never_goes_in_plain_text_beyond_loopback(void **state)
{
    (void)state;
    struct registration registration = {.options.join_key_file = "/no/such/file"};
    struct report_line line = {.registration = &registration};
    struct error err;
    const char *const far[] = {"10.0.0.1:7700", "[2001:db8::1]:7700", "coordinator:7700"};
    const char *const near[] = {"127.0.0.1:7700", "[::1]:7700", "localhost:7700"};
    for (uint32_t i = 0; i < ARRAY_LEN(far); i++) {
        snprintf(line.coordinator, sizeof(line.coordinator), "%s", far[i]);
        assert_int_equal(read_key(&line, &err), STATUS_DENIED);
        assert_non_null(strstr(err.text, "--coordinator-ca"));
        snprintf(line.coordinator, sizeof(line.coordinator), "%s", near[i]);
        assert_int_equal(read_key(&line, &err), STATUS_NOT_FOUND);
        assert_non_null(strstr(err.text, "--join-key-file"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_but_place_asks_for_the_key),
        cmocka_unit_test(a_target_shows_its_key_and_takes_a_new_one),
        cmocka_unit_test(a_key_never_goes_in_plain_text_beyond_loopback),
    };
    log_init("test_join", LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
