/* One suite for every implementation of bus.h: the twin, ZeroMQ in plain text and with CURVE. */
#include "net.h"

static enum kind kinds[] = {LOCAL, PLAIN, CURVE};

static void state_arrives_whole(void **state)
{
    static char large[BUS_PAYLOAD_MAX + 1];
    struct net net;
    net_open(&net, *(enum kind *)*state);
    struct bus_subscriber *subscriber = new_subscriber(net.server, any_port(&net));
    struct bus_publisher *publisher = new_publisher(net.client, "t1", 77, NULL);
    assert_string_equal(bus_publisher_endpoint(publisher), "");
    connect_publisher(&net, publisher, subscriber);
    connect_publisher(&net, publisher, subscriber);     /* is still one connection */
    struct bus_message message = publish_until_heard(publisher, subscriber, "hello");
    assert_string_equal(message.sender, "t1");
    assert_int_equal(message.incarnation, 77);
    assert_true(message.sequence > 0);
    memset(large, 'x', BUS_PAYLOAD_MAX);
    publish_until_heard(publisher, subscriber, large);
    publish_until_heard(publisher, subscriber, "");
    bus_publisher_free(&publisher);
    bus_subscriber_free(&subscriber);
    assert_null(publisher);
    net_close(&net);
}

/* A part of a state would be another state: it is refused, and the next one goes out. */
static void a_state_that_is_too_long_is_refused_whole(void **state)
{
    static uint8_t large[BUS_PAYLOAD_MAX + 1];
    struct net net;
    struct error err;
    net_open(&net, *(enum kind *)*state);
    struct bus_subscriber *subscriber = new_subscriber(net.server, any_port(&net));
    struct bus_publisher *publisher = new_publisher(net.client, "t1", 1, NULL);
    connect_publisher(&net, publisher, subscriber);
    publish_until_heard(publisher, subscriber, "before");
    assert_int_equal(bus_publish(publisher, large, sizeof(large), &err), STATUS_EXHAUSTED);
    assert_non_null(strstr(err.text, "16385 bytes"));
    publish(publisher, "small");
    struct bus_message message = expect(subscriber);
    while (message.size != 5)               /* of before, sent more than once */
        message = expect(subscriber);
    assert_memory_equal(message.data, "small", 5);
    bus_publisher_free(&publisher);
    bus_subscriber_free(&subscriber);
    net_close(&net);
}

static void one_publisher_many_subscribers(void **state)
{
    struct net net;
    net_open(&net, *(enum kind *)*state);
    struct bus_publisher *publisher = new_publisher(net.server, "coordinator", 1, any_port(&net));
    struct bus_subscriber *subscribers[3];
    struct bus_address to = {bus_publisher_endpoint(publisher), net.server_keys.public_key};
    struct error err;
    for (int i = 0; i < 3; i++) {
        subscribers[i] = new_subscriber(net.client, NULL);
        assert_ok(bus_subscriber_connect(subscribers[i], &to, &err), &err);
    }
    for (int i = 0; i < 3; i++)
        publish_until_heard(publisher, subscribers[i], support_format("price %d", i));
    bus_subscriber_disconnect(subscribers[0], to.endpoint);
    bus_subscriber_disconnect(subscribers[0], "tcp://127.0.0.1:1");
    for (int i = 0; i < 3; i++)
        bus_subscriber_free(&subscribers[i]);
    bus_publisher_free(&publisher);
    net_close(&net);
}

/* Two processes that claim to be the same: only what is newer counts. */
static void stale_frames_are_dropped(void **state)
{
    struct net net;
    net_open(&net, *(enum kind *)*state);
    struct bus_subscriber *subscriber = new_subscriber(net.server, any_port(&net));
    struct bus_publisher *first = new_publisher(net.client, "t1", 5, NULL);
    struct bus_publisher *second = new_publisher(net.client, "t1", 5, NULL);
    connect_publisher(&net, first, subscriber);
    publish_until_heard(first, subscriber, "a");
    for (int i = 0; i < 20; i++)
        publish(first, "b");            /* far ahead, whatever of it gets through */
    publish_until_heard(first, subscriber, "c");
    connect_publisher(&net, second, subscriber);
    struct bus_message message;
    for (int i = 0; i < 2000 && bus_subscriber_counts(subscriber).stale == 0; i++) {
        if (i < 20)
            publish(second, "old");
        bus_wait(subscriber, 10);
        while (bus_receive(subscriber, &message))
            assert_false(is_text(&message, "old") && message.sequence < 20);
    }
    assert_true(bus_subscriber_counts(subscriber).stale > 0);
    bus_publisher_free(&first);
    bus_publisher_free(&second);
    bus_subscriber_free(&subscriber);
    net_close(&net);
}

