/* What a server does against clients that hold what they do not use: calls that say nothing, that
 * are never read, that are opened and cancelled without end, or that take the place of others. The
 * first three over gRPC and both twins; the last over a real connection, frame by frame. */
#include "rpc_kinds.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc/link_peers.h"

static void serve_with(struct env *env, struct rpc_guards guards, uint32_t calls_max)
{
    rpc_client_free(&env->client);
    rpc_server_free(&env->server);
    env->server_options.guards = guards;
    env->server_options.calls_max = calls_max;
    env_serve(env);
    env->client_options.target = env->address;
    env_connect(env);
}

/* Of a pumped network; elsewhere time goes on by itself. */
static void pass_time(struct env *env, uint64_t us)
{
    if (env->kind != KIND_PUMPED)
        return;
    env->clock_us += us;
    rpc_network_pump(env->network, 0);
}

static void a_call_that_says_nothing_is_ended(void **state)
{
    struct env *env = *state;
    struct record *quiet = record_new(env), *begun = record_new(env);
    serve_with(env, (struct rpc_guards){.first_ms = 150}, 0);
    struct rpc_call *mute = record_open(quiet, "/t.T/Silent", 0);
    struct rpc_call *other = record_open(begun, "/t.T/Silent", 0);
    assert_int_equal(rpc_send(other, NULL, 0), RPC_SENT);   /* an empty message is one */
    AWAIT(env, env->n_server_open == 2 && env->n_server_messages == 1);
    pass_time(env, 149999);
    if (env->kind == KIND_PUMPED)
        assert_int_equal(quiet->n_done, 0);
    pass_time(env, 1);
    AWAIT(env, quiet->n_done == 1);
    assert_int_equal(quiet->code, STATUS_TIMEOUT);
    assert_non_null(strstr(quiet->text, "no message came"));
    pass_time(env, 1000000);
    assert_serves(env);
    assert_int_equal(begun->n_done, 0);
    assert_int_equal(rpc_server_counts(env->server).silent, 1);
    rpc_cancel(other);
    AWAIT(env, begun->n_done == 1 && env->n_server_done == env->n_server_open);
    rpc_unref(mute);
    rpc_unref(other);
}

static void a_call_that_is_not_read_is_cancelled_alone(void **state)
{
    struct env *env = *state;
    struct record *deaf = record_new(env), *other = record_new(env);
    serve_with(env, (struct rpc_guards){.stall_ms = 200}, 0);
    deaf->hold_at_open = true;
    struct rpc_call *unread = record_open(deaf, "/t.T/Flood", 0);
    AWAIT(env, env->n_server_open == 1 && deaf->n_open == 1);
    struct rpc_call *beside = record_open(other, "/t.T/Echo", 0);
    assert_int_equal(rpc_send(beside, NULL, 0), RPC_SENT);
    AWAIT(env, other->n_messages == 1);     /* both share a connection */
    pass_time(env, 199999);
    assert_int_equal(env->n_server_done, 0);
    pass_time(env, 1);
    AWAIT(env, env->n_server_done == 1);
    assert_int_equal(env_server_code(env), STATUS_EXHAUSTED);
    assert_int_equal(rpc_server_counts(env->server).stalled, 1);
    assert_int_equal(rpc_server_counts(env->server).silent, 0);
    assert_int_equal(rpc_send(beside, NULL, 0), RPC_SENT);
    rpc_half_close(beside);
    AWAIT(env, other->n_done == 1);
    assert_int_equal(other->n_messages, 2);
    assert_int_equal(other->code, STATUS_OK);
    rpc_hold(unread, false);
    AWAIT(env, deaf->n_done == 1);
    assert_int_not_equal(deaf->code, STATUS_OK);
    rpc_unref(unread);
    rpc_unref(beside);
}

