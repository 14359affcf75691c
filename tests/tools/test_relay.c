/* tools/relay as a user runs it: the test is both the client and the server behind it. */
#include "../support/support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

enum { LIMIT_MS = 20000, COMMANDS_MAX = 4 };

/* A relay, a server socket, and a pair of connected ends. */
struct net {
    char *folder;
    char control[512];
    int server;
    pid_t pid;
    FILE *out;
    struct sockaddr_in address;
    int near, far;
};

static uint64_t now_us(void)
{
    struct clock clock = clock_monotonic();
    return clock_us(&clock);
}

static const char *relay_path(void)
{
    char self[2048];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    assert_true(n > 0);
    self[n] = '\0';
    *strstr(self, "/tests/tools/") = '\0';
    const char *path = support_format("%s/bin/relay", self);
    if (access(path, X_OK) != 0)
        fail_msg("%s is not built: make build", path);
    return path;
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_anywhere(uint16_t *port)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static const char *answer(struct net *net)
{
    static char line[256];
    assert_non_null(fgets(line, sizeof(line), net->out));
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static int dial(const struct net *net)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&net->address, sizeof(net->address)), 0);
    return fd;
}

/* `commands`: of the command line, ended by NULL. */
static void net_start(struct net *net, uint16_t port, const char *const commands[COMMANDS_MAX])
{
    int ends[2];
    char server[32];
    const char *path = relay_path();
    net->folder = support_temp_new();
    snprintf(net->control, sizeof(net->control), "%s/control", net->folder);
    snprintf(server, sizeof(server), "127.0.0.1:%u", port);
    const char *argv[10 + COMMANDS_MAX] = {path, "--no-config", "--buffer", "64K", "--control",
                                           net->control, server};
    for (int i = 0; i < COMMANDS_MAX && commands && commands[i]; i++)
        argv[7 + i] = commands[i];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    net->pid = fork();
    if (net->pid == 0) {
        dup2(ends[1], 1);
        execv(path, (char *const *)argv);
        _exit(127);
    }
    close(ends[1]);
    net->out = fdopen(ends[0], "r");
    const char *line = answer(net);
    assert_int_equal(strncmp(line, "listening on 127.0.0.1:", 23), 0);
    net->address = loopback((uint16_t)strtoul(line + 23, NULL, 10));
    for (int i = 0; i < COMMANDS_MAX && commands && commands[i]; i++)
        answer(net);
}

static void net_open(struct net *net, const char *const commands[COMMANDS_MAX])
{
    uint16_t port;
    memset(net, 0, sizeof(*net));
    net->server = listen_anywhere(&port);
    net_start(net, port, commands);
    net->near = dial(net);
    net->far = accept4(net->server, NULL, NULL, SOCK_CLOEXEC);
    assert_true(net->far >= 0);
}

static void net_close(struct net *net)
{
    int status;
    kill(net->pid, SIGTERM);
    assert_int_equal(waitpid(net->pid, &status, 0), net->pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_not_equal(access(net->control, F_OK), 0);
    fclose(net->out);
    close(net->near);
    close(net->far);
    close(net->server);
    support_temp_free(net->folder);
}

static const char *tell(struct net *net, const char *command)
{
    FILE *control = fopen(net->control, "w");
    assert_non_null(control);
    fprintf(control, "%s\n", command);
    fclose(control);
    return answer(net);
}

static bool readable(int fd, int ms)
{
    struct pollfd slot = {.fd = fd, .events = POLLIN};
    return poll(&slot, 1, ms) == 1;
}

/* Sends one byte and takes it at the other end; microseconds between. */
static uint64_t cross(int from, int to)
{
    char byte = 'x';
    uint64_t begin = now_us();
    assert_int_equal(send(from, &byte, 1, 0), 1);
    assert_true(readable(to, LIMIT_MS));
    assert_int_equal(recv(to, &byte, 1, 0), 1);
    return now_us() - begin;
}

static void assert_reset(int fd)
{
    char byte;
    assert_true(readable(fd, LIMIT_MS));
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
}

/* A stream of known bytes; both ends are moved on as far as they go. */
struct flow {
    int from, to;
    size_t n, sent, received;
    bool ended;
};

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 11));
}

