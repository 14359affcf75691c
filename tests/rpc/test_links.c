/* What only a real network shows: TLS, peers in other processes that are killed or frozen, hostile
 * bytes, addresses that cannot be had. */
#include "rpc_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char *folder;                    /* certificates and sockets */

/* ---- other processes: this program again ---- */

struct child {
    pid_t pid;
    int in, out;                        /* its stdin and stdout; it ends when stdin does */
};

static struct child spawn(const char *mode, const char *argument)
{
    char *argv[] = {"peer", (char *)mode, (char *)argument, NULL};
    int in[2], out[2];
    struct child child;
    posix_spawn_file_actions_t actions;
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    assert_int_equal(posix_spawn(&child.pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    child.in = in[1];
    child.out = out[0];
    return child;
}

static void read_line(int fd, char *line, size_t size)
{
    size_t n = 0;
    while (n + 1 < size && read(fd, line + n, 1) == 1 && line[n] != '\n')
        n++;
    line[n] = '\0';
}

static void end_child(struct child *child)
{
    kill(child->pid, SIGKILL);
    kill(child->pid, SIGCONT);
    close(child->in);
    close(child->out);
    assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
}

static int serve_until_eof(void)
{
    static struct env env;
    char byte;
    env_init(&env, KIND_GRPC);
    env_serve(&env);
    printf("%s\n", env.address);
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    return 0;
}

static int call_until_eof(const char *address)
{
    static struct env env;
    char byte;
    env_init(&env, KIND_GRPC);
    env.client_options.target = address;
    env_connect(&env);
    struct record *record = record_new(&env);
    record_open(record, "/t.T/Silent", 0);
    while (read(0, &byte, 1) > 0)
        ;
    return 0;
}

/* A server in another process and a client here. */
static struct child connect_to_child(struct env *env)
{
    struct child child = spawn("--serve", NULL);
    env_init(env, KIND_GRPC);
    read_line(child.out, env->address, sizeof(env->address));
    env->client_options.keepalive = (struct rpc_keepalive){200, 300};
    env_connect(env);
    return child;
}

static struct env shared;

static void a_killed_server_ends_its_calls(void **state)
{
    (void)state;
    struct env *env = &shared;
    struct child child = connect_to_child(env);
    struct record *record = record_new(env);
    struct rpc_call *call = record_open(record, "/t.T/Silent", 0);
    AWAIT(env, record->n_open == 1);
    kill(child.pid, SIGKILL);
    AWAIT(env, record->n_done == 1);
    assert_int_equal(record->code, STATUS_UNAVAILABLE);
    assert_non_null(strstr(record->text, "closed the connection"));
    rpc_unref(call);
    end_child(&child);
    env_close(env);
}

static void a_frozen_server_is_found_by_keepalive(void **state)
{
    (void)state;
    struct env *env = &shared;
    struct child child = connect_to_child(env);
    struct record *record = record_new(env);
    struct rpc_call *call = record_open(record, "/t.T/Silent", 0);
    AWAIT(env, record->n_open == 1);
    kill(child.pid, SIGSTOP);
    AWAIT(env, record->n_done == 1);
    assert_int_equal(record->code, STATUS_UNAVAILABLE);
    assert_non_null(strstr(record->text, "stopped answering"));
    rpc_unref(call);
    end_child(&child);
    env_close(env);
}

static void a_server_that_is_frozen_from_the_start_times_out(void **state)
{
    (void)state;
    struct env *env = &shared;
    struct child child = spawn("--serve", NULL);
    env_init(env, KIND_GRPC);
    read_line(child.out, env->address, sizeof(env->address));
    kill(child.pid, SIGSTOP);
    env->client_options.connect_ms = 300;
    env_connect(env);
    struct rpc_bytes response;
    struct error err;
    assert_int_equal(unary(env, "/t.T/Echo", "x", 1, &response, &err), STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.text, "no answer in time"));
    end_child(&child);
    env_close(env);
}

static void a_killed_client_is_noticed(void **state)
{
    (void)state;
    struct env *env = &shared;
    env_open(env, KIND_GRPC);
    struct child child = spawn("--call", env->address);
    AWAIT(env, env->n_server_open == 1);
    kill(child.pid, SIGKILL);
    AWAIT(env, env->n_server_done == 1);
    assert_int_equal(env_server_code(env), STATUS_CANCELLED);
    end_child(&child);
    assert_serves(env);
    env_close(env);
}

static void a_frozen_client_is_noticed(void **state)
{
    (void)state;
    struct env *env = &shared;
    env_init(env, KIND_GRPC);
    env->server_options.keepalive = (struct rpc_keepalive){200, 300};
    env_serve(env);
    env_connect(env);
    struct child child = spawn("--call", env->address);
    AWAIT(env, env->n_server_open == 1);
    kill(child.pid, SIGSTOP);
    AWAIT(env, env->n_server_done == 1);
    assert_int_equal(env_server_code(env), STATUS_CANCELLED);
    end_child(&child);
    assert_serves(env);
    env_close(env);
}

/* ---- one thread for many links ---- */

static void clients_share_a_thread_and_not_their_calls(void **state)
{
    (void)state;
    struct env *env = &shared;
    struct rpc_client *other = NULL;
    struct error err;
    env_open(env, KIND_GRPC);
    struct rpc_client_options options = env->client_options;
    options.thread_of = env->client;
    assert_ok(rpc_client_new(&options, &other, &err), &err);
    struct record *kept = record_new(env), *ended = record_new(env);
    struct rpc_call *call = record_open(kept, "/t.T/Silent", 0), *others = NULL;
    assert_ok(rpc_open(other, &(struct rpc_open_options){.method = "/t.T/Silent",
                                                         .handler = &recorded,
                                                         .user = ended}, &others, &err), &err);
    AWAIT(env, kept->n_open == 1 && ended->n_open == 1);
    AWAIT(env, env->n_server_open == 2);
    rpc_unref(others);
    rpc_client_free(&other);                /* cancels its own call and waits for it alone */
    assert_int_equal(ended->n_done, 1);
    assert_int_equal(kept->n_done, 0);
    assert_serves(env);
    rpc_unref(call);
    env_close(env);
}

/* ---- TLS ---- */

static void shell(const char *command)
{
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

/* Two authorities; a server's and a client's certificate by the first, all good for two days. */
static int make_certificates(void **state)
{
    (void)state;
    folder = support_temp_new();
    const char *go = support_format("cd %s && exec 2>openssl.log && ", folder);
    const char *key = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    shell(support_format("%s for ca in ca other; do %s -x509 -days 2 -subj /CN=$ca -keyout $ca.key "
                         "-out $ca.pem || exit 1; done", go, key));
    shell(support_format("%s for who in server client; do %s -subj /CN=$who -keyout $who.key -out "
                         "$who.csr && printf 'subjectAltName=DNS:speech.test,IP:127.0.0.1\\n' "
                         ">$who.ext && openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key "
                         "-CAcreateserial -days 2 -extfile $who.ext -out $who.pem || exit 1; done",
                         go, key));
    shell(support_format("%s echo nonsense >junk.pem", go));
    return 0;
}

static int remove_certificates(void **state)
{
    (void)state;
    support_temp_free(folder);
    return 0;
}

static const char *in(const char *file)
{
    return support_format("%s/%s", folder, file);
}

/* One unary call over the given settings, names of files or NULL; returns its status and text. */
static enum status try_tls(struct rpc_tls server, struct rpc_tls client, struct error *err)
{
    struct env *env = &shared;
    struct rpc_bytes response;
    char paths[6][256];
    const char **fields[] = {&server.ca, &server.certificate, &server.key,
                             &client.ca, &client.certificate, &client.key};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (!*fields[i])
            continue;
        snprintf(paths[i], sizeof(paths[i]), "%s/%s", folder, *fields[i]);
        *fields[i] = paths[i];
    }
    env_init(env, KIND_GRPC);
    env->server_options.tls = server;
    env->client_options.tls = client;
    env_serve(env);
    env_connect(env);
    enum status rc = unary(env, "/t.T/Echo", "x", 1, &response, err);
    free(response.data);
    env_close(env);
    return rc;
}

static const struct rpc_tls plain, tls_server = {NULL, "server.pem", "server.key", NULL, false},
                            mutual_server = {"ca.pem", "server.pem", "server.key", NULL, false},
                            tls_client = {"ca.pem", NULL, NULL, NULL, false},
                            mutual_client = {"ca.pem", "client.pem", "client.key", NULL, false};

static void tls_and_mutual_tls_work(void **state)
{
    (void)state;
    struct error err;
    struct rpc_tls named = tls_client;
    named.server_name = "speech.test";
    assert_ok(try_tls(tls_server, tls_client, &err), &err);
    assert_ok(try_tls(tls_server, named, &err), &err);
    assert_ok(try_tls(mutual_server, mutual_client, &err), &err);
}

static void refused_certificates_say_why(void **state)
{
    (void)state;
    struct error err;
    struct rpc_tls other = {.ca = "other.pem"}, named = tls_client;
    struct rpc_tls stranger = {"ca.pem", "other.pem", "other.key", NULL, false};
    named.server_name = "elsewhere.test";
    assert_int_equal(try_tls(tls_server, other, &err), STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.text, "not signed by the given authority"));
    assert_int_equal(try_tls(tls_server, named, &err), STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.text, "for another name"));
    assert_int_equal(try_tls(mutual_server, tls_client, &err), STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.text, "another certificate"));
    assert_int_equal(try_tls(mutual_server, stranger, &err), STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.text, "another certificate"));
}

