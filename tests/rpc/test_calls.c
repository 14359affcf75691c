/* The conformance suite of rpc.h: every test runs over gRPC, over the threaded twin and over the
 * pumped twin. */
#include "rpc_kinds.h"

static void unary_answers(void **state)
{
    struct env *env = *state;
    struct rpc_bytes response;
    struct error err;
    assert_serves(env);
    assert_ok(unary(env, "/t.T/Echo", NULL, 0, &response, &err), &err);
    assert_int_equal(response.size, 0);
    assert_null(response.data);
}

static void the_largest_message_passes_both_ways(void **state)
{
    struct env *env = *state;
    size_t size = (1 << 20) + (64 << 10);
    uint8_t *big = malloc(size);
    struct rpc_bytes response;
    struct error err;
    assert_non_null(big);
    for (size_t i = 0; i < size; i++)
        big[i] = (uint8_t)(i * 131 >> 3);
    assert_ok(unary(env, "/t.T/Echo", big, size, &response, &err), &err);
    assert_int_equal(response.size, size);
    assert_memory_equal(response.data, big, size);
    free(response.data);
    assert_int_equal(unary(env, "/t.T/Echo", big, size + 1, &response, &err), STATUS_EXHAUSTED);
    struct record *record = record_new(env);
    struct rpc_call *call = record_open(record, "/t.T/Echo", 0);
    assert_int_equal(rpc_send(call, big, size + 1), RPC_TOO_LARGE);
    rpc_half_close(call);
    AWAIT(env, record->n_done == 1);
    assert_int_equal(record->code, STATUS_OK);
    rpc_unref(call);
    free(big);
}

/* A peer with another idea of the cap. */
static void too_large_for_the_server_ends_only_that_call(void **state)
{
    struct env *env = *state;
    uint8_t *big = calloc(1, 3 << 20);
    struct rpc_bytes response;
    struct error err;
    assert_non_null(big);
    rpc_client_free(&env->client);
    env->client_options.limits.message_max = 4 << 20;
    env_connect(env);
    assert_int_equal(unary(env, "/t.T/Echo", big, 3 << 20, &response, &err), STATUS_EXHAUSTED);
    assert_non_null(strstr(err.text, "larger"));
    assert_serves(env);
    free(big);
}

static void too_large_for_the_client_ends_only_that_call(void **state)
{
    struct env *env = *state;
    struct rpc_bytes response;
    struct error err;
    uint8_t block[2048] = {0};
    rpc_client_free(&env->client);
    env->client_options.limits.message_max = 1000;
    env_connect(env);
    struct record *record = record_new(env);
    struct rpc_call *call = record_open(record, "/t.T/Source", 0);
    AWAIT(env, record->n_done == 1);
    assert_int_equal(record->code, STATUS_EXHAUSTED);
    assert_int_equal(record->n_messages, 0);
    rpc_unref(call);
    AWAIT(env, env->n_server_done == env->n_server_open);
    assert_int_equal(unary(env, "/t.T/Echo", block, 1001, &response, &err), STATUS_EXHAUSTED);
    assert_serves(env);
}

static void a_stream_keeps_its_order(void **state)
{
    struct env *env = *state;
    enum { N = 500 };
    struct record *record = record_new(env);
    struct rpc_call *call = record_open(record, "/t.T/Echo", 0);
    for (uint32_t i = 0; i < N; i++) {
        uint8_t message[64] = {0};
        memcpy(message, &i, sizeof(i));
        assert_int_equal(rpc_send(call, message, sizeof(i) + i % 60), RPC_SENT);
    }
    rpc_half_close(call);
    assert_int_equal(rpc_send(call, NULL, 0), RPC_CLOSED);
    AWAIT(env, record->n_done == 1);
    assert_int_equal(record->n_open, 1);
    assert_int_equal(record->n_messages, N);
    assert_int_equal(record->n_sent, N);
    assert_true(record->in_order);
    assert_int_equal(record->code, STATUS_OK);
    assert_int_equal(rpc_queued_bytes(call), 0);
    assert_int_equal(env->n_server_eof, 1);
    rpc_unref(call);
}

