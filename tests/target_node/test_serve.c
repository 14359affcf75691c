/* The server over a real socket: who is refused is told at once, with a time to come back, however
 * long the model is at work; whose time is over is told so. */
#include "../support/support.h"
#include "../support/toy_engine.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../../target_node/count.c"
#include "../../target_node/gate.c"
#include "../../target_node/load.c"
#include "../../target_node/seats.c"
#include "../../target_node/serve.c"
#include "../../target_node/serve_sessions.c"
#include "../../target_node/serve_streams.c"
#include "../../target_node/uplink.c"
#include "../../target_node/vocabulary.c"

/* No coordinator: what register.c would say without one. */
struct wire_policy registration_policy(struct registration *registration)
{
    (void)registration;
    return (struct wire_policy){.shadow_price = 1.0f, .modes = WIRE_MODE_SPLIT};
}

enum { PASS_US = 400000 };

struct site {
    struct toy_engine toy;
    struct metrics *metrics;
    struct gate *gate;
    struct serve *serve;
    struct rpc_client *client;
};

static void spend(void *context, uint64_t us)
{
    const struct timespec time = {.tv_nsec = (long)us * 1000};
    (void)context;
    nanosleep(&time, NULL);
}

static void site_open(struct site *site, struct serve_options options)
{
    static const struct pace slow = {.encode_ms = 1, .n = 1, .rows = {1},
                                     .ms = {PASS_US / 1000}};
    const struct toy_time time = {.pace = &slow, .spend = spend};
    const struct toy_options toy = {.seed = 1, .time = &time};
    const struct gate_options gate = {.ticket_keys = NULL};
    char address[32];
    struct error err;
    *site = (struct site){0};
    toy_engine_open(&site->toy, 1, 0.0f);
    backend_free(&site->toy.engine.backend);
    assert_ok(toy_backend_new(&site->toy.description, &toy, &site->toy.engine.backend, &err), &err);
    assert_ok(metrics_new(metrics_target, TARGET_METRICS_N, &site->metrics, &err), &err);
    assert_ok(gate_new(&gate, &site->gate, &err), &err);
    options.listen = "127.0.0.1:0";
    options.gate = site->gate;
    options.metrics = site->metrics;
    assert_ok(serve_start(&site->toy.engine, &options, &site->serve, &err), &err);
    snprintf(address, sizeof(address), "127.0.0.1:%u", serve_port(site->serve));
    const struct rpc_client_options client = {.target = address};
    assert_ok(rpc_client_new(&client, &site->client, &err), &err);
}

static void site_close(struct site *site)
{
    rpc_client_free(&site->client);
    serve_stop(&site->serve, 0);
    gate_free(&site->gate);
    metrics_free(&site->metrics);
    toy_engine_close(&site->toy);
}

/* One call, as its client sees it. */
struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct rpc_call *call;
    uint32_t n_frames[WIRE_KIND_N];
    struct wire_error error;                /* the last Error frame */
    bool done;
    enum status code;
};

static void on_message(struct rpc_call *call, const uint8_t *data, size_t size)
{
    struct seen *seen = rpc_user(call);
    struct wire_frame frame;
    struct error err;
    assert_ok(wire_unpack(data, size, false, &frame, &err), &err);
    pthread_mutex_lock(&seen->lock);
    seen->n_frames[frame.kind]++;
    if (frame.kind == WIRE_ERROR)
        seen->error = frame.u.error;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
    wire_frame_release(&frame);
}

