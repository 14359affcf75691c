/* Who may in: keys that are listed, and nothing in plain text off this machine. */
#include "net.h"

#include <zmq.h>

static void an_unknown_key_is_refused_until_it_is_listed(void **state)
{
    (void)state;
    struct net net;
    net_open(&net, CURVE);
    struct bus_subscriber *subscriber = new_subscriber(net.server, any_port(&net));
    struct bus_publisher *publisher = new_publisher(net.client, "t1", 1, NULL);
    struct bus_message message;
    struct error err;
    bus_forbid(net.server, net.client_keys.public_key);
    connect_publisher(&net, publisher, subscriber);
    for (int i = 0; i < 400 && bus_refused(net.server) < 2; i++) {      /* it tries again */
        publish(publisher, "let me in");
        bus_wait(subscriber, 50);
        assert_false(bus_receive(subscriber, &message));
    }
    assert_true(bus_refused(net.server) >= 2);
    assert_ok(bus_allow(net.server, net.client_keys.public_key, "t1", &err), &err);
    publish_until_heard(publisher, subscriber, "thanks");
    bus_publisher_free(&publisher);
    bus_subscriber_free(&subscriber);
    net_close(&net);
}

/* Frames come and are nobody's: not one is given to the subscriber. */
static void assert_foreign(struct bus_publisher *publisher, struct bus_subscriber *subscriber,
                           const char *text)
{
    struct bus_message message;
    for (int i = 0; i < 2000 && bus_subscriber_counts(subscriber).foreign == 0; i++) {
        publish(publisher, text);
        bus_wait(subscriber, 10);
        assert_false(bus_receive(subscriber, &message));
    }
    assert_true(bus_subscriber_counts(subscriber).foreign > 0);
}

static void a_key_that_is_taken_off_the_list_is_heard_no_more(void **state)
{
    (void)state;
    struct net net;
    net_open(&net, CURVE);
    struct bus_subscriber *subscriber = new_subscriber(net.server, any_port(&net));
    struct bus_publisher *publisher = new_publisher(net.client, "t1", 1, NULL);
    connect_publisher(&net, publisher, subscriber);
    publish_until_heard(publisher, subscriber, "hello");
    bus_forbid(net.server, net.client_keys.public_key);
    assert_foreign(publisher, subscriber, "still here");
    bus_publisher_free(&publisher);
    bus_subscriber_free(&subscriber);
    net_close(&net);
}

static void nobody_speaks_for_another(void **state)
{
    (void)state;
    struct net net;
    net_open(&net, CURVE);
    struct bus_subscriber *subscriber = new_subscriber(net.server, any_port(&net));
    struct bus_publisher *publisher = new_publisher(net.client, "t2", 1, NULL);
    struct error err;
    connect_publisher(&net, publisher, subscriber);
    assert_foreign(publisher, subscriber, "I am t2");
    assert_ok(bus_allow(net.server, net.client_keys.public_key, "t2", &err), &err);
    publish_until_heard(publisher, subscriber, "I really am");
    bus_publisher_free(&publisher);
    bus_subscriber_free(&subscriber);
    net_close(&net);
}

/* Hears nothing while another, rightly connected subscriber hears twenty frames. */
static void assert_deaf(struct bus_publisher *publisher, struct bus_subscriber *right,
                        struct bus_subscriber *wrong)
{
    struct bus_message message;
    for (int i = 0; i < 20; i++) {
        publish_until_heard(publisher, right, support_format("secret %d", i));
        bus_wait(wrong, 10);
        assert_false(bus_receive(wrong, &message));
    }
}

static void a_wrong_server_and_plain_text_come_to_nothing(void **state)
{
    (void)state;
    struct net net;
    struct bus *plain;
    struct error err;
    struct bus_keys other;
    net_open(&net, CURVE);
    assert_ok(bus_keys_generate(&other, &err), &err);
    assert_ok(bus_new(NULL, clock_manual(&net.now_us), &plain, &err), &err);
    struct bus_publisher *publisher = new_publisher(net.server, "coordinator", 1, any_port(&net));
    struct bus_address to = {bus_publisher_endpoint(publisher), net.server_keys.public_key};
    struct bus_address impostor = {to.endpoint, other.public_key};
    struct bus_subscriber *right = new_subscriber(net.client, NULL);
    struct bus_subscriber *mistaken = new_subscriber(net.client, NULL);
    struct bus_subscriber *open = new_subscriber(plain, NULL);
    assert_ok(bus_subscriber_connect(right, &to, &err), &err);
    assert_ok(bus_subscriber_connect(mistaken, &impostor, &err), &err);
    assert_ok(bus_subscriber_connect(open, &to, &err), &err);
    assert_deaf(publisher, right, mistaken);
    assert_deaf(publisher, right, open);
    bus_subscriber_free(&right);
    bus_subscriber_free(&mistaken);
    bus_subscriber_free(&open);
    bus_publisher_free(&publisher);
    bus_free(&plain);
    net_close(&net);
}

