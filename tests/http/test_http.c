/* The side door over real sockets: what is answered, what is refused, how much one peer gets. */
#include "../support/support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/get.h"
#include "http/http.h"
#include "http/http_int.h"


static bool ready;

static void metrics(void *context, struct http_reply *reply)
{
    char *body = strdup(context);
    http_reply_take(reply, 200, HTTP_TYPE_METRICS, body, strlen(body));
}

static void readyz(void *context, struct http_reply *reply)
{
    (void)context;
    http_reply_text(reply, 200, "this one does not count\n");
    http_reply_text(reply, ready ? 200 : 503, "%s\n", ready ? "ready" : "the model is loading");
}

static void says_nothing(void *context, struct http_reply *reply)
{
    (void)context, (void)reply;
}

static const struct http_route routes[] = {
    {"/metrics", metrics, "a_total 1\n"},
    {"/readyz", readyz, NULL},
    {"/silent", says_nothing, NULL},
};

static struct http_server *start(struct http_options options)
{
    struct http_server *server;
    struct error err;
    options.routes = routes;
    options.n_routes = ARRAY_LEN(routes);
    if (!options.listen)
        options.listen = ":0";
    assert_ok(http_start(&options, &server, &err), &err);
    assert_true(http_port(server) > 0);
    return server;
}

