/* The client's line to a target that sends what nobody asked for: the call ends, the memory does
 * not fill. */
#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../draft_node/link.c"

/* No coordinator here. */
void placement_ask(struct placement *placement, const char *address)
{
    (void)placement;
    (void)address;
}

void placement_fill(struct placement *placement, struct link_options *link, uint32_t number)
{
    (void)placement;
    (void)link;
    (void)number;
}

static uint8_t block[1 << 20];              /* a vocabulary as far as the link can tell */
static struct wire_bytes final;             /* a large frame that can be read */
static atomic_int n_ended;

/* As much as the client's queue takes, again and again. */
static void pour(struct rpc_call *call, size_t queued)
{
    bool vocabulary = strstr(rpc_method_name(call), "Vocabulary") != NULL;
    (void)queued;
    while (rpc_send(call, vocabulary ? block : final.data,
                    vocabulary ? sizeof(block) : final.size) == RPC_SENT)
        ;
}

static void on_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
    pour(call, 0);
}

static void on_done(struct rpc_call *call, enum status code, const char *message)
{
    (void)call;
    (void)code;
    (void)message;
    atomic_fetch_add(&n_ended, 1);
}

static const struct rpc_handler hostile = {.on_message = on_message, .on_sent = pour,
                                           .on_done = on_done};

static void make_final(void)
{
    static const int32_t token = 1000;
    struct wire_frame frame = {.kind = WIRE_WINDOW_FINAL};
    struct wire_window_final *f = &frame.u.window_final;
    struct error err;
    f->next_start = f->n_tokens = 1;
    f->tokens[0] = token;
    f->text = malloc(8000);
    memset(f->text, 'x', 7999);
    f->text[7999] = '\0';
    f->digest = wire_hash(&token, 1);
    assert_ok(wire_pack(&frame, &final, &err), &err);
    free(f->text);
}

struct site {
    struct rpc_server *server;
    struct link *link;
};

static void site_open(struct site *site)
{
    const struct rpc_method methods[] = {
        {"/specasr.v1.Verify/Session", &hostile, NULL, false},
        {"/specasr.v1.Verify/GetVocabulary", &hostile, NULL, true}};
    const struct rpc_server_options server = {
        .listen = "127.0.0.1:0", .methods = methods, .n_methods = ARRAY_LEN(methods),
        .limits.message_max = WIRE_VOCABULARY_MAX};
    struct link_options options = {.n_targets = 1};
    struct error err;
    make_final();
    atomic_store(&n_ended, 0);
    assert_ok(rpc_server_new(&server, &site->server, &err), &err);
    snprintf(options.targets[0], sizeof(options.targets[0]), "127.0.0.1:%u",
             rpc_server_port(site->server));
    assert_ok(link_new(&options, &site->link, &err), &err);
    assert_ok(link_connect(site->link, 0, &err), &err);
}

static void site_close(struct site *site)
{
    link_free(&site->link);
    rpc_server_free(&site->server);
    wire_bytes_release(&final);
}

static void one_vocabulary_is_taken_and_no_more(void **state)
{
    (void)state;
    struct site site;
    uint32_t n = 0;
    struct clock clock = clock_monotonic();
    site_open(&site);
    link_ask_vocabulary(site.link, 0);
    uint64_t until = clock_us(&clock) + 20000000;
    while (atomic_load(&n_ended) == 0 && clock_us(&clock) < until) {
        struct link_event event = link_next(site.link, 100000);
        n += event.kind == LINK_VOCABULARY;
        assert_true(event.kind != LINK_VOCABULARY_FAILED);
        link_release_event(&event);
    }
    assert_int_equal(atomic_load(&n_ended), 1);     /* the client has hung up */
    assert_int_equal(n, 1);
    site_close(&site);
}

static void frames_that_nobody_reads_end_the_call(void **state)
{
    (void)state;
    struct site site;
    struct wire_frame alive = {.kind = WIRE_ALIVE};
    struct link_event event = {.kind = LINK_NOTHING};
    size_t n_bytes = 0;
    struct clock clock = clock_monotonic();
    site_open(&site);
    assert_true(link_send(site.link, &alive));
    uint64_t until = clock_us(&clock) + 20000000;
    while (atomic_load(&n_ended) == 0 && clock_us(&clock) < until)
        ;                                   /* the main thread is elsewhere */
    assert_int_equal(atomic_load(&n_ended), 1);
    for (uint32_t i = 0; i < INBOX_MAX && event.kind != LINK_DOWN; i++) {
        event = link_next(site.link, 1000000);
        n_bytes += event.n_bytes;
        if (event.kind == LINK_FRAME)
            link_release_event(&event);
    }
    assert_int_equal(event.kind, LINK_DOWN);
    assert_int_equal(event.error.code, STATUS_EXHAUSTED);
    assert_non_null(strstr(event.error.text, "more than can be read"));
    assert_in_range(n_bytes, LINK_INBOX_BYTES_MAX / 2, LINK_INBOX_BYTES_MAX);
    assert_int_equal(atomic_load(&site.link->inbox_bytes), 0);
    site_close(&site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_vocabulary_is_taken_and_no_more),
        cmocka_unit_test(frames_that_nobody_reads_end_the_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
