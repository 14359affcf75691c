/* Certificates that change while programs run: a renewal, half of one, one that has expired. */
#include "rpc_test.h"

#include "base/log.h"
#include "rpc/tls_files.h"

enum { DAY_S = 86400 };

static struct env shared, other;        /* not on the stack: calls write to them */
static char *folder;

static void shell(const char *command)
{
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

static char path_text[8][256];

/* Eight at a time. */
static const char *in(const char *file)
{
    static unsigned next;
    char *path = path_text[next++ % ARRAY_LEN(path_text)];
    snprintf(path, sizeof(path_text[0]), "%s/%s", folder, file);
    return path;
}

/* NAME.pem and NAME.key for DNS, from START to END as `date` understands it. */
static const char script[] =
    "key='openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'\n"
    "for ca in ca strange; do $key -x509 -days 9 -subj /CN=$ca -keyout $ca.key -out $ca.pem || "
    "exit 1; done\n"
    "printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index\\nnew_certs_dir=.\\nrand_serial=yes\\n"
    "default_md=sha256\\npolicy=p\\nunique_subject=no\\n[p]\\ncommonName=supplied\\n' >config\n"
    ": >index\n"
    "make() { # NAME AUTHORITY DNS START END\n"
    "  $key -subj /CN=$1 -keyout $1.key -out $1.csr || exit 1\n"
    "  echo subjectAltName=DNS:$3,IP:127.0.0.1 >ext\n"
    "  openssl ca -batch -notext -config config -cert $2.pem -keyfile $2.key -extfile ext \\\n"
    "    -startdate $(date -u -d \"$4\" +%Y%m%d%H%M%SZ) \\\n"
    "    -enddate $(date -u -d \"$5\" +%Y%m%d%H%M%SZ) -in $1.csr -out $1.pem || exit 1; }\n"
    "make first ca first.test '1 day ago' '1 day'\n"
    "make second ca second.test '1 day ago' '2 days'\n"
    "make expired ca first.test '2 days ago' '1 hour ago'\n"
    "make soon ca first.test '2 days ago' '1 hour'\n"
    "make stranger strange client.test '1 day ago' '1 day'\n";

static int make_certificates(void **state)
{
    (void)state;
    folder = support_temp_new();
    FILE *file = fopen(in("make.sh"), "w");
    assert_non_null(file);
    assert_true(fputs(script, file) >= 0);
    assert_int_equal(fclose(file), 0);
    shell(support_format("cd %s && bash make.sh 2>openssl.log", folder));
    return 0;
}

static int remove_certificates(void **state)
{
    (void)state;
    support_temp_free(folder);
    return 0;
}

/* As a renewal does it: a new file takes the place of the old one. */
static void put(const char *from, const char *to)
{
    shell(support_format("cd %s && cp %s next && mv next %s", folder, from, to));
}

static void put_pair(const char *name)
{
    put(support_format("%s.pem", name), "live.pem");
    put(support_format("%s.key", name), "live.key");
}

static void serve_with(const char *name)
{
    env_init(&shared, KIND_GRPC);
    put_pair(name);
    shared.server_options.tls = (struct rpc_tls){.certificate = in("live.pem"),
                                                 .key = in("live.key")};
    env_serve(&shared);
}

/* One call over a new connection to the server, which must have a certificate for this name. */
static enum status call_as(const char *server_name, struct error *err)
{
    struct rpc_bytes response;
    env_init(&other, KIND_GRPC);
    snprintf(other.address, sizeof(other.address), "%s", shared.address);
    other.client_options.tls = (struct rpc_tls){.ca = in("ca.pem"), .server_name = server_name};
    env_connect(&other);
    enum status rc = unary(&other, "/t.T/Echo", "x", 1, &response, err);
    free(response.data);
    env_close(&other);
    return rc;
}

static void connect_shared(struct rpc_tls tls)
{
    shared.client_options.tls = tls;
    env_connect(&shared);
}

/* The open stream still carries messages both ways. */
static void assert_lives(struct record *record, struct rpc_call *call)
{
    int before = record->n_messages;
    assert_int_equal(rpc_send(call, (const uint8_t *)"more", 4), RPC_SENT);
    AWAIT(&shared, record->n_messages > before);
    assert_int_equal(record->n_done, 0);
}

static void a_renewed_certificate_serves_the_next_connection(void **state)
{
    (void)state;
    struct error err;
    serve_with("first");
    connect_shared((struct rpc_tls){.ca = in("ca.pem"), .server_name = "first.test"});
    struct record *record = record_new(&shared);
    struct rpc_call *call = record_open(record, "/t.T/Echo", 0);
    assert_lives(record, call);
    int64_t expiry = rpc_server_certificate_expiry(shared.server);
    assert_in_range(expiry - time(NULL), DAY_S - 120, DAY_S + 5);
    put_pair("second");
    assert_ok(call_as("second.test", &err), &err);
    assert_int_equal(call_as("first.test", &err), STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.text, "for another name"));
    assert_in_range(rpc_server_certificate_expiry(shared.server) - time(NULL), 2 * DAY_S - 120,
                    2 * DAY_S + 5);
    assert_lives(record, call);
    rpc_unref(call);
    env_close(&shared);
}