static int dial(const struct http_server *server)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(http_port(server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

/* All that comes until the server closes; "timeout" when it does not. */
static const char *read_all(int fd)
{
    static char text[65536];
    size_t n = 0;
    ssize_t got;
    while (n < sizeof(text) - 1 && (got = recv(fd, text + n, sizeof(text) - 1 - n, 0)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    close(fd);
    return text;
}

static const char *ask(const struct http_server *server, const char *method, const char *path)
{
    int fd = dial(server);
    const char *request = support_format("%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                                         method, path);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), (int)strlen(request));
    return read_all(fd);
}

static void assert_answer(const char *answer, unsigned code, const char *end)
{
    if (strncmp(answer, support_format("HTTP/1.1 %u ", code), 13) != 0)
        fail_msg("not %u: %s", code, answer);
    size_t n = strlen(answer), n_end = strlen(end);
    if (n < n_end || strcmp(answer + n - n_end, end) != 0)
        fail_msg("does not end in \"%s\": %s", end, answer);
}

static void paths_are_answered(void **state)
{
    (void)state;
    struct http_server *server = start((struct http_options){0});
    const char *answer = ask(server, "GET", "/metrics");
    assert_answer(answer, 200, "\r\n\r\na_total 1\n");
    assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_answer(ask(server, "GET", "/metrics?x=1"), 200, "\r\n\r\na_total 1\n");
    answer = ask(server, "HEAD", "/metrics");
    assert_answer(answer, 200, "\r\n\r\n");
    assert_non_null(strstr(answer, "Content-Length: 10\r\n"));
    ready = false;
    assert_answer(ask(server, "GET", "/readyz"), 503, "\r\n\r\nthe model is loading\n");
    ready = true;
    assert_answer(ask(server, "GET", "/readyz"), 200, "\r\n\r\nready\n");
    assert_answer(ask(server, "GET", "/silent"), 500, "\r\n\r\n");
    http_stop(&server);
    assert_null(server);
}

static void the_rest_is_refused(void **state)
{
    (void)state;
    struct http_server *server = start((struct http_options){0});
    assert_answer(ask(server, "GET", "/"), 404, "not found\n");
    assert_answer(ask(server, "GET", "/metrics/"), 404, "not found\n");
    assert_answer(ask(server, "GET", "/../etc/passwd"), 404, "not found\n");
    const char *answer = ask(server, "DELETE", "/metrics");
    assert_answer(answer, 405, "only GET and HEAD\n");
    assert_non_null(strstr(answer, "Allow: GET, HEAD\r\n"));
    /* A body is announced: the answer comes without waiting for it. */
    int fd = dial(server);
    const char *post = "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n";
    assert_int_equal(send(fd, post, strlen(post), MSG_NOSIGNAL), (int)strlen(post));
    assert_answer(read_all(fd), 405, "only GET and HEAD\n");
    http_stop(&server);
}

static void endless_headers_are_cut(void **state)
{
    (void)state;
    struct http_server *server = start((struct http_options){0});
    int fd = dial(server);
    char block[4096];
    memset(block, 'a', sizeof(block));
    const char *begin = "GET /metrics HTTP/1.1\r\nHost: ";
    ssize_t sent = send(fd, begin, strlen(begin), MSG_NOSIGNAL);
    for (int i = 0; i < 4096 && sent > 0; i++)
        sent = send(fd, block, sizeof(block), MSG_NOSIGNAL);
    assert_true(sent <= 0);             /* 16 MiB were not taken: it has closed */
    close(fd);
    assert_answer(ask(server, "GET", "/metrics"), 200, "a_total 1\n");
    http_stop(&server);
}

static void idle_peers_are_capped_and_closed(void **state)
{
    (void)state;
    enum { PER_ADDRESS = 3 };
    struct http_server *server =
        start((struct http_options){.connections_max = 4, .timeout_s = 2});
    int idle[PER_ADDRESS];
    for (int i = 0; i < PER_ADDRESS; i++)
        idle[i] = dial(server);
    assert_string_equal(read_all(dial(server)), "");    /* one too many: closed at once, ... */
    char byte;
    for (int i = 0; i < PER_ADDRESS; i++)               /* ... not by the time-out */
        assert_true(recv(idle[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
    for (int i = 0; i < PER_ADDRESS; i++)
        assert_string_equal(read_all(idle[i]), "");     /* returns when the time-out closes it */
    assert_answer(ask(server, "GET", "/metrics"), 200, "a_total 1\n");
    http_stop(&server);
}

static void stop_does_not_wait_for_peers(void **state)
{
    (void)state;
    struct http_server *server = start((struct http_options){.timeout_s = 1000});
    int fd = dial(server);
    http_stop(&server);
    assert_string_equal(read_all(fd), "");
    http_stop(&server);
}

static void addresses_that_do_not_work_say_why(void **state)
{
    (void)state;
    struct http_server *server = start((struct http_options){.listen = "127.0.0.1:0"}), *other;
    struct error err;
    const char *bad[] = {"", "9100", "localhost", "localhost:", "::1:9100", "[::1:9100",
                         "localhost:http", "localhost:123456789"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct http_options options = {.listen = bad[i]};
        if (http_start(&options, &other, &err) != STATUS_INVALID)
            fail_msg("\"%s\" was not refused as no address", bad[i]);
        assert_null(other);
    }
    struct http_options taken = {.listen = support_format("127.0.0.1:%u", http_port(server))};
    assert_int_equal(http_start(&taken, &other, &err), STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.text, "in use"));
    struct http_options foreign = {.listen = "192.0.2.1:0"};
    assert_int_equal(http_start(&foreign, &other, &err), STATUS_UNAVAILABLE);
    http_stop(&server);
}

static void a_page_is_fetched(void **state)
{
    (void)state;
    struct http_server *server = start((struct http_options){0});
    const char *address = support_format("127.0.0.1:%u", http_port(server));
    char *body;
    struct error err;
    assert_ok(http_get(address, "/metrics", 20000, &body, &err), &err);
    assert_string_equal(body, "a_total 1\n");
    free(body);
    ready = false;
    assert_int_equal(http_get(address, "/readyz", 20000, &body, &err), STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.text, "status 503, the model is loading"));
    assert_null(body);
    assert_int_equal(http_get("nonsense", "/", 20000, &body, &err), STATUS_INVALID);
    http_stop(&server);
    assert_int_equal(http_get(address, "/metrics", 20000, &body, &err), STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.text, address));
}

/* What answers one client with these bytes, and then closes or stays silent. */
struct rogue {
    int listener;
    const char *bytes;
    size_t repeat;
    bool silent;
};

static void *serve_once(void *argument)
{
    struct rogue *rogue = argument;
    char request[512];
    int fd = accept(rogue->listener, NULL, NULL);
    if (fd < 0)
        return NULL;
    ssize_t n = recv(fd, request, sizeof(request), 0);
    for (size_t i = 0; i < rogue->repeat && n > 0; i++)
        n = send(fd, rogue->bytes, strlen(rogue->bytes), MSG_NOSIGNAL);
    while (rogue->silent && recv(fd, request, sizeof(request), 0) > 0)
        ;
    close(fd);
    return NULL;
}

static enum status fetch_from(struct rogue rogue, uint32_t timeout_ms, struct error *err)
{
    uint16_t port;
    pthread_t thread;
    char *body;
    assert_ok(http_listen("127.0.0.1:0", &rogue.listener, &port, err), err);
    int flags = fcntl(rogue.listener, F_GETFL);
    assert_int_equal(fcntl(rogue.listener, F_SETFL, flags & ~O_NONBLOCK), 0);
    assert_int_equal(pthread_create(&thread, NULL, serve_once, &rogue), 0);
    enum status rc = http_get(support_format("127.0.0.1:%u", port), "/", timeout_ms, &body, err);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(rogue.listener);
    free(body);
    return rc;
}

static void hostile_answers_are_refused(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(fetch_from((struct rogue){.bytes = "SSH-2.0-x\r\n", .repeat = 1}, 20000, &err),
                     STATUS_CORRUPT);
    assert_int_equal(fetch_from((struct rogue){.repeat = 0}, 20000, &err), STATUS_CORRUPT);
    assert_int_equal(fetch_from((struct rogue){.bytes = "HTTP/1.1 200 OK\r\n\r\n0123456789abcdef"
                                                        "0123456789abcdef0123456789abcdef",
                                               .repeat = 200000},
                                20000, &err), STATUS_EXHAUSTED);
    assert_int_equal(fetch_from((struct rogue){.silent = true}, 50, &err), STATUS_TIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_answered),
        cmocka_unit_test(the_rest_is_refused),
        cmocka_unit_test(endless_headers_are_cut),
        cmocka_unit_test(idle_peers_are_capped_and_closed),
        cmocka_unit_test(stop_does_not_wait_for_peers),
        cmocka_unit_test(addresses_that_do_not_work_say_why),
        cmocka_unit_test(a_page_is_fetched),
        cmocka_unit_test(hostile_answers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