static void many_calls_do_not_mix(void **state)
{
    struct env *env = *state;
    enum { CALLS = 100, EACH = 20 };
    struct record *records[CALLS];
    struct rpc_call *calls[CALLS];
    for (int c = 0; c < CALLS; c++) {
        records[c] = record_new(env);
        calls[c] = record_open(records[c], "/t.T/Echo", 0);
    }
    for (uint32_t i = 0; i < EACH; i++)
        for (int c = 0; c < CALLS; c++)
            assert_int_equal(rpc_send(calls[c], (uint8_t *)&i, sizeof(i)), RPC_SENT);
    for (int c = 0; c < CALLS; c++)
        rpc_half_close(calls[c]);
    for (int c = 0; c < CALLS; c++) {
        AWAIT(env, records[c]->n_done == 1);
        assert_int_equal(records[c]->n_messages, EACH);
        assert_true(records[c]->in_order && records[c]->code == STATUS_OK);
        rpc_unref(calls[c]);
    }
}

static void every_status_crosses_with_its_text(void **state)
{
    struct env *env = *state;
    static const enum status expected[STATUS_N] = {
        [STATUS_INVALID] = STATUS_INVALID, [STATUS_NOT_FOUND] = STATUS_NOT_FOUND,
        [STATUS_IO] = STATUS_INTERNAL, [STATUS_CORRUPT] = STATUS_CORRUPT,
        [STATUS_UNSUPPORTED] = STATUS_UNSUPPORTED, [STATUS_NO_MEMORY] = STATUS_EXHAUSTED,
        [STATUS_EXHAUSTED] = STATUS_EXHAUSTED, [STATUS_CLOSED] = STATUS_CLOSED,
        [STATUS_TIMEOUT] = STATUS_TIMEOUT, [STATUS_UNAVAILABLE] = STATUS_UNAVAILABLE,
        [STATUS_MISMATCH] = STATUS_MISMATCH, [STATUS_CANCELLED] = STATUS_CANCELLED,
        [STATUS_DENIED] = STATUS_DENIED, [STATUS_INTERNAL] = STATUS_INTERNAL,
    };
    for (int code = 1; code < STATUS_N; code++) {
        static const char text[] = "na\xC3\xAFve \xE2\x82\xAC, Connection refused";
        char message[sizeof(text)];
        struct rpc_bytes response;
        struct error err;
        message[0] = (char)code;
        memcpy(message + 1, text, sizeof(text) - 1);
        assert_int_equal(unary(env, "/t.T/Fail", message, sizeof(text), &response, &err),
                         expected[code]);
        assert_string_equal(err.text, text);
    }
}

static void status_texts_are_cut_and_repaired(void **state)
{
    struct env *env = *state;
    char message[1 + 400];
    struct rpc_bytes response;
    struct error err;
    memset(message, 'x', sizeof(message));
    message[0] = STATUS_CORRUPT;
    message[3] = '\xFF';
    assert_int_equal(unary(env, "/t.T/Fail", message, sizeof(message), &response, &err),
                     STATUS_CORRUPT);
    assert_int_equal(strlen(err.text), RPC_TEXT_MAX - 1);
    assert_memory_equal(err.text, "xx?xx", 5);
}

static void unknown_methods_are_unsupported(void **state)
{
    struct env *env = *state;
    struct rpc_bytes response;
    struct error err;
    assert_int_equal(unary(env, "/t.T/Nothing", "x", 1, &response, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "/t.T/Nothing"));
    assert_int_equal(unary(env, "no slash", "x", 1, &response, &err), STATUS_INVALID);
    assert_serves(env);
}