static void half_a_renewal_changes_nothing(void **state)
{
    (void)state;
    struct error err;
    serve_with("first");
    put("second.pem", "live.pem");
    assert_ok(call_as("first.test", &err), &err);
    assert_int_equal(rpc_server_reload(shared.server, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "do not belong together"));
    shell(support_format("rm %s/live.pem", folder));
    assert_int_equal(rpc_server_reload(shared.server, &err), STATUS_NOT_FOUND);
    assert_ok(call_as("first.test", &err), &err);
    put_pair("second");
    assert_ok(rpc_server_reload(shared.server, &err), &err);
    assert_ok(call_as("second.test", &err), &err);
    env_close(&shared);
}

static void an_expired_certificate_is_replaced_without_a_restart(void **state)
{
    (void)state;
    struct error err;
    serve_with("expired");
    assert_true(rpc_server_certificate_expiry(shared.server) < time(NULL));
    assert_int_equal(call_as("first.test", &err), STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.text, "or has expired"));
    put_pair("first");
    assert_ok(call_as("first.test", &err), &err);
    env_close(&shared);
}

/* The server wants certificates of its authority; the client's is by another one at first. */
static void a_client_shows_its_renewed_certificate(void **state)
{
    (void)state;
    struct error err;
    struct rpc_bytes response;
    env_init(&shared, KIND_GRPC);
    shared.server_options.tls = (struct rpc_tls){in("ca.pem"), in("first.pem"), in("first.key"),
                                                 NULL, false};
    env_serve(&shared);
    put_pair("stranger");
    put("strange.pem", "trusted.pem");
    connect_shared((struct rpc_tls){in("trusted.pem"), in("live.pem"), in("live.key"),
                                    "first.test", false});
    assert_in_range(rpc_client_certificate_expiry(shared.client) - time(NULL), DAY_S - 120,
                    DAY_S + 5);
    assert_int_equal(unary(&shared, "/t.T/Echo", "x", 1, &response, &err), STATUS_UNAVAILABLE);
    put("ca.pem", "trusted.pem");
    assert_int_equal(unary(&shared, "/t.T/Echo", "x", 1, &response, &err), STATUS_UNAVAILABLE);
    put_pair("second");
    assert_serves(&shared);
    struct record *record = record_new(&shared);
    struct rpc_call *call = record_open(record, "/t.T/Echo", 0);
    assert_lives(record, call);
    put_pair("first");
    assert_serves(&shared);
    assert_lives(record, call);
    rpc_unref(call);
    env_close(&shared);
}

static void count_line(void *context)
{
    ++*(int *)context;
}

/* Lines of the log that one look writes. */
static int lines_for(const char *name, int n_looks)
{
    struct rpc_tls tls = {.certificate = in(support_format("%s.pem", name)),
                          .key = in(support_format("%s.key", name))};
    struct rpc_tls_files *files;
    struct error err;
    int lines = 0;
    assert_ok(rpc_tls_files_new(&tls, &files, &err), &err);
    log_set_before(count_line, &lines);
    for (int i = 0; i < n_looks; i++)
        assert_ok(rpc_tls_files_refresh(files, false, &err), &err);
    log_set_before(NULL, NULL);
    rpc_tls_files_free(&files);
    return lines;
}

static void the_same_bytes_again_are_no_news(void **state)
{
    (void)state;
    struct rpc_tls tls = {.ca = in("ca.pem"), .certificate = in("live.pem"), .key = in("live.key")};
    struct rpc_tls_files *files;
    struct error err;
    uint32_t before, after;
    put_pair("first");
    assert_ok(rpc_tls_files_new(&tls, &files, &err), &err);
    rpc_tls_files_lock(files, &before);
    rpc_tls_files_unlock(files);
    put_pair("first");
    assert_ok(rpc_tls_files_refresh(files, false, &err), &err);
    rpc_tls_files_lock(files, &after);
    rpc_tls_files_unlock(files);
    assert_int_equal(after, before);
    put_pair("second");
    assert_ok(rpc_tls_files_refresh(files, false, &err), &err);
    rpc_tls_files_lock(files, &after);
    rpc_tls_files_unlock(files);
    assert_int_equal(after, before + 1);
    rpc_tls_files_free(&files);
}

static void the_log_warns_before_the_end_but_not_all_the_time(void **state)
{
    (void)state;
    assert_int_equal(lines_for("first", 3), 0);
    assert_int_equal(lines_for("soon", 3), 1);
    assert_int_equal(lines_for("expired", 3), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_renewed_certificate_serves_the_next_connection),
        cmocka_unit_test(half_a_renewal_changes_nothing),
        cmocka_unit_test(an_expired_certificate_is_replaced_without_a_restart),
        cmocka_unit_test(a_client_shows_its_renewed_certificate),
        cmocka_unit_test(the_same_bytes_again_are_no_news),
        cmocka_unit_test(the_log_warns_before_the_end_but_not_all_the_time),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