static void flow_step(struct flow *flow)
{
    uint8_t bytes[8192];
    size_t n = MIN(sizeof(bytes), flow->n - flow->sent);
    for (size_t i = 0; i < n; i++)
        bytes[i] = byte_at(flow->sent + i);
    ssize_t done = n > 0 ? send(flow->from, bytes, n, MSG_DONTWAIT) : 0;
    flow->sent += done > 0 ? (size_t)done : 0;
    if (n > 0 && flow->sent == flow->n)
        shutdown(flow->from, SHUT_WR);
    done = recv(flow->to, bytes, sizeof(bytes), MSG_DONTWAIT);
    flow->ended |= done == 0;
    for (ssize_t i = 0; i < done; i++)
        if (bytes[i] != byte_at(flow->received++))
            fail_msg("byte %zu is another", flow->received - 1);
}

static void bytes_arrive_whole_in_order_and_then_the_end(void **state)
{
    (void)state;
    struct net net;
    const char *const commands[COMMANDS_MAX] = {"delay 1", "jitter 3"};
    net_open(&net, commands);
    struct flow up = {.from = net.near, .to = net.far, .n = 1000000};
    struct flow down = {.from = net.far, .to = net.near, .n = 700000};
    uint64_t end = now_us() + LIMIT_MS * 1000;
    while (!(up.ended && down.ended) && now_us() < end) {
        flow_step(&up);
        flow_step(&down);
    }
    assert_int_equal(up.received, up.n);
    assert_int_equal(down.received, down.n);
    net_close(&net);
}

static void each_direction_has_its_delay(void **state)
{
    (void)state;
    struct net net;
    const char *const commands[COMMANDS_MAX] = {"delay up 60", "delay down 20"};
    net_open(&net, commands);
    assert_in_range(cross(net.near, net.far), 60000, LIMIT_MS * 1000);
    assert_in_range(cross(net.far, net.near), 20000, LIMIT_MS * 1000);
    assert_string_equal(tell(&net, "delay 0"), "delay");
    /* The best of some: noise only adds. */
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 20; i++) {
        uint64_t took = cross(net.near, net.far);
        best = MIN(best, took);
    }
    assert_in_range(best, 0, 20000);
    net_close(&net);
}

static void a_rate_holds_for_all_connections_together(void **state)
{
    (void)state;
    struct net net;
    const char *const commands[COMMANDS_MAX] = {"rate up 200000"};
    net_open(&net, commands);
    int near = dial(&net), far = accept4(net.server, NULL, NULL, SOCK_CLOEXEC);
    struct flow one = {.from = net.near, .to = net.far, .n = 20000};
    struct flow two = {.from = near, .to = far, .n = 20000};
    struct flow back = {.from = net.far, .to = net.near, .n = 200000};
    uint64_t begin = now_us(), back_us = 0, end = begin + LIMIT_MS * 1000;
    while (!(one.ended && two.ended && back.ended) && now_us() < end) {
        flow_step(&one);
        flow_step(&two);
        flow_step(&back);
        back_us = back.ended && back_us == 0 ? now_us() - begin : back_us;
    }
    assert_true(one.ended && two.ended);
    uint64_t took_us = now_us() - begin;
    assert_in_range(took_us, 190000, LIMIT_MS * 1000);
    assert_in_range(back_us, 1, took_us - 1);   /* five times the bytes, and not held up */
    close(near);
    close(far);
    net_close(&net);
}

static void frozen_bytes_come_after_the_thaw(void **state)
{
    (void)state;
    struct net net;
    net_open(&net, NULL);
    assert_string_equal(tell(&net, "freeze up"), "freeze");
    assert_int_equal(send(net.near, "up", 2, 0), 2);
    cross(net.far, net.near);
    assert_false(readable(net.far, 100));
    assert_string_equal(tell(&net, "thaw"), "thaw");
    char bytes[3] = "";
    assert_true(readable(net.far, LIMIT_MS));
    assert_int_equal(recv(net.far, bytes, 2, 0), 2);
    assert_string_equal(bytes, "up");
    net_close(&net);
}