/* Quiet is not the same as not reading: nothing is owed to this one. */
static void an_idle_call_is_left_alone(void **state)
{
    struct env *env = *state;
    struct record *idle = record_new(env), *later = record_new(env);
    serve_with(env, (struct rpc_guards){.stall_ms = 50}, 0);
    struct rpc_call *call = record_open(idle, "/t.T/Echo", 0);
    assert_int_equal(rpc_send(call, NULL, 0), RPC_SENT);
    AWAIT(env, idle->n_messages == 1);
    struct rpc_call *clock = record_open(later, "/t.T/Silent", 400);
    pass_time(env, 400000);
    AWAIT(env, later->n_done == 1);
    assert_int_equal(rpc_send(call, NULL, 0), RPC_SENT);
    AWAIT(env, idle->n_messages == 2);
    assert_int_equal(rpc_server_counts(env->server).stalled, 0);
    rpc_half_close(call);
    AWAIT(env, idle->n_done == 1);
    assert_int_equal(idle->code, STATUS_OK);
    rpc_unref(call);
    rpc_unref(clock);
}

static enum status refused(struct env *env, const char *method, const char **text)
{
    struct record *record = record_new(env);
    struct rpc_call *call = record_open(record, method, 0);
    AWAIT(env, record->n_done == 1);
    rpc_unref(call);
    *text = record->text;
    return record->code;
}

static void calls_aside_never_take_the_place_of_others(void **state)
{
    struct env *env = *state;
    struct record *records[4];
    struct rpc_call *calls[ARRAY_LEN(records)];
    const char *text;
    serve_with(env, (struct rpc_guards){.aside_max = 8, .aside_peer_max = 3}, 1);
    for (size_t i = 0; i < 3; i++) {
        records[i] = record_new(env);
        calls[i] = record_open(records[i], "/t.T/Aside", 0);
    }
    AWAIT(env, env->n_server_open == 3);
    assert_int_equal(refused(env, "/t.T/Aside", &text), STATUS_EXHAUSTED);
    assert_non_null(strstr(text, "this connection"));
    assert_serves(env);                     /* there is one place, and it is free */
    records[3] = record_new(env);
    calls[3] = record_open(records[3], "/t.T/Silent", 0);
    AWAIT(env, env->n_server_open == 5);
    assert_int_equal(refused(env, "/t.T/Echo", &text), STATUS_EXHAUSTED);
    rpc_cancel(calls[0]);
    AWAIT(env, records[0]->n_done == 1 && env->n_server_done == 2);
    struct record *again = record_new(env);
    struct rpc_call *free_again = record_open(again, "/t.T/Aside", 0);
    AWAIT(env, env->n_server_open == 6);
    assert_int_equal(rpc_server_counts(env->server).refused, 2);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        rpc_cancel(calls[i]);
        rpc_unref(calls[i]);
    }
    rpc_cancel(free_again);
    rpc_unref(free_again);
    AWAIT(env, env->n_server_done == env->n_server_open);
}

static void calls_aside_have_a_limit_over_all_connections(void **state)
{
    struct env *env = *state;
    struct rpc_client *clients[3] = {NULL};
    struct rpc_call *calls[ARRAY_LEN(clients)];
    struct record *records[ARRAY_LEN(clients)];
    struct error err;
    serve_with(env, (struct rpc_guards){.aside_max = 2, .aside_peer_max = 2}, 0);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        assert_ok(rpc_client_new(&env->client_options, &clients[i], &err), &err);
        records[i] = record_new(env);
        assert_ok(rpc_open(clients[i], &(struct rpc_open_options){.method = "/t.T/Aside",
                                                                  .handler = &recorded,
                                                                  .user = records[i]}, &calls[i],
                           &err), &err);
        if (i < 2)
            AWAIT(env, env->n_server_open == (int)i + 1);
    }
    AWAIT(env, records[2]->n_done == 1);
    assert_int_equal(records[2]->code, STATUS_EXHAUSTED);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        rpc_unref(calls[i]);
        rpc_client_free(&clients[i]);
    }
    AWAIT(env, env->n_server_done == 2);
}

/* ---- frames of a hostile client (RFC 9113) ---- */