static void a_slow_reader_fills_the_queue_and_loses_nothing(void **state)
{
    struct env *env = *state;
    struct record *record = record_new(env);
    record->hold_at_open = true;
    struct rpc_call *call = record_open(record, "/t.T/Source", 0);
    AWAIT(env, env->n_server_full == 1);
    AWAIT(env, record->n_open == 1);
    assert_true(env->n_source_queued > 0 && env->n_source_queued <= 4 << 20);
    assert_int_equal(record->n_done, 0);
    rpc_hold(call, false);
    AWAIT(env, record->n_done == 1);
    assert_int_equal(record->code, STATUS_OK);
    assert_true(record->in_order);
    assert_int_equal(record->n_messages, strtol(record->text, NULL, 10));
    assert_true(record->n_messages >= 1024);
    rpc_unref(call);
}

static void a_held_server_makes_the_client_full(void **state)
{
    struct env *env = *state;
    struct record *record = record_new(env);
    uint8_t block[4096] = {0};
    enum rpc_sent rc = RPC_SENT;
    size_t n = 0;
    rpc_client_free(&env->client);
    env->client_options.limits.queue_bytes = 16 << 10;
    env_connect(env);
    struct rpc_call *call = record_open(record, "/t.T/Sink", 0);
    AWAIT(env, env->n_server_open == 1);
    rpc_hold(env->server_call, true);
    for (; n < 100000 && rc == RPC_SENT; n += rc == RPC_SENT)
        rc = rpc_send(call, block, sizeof(block));
    assert_int_equal(rc, RPC_FULL);
    assert_in_range(rpc_queued_bytes(call), (16 << 10) - sizeof(block), 16 << 10);
    rpc_hold(env->server_call, false);
    rpc_half_close(call);
    AWAIT(env, record->n_done == 1);
    assert_int_equal(record->code, STATUS_OK);
    assert_int_equal(env->n_server_messages, n);
    assert_int_equal(record->n_sent, n);
    assert_int_equal(record->queued, 0);
    rpc_unref(call);
}

static void a_cancelled_call_ends_on_both_sides(void **state)
{
    struct env *env = *state;
    struct record *record = record_new(env);
    struct rpc_call *call = record_open(record, "/t.T/Silent", 0);
    AWAIT(env, record->n_open == 1);
    rpc_cancel(call);
    rpc_cancel(call);
    assert_int_equal(rpc_send(call, NULL, 0), RPC_CLOSED);
    AWAIT(env, record->n_done == 1 && env->n_server_done == 1);
    assert_int_equal(record->code, STATUS_CANCELLED);
    assert_int_equal(env_server_code(env), STATUS_CANCELLED);
    rpc_half_close(call);
    rpc_hold(call, true);
    rpc_hold(call, false);
    rpc_cancel(call);
    rpc_unref(call);
    assert_serves(env);
}

static void the_server_can_cancel(void **state)
{
    struct env *env = *state;
    struct record *record = record_new(env);
    struct rpc_call *call = record_open(record, "/t.T/Silent", 0);
    AWAIT(env, record->n_open == 1);
    rpc_cancel(env->server_call);
    AWAIT(env, record->n_done == 1 && env->n_server_done == 1);
    assert_int_equal(record->code, STATUS_CANCELLED);
    assert_int_equal(env_server_code(env), STATUS_CANCELLED);
    rpc_unref(call);
}

static void cancelling_inside_a_callback_is_allowed(void **state)
{
    struct env *env = *state;
    struct record *record = record_new(env);
    record->cancel_at_message = true;
    struct rpc_call *call = record_open(record, "/t.T/Echo", 0);
    assert_int_equal(rpc_send(call, (const uint8_t *)"abcd", 4), RPC_SENT);
    AWAIT(env, record->n_done == 1 && env->n_server_done == 1);
    assert_int_equal(record->n_messages, 1);
    assert_int_equal(record->code, STATUS_CANCELLED);
    rpc_unref(call);
}