static void plain_text_stays_on_this_machine(void **state)
{
    (void)state;
    struct net net;
    struct error err;
    net_open(&net, PLAIN);
    const char *outside[] = {"tcp://0.0.0.0:*", "tcp://*:*", "tcp://[::]:*", "tcp://192.0.2.1:7"};
    struct bus_publisher *publisher = new_publisher(net.client, "t1", 1, NULL), *none;
    for (size_t i = 0; i < ARRAY_LEN(outside); i++) {
        struct bus_publisher_options options = {"c", 1, outside[i]};
        struct bus_address to = {outside[i], NULL};
        assert_int_equal(bus_publisher_new(net.server, &options, &none, &err), STATUS_DENIED);
        assert_int_equal(bus_publisher_connect(publisher, &to, &err), STATUS_DENIED);
    }
    struct bus_address udp = {"udp://127.0.0.1:1", NULL};
    assert_int_equal(bus_publisher_connect(publisher, &udp, &err), STATUS_INVALID);
    bus_publisher_free(&publisher);
    net_close(&net);
}

static void keys_that_are_none_are_refused(void **state)
{
    (void)state;
    struct net net;
    struct error err;
    struct bus *bus;
    net_open(&net, CURVE);
    struct bus_keys mixed = net.server_keys;
    memcpy(mixed.public_key, net.client_keys.public_key, sizeof(mixed.public_key));
    struct clock clock = clock_manual(&net.now_us);
    assert_int_equal(bus_new(&mixed, clock, &bus, &err), STATUS_INVALID);
    assert_null(bus);
    assert_int_equal(bus_new(&(struct bus_keys){"", ""}, clock, &bus, &err), STATUS_INVALID);
    assert_int_equal(bus_allow(net.server, "short", "t1", &err), STATUS_INVALID);
    assert_int_equal(bus_allow(net.server, net.client_keys.public_key, "", &err), STATUS_INVALID);
    struct bus_publisher *publisher = new_publisher(net.client, "t1", 1, NULL);
    struct bus_address to = {"tcp://127.0.0.1:1", NULL};
    assert_int_equal(bus_publisher_connect(publisher, &to, &err), STATUS_INVALID);
    bus_publisher_free(&publisher);
    net_close(&net);
}

/* What another program sends to the port. */
static void garbage_is_counted(void **state)
{
    (void)state;
    struct net net;
    struct bus_message message;
    net_open(&net, PLAIN);
    struct bus_subscriber *subscriber = new_subscriber(net.server, any_port(&net));
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_PUB);
    assert_int_equal(zmq_connect(socket, bus_subscriber_endpoint(subscriber)), 0);
    for (int i = 0; i < 2000 && bus_subscriber_counts(subscriber).malformed < 3; i++) {
        zmq_send(socket, "SAB\1\2t", 6, ZMQ_SNDMORE);
        zmq_send(socket, "", 0, ZMQ_DONTWAIT);
        bus_wait(subscriber, 10);
        assert_false(bus_receive(subscriber, &message));
    }
    assert_true(bus_subscriber_counts(subscriber).malformed >= 3);
    zmq_close(socket);
    zmq_ctx_term(context);
    bus_subscriber_free(&subscriber);
    net_close(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_key_is_refused_until_it_is_listed),
        cmocka_unit_test(a_key_that_is_taken_off_the_list_is_heard_no_more),
        cmocka_unit_test(nobody_speaks_for_another),
        cmocka_unit_test(a_wrong_server_and_plain_text_come_to_nothing),
        cmocka_unit_test(plain_text_stays_on_this_machine),
        cmocka_unit_test(keys_that_are_none_are_refused),
        cmocka_unit_test(garbage_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