enum { FRAME_HEADERS = 1, FRAME_RST = 3, FRAME_SETTINGS = 4 };

struct bytes {
    uint8_t data[64 << 10];
    size_t n;
};

static void put_frame(struct bytes *out, uint8_t type, uint8_t flags, uint32_t stream,
                      const void *payload, size_t n)
{
    const uint8_t head[9] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, type, flags,
                             (uint8_t)(stream >> 24), (uint8_t)(stream >> 16),
                             (uint8_t)(stream >> 8), (uint8_t)stream};
    SA_ASSERT(out->n + sizeof(head) + n <= sizeof(out->data));
    memcpy(out->data + out->n, head, sizeof(head));
    if (n)
        memcpy(out->data + out->n + sizeof(head), payload, n);
    out->n += sizeof(head) + n;
}

/* A field without indexing, its name not in any table (RFC 7541, 6.2.2). */
static size_t put_field(uint8_t *out, const char *name, const char *value)
{
    size_t n_name = strlen(name), n_value = strlen(value);
    out[0] = 0;
    out[1] = (uint8_t)n_name;
    memcpy(out + 2, name, n_name);
    out[2 + n_name] = (uint8_t)n_value;
    memcpy(out + 3 + n_name, value, n_value);
    return 3 + n_name + n_value;
}

static void put_call(struct bytes *out, uint32_t stream, bool reset)
{
    static const char *const fields[][2] = {
        {":method", "POST"}, {":scheme", "http"}, {":path", "/t.T/Silent"}, {":authority", "a"},
        {"te", "trailers"}, {"content-type", "application/grpc"}};
    static const uint8_t cancelled[4] = {0, 0, 0, 8};
    uint8_t block[256];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        n += put_field(block + n, fields[i][0], fields[i][1]);
    put_frame(out, FRAME_HEADERS, 4, stream, block, n);
    if (reset)
        put_frame(out, FRAME_RST, 0, stream, cancelled, sizeof(cancelled));
}

static int raw_connect(const struct env *env)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct timeval patience = {.tv_sec = 20};
    struct bytes begin = {.n = sizeof(preface) - 1};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_port = htons(rpc_server_port(env->server));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    memcpy(begin.data, preface, begin.n);
    put_frame(&begin, FRAME_SETTINGS, 0, 0, NULL, 0);
    assert_int_equal(send(fd, begin.data, begin.n, MSG_NOSIGNAL), begin.n);
    return fd;
}

/* Reads what the server says until it closes; false: it went on for 20 s. */
static bool is_closed(int fd)
{
    uint8_t buffer[4096];
    ssize_t n;
    while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0)
        ;
    return n == 0 || errno == ECONNRESET;
}

static void drop(int fd)
{
    uint8_t buffer[4096];
    while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
        ;
}

static void who_opens_and_cancels_in_a_loop_is_cut(void **state)
{
    struct env *env = *state;
    struct record *kept = record_new(env);
    static struct bytes burst;
    serve_with(env, (struct rpc_guards){.resets_max = 50, .resets_per_s = 1}, 0);
    struct rpc_call *call = record_open(kept, "/t.T/Echo", 0);
    assert_int_equal(rpc_send(call, NULL, 0), RPC_SENT);
    AWAIT(env, kept->n_messages == 1);
    int fd = raw_connect(env);
    ssize_t sent = 1;
    uint32_t stream = 1;
    for (int i = 0; i < 1000 && sent > 0; i++) {
        burst.n = 0;
        for (int k = 0; k < 10; k++, stream += 2)
            put_call(&burst, stream, true);
        sent = send(fd, burst.data, burst.n, MSG_NOSIGNAL);
        drop(fd);
    }
    assert_true(is_closed(fd));
    close(fd);
    assert_int_equal(rpc_send(call, NULL, 0), RPC_SENT);    /* another connection's goes on */
    AWAIT(env, kept->n_messages == 2);
    rpc_half_close(call);
    AWAIT(env, kept->n_done == 1);
    assert_int_equal(kept->code, STATUS_OK);
    rpc_unref(call);
    rpc_server_stop(env->server, 0);        /* its thread has done all that it will do */
    assert_int_equal(rpc_server_counts(env->server).cut, 1);
}