/* TLS without an authority of one's own is TLS with the system's, never plaintext. */
static void asking_for_tls_alone_is_not_plaintext(void **state)
{
    (void)state;
    struct error err;
    struct rpc_tls system = {.system = true};
    assert_int_equal(try_tls(plain, system, &err), STATUS_UNAVAILABLE);
    assert_int_equal(try_tls(tls_server, system, &err), STATUS_UNAVAILABLE); /* nobody knows it */
}

static void tls_against_plaintext_says_so(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(try_tls(plain, tls_client, &err), STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.text, "does not speak TLS"));
    assert_int_equal(try_tls(tls_server, plain, &err), STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.text, "want TLS"));
}

static void files_that_cannot_be_used_are_named(void **state)
{
    (void)state;
    struct rpc_server_options server = {.listen = "127.0.0.1:0"};
    struct rpc_client_options client = {.target = "127.0.0.1:1"};
    struct rpc_server *no_server;
    struct rpc_client *no_client;
    struct error err;
    client.tls.ca = in("absent.pem");
    assert_int_equal(rpc_client_new(&client, &no_client, &err), STATUS_NOT_FOUND);
    assert_non_null(strstr(err.text, "absent.pem"));
    client.tls.ca = in("junk.pem");
    assert_int_equal(rpc_client_new(&client, &no_client, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "junk.pem"));
    client.tls = (struct rpc_tls){.ca = in("ca.pem"), .certificate = in("client.pem")};
    assert_int_equal(rpc_client_new(&client, &no_client, &err), STATUS_INVALID);
    client.tls = (struct rpc_tls){.server_name = "speech.test"};
    assert_int_equal(rpc_client_new(&client, &no_client, &err), STATUS_INVALID);
    server.tls = (struct rpc_tls){.certificate = in("server.pem"), .key = in("client.key")};
    assert_int_equal(rpc_server_new(&server, &no_server, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "client.key"));
    server.tls = (struct rpc_tls){.ca = in("ca.pem")};
    assert_int_equal(rpc_server_new(&server, &no_server, &err), STATUS_INVALID);
}

