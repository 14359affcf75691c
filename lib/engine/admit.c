#include "engine/admit.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
    RETRY_US = 1000000,                     /* a refused client stays away for so long, */
    BETWEEN_US = 2000,                      /* and comes so long after the one before it, */
    RETRY_MAX_US = 30000000                 /* but never longer than this */
};

struct client {
    struct client *next;                    /* in one place of the table */
    uint64_t owner;
    uint32_t n_sessions;
};

struct admission {
    struct admit_options options;
    pthread_mutex_t lock;                   /* of all below */
    uint32_t n_sessions;
    uint64_t retry_us;                      /* told last */
    uint32_t n_places;                      /* a power of two */
    struct client **places;
};

enum status admit_new(const struct admit_options *options, struct admission **out,
                      struct error *err)
{
    struct admission *a = calloc(1, sizeof(*a));
    *out = NULL;
    if (!a)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the table of clients");
    a->options = *options;
    a->n_places = 1;
    while (a->n_places < options->sessions_max)
        a->n_places *= 2;
    a->places = calloc(a->n_places, sizeof(struct client *));
    pthread_mutex_init(&a->lock, NULL);
    *out = a;
    if (a->places)
        return STATUS_OK;
    admit_free(out);
    return error_set(err, STATUS_NO_MEMORY, "no memory for the table of clients");
}

void admit_free(struct admission **admission)
{
    struct admission *a = *admission;
    if (!a)
        return;
    SA_ASSERT(a->n_sessions == 0);
    pthread_mutex_destroy(&a->lock);
    free(a->places);
    free(a);
    *admission = NULL;
}

/* "ipv6:%5B2001:db8::1%5D:4711" and the like: what stands between the brackets; false: it is no
 * IPv6 address. */
static bool ipv6_of(const char *peer, struct in6_addr *out)
{
    char text[INET6_ADDRSTRLEN];
    const char *begin = strstr(peer, "%5B"), *end = strstr(peer, "%5D");
    size_t skip = 3;
    if (!begin || !end) {
        begin = strchr(peer, '[');
        end = strchr(peer, ']');
        skip = 1;
    }
    if (!begin || !end || end < begin + skip || (size_t)(end - begin) - skip >= sizeof(text))
        return false;
    snprintf(text, sizeof(text), "%.*s", (int)((size_t)(end - begin) - skip), begin + skip);
    return inet_pton(AF_INET6, text, out) == 1;
}

void admit_name(const char *key, const char *peer, char name[ADMIT_NAME_MAX])
{
    struct in6_addr address;
    if (key && key[0]) {
        snprintf(name, ADMIT_NAME_MAX, "key %s", key);
        return;
    }
    if (ipv6_of(peer, &address) && !IN6_IS_ADDR_V4MAPPED(&address)) {
        char text[INET6_ADDRSTRLEN];
        memset(address.s6_addr + 8, 0, 8);  /* a network's worth: one customer */
        snprintf(name, ADMIT_NAME_MAX, "%s/64",
                 inet_ntop(AF_INET6, &address, text, sizeof(text)) ? text : "");
        return;
    }
    const char *port = strrchr(peer, ':');
    snprintf(name, ADMIT_NAME_MAX, "%.*s", (int)(port ? port - peer : (long)strlen(peer)), peer);
}

static struct client **place_of(const struct admission *a, uint64_t owner)
{
    struct client **link = &a->places[owner & (a->n_places - 1)];
    while (*link && (*link)->owner != owner)
        link = &(*link)->next;
    return link;
}

/* Those who are refused in a row come back one after the other. */
static uint32_t retry_ms(struct admission *a)
{
    uint64_t now = clock_us(&a->options.clock);
    a->retry_us = MAX(a->retry_us + BETWEEN_US, now + RETRY_US);
    if (a->retry_us > now + RETRY_MAX_US)   /* all of it is given out: from the start again */
        a->retry_us = now + RETRY_US;
    return (uint32_t)((a->retry_us - now) / 1000u);
}

static enum status take_seat(struct admission *a, uint64_t owner, struct error *err)
{
    struct client **link = place_of(a, owner), *client = *link;
    if (a->n_sessions >= a->options.sessions_max)
        return error_set(err, STATUS_EXHAUSTED,
                         "all %u sessions of this target are taken: try later",
                         a->options.sessions_max);
    if (client && a->options.client_max && client->n_sessions >= a->options.client_max)
        return error_set(err, STATUS_EXHAUSTED,
                         "this client has %u sessions at this target, and may not have more",
                         client->n_sessions);
    if (!client) {
        client = calloc(1, sizeof(*client));
        if (!client)
            return error_set(err, STATUS_NO_MEMORY, "no memory for a client");
        client->owner = owner;
        *link = client;
    }
    client->n_sessions++;
    a->n_sessions++;
    return STATUS_OK;
}

enum status admit_enter(struct admission *a, const char *name, struct admit_seat *seat,
                        uint32_t *retry, struct error *err)
{
    uint64_t owner = MAX(XXH3_64bits(name, strlen(name)), (uint64_t)1);
    pthread_mutex_lock(&a->lock);
    enum status rc = take_seat(a, owner, err);
    *retry = rc == STATUS_EXHAUSTED ? retry_ms(a) : 0;
    pthread_mutex_unlock(&a->lock);
    seat->owner = rc == STATUS_OK ? owner : 0;
    return rc;
}

void admit_leave(struct admission *a, struct admit_seat *seat)
{
    if (seat->owner == 0)
        return;
    pthread_mutex_lock(&a->lock);
    struct client **link = place_of(a, seat->owner), *client = *link;
    SA_ASSERT(client && client->n_sessions > 0);
    a->n_sessions--;
    if (--client->n_sessions == 0) {
        *link = client->next;
        free(client);
    }
    pthread_mutex_unlock(&a->lock);
    seat->owner = 0;
}

uint32_t admit_retry_ms(struct admission *a)
{
    pthread_mutex_lock(&a->lock);
    uint32_t ms = retry_ms(a);
    pthread_mutex_unlock(&a->lock);
    return ms;
}
