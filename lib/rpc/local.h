/* local.h: the in-process twin, private to its files.
 *
 * A call is two halves, one for each side. A message stays in the sender's outbox until the
 * receiver's callback takes it. One lock for the network; one runner (its thread, or whoever pumps)
 * takes a half from the ready list, decides under the lock what is next for it, and runs that
 * callback unlocked.
 */
#ifndef RPC_LOCAL_H
#define RPC_LOCAL_H

#include <pthread.h>

#include "rpc/rpc_int.h"
#include "rpc/rpc_local.h"

struct local_half {
    struct rpc_call base;
    struct rpc_network *network;
    struct local_server *server;        /* of both halves; NULL: the target was not there */
    struct local_client *client;        /* of both halves; NULL at the server's: it is gone */
    struct local_half *peer;            /* NULL once either half is done */
    struct local_half *next, **link;    /* all halves of the network that are not done */
    struct local_half *next_ready;
    bool queued;                        /* in the ready list */

    struct rpc_outbox outbox;
    uint64_t deadline_us;               /* client; 0: none */
    uint64_t first_by_us;               /* server: the first message must be here; 0: it is */
    uint64_t moved_us;                  /* server: when the client last took something, or was owed
                                         * something anew */
    bool aside;                         /* server: as its method */
    size_t n_unreported;                /* messages that left and on_sent has not told yet */
    bool accepted, opened, held, closing, eof_told, drain_wanted, drain_told, over, done;
    enum status finish_code;            /* server: what rpc_finish said */
    char finish_text[RPC_TEXT_MAX];
    enum status code;                   /* the outcome, when over */
    char text[RPC_TEXT_MAX];
};

struct local_server {
    struct rpc_server base;
    struct rpc_network *network;
    struct local_server *next;
    char *address;
    uint32_t n_open, n_aside;           /* not ended; of those, of methods that are `aside` */
    uint32_t n_calls;                   /* whose on_done has not returned */
    bool stopping;
};

struct local_client {
    struct rpc_client base;
    struct rpc_network *network;
    uint32_t n_calls, n_aside;
};

struct rpc_network {
    struct clock clock;
    bool threaded, quit;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;                /* for the runner */
    pthread_cond_t changed;             /* for those who wait until calls are done */
    struct local_server *servers;
    struct local_half *halves, *ready_first, *ready_last;
    size_t n_ends;                      /* servers and clients */
    bool in_callback;
};

/* ---- local_call.c; all with the network's lock held ---- */

struct local_half *local_half_new(struct rpc_network *network, const struct rpc_limits *limits,
                                  const char *method, const char *peer);
void local_ready(struct local_half *half);

/* Decides the outcome, unless there is one, and what the other half sees. */
void local_end(struct local_half *half, enum status code, const char *text);
void local_break(struct local_half *client_half, int number, const char *details);

/* Runs the next callback of the half, unlocking meanwhile; false: there was nothing to do. */
bool local_step(struct local_half *half);

/* What is due on a half at this time; returns when to look again (0: never). */
uint64_t local_expire(struct local_half *half, uint64_t now_us);

#endif