static void a_deadline_ends_the_call(void **state)
{
    struct env *env = *state;
    struct record *record = record_new(env);
    struct rpc_call *call = record_open(record, "/t.T/Silent", 60);
    AWAIT(env, env->n_server_open == 1);
    if (env->kind == KIND_PUMPED) {
        env->clock_us += 59999;
        rpc_network_pump(env->network, 0);
        assert_int_equal(record->n_done, 0);
        env->clock_us += 1;
    }
    AWAIT(env, record->n_done == 1 && env->n_server_done == 1);
    assert_int_equal(record->code, STATUS_TIMEOUT);
    assert_non_null(strstr(record->text, env->address));
    assert_int_equal(env_server_code(env), STATUS_CANCELLED);
    rpc_unref(call);
}

static void a_graceful_stop_under_load_completes_every_call_once(void **state)
{
    struct env *env = *state;
    enum { CALLS = 32 };
    struct record *records[CALLS];
    struct rpc_call *calls[CALLS];
    uint8_t block[512] = {0};
    for (int c = 0; c < CALLS; c++) {
        records[c] = record_new(env);
        calls[c] = record_open(records[c], c % 2 ? "/t.T/Sink" : "/t.T/Echo", 0);
    }
    AWAIT(env, env->n_server_open == CALLS);
    for (int i = 0; i < 50; i++)
        for (int c = 0; c < CALLS; c++)
            rpc_send(calls[c], block, sizeof(block));
    rpc_server_stop(env->server, 20000);
    assert_int_equal(env->n_server_done, CALLS);
    for (int c = 0; c < CALLS; c++) {
        AWAIT(env, records[c]->n_done == 1);
        assert_int_equal(records[c]->code, STATUS_UNAVAILABLE);
        const char *expected = c % 2 ? "the server is stopping" : "draining";
        /* TCP drops what a peer has sent when it closes with our bytes unread. */
        if (env->kind != KIND_GRPC || !strstr(records[c]->text, "closed the connection"))
            assert_string_equal(records[c]->text, expected);
        rpc_unref(calls[c]);
    }
    struct rpc_bytes response;
    struct error err;
    assert_int_equal(unary(env, "/t.T/Echo", "x", 1, &response, &err), STATUS_UNAVAILABLE);
    rpc_server_stop(env->server, 1);
    rpc_client_free(&env->client);      /* nothing may come afterwards */
    for (int c = 0; c < CALLS; c++)
        assert_int_equal(records[c]->n_done, 1);
}

static void calls_that_do_not_drain_are_cancelled_after_the_grace(void **state)
{
    struct env *env = *state;
    struct record *record = record_new(env);
    struct rpc_call *call = record_open(record, "/t.T/Silent", 0);
    AWAIT(env, record->n_open == 1);
    rpc_server_stop(env->server, 30);
    assert_int_equal(env->n_server_done, 1);
    AWAIT(env, record->n_done == 1);
    assert_int_not_equal(record->code, STATUS_OK);
    rpc_unref(call);
}

static void a_client_that_goes_ends_its_calls(void **state)
{
    struct env *env = *state;
    struct record *records[8];
    struct rpc_call *calls[ARRAY_LEN(records)];
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        records[i] = record_new(env);
        calls[i] = record_open(records[i], "/t.T/Silent", 0);
    }
    AWAIT(env, env->n_server_open == (int)ARRAY_LEN(records));
    rpc_client_free(&env->client);
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        assert_int_equal(records[i]->n_done, 1);
        assert_int_equal(records[i]->code, STATUS_CANCELLED);
        assert_int_equal(rpc_send(calls[i], NULL, 0), RPC_CLOSED);
        rpc_unref(calls[i]);
    }
    AWAIT(env, env->n_server_done == (int)ARRAY_LEN(records));
}

