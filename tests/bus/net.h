/* net.h: two ends of a bus, of each kind, under a clock that the test moves. */
#ifndef TESTS_BUS_NET_H
#define TESTS_BUS_NET_H

#include "../support/support.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bus.h"
#include "bus/bus_local.h"

enum kind { LOCAL, PLAIN, CURVE };

struct net {
    enum kind kind;
    uint64_t now_us;
    struct bus_keys server_keys, client_keys;
    struct bus *server, *client;        /* one and the same for LOCAL */
};

static inline const char *any_port(const struct net *net)
{
    return net->kind == LOCAL ? "somewhere" : "tcp://127.0.0.1:*";
}

/* The client's key may in, as "t1". */
static inline void net_open(struct net *net, enum kind kind)
{
    struct error err;
    memset(net, 0, sizeof(*net));
    net->kind = kind;
    net->now_us = 1000000;
    struct clock clock = clock_manual(&net->now_us);
    if (kind == LOCAL) {
        assert_ok(bus_local_new(clock, 1, &net->server, &err), &err);
        net->client = net->server;
        return;
    }
    assert_ok(bus_keys_generate(&net->server_keys, &err), &err);
    assert_ok(bus_keys_generate(&net->client_keys, &err), &err);
    bool secure = kind == CURVE;
    assert_ok(bus_new(secure ? &net->server_keys : NULL, clock, &net->server, &err), &err);
    assert_ok(bus_new(secure ? &net->client_keys : NULL, clock, &net->client, &err), &err);
    if (secure)
        assert_ok(bus_allow(net->server, net->client_keys.public_key, "t1", &err), &err);
}

static inline void net_close(struct net *net)
{
    if (net->client != net->server)
        bus_free(&net->client);
    bus_free(&net->server);
}

static inline struct bus_publisher *new_publisher(struct bus *bus, const char *name,
                                                  uint64_t incarnation, const char *bind)
{
    struct bus_publisher_options options = {name, incarnation, bind};
    struct bus_publisher *publisher;
    struct error err;
    assert_ok(bus_publisher_new(bus, &options, &publisher, &err), &err);
    return publisher;
}

static inline struct bus_subscriber *new_subscriber(struct bus *bus, const char *bind)
{
    struct bus_subscriber_options options = {bind, 4, 3 * BUS_PERIOD_US};
    struct bus_subscriber *subscriber;
    struct error err;
    assert_ok(bus_subscriber_new(bus, &options, &subscriber, &err), &err);
    return subscriber;
}

static inline void connect_publisher(const struct net *net, struct bus_publisher *publisher,
                                     struct bus_subscriber *to)
{
    struct bus_address address = {bus_subscriber_endpoint(to), net->server_keys.public_key};
    struct error err;
    assert_ok(bus_publisher_connect(publisher, &address, &err), &err);
}

static inline void publish(struct bus_publisher *publisher, const char *text)
{
    struct error err;
    assert_ok(bus_publish(publisher, (const uint8_t *)text, strlen(text), &err), &err);
}

/* Waits for the next frame that is news; fails the test when none comes for 20 s. */
static inline struct bus_message expect(struct bus_subscriber *subscriber)
{
    struct bus_message message;
    for (int i = 0; i < 400; i++) {
        if (bus_receive(subscriber, &message))
            return message;
        bus_wait(subscriber, 50);
    }
    fail_msg("nothing came");
    return message;
}

static inline bool is_text(const struct bus_message *message, const char *text)
{
    return message->size == strlen(text) && memcmp(message->data, text, message->size) == 0;
}

/* Publishes `text` again and again until it comes through: connections need their time. */
static inline struct bus_message publish_until_heard(struct bus_publisher *publisher,
                                                     struct bus_subscriber *subscriber,
                                                     const char *text)
{
    struct bus_message message;
    for (int i = 0; i < 2000; i++) {
        publish(publisher, text);
        while (bus_receive(subscriber, &message))
            if (is_text(&message, text))
                return message;
        bus_wait(subscriber, 10);
    }
    fail_msg("\"%s\" was never heard", text);
    return message;
}

#endif