static void on_done(struct rpc_call *call, enum status code, const char *message)
{
    struct seen *seen = rpc_user(call);
    (void)message;
    pthread_mutex_lock(&seen->lock);
    seen->done = true;
    seen->code = code;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

/* A call that is refused may be over before its Open goes out. */
static void send_up(struct seen *seen, const struct wire_frame *frame)
{
    struct wire_bytes bytes;
    struct error err;
    assert_ok(wire_pack(frame, &bytes, &err), &err);
    enum rpc_sent sent = rpc_send(seen->call, bytes.data, bytes.size);
    assert_true(sent == RPC_SENT || sent == RPC_CLOSED);
    wire_bytes_release(&bytes);
}

static void call_and_be_silent(struct site *site, struct seen *seen)
{
    static const struct rpc_handler handler = {.on_message = on_message, .on_done = on_done};
    const struct rpc_open_options options = {.method = "/specasr.v1.Verify/Session",
                                             .handler = &handler, .user = seen};
    struct error err;
    *seen = (struct seen){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    assert_ok(rpc_open(site->client, &options, &seen->call, &err), &err);
}

static void call_again(struct site *site, struct seen *seen, uint8_t id, uint32_t epoch)
{
    struct wire_frame frame = {.kind = WIRE_OPEN};
    frame.u.open = (struct wire_open){.version_min = 1, .version_max = 1, .session = {id},
                                      .epoch = epoch,
                                      .rules = {.language = "en", .row_price = -1.0f}};
    call_and_be_silent(site, seen);
    send_up(seen, &frame);
}

static void call(struct site *site, struct seen *seen, uint8_t id)
{
    call_again(site, seen, id, 0);
}

static void hang_up(struct seen *seen)
{
    rpc_cancel(seen->call);
    pthread_mutex_lock(&seen->lock);
    while (!seen->done)
        pthread_cond_wait(&seen->changed, &seen->lock);
    pthread_mutex_unlock(&seen->lock);
    rpc_unref(seen->call);
}

/* False: it did not come within ten seconds, or the call ended before. WIRE_KIND_N: its end. */
static bool wait_for(struct seen *seen, enum wire_kind kind)
{
    struct timespec until;
    int rc = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&seen->lock);
    while (rc == 0 && !seen->done && (kind == WIRE_KIND_N || seen->n_frames[kind] == 0))
        rc = pthread_cond_timedwait(&seen->changed, &seen->lock, &until);
    bool came = kind == WIRE_KIND_N ? seen->done : seen->n_frames[kind] > 0;
    pthread_mutex_unlock(&seen->lock);
    return came;
}

static void say_something(struct seen *seen)
{
    static int16_t samples[16000] = {1, 2, 3};
    struct wire_frame audio = {.kind = WIRE_AUDIO}, end = {.kind = WIRE_END_OF_UTTERANCE};
    audio.u.audio = (struct wire_audio){.codec = WIRE_PCM_S16, .n_bytes = sizeof(samples),
                                        .bytes = (uint8_t *)samples};
    end.u.end_of_utterance.n_samples = ARRAY_LEN(samples);
    send_up(seen, &audio);
    send_up(seen, &end);
}

/* A pass takes 400 ms here. Of ten calls the fastest answer counts: the machine may be busy. */
static void a_full_target_says_so_at_once(void **state)
{
    (void)state;
    struct site site;
    struct seen first, other;
    uint64_t best_us = UINT64_MAX;
    struct clock clock = clock_monotonic();
    struct serve_options options = {.target = target_options_default()};
    options.target.sessions_max = 1;
    site_open(&site, options);
    call(&site, &first, 1);
    assert_true(wait_for(&first, WIRE_OPENED));
    say_something(&first);
    assert_true(wait_for(&first, WIRE_DECIDED));    /* from here on one pass follows another */
    for (uint32_t i = 0; i < 10; i++) {
        uint64_t begin = clock_us(&clock);
        call(&site, &other, 2);
        assert_true(wait_for(&other, WIRE_KIND_N));
        best_us = MIN(best_us, clock_us(&clock) - begin);
        assert_int_equal(other.code, STATUS_EXHAUSTED);
        assert_int_equal(other.n_frames[WIRE_ERROR], 1);
        assert_true(other.error.fatal && other.error.code == STATUS_EXHAUSTED);
        assert_true(other.error.retry_ms >= 1000);
        hang_up(&other);
    }
    printf("             refused within %.1f ms\n", (double)best_us / 1000.0);
    assert_true(best_us < 50000);
    assert_int_equal(metrics_value(site.metrics, TARGET_METRIC_REFUSED_FULL), 10);
    hang_up(&first);
    do {                                    /* the seat is free once the model's thread has heard */
        call(&site, &other, 3);
        (void)wait_for(&other, WIRE_OPENED);
        hang_up(&other);
    } while (other.n_frames[WIRE_OPENED] == 0);
    site_close(&site);
}

static void the_time_of_a_session_ends(void **state)
{
    (void)state;
    struct site site;
    struct seen seen;
    struct serve_options options = {.target = target_options_default(), .idle_max_us = 50000};
    site_open(&site, options);
    call(&site, &seen, 1);
    assert_true(wait_for(&seen, WIRE_KIND_N));
    assert_int_equal(seen.code, STATUS_UNAVAILABLE);
    assert_int_equal(seen.n_frames[WIRE_DRAIN], 0);
    hang_up(&seen);
    site_close(&site);
    options.idle_max_us = 0;
    options.session_max_us = 300000;
    site_open(&site, options);
    call(&site, &seen, 1);
    say_something(&seen);                   /* takes longer: it is finished all the same */
    assert_true(wait_for(&seen, WIRE_DRAIN));
    assert_true(wait_for(&seen, WIRE_UTTERANCE_FINAL));
    assert_true(wait_for(&seen, WIRE_KIND_N));
    assert_int_equal(seen.code, STATUS_UNAVAILABLE);
    hang_up(&seen);
    site_close(&site);
}

static void who_says_nothing_takes_no_seat(void **state)
{
    (void)state;
    struct site site;
    struct seen silent[3], other;
    struct serve_options options = {.target = target_options_default(), .guards.first_ms = 300};
    options.target.sessions_max = 1;
    site_open(&site, options);
    for (size_t i = 0; i < ARRAY_LEN(silent); i++)
        call_and_be_silent(&site, &silent[i]);
    call(&site, &other, 1);
    assert_true(wait_for(&other, WIRE_OPENED));
    for (size_t i = 0; i < ARRAY_LEN(silent); i++) {
        assert_true(wait_for(&silent[i], WIRE_KIND_N));
        assert_int_equal(silent[i].code, STATUS_TIMEOUT);
        hang_up(&silent[i]);
    }
    assert_int_equal(serve_guard_counts(site.serve).silent, ARRAY_LEN(silent));
    assert_false(other.done);
    hang_up(&other);
    site_close(&site);
}

/* Its link broke, but the target has not heard of that: all seats are taken, one of them by this
 * client itself. */
static void who_comes_back_finds_the_own_seat(void **state)
{
    (void)state;
    struct site site;
    struct seen first, stranger, again;
    struct serve_options options = {.target = target_options_default()};
    options.target.sessions_max = 1;
    site_open(&site, options);
    call(&site, &first, 7);
    assert_true(wait_for(&first, WIRE_OPENED));
    say_something(&first);
    assert_true(wait_for(&first, WIRE_DECIDED));    /* the model is at work */
    call(&site, &stranger, 8);
    assert_true(wait_for(&stranger, WIRE_KIND_N));
    assert_int_equal(stranger.code, STATUS_EXHAUSTED);
    call_again(&site, &again, 7, 1);
    assert_true(wait_for(&again, WIRE_OPENED));
    assert_true(wait_for(&first, WIRE_KIND_N));
    assert_int_equal(first.code, STATUS_CANCELLED);
    assert_int_equal(metrics_value(site.metrics, TARGET_METRIC_RESUMED), 1);
    assert_int_equal(metrics_value(site.metrics, TARGET_METRIC_REFUSED_FULL), 1);
    say_something(&again);
    assert_true(wait_for(&again, WIRE_UTTERANCE_FINAL));
    hang_up(&first);
    hang_up(&stranger);
    hang_up(&again);
    site_close(&site);
}

static void sessions_can_be_listed(void **state)
{
    (void)state;
    struct site site;
    struct seen idle, busy;
    struct serve_session list[4];
    size_t n;
    struct error err;
    struct serve_options options = {.target = target_options_default()};
    site_open(&site, options);
    assert_ok(serve_sessions(site.serve, list, ARRAY_LEN(list), &n, &err), &err);
    assert_int_equal(n, 0);
    call(&site, &idle, 0xAB);
    assert_true(wait_for(&idle, WIRE_OPENED));
    call_again(&site, &busy, 0xCD, 3);
    assert_true(wait_for(&busy, WIRE_OPENED));
    say_something(&busy);
    assert_true(wait_for(&busy, WIRE_DECIDED));
    assert_ok(serve_sessions(site.serve, list, ARRAY_LEN(list), &n, &err), &err);
    assert_int_equal(n, 2);
    assert_string_equal(list[0].id, "cd000000");    /* those at work first */
    assert_string_equal(list[0].state, "working");
    assert_int_equal(list[0].epoch, 3);
    assert_non_null(strstr(list[0].client, "127.0.0.1"));
    assert_string_equal(list[1].id, "ab000000");
    assert_string_equal(list[1].state, "idle");
    assert_int_equal(list[1].lag_us, 0);
    assert_ok(serve_sessions(site.serve, list, 1, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_string_equal(list[0].id, "cd000000");
    assert_true(wait_for(&busy, WIRE_UTTERANCE_FINAL));
    assert_ok(serve_sessions(site.serve, list, ARRAY_LEN(list), &n, &err), &err);
    for (size_t i = 0; i < n; i++)
        if (list[i].epoch == 3)
            assert_true(list[i].lag_us > 0 && list[i].rows > 0 && list[i].windows == 1);
    hang_up(&idle);
    hang_up(&busy);
    site_close(&site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_target_says_so_at_once),
        cmocka_unit_test(the_time_of_a_session_ends),
        cmocka_unit_test(who_says_nothing_takes_no_seat),
        cmocka_unit_test(who_comes_back_finds_the_own_seat),
        cmocka_unit_test(sessions_can_be_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