static void more_calls_than_the_cap_are_refused(void **state)
{
    struct env *env = *state;
    struct record *one = record_new(env), *two = record_new(env);
    struct rpc_bytes response;
    struct error err;
    rpc_client_free(&env->client);
    rpc_server_free(&env->server);
    env->server_options.calls_max = 2;
    env_serve(env);
    env->client_options.target = env->address;
    env_connect(env);
    struct rpc_call *first = record_open(one, "/t.T/Silent", 0);
    struct rpc_call *second = record_open(two, "/t.T/Silent", 0);
    AWAIT(env, env->n_server_open == 2);
    assert_int_equal(unary(env, "/t.T/Echo", "x", 1, &response, &err), STATUS_EXHAUSTED);
    rpc_cancel(first);
    AWAIT(env, one->n_done == 1 && env->n_server_done == 1);
    assert_serves(env);
    rpc_cancel(second);
    AWAIT(env, two->n_done == 1);
    rpc_unref(first);
    rpc_unref(second);
}

static void an_absent_target_is_unavailable(void **state)
{
    struct env *env = *state;
    struct rpc_bytes response;
    struct error err;
    rpc_server_free(&env->server);      /* its port is free now */
    assert_int_equal(unary(env, "/t.T/Echo", "x", 1, &response, &err), STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.text, env->address));
    assert_non_null(strstr(err.text, "is the server running"));
}

static void a_client_finds_a_server_that_came_back(void **state)
{
    struct env *env = *state;
    struct rpc_bytes response;
    struct error err;
    assert_serves(env);
    rpc_server_free(&env->server);
    assert_int_equal(unary(env, "/t.T/Echo", "x", 1, &response, &err), STATUS_UNAVAILABLE);
    env->server_options.listen = env->address;
    char address[64];
    snprintf(address, sizeof(address), "%s", env->address);
    env->server_options.listen = address;
    env_serve(env);
    enum status rc = STATUS_UNAVAILABLE;
    for (int i = 0; i < 100000 && rc == STATUS_UNAVAILABLE; i++)    /* within the backoff */
        rc = unary(env, "/t.T/Echo", "x", 1, &response, &err);
    assert_int_equal(rc, STATUS_OK);
    free(response.data);
}

static void a_taken_address_is_refused_with_its_name(void **state)
{
    struct env *env = *state;
    struct rpc_server_options options = env->server_options;
    struct rpc_server *second = NULL;
    struct error err;
    options.listen = env->address;
    options.n_methods = 0;
    assert_int_equal(rpc_server_new(&options, &second, &err), STATUS_UNAVAILABLE);
    assert_null(second);
    assert_non_null(strstr(err.text, env->address));
    assert_non_null(strstr(err.text, "in use"));
    assert_serves(env);
}

static void metadata_arrives_and_nonsense_is_refused(void **state)
{
    struct env *env = *state;
    static const struct rpc_metadata good[] = {{"authorization", "Bearer abc"}, {"x-1", "~ !"}};
    static const struct rpc_metadata bad[] = {{"Upper", "x"}, {"key", "\n"}, {"", "x"},
                                              {"k", "\xC3\xA9"}, {"grpc-x", "x"}, {"a-bin", "x"}};
    struct rpc_unary_options options = {
        .method = "/t.T/Metadata", .data = (const uint8_t *)"authorization", .size = 13,
        .metadata = good, .n_metadata = ARRAY_LEN(good),
    };
    struct rpc_bytes response;
    struct error err;
    assert_ok(rpc_unary(env->client, &options, &response, &err), &err);
    assert_int_equal(response.size, 10);
    assert_memory_equal(response.data, "Bearer abc", 10);
    free(response.data);
    options.data = (const uint8_t *)"absent";
    options.size = 6;
    assert_int_equal(rpc_unary(env->client, &options, &response, &err), STATUS_NOT_FOUND);
    options.n_metadata = 1;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        options.metadata = &bad[i];
        assert_int_equal(rpc_unary(env->client, &options, &response, &err), STATUS_INVALID);
    }
    assert_serves(env);
}

