#include "rpc/link_peers.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/status.h"

static struct link_peer **place_of(struct link_peers *peers, const char *name)
{
    return &peers->places[XXH3_64bits(name, strlen(name)) % LINK_PEER_PLACES];
}

struct link_peer *link_peers_enter(struct link_peers *peers, const char *name, bool aside)
{
    struct link_peer **place = place_of(peers, name), *peer = *place;
    while (peer && strcmp(peer->name, name) != 0)
        peer = peer->next;
    if (!peer) {
        size_t size = strlen(name) + 1;
        peer = calloc(1, sizeof(*peer) + size);
        if (!peer)
            return NULL;
        memcpy(peer->name, name, size);
        peer->next = *place;
        *place = peer;
        peers->n++;
    }
    peer->n_calls++;
    peer->n_aside += aside;
    return peer;
}

bool link_peers_leave(struct link_peers *peers, struct link_peer *peer, bool aside, bool reset,
                      uint64_t now_us)
{
    uint64_t each_us = 1000000u / peers->resets_per_s;
    SA_ASSERT(peer->n_calls > 0 && peer->n_aside >= aside);
    peer->n_calls--;
    peer->n_aside -= aside;
    if (!reset)
        return false;
    peer->drained_us = MAX(peer->drained_us, now_us) + each_us;
    if (peer->cut || peer->drained_us <= now_us + peers->resets_max * each_us)
        return false;
    peer->cut = true;
    return true;
}

void link_peers_forget(struct link_peers *peers, uint64_t now_us)
{
    for (uint32_t i = 0; i < LINK_PEER_PLACES && peers->n > 0; i++) {
        for (struct link_peer **link = &peers->places[i]; *link;) {
            struct link_peer *peer = *link;
            if (peer->n_calls > 0 || peer->drained_us > now_us) {
                link = &peer->next;
                continue;
            }
            *link = peer->next;
            free(peer);
            peers->n--;
        }
    }
}

void link_peers_release(struct link_peers *peers)
{
    link_peers_forget(peers, UINT64_MAX);
    SA_ASSERT(peers->n == 0);
}

/* ---- the socket of a peer ---- */

/* Address and port, of IPv4 in its IPv6 form. */
struct place {
    struct in6_addr address;
    in_port_t port;
};

static void set_ipv4(struct place *place, const struct in_addr *address)
{
    memset(&place->address, 0, sizeof(place->address));
    place->address.s6_addr[10] = place->address.s6_addr[11] = 0xFF;
    memcpy(place->address.s6_addr + 12, address, 4);
}

/* "ipv4:192.0.2.1:4711", "ipv6:%5B2001:db8::1%5D:4711" or with brackets. */
static bool place_of_name(const char *name, struct place *place)
{
    char text[INET6_ADDRSTRLEN + 8];
    const char *begin = strchr(name, ':'), *end = strrchr(name, ':');
    struct in_addr ipv4;
    if (!begin || end <= begin || (size_t)(end - begin) > sizeof(text))
        return false;
    size_t n = (size_t)(end - begin) - 1;
    memcpy(text, begin + 1, n);
    text[n] = '\0';
    place->port = htons((in_port_t)strtoul(end + 1, NULL, 10));
    if (strncmp(name, "ipv4:", 5) == 0 && inet_pton(AF_INET, text, &ipv4) == 1) {
        set_ipv4(place, &ipv4);
        return true;
    }
    char *address = text + (strncmp(text, "%5B", 3) == 0 ? 3 : text[0] == '[');
    address[strcspn(address, "]%")] = '\0';
    return strncmp(name, "ipv6:", 5) == 0 && inet_pton(AF_INET6, address, &place->address) == 1;
}

static bool place_of_socket(int fd, struct place *place)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof(peer);
    memset(&peer, 0, sizeof(peer));
    if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0)
        return false;
    if (peer.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&peer;
        set_ipv4(place, &in->sin_addr);
        place->port = in->sin_port;
    } else if (peer.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&peer;
        place->address = in6->sin6_addr;
        place->port = in6->sin6_port;
    }
    return peer.ss_family == AF_INET || peer.ss_family == AF_INET6;
}

static bool is_at(int fd, const struct place *wanted)
{
    struct place found;
    return place_of_socket(fd, &found) && found.port == wanted->port &&
           memcmp(&found.address, &wanted->address, sizeof(found.address)) == 0;
}

/* The number may be closed and given to another connection while we look: what is shut down is a
 * duplicate, which was looked at itself. */
static bool shut_if_at(int fd, const struct place *wanted)
{
    int own = is_at(fd, wanted) ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    bool shut = own >= 0 && is_at(own, wanted) && shutdown(own, SHUT_RDWR) == 0;
    if (own >= 0)
        close(own);
    return shut;
}

/* The core has no way to end one connection of a server, and we have no descriptors of its own. */
bool link_peer_cut(const char *name)
{
    struct place wanted;
    bool shut = false;
    DIR *folder = place_of_name(name, &wanted) ? opendir("/proc/self/fd") : NULL;
    if (!folder)
        return false;
    for (const struct dirent *entry; !shut && (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.')
            shut = shut_if_at((int)strtol(entry->d_name, NULL, 10), &wanted);
    closedir(folder);
    return shut;
}