static void some_cancelled_calls_are_nothing(void **state)
{
    struct env *env = *state;
    serve_with(env, (struct rpc_guards){.resets_max = 50, .resets_per_s = 1}, 0);
    for (int i = 0; i < 40; i++) {
        struct record *record = record_new(env);
        struct rpc_call *call = record_open(record, "/t.T/Silent", 0);
        AWAIT(env, record->n_open == 1);
        rpc_cancel(call);
        AWAIT(env, record->n_done == 1);
        rpc_unref(call);
    }
    AWAIT(env, env->n_server_done == 40);
    assert_serves(env);
    assert_int_equal(rpc_server_counts(env->server).cut, 0);
}

/* Calls that only begin, more than a connection may have: the core itself closes it. */
static void more_streams_than_allowed_close_the_connection(void **state)
{
    struct env *env = *state;
    static struct bytes burst;
    serve_with(env, (struct rpc_guards){.streams_max = 20}, 0);
    int fd = raw_connect(env);
    uint8_t settings[64];
    assert_true(recv(fd, settings, sizeof(settings), 0) > 0);
    burst.n = 0;
    put_frame(&burst, FRAME_SETTINGS, 1, 0, NULL, 0);       /* it is agreed on */
    for (uint32_t i = 0; i < 100; i++)
        put_call(&burst, 2 * i + 1, false);
    assert_true(send(fd, burst.data, burst.n, MSG_NOSIGNAL) > 0);
    assert_true(is_closed(fd));
    close(fd);
    assert_serves(env);
    rpc_server_stop(env->server, 0);
    assert_in_range(env->n_server_open, 1, 20 + 1);
}

/* ---- the meter, on a clock of its own ---- */

static void the_bucket_of_cancelled_calls_drains(void **state)
{
    (void)state;
    static struct link_peers peers;
    uint64_t now = 1000000;
    uint32_t n = 0;
    peers = (struct link_peers){.resets_max = 10, .resets_per_s = 5};
    for (bool cut = false; !cut && n < 100; n++) {
        struct link_peer *peer = link_peers_enter(&peers, "ipv4:192.0.2.1:1", false);
        cut = link_peers_leave(&peers, peer, false, true, now);
    }
    assert_int_equal(n, 11);
    struct link_peer *peer = link_peers_enter(&peers, "ipv4:192.0.2.1:1", false);
    assert_false(link_peers_leave(&peers, peer, false, true, now));     /* told once */
    for (n = 0; n < 1000; n++, now += 200000) {     /* five a second, for ever */
        peer = link_peers_enter(&peers, "ipv4:192.0.2.1:2", false);
        assert_false(link_peers_leave(&peers, peer, false, true, now));
    }
    for (n = 0; n < 1000; n++) {                    /* and calls that are not cancelled */
        peer = link_peers_enter(&peers, "ipv4:192.0.2.1:3", true);
        assert_int_equal(peer->n_aside, 1);
        assert_false(link_peers_leave(&peers, peer, true, false, now));
    }
    assert_int_equal(peers.n, 3);
    link_peers_forget(&peers, now + 10000000);
    assert_int_equal(peers.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ALL(a_call_that_says_nothing_is_ended),
        ON_ALL(a_call_that_is_not_read_is_cancelled_alone),
        ON_ALL(an_idle_call_is_left_alone),
        ON_ALL(calls_aside_never_take_the_place_of_others),
        ON_ALL(calls_aside_have_a_limit_over_all_connections),
        ON_GRPC(who_opens_and_cancels_in_a_loop_is_cut),
        ON_GRPC(some_cancelled_calls_are_nothing),
        ON_GRPC(more_streams_than_allowed_close_the_connection),
        cmocka_unit_test(the_bucket_of_cancelled_calls_drains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
