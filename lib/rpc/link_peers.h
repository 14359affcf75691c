/* link_peers.h: what each connection of a server has open, and how often it cancels.
 *
 * A connection is known by its peer's name ("ipv4:192.0.2.1:4711"); of unix sockets, which have no
 * such name, all are one. Cancelled calls are metered by a bucket that holds resets_max and drains
 * with resets_per_s: a client that opens and cancels in a loop ("rapid reset", CVE-2023-44487)
 * makes work with two small frames each, whatever the cap on open calls. One thread.
 */
#ifndef RPC_LINK_PEERS_H
#define RPC_LINK_PEERS_H

#include <stdbool.h>
#include <stdint.h>

struct link_peer {
    struct link_peer *next;             /* in one place of the table */
    uint32_t n_calls, n_aside;          /* open; of them of methods that are `aside` */
    uint64_t drained_us;                /* when the bucket is empty again */
    bool cut;
    char name[];
};

enum { LINK_PEER_PLACES = 4096 };

struct link_peers {
    uint32_t resets_max, resets_per_s;
    struct link_peer *places[LINK_PEER_PLACES];
    uint32_t n;
};

/* All zero but the two limits. Afterwards no call may be open. */
void link_peers_release(struct link_peers *peers);

/* A call begins; NULL: no memory. It is the caller's until link_peers_leave. */
struct link_peer *link_peers_enter(struct link_peers *peers, const char *name, bool aside);

/* It is over; `reset`: its client cancelled it. True, once: this was one too many, the connection
 * should be cut. The peer stays valid until the next link_peers_forget. */
bool link_peers_leave(struct link_peers *peers, struct link_peer *peer, bool aside, bool reset,
                      uint64_t now_us);

/* Lets those go that have no call and an empty bucket. */
void link_peers_forget(struct link_peers *peers, uint64_t now_us);

/* Shuts the socket of that peer down; false: this process has none (any more), or it is a unix
 * socket. */
bool link_peer_cut(const char *name);

#endif