/* libzmq closes a port in the background: a new process may have to wait for it. */
static struct bus_publisher *publisher_again(struct net *net, uint64_t incarnation,
                                             const char *endpoint,
                                             struct bus_subscriber *subscriber)
{
    struct bus_publisher_options options = {"coordinator", incarnation, endpoint};
    struct bus_publisher *publisher = NULL;
    struct error err;
    for (int i = 0; i < 2000 && !publisher; i++)
        if (bus_publisher_new(net->server, &options, &publisher, &err) != STATUS_OK)
            bus_wait(subscriber, 10);
    assert_non_null(publisher);
    return publisher;
}

static void a_restarted_publisher_is_believed_and_its_past_is_not(void **state)
{
    struct net net;
    net_open(&net, *(enum kind *)*state);
    struct bus_publisher *publisher = new_publisher(net.server, "coordinator", 1, any_port(&net));
    const char *endpoint = support_format("%s", bus_publisher_endpoint(publisher));
    struct bus_address to = {endpoint, net.server_keys.public_key};
    struct bus_subscriber *subscriber = new_subscriber(net.client, NULL);
    struct error err;
    assert_ok(bus_subscriber_connect(subscriber, &to, &err), &err);
    for (int i = 0; i < 5; i++)
        publish_until_heard(publisher, subscriber, support_format("term 1, %d", i));
    bus_publisher_free(&publisher);
    publisher = publisher_again(&net, 2, endpoint, subscriber);
    struct bus_message message = publish_until_heard(publisher, subscriber, "term 2");
    assert_int_equal(message.incarnation, 2);
    bus_publisher_free(&publisher);
    publisher = publisher_again(&net, 1, endpoint, subscriber);
    uint64_t before = bus_subscriber_counts(subscriber).stale;
    for (int i = 0; i < 2000 && bus_subscriber_counts(subscriber).stale == before; i++) {
        publish(publisher, "from the past");
        bus_wait(subscriber, 10);
        while (bus_receive(subscriber, &message))
            assert_true(is_text(&message, "term 2"));
    }
    assert_true(bus_subscriber_counts(subscriber).stale > before);
    bus_publisher_free(&publisher);
    bus_subscriber_free(&subscriber);
    net_close(&net);
}

static void frames_that_lay_in_buffers_are_dropped(void **state)
{
    struct net net;
    net_open(&net, *(enum kind *)*state);
    struct bus_subscriber *subscriber = new_subscriber(net.server, any_port(&net));
    struct bus_publisher *publisher = new_publisher(net.client, "t1", 1, NULL);
    struct bus_message message;
    connect_publisher(&net, publisher, subscriber);
    publish_until_heard(publisher, subscriber, "begin");
    publish(publisher, "old");
    net.now_us += 2000000;              /* as if the subscriber had been frozen */
    for (int i = 0; i < 400 && bus_subscriber_counts(subscriber).late == 0; i++) {
        assert_false(bus_receive(subscriber, &message));
        bus_wait(subscriber, 50);
    }
    assert_true(bus_subscriber_counts(subscriber).late > 0);
    while (bus_receive(subscriber, &message))
        fail_msg("an old frame was taken");
    publish(publisher, "fresh");
    message = expect(subscriber);
    assert_true(is_text(&message, "fresh"));
    bus_publisher_free(&publisher);
    bus_subscriber_free(&subscriber);
    net_close(&net);
}

static void a_slow_subscriber_stops_nobody_and_hears_the_present(void **state)
{
    enum { N = 5000, SIZE = 8192 };
    static char text[SIZE + 1];
    struct net net;
    net_open(&net, *(enum kind *)*state);
    struct bus_subscriber *subscriber = new_subscriber(net.server, any_port(&net));
    struct bus_publisher *publisher = new_publisher(net.client, "t1", 1, NULL);
    struct bus_message message;
    connect_publisher(&net, publisher, subscriber);
    publish_until_heard(publisher, subscriber, "begin");
    memset(text, 'x', SIZE);
    for (int i = 0; i < N; i++)
        publish(publisher, text);
    uint64_t last = 0;
    int n = 0;
    while (bus_receive(subscriber, &message)) {
        assert_true(message.sequence > last);
        last = message.sequence;
        n++;
    }
    assert_true(n < N / 2);
    publish_until_heard(publisher, subscriber, "now");
    assert_true(bus_subscriber_counts(subscriber).taken < N / 2);
    assert_int_equal(bus_subscriber_counts(subscriber).stale, 0);
    bus_publisher_free(&publisher);
    bus_subscriber_free(&subscriber);
    net_close(&net);
}

