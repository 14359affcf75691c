/* etcd_process.h: real etcd servers in a folder of their own, to be killed, frozen and started
 * again. Debian's packages etcd-server and etcd-client; where they are not installed (nor could be:
 * tools/deps.sh test) these tests are skipped and say so. */
#ifndef TESTS_STORE_ETCD_PROCESS_H
#define TESTS_STORE_ETCD_PROCESS_H

#include "../support/support.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/etcd.h"

enum { ETCD_SERVERS_MAX = 3, ETCD_PATIENCE_US = 40000000 };

struct etcd_servers {
    char *folder;
    uint32_t n;
    uint16_t client[ETCD_SERVERS_MAX], peer[ETCD_SERVERS_MAX];
    pid_t pid[ETCD_SERVERS_MAX];        /* 0: not running */
    bool tls;                           /* with server.pem, server.key, ca.pem in the folder */
};

static inline uint64_t etcd_now_us(void)
{
    struct clock clock = clock_monotonic();
    return clock_us(&clock);
}

static inline void etcd_pause(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* A free port: nobody else had it a moment ago. */
static inline uint16_t etcd_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static inline void etcd_exec(const struct etcd_servers *servers, uint32_t i)
{
    const char *scheme = servers->tls ? "https" : "http";
    char cluster[256] = "";
    for (uint32_t k = 0; k < servers->n; k++)
        snprintf(cluster + strlen(cluster), sizeof(cluster) - strlen(cluster),
                 "%ss%u=http://127.0.0.1:%u", k ? "," : "", k, servers->peer[k]);
    const char *peer = support_format("http://127.0.0.1:%u", servers->peer[i]);
    const char *client = support_format("%s://127.0.0.1:%u", scheme, servers->client[i]);
    const char *arguments[32] = {
        "etcd", "--name", support_format("s%u", i), "--data-dir", support_format("d%u", i),
        "--listen-client-urls", client, "--advertise-client-urls", client,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
        "--initial-cluster", cluster, "--heartbeat-interval", "40", "--election-timeout", "400",
        "--logger", "zap", "--log-level", "error", "--auth-token-ttl", "1", "--bcrypt-cost", "4",
        servers->tls ? "--cert-file" : NULL, "server.pem", "--key-file", "server.key"};
    if (chdir(servers->folder) != 0)
        _exit(126);
    int log = open("etcd.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, 1);
    dup2(log, 2);
    execvp("etcd", (char **)arguments);
    _exit(127);
}

static inline void etcd_run(struct etcd_servers *servers, uint32_t i)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);       /* a test that fails leaves nothing behind */
        etcd_exec(servers, i);
    }
    servers->pid[i] = pid;
}

static inline void etcd_kill(struct etcd_servers *servers, uint32_t i)
{
    if (!servers->pid[i])
        return;
    kill(servers->pid[i], SIGKILL);
    waitpid(servers->pid[i], NULL, 0);
    servers->pid[i] = 0;
}

/* The client side of them. */
static inline struct etcd_options etcd_options_of(const struct etcd_servers *servers)
{
    struct etcd_options options = {.n_endpoints = servers->n, .call_ms = 1500};
    for (uint32_t i = 0; i < servers->n; i++)
        snprintf(options.endpoints[i], ETCD_ADDRESS_MAX, "127.0.0.1:%u", servers->client[i]);
    return options;
}

/* Runs etcdctl against the first server that runs; its output goes to `out` in the folder. */
static inline int etcd_ctl(const struct etcd_servers *servers, const char *arguments)
{
    uint32_t i = 0;
    while (i + 1 < servers->n && !servers->pid[i])
        i++;
    return system(support_format(
        "cd %s && ETCDCTL_API=3 etcdctl --endpoints %s127.0.0.1:%u %s %s >out 2>&1",
        servers->folder, servers->tls ? "https://" : "", servers->client[i],
        servers->tls ? "--cacert ca.pem" : "", arguments));
}

/* Until a write goes through. */
static inline void etcd_await(const struct etcd_servers *servers)
{
    uint64_t end = etcd_now_us() + ETCD_PATIENCE_US;
    while (etcd_ctl(servers, "put --command-timeout 1s ready yes") != 0 && etcd_now_us() < end)
        etcd_pause();
    assert_int_equal(etcd_ctl(servers, "get ready"), 0);
}

static inline bool etcd_installed(void)
{
    bool there = system("command -v etcd >/dev/null && command -v etcdctl >/dev/null") == 0;
    if (!there)
        print_message("skipped: there is no etcd here (tools/deps.sh test installs it)\n");
    return there;
}

static inline void etcd_start(struct etcd_servers *servers, uint32_t n, char *folder, bool tls)
{
    *servers = (struct etcd_servers){.folder = folder, .n = n, .tls = tls};
    for (uint32_t i = 0; i < n; i++) {
        servers->client[i] = etcd_free_port();
        servers->peer[i] = etcd_free_port();
    }
    for (uint32_t i = 0; i < n; i++)
        etcd_run(servers, i);
    etcd_await(servers);
}

static inline void etcd_stop(struct etcd_servers *servers)
{
    for (uint32_t i = 0; i < servers->n; i++)
        etcd_kill(servers, i);
    support_temp_free(servers->folder);
}

/* One server for all tests of a program; state NULL where etcd is not installed. */
static inline int etcd_group_start(void **state)
{
    static struct etcd_servers servers;
    *state = NULL;
    if (!etcd_installed())
        return 0;
    etcd_start(&servers, 1, support_temp_new(), false);
    *state = &servers;
    return 0;
}

static inline int etcd_group_stop(void **state)
{
    if (*state)
        etcd_stop(*state);
    return 0;
}

#endif
