/* The twin's faults: delay, jitter, loss and cuts, the same for the same seed. */
#include "net.h"

static void frames_take_their_time(void **state)
{
    (void)state;
    struct net net;
    struct bus_message message;
    net_open(&net, LOCAL);
    struct bus_subscriber *subscriber = new_subscriber(net.server, "load");
    struct bus_publisher *publisher = new_publisher(net.server, "t1", 1, NULL);
    connect_publisher(&net, publisher, subscriber);
    bus_local_faults(net.server, &(struct bus_faults){.delay_us = 30000});
    publish(publisher, "a");
    net.now_us += 29999;
    assert_false(bus_receive(subscriber, &message));
    net.now_us += 1;
    assert_true(bus_receive(subscriber, &message) && is_text(&message, "a"));
    for (int i = 0; i < 20; i++)        /* both sides' marks hold 8, the rest is lost */
        publish(publisher, "b");
    net.now_us += 30000;
    int n = 0;
    while (bus_receive(subscriber, &message))
        n++;
    assert_int_equal(n, 2 * BUS_QUEUE);
    bus_publisher_free(&publisher);
    bus_subscriber_free(&subscriber);
    net_close(&net);
}

/* Frames of a sender that is no news any more count too. */
static void a_turn_ends_though_there_is_more(void **state)
{
    (void)state;
    struct net net;
    struct bus_message message;
    struct bus_publisher *publishers[BUS_TURN_MAX + 10];
    net_open(&net, LOCAL);
    struct bus_subscriber *subscriber = new_subscriber(net.server, "load");
    for (size_t i = 0; i < ARRAY_LEN(publishers); i++) {     /* each later one of a lower life */
        publishers[i] = new_publisher(net.server, "t1", ARRAY_LEN(publishers) - i, NULL);
        connect_publisher(&net, publishers[i], subscriber);
        publish(publishers[i], "a");
    }
    assert_true(bus_receive(subscriber, &message));
    assert_false(bus_receive(subscriber, &message));
    assert_int_equal(bus_subscriber_counts(subscriber).stale, BUS_TURN_MAX - 1);
    assert_false(bus_receive(subscriber, &message));
    assert_int_equal(bus_subscriber_counts(subscriber).stale, BUS_TURN_MAX + 9);
    for (size_t i = 0; i < ARRAY_LEN(publishers); i++)
        bus_publisher_free(&publishers[i]);
    bus_subscriber_free(&subscriber);
    net_close(&net);
}

static void cut_endpoints_lose_what_is_sent(void **state)
{
    (void)state;
    struct net net;
    struct bus_message message;
    net_open(&net, LOCAL);
    struct bus_subscriber *here = new_subscriber(net.server, "here");
    struct bus_subscriber *there = new_subscriber(net.server, "there");
    struct bus_publisher *publisher = new_publisher(net.server, "t1", 1, NULL);
    connect_publisher(&net, publisher, here);
    connect_publisher(&net, publisher, there);
    bus_local_cut(net.server, "here", true);
    bus_local_cut(net.server, "here", true);
    publish(publisher, "a");
    assert_false(bus_receive(here, &message));
    assert_true(bus_receive(there, &message));
    bus_local_cut(net.server, "here", false);
    bus_local_cut(net.server, NULL, true);
    publish(publisher, "b");
    assert_false(bus_receive(here, &message) || bus_receive(there, &message));
    bus_local_cut(net.server, NULL, false);
    publish(publisher, "c");
    assert_true(bus_receive(here, &message) && bus_receive(there, &message));
    bus_publisher_disconnect(publisher, "here");
    publish(publisher, "d");
    assert_false(bus_receive(here, &message));
    assert_true(bus_receive(there, &message));
    publish(publisher, "last words");
    bus_publisher_free(&publisher);
    assert_true(bus_receive(there, &message) && is_text(&message, "last words"));
    bus_subscriber_free(&here);
    bus_subscriber_free(&there);
    net_close(&net);
}

/* Runs `seconds` of a jumbled network; what was taken must ascend. Returns a hash of it. */
static uint64_t jumble(uint64_t seed, struct bus_counts *counts)
{
    struct net net = {.kind = LOCAL, .now_us = 1};
    struct bus_message message;
    struct error err;
    assert_ok(bus_local_new(clock_manual(&net.now_us), seed, &net.server, &err), &err);
    struct bus_subscriber *subscriber = new_subscriber(net.server, "load");
    struct bus_publisher *publisher = new_publisher(net.server, "t1", 1, NULL);
    connect_publisher(&net, publisher, subscriber);
    bus_local_faults(net.server, &(struct bus_faults){10000, 1500000, 100});
    uint64_t last = 0, hash = 0;
    for (int i = 0; i < 4000; i++) {
        publish(publisher, "state");
        net.now_us += BUS_PERIOD_US;
        while (bus_receive(subscriber, &message)) {
            assert_true(message.sequence > last);
            last = message.sequence;
            hash = hash * 31 + last;
        }
    }
    *counts = bus_subscriber_counts(subscriber);
    bus_publisher_free(&publisher);
    bus_subscriber_free(&subscriber);
    bus_free(&net.server);
    return hash;
}

static void jumbled_frames_are_told_apart_and_a_seed_repeats(void **state)
{
    (void)state;
    struct bus_counts counts, again;
    uint64_t hash = jumble(7, &counts);
    assert_true(counts.taken > 1000 && counts.stale > 100 && counts.late > 100);
    assert_true(counts.taken + counts.stale + counts.late <= 4000 * 94 / 100);
    assert_true(jumble(7, &again) == hash);
    assert_memory_equal(&again, &counts, sizeof(counts));
    assert_true(jumble(8, &again) != hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_take_their_time),
        cmocka_unit_test(a_turn_ends_though_there_is_more),
        cmocka_unit_test(cut_endpoints_lose_what_is_sent),
        cmocka_unit_test(jumbled_frames_are_told_apart_and_a_seed_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