static void nobody_there_is_no_trouble(void **state)
{
    struct net net;
    net_open(&net, *(enum kind *)*state);
    struct bus_publisher *publisher = new_publisher(net.client, "t1", 1, NULL);
    struct bus_subscriber *subscriber = new_subscriber(net.client, NULL);
    struct bus_address nobody = {"tcp://127.0.0.1:1", net.server_keys.public_key};
    struct bus_message message;
    struct error err;
    assert_ok(bus_publisher_connect(publisher, &nobody, &err), &err);
    assert_ok(bus_subscriber_connect(subscriber, &nobody, &err), &err);
    for (int i = 0; i < 100; i++)
        publish(publisher, "hello?");
    assert_false(bus_receive(subscriber, &message));
    assert_int_equal(message.size, 0);
    bus_publisher_disconnect(publisher, nobody.endpoint);
    bus_publisher_free(&publisher);
    bus_subscriber_free(&subscriber);
    bus_publisher_free(&publisher);
    bus_subscriber_free(&subscriber);
    net_close(&net);
}

static void more_senders_than_places_are_counted_until_one_is_silent(void **state)
{
    struct net net;
    net_open(&net, *(enum kind *)*state);
    if (net.kind == CURVE) {            /* one key has one name there */
        net_close(&net);
        return;
    }
    struct bus_subscriber *subscriber = new_subscriber(net.server, any_port(&net));
    struct bus_publisher *publishers[5];
    struct bus_message message;
    for (int i = 0; i < 5; i++) {
        publishers[i] = new_publisher(net.client, support_format("t%d", i), 1, NULL);
        connect_publisher(&net, publishers[i], subscriber);
        if (i < 4)
            publish_until_heard(publishers[i], subscriber, support_format("I am %d", i));
    }
    for (int i = 0; i < 2000 && bus_subscriber_counts(subscriber).crowded == 0; i++) {
        publish(publishers[4], "me too");
        bus_wait(subscriber, 10);
        while (bus_receive(subscriber, &message))
            assert_string_not_equal(message.sender, "t4");
    }
    assert_true(bus_subscriber_counts(subscriber).crowded > 0);
    net.now_us += 4 * BUS_PERIOD_US;
    message = publish_until_heard(publishers[4], subscriber, "now");
    assert_string_equal(message.sender, "t4");
    for (int i = 0; i < 5; i++)
        bus_publisher_free(&publishers[i]);
    bus_subscriber_free(&subscriber);
    net_close(&net);
}

static void bad_names_and_ports_in_use_are_refused(void **state)
{
    struct net net;
    net_open(&net, *(enum kind *)*state);
    struct bus_publisher *publisher = new_publisher(net.server, "c", 1, any_port(&net)), *none;
    struct bus_publisher_options options = {"", 1, NULL};
    struct error err;
    assert_int_equal(bus_publisher_new(net.server, &options, &none, &err), STATUS_INVALID);
    options.name = "a/b";
    assert_int_equal(bus_publisher_new(net.server, &options, &none, &err), STATUS_INVALID);
    options = (struct bus_publisher_options){"c", 1, bus_publisher_endpoint(publisher)};
    assert_int_equal(bus_publisher_new(net.server, &options, &none, &err), STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.text, "in use"));
    options.bind = "";
    assert_int_equal(bus_publisher_new(net.server, &options, &none, &err), STATUS_INVALID);
    assert_null(none);
    bus_publisher_free(&publisher);
    net_close(&net);
}

#define ON_ALL(f)                                                                           \
    {"local: " #f, f, NULL, NULL, &kinds[LOCAL]}, {"plain: " #f, f, NULL, NULL, &kinds[PLAIN]}, \
        {"curve: " #f, f, NULL, NULL, &kinds[CURVE]}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ALL(state_arrives_whole),
        ON_ALL(a_state_that_is_too_long_is_refused_whole),
        ON_ALL(one_publisher_many_subscribers),
        ON_ALL(stale_frames_are_dropped),
        ON_ALL(a_restarted_publisher_is_believed_and_its_past_is_not),
        ON_ALL(frames_that_lay_in_buffers_are_dropped),
        ON_ALL(a_slow_subscriber_stops_nobody_and_hears_the_present),
        ON_ALL(nobody_there_is_no_trouble),
        ON_ALL(more_senders_than_places_are_counted_until_one_is_silent),
        ON_ALL(bad_names_and_ports_in_use_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