/* ---- addresses ---- */

static void addresses_that_cannot_be_had_are_named(void **state)
{
    (void)state;
    static const char *const bad[] = {"192.0.2.1:0", "256.1.1.1:0", "nonsense", "127.0.0.1:99999",
                                      "::1:80", ":80", "host:", "host:8o"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct rpc_server_options options = {.listen = bad[i]};
        struct rpc_server *server;
        struct error err = {0};
        assert_int_equal(rpc_server_new(&options, &server, &err),
                         i < 2 ? STATUS_UNAVAILABLE : STATUS_INVALID);
        assert_non_null(strstr(err.text, bad[i]));
        struct rpc_client_options target = {.target = bad[i]};
        struct rpc_client *client;
        if (i >= 2)
            assert_int_equal(rpc_client_new(&target, &client, &err), STATUS_INVALID);
    }
}

static void unix_sockets_work(void **state)
{
    (void)state;
    struct env *env = &shared;
    char address[256];
    snprintf(address, sizeof(address), "unix:%s", in("socket"));
    env_init(env, KIND_GRPC);
    env->server_options.listen = address;
    env->client_options.target = address;
    env_serve(env);
    env_connect(env);
    assert_int_equal(rpc_server_port(env->server), 0);
    assert_serves(env);
    env_close(env);
}