/* Threads that send, cancel and query while events come in: for the sanitizers. */
struct worker {
    struct rpc_call *call;
    int n;
};

static void *hammer(void *argument)
{
    struct worker *worker = argument;
    uint8_t block[100] = {0};
    for (int i = 0; i < 200; i++) {
        rpc_send(worker->call, block, sizeof(block));
        rpc_queued_bytes(worker->call);
        rpc_hold(worker->call, i % 8 == 0);
        if (i == worker->n)
            rpc_cancel(worker->call);
    }
    rpc_hold(worker->call, false);
    rpc_half_close(worker->call);
    rpc_unref(worker->call);
    return NULL;
}

static void a_call_may_be_used_by_several_threads(void **state)
{
    struct env *env = *state;
    enum { CALLS = 6, EACH = 2 };
    struct record *records[CALLS];
    struct worker workers[CALLS * EACH];
    pthread_t threads[CALLS * EACH];
    if (env->kind == KIND_PUMPED)
        return;                         /* for one thread only, by its contract */
    for (int i = 0; i < CALLS * EACH; i++) {
        if (i % EACH == 0) {
            records[i / EACH] = record_new(env);
            workers[i].call = record_open(records[i / EACH], "/t.T/Echo", 0);
        } else {
            workers[i].call = rpc_ref(workers[i - 1].call);
        }
        workers[i].n = i / EACH % 2 ? 150 : -1;
    }
    for (int i = 0; i < CALLS * EACH; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &workers[i]), 0);
    for (int i = 0; i < CALLS * EACH; i++)
        pthread_join(threads[i], NULL);
    for (int c = 0; c < CALLS; c++)
        AWAIT(env, records[c]->n_done == 1);
}

static void a_cut_link_breaks_its_calls(void **state)
{
    struct env *env = *state;
    struct record *record = record_new(env);
    if (!env->network)
        return;                         /* gRPC: test_links.c kills a process */
    struct rpc_call *call = record_open(record, "/t.T/Silent", 0);
    AWAIT(env, record->n_open == 1);
    rpc_network_cut(env->network, env->address);
    AWAIT(env, record->n_done == 1 && env->n_server_done == 1);
    assert_int_equal(record->code, STATUS_UNAVAILABLE);
    assert_non_null(strstr(record->text, "closed the connection"));
    rpc_unref(call);
    assert_serves(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ALL(unary_answers),
        ON_ALL(the_largest_message_passes_both_ways),
        ON_ALL(too_large_for_the_server_ends_only_that_call),
        ON_ALL(too_large_for_the_client_ends_only_that_call),
        ON_ALL(a_stream_keeps_its_order),
        ON_ALL(many_calls_do_not_mix),
        ON_ALL(every_status_crosses_with_its_text),
        ON_ALL(status_texts_are_cut_and_repaired),
        ON_ALL(unknown_methods_are_unsupported),
        ON_ALL(a_slow_reader_fills_the_queue_and_loses_nothing),
        ON_ALL(a_held_server_makes_the_client_full),
        ON_ALL(a_cancelled_call_ends_on_both_sides),
        ON_ALL(the_server_can_cancel),
        ON_ALL(cancelling_inside_a_callback_is_allowed),
        ON_ALL(a_deadline_ends_the_call),
        ON_ALL(a_graceful_stop_under_load_completes_every_call_once),
        ON_ALL(calls_that_do_not_drain_are_cancelled_after_the_grace),
        ON_ALL(a_client_that_goes_ends_its_calls),
        ON_ALL(more_calls_than_the_cap_are_refused),
        ON_ALL(an_absent_target_is_unavailable),
        ON_ALL(a_client_finds_a_server_that_came_back),
        ON_ALL(a_taken_address_is_refused_with_its_name),
        ON_ALL(metadata_arrives_and_nonsense_is_refused),
        ON_ALL(a_call_may_be_used_by_several_threads),
        ON_ALL(a_cut_link_breaks_its_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