/* Of what a frozen line is sent, a buffer's and the kernel's share is taken, and no more. */
static void a_frozen_line_lets_the_sender_wait(void **state)
{
    (void)state;
    struct net net;
    uint8_t bytes[65536] = {0};
    const char *const commands[COMMANDS_MAX] = {"freeze"};
    net_open(&net, commands);
    size_t sent = 0;
    struct pollfd slot = {.fd = net.near, .events = POLLOUT};
    while (sent < (64u << 20) && poll(&slot, 1, 200) == 1)
        sent += (size_t)send(net.near, bytes, sizeof(bytes), MSG_DONTWAIT);
    assert_in_range(sent, 1, (64u << 20) - 1);
    net_close(&net);
}

static void cut_connections_are_reset_on_both_sides(void **state)
{
    (void)state;
    struct net net;
    net_open(&net, NULL);
    int near = dial(&net), far = accept4(net.server, NULL, NULL, SOCK_CLOEXEC);
    cross(near, far);
    assert_string_equal(tell(&net, "cut 1"), "cut 1");
    assert_string_equal(tell(&net, "status"), "1 connections, 2 accepted, 1 cut");
    answer(&net);
    answer(&net);
    bool first_cut = readable(net.near, 0) || readable(net.far, 50);
    assert_reset(first_cut ? net.near : near);
    assert_reset(first_cut ? net.far : far);
    cross(first_cut ? near : net.near, first_cut ? far : net.far);
    assert_string_equal(tell(&net, "cut"), "cut 1");
    assert_reset(first_cut ? near : net.near);
    close(near);
    close(far);
    net_close(&net);
}

static void a_closed_relay_takes_nobody_until_it_is_open(void **state)
{
    (void)state;
    struct net net;
    net_open(&net, NULL);
    assert_string_equal(tell(&net, "close"), "cut 1");
    int near = dial(&net);
    assert_reset(near);
    close(near);
    assert_string_equal(tell(&net, "open"), "open");
    near = dial(&net);
    int far = accept4(net.server, NULL, NULL, SOCK_CLOEXEC);
    cross(near, far);
    close(near);
    close(far);
    net_close(&net);
}

static void an_absent_server_shows_as_a_reset(void **state)
{
    (void)state;
    struct net net = {.far = -1};
    uint16_t port;
    close(listen_anywhere(&port));
    net.server = -1;
    net_start(&net, port, NULL);
    net.near = dial(&net);
    assert_reset(net.near);
    net_close(&net);
}

static int run(char text[4096], const char *arguments)
{
    FILE *pipe = popen(support_format("%s --no-config %s 2>&1 </dev/null", relay_path(), arguments),
                       "r");
    assert_non_null(pipe);
    size_t n = fread(text, 1, 4095, pipe);
    text[n] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void help_teaches_and_wrong_words_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"frobnicate", "delay",   "delay -1",  "delay 1 2",
                                        "freeze 3",   "cut up",  "rate fast", "delay up down 1",
                                        "open down",  "delay 1e9"};
    char text[4096];
    assert_int_equal(run(text, "--help"), 0);
    assert_non_null(strstr(text, "freeze"));
    assert_int_equal(run(text, ""), 2);
    assert_int_equal(run(text, "nowhere"), 2);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_int_equal(run(text, support_format("127.0.0.1:1 '%s'", wrong[i])), 2);
        assert_non_null(strstr(text, "is no command"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_whole_in_order_and_then_the_end),
        cmocka_unit_test(each_direction_has_its_delay),
        cmocka_unit_test(a_rate_holds_for_all_connections_together),
        cmocka_unit_test(frozen_bytes_come_after_the_thaw),
        cmocka_unit_test(a_frozen_line_lets_the_sender_wait),
        cmocka_unit_test(cut_connections_are_reset_on_both_sides),
        cmocka_unit_test(a_closed_relay_takes_nobody_until_it_is_open),
        cmocka_unit_test(an_absent_server_shows_as_a_reset),
        cmocka_unit_test(help_teaches_and_wrong_words_are_refused),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