/* ---- hostile bytes ---- */

static int raw_connect(const struct env *env)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_port = htons(rpc_server_port(env->server));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void raw_send(int fd, const void *data, size_t size)
{
    assert_true(send(fd, data, size, MSG_NOSIGNAL) >= 0 || errno == EPIPE || errno == ECONNRESET);
}

static void hostile_bytes_do_not_stop_the_server(void **state)
{
    (void)state;
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    static const char http1[] = "GET /metrics HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n";
    static const uint8_t huge_frame[] = {0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 1, 'x', 'y'};
    static const uint8_t settings[] = {0, 0, 0, 4, 0, 0, 0, 0, 0};
    static const uint8_t bad_headers[] = {0, 0, 4, 1, 4, 0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF};
    struct env *env = &shared;
    uint8_t garbage[8192];
    uint64_t seed = 7;
    int open[16];
    env_open(env, KIND_GRPC);
    for (size_t i = 0; i < sizeof(garbage); i++)
        garbage[i] = (uint8_t)support_random(&seed);
    for (int i = 0; i < (int)ARRAY_LEN(open); i++) {
        open[i] = raw_connect(env);     /* kept open, half of them half-closed */
        if (i % 8 >= 2 && i % 8 != 7)
            raw_send(open[i], preface, i % 8 == 2 ? 10 : sizeof(preface) - 1);
        if (i % 8 == 0)
            raw_send(open[i], garbage, sizeof(garbage));
        if (i % 8 == 1)
            raw_send(open[i], http1, sizeof(http1) - 1);
        if (i % 8 == 3)
            raw_send(open[i], huge_frame, sizeof(huge_frame));
        if (i % 8 >= 4 && i % 8 != 7)
            raw_send(open[i], settings, sizeof(settings));
        if (i % 8 == 5)
            raw_send(open[i], bad_headers, sizeof(bad_headers));
        if (i % 8 == 6)
            raw_send(open[i], garbage, sizeof(garbage));
        if (i >= 8)
            shutdown(open[i], SHUT_WR);
        assert_serves(env);
    }
    for (size_t i = 0; i < ARRAY_LEN(open); i++)
        close(open[i]);
    assert_serves(env);
    env_close(env);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_server_ends_its_calls),
        cmocka_unit_test(a_frozen_server_is_found_by_keepalive),
        cmocka_unit_test(a_server_that_is_frozen_from_the_start_times_out),
        cmocka_unit_test(a_killed_client_is_noticed),
        cmocka_unit_test(a_frozen_client_is_noticed),
        cmocka_unit_test(clients_share_a_thread_and_not_their_calls),
        cmocka_unit_test(tls_and_mutual_tls_work),
        cmocka_unit_test(refused_certificates_say_why),
        cmocka_unit_test(asking_for_tls_alone_is_not_plaintext),
        cmocka_unit_test(tls_against_plaintext_says_so),
        cmocka_unit_test(files_that_cannot_be_used_are_named),
        cmocka_unit_test(addresses_that_cannot_be_had_are_named),
        cmocka_unit_test(unix_sockets_work),
        cmocka_unit_test(hostile_bytes_do_not_stop_the_server),
    };
    if (argc == 2 && strcmp(argv[1], "--serve") == 0)
        return serve_until_eof();
    if (argc == 3 && strcmp(argv[1], "--call") == 0)
        return call_until_eof(argv[2]);
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
